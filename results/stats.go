package results

import (
	"math"
	"math/rand/v2"
	"sort"

	"golang.org/x/perf/benchmath"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
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
	PHolm  float64 `json:"p_holm"` // corrected for the other alternatives
	// PMean is Student's t over the logarithms (of the rounds' ratios, where
	// they are paired). It tells further apart than ranks can, whose p over few
	// rounds cannot be small, and is what is corrected for the whole table.
	PMean float64 `json:"p_mean"`
	// Different says that the interval leaves 1 out, and that nothing else takes
	// it back: see Comparison.Judge. Otherwise print ~.
	Different bool   `json:"different"`
	Note      string `json:"note,omitempty"`
}

// minRounds is the fewest rounds from which an interval is drawn. Below it the
// resamples repeat the same few values, and an interval would claim a
// certainty that is not there.
const minRounds = 5

// resamples of the bootstrap: the 2.5 % ends then rest on 100 values each.
const resamples = 4_000

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
	r := Ratio{Rounds: len(logs), P: 1, PHolm: 1, PMean: 1}
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
	r.PMean = student(mean, sd/math.Sqrt(float64(len(logs))), float64(len(logs)-1))
	r.Different = r.Lo > 1 || r.Hi < 1
	return r
}

// student is the two-sided p of a mean with its standard error. No spread at
// all is no proof of certainty, but the values were the same each time.
func student(mean, se, freedom float64) float64 {
	if se == 0 {
		if mean == 0 {
			return 1
		}
		return 0
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}
	return 2 * t.Survival(math.Abs(mean/se))
}

// UnpairedRatio compares two alternatives whose runs have nothing in common but
// the machine: stored ones. The interval is the same bootstrap-t, each side
// resampled for itself, with the standard error of a difference of two means.
func UnpairedRatio(a, b []float64) Ratio {
	la, lb := logsOf(a), logsOf(b)
	r := Ratio{Rounds: min(len(la), len(lb)), P: 1, PHolm: 1, PMean: 1}
	if r.Rounds == 0 {
		r.Note = "one side has no value"
		return r
	}
	ma, sa := meanSD(la)
	mb, sb := meanSD(lb)
	r.Value = math.Exp(mb - ma)
	r.P = MannWhitney(la, lb)
	r.PHolm = r.P
	if r.Rounds < minRounds {
		r.Note = "too few runs for an interval"
		return r
	}
	se := func(sa, sb float64) float64 { return math.Sqrt(sa*sa/float64(len(la)) + sb*sb/float64(len(lb))) }
	whole := se(sa, sb)
	if whole == 0 {
		r.Lo, r.Hi = r.Value, r.Value
	} else {
		rng := rand.New(rand.NewPCG(1, uint64(len(la)+len(lb))))
		da, db := make([]float64, len(la)), make([]float64, len(lb))
		var ts []float64
		for range resamples {
			draw(rng, da, la)
			draw(rng, db, lb)
			xa, ya := meanSD(da)
			xb, yb := meanSD(db)
			if s := se(ya, yb); s > whole*1e-9 {
				ts = append(ts, (xb-xa-(mb-ma))/s)
			}
		}
		lo, hi := tails(ts)
		r.Lo, r.Hi = math.Exp(mb-ma-hi*whole), math.Exp(mb-ma-lo*whole)
	}
	// Welch's degrees of freedom: the sides need not vary alike.
	va, vb := sa*sa/float64(len(la)), sb*sb/float64(len(lb))
	freedom := 1.0
	if whole > 0 {
		freedom = (va + vb) * (va + vb) / (va*va/float64(len(la)-1) + vb*vb/float64(len(lb)-1))
	}
	r.PMean = student(mb-ma, whole, freedom)
	r.Different = r.Lo > 1 || r.Hi < 1
	return r
}

func logsOf(v []float64) (out []float64) {
	for _, x := range v {
		if x > 0 && !math.IsInf(x, 0) {
			out = append(out, math.Log(x))
		}
	}
	return out
}

// draw fills dst with values of v, each as likely as any.
func draw(rng *rand.Rand, dst, v []float64) {
	for i := range dst {
		dst[i] = v[rng.IntN(len(v))]
	}
}

// tails are the 2.5 % ends of ts; 0 of none.
func tails(ts []float64) (lo, hi float64) {
	if len(ts) == 0 {
		return 0, 0
	}
	sort.Float64s(ts)
	at := func(q float64) float64 { return ts[min(int(q*float64(len(ts))), len(ts)-1)] }
	return at(0.025), at(0.975)
}

// bootstrapT is the 95 % interval of the mean of v by the studentised
// bootstrap: how far a resample's mean lies from the sample's, in the
// resample's own standard errors.
func bootstrapT(v []float64, mean, sd float64) (lo, hi float64) {
	rng := rand.New(rand.NewPCG(1, uint64(len(v))))
	n := len(v)
	se := sd / math.Sqrt(float64(n))
	ts := make([]float64, 0, resamples)
	again := make([]float64, n)
	for range resamples {
		draw(rng, again, v)
		m, s := meanSD(again)
		if s < sd*1e-9 { // all the same value drawn: no standard error to divide by
			continue
		}
		ts = append(ts, (m-mean)/(s/math.Sqrt(float64(n))))
	}
	tlo, thi := tails(ts)
	return mean - thi*se, mean - tlo*se
}

func meanSD(v []float64) (mean, sd float64) {
	if len(v) < 2 {
		return stat.Mean(v, nil), 0
	}
	return stat.MeanStdDev(v, nil)
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
