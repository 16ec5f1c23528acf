package diskio

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTruncate: from every offset, on every alternative path, with and without
// a span that holds the bytes.
func TestTruncate(t *testing.T) {
	for _, path := range readPaths.names() {
		for _, held := range []bool{false, true} {
			t.Run("read.path="+path+"/held="+map[bool]string{true: "yes", false: "no"}[held], func(t *testing.T) {
				t.Parallel()
				cfg := small()
				cfg.ReadPath = path
				dir := join(t.TempDir(), "events-0")
				l := openLog(t, OS(), dir, cfg, Options{})
				appendN(t, l, 40, 40)
				var spans []*Span
				var before [][]byte
				for to := l.End() + 1; to >= 0; to -= 9 {
					if held && l.End() > 0 {
						sp, err := l.Read(max(l.End()-3, 0), 1<<20, l.End())
						require.NoError(t, err)
						b, err := spanBytes(sp)
						require.NoError(t, err)
						spans, before = append(spans, sp), append(before, b)
					}
					end := l.End()
					require.NoError(t, l.Truncate(to))
					require.LessOrEqual(t, l.End(), to)
					require.Greater(t, l.End(), min(to, end)-5, "cut no more than the batch that holds the offset")
					require.LessOrEqual(t, l.Synced(), l.End())
					appendN(t, l, 2, 70) // other bytes where the old ones were
					next, err := readAll(l, 0, l.End(), 500)
					require.NoError(t, err)
					require.Equal(t, l.End(), next)
				}
				for i, sp := range spans {
					now, err := spanBytes(sp)
					require.NoError(t, err)
					require.Equal(t, before[i], now, "a span's bytes changed under it")
					sp.Release()
				}
				require.NoError(t, l.Close())
				v, err := Verify(OS(), dir)
				require.NoError(t, err)
				require.Empty(t, v.Faults)
				l = openLog(t, OS(), dir, cfg, Options{Clean: true})
				_, err = readAll(l, 0, l.End(), 500)
				require.NoError(t, err)
				require.NoError(t, l.Close())
			})
		}
	}
}

func TestResetAndStart(t *testing.T) {
	fs := NewMem()
	l := openLog(t, fs, "/d/a-0", small(), Options{Start: 500})
	require.Equal(t, int64(500), l.Start())
	appendN(t, l, 20, 40)
	sp, err := l.Read(500, 100, l.End())
	require.NoError(t, err)
	require.NoError(t, l.Reset(500))
	require.Equal(t, int64(500), l.End())
	require.Equal(t, int64(500), l.Synced())
	b, err := spanBytes(sp)
	require.NoError(t, err)
	require.NotEmpty(t, b)
	sp.Release()
	appendN(t, l, 5, 40)
	_, err = readAll(l, 500, l.End(), 100)
	require.NoError(t, err)
	require.NoError(t, l.Truncate(100), "below the first segment")
	require.Equal(t, int64(100), l.Start())
	require.Equal(t, int64(100), l.End())
	appendN(t, l, 5, 40)

	require.ErrorIs(t, l.AdvanceStart(l.End()+1), ErrOutOfRange)
	require.NoError(t, l.AdvanceStart(103))
	require.NoError(t, l.AdvanceStart(101), "never back")
	require.Equal(t, int64(103), l.Start())
	_, err = l.Read(102, 10, l.End())
	require.ErrorIs(t, err, ErrOutOfRange)
	end := l.End()
	require.NoError(t, l.Close())
	// What DeleteRecords hid stays hidden, even if the tail was lost.
	l = openLog(t, fs, "/d/a-0", small(), Options{Start: end + 10})
	require.Equal(t, end+10, l.Start())
	require.Equal(t, end+10, l.End())
	require.NoError(t, l.Close())
}

