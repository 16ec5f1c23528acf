package harness

import (
	"fmt"
	"math"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"millrace/internal/knob"
	"millrace/results"
)

// Goal is one expression that must hold: FIGURE OP LIMIT [in PHASE].
type Goal struct {
	Figure string  // throughput, ack.p99, rss.max, …
	Op     string  // <= >= < > ==
	Limit  float64 // in the figure's base unit: ns, records/s, bytes, or a plain number
	Phase  string  // empty: all steady phases together

	text string
	unit unit
}

// String is the goal as written.
func (g Goal) String() string { return g.text }

// unit is what a figure counts in; it decides how a limit is written.
type unit int

const (
	plain    unit = iota // a number
	duration             // 20ms; base ns
	perSec               // 50000/s
	bytesSec             // 100MiB/s
	bytesize             // 256MiB
)

// figure is something that a goal may name.
type figure struct {
	unit unit
	// whole figures belong to the run and cannot be asked `in` a phase.
	whole bool
	doc   string
	// of reads it; nil: not measured. p is the phase asked for, or the steady
	// phases together.
	of func(t *results.Trial, p *results.Phase) *float64
	// lower says that small values are good; it makes the answer's sentence.
	lower bool
}

func val[T int64 | float64](v T) *float64 { f := float64(v); return &f }

func cost(get func(c *results.Cost) *float64) func(*results.Trial, *results.Phase) *float64 {
	return func(_ *results.Trial, p *results.Phase) *float64 {
		if p.Target == nil || p.Acked.Records == 0 {
			return nil
		}
		return get(p.Target)
	}
}

func ledger(get func(l *results.Ledger) int64) func(*results.Trial, *results.Phase) *float64 {
	return func(t *results.Trial, _ *results.Phase) *float64 {
		if !t.Ledger.Checked {
			return nil
		}
		return val(get(&t.Ledger))
	}
}

