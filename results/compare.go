package results

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

// CompareFile holds a Comparison in its own directory, beside the rounds' run
// directories.
const CompareFile = "compare.json"

// Comparison is several alternatives over the same interleaved rounds. The
// first alternative is what the others are held against.
type Comparison struct {
	Version  int       `json:"version"`
	Scenario string    `json:"scenario"`
	Question string    `json:"question"`
	Factor   string    `json:"factor"` // the factors' names: knobs, target, rev
	Seed     uint64    `json:"seed"`
	Started  time.Time `json:"started"`
	// Command repeats it.
	Command string `json:"command,omitempty"`
	// Rounds that were asked for; rounds that were left out say why.
	Rounds    int      `json:"rounds"`
	Discarded []string `json:"discarded,omitempty"`
	// Factors that were varied, and how they were crossed: "full" or the name
	// of a screening design.
	Factors      []Factor      `json:"factors,omitempty"`
	Design       string        `json:"design,omitempty"`
	Alternatives []Alternative `json:"alternatives"`
	// Effects of each factor's levels over all alternatives, and of pairs of
	// factors beyond the two's own; only where several factors were crossed.
	Effects      []Effect `json:"effects,omitempty"`
	Interactions []Effect `json:"interactions,omitempty"`
	// Pareto are the alternatives that no other beats, in throughput, tail
	// latency and CPU per byte together.
	Pareto []string `json:"pareto,omitempty"`
	// NoiseFloor is, for each metric, how far the first alternative stood from
	// itself; nil: not measured. A difference below it is none.
	NoiseFloor map[string]float64 `json:"noise_floor,omitempty"`
	// Stored says that the runs were taken from the store: they did not run
	// side by side.
	Stored      bool     `json:"stored,omitempty"`
	Gate        *Gate    `json:"gate,omitempty"`
	Notes       []string `json:"notes,omitempty"`
	Env         Env      `json:"env"`
	Interrupted bool     `json:"interrupted,omitempty"`

	Dir string `json:"-"`
}

// Factor is one thing that was varied.
type Factor struct {
	Name   string   `json:"name"` // a knob, a scenario's path, target or rev
	Levels []string `json:"levels"`
}

// Alternative is one side of a comparison.
type Alternative struct {
	Name       string   `json:"name"`             // the knob's value, the target, the revision
	Levels     []int    `json:"levels,omitempty"` // of each factor
	Promise    string   `json:"promise,omitempty"`
	Validation string   `json:"validation,omitempty"`
	Runs       []string `json:"runs"` // run directories, a round each, under runs/, or anywhere where they were stored before
	// Metrics by name, in the order of CompareMetrics.
	Metrics map[string]Metric `json:"metrics"`
	// Profiles are the pprof files of all rounds merged, by process and kind:
	// target-cpu.
	Profiles map[string]MergedProfile `json:"profiles,omitempty"`
}

// RunDir is where one of its runs lies.
func (a *Alternative) RunDir(c *Comparison, id string) string {
	if c.Stored {
		return id
	}
	return filepath.Join(c.Dir, "runs", id)
}

// MergedProfile is a profile of all rounds of an alternative.
type MergedProfile struct {
	File string `json:"file"` // below the comparison's directory
	// PerRecord turns the profile's values into a value per record; for CPU it
	// also scales what was sampled to what the process spent.
	PerRecord float64 `json:"per_record"`
}

// Metric is one figure of an alternative.
type Metric struct {
	Values []float64 `json:"values"` // a round each
	Median float64   `json:"median"`
	// Ratio to the first alternative; nil for the first itself.
	Ratio *Ratio `json:"ratio,omitempty"`
}

// Effect is what a level of a factor does, compared with the factor's first
// level, all alternatives taken together; or what two levels do together
// beyond what each does alone.
type Effect struct {
	Name    string            `json:"name"` // read.path: copy against sendfile
	Metrics map[string]*Ratio `json:"metrics"`
}

