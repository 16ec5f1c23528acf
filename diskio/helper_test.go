package diskio

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"millrace/batching"

	"github.com/stretchr/testify/require"
)

// quiet is a logger for tests that provoke failures.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// every is the stride of a test that goes through all calls of a script: under
// -short, as with the race detector, it takes some of them.
func every(stride int64) int64 {
	if testing.Short() {
		return stride
	}
	return 1
}

// testBatch is a batch of count records from offset base on, each about size
// bytes, stamped ms, ms+1, ... Every value starts with its offset, so that a
// reader can tell what it got.
func testBatch(tb testing.TB, base int64, count, size int, ms int64) batching.Batch {
	tb.Helper()
	b := batching.NewBuilder(batching.Options{})
	for i := range count {
		v := make([]byte, max(size, 8))
		binary.BigEndian.PutUint64(v, uint64(base)+uint64(i))
		for j := 8; j < len(v); j++ {
			v[j] = byte(base + int64(i*7+j*13))
		}
		require.NoError(tb, b.Append(ms+int64(i), []byte("k"), v, nil))
	}
	raw, err := b.Build(nil)
	require.NoError(tb, err)
	batch, err := batching.View(raw)
	require.NoError(tb, err)
	batch.SetBaseOffset(base)
	batch.SetLeaderEpoch(0)
	return batch
}

// small is a Config that rolls and indexes often.
func small() Config {
	c := Defaults()
	c.SegmentBytes = 2000
	c.IndexIntervalBytes = 256
	c.SegmentIndexBytes = 1 << 16
	return c
}

func openLog(tb testing.TB, fs FS, dir string, cfg Config, o Options) *Log {
	tb.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	l, err := Open(fs, dir, cfg, o)
	require.NoError(tb, err)
	return l
}

// appendN appends n batches of 1 to 5 records each, one call a batch, and
// returns all their base offsets.
func appendN(tb testing.TB, l *Log, n, size int) []int64 {
	tb.Helper()
	var bases []int64
	for i := range n {
		base := l.End()
		require.NoError(tb, l.Append(testBatch(tb, base, 1+i%5, size, 1000+base)))
		bases = append(bases, base)
	}
	return bases
}

// readAll reads [from, upTo) in steps of limit bytes and checks that what comes
// is whole, sound, contiguous and carries the values that testBatch gave it.
// It returns the offset after the last batch.
func readAll(l *Log, from, upTo int64, limit int) (int64, error) {
	at := from
	for steps := 0; at < upTo; steps++ {
		if steps > 1_000_000 {
			return at, fmt.Errorf("no end in sight at offset %d", at)
		}
		sp, err := l.Read(at, limit, upTo)
		if err != nil {
			return at, fmt.Errorf("read at %d: %w", at, err)
		}
		if sp == nil {
			return at, nil
		}
		next, err := checkSpan(sp, at, limit, upTo)
		sp.Release()
		if err != nil {
			return at, err
		}
		at = next
	}
	return at, nil
}

// spanBytes takes the span's bytes by the way it offers.
func spanBytes(sp *Span) ([]byte, error) {
	if b := sp.Bytes(); b != nil {
		return append([]byte(nil), b...), nil
	}
	b := make([]byte, sp.Len())
	if f, off, ok := sp.File(); ok {
		_, err := f.ReadAt(b, off)
		return b, err
	}
	_, err := sp.ReadAt(b, 0)
	return b, err
}

func checkSpan(sp *Span, at int64, limit int, upTo int64) (next int64, err error) {
	raw, err := spanBytes(sp)
	if err != nil {
		return at, fmt.Errorf("span at %d: %w", at, err)
	}
	first := true
	for b := raw; len(b) > 0; first = false {
		batch, err := batching.View(b)
		if err != nil {
			return at, fmt.Errorf("span at %d: part of a batch: %w", at, err)
		}
		if err := batch.CheckCRC(); err != nil {
			return at, err
		}
		switch {
		case first && (batch.BaseOffset() != sp.FirstOffset() || batch.BaseOffset() > at || batch.LastOffset() < at):
			return at, fmt.Errorf("asked for %d, got batch %d to %d, FirstOffset %d", at, batch.BaseOffset(), batch.LastOffset(), sp.FirstOffset())
		case !first && batch.BaseOffset() != at:
			return at, fmt.Errorf("expected offset %d, got %d", at, batch.BaseOffset())
		case batch.LastOffset() >= upTo:
			return at, fmt.Errorf("batch %d to %d reaches past %d", batch.BaseOffset(), batch.LastOffset(), upTo)
		case !first && len(raw) > limit:
			return at, fmt.Errorf("%d bytes in more than one batch, limit is %d", len(raw), limit)
		}
		for r, err := range batch.Records(0) {
			if err != nil {
				return at, err
			}
			if got := int64(binary.BigEndian.Uint64(r.Value)); got != batch.Offset(r) {
				return at, fmt.Errorf("record at %d holds the value of %d", batch.Offset(r), got)
			}
		}
		at = batch.NextOffset()
		b = b[batch.Size():]
	}
	if at != sp.NextOffset() {
		return at, fmt.Errorf("NextOffset is %d, the last batch ends before %d", sp.NextOffset(), at)
	}
	return at, nil
}
