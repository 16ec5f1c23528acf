package harness

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"millrace/harness/load"
	"millrace/results"
)

// Plan is what a scenario will do and need, worked out before anything runs.
type Plan struct {
	Scenario   *Scenario     `json:"-"`
	Name       string        `json:"scenario"`
	Duration   time.Duration `json:"duration_ns"` // every phase in full; starting, auditing and checking come on top
	Records    float64       `json:"records"`     // produced over the whole run
	Bytes      float64       `json:"bytes"`       // their values
	Disk       float64       `json:"disk_bytes"`  // what the target may write at most, one replica: nothing is taken off for compression
	DiskFree   float64       `json:"disk_free_bytes"`
	DataDir    string        `json:"data_dir"`     // where a target that we start puts its data
	Memory     float64       `json:"memory_bytes"` // what the generator may hold at most; the target's own comes on top
	ClosedLoop bool          `json:"closed_loop"`  // the volume follows the target's speed: Records is a guess
	// Fingerprint is the same for every run of the same records at the same
	// intended times, on whatever machine; Ratio and MeanSize are of the values.
	Fingerprint string   `json:"fingerprint,omitempty"`
	Ratio       float64  `json:"lz4_ratio,omitempty"`
	MeanSize    float64  `json:"mean_size_bytes"`
	Warnings    []string `json:"warnings"` // what will keep the run from answering
}

// guessRate is what a closed loop is taken to reach when only a plan is asked
// for: a broker on a small machine.
const guessBytesPerSecond = 500 << 20

// recordOverhead is about what a record's header, key and its share of the
// batch header take on disk beside the value.
const recordOverhead = 40

// Plan works out what the scenario needs. Data of a target that we start is
// taken to lie in the system's temporary directory.
func (s *Scenario) Plan() (*Plan, error) {
	p, err := s.planIn("")
	if err != nil {
		return nil, err
	}
	seen, err := load.Foresee(s.spec("none:0"))
	if err != nil {
		return nil, err
	}
	p.Fingerprint, p.Ratio, p.MeanSize = seen.Fingerprint, seen.Values.Ratio, seen.Values.MeanBytes
	if c := s.Payload.Compressibility; s.Payload.Generator == "random" && (p.Ratio < c*(1-ratioSlack) || p.Ratio > c*(1+ratioSlack)) {
		p.Warnings = append(p.Warnings, fmt.Sprintf("payload.compressibility: the values are to compress %.3g:1, and lz4 makes %.3g:1 of them; short values cannot be steered well", c, p.Ratio))
	}
	return p, nil
}

// TooBig says that the run would fill the disk: it is refused.
func (p *Plan) TooBig() bool { return !p.ClosedLoop && p.DiskFree > 0 && p.Disk > p.DiskFree }

// memory is what the generator may hold: the values, what producers buffer, what
// consumers fetch, and what the ledger keeps of lean batches for a verification.
func (s *Scenario) memory(p *Plan) float64 {
	const pool, kgoBuffered, batchNote, most = 32 << 20, 10_000, 48, 4 << 20
	bytes := float64(pool)
	producers, size := float64(s.Producers.Count), p.MeanSize+recordOverhead
	if s.Client == "kgo" {
		buffered := float64(s.Producers.Buffered)
		if buffered == 0 {
			buffered = kgoBuffered
		}
		bytes += producers * (buffered + float64(s.Producers.TxnRecords)) * (size + 300) // 300: what kgo keeps of each
	} else {
		bytes += pool // the batches made of the values
		if s.spec("").Retain {
			bytes += min(p.Records*size/float64(s.Producers.BatchSize), most) * batchNote
		}
	}
	members := float64(s.Consumers.Groups * s.Consumers.Members)
	for _, ph := range s.Phases {
		members = max(members, float64(ph.Members*s.Consumers.Groups))
	}
	bytes += (members + float64(s.Transform.Workers)) * 2 * float64(s.Consumers.MaxBytes) // one in use, one under way
	return bytes
}

func (s *Scenario) planIn(dataDir string) (*Plan, error) {
	if dataDir == "" {
		dataDir = os.TempDir()
	}
	p := &Plan{Scenario: s, Name: s.Name, DataDir: dataDir, Warnings: []string{}}
	size, err := s.meanSize()
	if err != nil {
		return nil, err
	}
	for _, ph := range s.Phases {
		p.Duration += ph.Len
		if !ph.sends() {
			continue
		}
		if ph.Rate == maxRate {
			p.ClosedLoop = true
			ph.Rate = guessBytesPerSecond / (size + recordOverhead)
		}
		p.Records += ph.records()
	}
	p.Bytes = p.Records * size
	p.MeanSize = size
	p.Disk = p.Records * (size + recordOverhead + float64(s.Payload.Headers)*float64(s.Payload.HeaderSize+4))
	if s.Transform.Workers > 0 {
		p.Disk *= 2 // the outputs
	}
	p.Memory = s.memory(p)
	var st unix.Statfs_t
	if err := unix.Statfs(dataDir, &st); err == nil {
		p.DiskFree = float64(st.Bavail) * float64(st.Bsize)
	}
	switch {
	case p.TooBig():
		p.Warnings = append(p.Warnings, fmt.Sprintf("the run writes %s and %s has %s free: it will be refused; make it shorter or slower, or say another place with --data",
			results.FormatBytes(p.Disk), dataDir, results.FormatBytes(p.DiskFree)))
	case p.Disk > p.DiskFree:
		p.Warnings = append(p.Warnings, fmt.Sprintf("the run may write %s and %s has %s free: the disk may fill up",
			results.FormatBytes(p.Disk), dataDir, results.FormatBytes(p.DiskFree)))
	}
	for _, g := range s.Goals {
		p.warnSamples(g)
	}
	return p, nil
}

