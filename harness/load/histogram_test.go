package load

import (
	"math/rand/v2"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"
)

// What our places hold is what HdrHistogram would hold: the same counts at the
// same values, the edges of every doubling included.
func TestHistogramIsHDR(t *testing.T) {
	want := hdrhistogram.New(int64(HistogramLowest), int64(HistogramHighest), HistogramDigits)
	h := NewHistogram()
	record := func(v, n int64) {
		h.Record(v, n)
		require.NoError(t, want.RecordValues(v, n))
	}
	for shift := range 42 {
		for d := int64(-1); d <= 1; d++ {
			if v := int64(1)<<shift + d; v <= int64(HistogramHighest) {
				record(v, 1)
			}
		}
	}
	record(int64(HistogramHighest), 3)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		record(rng.Int64N(1<<rng.IntN(41)+1), 1+rng.Int64N(3))
	}
	require.True(t, want.Equals(h.HDR()))
	require.Equal(t, want.TotalCount(), h.Count())
	require.Equal(t, want.Max(), int64(h.Max()))
	require.Equal(t, want.Min(), int64(h.Min()))
	for _, p := range []float64{0, 1, 50, 99, 99.9, 99.999, 100} {
		require.Equal(t, want.ValueAtPercentile(p), int64(h.Percentile(p)), p)
	}

	sum := NewHistogram()
	sum.Merge(h)
	sum.Merge(h)
	want.Merge(hdrhistogram.Import(want.Export()))
	require.True(t, want.Equals(sum.HDR()))
	h.reset()
	require.Zero(t, h.Count())
	require.Zero(t, h.HDR().TotalCount())
	h.Record(5, 1)
	require.EqualValues(t, 1, h.HDR().TotalCount())
}

// Every place is its own, and in order.
func TestPlaces(t *testing.T) {
	for at := range places {
		require.Equal(t, at, placeOf(valueAt(at)))
	}
	require.Equal(t, 0, placeOf(0))
	require.Equal(t, places-1, placeOf(int64(HistogramHighest)))
}