func TestRetain(t *testing.T) {
	dir := join(t.TempDir(), "a-0")
	cfg := small()
	cfg.RetentionBytes = 5000
	cfg.RetentionTime = -1
	l := openLog(t, OS(), dir, cfg, Options{})
	appendN(t, l, 100, 50)
	first, err := l.Read(0, 1<<20, l.End())
	require.NoError(t, err)

	n, err := l.Retain(time.Now(), 0)
	require.NoError(t, err)
	require.Zero(t, n, "nothing lies below the high watermark")
	n, err = l.Retain(time.Now(), l.End())
	require.NoError(t, err)
	require.NotZero(t, n)
	require.GreaterOrEqual(t, l.Size(), int64(5000))
	require.Less(t, l.Size(), int64(5000+2*cfg.SegmentBytes))
	require.Equal(t, (*l.segs.Load())[0].base, l.Start())
	_, err = os.Stat(join(dir, logName(0)))
	require.ErrorIs(t, err, os.ErrNotExist)
	b, err := spanBytes(first)
	require.NoError(t, err)
	require.Len(t, b, int(first.Len()), "a span outlives its segment's files")
	first.Release()

	// By the log's start.
	require.NoError(t, l.AdvanceStart(l.End()-1))
	_, err = l.Retain(time.Now(), l.End())
	require.NoError(t, err)
	require.LessOrEqual(t, l.Segments(), 2)
	require.NoError(t, l.Close())

	// By age, the active segment included; times come from the files.
	cfg.RetentionBytes, cfg.RetentionTime = -1, time.Hour
	l = openLog(t, OS(), dir, cfg, Options{Clean: true, Start: l.Start()})
	appendN(t, l, 30, 50)
	end := l.End()
	_, newest, _, err := l.MaxTimestamp()
	require.NoError(t, err)
	n, err = l.Retain(time.UnixMilli(newest).Add(time.Hour), end)
	require.NoError(t, err)
	require.Less(t, n, 30)
	require.Greater(t, end, l.Start(), "the newest record is not yet too old")
	_, err = l.Retain(time.UnixMilli(newest).Add(time.Hour+time.Millisecond), end)
	require.NoError(t, err)
	require.Equal(t, end, l.Start())
	require.Equal(t, end, l.End())
	require.Equal(t, 1, l.Segments())
	require.Zero(t, l.Size())
	appendN(t, l, 3, 10)
	require.NoError(t, l.Close())
	v, err := Verify(OS(), dir)
	require.NoError(t, err)
	require.Empty(t, v.Faults)
}