// CompareMetric is a figure that comparisons show.
type CompareMetric struct {
	Name, Unit string // Unit: /s, B/s, ns, s/GB, B or "" for a plain number
	Higher     bool   // more is better
	Of         func(t *Trial) *float64
}

// CompareMetrics are the figures of a comparison, in the order in which they
// are shown. A figure that some run lacks is left out of the table.
var CompareMetrics = []CompareMetric{
	{"throughput", "/s", true, func(t *Trial) *float64 { return &t.Steady.Acked.Rate }},
	{"consumed", "/s", true, func(t *Trial) *float64 {
		if t.Steady.Consumed.Records == 0 {
			return nil
		}
		return &t.Steady.Consumed.Rate
	}},
	{"ack.p50", "ns", false, func(t *Trial) *float64 { return t.Steady.quantile(Ack, func(q Quantiles) int64 { return q.P50Ns }) }},
	{"ack.p99", "ns", false, func(t *Trial) *float64 { return t.Steady.quantile(Ack, func(q Quantiles) int64 { return q.P99Ns }) }},
	{"e2e.p50", "ns", false, func(t *Trial) *float64 {
		return t.Steady.quantile(EndToEnd, func(q Quantiles) int64 { return q.P50Ns })
	}},
	{"e2e.p99", "ns", false, func(t *Trial) *float64 {
		return t.Steady.quantile(EndToEnd, func(q Quantiles) int64 { return q.P99Ns })
	}},
	{"cpu/record", "ns", false, func(t *Trial) *float64 { return t.Steady.perRecord(func(c PerRecord) *float64 { return &c.CPUNs }) }},
	{"cpu/GB", "s/GB", false, func(t *Trial) *float64 {
		if t.Steady.Target == nil || t.Steady.Acked.Bytes == 0 {
			return nil
		}
		v := t.Steady.Target.CPUS / (float64(t.Steady.Acked.Bytes) / 1e9)
		return &v
	}},
	{"allocs/record", "", false, func(t *Trial) *float64 { return t.Steady.perRecord(func(c PerRecord) *float64 { return c.Allocs }) }},
	{"syscalls/record", "", false, func(t *Trial) *float64 { return t.Steady.perRecord(func(c PerRecord) *float64 { return c.Syscalls }) }},
	{"rss.max", "B", false, func(t *Trial) *float64 {
		if t.Steady.Target == nil {
			return nil
		}
		v := float64(t.Steady.Target.RSSMax)
		return &v
	}},
}

// MetricNamed finds a metric of CompareMetrics.
func MetricNamed(name string) (CompareMetric, bool) {
	for _, m := range CompareMetrics {
		if m.Name == name {
			return m, true
		}
	}
	return CompareMetric{}, false
}

// Again marks the alternative that is the first once more, for the noise
// floor.
const Again = " (again)"

// IsAgain tells the alternative that measures the noise floor.
func (c *Comparison) IsAgain(a *Alternative) bool { return a.Name == c.Alternatives[0].Name+Again }

// level is the p above which nothing was shown.
const level = 0.05

// Headlines are the metrics that a comparison is mostly made for. They are
// corrected for each other only, and not for the many others of the table.
var Headlines = []string{"throughput", "ack.p99", "e2e.p99", "cpu/record"}

