package diskio

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"time"

	"millrace/batching"

	"github.com/stretchr/testify/require"
)

// TestMetamorphic: the same random operations under random settings give the
// same answers. What depends on settings by right, how far one span reaches, is
// kept out of them.
func TestMetamorphic(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for round := range uint64(6) {
		seed := seed + round
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			t.Logf("to repeat: seed %d", seed)
			settings := rand.New(rand.NewPCG(seed, 2))
			var want []string
			for variant := range 5 {
				cfg, fs, dir := randomSettings(t, settings, variant)
				got := transcript(t, fs, dir, cfg, seed)
				if variant == 0 {
					want = got
					require.Greater(t, len(want), 100)
					continue
				}
				require.Equal(t, want, got, "with %+v", cfg)
			}
		})
	}
}

func randomSettings(t *testing.T, rng *rand.Rand, variant int) (Config, FS, string) {
	cfg := Defaults()
	cfg.SegmentBytes = []int64{700, 1500, 5000, 1 << 20}[rng.IntN(4)]
	cfg.IndexIntervalBytes = []int64{0, 100, 1000, 1 << 20}[rng.IntN(4)]
	cfg.SegmentIndexBytes = []int64{64, 1 << 16}[rng.IntN(2)]
	cfg.SegmentTime = []time.Duration{3 * time.Millisecond, time.Hour}[rng.IntN(2)]
	cfg.Preallocate = rng.IntN(2) == 0
	cfg.AppendMode = appendModes[rng.IntN(len(appendModes))].name
	cfg.ReadPath = readPaths[rng.IntN(len(readPaths))].name
	if variant%2 == 0 {
		return cfg, NewMem(), "/d/a-0"
	}
	return cfg, OS(), join(t.TempDir(), "a-0")
}

// transcript runs the operations of a seed and writes down every answer.
func transcript(t *testing.T, fs FS, dir string, cfg Config, seed uint64) []string {
	ops := rand.New(rand.NewPCG(seed, 3))
	l := openLog(t, fs, dir, cfg, Options{})
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for range 120 {
		start, end := l.Start(), l.End()
		switch k := ops.IntN(20); {
		case k < 9:
			var bs []batching.Batch
			next := end
			for range 1 + ops.IntN(3) {
				bs = append(bs, scriptBatch(next, ops))
				next = bs[len(bs)-1].NextOffset()
			}
			require.NoError(t, l.Append(bs...))
		case k < 14:
			from, upTo := start+ops.Int64N(end-start+1), start+ops.Int64N(end-start+1)
			limit := ops.IntN(2000)
			next, err := readAll(l, from, upTo, limit)
			say("read %d to %d: next %d %v sum %08x", from, upTo, next, err, sumOf(t, l, from, upTo))
		case k < 15:
			ms := 1000 + ops.Int64N(6000)
			offset, ts, epoch, err := l.OffsetForTime(ms)
			say("time %d: %d %d %d %v", ms, offset, ts, epoch, err)
			offset, ts, epoch, err = l.MaxTimestamp()
			// Of equal greatest timestamps any will do.
			say("newest: %v %d %d %v", offset >= 0, ts, epoch, err)
		case k < 16:
			to := end - ops.Int64N(min(10, end-start+1))
			require.NoError(t, l.Truncate(to))
		case k < 17:
			require.NoError(t, l.AdvanceStart(start+ops.Int64N(end-start+1)/4))
		case k < 18:
			require.NoError(t, l.Sync())
			say("synced %v", l.Synced() == l.End())
		default:
			o := Options{Clean: k == 18, RecoveryPoint: l.Synced(), Start: l.Start()}
			if o.Clean {
				require.NoError(t, l.Close())
			} else {
				l.flushers.Wait()
				l.releaseAll() // killed: all is in the page cache
			}
			l = openLog(t, fs, dir, cfg, o)
			require.Empty(t, l.Recovery().Cut)
		}
		say("%d to %d, epochs %v", l.Start(), l.End(), l.Epochs().All())
	}
	require.NoError(t, l.Close())
	v, err := Verify(fs, dir)
	require.NoError(t, err)
	require.Empty(t, v.Faults)
	return out
}

func sumOf(t *testing.T, l *Log, from, upTo int64) uint32 {
	var sum uint32
	require.NoError(t, l.Scan(from, upTo, func(b batching.Batch) error {
		sum = crc32.Update(sum, castagnoli, b.Bytes())
		return nil
	}))
	return sum
}
