package load

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var pacers = []Pacer{
	Constant(1), Constant(3), Constant(7777.7), Constant(50000), Constant(3e6), Constant(0.01),
	Ramp{0, 50000, 10 * time.Second}, Ramp{50000, 0, 10 * time.Second}, Ramp{100, 100, time.Second},
	Ramp{1000, 1001, time.Minute}, Ramp{0, 0, time.Second}, Ramp{1e6, 10, 3 * time.Second},
	Sine{1000, 1000, 10 * time.Second}, Sine{50000, 20000, time.Second}, Sine{5, 0, time.Second},
	NewSequence(Stretch{Constant(100), time.Second}, Stretch{Constant(0), 2 * time.Second}, Stretch{Constant(10000), 0}),
	NewSequence(Stretch{Ramp{0, 1000, time.Second}, time.Second}, Stretch{Constant(1000), time.Second}, Stretch{Constant(0), 0}),
	share{Constant(50000), 1, 3}, share{Ramp{0, 5000, 4 * time.Second}, 0, 2},
}

// TestPacerLaws holds every pacer to the contract of the interface.
func TestPacerLaws(t *testing.T) {
	for _, p := range pacers {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			require.Zero(t, p.Count(-1))
			total := p.Count(20 * time.Second)
			last := time.Duration(0)
			for i := range min(total, 5000) {
				at := p.At(i)
				require.GreaterOrEqual(t, at, last, "event %d", i)
				last = at
			}
			for range 2000 {
				d := time.Duration(rng.Int64N(int64(20 * time.Second)))
				n := p.Count(d)
				require.Greater(t, p.At(n), d, "event %d at %v", n, d)
				if n > 0 {
					require.LessOrEqual(t, p.At(n-1), d, "event %d at %v", n-1, d)
				}
			}
		})
	}
}

// TestPacerCounts checks totals that follow from the rates alone.
func TestPacerCounts(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		p    Pacer
		d    time.Duration
		want int64
	}{
		{Constant(50000), 15*s - 1, 750000},
		{Constant(0), 100 * s, 0},
		{Ramp{0, 1000, 10 * s}, 10*s - 1, 5000},
		{Ramp{1000, 0, 10 * s}, 60 * s, 5000},
		{Ramp{0, 1000, 10 * s}, 20*s - 1, 15000},
		{Sine{1000, 1000, 10 * s}, 20*s - 1, 20000},
		{NewSequence(Stretch{Constant(100), s}, Stretch{Constant(0), s}, Stretch{Constant(10), 0}), 3*s - 1, 110},
	} {
		require.InDelta(t, c.want, c.p.Count(c.d), 1, "%v", c.p)
	}
	require.Equal(t, Never, Constant(0).At(0))
	require.Equal(t, Never, Ramp{10, 0, s}.At(5))
}

// TestSharesPartition: the shares of n producers are the schedule, each event
// once.
func TestSharesPartition(t *testing.T) {
	p := Ramp{0, 9999, 3 * time.Second}
	for d := time.Duration(0); d < 4*time.Second; d += 37 * time.Millisecond {
		var sum int64
		for k := range int64(3) {
			sum += share{p, k, 3}.Count(d)
		}
		require.Equal(t, p.Count(d), sum, "at %v", d)
	}
	require.Equal(t, p.At(3*5+2), share{p, 2, 3}.At(5))
}

func BenchmarkPacerAt(b *testing.B) {
	for _, p := range []Pacer{Constant(3e6), Ramp{0, 5e6, time.Minute}, Sine{1e6, 5e5, time.Second}} {
		b.Run(fmt.Sprintf("pacer=%T", p), func(b *testing.B) {
			var sum time.Duration
			for i := range b.N {
				sum += p.At(int64(i) & 0xffffff)
			}
			_ = sum
		})
	}
}
