//go:build !race

package diskio

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The race detector makes sync.Pool drop things at random, to find those who
// count on it, and so cannot count allocations.

// TestAllocs: an append, and a read with its release, cost no allocation, on
// real files, at the tail and behind it.
func TestAllocs(t *testing.T) {
	for _, mode := range appendModes.names() {
		for _, path := range readPaths.names() {
			t.Run("append.mode="+mode+"/read.path="+path, func(t *testing.T) {
				l := openLog(t, OS(), join(t.TempDir(), "a-0"), big(mode, path), Options{})
				defer l.Close()
				a, b := testBatch(t, 0, 10, 500, 1), testBatch(t, 0, 10, 500, 1)
				put := func() {
					base := l.End()
					a.SetBaseOffset(base)
					b.SetBaseOffset(base + 10)
					if err := l.Append(a, b); err != nil {
						t.Fatal(err)
					}
				}
				for range 600 {
					put()
				}
				// The index grows now and then: amortized to nothing.
				require.Zero(t, testing.AllocsPerRun(500, put), "append")
				read := func(offset int64) func() {
					return func() {
						sp, err := l.Read(offset, 100_000, l.End())
						if sp == nil || err != nil {
							t.Fatal(sp, err)
						}
						_, _, _ = sp.File()
						_ = sp.Bytes()
						_ = sp.Cached()
						sp.Release()
					}
				}
				require.Zero(t, testing.AllocsPerRun(500, read(l.End()-15)), "read at the tail")
				require.Zero(t, testing.AllocsPerRun(500, read(1234)), "read behind it")
			})
		}
	}
}

// TestAllocsSyncer: to ask for a promise costs none either.
func TestAllocsSyncer(t *testing.T) {
	for _, policy := range syncPolicies.names() {
		t.Run("sync.policy="+policy, func(t *testing.T) {
			cfg := Defaults()
			cfg.SyncPolicy = policy
			l := openLog(t, NewMem(), "/d/a-0", cfg, Options{})
			s := NewSyncer(cfg)
			done := make(chan struct{}, 10)
			p := s.Attach(l, func(int64, error) { done <- struct{}{} })
			ask := func() {
				if !p.Appended(0) {
					<-done
				}
			}
			for range 10 {
				ask()
			}
			require.Zero(t, testing.AllocsPerRun(300, ask))
			s.Close()
			require.NoError(t, l.Close())
		})
	}
}