func TestRollByTimeAndIndex(t *testing.T) {
	cfg := Defaults()
	cfg.SegmentTime = time.Second
	l := openLog(t, NewMem(), "/d/a-0", cfg, Options{})
	require.NoError(t, l.Append(testBatch(t, 0, 1, 10, 5000)))
	require.NoError(t, l.Append(testBatch(t, 1, 1, 10, 6000)))
	require.Equal(t, 1, l.Segments(), "a second is not more than a second")
	require.NoError(t, l.Append(testBatch(t, 2, 1, 10, 6001)))
	require.Equal(t, 2, l.Segments())
	require.NoError(t, l.Close())

	cfg = Defaults()
	cfg.IndexIntervalBytes, cfg.SegmentIndexBytes = 0, 80
	l = openLog(t, NewMem(), "/d/a-0", cfg, Options{})
	appendN(t, l, 100, 10)
	require.Greater(t, l.Segments(), 10)
	for _, s := range *l.segs.Load() {
		e, err := s.entries()
		require.NoError(t, err)
		require.LessOrEqual(t, len(e)*indexEntrySize, 80)
		require.LessOrEqual(t, len(s.times.final()), 80)
	}
	_, err := readAll(l, 0, l.End(), 100)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

// TestIdleIndexes: what no one looks into leaves memory, and comes back.
func TestIdleIndexes(t *testing.T) {
	cfg := small()
	l := openLog(t, NewMem(), "/d/a-0", cfg, Options{})
	appendN(t, l, 60, 50)
	require.NoError(t, l.Sync())
	loaded := func() (n int) {
		for _, s := range *l.segs.Load() {
			if _, ok := s.index.loaded(); ok {
				n++
			}
		}
		return n
	}
	retain := func() {
		n, err := l.Retain(time.UnixMilli(2000), l.End())
		require.NoError(t, err)
		require.Zero(t, n)
	}
	retain()
	retain()
	require.Equal(t, 1, loaded(), "the active one's")
	for at := int64(0); at < l.End(); at += 3 {
		_, err := readAll(l, at, l.End(), 300)
		require.NoError(t, err)
	}
	require.Equal(t, l.Segments(), loaded())
	offset, _, _, err := l.OffsetForTime(1010)
	require.NoError(t, err)
	require.Equal(t, int64(10), offset)
	retain()
	require.Equal(t, l.Segments(), loaded(), "it was in use")
	retain()
	require.Equal(t, 1, loaded())
	require.NoError(t, l.Close())
}

func TestConfigure(t *testing.T) {
	cfg := small()
	l := openLog(t, NewMem(), "/d/a-0", cfg, Options{})
	require.ErrorIs(t, l.Append(testBatch(t, 0, 1, 3000, 1)), ErrTooLarge)
	require.NoError(t, l.Failed())
	require.Zero(t, l.End())
	cfg.SegmentBytes = 10_000
	l.Configure(cfg)
	require.NoError(t, l.Append(testBatch(t, 0, 1, 3000, 1)))
	appendN(t, l, 10, 100)
	require.Equal(t, 1, l.Segments())
	require.NoError(t, l.Close())
}

func TestOffsetForTime(t *testing.T) {
	l := openLog(t, NewMem(), "/d/a-0", small(), Options{})
	defer l.Close()
	ts, o, _, err := l.OffsetForTime(0)
	require.NoError(t, err)
	require.Equal(t, []int64{-1, -1}, []int64{ts, o})
	// Times are 1000+offset, but one late batch in the middle.
	appendN(t, l, 20, 50)
	late := l.End()
	require.NoError(t, l.Append(testBatch(t, late, 2, 50, 400)))
	appendN(t, l, 20, 50)
	end := l.End()
	reopen := func(clean bool) {
		require.NoError(t, l.Close())
		l = openLog(t, l.fs, l.dir, *l.cfg.Load(), Options{Clean: clean})
	}
	for round := range 3 {
		for ms := int64(990); ms < 1000+end; ms++ {
			want := max(ms-1000, 0)
			if want == late || want == late+1 {
				want = late + 2
			}
			o, ts, epoch, err := l.OffsetForTime(ms)
			require.NoError(t, err)
			require.Equal(t, want, o, "ms %d round %d", ms, round)
			require.Equal(t, 1000+want, ts)
			require.Zero(t, epoch)
		}
		o, _, _, err := l.OffsetForTime(1000 + end)
		require.NoError(t, err)
		require.Equal(t, int64(-1), o)
		o, ts, _, err := l.MaxTimestamp()
		require.NoError(t, err)
		require.Equal(t, []int64{end - 1, 999 + end}, []int64{o, ts})
		reopen(round == 0)
	}
	require.NoError(t, l.AdvanceStart(30))
	o, _, _, err = l.OffsetForTime(0)
	require.NoError(t, err)
	require.Equal(t, int64(30), o)
}

func TestEpochs(t *testing.T) {
	fs := NewMem()
	l := openLog(t, fs, "/d/a-0", small(), Options{})
	put := func(epoch int32) {
		b := testBatch(t, l.End(), 10, 10, 1)
		b.SetLeaderEpoch(epoch)
		require.NoError(t, l.Append(b))
	}
	put(0)
	put(0)
	put(2)
	l.Epochs().Assign(5, l.End())
	l.Epochs().Assign(6, l.End()) // wrote nothing under 5
	put(6)
	want := []Epoch{{0, 0}, {2, 20}, {6, 30}}
	require.Equal(t, want, l.Epochs().All())
	for _, c := range []struct {
		ask, epoch int32
		end        int64
	}{{0, 0, 20}, {1, 0, 20}, {2, 2, 30}, {4, 2, 30}, {6, 6, 40}, {7, -1, -1}, {-1, -1, -1}, {-2, -2, 0}} {
		epoch, end := l.Epochs().EndFor(c.ask, l.End())
		require.Equal(t, c.epoch, epoch, c)
		require.Equal(t, c.end, end, c)
	}
	require.Equal(t, int32(2), l.Epochs().At(25))
	require.NoError(t, l.Close())
	l = openLog(t, fs, "/d/a-0", small(), Options{Clean: true})
	require.Equal(t, want, l.Epochs().All())
	require.Equal(t, int32(6), l.Epochs().Latest())
	require.NoError(t, l.AdvanceStart(25))
	require.Equal(t, []Epoch{{2, 25}, {6, 30}}, l.Epochs().All())
	require.NoError(t, l.Truncate(30))
	require.Equal(t, []Epoch{{2, 25}}, l.Epochs().All())
	put(8)
	require.NoError(t, l.Sync())
	require.NoError(t, l.Close())
	// The file is lost: what the batches say comes back.
	require.NoError(t, fs.Remove("/d/a-0/"+epochsFile))
	l = openLog(t, fs, "/d/a-0", small(), Options{})
	require.Equal(t, []Epoch{{0, 0}, {2, 20}, {8, 30}}, l.Epochs().All())
	require.NoError(t, l.Close())
	require.NoError(t, writeFileSync(fs, "/d/a-0/"+epochsFile, []byte("garbage")))
	l = openLog(t, fs, "/d/a-0", small(), Options{})
	require.Equal(t, int32(8), l.Epochs().Latest())
	require.NoError(t, l.Close())
}
