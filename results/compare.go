package results

import (
	"math"
	"time"
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
	Factor   string    `json:"factor"` // the knob's name, or target
	Seed     uint64    `json:"seed"`
	Started  time.Time `json:"started"`
	// Rounds that were asked for; rounds that were left out say why.
	Rounds       int           `json:"rounds"`
	Discarded    []string      `json:"discarded,omitempty"`
	Alternatives []Alternative `json:"alternatives"`
	// NoiseFloor is, for each metric, how far the first alternative stood from
	// itself; nil: not measured. A difference below it is none.
	NoiseFloor  map[string]float64 `json:"noise_floor,omitempty"`
	Notes       []string           `json:"notes,omitempty"`
	Env         Env                `json:"env"`
	Interrupted bool               `json:"interrupted,omitempty"`

	Dir string `json:"-"`
}

// Alternative is one side of a comparison.
type Alternative struct {
	Name       string   `json:"name"` // the knob's value, or the target
	Promise    string   `json:"promise,omitempty"`
	Validation string   `json:"validation,omitempty"`
	Runs       []string `json:"runs"` // run directories, a round each, under runs/
	// Metrics by name, in the order of CompareMetrics.
	Metrics map[string]Metric `json:"metrics"`
}

// Metric is one figure of an alternative.
type Metric struct {
	Values []float64 `json:"values"` // a round each
	Median float64   `json:"median"`
	// Ratio to the first alternative; nil for the first itself.
	Ratio *Ratio `json:"ratio,omitempty"`
}

// CompareMetric is a figure that comparisons show.
type CompareMetric struct {
	Name, Unit string // Unit: /s, B/s, ns, B or "" for a plain number
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

// Again marks the alternative that is the first once more, for the noise
// floor.
const Again = " (again)"

// Judge fills in medians and ratios from the values, and Holm's correction
// over all of the table's comparisons.
func (c *Comparison) Judge() {
	if len(c.Alternatives) == 0 {
		return
	}
	var cells []*Ratio
	var ps []float64
	for i := range c.Alternatives {
		for _, cm := range CompareMetrics {
			m, ok := c.Alternatives[i].Metrics[cm.Name]
			if !ok || len(m.Values) == 0 {
				continue
			}
			m.Median = Median(m.Values)
			if base := c.Alternatives[0].Metrics[cm.Name]; i > 0 && len(base.Values) == len(m.Values) {
				r := PairedRatio(base.Values, m.Values)
				m.Ratio = &r
				cells = append(cells, m.Ratio)
				ps = append(ps, r.P)
			}
			c.Alternatives[i].Metrics[cm.Name] = m
		}
	}
	for i, p := range Holm(ps) {
		cells[i].PHolm = p
	}
	for _, a := range c.Alternatives {
		if a.Name == c.Alternatives[0].Name+Again {
			c.applyFloor(a)
		}
	}
}

// applyFloor takes back the differences that are no larger than the host's
// noise.
func (c *Comparison) applyFloor(again Alternative) {
	c.NoiseFloor = map[string]float64{}
	for name, m := range again.Metrics {
		if m.Ratio == nil || m.Ratio.Rounds == 0 {
			continue
		}
		floor := math.Abs(math.Log(m.Ratio.Value))
		c.NoiseFloor[name] = math.Exp(floor) - 1
		for _, a := range c.Alternatives {
			if r := a.Metrics[name].Ratio; r != nil && r.Different && math.Abs(math.Log(r.Value)) <= floor {
				r.Different, r.Note = false, "below the host's noise"
			}
		}
	}
}
