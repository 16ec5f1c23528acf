package diskio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"millrace/batching"

	"github.com/stretchr/testify/require"
)

// kv is a record of these tests; a nil value is a tombstone.
type kv struct {
	key   string
	value []byte
}

// keyed is a batch of records from offset base on.
func keyed(tb testing.TB, base, ms int64, o batching.Options, records ...kv) batching.Batch {
	tb.Helper()
	b := batching.NewBuilder(o)
	for i, r := range records {
		require.NoError(tb, b.Append(ms+int64(i), []byte(r.key), r.value, []batching.Header{{Key: []byte("h"), Value: []byte(r.key)}}))
	}
	return sealed(tb, b, base)
}

func sealed(tb testing.TB, b *batching.Builder, base int64) batching.Batch {
	raw, err := b.Build(nil)
	require.NoError(tb, err)
	batch, err := batching.View(raw)
	require.NoError(tb, err)
	batch.SetBaseOffset(base)
	batch.SetLeaderEpoch(0)
	return batch
}

// held is a record as a reader finds it.
type held struct {
	offset int64
	key    string
	value  string
	null   bool
}

// contents is all records from start on, in order.
func contents(l *Log) (out []held, err error) {
	at := int64(-1)
	err = l.Scan(l.Start(), l.End(), func(b batching.Batch) error {
		if err := b.CheckCRC(); err != nil {
			return err
		}
		if b.BaseOffset() <= at {
			return fmt.Errorf("batch at %d after offset %d", b.BaseOffset(), at)
		}
		at = b.LastOffset()
		for r, err := range b.Records(0) {
			if err != nil {
				return err
			}
			if len(r.Headers) != 1 || string(r.Headers[0].Value) != string(r.Key) {
				return fmt.Errorf("headers of %d are not its own", b.Offset(r))
			}
			out = append(out, held{b.Offset(r), string(r.Key), string(r.Value), r.Value == nil})
		}
		return nil
	})
	return out, err
}

// history is what was appended, and so what compaction must keep.
type history struct {
	records []held
	ms      []int64
}

// check compares what a log holds with the history: nothing that was not
// written, every key's newest record there unless it is a tombstone, and no
// older value of a key in front of a tombstone that is gone. cleaned is the
// offset below which only newest records may stand.
func (h *history) check(l *Log, cleaned int64) error {
	got, err := contents(l)
	if err != nil {
		return err
	}
	newest, below := map[string]held{}, map[string]int64{}
	for _, r := range h.records {
		if r.offset >= l.End() {
			break
		}
		if r.offset < l.Start() {
			continue // a first segment that was never synced
		}
		newest[r.key] = r
		if r.offset < cleaned {
			below[r.key] = r.offset
		}
	}
	seen := map[string]held{}
	for _, r := range got {
		if r.offset >= int64(len(h.records)) || h.records[r.offset] != r {
			return fmt.Errorf("%v was never written", r)
		}
		if last, ok := below[r.key]; ok && r.offset < last {
			return fmt.Errorf("%v is older than %d, and the log is compacted to %d", r, last, cleaned)
		}
		seen[r.key] = r
	}
	for k, r := range newest {
		switch s, ok := seen[k]; {
		case ok && s != r:
			return fmt.Errorf("newest of %q is %v, expected %v", k, s, r)
		case !ok && !r.null:
			return fmt.Errorf("%v is lost", r)
		}
	}
	return nil
}

func (h *history) append(tb testing.TB, l *Log, rng *rand.Rand, keys int, ms int64) {
	base := l.End()
	codec := batching.Codecs()[rng.IntN(len(batching.Codecs()))]
	var rs []kv
	for i := range 1 + rng.IntN(4) {
		r := kv{key: fmt.Sprint("k", rng.IntN(keys))}
		if rng.IntN(5) > 0 {
			r.value = []byte(fmt.Sprint(base+int64(i), "-", rng.Uint64(), "-", rng.Uint64()))
		}
		rs = append(rs, r)
		h.records = append(h.records, held{base + int64(i), r.key, string(r.value), r.value == nil})
		h.ms = append(h.ms, ms+int64(i))
	}
	require.NoError(tb, l.Append(keyed(tb, base, ms, batching.Options{Codec: codec}, rs...)))
}

