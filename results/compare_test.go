package results

import (
	"flag"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// simulated is a comparison of which every figure is made up: rounds of a base,
// of another alternative that takes factor times as much of each metric named,
// and of the base again; a drift common to all, and noise of each trial's own.
func simulated(rng *rand.Rand, rounds int, noise func() float64, changed map[string]float64) *Comparison {
	c := &Comparison{Alternatives: []Alternative{{Name: "a"}, {Name: "b"}, {Name: "a" + Again}}}
	for i := range c.Alternatives {
		c.Alternatives[i].Metrics = map[string]Metric{}
		c.Alternatives[i].Runs = make([]string, rounds)
	}
	for _, cm := range CompareMetrics {
		drift := 0.0
		for range rounds {
			drift += rng.NormFloat64() * 0.01
			for i := range c.Alternatives {
				v := 1e5 * math.Exp(drift+noise())
				if f, ok := changed[cm.Name]; ok && i == 1 {
					v *= f
				}
				m := c.Alternatives[i].Metrics[cm.Name]
				m.Values = append(m.Values, v)
				c.Alternatives[i].Metrics[cm.Name] = m
			}
		}
	}
	c.Judge()
	return c
}

func differences(c *Comparison) (names []string) {
	for _, m := range CompareMetrics {
		if c.Alternatives[1].Metrics[m.Name].Ratio.Different {
			names = append(names, m.Name)
		}
	}
	return names
}

// A against A over a hundred comparisons, eleven figures each: at most five may
// call any figure different, though each table holds eleven intervals of 95 %.
func TestNothingIsFoundWhereNothingIs(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	comparisons := 100
	if testing.Short() {
		comparisons = 20
	}
	called, intervals := 0, 0
	for range comparisons {
		c := simulated(rng, 10, func() float64 { return rng.NormFloat64() * 0.02 }, nil)
		if len(differences(c)) > 0 {
			called++
		}
		for _, m := range c.Alternatives[1].Metrics {
			if m.Ratio.Lo > 1 || m.Ratio.Hi < 1 {
				intervals++
				break
			}
		}
	}
	t.Logf("called different: %d of %d comparisons; with an interval that leaves 1 out: %d", called, comparisons, intervals)
	require.LessOrEqual(t, called, comparisons/20)
	// The negative control: without the corrections many would be called.
	require.Greater(t, intervals, comparisons/10)
}

// noiseFile is a compare.json whose first alternative was run against itself:
// TestSlowdownIsFound then draws from the noise of the host that it was recorded
// on, and says what it finds there.
var noiseFile = flag.String("noise", "", "compare.json of a comparison with --aa")

// A slowdown of 5 % is found in at least nine of ten comparisons of ten rounds
// where a trial's throughput varies by 2 %, as a closed loop's does on a quiet
// machine, and by no more than what else happens to it.
func TestSlowdownIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 2))
	noise := func() float64 { return rng.NormFloat64() * 0.02 }
	if *noiseFile != "" {
		logs := recorded(t, *noiseFile)
		noise = func() float64 { return logs[rng.IntN(len(logs))] }
	}
	found, comparisons := 0, 40
	if testing.Short() {
		comparisons = 10
	}
	for range comparisons {
		d := differences(simulated(rng, 10, noise, map[string]float64{"throughput": 0.95}))
		if len(d) > 0 && d[0] == "throughput" {
			found++
		}
	}
	t.Logf("found in %d of %d", found, comparisons)
	if *noiseFile == "" {
		require.GreaterOrEqual(t, found, comparisons*9/10)
	}
}

// recorded is the logarithm of each trial's throughput over its side's median,
// of the first alternative and of it again.
func recorded(t *testing.T, file string) (logs []float64) {
	c, err := OpenComparison(filepath.Dir(file))
	require.NoError(t, err)
	for i := range c.Alternatives {
		if a := &c.Alternatives[i]; i == 0 || c.IsAgain(a) {
			m := a.Metrics["throughput"]
			for _, v := range m.Values {
				logs = append(logs, math.Log(v/m.Median))
			}
		}
	}
	require.NotEmpty(t, logs)
	return logs
}

