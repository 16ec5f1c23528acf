package harness

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"millrace/harness/load"
	"millrace/results"
)

// Condition ends a run early.
type Condition struct {
	Goals bool // once a goal can no longer be met
	When  Goal // once it holds of the time so far, where Goals is false
}

func (c Condition) String() string {
	if c.Goals {
		return "goals"
	}
	return c.When.String()
}

func conditionValue(c *Condition) leaf {
	l := goalValue(&c.When)
	parse := l.parse
	l.parse = func(s string) error {
		if s == "goals" {
			c.Goals = true
			return nil
		}
		return parse(s)
	}
	l.show = c.String
	l.js = map[string]any{"type": "string",
		"pattern":  `^(goals|\s*[A-Za-z_][A-Za-z0-9_.]*\s*(<=|>=|==|<|>)\s*\S.*)$`,
		"examples": []string{"goals", "errors > 1000", "ack.p99 > 5s"}}
	return l
}

func (s *Scenario) checkAbort(d *decoder) {
	for i, c := range s.Abort {
		at := fmt.Sprintf("abort.%d", i)
		if c.Goals {
			continue
		}
		c.When.check(s, d, at)
		if !liveFigure(c.When) {
			d.faultAt(at, "%s: %s is known only at the end (write errors, lag.max, or ack.p99 and its like)", at, c.When.Figure)
		}
	}
}

// liveFigure says that what a goal names is known while the run is under way.
func liveFigure(g Goal) bool {
	return g.histogram() != "" || g.Figure == "errors" || g.Figure == "lag.max" || g.Figure == ""
}

// sofar is what the steady phases, or those that goals name, have come to.
type sofar struct {
	s      *Scenario
	phases map[string]*running
}

type running struct {
	samples int
	errors  int64
	lag     int64
	latency map[string]*hdrhistogram.Histogram
}

func newSofar(s *Scenario) *sofar { return &sofar{s: s, phases: map[string]*running{}} }

// add takes a sample; it answers why the run should end, "": it should not. The
// first sample of a phase still holds latencies of the one before and is left
// out of percentiles.
func (f *sofar) add(s load.Sample, phase, kind string) string {
	f.phase(phase).add(s)
	if kind == Steady && phase != Steady { // goals without a phase are of all steady ones
		f.phase(Steady).add(s)
	}
	for _, c := range f.s.Abort {
		if !c.Goals && f.holds(c.When) {
			return "as it was told to: " + c.When.String()
		}
		for _, g := range f.s.Goals {
			if c.Goals && f.hopeless(g) {
				return "the goal " + g.String() + " can no longer be met"
			}
		}
	}
	return ""
}

func (f *sofar) phase(name string) *running {
	r := f.phases[name]
	if r == nil {
		r = &running{latency: map[string]*hdrhistogram.Histogram{}}
		f.phases[name] = r
	}
	return r
}

func (r *running) add(s load.Sample) {
	r.samples++
	r.errors += s.Errors
	r.lag = max(r.lag, s.Lag)
	if r.samples == 1 {
		return
	}
	for m, name := range results.Histograms {
		r.latency[name] = merge(r.latency[name], s.Latency[m])
	}
}

// of is the phase that a goal is about.
func (f *sofar) of(g Goal) *running {
	if g.Phase != "" {
		return f.phases[g.Phase]
	}
	return f.phases[Steady]
}

func (f *sofar) holds(g Goal) bool {
	r := f.of(g)
	if r == nil {
		return false
	}
	p := results.Phase{Errors: r.errors, LagMax: r.lag, Latency: map[string]results.Quantiles{}}
	if h := r.latency[g.histogram()]; h != nil {
		if percent := g.percent(); float64(h.TotalCount()) < samplesFor(percent) {
			return false
		}
		p.Latency[g.histogram()] = results.QuantilesOf(h, 0)
	}
	fig, _ := lookup(g.Figure)
	v := fig.of(&results.Trial{}, &p)
	return v != nil && g.holds(*v)
}

// hopeless says that whatever comes, the goal will be missed: a count that only
// grows is over its limit, or more values of all that are scheduled are above it
// than the percentile leaves room for.
func (f *sofar) hopeless(g Goal) bool {
	r := f.of(g)
	if r == nil || g.Op == ">=" || g.Op == ">" {
		return false
	}
	over := func(v float64) bool { return !g.holds(v) && v > g.Limit || g.Op == "<" && v == g.Limit }
	switch {
	case g.Figure == "errors":
		return over(float64(r.errors))
	case g.Figure == "lag.max":
		return over(float64(r.lag))
	}
	h := r.latency[g.histogram()]
	if h == nil {
		return false
	}
	if _, stat := g.split(); stat == "max" {
		return over(float64(h.Max()))
	}
	phases := f.s.steady()
	if g.Phase != "" {
		phases = []Phase{*f.s.phase(g.Phase)}
	}
	rate, scheduled := meanRate(phases)
	if percent := g.percent(); percent > 0 && scheduled {
		var length time.Duration
		for _, p := range phases {
			length += p.Len
		}
		all := rate * length.Seconds()
		if g.histogram() == results.EndToEnd {
			all *= float64(f.s.Consumers.Groups)
		}
		return float64(above(h, g.Limit)) > (1-percent/100)*all
	}
	return false
}

// above is how many values lie above a limit for certain.
func above(h *hdrhistogram.Histogram, limit float64) (n int64) {
	for _, b := range h.Distribution() {
		if float64(b.From) > limit {
			n += b.Count
		}
	}
	return n
}
