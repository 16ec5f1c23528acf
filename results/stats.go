package results

import (
	"math"
	"math/rand/v2"
	"sort"

	"golang.org/x/perf/benchmath"
)

// Median of the values; NaN of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := append([]float64{}, values...)
	sort.Float64s(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Ratio is how one alternative stands to another: B over A, round by round.
type Ratio struct {
	Value  float64 `json:"ratio"` // geometric mean of the rounds' ratios; 1.05: B is 5 % more; 0: no round
	Lo     float64 `json:"lo"`    // bootstrap 95 % interval; both 0: too few rounds for one
	Hi     float64 `json:"hi"`
	Rounds int     `json:"rounds"`
	P      float64 `json:"p"`      // Mann-Whitney over the values of both sides
	PHolm  float64 `json:"p_holm"` // corrected for the other comparisons of the table
	// Different says that the interval leaves 1 out, by more than the noise
	// floor where one is known. Otherwise print ~.
	Different bool   `json:"different"`
	Note      string `json:"note,omitempty"`
}

// minRounds is the fewest rounds from which an interval is drawn. Below it the
// resamples repeat the same few values, and an interval would claim a
// certainty that is not there.
const minRounds = 5

// resamples of the bootstrap: the 2.5 % ends then rest on 250 values each.
const resamples = 10_000

// PairedRatio compares two alternatives that ran in the same rounds: a[i] and b[i]
// belong together. Rounds in which either is not positive are left out.
//
// The interval is a bootstrap-t over the mean of the logarithms of the rounds'
// ratios. The plain percentile bootstrap is too narrow for ten rounds (it
// covers about 90 % where it says 95 %), and would call noise a difference
// twice as often as it admits; the tests show the coverage of this one.
// The seed is fixed: the same rounds always give the same interval.
func PairedRatio(a, b []float64) Ratio {
	var logs []float64
	var as, bs []float64
	for i := range min(len(a), len(b)) {
		if a[i] > 0 && b[i] > 0 && !math.IsInf(a[i], 0) && !math.IsInf(b[i], 0) {
			logs = append(logs, math.Log(b[i]/a[i]))
			as, bs = append(as, a[i]), append(bs, b[i])
		}
	}
	r := Ratio{Rounds: len(logs), P: 1, PHolm: 1}
	if len(logs) == 0 {
		r.Note = "no round has both values"
		return r
	}
	mean, sd := meanSD(logs)
	r.Value = math.Exp(mean)
	r.P = MannWhitney(as, bs)
	r.PHolm = r.P
	switch {
	case len(logs) < minRounds:
		r.Note = "too few rounds for an interval"
		return r
	case sd == 0:
		r.Lo, r.Hi = r.Value, r.Value
	default:
		lo, hi := bootstrapT(logs, mean, sd)
		r.Lo, r.Hi = math.Exp(lo), math.Exp(hi)
	}
	r.Different = r.Lo > 1 || r.Hi < 1
	return r
}

// bootstrapT is the 95 % interval of the mean of v by the studentised
// bootstrap: how far a resample's mean lies from the sample's, in the
// resample's own standard errors.
func bootstrapT(v []float64, mean, sd float64) (lo, hi float64) {
	rng := rand.New(rand.NewPCG(1, uint64(len(v))))
	n := len(v)
	se := sd / math.Sqrt(float64(n))
	ts := make([]float64, 0, resamples)
	draw := make([]float64, n)
	for range resamples {
		for i := range draw {
			draw[i] = v[rng.IntN(n)]
		}
		m, s := meanSD(draw)
		if s < sd*1e-9 { // all the same value drawn: no standard error to divide by
			continue
		}
		ts = append(ts, (m-mean)/(s/math.Sqrt(float64(n))))
	}
	sort.Float64s(ts)
	if len(ts) == 0 {
		return mean, mean
	}
	at := func(q float64) float64 { return ts[min(int(q*float64(len(ts))), len(ts)-1)] }
	return mean - at(0.975)*se, mean - at(0.025)*se
}

func meanSD(v []float64) (mean, sd float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	if len(v) < 2 {
		return mean, 0
	}
	for _, x := range v {
		sd += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(sd / float64(len(v)-1))
}

// MannWhitney is the two-sided p that two samples come from the same
// distribution; 1 where either is empty.
func MannWhitney(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 1
	}
	sample := func(v []float64) *benchmath.Sample {
		return benchmath.NewSample(append([]float64{}, v...), &benchmath.DefaultThresholds)
	}
	return benchmath.AssumeNothing.Compare(sample(a), sample(b)).P
}

// Holm corrects p values for having been looked at together, in place order.
func Holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return ps[order[i]] < ps[order[j]] })
	out := make([]float64, len(ps))
	worst := 0.0
	for rank, i := range order {
		worst = max(worst, min(1, ps[i]*float64(len(ps)-rank)))
		out[i] = worst
	}
	return out
}