// figures is every figure but those of the histograms.
var figures = map[string]figure{
	"throughput":              {unit: perSec, doc: "records acknowledged per second", of: func(_ *results.Trial, p *results.Phase) *float64 { return val(p.Acked.Rate) }},
	"throughput.bytes":        {unit: bytesSec, doc: "key and value bytes acknowledged per second", of: func(_ *results.Trial, p *results.Phase) *float64 { return val(p.Acked.ByteRate) }},
	"consume.throughput":      {unit: perSec, doc: "records seen by consumers per second, all groups together", of: func(_ *results.Trial, p *results.Phase) *float64 { return val(p.Consumed.Rate) }},
	"lag.max":                 {unit: plain, lower: true, doc: "most records acknowledged and not yet seen, worst group", of: func(_ *results.Trial, p *results.Phase) *float64 { return val(p.LagMax) }},
	"errors":                  {unit: plain, lower: true, doc: "records refused or given up, and damaged ones that were read", of: func(_ *results.Trial, p *results.Phase) *float64 { return val(p.Errors) }},
	"cpu.ns_per_record":       {unit: plain, lower: true, doc: "CPU of the target per record", of: cost(func(c *results.Cost) *float64 { return val(c.PerRecord.CPUNs) })},
	"cpu.cores":               {unit: plain, lower: true, doc: "CPU seconds of the target per second", of: cost(func(c *results.Cost) *float64 { return val(c.Cores) })},
	"allocs_per_record":       {unit: plain, lower: true, doc: "heap allocations of the target per record", of: cost(func(c *results.Cost) *float64 { return c.PerRecord.Allocs })},
	"alloc_bytes_per_record":  {unit: plain, lower: true, doc: "heap bytes allocated by the target per record", of: cost(func(c *results.Cost) *float64 { return c.PerRecord.AllocB })},
	"syscalls_per_record":     {unit: plain, lower: true, doc: "read- and write-like system calls of the target per record", of: cost(func(c *results.Cost) *float64 { return c.PerRecord.Syscalls })},
	"ctx_switches_per_record": {unit: plain, lower: true, doc: "context switches of the target per record", of: cost(func(c *results.Cost) *float64 { return c.PerRecord.Ctx })},
	"disk_bytes_per_record":   {unit: plain, lower: true, doc: "bytes of the target sent to the disk per record", of: cost(func(c *results.Cost) *float64 { return c.PerRecord.DiskBytes })},
	"rss.max":                 {unit: bytesize, lower: true, doc: "resident memory of the target at its highest", of: cost(func(c *results.Cost) *float64 { return val(c.RSSMax) })},
	"ledger.lost":             {unit: plain, lower: true, whole: true, doc: "acknowledged records that could not be read back", of: ledger(func(l *results.Ledger) int64 { return l.Lost })},
	"ledger.duplicated":       {unit: plain, lower: true, whole: true, doc: "records read back more than once", of: ledger(func(l *results.Ledger) int64 { return l.Duplicated })},
	"ledger.misplaced":        {unit: plain, lower: true, whole: true, doc: "streams of one producer to one partition with records that were acknowledged at other offsets than they were read at", of: ledger(func(l *results.Ledger) int64 { return l.Misplaced })},
	"ledger.reordered":        {unit: plain, lower: true, whole: true, doc: "records read back out of order", of: ledger(func(l *results.Ledger) int64 { return l.Reordered })},
	"ledger.corrupt":          {unit: plain, lower: true, whole: true, doc: "records read back with a wrong checksum", of: ledger(func(l *results.Ledger) int64 { return l.Corrupt })},
	"ledger.aborted_seen":     {unit: plain, lower: true, whole: true, doc: "records of aborted transactions that a reader of committed ones saw", of: ledger(func(l *results.Ledger) int64 { return l.AbortedSeen })},
	"ledger.redelivered":      {unit: plain, lower: true, whole: true, doc: "records handed over again to the group's next member", of: ledger(func(l *results.Ledger) int64 { return l.Redelivered })},
	"unavailable.max":         {unit: duration, lower: true, whole: true, doc: "longest time in which records waited and none was acknowledged", of: func(t *results.Trial, _ *results.Phase) *float64 { return val(t.UnavailableS * 1e9) }},
	"recovery.time": {unit: duration, lower: true, whole: true, doc: "from the end of a fault of the timeline to the next acknowledgement, at its longest", of: func(t *results.Trial, _ *results.Phase) *float64 {
		var worst *float64
		for _, f := range t.Faults {
			if f.FirstAckS != nil && (worst == nil || *f.FirstAckS*1e9 > *worst) {
				worst = val(*f.FirstAckS * 1e9)
			}
		}
		return worst
	}},
	"catchup.time": {unit: duration, lower: true, whole: true, doc: "until a group that lagged had caught up, at its longest", of: func(t *results.Trial, _ *results.Phase) *float64 {
		return worstCatchUp(t, func(c results.CatchUp) float64 { return c.TookS * 1e9 }, false)
	}},
	"catchup.throughput": {unit: perSec, whole: true, doc: "records a second of its backlog that a group which lagged read, at its slowest", of: func(t *results.Trial, _ *results.Phase) *float64 {
		return worstCatchUp(t, func(c results.CatchUp) float64 { return float64(c.Backlog) / c.TookS }, true)
	}},
	"drain.time": {unit: duration, lower: true, whole: true, doc: "from the end of the load to the last record seen", of: func(t *results.Trial, _ *results.Phase) *float64 {
		if t.DrainS == nil {
			return nil
		}
		return val(*t.DrainS * 1e9)
	}},
}

// worstCatchUp is the largest, or smallest, of all; nil: none caught up.
func worstCatchUp(t *results.Trial, of func(results.CatchUp) float64, smallest bool) (worst *float64) {
	for _, c := range t.CatchUps {
		if v := of(c); worst == nil || (v < *worst) == smallest {
			worst = val(v)
		}
	}
	return worst
}

var quantileForm = regexp.MustCompile(`^p([0-9]{1,2}(?:\.[0-9]{1,3})?)$`)

// lookup finds a figure, those of the histograms too: ack.p99, e2e.max.
func lookup(name string) (figure, bool) {
	if f, ok := figures[name]; ok {
		return f, true
	}
	hist, stat, ok := strings.Cut(name, ".")
	if !ok || !known(results.Histograms, hist) {
		return figure{}, false
	}
	f := figure{unit: duration, lower: true, doc: hist + " latency"}
	switch stat {
	case "max":
		f.of = latency(hist, func(q *results.Quantiles) *float64 { return val(q.MaxNs) })
	case "mean":
		f.of = latency(hist, func(q *results.Quantiles) *float64 { return val(q.MeanNs) })
	default:
		m := quantileForm.FindStringSubmatch(stat)
		if m == nil {
			return figure{}, false
		}
		percent, err := strconv.ParseFloat(m[1], 64)
		if err != nil || percent <= 0 {
			return figure{}, false
		}
		f.of = latency(hist, func(q *results.Quantiles) *float64 { return quantile(q, percent) })
	}
	return f, true
}