func compactConfig() Config {
	c := small()
	c.SegmentBytes = 1200
	return c
}

var day0 = time.UnixMilli(1_000_000)

func TestCompactKeepsNewest(t *testing.T) {
	for _, fs := range []FS{NewMem(), OS()} {
		dir := "/d/a-0"
		if fs == OS() {
			dir = t.TempDir() + "/a-0"
		}
		l := openLog(t, fs, dir, compactConfig(), Options{})
		h := &history{}
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range 200 {
			h.append(t, l, rng, 10, int64(1000+i*10))
		}
		before, segs, end := l.Size(), l.Segments(), l.End()
		o := CompactOptions{UpTo: end, Now: day0, DeleteRetention: time.Second, Buffer: 1 << 20}
		c, err := l.Compact(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, l.active().base, c.To)
		require.False(t, c.More)
		require.NoError(t, h.check(l, c.To))
		require.Less(t, l.Size(), before/5)
		require.Equal(t, end, l.End())
		v, err := Verify(fs, dir)
		require.NoError(t, err)
		require.Empty(t, v.Faults)

		// The second time joins what the first made small, as Kafka does; then
		// there is nothing to do.
		o.From = c.To
		for range 5 {
			c, err = l.Compact(t.Context(), o)
			require.NoError(t, err)
			require.NoError(t, h.check(l, c.To))
		}
		require.Less(t, l.Segments(), segs/4)
		require.Zero(t, c.Written)
		tombs := tombstones(t, l, c.To)
		require.NotZero(t, tombs, "their horizon has not come")

		// After the horizon the tombstones go, also after a restart.
		require.NoError(t, l.Close())
		l = openLog(t, fs, dir, compactConfig(), Options{Clean: true, RecoveryPoint: end})
		o.Now = day0.Add(2 * time.Second)
		_, err = l.Compact(t.Context(), o)
		require.NoError(t, err)
		require.NoError(t, h.check(l, c.To))
		require.Zero(t, tombstones(t, l, c.To))
		lookups(t, l, h)
		require.NoError(t, l.Close())
		l = openLog(t, fs, dir, compactConfig(), Options{})
		require.Empty(t, l.Recovery().Cut, "a hole is no loss")
		require.Equal(t, end, l.End())
		require.NoError(t, h.check(l, c.To))
		lookups(t, l, h)
		require.NoError(t, l.Close())
	}
}

func tombstones(t *testing.T, l *Log, below int64) (n int) {
	got, err := contents(l)
	require.NoError(t, err)
	for _, r := range got {
		if r.null && r.offset < below {
			n++
		}
	}
	return n
}

// lookups holds reads at every offset, and lookups of every time, against what
// a walk over the log finds.
func lookups(t *testing.T, l *Log, h *history) {
	got, err := contents(l)
	require.NoError(t, err)
	i := 0
	for at := l.Start(); at < l.End(); at++ {
		for i < len(got) && got[i].offset < at {
			i++
		}
		sp, err := l.Read(at, 1, l.End())
		require.NoError(t, err)
		require.NotNil(t, sp, "offset %d", at)
		require.Greater(t, sp.NextOffset(), at)
		if i < len(got) {
			require.LessOrEqual(t, sp.FirstOffset(), got[i].offset, "a read at %d passes over a record", at)
		}
		sp.Release()
	}
	last := h.ms[len(h.ms)-1]
	for ms := int64(990); ms <= last+1; ms += 7 {
		want := int64(-1)
		for _, r := range got {
			if h.ms[r.offset] >= ms {
				want = r.offset
				break
			}
		}
		offset, _, _, err := l.OffsetForTime(ms)
		require.NoError(t, err)
		require.Equal(t, want, offset, "time %d", ms)
	}
	offset, ms, _, err := l.MaxTimestamp()
	require.NoError(t, err)
	require.Equal(t, h.ms[offset], ms)
}

