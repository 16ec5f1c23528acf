package batching

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sample is a batch of three records under c.
func sample(t testing.TB, c Codec) []byte {
	t.Helper()
	b := NewBuilder(Options{Codec: c})
	require.NoError(t, b.Append(1000, []byte("k"), []byte("value"), []Header{{Key: []byte("h"), Value: []byte("x")}}))
	require.NoError(t, b.Append(990, nil, []byte{}, nil))
	require.NoError(t, b.Append(1500, []byte{}, nil, []Header{{Key: []byte("null")}}))
	raw, err := b.Build(nil)
	require.NoError(t, err)
	return raw
}

// patched is a copy of raw with b at byte at.
func patched(raw []byte, at int, b ...byte) []byte {
	c := append([]byte(nil), raw...)
	copy(c[at:], b)
	return c
}

// sealed is raw with its checksum made right again.
func sealed(raw []byte) []byte {
	Batch{raw}.seal()
	return raw
}

func be32(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
func be64(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func TestAccessorsAgreeWithKmsg(t *testing.T) {
	b := NewBuilder(Options{Codec: LZ4, Transactional: true, TimestampType: LogAppendTime})
	b.SetProducer(1<<40+7, 12, math.MaxInt32-1)
	for i := range 4 {
		require.NoError(t, b.Append(5000-int64(i), nil, []byte("v"), nil))
	}
	raw, err := b.Build([]byte("before"))
	require.NoError(t, err)
	require.Equal(t, "before", string(raw[:6]))
	v, err := View(raw[6:])
	require.NoError(t, err)
	v.SetBaseOffset(1 << 50)
	v.SetLeaderEpoch(77)
	require.NoError(t, v.CheckCRC())

	var k kmsg.RecordBatch
	require.NoError(t, k.ReadFrom(v.Bytes()))
	require.Equal(t, k.FirstOffset, v.BaseOffset())
	require.EqualValues(t, k.Length, v.Size()-LogOverhead)
	require.Equal(t, k.PartitionLeaderEpoch, v.LeaderEpoch())
	require.Equal(t, k.Magic, v.Magic())
	require.Equal(t, k.CRC, int32(v.CRC()))
	require.Equal(t, k.Attributes, v.Attributes())
	require.Equal(t, k.LastOffsetDelta, v.LastOffsetDelta())
	require.Equal(t, k.FirstTimestamp, v.BaseTimestamp())
	require.Equal(t, k.MaxTimestamp, v.MaxTimestamp())
	require.Equal(t, k.ProducerID, v.ProducerID())
	require.Equal(t, k.ProducerEpoch, v.ProducerEpoch())
	require.Equal(t, k.FirstSequence, v.BaseSequence())
	require.EqualValues(t, k.NumRecords, v.Count())
	require.Equal(t, k.Records, v.Payload())

	require.EqualValues(t, 1<<50+3, v.LastOffset())
	require.EqualValues(t, 1<<50+4, v.NextOffset())
	require.Equal(t, LZ4, v.Codec())
	require.Equal(t, LogAppendTime, v.TimestampType())
	require.True(t, v.IsTransactional())
	require.False(t, v.IsControl())
	require.EqualValues(t, 1, v.LastSequence(), "wraps to 0 after the greatest int32")
	require.EqualValues(t, 2, b.Sequence())
	_, ok := v.DeleteHorizon()
	require.False(t, ok)
}

func TestLogAppendTimeHoldsForEveryRecord(t *testing.T) {
	v, err := View(sample(t, None))
	require.NoError(t, err)
	v.SetLogAppendTime(123456)
	require.NoError(t, v.CheckCRC())
	require.Equal(t, LogAppendTime, v.TimestampType())
	for r, err := range v.Records(0) {
		require.NoError(t, err)
		require.EqualValues(t, 123456, v.Timestamp(r))
	}
}

func TestViewTakesTheFirstOfMany(t *testing.T) {
	one, two := sample(t, None), sample(t, Zstd)
	both := append(append([]byte(nil), one...), two...)
	v, err := View(both)
	require.NoError(t, err)
	require.Equal(t, one, v.Bytes())
	v, err = View(both[v.Size():])
	require.NoError(t, err)
	require.Equal(t, two, v.Bytes())
	require.Equal(t, len(two), cap(v.Bytes()), "an append to the view's bytes must not write into what follows")
}

func TestViewRefuses(t *testing.T) {
	raw := sample(t, None)
	v0 := make([]byte, 26) // a v0 message set's entry with empty key and value
	copy(v0[8:], be32(14))
	for name, c := range map[string]struct {
		raw  []byte
		want Error
	}{
		"nothing":     {nil, Error{Kind: ErrTruncated, Field: "batch", Record: -1, Got: 0, Want: "at least 12 bytes"}},
		"eleven":      {raw[:11], Error{Kind: ErrTruncated, Field: "batch", Record: -1, Got: 11, Want: "at least 12 bytes"}},
		"torn":        {raw[:len(raw)-1], Error{Kind: ErrTruncated, Field: "batch", Record: -1, Got: int64(len(raw) - 1), Want: "99 bytes"}},
		"short":       {patched(raw, atBatchLength, be32(48)...), Error{Kind: ErrCorrupt, Field: "batchLength", Record: -1, At: 8, Got: 48, Want: "at least 49"}},
		"negative":    {patched(raw, atBatchLength, be32(-1)...), Error{Kind: ErrCorrupt, Field: "batchLength", Record: -1, At: 8, Got: -1, Want: "at least 49"}},
		"huge":        {patched(raw, atBatchLength, be32(math.MaxInt32)...), Error{Kind: ErrCorrupt, Field: "batchLength", Record: -1, At: 8, Got: math.MaxInt32, Want: "at most 2147483635"}},
		"magic 0":     {v0, Error{Kind: ErrOldFormat, Field: "magic", Record: -1, At: 16, Got: 0, Want: "2"}},
		"magic 1":     {patched(raw, atMagic, 1), Error{Kind: ErrOldFormat, Field: "magic", Record: -1, At: 16, Got: 1, Want: "2"}},
		"magic 3":     {patched(raw, atMagic, 3), Error{Kind: ErrMagic, Field: "magic", Record: -1, At: 16, Got: 3, Want: "2"}},
		"delta":       {patched(raw, atLastOffsetDelta, be32(-1)...), Error{Kind: ErrRecords, Field: "lastOffsetDelta", Record: -1, At: 23, Got: -1, Want: "at least 0"}},
		"count":       {patched(raw, atCount, be32(-5)...), Error{Kind: ErrRecords, Field: "recordCount", Record: -1, At: 57, Got: -5, Want: "0 to lastOffsetDelta+1"}},
		"count delta": {patched(raw, atCount, be32(4)...), Error{Kind: ErrRecords, Field: "recordCount", Record: -1, At: 57, Got: 4, Want: "0 to lastOffsetDelta+1"}},
		"count bytes": {patched(patched(raw, atCount, be32(7)...), atLastOffsetDelta, be32(6)...), Error{Kind: ErrRecords, Field: "recordCount", Record: -1, At: 57, Got: 7, Want: "no more than the bytes can hold"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := View(c.raw)
			var got *Error
			require.ErrorAs(t, err, &got)
			require.Equal(t, c.want, *got)
			require.ErrorIs(t, err, c.want.Kind)
			require.Contains(t, err.Error(), c.want.Field)
		})
	}
	_, err := View(v0)
	require.ErrorIs(t, err, ErrMagic, "an old format is a wrong magic too")
	_, err = View(patched(raw, atMagic, 3))
	require.False(t, errors.Is(err, ErrOldFormat))
}

// A scanner sees the size as soon as it has the first 12 bytes.
func TestPeekSizeNeedsTwelveBytes(t *testing.T) {
	raw := sample(t, Gzip)
	for n := LogOverhead; n <= len(raw); n++ {
		size, err := PeekSize(raw[:n])
		require.NoError(t, err)
		require.Equal(t, len(raw), size)
	}
}

func TestCRCCoversAllButTheLogsOwnFields(t *testing.T) {
	for _, c := range Codecs() {
		raw := sample(t, c)
		for at := range raw {
			flipped := Batch{patched(raw, at, raw[at]^1)}
			err := flipped.CheckCRC()
			if at < atCRC {
				require.NoError(t, err, "byte %d", at)
			} else {
				require.ErrorIs(t, err, ErrCRC, "byte %d", at)
			}
		}
	}
}

// After compaction there may be fewer records than offsets.
func TestViewTakesCompactedBatches(t *testing.T) {
	raw := sealed(patched(sample(t, None), atLastOffsetDelta, be32(99)...))
	v, err := View(raw)
	require.NoError(t, err)
	require.Equal(t, 3, v.Count())
	require.EqualValues(t, 99, v.LastOffset())

	empty := sealed(patched(raw[:HeaderSize], atCount, be32(0)...))
	copy(empty[atBatchLength:], be32(HeaderSize-LogOverhead))
	v, err = View(empty)
	require.NoError(t, err)
	for range v.Records(0) {
		t.Fatal("a record of an empty batch")
	}
}
