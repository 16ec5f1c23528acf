package batching_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/batching"
)

// fuzzLimit bounds decompression in the fuzzers.
const fuzzLimit = 1 << 20

// FuzzView feeds raw bytes to everything that reads a batch. What passes the
// deepest check must come out of a Builder with the same records, and what a
// deeper check takes a shallower one must take.
func FuzzView(f *testing.F) {
	_, files := readGoldens(f)
	for _, raw := range files {
		if len(raw) < 8<<10 {
			f.Add(raw, false)
			f.Add(raw[:len(raw)*2/3], true)
		}
	}
	f.Add(batching.AppendMarker(nil, batching.Marker{Commit: true}), true)
	f.Fuzz(func(t *testing.T, raw []byte, seal bool) {
		if seal {
			// Else hardly any input would get past the checksum.
			raw = withRightCRC(raw)
		}
		v, err := batching.View(raw)
		if err != nil {
			requireTyped(t, err)
			for d := range batching.Depths() {
				_, err := (&batching.Policy{Depth: batching.Depth(d)}).Check(bytes.Clone(raw))
				requireTyped(t, err)
			}
			return
		}
		require.LessOrEqual(t, v.Size(), len(raw))
		requireTypedOrNil(t, v.CheckCRC())
		_, _, err = v.Marker()
		requireTypedOrNil(t, err)
		for _, err := range v.Records(fuzzLimit) {
			requireTypedOrNil(t, err)
		}
		checkDepths(t, raw)
		checkFaults(t, raw)
	})
}

// checkFaults: the first record at fault leads the list, which is in order.
func checkFaults(t *testing.T, raw []byte) {
	p := batching.Policy{Keys: true, Earliest: 1 << 40, Limit: fuzzLimit}
	_, err := p.Check(bytes.Clone(raw))
	faults := p.Faults(raw, err)
	var first *batching.Error
	if errors.As(err, &first) && first.Record >= 0 {
		require.Equal(t, first, faults[0])
	}
	for i, f := range faults {
		requireTyped(t, f)
		require.True(t, i == 0 || f.Record > faults[i-1].Record)
	}
}

func checkDepths(t *testing.T, raw []byte) {
	deep := bytes.Clone(raw)
	p := batching.Policy{Depth: batching.DepthRecords, Limit: fuzzLimit}
	v, err := p.Check(deep)
	for _, d := range []batching.Depth{batching.DepthCRC, batching.DepthNone} {
		shallow := bytes.Clone(raw)
		p.Depth = d
		_, shallowErr := p.Check(shallow)
		requireTypedOrNil(t, shallowErr)
		require.Equal(t, raw, shallow, "changed at depth %v", d)
		if err == nil {
			require.NoError(t, shallowErr, "%v refuses what records takes", d)
		}
	}
	if err != nil {
		requireTyped(t, err)
		return
	}
	require.NoError(t, v.CheckCRC())
	requireSameAfterRebuild(t, v)
}

func requireSameAfterRebuild(t *testing.T, v batching.Batch) {
	b := batching.NewBuilder(batching.Options{Transactional: v.IsTransactional()})
	b.SetProducer(v.ProducerID(), v.ProducerEpoch(), v.BaseSequence())
	for r, err := range v.Records(fuzzLimit) {
		require.NoError(t, err)
		require.NoError(t, b.Append(v.Timestamp(r), r.Key, r.Value, r.Headers))
	}
	again, err := b.Build(nil)
	require.NoError(t, err)
	p := batching.Policy{Depth: batching.DepthRecords}
	w, err := p.Check(again)
	require.NoError(t, err)
	require.Equal(t, v.Count(), w.Count())
	require.Equal(t, v.MaxTimestamp(), w.MaxTimestamp())
	type record struct {
		offset, timestamp int64
		key, value        []byte
		headers           []batching.Header
	}
	list := func(b batching.Batch) (all []record) {
		for r, err := range b.Records(fuzzLimit) {
			require.NoError(t, err)
			headers := append([]batching.Header(nil), r.Headers...)
			for i := range headers {
				headers[i].Key, headers[i].Value = bytes.Clone(headers[i].Key), bytes.Clone(headers[i].Value)
			}
			all = append(all, record{b.Offset(r) - b.BaseOffset(), b.Timestamp(r), bytes.Clone(r.Key), bytes.Clone(r.Value), headers})
		}
		return all
	}
	require.Equal(t, list(v), list(w))
	for _, c := range batching.Codecs() {
		out, err := w.Recompress(nil, c, 0, 0)
		require.NoError(t, err)
		x, err := p.Check(out)
		require.NoError(t, err)
		require.Equal(t, list(w), list(x), "%v", c)
	}
}

// withRightCRC is raw with the checksum that its first batch should have.
func withRightCRC(raw []byte) []byte {
	raw = bytes.Clone(raw)
	if v, err := batching.View(raw); err == nil {
		sum := crc32.Checksum(v.Bytes()[21:], crc32.MakeTable(crc32.Castagnoli))
		binary.BigEndian.PutUint32(v.Bytes()[17:], sum)
	}
	return raw
}

func requireTypedOrNil(t *testing.T, err error) {
	if err != nil {
		requireTyped(t, err)
	}
}

// requireTyped holds every error to being an *Error of exactly one kind.
func requireTyped(t *testing.T, err error) {
	var e *batching.Error
	require.ErrorAs(t, err, &e)
	require.NotEmpty(t, e.Error())
	require.True(t, isAny(err, batching.ErrTruncated, batching.ErrCorrupt, batching.ErrMagic, batching.ErrCRC,
		batching.ErrTooLarge, batching.ErrRecords, batching.ErrTimestamp, batching.ErrCodec), "%v", err)
}

// FuzzDecompress feeds raw bytes to every decoder: no panic, nothing past the
// limit, and no memory that neither the input nor the limit explains.
func FuzzDecompress(f *testing.F) {
	for _, c := range batching.Codecs() {
		f.Add(int8(c), compressed(f, c, logLines(30), 0))
	}
	f.Add(int8(batching.Snappy), rawSnappy(make([]byte, 1000)))
	f.Add(int8(batching.Zstd), zstdStream(f, logLines(30), 100))
	for _, name := range []string{"linked-blocks-all-checksums.lz4", "linked-blocks-no-checksums.lz4"} {
		raw, err := os.ReadFile(filepath.Join("testdata/lz4", name))
		require.NoError(f, err)
		f.Add(int8(batching.LZ4), raw)
	}
	f.Fuzz(func(t *testing.T, codec int8, src []byte) {
		dst := []byte("before")
		out, err := batching.Codec(codec).Decompress(dst, src, fuzzLimit)
		require.Equal(t, "before", string(out[:len(dst)]))
		if err != nil {
			requireTyped(t, err)
			require.Len(t, out, len(dst))
			return
		}
		require.LessOrEqual(t, len(out), len(dst)+fuzzLimit)
		require.LessOrEqual(t, cap(out), 2*(len(dst)+fuzzLimit)+256<<10)
	})
}