func latency(hist string, get func(*results.Quantiles) *float64) func(*results.Trial, *results.Phase) *float64 {
	return func(_ *results.Trial, p *results.Phase) *float64 {
		q, ok := p.Latency[hist]
		if !ok || q.Count == 0 {
			return nil
		}
		return get(&q)
	}
}

// quantile takes a stated percentile, or reads the curve at the next point
// above: never below what was measured.
func quantile(q *results.Quantiles, percent float64) *float64 {
	stated := map[float64]int64{50: q.P50Ns, 90: q.P90Ns, 95: q.P95Ns, 99: q.P99Ns, 99.9: q.P999Ns, 99.99: q.P9999Ns}
	if ns, ok := stated[percent]; ok {
		return val(ns)
	}
	for _, p := range q.Curve {
		if p.Percent >= percent {
			return val(p.Ns)
		}
	}
	return val(q.MaxNs)
}

// histogram is the histogram a goal's figure comes from; "": none.
func (g Goal) histogram() string {
	h, _, _ := strings.Cut(g.Figure, ".")
	if known(results.Histograms, h) {
		return h
	}
	return ""
}

// split is the figure's histogram or group, and what of it.
func (g Goal) split() (of, stat string) {
	of, stat, _ = strings.Cut(g.Figure, ".")
	return of, stat
}

// percent is the percentile the goal asks for; 0: none.
func (g Goal) percent() float64 {
	if g.histogram() == "" {
		return 0
	}
	_, stat, _ := strings.Cut(g.Figure, ".")
	if m := quantileForm.FindStringSubmatch(stat); m != nil {
		p, _ := strconv.ParseFloat(m[1], 64)
		return p
	}
	return 0
}

func known(words []string, w string) bool {
	for _, x := range words {
		if x == w {
			return true
		}
	}
	return false
}

// figureNames is what a goal may name, percentiles by their usual forms.
func figureNames() []string {
	var names []string
	for n := range figures {
		names = append(names, n)
	}
	for _, h := range results.Histograms {
		for _, s := range []string{"p50", "p90", "p99", "p99.9", "max", "mean"} {
			names = append(names, h+"."+s)
		}
	}
	sort.Strings(names)
	return names
}