// What a comparison says it could have shown is what it does show, mostly.
func TestResolution(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	noise := func() float64 { return rng.NormFloat64() * 0.02 }
	r, ok := simulated(rng, 10, noise, nil).Resolution("throughput")
	require.True(t, ok)
	require.InDelta(t, 0.03, r, 0.02)
	_, ok = (&Comparison{Alternatives: []Alternative{{Name: "a"}}}).Resolution("throughput")
	require.False(t, ok)
}

// Two factors whose effects multiply, and a third that matters only together
// with the first.
func TestEffects(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	c := &Comparison{Design: FullDesign, Factors: []Factor{{"x", []string{"x0", "x1"}}, {"y", []string{"y0", "y1", "y2"}}, {"z", []string{"z0", "z1"}}}}
	for x := range 2 {
		for y := range 3 {
			for z := range 2 {
				a := Alternative{Name: string(rune('a'+x)) + string(rune('0'+y)) + string(rune('0'+z)), Levels: []int{x, y, z}, Metrics: map[string]Metric{}}
				f := math.Pow(1.2, float64(x)) * math.Pow(0.8, float64(y)) * math.Pow(1.1, float64(x*z))
				var m Metric
				for range 8 {
					m.Values = append(m.Values, 1000*f*math.Exp(rng.NormFloat64()*0.005))
				}
				a.Metrics["throughput"] = m
				c.Alternatives = append(c.Alternatives, a)
			}
		}
	}
	c.Judge()
	want := map[string]float64{"x: x1 against x0": 1.2 * math.Sqrt(1.1), "y: y1 against y0": 0.8, "y: y2 against y0": 0.64, "z: z1 against z0": math.Sqrt(1.1)}
	require.Len(t, c.Effects, len(want))
	for _, e := range c.Effects {
		r := e.Metrics["throughput"]
		require.InEpsilon(t, want[e.Name], r.Value, 0.01, e.Name)
		require.True(t, r.Different, e.Name)
	}
	require.Len(t, c.Interactions, 2+1+2)
	for _, e := range c.Interactions {
		r, want := e.Metrics["throughput"], 1.0
		if e.Name == "x=x1 with z=z1" {
			want = 1.1
		}
		require.InEpsilon(t, want, r.Value, 0.02, e.Name)
		require.Equal(t, want > 1, r.Different, e.Name)
	}
}

// An alternative stays in the Pareto set unless another is shown to be better
// in something and is shown to be worse in nothing.
func TestPareto(t *testing.T) {
	c := &Comparison{}
	add := func(name string, throughput, p99, cpu float64) {
		a := Alternative{Name: name, Metrics: map[string]Metric{}}
		for metric, v := range map[string]float64{"throughput": throughput, "ack.p99": p99, "cpu/GB": cpu} {
			var m Metric
			for i := range 8 {
				m.Values = append(m.Values, v*(1+0.001*float64(i%3)))
			}
			a.Metrics[metric] = m
		}
		c.Alternatives = append(c.Alternatives, a)
	}
	add("base", 100, 10, 5)
	add("faster and dearer", 120, 10, 7)
	add("worse all over", 90, 12, 8)
	add("as the base", 100, 10, 5)
	c.Judge()
	require.Equal(t, []string{"base", "faster and dearer", "as the base"}, c.Pareto)
}