// Judge fills in medians, ratios, effects and the Pareto set from the values.
//
// A difference is called one only where four things agree. The interval of the
// paired ratio leaves 1 out. Mann-Whitney's p stays below 5 % after Holm's
// correction over the alternatives. So does the p of the mean after Holm's
// correction over the whole table, headlines and the rest each for themselves:
// whoever looks at twenty intervals of 95 % will find one that errs. And the
// difference is larger than what the first alternative differs from itself.
func (c *Comparison) Judge() {
	if len(c.Alternatives) == 0 {
		return
	}
	compare := PairedRatio
	if c.Stored {
		compare = UnpairedRatio
	}
	var table []map[string]*Ratio
	for i := range c.Alternatives {
		row := map[string]*Ratio{}
		for _, cm := range CompareMetrics {
			m, ok := c.Alternatives[i].Metrics[cm.Name]
			if !ok || len(m.Values) == 0 {
				continue
			}
			m.Median = Median(m.Values)
			if base := c.Alternatives[0].Metrics[cm.Name]; i > 0 && (len(base.Values) == len(m.Values) || c.Stored && len(base.Values) > 0) {
				r := compare(base.Values, m.Values)
				m.Ratio = &r
				row[cm.Name] = m.Ratio
			}
			c.Alternatives[i].Metrics[cm.Name] = m
		}
		if !c.IsAgain(&c.Alternatives[i]) {
			table = append(table, row)
		}
	}
	correct(table)
	c.Effects, c.Interactions = effects(c)
	for _, list := range [][]Effect{c.Effects, c.Interactions} {
		table = nil
		for _, e := range list {
			table = append(table, e.Metrics)
		}
		correct(table)
	}
	for i := range c.Alternatives {
		if c.IsAgain(&c.Alternatives[i]) {
			c.applyFloor(&c.Alternatives[i])
		}
	}
	c.Pareto = pareto(c)
}

// correct is Holm's correction over a table, of which each row holds one ratio
// for each metric.
func correct(table []map[string]*Ratio) {
	var headlines, rest []*Ratio
	for _, cm := range CompareMetrics {
		var cells []*Ratio
		for _, row := range table {
			if r := row[cm.Name]; r != nil {
				cells = append(cells, r)
			}
		}
		holm(cells, func(r *Ratio) float64 { return r.P }, func(r *Ratio, p float64) {
			if r.PHolm = p; p > level {
				r.sink("one of several")
			}
		})
		if slices.Contains(Headlines, cm.Name) {
			headlines = append(headlines, cells...)
		} else {
			rest = append(rest, cells...)
		}
	}
	for _, family := range [][]*Ratio{headlines, rest} {
		holm(family, func(r *Ratio) float64 { return r.PMean }, func(r *Ratio, p float64) {
			if p > level {
				r.sink("one of many")
			}
		})
	}
}

func holm(cells []*Ratio, of func(*Ratio) float64, put func(*Ratio, float64)) {
	ps := make([]float64, len(cells))
	for i, r := range cells {
		ps[i] = of(r)
	}
	for i, p := range Holm(ps) {
		put(cells[i], p)
	}
}

// sink takes a difference back.
func (r *Ratio) sink(why string) {
	if r.Different {
		r.Different, r.Note = false, why
	}
}

// applyFloor takes back the differences that are no larger than the host's
// noise.
func (c *Comparison) applyFloor(again *Alternative) {
	c.NoiseFloor = map[string]float64{}
	for name, m := range again.Metrics {
		if m.Ratio == nil || m.Ratio.Rounds == 0 {
			continue
		}
		floor := math.Abs(math.Log(m.Ratio.Value))
		c.NoiseFloor[name] = math.Exp(floor) - 1
		sink := func(r *Ratio) {
			if r != nil && math.Abs(math.Log(r.Value)) <= floor {
				r.sink("below the host's noise")
			}
		}
		for i := range c.Alternatives {
			if a := &c.Alternatives[i]; a != again {
				sink(a.Metrics[name].Ratio)
			}
		}
		for _, e := range c.Effects {
			sink(e.Metrics[name])
		}
		for _, e := range c.Interactions {
			sink(e.Metrics[name])
		}
		m.Ratio.Different = false // by definition
	}
}