// warnSamples says beforehand which percentile a run will be too short for.
func (p *Plan) warnSamples(g Goal) {
	percent := g.percent()
	if percent == 0 {
		return
	}
	phases := p.Scenario.steady()
	if g.Phase != "" {
		phases = []Phase{*p.Scenario.phase(g.Phase)}
	}
	var records float64
	for _, ph := range phases {
		if ph.Rate == maxRate {
			return
		}
		records += ph.records()
	}
	if need := samplesFor(percent); records < need {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s: %s records are too few to tell p%v (%s are needed); it will be INCONCLUSIVE",
			g.text, results.FormatCount(records), percent, results.FormatCount(need)))
	}
}

// meanSize is the mean number of bytes of a value.
func (s *Scenario) meanSize() (float64, error) {
	switch {
	case s.Payload.Generator == "file":
	case s.Payload.Sizes == "uniform":
		return float64(s.Payload.MinSize+s.Payload.MaxSize) / 2, nil
	case s.Payload.Sizes == "weighted":
		var bytes, shares float64
		for _, w := range s.Payload.weights() {
			bytes, shares = bytes+float64(w.Bytes)*w.Share, shares+w.Share
		}
		return bytes / shares, nil
	default:
		return float64(s.Payload.Size), nil
	}
	f, err := os.Open(s.Payload.File)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20) // the first MiB stands for the rest
	n, err := io.ReadFull(f, buf)
	if n == 0 {
		return 0, fmt.Errorf("%s: %w", s.Payload.File, err)
	}
	lines := 0
	for _, b := range buf[:n] {
		if b == '\n' {
			lines++
		}
	}
	return float64(n) / float64(max(lines, 1)), nil
}

// Write writes the plan for a person.
func (p *Plan) Write(c io.Writer) {
	s := p.Scenario
	about := ""
	if p.ClosedLoop {
		about = "about " // a closed loop goes as fast as the target
	}
	wrapped(c, "", s.Name+": "+s.Question)
	fmt.Fprintln(c)
	for i, ph := range s.Phases {
		switch {
		case ph.Kind == Drain && i == len(s.Phases)-1:
			fmt.Fprintf(c, "  %-10s at most %s\n", ph.Name, results.FormatSpan(ph.Len))
		case !ph.sends():
			fmt.Fprintf(c, "  %-10s %s\n", ph.Name, results.FormatSpan(ph.Len))
		default:
			fmt.Fprintf(c, "  %-10s %s %s%s\n", ph.Name, results.FormatSpan(ph.Len), ph.pace(), ph.strength())
		}
	}
	for _, h := range s.Timeline {
		fmt.Fprintf(c, "  %-10s %s\n", "timeline", h)
	}
	fmt.Fprintf(c, "\n  time       at most %s, and some seconds to start, audit and check\n", results.FormatSpan(p.Duration))
	fmt.Fprintf(c, "  records    %s%s (%s)\n", about, results.FormatCount(p.Records), results.FormatBytes(p.Bytes))
	fmt.Fprintf(c, "  disk       %s%s at most; %s has %s free\n", about, results.FormatBytes(p.Disk), p.DataDir, results.FormatBytes(p.DiskFree))
	fmt.Fprintf(c, "  memory     %s at most in the generator; the target's own comes on top\n", results.FormatBytes(p.Memory))
	if p.Fingerprint != "" {
		fmt.Fprintf(c, "  values     %s on average, %.1f:1 in lz4 blocks of 64 KiB\n", results.FormatBytes(p.MeanSize), p.Ratio)
		fmt.Fprintf(c, "  stream     %s, as of every run with seed %d\n", p.Fingerprint, s.Seed)
	}
	for _, g := range s.Goals {
		fmt.Fprintf(c, "  goal       %s\n", g)
	}
	for _, a := range s.Abort {
		fmt.Fprintf(c, "  abort      %s\n", a)
	}
	for _, remark := range s.remarks {
		bullet(c, "note: ", remark)
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(c, "\n  warning: %s\n", warning)
	}
}

// pace is the phase's schedule in words.
func (p Phase) pace() string {
	count := results.FormatCount
	switch {
	case p.closedLoop():
		return "as fast as the target takes it (closed loop)"
	case len(p.Steps) > 0:
		text := "in steps of " + results.FormatSpan(p.Len/time.Duration(len(p.Steps))) + ":"
		for _, r := range p.Steps {
			text += " " + count(r)
		}
		return text + " records/s"
	case p.Swing > 0:
		return fmt.Sprintf("at %s ± %s records/s, once each %s", count(p.Rate), count(p.Swing), results.FormatSpan(p.Period))
	case p.RateTo > 0:
		return fmt.Sprintf("from %s to %s records/s", count(p.Rate), count(p.RateTo))
	}
	return fmt.Sprintf("at %s records/s", count(p.Rate))
}

// strength is what the phase says of the number of clients.
func (p Phase) strength() (text string) {
	if p.Producers > 0 {
		text += ", from " + plural(int64(p.Producers), "producer")
	}
	if p.Members > 0 {
		text += ", to " + plural(int64(p.Members), "member") + " of each group"
	}
	return text
}