var goalForm = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(<=|>=|==|<|>)\s*(\S+(?:\s\S+)*?)(?:\s+in\s+(\S+))?\s*$`)

// parseGoal reads FIGURE OP LIMIT [in PHASE].
func parseGoal(text string) (Goal, error) {
	m := goalForm.FindStringSubmatch(text)
	if m == nil {
		return Goal{}, fmt.Errorf("%q is no goal (write ack.p99 <= 20ms, throughput >= 49500/s, or errors == 0 in steady)", text)
	}
	g := Goal{Figure: m[1], Op: m[2], Phase: m[4], text: strings.TrimSpace(text)}
	f, ok := lookup(g.Figure)
	if !ok {
		return Goal{}, fmt.Errorf("unknown figure %q%s", g.Figure, knob.Suggest(g.Figure, figureNames()))
	}
	g.unit = f.unit
	var err error
	if g.Limit, err = parseLimit(m[3], f.unit); err != nil {
		return Goal{}, fmt.Errorf("%s: %w", g.Figure, err)
	}
	return g, nil
}

func parseLimit(s string, u unit) (float64, error) {
	switch u {
	case duration:
		d, err := parseSpan(s)
		if err == nil && d < 0 {
			err = fmt.Errorf("%s is negative", s)
		}
		return float64(d), err
	case perSec:
		return parseRate(s)
	case bytesSec:
		num, ok := strings.CutSuffix(s, "/s")
		if !ok {
			return 0, fmt.Errorf("%q is no byte rate (write 100MiB/s)", s)
		}
		n, err := parseSize(strings.TrimSpace(num))
		return float64(n), err
	case bytesize:
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return 0, fmt.Errorf("%s has no unit (write %sMiB or %sB)", s, s, s)
		}
		n, err := parseSize(s)
		return float64(n), err
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q is no number", s)
	}
	if f < 0 {
		return 0, fmt.Errorf("%s is negative", s)
	}
	return f, nil
}

// format writes a value of the unit as a person reads it.
func (u unit) format(v float64) string {
	switch u {
	case duration:
		return results.FormatNs(v)
	case perSec:
		return results.FormatCount(v) + "/s"
	case bytesSec:
		return results.FormatBytes(v) + "/s"
	case bytesize:
		return results.FormatBytes(v)
	}
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return results.FormatCount(v)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// holds says whether the measured value meets the goal.
func (g Goal) holds(v float64) bool {
	switch g.Op {
	case "<=":
		return v <= g.Limit
	case ">=":
		return v >= g.Limit
	case "<":
		return v < g.Limit
	case ">":
		return v > g.Limit
	}
	return v == g.Limit
}

// check is what only the whole scenario can say: a goal that no run could
// meet, or that nothing would measure.
func (g *Goal) check(s *Scenario, d *decoder, at string) {
	if g.Figure == "" {
		return // its own parse failed and said so
	}
	f, _ := lookup(g.Figure)
	impossible := func(format string, args ...any) {
		d.faultAt(at, "%s: %s: %s", at, g.text, fmt.Sprintf(format, args...))
	}
	phases := s.steady()
	if g.Phase != "" {
		if f.whole {
			impossible("%s belongs to the whole run, not to a phase", g.Figure)
			return
		}
		p := s.phase(g.Phase)
		if p == nil {
			impossible("there is no phase %q%s", g.Phase, knob.Suggest(g.Phase, s.phaseNames()))
			return
		}
		phases = []Phase{*p}
	}
	atLeast := g.Op == ">=" || g.Op == ">" || g.Op == "=="
	if g.Figure == "throughput" && atLeast {
		if offered, ok := meanRate(phases); ok && g.Limit > offered {
			impossible("impossible: the schedule offers %s, and no target can acknowledge more than it is offered", perSec.format(offered))
		}
	}
	if g.unit == duration && g.Limit == 0 && g.Op != ">=" && g.Op != ">" {
		impossible("impossible: nothing takes no time at all")
	}
	if s.Consumers.Groups == 0 && (g.histogram() == results.EndToEnd || g.Figure == "lag.max" ||
		g.Figure == "consume.throughput" || g.Figure == "drain.time") {
		impossible("nobody consumes in this scenario, so there is no %s (write consumers: {groups: 1})", g.Figure)
	}
	if strings.HasPrefix(g.Figure, "catchup.") && !s.lags() {
		impossible("no group lags in this scenario (write timeline: [{at: 5s, do: lag, for: 5s}])")
	}
	if g.Figure == "recovery.time" && len(s.faults()) == 0 {
		impossible("nothing befalls the target in this scenario (write timeline: [{at: 5s, do: kill}])")
	}
	if g.Figure == "drain.time" && s.drain() == nil {
		impossible("the scenario has no drain phase")
	}
}

// meanRate is the rate offered over the phases; false: one is a closed loop.
func meanRate(phases []Phase) (float64, bool) {
	var records float64
	var total time.Duration
	for _, p := range phases {
		if p.closedLoop() {
			return 0, false
		}
		records += p.records()
		total += p.Len
	}
	if total == 0 {
		return 0, false
	}
	return records / total.Seconds(), true
}

func (s *Scenario) phase(name string) *Phase {
	for i := range s.Phases {
		if s.Phases[i].Name == name {
			return &s.Phases[i]
		}
	}
	return nil
}

func (s *Scenario) drain() *Phase {
	if n := len(s.Phases); n > 0 && s.Phases[n-1].Kind == Drain {
		return &s.Phases[n-1]
	}
	return nil
}

func (s *Scenario) phaseNames() []string {
	var names []string
	for _, p := range s.Phases {
		names = append(names, p.Name)
	}
	return names
}

func goalValue(g *Goal) leaf {
	return leaf{
		parse: func(s string) error {
			parsed, err := parseGoal(s)
			if err == nil {
				*g = parsed
			}
			return err
		},
		show: func() string { return g.text },
		js: map[string]any{"type": "string",
			"pattern":  `^\s*[A-Za-z_][A-Za-z0-9_.]*\s*(<=|>=|==|<|>)\s*\S.*$`,
			"examples": []string{"throughput >= 49500/s", "ack.p99 <= 20ms", "ledger.lost == 0"}},
	}
}
