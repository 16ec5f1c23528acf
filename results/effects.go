package results

import (
	"fmt"
	"math"
)

// effects works out what each factor does over all alternatives, and, of a
// full design, what each pair does together.
//
// Of each round the geometric mean over the alternatives at a level stands for
// the level; the rounds are then compared as two alternatives are. In a
// balanced design the other factors cancel out of it.
func effects(c *Comparison) (main, pairs []Effect) {
	if len(c.Factors) < 2 || c.Stored {
		return nil, nil
	}
	var design []*Alternative
	for i := range c.Alternatives {
		if a := &c.Alternatives[i]; len(a.Levels) == len(c.Factors) && !c.IsAgain(a) {
			design = append(design, a)
		}
	}
	for f, factor := range c.Factors {
		for l := 1; l < len(factor.Levels); l++ {
			e := Effect{Name: fmt.Sprintf("%s: %s against %s", factor.Name, factor.Levels[l], factor.Levels[0]), Metrics: map[string]*Ratio{}}
			for _, m := range CompareMetrics {
				at := func(want int) []float64 {
					return means(design, m.Name, func(a *Alternative) bool { return a.Levels[f] == want })
				}
				put(e, m.Name, at(0), at(l))
			}
			if len(e.Metrics) > 0 {
				main = append(main, e)
			}
		}
	}
	if c.Design != FullDesign {
		return main, nil
	}
	for f, one := range c.Factors {
		for g := f + 1; g < len(c.Factors); g++ {
			two := c.Factors[g]
			for l := 1; l < len(one.Levels); l++ {
				for k := 1; k < len(two.Levels); k++ {
					pairs = append(pairs, interaction(design, f, g, l, k,
						fmt.Sprintf("%s=%s with %s=%s", one.Name, one.Levels[l], two.Name, two.Levels[k])))
				}
			}
		}
	}
	return main, pairs
}

// FullDesign is every combination of the factors' levels.
const FullDesign = "full"

// interaction is how far the two levels together are from the product of what
// each does alone: 1 where they do not touch each other.
func interaction(design []*Alternative, f, g, l, k int, name string) Effect {
	e := Effect{Name: name, Metrics: map[string]*Ratio{}}
	for _, m := range CompareMetrics {
		at := func(x, y int) []float64 {
			return means(design, m.Name, func(a *Alternative) bool { return a.Levels[f] == x && a.Levels[g] == y })
		}
		put(e, m.Name, product(at(l, 0), at(0, k)), product(at(0, 0), at(l, k)))
	}
	return e
}

func put(e Effect, metric string, a, b []float64) {
	if len(a) == 0 || len(a) != len(b) {
		return
	}
	r := PairedRatio(a, b)
	e.Metrics[metric] = &r
}

// means is, round by round, the geometric mean over the alternatives chosen;
// nil where one of them lacks the metric.
func means(design []*Alternative, metric string, chosen func(*Alternative) bool) []float64 {
	var sums []float64
	n := 0
	for _, a := range design {
		if !chosen(a) {
			continue
		}
		values := a.Metrics[metric].Values
		if len(values) == 0 || n > 0 && len(values) != len(sums) {
			return nil
		}
		if n == 0 {
			sums = make([]float64, len(values))
		}
		for i, v := range values {
			sums[i] += math.Log(v)
		}
		n++
	}
	for i := range sums {
		sums[i] = math.Exp(sums[i] / float64(n))
	}
	return sums
}

func product(a, b []float64) []float64 {
	if len(a) != len(b) {
		return nil
	}
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] * b[i]
	}
	return out
}

// ParetoMetrics are what the Pareto set weighs against each other, the first
// that the runs have of each group.
var ParetoMetrics = [][]string{{"throughput"}, {"ack.p99", "e2e.p99"}, {"cpu/GB", "cpu/record"}}

// ParetoAxes are the metrics of ParetoMetrics that every alternative has.
func (c *Comparison) ParetoAxes() (axes []CompareMetric) {
	for _, group := range ParetoMetrics {
		for _, name := range group {
			has := true
			for _, a := range c.Alternatives {
				has = has && len(a.Metrics[name].Values) > 0
			}
			if m, _ := MetricNamed(name); has {
				axes = append(axes, m)
				break
			}
		}
	}
	return axes
}

// pareto names the alternatives that no other one beats. One beats another
// where it is shown to be better in one respect and is shown to be worse in
// none: what noise could have done counts for neither.
func pareto(c *Comparison) (names []string) {
	axes := c.ParetoAxes()
	if len(c.Alternatives) < 2 || len(axes) < 2 {
		return nil
	}
	compare := PairedRatio
	if c.Stored {
		compare = UnpairedRatio
	}
	for i := range c.Alternatives {
		a := &c.Alternatives[i]
		if c.IsAgain(a) {
			continue
		}
		beaten := false
		for j := range c.Alternatives {
			b := &c.Alternatives[j]
			if i == j || c.IsAgain(b) || beaten {
				continue
			}
			better, worse := 0, 0
			for _, m := range axes {
				r := compare(a.Metrics[m.Name].Values, b.Metrics[m.Name].Values)
				switch floor := c.NoiseFloor[m.Name]; {
				case !r.Different || math.Abs(math.Log(r.Value)) <= math.Log1p(floor):
				case (r.Value > 1) == m.Higher:
					better++
				default:
					worse++
				}
			}
			beaten = better > 0 && worse == 0
		}
		if !beaten {
			names = append(names, a.Name)
		}
	}
	return names
}
