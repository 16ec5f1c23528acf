package diskio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"testing"

	"millrace/batching"

	"github.com/stretchr/testify/require"
)

// TestTornTail: real files, cut at every byte of the last two batches, or with
// rubbish after them.
func TestTornTail(t *testing.T) {
	dir := join(t.TempDir(), "events-0")
	l := openLog(t, OS(), dir, small(), Options{})
	bases := appendN(t, l, 32, 60)
	end := l.End()
	s := l.active()
	require.NoError(t, l.Close())
	name := s.path(logSuffix)
	good, err := os.ReadFile(name)
	require.NoError(t, err)
	var starts []int64 // of the batches of the last segment, and its end
	for at := int64(0); at < int64(len(good)); {
		h, err := parseHeader(good[at:], at)
		require.NoError(t, err)
		starts = append(starts, at)
		at += h.size
	}
	starts = append(starts, int64(len(good)))
	require.Greater(t, len(starts), 3)
	before := func(size int64) (pos, offset int64) {
		for i := len(starts) - 1; ; i-- {
			if starts[i] <= size {
				if i == len(starts)-1 {
					return starts[i], end
				}
				return starts[i], bases[len(bases)-len(starts)+1+i]
			}
		}
	}
	check := func(what string, bytesNow []byte, pos, offset int64) {
		require.NoError(t, os.WriteFile(name, bytesNow, 0o644))
		l := openLog(t, OS(), dir, small(), Options{})
		require.Equal(t, offset, l.End(), what)
		if r := l.Recovery(); int64(len(bytesNow)) == pos {
			require.Empty(t, r.Cut, what)
		} else {
			require.Len(t, r.Cut, 1, what)
			require.Equal(t, name, r.Cut[0].File)
			require.Equal(t, []int64{pos, int64(len(bytesNow)) - pos, offset}, []int64{r.Cut[0].Position, r.Cut[0].Bytes, r.Cut[0].Offset}, what)
			require.NotEmpty(t, r.Cut[0].Reason)
		}
		next, err := readAll(l, 0, l.End(), 500)
		require.NoError(t, err, what)
		require.Equal(t, offset, next)
		l.releaseAll() // as a kill leaves it
	}
	for size := starts[len(starts)-3]; size <= int64(len(good)); size += 5 {
		pos, offset := before(size)
		check(fmt.Sprintf("cut at %d", size), bytes.Clone(good[:size]), pos, offset)
	}
	lying := bytes.Clone(good[:batching.HeaderSize])
	binary.BigEndian.PutUint64(lying, uint64(end))
	binary.BigEndian.PutUint32(lying[8:], 1<<31-1-12)
	noise := make([]byte, 300)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for what, tail := range map[string][]byte{
		"zeros": make([]byte, 5000), "one byte": {0}, "noise": noise, "lying length": lying,
		"an older batch again": good[:starts[1]],
	} {
		check(what, append(bytes.Clone(good), tail...), int64(len(good)), end)
	}
}