func TestGate(t *testing.T) {
	_, err := ParseGate([]string{"5"})
	require.ErrorContains(t, err, "write a share such as 5%")
	_, err = ParseGate([]string{"speed=5%"})
	require.ErrorContains(t, err, `no metric "speed"`)
	rng := rand.New(rand.NewPCG(8, 8))
	noise := func() float64 { return rng.NormFloat64() * 0.01 }
	for name, tc := range map[string]struct {
		changed map[string]float64
		rounds  int
		gate    []string
		want    Outcome
	}{
		"slower":            {map[string]float64{"throughput": 0.9}, 10, []string{"5%"}, Fail},
		"faster":            {map[string]float64{"throughput": 1.1}, 10, []string{"5%"}, Pass},
		"a little slower":   {map[string]float64{"throughput": 0.97}, 10, []string{"5%"}, Pass},
		"a tail that grew":  {map[string]float64{"ack.p99": 1.2}, 10, []string{"5%"}, Fail},
		"allowed to":        {map[string]float64{"ack.p99": 1.2}, 10, []string{"5%", "ack.p99=30%"}, Pass},
		"nobody looks":      {map[string]float64{"rss.max": 2}, 10, []string{"5%"}, Pass},
		"somebody does":     {map[string]float64{"rss.max": 2}, 10, []string{"rss.max=50%"}, Fail},
		"too few to say so": {map[string]float64{"throughput": 0.9}, 3, []string{"5%"}, Inconclusive},
	} {
		g, err := ParseGate(tc.gate)
		require.NoError(t, err)
		c := simulated(rng, tc.rounds, noise, tc.changed)
		g.Apply(c)
		require.Equal(t, tc.want, c.Gate.Outcome, "%s: %v", name, c.Gate.Regressions)
		require.Equal(t, tc.want == Fail, len(c.Gate.Regressions) > 0, name)
	}
}

func TestUnlike(t *testing.T) {
	run := func(edit func(*Run)) *Run {
		r := &Run{ID: "r", Env: Env{CPUModel: "m", CPUs: 2}, Trial: Trial{Scenario: "s", Promise: "page-cache", Steady: Phase{LenS: 5}}, Verdict: Verdict{Outcome: Pass}}
		if edit != nil {
			edit(r)
		}
		return r
	}
	refused, flagged := Unlike([]*Run{run(nil), run(func(r *Run) { r.Trial.Steady.LenS = 5.02 })})
	require.Empty(t, refused)
	require.Empty(t, flagged)
	for what, edit := range map[string]func(*Run){
		"machines":  func(r *Run) { r.Env.CPUs = 4 },
		"durations": func(r *Run) { r.Trial.Steady.LenS = 10 },
		"rates":     func(r *Run) { r.Trial.Steady.ScheduledRate = 1000 },
		"scenarios": func(r *Run) { r.Trial.Scenario = "t" },
		"VIOLATION": func(r *Run) { r.Verdict.Outcome = Violation },
	} {
		refused, _ := Unlike([]*Run{run(nil), run(edit)})
		require.Len(t, refused, 1, what)
		require.Contains(t, refused[0], what)
	}
	refused, flagged = Unlike([]*Run{run(nil), run(func(r *Run) { r.Trial.Promise = "group" })})
	require.Empty(t, refused)
	require.Len(t, flagged, 1)
	require.Contains(t, flagged[0], "group; page-cache")
}

// Stored runs are independent samples: the interval of their ratio is found
// where the truth lies 19 of 20 times, and nothing is called too often.
func TestUnpairedRatio(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	sample := func(n int, at, sd float64) (v []float64) {
		for range n {
			v = append(v, at*math.Exp(rng.NormFloat64()*sd))
		}
		return v
	}
	covered, n := 0, 200
	for range n {
		r := UnpairedRatio(sample(10, 100, 0.02), sample(8, 95, 0.04))
		if r.Lo <= 0.95 && 0.95 <= r.Hi {
			covered++
		}
	}
	t.Logf("covered %d of %d", covered, n)
	require.GreaterOrEqual(t, covered, n*9/10)
	r := UnpairedRatio([]float64{1, 1, 1, 1, 1}, []float64{2, 2, 2, 2, 2, 2})
	require.Equal(t, 2.0, r.Value)
	require.True(t, r.Different)
	require.Zero(t, UnpairedRatio(nil, []float64{1}).Rounds)
}