// Resolution is about how large a difference of the metric must be to be found
// four times of five in so many rounds, by the noise of the first alternative
// against itself: (t for 95 % + t for 80 %) standard errors of the mean of the
// rounds' log ratios. ok is false where the noise was not measured.
func (c *Comparison) Resolution(metric string) (share float64, ok bool) {
	for i := range c.Alternatives {
		a := &c.Alternatives[i]
		base, again := c.Alternatives[0].Metrics[metric].Values, a.Metrics[metric].Values
		n := len(base)
		if i == 0 || !c.IsAgain(a) || n < minRounds || len(again) != n {
			continue
		}
		var logs []float64
		for k := range base {
			if base[k] > 0 && again[k] > 0 {
				logs = append(logs, math.Log(again[k]/base[k]))
			}
		}
		if len(logs) < minRounds {
			return 0, false
		}
		_, sd := meanSD(logs)
		t := distuv.StudentsT{Sigma: 1, Nu: float64(len(logs) - 1)}
		return math.Expm1((t.Quantile(0.975) + t.Quantile(0.8)) * sd / math.Sqrt(float64(len(logs)))), true
	}
	return 0, false
}

// Kept is how many rounds counted.
func (c *Comparison) Kept() int {
	n := 0
	for _, a := range c.Alternatives {
		n = max(n, len(a.Runs))
	}
	return n
}

// Answer says in a sentence what the comparison showed: for each alternative
// the figures that matter most, or that nothing was shown.
func (c *Comparison) Answer() string {
	if len(c.Alternatives) == 0 {
		return "Nothing was measured."
	}
	base := c.Alternatives[0].Name
	var b strings.Builder
	if c.Interrupted {
		b.WriteString("Interrupted. ")
	}
	said := 0
	for i := range c.Alternatives[1:] {
		a := &c.Alternatives[i+1]
		if c.IsAgain(a) {
			continue
		}
		var parts []string
		for _, m := range CompareMetrics {
			if r := a.Metrics[m.Name].Ratio; r != nil && r.Different {
				parts = append(parts, fmt.Sprintf("%s %s", m.Name, change(r.Value)))
			}
		}
		if len(parts) == 0 {
			continue
		}
		if more := len(parts) - 4; more > 0 {
			parts = append(parts[:4], fmt.Sprintf("%d more", more))
		}
		if said++; said > 4 {
			continue
		}
		if said > 1 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s against %s: %s", a.Name, base, strings.Join(parts, ", "))
	}
	switch {
	case c.Kept() < minRounds:
		fmt.Fprintf(&b, "No difference was shown between %s: %d of the %d rounds that an interval needs were measured", c.list(), c.Kept(), minRounds)
	case said == 0:
		fmt.Fprintf(&b, "No difference was shown between %s over %d rounds", c.list(), c.Kept())
	case said > 4:
		fmt.Fprintf(&b, "; and %d more alternatives differ", said-4)
	}
	b.WriteByte('.')
	return b.String()
}

func (c *Comparison) list() string {
	var names []string
	for i := range c.Alternatives {
		if a := &c.Alternatives[i]; !c.IsAgain(a) {
			names = append(names, a.Name)
		}
	}
	if len(names) > 4 {
		return fmt.Sprintf("the %d alternatives", len(names))
	}
	return strings.Join(names, ", ")
}

// change words a ratio: +5.2 %, −3.1 %, or ×2.4 where percents stop helping.
func change(ratio float64) string {
	switch {
	case ratio >= 2:
		return "×" + FormatNumber(ratio)
	case ratio > 1:
		return fmt.Sprintf("+%s %%", FormatNumber(round1(100*(ratio-1))))
	}
	return fmt.Sprintf("−%s %%", FormatNumber(round1(100*(1-ratio))))
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }

// Format is the metric's value for a person.
func (m CompareMetric) Format(v float64) string {
	switch m.Unit {
	case "/s":
		return FormatCount(v) + "/s"
	case "ns":
		return FormatNs(v)
	case "B":
		return FormatBytes(v)
	case "s/GB":
		return FormatNumber(v) + " s"
	}
	return FormatNumber(v)
}
