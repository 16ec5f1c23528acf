package results

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	require.Equal(t, 3.0, Median([]float64{9, 1, 3}))
	require.Equal(t, 2.5, Median([]float64{4, 1, 2, 3}))
	require.True(t, math.IsNaN(Median(nil)))
	v := []float64{2, 1}
	Median(v)
	require.Equal(t, []float64{2, 1}, v, "the caller's values stay as they are")
}

// Holm's own worked example: 0.01, 0.04, 0.03, 0.005 of four tests.
func TestHolm(t *testing.T) {
	require.InDeltaSlice(t, []float64{0.03, 0.06, 0.06, 0.02}, Holm([]float64{0.01, 0.04, 0.03, 0.005}), 1e-12)
	require.Equal(t, []float64{1}, Holm([]float64{1}))
	require.Empty(t, Holm(nil))
}

// With three against three and no overlap there are 20 orders, two of them as
// extreme: p = 0.1.
func TestMannWhitney(t *testing.T) {
	require.InDelta(t, 0.1, MannWhitney([]float64{1, 2, 3}, []float64{4, 5, 6}), 1e-12)
	require.InDelta(t, 2.0/252, MannWhitney([]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}), 1e-12)
	require.Equal(t, 1.0, MannWhitney(nil, []float64{1}))
}

func TestPairedRatio(t *testing.T) {
	a := []float64{100, 110, 90, 105, 95}
	b := make([]float64, len(a))
	for i := range a {
		b[i] = a[i] * 1.1
	}
	r := PairedRatio(a, b)
	require.InDelta(t, 1.1, r.Value, 1e-9, "drift of the host that both sides share drops out")
	require.True(t, r.Different)
	require.Equal(t, 5, r.Rounds)
	require.Equal(t, r, PairedRatio(a, b), "the same rounds give the same interval")

	r = PairedRatio([]float64{1, 2}, []float64{2, 4})
	require.Equal(t, 2.0, r.Value)
	require.False(t, r.Different, "two rounds show nothing")
	require.NotEmpty(t, r.Note)

	r = PairedRatio([]float64{0, math.Inf(1)}, []float64{1, 1})
	require.Zero(t, r.Rounds)
	require.Zero(t, r.Value)
}

// rounds simulates n rounds of A and B with a drift that both share and noise
// of their own; B is faster by the factor.
func rounds(rng *rand.Rand, n int, factor, noise float64) (a, b []float64) {
	drift := 0.0
	for range n {
		drift += rng.NormFloat64() * 0.02
		a = append(a, 1e5*math.Exp(drift+rng.NormFloat64()*noise))
		b = append(b, 1e5*factor*math.Exp(drift+rng.NormFloat64()*noise))
	}
	return a, b
}

// A against A is called different about as often as the interval admits, 5 %:
// over 400 comparisons at most 32 (a rate of 5 % exceeds that once in a
// hundred times; a rate of 10 %, the plain percentile bootstrap's, nearly
// always). A true 5 % is found in at least nine of ten at 2 % noise.
func TestInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 7))
	comparisons, most := 400, 32
	if testing.Short() {
		comparisons, most = 50, 8
	}
	false_, found := 0, 0
	for range comparisons {
		if a, b := rounds(rng, 10, 1, 0.03); PairedRatio(a, b).Different {
			false_++
		}
	}
	for range 50 {
		if a, b := rounds(rng, 10, 0.95, 0.02); PairedRatio(a, b).Different {
			found++
		}
	}
	t.Logf("A against A called different %d of %d times, a 5 %% difference found %d of 50 times", false_, comparisons, found)
	require.LessOrEqual(t, false_, most)
	require.GreaterOrEqual(t, found, 45)
}
