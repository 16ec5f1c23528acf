package diskio

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// forEachLog runs a test over every combination of alternatives and file
// systems: whoever joins a table is in.
func forEachLog(t *testing.T, run func(t *testing.T, fs FS, dir string, cfg Config)) {
	systems := []struct {
		name string
		make func(t *testing.T) (FS, string)
	}{
		{"os", func(t *testing.T) (FS, string) { return OS(), t.TempDir() }},
		{"mem", func(t *testing.T) (FS, string) { return NewMem(), "/data" }},
		{"fault", func(t *testing.T) (FS, string) { return NewFault(NewMem()), "/data" }},
	}
	for _, sys := range systems {
		for _, mode := range appendModes.names() {
			for _, path := range readPaths.names() {
				for _, policy := range syncPolicies.names() {
					name := fmt.Sprintf("fs=%s/append.mode=%s/read.path=%s/sync.policy=%s", sys.name, mode, path, policy)
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						cfg := small()
						cfg.AppendMode, cfg.ReadPath, cfg.SyncPolicy = mode, path, policy
						cfg.SyncInterval = time.Millisecond
						fs, dir := sys.make(t)
						run(t, fs, join(dir, "events-0"), cfg)
					})
				}
			}
		}
	}
}

// TestLogConformance: what is appended is what is read, from any offset, in
// any portion, before and after a reopening, and the promise comes.
func TestLogConformance(t *testing.T) {
	forEachLog(t, func(t *testing.T, fs FS, dir string, cfg Config) {
		l := openLog(t, fs, dir, cfg, Options{})
		s := NewSyncer(cfg)
		defer s.Close()
		held := make(chan int64, 1000)
		p := s.Attach(l, func(upTo int64, err error) {
			if err != nil {
				t.Error(err)
			}
			held <- upTo
		})
		var promised int64
		for i := range 30 {
			base := l.End()
			if i%3 == 0 {
				a := testBatch(t, base, 3, 40+i*5, 1000+base)
				b := testBatch(t, base+3, 1, 10, 1003+base)
				require.NoError(t, l.Append(a, b))
			} else {
				require.NoError(t, l.Append(testBatch(t, base, 1+i%4, 30, 1000+base)))
			}
			if p.Appended(l.End()) {
				promised = l.End()
			}
		}
		end := l.End()
		for promised < end {
			select {
			case promised = <-held:
			case <-time.After(10 * time.Second):
				t.Fatalf("promise holds up to %d of %d", promised, end)
			}
		}
		if cfg.SyncPolicy == SyncGroup || cfg.SyncPolicy == SyncEach {
			require.GreaterOrEqual(t, l.Synced(), end)
		}
		require.Greater(t, l.Segments(), 2)
		readEverywhere(t, l)
		p.Detach()
		require.NoError(t, l.Close())
		_, err := l.Read(0, 100, end)
		require.ErrorIs(t, err, ErrClosed)

		l = openLog(t, fs, dir, cfg, Options{Clean: true, RecoveryPoint: end})
		require.True(t, l.Recovery().Clean)
		require.Equal(t, end, l.End())
		require.Equal(t, end, l.Synced())
		readEverywhere(t, l)
		appendN(t, l, 20, 50)
		readEverywhere(t, l)
		require.NoError(t, l.Close())

		l = openLog(t, fs, dir, cfg, Options{Clean: false, RecoveryPoint: 0})
		require.Empty(t, l.Recovery().Cut)
		require.Equal(t, l.Segments(), l.Recovery().Segments)
		readEverywhere(t, l)
		require.NoError(t, l.Remove())
	})
}

// readEverywhere reads l from every offset, with portions from nothing to all.
func readEverywhere(t *testing.T, l *Log) {
	t.Helper()
	end := l.End()
	for _, limit := range []int{0, 150, 1000, 1 << 20} {
		for from := l.Start(); from < end; from += 11 {
			next, err := readAll(l, from, end, limit)
			require.NoError(t, err, "from %d limit %d", from, limit)
			require.Equal(t, end, next)
		}
	}
	for upTo := l.Start(); upTo < end; upTo += 9 {
		_, err := readAll(l, l.Start(), upTo, 500)
		require.NoError(t, err, "up to %d", upTo)
	}
	sp, err := l.Read(end, 100, end)
	require.NoError(t, err)
	require.Nil(t, sp)
	_, err = l.Read(end+1, 100, end)
	require.ErrorIs(t, err, ErrOutOfRange)
	_, err = l.Read(l.Start()-1, 100, end)
	require.ErrorIs(t, err, ErrOutOfRange)
}