// TestCompactModel: random keys, sizes, buffers and times, with restarts.
// TestCompactReadersMove: though compaction leaves batches without records, a
// reader who goes from record to record finds each in his next answer, however
// little he asks for; and where no record is left he is still taken to the end.
func TestCompactReadersMove(t *testing.T) {
	for _, limit := range []int{0, 200, 1 << 20} {
		cfg := compactConfig()
		cfg.SegmentBytes = 200
		l := openLog(t, NewMem(), "/d/a-0", cfg, Options{})
		for i := range int64(300) { // three of four are of one key
			key := "dup"
			if i%4 == 0 {
				key = itoa(i)
			}
			require.NoError(t, l.Append(keyed(t, l.End(), 1, batching.Options{}, kv{key, []byte("v")})))
		}
		for range 2 { // deleted, and nothing after it: all that is before the active segment is empty
			_, err := l.Compact(t.Context(), CompactOptions{UpTo: l.End(), Now: day0, Buffer: 1 << 20})
			require.NoError(t, err)
			want, err := contents(l)
			require.NoError(t, err)
			at := l.Start()
			for len(want) > 0 {
				sp, err := l.Read(at, limit, l.End())
				require.NoError(t, err)
				require.NotNil(t, sp, "at %d of %d", at, l.End())
				at = sp.NextOffset()
				n := len(want)
				for len(want) > 0 && want[0].offset < at {
					want = want[1:]
				}
				require.Less(t, len(want), n, "an answer without records, up to %d", at)
				sp.Release()
			}
			for i := int64(0); i < 300; i++ {
				require.NoError(t, l.Append(keyed(t, l.End(), 1, batching.Options{}, kv{itoa(i), nil}, kv{"dup", nil})))
			}
			_, err = l.Compact(t.Context(), CompactOptions{UpTo: l.End(), Now: day0, Buffer: 1 << 20})
			require.NoError(t, err)
		}
		// Only up to what is left in front of the active segment.
		_, err := l.Compact(t.Context(), CompactOptions{UpTo: l.End(), Now: day0.Add(time.Hour), Buffer: 1 << 20})
		require.NoError(t, err)
		for at, upTo := l.Start(), l.active().base; at < upTo; {
			sp, err := l.Read(at, limit, upTo)
			require.NoError(t, err)
			require.NotNil(t, sp, "at %d of %d", at, upTo)
			at = sp.NextOffset()
			sp.Release()
		}
		require.NoError(t, l.Close())
	}
}

func TestCompactModel(t *testing.T) {
	for range 12 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			fs, cfg := NewMem(), compactConfig()
			cfg.SegmentBytes = 400 + rng.Int64N(3000)
			keys := 1 + rng.IntN(60)
			l := openLog(t, fs, "/d/a-0", cfg, Options{})
			h := &history{}
			now, ms, done := day0, int64(1000), int64(0)
			for range 60 {
				for range rng.IntN(12) {
					ms += rng.Int64N(50)
					h.append(t, l, rng, keys, ms)
				}
				o := CompactOptions{From: done, UpTo: l.End(), Now: now, DeleteRetention: time.Second, Buffer: 1 + rng.Int64N(80*keySize)}
				upTo := l.End()
				if rng.IntN(3) == 0 && len(h.records) > 0 {
					upTo = max(done, rng.Int64N(l.End()+1))
					o.UpTo = upTo
				}
				c, err := l.Compact(t.Context(), o)
				require.NoError(t, err)
				require.LessOrEqual(t, c.To, max(upTo, done))
				require.GreaterOrEqual(t, c.To, done)
				done = c.To
				require.NoError(t, h.check(l, done))
				now = now.Add(time.Duration(rng.Int64N(int64(time.Second))))
				if rng.IntN(6) == 0 {
					end := l.End()
					require.NoError(t, l.Close())
					l = openLog(t, fs, "/d/a-0", cfg, Options{Clean: rng.IntN(2) == 0, RecoveryPoint: rng.Int64N(end + 1)})
					require.Empty(t, l.Recovery().Cut)
					require.Equal(t, end, l.End())
					require.NoError(t, h.check(l, done))
				}
			}
			if len(h.records) > 0 && l.Size() > 0 {
				lookups(t, l, h)
			}
			v, err := Verify(fs, "/d/a-0")
			require.NoError(t, err)
			require.Empty(t, v.Faults)
			require.NoError(t, l.Close())
		})
	}
}

