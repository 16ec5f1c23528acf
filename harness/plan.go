package harness

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

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
	DataDir    string        `json:"data_dir"`    // where a target that we start puts its data
	ClosedLoop bool          `json:"closed_loop"` // the volume follows the target's speed: Records is a guess
	Warnings   []string      `json:"warnings"`    // what will keep the run from answering
}

// guessRate is what a closed loop is taken to reach when only a plan is asked
// for: a broker on a small machine.
const guessBytesPerSecond = 500 << 20

// recordOverhead is about what a record's header, key and its share of the
// batch header take on disk beside the value.
const recordOverhead = 40

// Plan works out what the scenario needs. Data of a target that we start is
// taken to lie in the system's temporary directory.
func (s *Scenario) Plan() (*Plan, error) { return s.planIn("") }

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
		if ph.Kind != Warmup && ph.Kind != Steady {
			continue
		}
		if ph.Rate == maxRate {
			p.ClosedLoop = true
			ph.Rate = guessBytesPerSecond / (size + recordOverhead)
		}
		p.Records += ph.records()
	}
	p.Bytes = p.Records * size
	p.Disk = p.Records * (size + recordOverhead)
	var st unix.Statfs_t
	if err := unix.Statfs(dataDir, &st); err == nil {
		p.DiskFree = float64(st.Bavail) * float64(st.Bsize)
	}
	if p.Disk > p.DiskFree {
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
	if s.Payload.Generator != "file" {
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
	for _, ph := range s.Phases {
		switch {
		case ph.Kind == Drain:
			fmt.Fprintf(c, "  %-10s at most %s\n", ph.Name, results.FormatSpan(ph.Len))
		case ph.Kind == Pause:
			fmt.Fprintf(c, "  %-10s %s\n", ph.Name, results.FormatSpan(ph.Len))
		case ph.RateTo > 0:
			fmt.Fprintf(c, "  %-10s %s, from %s to %s records/s\n", ph.Name, results.FormatSpan(ph.Len), results.FormatCount(ph.Rate), results.FormatCount(ph.RateTo))
		case ph.Rate == maxRate:
			fmt.Fprintf(c, "  %-10s %s, as fast as the target takes it\n", ph.Name, results.FormatSpan(ph.Len))
		default:
			fmt.Fprintf(c, "  %-10s %s at %s records/s\n", ph.Name, results.FormatSpan(ph.Len), results.FormatCount(ph.Rate))
		}
	}
	fmt.Fprintf(c, "\n  time       at most %s, and some seconds to start, audit and check\n", results.FormatSpan(p.Duration))
	fmt.Fprintf(c, "  records    %s%s (%s)\n", about, results.FormatCount(p.Records), results.FormatBytes(p.Bytes))
	fmt.Fprintf(c, "  disk       %s%s at most; %s has %s free\n", about, results.FormatBytes(p.Disk), p.DataDir, results.FormatBytes(p.DiskFree))
	for _, g := range s.Goals {
		fmt.Fprintf(c, "  goal       %s\n", g)
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(c, "\n  warning: %s\n", warning)
	}
}
