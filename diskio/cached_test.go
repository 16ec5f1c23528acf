package diskio

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// evict drops a clean file from the page cache.
func evict(t *testing.T, f *os.File) {
	t.Helper()
	require.NoError(t, f.Sync())
	require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// TestCached: what was just written is in the page cache, and what was thrown out
// of it is not, until Load.
func TestCached(t *testing.T) {
	l := openLog(t, OS(), join(t.TempDir(), "a-0"), Defaults(), Options{})
	defer l.Close()
	for range 40 {
		require.NoError(t, l.Append(testBatch(t, l.End(), 10, 5000, 1)))
	}
	sp, err := l.Read(0, 1<<20, l.End())
	require.NoError(t, err)
	defer sp.Release()
	require.True(t, sp.Cached())
	require.NoError(t, sp.Load())
	require.True(t, sp.Cached())
	if noCachestat.Load() {
		return // the kernel cannot say
	}
	require.NoError(t, l.Sync())
	evict(t, sp.file.os)
	require.False(t, sp.Cached())
	require.NoError(t, sp.Load())
	require.True(t, sp.Cached())
}