// TestRecoveryDropsWhatFollows: a fault in the middle takes everything after it.
func TestRecoveryDropsWhatFollows(t *testing.T) {
	fs := NewMem()
	l := openLog(t, fs, "/d/a-0", small(), Options{})
	appendN(t, l, 60, 50)
	segs := *l.segs.Load()
	require.Greater(t, len(segs), 4)
	end := l.End()
	second, _ := segs[1].end()
	require.NoError(t, l.Close())

	name := segs[2].path(logSuffix)
	b, err := readFile(fs, name, 1<<20)
	require.NoError(t, err)
	b[30] ^= 1
	require.NoError(t, writeFileSync(fs, name, b))
	require.NoError(t, writeFileSync(fs, "/d/a-0/notes.txt", []byte("mine")))
	require.NoError(t, writeFileSync(fs, "/d/a-0/00000000000000777777.index", nil))
	require.NoError(t, writeFileSync(fs, "/d/a-0/00000000000000000000.log.deleted", nil))

	clone := fs.CrashClone(Crash{Seed: 1, Survives: 1})
	l = openLog(t, clone, "/d/a-0", small(), Options{RecoveryPoint: segs[2].base + 1})
	r := l.Recovery()
	require.Equal(t, second, l.End())
	require.Equal(t, int64(1), r.Missing, "offset %d had been promised", segs[2].base)
	require.Len(t, r.Cut, len(segs)-2)
	require.Equal(t, []string{"notes.txt"}, r.Stray)
	require.ElementsMatch(t, []string{"00000000000000777777.index", "00000000000000000000.log.deleted"}, r.Removed)
	require.Equal(t, 1, r.Segments, "nothing below the recovery point is read")
	next, err := readAll(l, 0, l.End(), 500)
	require.NoError(t, err)
	require.Equal(t, second, next)
	require.NoError(t, l.Close())
	v, err := Verify(clone, "/d/a-0")
	require.NoError(t, err)
	require.Empty(t, v.Faults)

	// Above the fault, a recovery point keeps it from being looked at; reading
	// there says what is wrong, and the log goes on.
	l = openLog(t, fs, "/d/a-0", small(), Options{RecoveryPoint: end})
	require.Equal(t, end, l.End())
	_, err = readAll(l, segs[3].base, end, 500)
	require.NoError(t, err)
	require.NoError(t, l.Failed())
	require.NoError(t, l.Close())
}

// TestRecoveryGaps: a hole between segments is a loss, unless the topic is
// compacted.
func TestRecoveryGaps(t *testing.T) {
	fs := NewMem()
	l := openLog(t, fs, "/d/a-0", small(), Options{})
	appendN(t, l, 40, 50)
	segs := *l.segs.Load()
	end := l.End()
	first, _ := segs[0].end()
	require.NoError(t, l.Close())
	require.NoError(t, fs.Remove(segs[1].path(logSuffix)))
	for _, gaps := range []bool{true, false} {
		clone := fs.CrashClone(Crash{Survives: 1})
		l = openLog(t, clone, "/d/a-0", small(), Options{Gaps: gaps})
		if !gaps {
			require.Equal(t, first, l.End())
			require.NoError(t, l.Close())
			continue
		}
		require.Equal(t, end, l.End())
		sp, err := l.Read(first, 100, end)
		require.NoError(t, err)
		require.Equal(t, segs[2].base, sp.FirstOffset(), "reading goes on after the hole")
		sp.Release()
		// And an append may leave one.
		require.NoError(t, l.Append(testBatch(t, end+100, 1, 10, 1)))
		sp, err = l.Read(end, 100, l.End())
		require.NoError(t, err)
		require.Equal(t, end+100, sp.FirstOffset())
		sp.Release()
		require.NoError(t, l.Close())
	}
}

func TestPreallocated(t *testing.T) {
	dir := join(t.TempDir(), "a-0")
	cfg := small()
	cfg.Preallocate, cfg.SegmentBytes = true, 1<<20
	l := openLog(t, OS(), dir, cfg, Options{})
	appendN(t, l, 10, 50)
	_, size := l.active().end()
	fi, err := os.Stat(l.active().path(logSuffix))
	require.NoError(t, err)
	require.Equal(t, size, fi.Size(), "what is reserved must not show as length")
	l.releaseAll() // killed
	l = openLog(t, OS(), dir, cfg, Options{})
	require.Empty(t, l.Recovery().Cut)
	require.NoError(t, l.Close())
}

