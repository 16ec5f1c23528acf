package load

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRangeSetAgainstAMap does the same random things to a range set and to a
// plain map.
func TestRangeSetAgainstAMap(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var a, b rangeSet
		ma, mb := map[int64]bool{}, map[int64]bool{}
		fill := func(s *rangeSet, m map[int64]bool) {
			for range rng.IntN(30) {
				lo := rng.Int64N(60)
				hi := lo + 1 + rng.Int64N(8)
				var fresh int64
				for v := lo; v < hi; v++ {
					if !m[v] {
						fresh++
					}
					m[v] = true
				}
				require.Equal(t, fresh, s.add(lo, hi), "seed %d", seed)
			}
		}
		fill(&a, ma)
		fill(&b, mb)
		require.EqualValues(t, len(ma), a.n)
		for i, s := range a.spans {
			require.Less(t, s.lo, s.hi)
			require.True(t, i == 0 || a.spans[i-1].hi < s.lo, "seed %d: %v", seed, a.spans)
		}
		var common int64
		missing := map[int64]bool{}
		for v := int64(0); v < 80; v++ {
			require.Equal(t, ma[v], a.has(v), "seed %d value %d", seed, v)
			if ma[v] && mb[v] {
				common++
			}
			if ma[v] && !mb[v] {
				missing[v] = true
			}
		}
		require.Equal(t, common, a.common(&b), "seed %d", seed)
		got := map[int64]bool{}
		a.without(&b, func(s span) {
			for v := s.lo; v < s.hi; v++ {
				got[v] = true
			}
		})
		require.Equal(t, missing, got, "seed %d", seed)
	}
}

func TestRangeSetIsBounded(t *testing.T) {
	var s rangeSet
	for i := range int64(maxRanges + 10) {
		s.add(2*i, 2*i+1)
	}
	require.True(t, s.full())
	require.Len(t, s.spans, maxRanges)
	require.EqualValues(t, 10, s.refused)
	require.EqualValues(t, maxRanges, s.n)
	s.add(2*maxRanges-1, 2*maxRanges) // touches the last: no new range needed
	require.EqualValues(t, maxRanges+1, s.n)
	require.Zero(t, testing.AllocsPerRun(10, func() { s.add(s.spans[maxRanges-1].hi, s.spans[maxRanges-1].hi+100) }))
}