// compactScript appends, compacts and goes on until the disk fails. What it has
// been told stands in h and p.
func compactScript(fs FS, tb testing.TB, h *history) (done int64, synced int64, err error) {
	l, err := Open(fs, crashDir, compactConfig(), Options{Logger: quiet})
	if err != nil {
		return 0, 0, err
	}
	rng := rand.New(rand.NewPCG(3, 4))
	now := day0
	for round := range 3 {
		for i := range 25 {
			base := l.End()
			b, rs := randomKeyed(tb, rng, base, int64(1000+round*1000+i))
			if err := l.Append(b); err != nil {
				return done, synced, err
			}
			h.records = append(h.records, rs...)
		}
		if err := l.Sync(); err != nil {
			return done, synced, err
		}
		synced = l.Synced()
		// The transaction index is core's; here it only has to move along.
		for _, s := range *l.segs.Load() {
			if err := writeFileAtomic(fs, crashDir, segmentName(s.base, txnSuffix), fmt.Appendf(nil, "%d;", s.base)); err != nil {
				return done, synced, err
			}
		}
		c, err := l.Compact(context.Background(), CompactOptions{From: done, UpTo: l.End(), Now: now, DeleteRetention: time.Second, Buffer: 1 << 20})
		if err != nil {
			return done, synced, err
		}
		done, now = c.To, now.Add(3*time.Second)
	}
	return done, synced, l.Close()
}

func randomKeyed(tb testing.TB, rng *rand.Rand, base, ms int64) (batching.Batch, []held) {
	var rs []kv
	var hs []held
	for i := range 1 + rng.IntN(3) {
		r := kv{key: fmt.Sprint("k", rng.IntN(12))}
		if rng.IntN(3) > 0 {
			r.value = fmt.Appendf(nil, "%d-%x", base+int64(i), rng.Uint64())
		}
		rs = append(rs, r)
		hs = append(hs, held{base + int64(i), r.key, string(r.value), r.value == nil})
	}
	return keyed(tb, base, ms, batching.Options{}, rs...), hs
}

func TestCompactCrashAtEveryCall(t *testing.T) {
	finished, swapped := 0, 0
	for n := int64(1); ; n += every(7) {
		require.Less(t, n, int64(5000), "the script does not end")
		mem := NewMem()
		dying := NewFault(mem)
		dying.Set(Fault{Call: n, Err: syscall.EIO, Sticky: true, Short: true})
		h := &history{}
		done, synced, err := compactScript(dying, t, h)
		if err != nil {
			require.ErrorIs(t, err, syscall.EIO)
		}
		for j, survives := range []float64{0, 0.5, 1} {
			clone := mem.CrashClone(Crash{Seed: uint64(n)*10 + uint64(j), Survives: survives})
			if entries, err := clone.ReadDir(crashDir); err == nil {
				for _, e := range entries {
					if _, suffix, _ := parseSegmentName(e.Name); suffix == logSuffix+swapSuffix {
						swapped++
					}
				}
			}
			check := checkOnce
			if j == 1 {
				check = checkCompacted
			}
			require.NoError(t, check(clone, h, done, synced), "plug pulled at call %d, survives %v", n, survives)
		}
		if err == nil {
			finished++
			break
		}
	}
	require.NotZero(t, finished)
	require.NotZero(t, swapped, "no crash left a swap to finish")
}

// checkCompacted opens what a crash left, twice, and crashes the first opening
// halfway too.
func checkCompacted(fs *MemFS, h *history, done, synced int64) error {
	for call := int64(1); call < 60; call += 5 {
		clone := fs.CrashClone(Crash{Survives: 1})
		dying := NewFault(clone)
		dying.Set(Fault{Call: call, Err: syscall.EIO, Sticky: true})
		if l, err := Open(dying, crashDir, compactConfig(), Options{RecoveryPoint: synced, Logger: quiet}); err == nil {
			l.releaseAll()
			break
		}
		for seed := range uint64(2) {
			if err := checkOnce(clone.CrashClone(Crash{Seed: seed, Survives: 0.5}), h, done, synced); err != nil {
				return fmt.Errorf("recovery itself was cut off at call %d: %w", call, err)
			}
		}
	}
	return checkOnce(fs, h, done, synced)
}