// FuzzRecover: whatever lies in the files, opening does not panic nor take
// memory that the files do not justify; what it then shows can be read; and a
// clean stop after it leaves nothing to complain of.
//
// Run it with -fuzzminimizetime=20x: the inputs are kilobytes, and minimizing one
// takes a minute otherwise.
func FuzzRecover(f *testing.F) {
	seed := NewMem()
	l, err := Open(seed, "/d/a-0", small(), Options{Logger: quiet})
	if err != nil {
		f.Fatal(err)
	}
	appendN(f, l, 12, 60)
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	read := func(base int64, suffix string) []byte {
		b, err := readFile(seed, "/d/a-0/"+segmentName(base, suffix), 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	a, b := read(0, logSuffix), read(l2base(seed), logSuffix)
	f.Add(a, b, read(0, indexSuffix), read(0, timeSuffix), true, false)
	f.Add(a, b, read(0, indexSuffix), read(0, timeSuffix), false, true)
	f.Add(a[:len(a)-10], b, []byte{1}, []byte{2}, false, false)
	f.Add(append(bytes.Clone(a), make([]byte, 100)...), b, []byte{}, []byte{}, true, true)
	f.Fuzz(func(t *testing.T, log, log2, index, times []byte, clean, seal bool) {
		if seal { // else the checksum keeps most of what is made up out
			resealBatches(log)
			resealBatches(log2)
		}
		fs := NewMem()
		dir := "/d/a-0"
		require.NoError(t, fs.MkdirAll(dir))
		second := l2base(seed)
		for name, b := range map[string][]byte{
			segmentName(0, logSuffix): log, segmentName(0, indexSuffix): index, segmentName(0, timeSuffix): times,
			segmentName(second, logSuffix): log2, segmentName(second, indexSuffix): index, segmentName(second, timeSuffix): times,
		} {
			require.NoError(t, writeFileSync(fs, join(dir, name), b))
		}
		l, err := Open(fs, dir, small(), Options{Clean: clean, Logger: quiet})
		if err != nil {
			return
		}
		at := l.Start()
		for steps := 0; at < l.End() && steps < 1000; steps++ {
			sp, err := l.Read(at, 300, l.End())
			if err != nil || sp == nil {
				// Trust was asked for and not deserved, or the values are not ours.
				require.True(t, clean, "recovered, yet offset %d cannot be read: %v", at, err)
				break
			}
			require.Greater(t, sp.NextOffset(), at)
			at = sp.NextOffset()
			sp.Release()
		}
		_, _, _, _ = l.OffsetForTime(1010)
		if l.End() > 1<<62 {
			return
		}
		if err := l.Append(testBatch(t, l.End(), 1, 10, 1)); err != nil || clean {
			return
		}
		require.NoError(t, l.Close())
		l, err = Open(fs, dir, small(), Options{Clean: true, Logger: quiet})
		require.NoError(t, err)
		require.Empty(t, l.Recovery().Cut)
		require.NoError(t, l.Close())
	})
}

// resealBatches makes the checksums of what looks like batches right.
func resealBatches(b []byte) {
	for len(b) >= batching.HeaderSize {
		n, err := batching.PeekSize(b)
		if err != nil || n > len(b) {
			return
		}
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[crcFrom:n], castagnoli))
		b = b[n:]
	}
}

// l2base is the base of the second segment.
func l2base(fs *MemFS) int64 {
	entries, _ := fs.ReadDir("/d/a-0")
	for _, e := range entries {
		if base, suffix, ok := parseSegmentName(e.Name); ok && suffix == logSuffix && base > 0 {
			return base
		}
	}
	panic("one segment only")
}

func FuzzCheckpoints(f *testing.F) {
	f.Add([]byte("0\n2\nevents 0 1042\nevents 1 998\n"))
	f.Add([]byte("0\n2\n0 0\n3 1042\n"))
	f.Add([]byte("version: 0\ntopic_id: 2MwPGE6kQseWUJ6pJFQewQ\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := NewMem()
		d, err := OpenDir(fs, "/d")
		require.NoError(t, err)
		for _, name := range []string{string(RecoveryPoints), epochsFile, PartitionMetadataFile} {
			require.NoError(t, writeFileSync(fs, "/d/"+name, b))
		}
		if m, err := d.Offsets(RecoveryPoints); err == nil {
			require.NoError(t, d.SetOffsets(RecoveryPoints, m))
			again, err := d.Offsets(RecoveryPoints)
			require.NoError(t, err)
			require.Equal(t, m, again)
		}
		if e, err := openEpochs(fs, "/d"); err == nil {
			e.dirty = true
			require.NoError(t, e.store())
			again, err := openEpochs(fs, "/d")
			require.NoError(t, err)
			require.Equal(t, e.All(), again.All())
		}
		_, _ = ReadPartitionMetadata(fs, "/d")
	})
}
