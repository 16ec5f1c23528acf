package netio

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPools: every alternative gives what was asked, keeps nothing too large,
// and counts.
func TestPools(t *testing.T) {
	for _, p := range pools {
		t.Run("pool="+p.name, func(t *testing.T) {
			var st PoolStats
			pool := p.make(&st)
			pool.Put(nil)
			require.Zero(t, st.Puts.Load())
			seen := map[*Buffer]bool{}
			var out []*Buffer
			for _, n := range []int{0, 1, 255, 256, 257, 4096, 4097, 64 << 10, 512 << 10, 1<<20 + 20, maxPooled, maxPooled + 1} {
				for range 3 {
					b := pool.Get(n)
					require.Len(t, b.B, n)
					require.False(t, seen[b], "given out twice")
					seen[b] = true
					out = append(out, b)
				}
			}
			for i, b := range out {
				if i%2 == 0 {
					b.B = append(b.B, make([]byte, 777)...) // a reply may grow its buffer
				}
				pool.Put(b)
			}
			require.EqualValues(t, 36, st.Gets.Load())
			require.EqualValues(t, 36, st.Puts.Load())
			require.Positive(t, st.Allocs.Load())
			require.GreaterOrEqual(t, st.Dropped.Load(), int64(3), "larger than maxPooled")
			for n := range 5000 {
				b := pool.Get(n)
				require.Len(t, b.B, n)
				pool.Put(b)
			}
		})
	}
}

// TestClasses: the smallest class that holds n, at most a quarter above it.
func TestClasses(t *testing.T) {
	require.Equal(t, maxPooled, classSize(classCount-1))
	for i := 1; i < classCount; i++ {
		require.Greater(t, classSize(i), classSize(i-1))
		require.Equal(t, i, classFor(classSize(i)))
		require.Equal(t, i, classFor(classSize(i-1)+1))
		require.LessOrEqual(t, classSize(i)*4, classSize(i-1)*5)
	}
	require.Equal(t, 0, classFor(0))
	require.Equal(t, 0, classFor(256))
}