func checkOnce(fs *MemFS, h *history, done, synced int64) error {
	l, err := Open(fs, crashDir, compactConfig(), Options{RecoveryPoint: synced, Logger: quiet})
	if err != nil {
		return err
	}
	defer l.Close()
	if l.End() < synced || l.Recovery().Missing > 0 {
		return fmt.Errorf("ends at %d, %d was synced", l.End(), synced)
	}
	if err := h.check(l, done); err != nil {
		return err
	}
	entries, err := fs.ReadDir(crashDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, suffix, ok := parseSegmentName(e.Name); ok && suffix != logSuffix && suffix != indexSuffix && suffix != timeSuffix && suffix != txnSuffix {
			return fmt.Errorf("%s was left", e.Name)
		}
	}
	if len(l.Recovery().Stray) > 0 {
		return fmt.Errorf("stray: %v", l.Recovery().Stray)
	}
	// It goes on: what was cut short is done again.
	c, err := l.Compact(context.Background(), CompactOptions{From: done, UpTo: l.End(), Now: day0.Add(time.Hour), DeleteRetention: time.Second, Buffer: 1 << 20})
	if err == nil {
		err = h.check(l, c.To)
	}
	if err != nil {
		return fmt.Errorf("compacted again to %d of %d: %w", c.To, l.End(), err)
	}
	return nil
}

// TestCompactCheckerCatches is the negative control: a disk that forgets what it
// said was synced, or an order of renames without SyncDir, must be caught.
func TestCompactCheckerCatches(t *testing.T) {
	caught := 0
	for n := int64(100); n < 700; n += 3 {
		mem := NewMem()
		liar := NewFault(mem)
		liar.Set(Fault{Op: "sync", Call: 1, Sticky: true, Lie: true})
		dying := NewFault(liar)
		dying.Set(Fault{Call: n, Err: syscall.EIO, Sticky: true})
		h := &history{}
		done, synced, _ := compactScript(dying, t, h)
		if checkOnce(mem.CrashClone(Crash{Seed: uint64(n), Survives: 0.5}), h, done, synced) != nil {
			caught++
		}
	}
	require.NotZero(t, caught)
}

// TestCompactFullDisk: without room compaction gives up and the log goes on.
func TestCompactFullDisk(t *testing.T) {
	fs := NewFault(NewMem())
	l := openLog(t, fs, "/d/a-0", compactConfig(), Options{})
	h := &history{}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		h.append(t, l, rng, 10, int64(1000+i*10))
	}
	require.NoError(t, l.Sync())
	o := CompactOptions{UpTo: l.End(), Now: day0, Buffer: 1 << 20}
	fs.Set(Fault{Op: "write", Call: 1, Err: syscall.ENOSPC, Short: true})
	_, err := l.Compact(t.Context(), o)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, l.Failed())
	require.NoError(t, h.check(l, 0))
	fs.Set(Fault{})
	c, err := l.Compact(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, h.check(l, c.To))
	require.NoError(t, l.Close())
}

