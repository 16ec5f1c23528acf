package results

import (
	"fmt"
	"strconv"
	"strings"
)

// Gate is a comparison used as a regression test: how much worse than the
// first alternative the others may be.
type Gate struct {
	Limits      []GateLimit `json:"limits"`
	Outcome     Outcome     `json:"outcome"` // PASS, FAIL, or INCONCLUSIVE where too few rounds counted
	Regressions []string    `json:"regressions,omitempty"`
	Reason      string      `json:"reason,omitempty"`
}

// GateLimit is how much worse one metric may be.
type GateLimit struct {
	Metric string  `json:"metric"`
	Share  float64 `json:"share"` // 0.05: 5 %
}

// gateMetrics are what a gate without a metric's name watches.
var gateMetrics = []string{"throughput", "ack.p99", "e2e.p99", "cpu/record"}

// ParseGate reads 5% (of the metrics that matter most), or METRIC=10%, any
// number of times; a later one of the same metric wins.
func ParseGate(exprs []string) (*Gate, error) {
	g := &Gate{}
	set := func(metric string, share float64) {
		for i := range g.Limits {
			if g.Limits[i].Metric == metric {
				g.Limits[i].Share = share
				return
			}
		}
		g.Limits = append(g.Limits, GateLimit{metric, share})
	}
	for _, e := range exprs {
		metric, text, named := strings.Cut(e, "=")
		if !named {
			metric, text = "", e
		}
		number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !percent || v < 0 || v >= 1000 {
			return nil, fmt.Errorf("gate %q: write a share such as 5%%, or METRIC=5%%", e)
		}
		if !named {
			for _, m := range gateMetrics {
				set(m, v/100)
			}
			continue
		}
		if _, ok := MetricNamed(metric); !ok {
			var names []string
			for _, m := range CompareMetrics {
				names = append(names, m.Name)
			}
			return nil, fmt.Errorf("gate %q: there is no metric %q; there are %s", e, metric, strings.Join(names, ", "))
		}
		set(metric, v/100)
	}
	return g, nil
}

// Apply judges a comparison that Judge has been through. A regression is one
// that was shown and whose size is beyond the limit.
func (g *Gate) Apply(c *Comparison) {
	c.Gate = g
	g.Outcome, g.Regressions, g.Reason = Pass, nil, ""
	told := false
	for i := range c.Alternatives {
		a := &c.Alternatives[i]
		if i == 0 || c.IsAgain(a) {
			continue
		}
		for _, l := range g.Limits {
			m, _ := MetricNamed(l.Metric)
			r := a.Metrics[l.Metric].Ratio
			if r == nil {
				continue
			}
			told = told || r.Lo != 0 || r.Hi != 0
			worse := r.Value - 1
			if m.Higher {
				worse = 1 - r.Value
			}
			if r.Different && worse > l.Share {
				g.Outcome = Fail
				g.Regressions = append(g.Regressions, fmt.Sprintf("%s of %s: %s (95 %% interval %.3f–%.3f), more than the %s %% allowed",
					l.Metric, a.Name, change(r.Value), r.Lo, r.Hi, FormatNumber(l.Share*100)))
			}
		}
	}
	if !told {
		g.Outcome, g.Reason = Inconclusive, fmt.Sprintf("%d rounds counted; an interval needs %d", c.Kept(), minRounds)
	}
}
