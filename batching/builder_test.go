package batching

import (
	"math"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestBuilderSizesBeforehand(t *testing.T) {
	b := NewBuilder(Options{})
	require.Equal(t, HeaderSize, b.Len())
	for i := range 300 {
		ts, key, value := int64(1000*i*i-7), make([]byte, i), []byte(nil)
		headers := []Header{{Key: make([]byte, i%70)}, {Key: nil, Value: make([]byte, i*3)}}[:i%3]
		want := b.Len() + b.RecordSize(ts, key, value, headers)
		require.NoError(t, b.Append(ts, key, value, headers))
		require.Equal(t, want, b.Len())
		require.Equal(t, i+1, b.Count())
	}
	want := b.Len()
	raw, err := b.Build(nil)
	require.NoError(t, err)
	require.Len(t, raw, want)
	_, err = (&Policy{Depth: DepthRecords}).Check(raw)
	require.NoError(t, err)
}

func TestBuilderStartsAnewAfterBuild(t *testing.T) {
	b := NewBuilder(Options{})
	raw, err := b.Build([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, "x", string(raw), "nothing of nothing")

	b.SetProducer(9, 0, math.MaxInt32)
	for _, want := range []int32{math.MaxInt32, 0, 1} {
		require.NoError(t, b.Append(5, nil, []byte("v"), nil))
		raw, err := b.Build(nil)
		require.NoError(t, err)
		v, err := View(raw)
		require.NoError(t, err)
		require.Equal(t, want, v.BaseSequence())
		require.Equal(t, want, v.LastSequence())
		require.EqualValues(t, 5, v.BaseTimestamp())
	}
	b.SetProducer(-1, 3, 3)
	require.NoError(t, b.Append(7, nil, nil, nil))
	b.Reset()
	require.Zero(t, b.Count())
	require.NoError(t, b.Append(8, nil, nil, nil))
	raw, err = b.Build(nil)
	require.NoError(t, err)
	v, err := View(raw)
	require.NoError(t, err)
	require.EqualValues(t, -1, v.ProducerID())
	require.EqualValues(t, -1, v.ProducerEpoch())
	require.EqualValues(t, -1, v.BaseSequence())
	require.EqualValues(t, -1, v.LastSequence())
	require.EqualValues(t, 8, v.MaxTimestamp())
}

func TestBuilderKeepsItsRecordsAfterAnError(t *testing.T) {
	for _, o := range []Options{{Codec: 5}, {Codec: Zstd, Level: 99}} {
		b := NewBuilder(o)
		require.NoError(t, b.Append(1, nil, []byte("v"), nil))
		raw, err := b.Build([]byte("x"))
		require.ErrorIs(t, err, ErrCodec)
		require.Equal(t, "x", string(raw))
		require.Equal(t, 1, b.Count())
	}
}

func TestBuilderRefusesWhatNoLengthCanSay(t *testing.T) {
	const most = math.MaxInt32 - HeaderSize
	require.NoError(t, checkRoom(most-100, 100))
	require.ErrorIs(t, checkRoom(most-100, 101), ErrTooLarge)

	// And Append asks: a value of 2 GiB of addresses, which may not be touched.
	value, err := syscall.Mmap(-1, 0, most, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	require.NoError(t, err)
	defer syscall.Munmap(value)
	b := NewBuilder(Options{})
	require.ErrorIs(t, b.Append(0, nil, value, nil), ErrTooLarge)
	require.Zero(t, b.Count())
	require.Equal(t, HeaderSize, b.Len())
}

func TestRecompressChangesTheCodecOnly(t *testing.T) {
	for _, from := range Codecs() {
		for _, to := range Codecs() {
			raw := produced(t, from)
			v, err := View(raw)
			require.NoError(t, err)
			v.SetBaseOffset(777)
			out, err := v.Recompress([]byte("x"), to, 0, 0)
			require.NoError(t, err)
			require.Equal(t, "x", string(out[:1]))
			want := produced(t, to)
			Batch{want}.SetBaseOffset(777)
			require.Equal(t, want, out[1:])
		}
	}
	v, err := View(produced(t, Gzip))
	require.NoError(t, err)
	_, err = v.Recompress(nil, LZ4, 0, 10)
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = v.Recompress(nil, 7, 0, 0)
	require.ErrorIs(t, err, ErrCodec)
}

func TestMarkers(t *testing.T) {
	for _, commit := range []bool{false, true} {
		m := Marker{Commit: commit, ProducerID: 1 << 33, ProducerEpoch: 3, CoordinatorEpoch: 12, Timestamp: 99}
		raw := AppendMarker([]byte("x"), m)
		v, err := View(raw[1:])
		require.NoError(t, err)
		require.NoError(t, v.CheckCRC())
		require.True(t, v.IsControl())
		require.True(t, v.IsTransactional())
		require.EqualValues(t, -1, v.BaseSequence())
		got, ok, err := v.Marker()
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, m, got)

		var batch kmsg.RecordBatch
		require.NoError(t, batch.ReadFrom(raw[1:]))
		var record kmsg.Record
		require.NoError(t, record.ReadFrom(batch.Records))
		var key kmsg.ControlRecordKey
		require.NoError(t, key.ReadFrom(record.Key))
		require.Equal(t, commit, key.Type == kmsg.ControlRecordKeyTypeCommit)
		require.Equal(t, !commit, key.Type == kmsg.ControlRecordKeyTypeAbort)
		var value kmsg.EndTxnMarker
		require.NoError(t, value.ReadFrom(record.Value))
		require.EqualValues(t, 12, value.CoordinatorEpoch)
	}
}

func TestMarkerOfOtherBatches(t *testing.T) {
	v, err := View(sample(t, None))
	require.NoError(t, err)
	_, ok, err := v.Marker()
	require.NoError(t, err)
	require.False(t, ok, "no control batch")

	control := func(key, value []byte) Batch {
		b := NewBuilder(Options{})
		require.NoError(t, b.Append(1, key, value, nil))
		raw, err := b.Build(nil)
		require.NoError(t, err)
		v := Batch{raw}
		v.setAttributes(controlBit)
		return v
	}
	_, ok, err = control([]byte{0, 0, 0, 2}, []byte("leader change")).Marker()
	require.NoError(t, err)
	require.False(t, ok, "a raft group's")
	_, _, err = control([]byte{0, 0, 0}, make([]byte, 6)).Marker()
	require.ErrorIs(t, err, ErrRecords)
	_, _, err = control([]byte{0, 0, 0, 1}, make([]byte, 5)).Marker()
	require.ErrorIs(t, err, ErrRecords)
}