func TestCompactBesideReaders(t *testing.T) {
	for _, path := range readPaths.names() {
		t.Run("read.path="+path, func(t *testing.T) {
			cfg := compactConfig()
			cfg.ReadPath = path
			dir := t.TempDir() + "/a-0"
			l := openLog(t, OS(), dir, cfg, Options{})
			h := &history{}
			rng := rand.New(rand.NewPCG(5, 6))
			for i := range 50 {
				h.append(t, l, rng, 20, int64(1000+i))
			}
			// A span that is out keeps the bytes it was given for.
			sp, err := l.Read(0, 600, l.End())
			require.NoError(t, err)
			want, err := spanBytes(sp)
			require.NoError(t, err)

			var stop atomic.Bool
			var wait sync.WaitGroup
			errs := make(chan error, 4)
			for range 3 {
				wait.Add(1)
				go func() {
					defer wait.Done()
					for !stop.Load() {
						if _, err := contents(l); err != nil {
							errs <- err
							return
						}
						if at, _, _, err := l.OffsetForTime(1000); err != nil || at < 0 {
							errs <- fmt.Errorf("lookup: %d %w", at, err)
							return
						}
					}
				}()
			}
			done := int64(0)
			for i := range 30 {
				for j := range 20 {
					h.append(t, l, rng, 20, int64(2000+100*i+j))
				}
				c, err := l.Compact(t.Context(), CompactOptions{From: done, UpTo: l.End(), Now: day0.Add(time.Duration(i) * time.Second), DeleteRetention: time.Second, Buffer: 1 << 20})
				require.NoError(t, err)
				done = c.To
			}
			stop.Store(true)
			wait.Wait()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}
			again, err := spanBytes(sp)
			require.NoError(t, err)
			require.Equal(t, want, again)
			sp.Release()
			require.NoError(t, h.check(l, done))
			require.NoError(t, l.Close())
		})
	}
}

// TestCompactTransactions: what was aborted goes; a marker goes when nothing of
// its transaction is left and its horizon has passed; the last batch of a
// producer that is still active stays, empty.
func TestCompactTransactions(t *testing.T) {
	fs := NewMem()
	l := openLog(t, fs, "/d/a-0", compactConfig(), Options{})
	txn := func(pid int64, rs ...kv) int64 {
		b := batching.NewBuilder(batching.Options{Transactional: true})
		b.SetProducer(pid, 0, 0)
		for _, r := range rs {
			require.NoError(t, b.Append(1000, []byte(r.key), r.value, []batching.Header{{Key: []byte("h"), Value: []byte(r.key)}}))
		}
		base := l.End()
		require.NoError(t, l.Append(sealed(t, b, base)))
		return base
	}
	mark := func(pid int64, commit bool) int64 {
		base := l.End()
		b, err := batching.View(batching.AppendMarker(nil, batching.Marker{ProducerID: pid, Commit: commit, Timestamp: 1000}))
		require.NoError(t, err)
		b.SetBaseOffset(base)
		b.SetLeaderEpoch(0)
		require.NoError(t, l.Append(b))
		return base
	}
	v := []byte("v")
	require.NoError(t, l.Append(keyed(t, l.End(), 1000, batching.Options{}, kv{"kept", []byte("before")})))
	first := txn(7, kv{"a", v}, kv{"b", v}, kv{"kept", v})
	last := mark(7, false) // aborted
	txn(8, kv{"a", []byte("old")})
	commit := mark(8, true)
	active := txn(9, kv{"c", v}) // superseded below, but producer 9 is active
	mark(9, true)
	require.NoError(t, l.Append(keyed(t, l.End(), 1000, batching.Options{}, kv{"a", []byte("new")}, kv{"c", []byte("new")})))
	for i := range 40 {
		require.NoError(t, l.Append(keyed(t, l.End(), 1000, batching.Options{}, kv{"filler", fmt.Appendf(nil, "%050d", i)})))
	}
	open := txn(10, kv{"a", []byte("undecided")})
	for range 40 {
		require.NoError(t, l.Append(keyed(t, l.End(), 1000, batching.Options{}, kv{"filler", make([]byte, 50)})))
	}
	o := CompactOptions{UpTo: open, Now: day0, DeleteRetention: time.Second, Buffer: 1 << 20,
		Aborted: []AbortedRange{{7, first, last}},
		Keeps:   func(p int64, _ int16, at int64) bool { return p == 9 && at == active }}
	batches := func() map[int64]int {
		out := map[int64]int{}
		require.NoError(t, l.Scan(0, l.End(), func(b batching.Batch) error { out[b.BaseOffset()] = b.Count(); return nil }))
		return out
	}
	for pass := range 3 {
		c, err := l.Compact(t.Context(), o)
		require.NoError(t, err)
		require.LessOrEqual(t, c.To, open)
		if pass < 2 {
			require.Contains(t, batches(), last, "a reader may still be among the records")
			require.Empty(t, c.Spent)
		} else {
			require.Equal(t, o.Aborted, c.Spent)
		}
		o.From, o.Now = c.To, o.Now.Add(2*time.Second)
	}
	got := batches()
	require.NotContains(t, got, first)
	require.NotContains(t, got, last)
	require.NotContains(t, got, commit)
	require.Contains(t, got, active)
	require.Zero(t, got[active])
	require.Equal(t, 1, got[open])
	all, err := contents2(l)
	require.NoError(t, err)
	require.Equal(t, "new", all["a"], "what is not decided does not count")
	require.Equal(t, "before", all["kept"], "nor does what was aborted")
	require.NoError(t, l.Close())
}

// contents2 is the newest value of each key in batches that are no markers and
// belong to no open transaction.
func contents2(l *Log) (map[string]string, error) {
	out := map[string]string{}
	err := l.Scan(l.Start(), l.End(), func(b batching.Batch) error {
		if b.IsControl() || b.IsTransactional() {
			return nil
		}
		for r, err := range b.Records(0) {
			if err != nil {
				return err
			}
			out[string(r.Key)] = string(r.Value)
		}
		return nil
	})
	return out, err
}

func TestCompactLimits(t *testing.T) {
	l := openLog(t, NewMem(), "/d/a-0", compactConfig(), Options{})
	h := &history{}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 100 {
		h.append(t, l, rng, 3, day0.UnixMilli()+int64(i*1000))
	}
	o := CompactOptions{UpTo: l.End(), Now: day0.Add(50 * time.Second), MinLag: 20 * time.Second, Buffer: 1 << 20}
	clean, dirty, oldest, err := l.Backlog(o)
	require.NoError(t, err)
	require.Zero(t, clean)
	require.NotZero(t, dirty)
	require.GreaterOrEqual(t, oldest, day0.UnixMilli())
	c, err := l.Compact(t.Context(), o)
	require.NoError(t, err)
	require.NotZero(t, c.To)
	require.Less(t, h.ms[c.To-1], day0.Add(30*time.Second).UnixMilli()+1)
	kept := 0
	got, err := contents(l)
	require.NoError(t, err)
	for _, r := range got {
		if r.offset >= c.To {
			kept++
		}
	}
	require.Equal(t, len(h.records)-int(c.To), kept, "what is younger than the lag is as it was")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.MinLag = 0
	_, err = l.Compact(ctx, o)
	require.True(t, errors.Is(err, context.Canceled))
	require.NoError(t, h.check(l, 0))
	require.NoError(t, l.Close())
	_, err = l.Compact(t.Context(), o)
	require.ErrorIs(t, err, ErrClosed)
}

// TestKafkaSwaps: what Kafka leaves when it is stopped while it replaces
// segments.
func TestKafkaSwaps(t *testing.T) {
	fs := NewMem()
	l := openLog(t, fs, "/d/a-0", small(), Options{})
	appendN(t, l, 40, 100)
	end, base := l.End(), (*l.segs.Load())[1].base
	require.NoError(t, l.Close())
	name := "/d/a-0/" + logName(base)
	b, err := readFile(fs, name, 1<<20)
	require.NoError(t, err)
	for _, cleaned := range []bool{true, false} {
		require.NoError(t, writeFileSync(fs, name+swapSuffix, b))
		require.NoError(t, writeFileSync(fs, name+".deleted", b))
		if cleaned { // not all of them were renamed: none counts
			require.NoError(t, writeFileSync(fs, "/d/a-0/"+segmentName(0, logSuffix+cleanedSuffix), b[:10]))
		}
		l = openLog(t, fs, "/d/a-0", small(), Options{Clean: true})
		require.Equal(t, end, l.End())
		next, err := readAll(l, 0, end, 1000)
		require.NoError(t, err)
		require.Equal(t, end, next)
		require.NoError(t, l.Close())
		_, err = fs.OpenFile(name+swapSuffix, os.O_RDONLY)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}
