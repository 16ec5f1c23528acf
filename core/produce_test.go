package core

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

// alter changes a batch and gives it a good CRC again.
func alter(b []byte, change func([]byte)) []byte {
	b = append([]byte(nil), b...)
	change(b)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// TestRefusedBatches holds Kafka's code for each way in which a batch can be
// wrong, and that nothing of it is appended.
func TestRefusedBatches(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	createTopic(t, p, "small", 1, "max.message.bytes", "100")
	createTopic(t, p, "compacted", 1, "cleanup.policy", "compact")
	createTopic(t, p, "segments", 1, "segment.bytes", "150")
	createTopic(t, p, "recent", 1, "message.timestamp.before.max.ms", "60000", "message.timestamp.after.max.ms", "60000")

	good := oneBatch(t, batching.Options{}, "a", "b")
	at := func(ts int64) []byte {
		builder := batching.NewBuilder(batching.Options{})
		require.NoError(t, builder.Append(ts, []byte("k"), []byte("v"), nil))
		out, err := builder.Build(nil)
		require.NoError(t, err)
		return out
	}
	keyless := func() []byte {
		builder := batching.NewBuilder(batching.Options{})
		require.NoError(t, builder.Append(time.Now().UnixMilli(), nil, []byte("v"), nil))
		out, err := builder.Build(nil)
		require.NoError(t, err)
		return out
	}
	now := time.Now().UnixMilli()
	for _, c := range []struct {
		name    string
		topic   string
		records []byte
		want    *kerr.Error
	}{
		{"no records", "t", []byte{}, kerr.InvalidRecord},
		{"null records", "t", nil, kerr.InvalidRecord},
		{"a flipped bit", "t", func() []byte { b := append([]byte(nil), good...); b[len(b)-1] ^= 1; return b }(), kerr.CorruptMessage},
		{"cut short", "t", good[:len(good)-3], kerr.InvalidRecord},
		{"two batches", "t", append(append([]byte(nil), good...), good...), kerr.InvalidRecord},
		{"format v1", "t", func() []byte { b := append([]byte(nil), good...); b[16] = 1; return b }(), kerr.InvalidRecord},
		{"an unknown format", "t", func() []byte { b := append([]byte(nil), good...); b[16] = 9; return b }(), kerr.CorruptMessage},
		{"fewer records than offsets", "t", alter(good, func(b []byte) { b[60] = 1 }), kerr.InvalidRecord},
		{"a control batch", "t", alter(good, func(b []byte) { b[22] |= 0x20 }), kerr.InvalidRecord},
		{"a base offset", "t", alter(good, func(b []byte) { b[7] = 5 }), kerr.InvalidRecord},
		{"a codec that does not exist", "t", alter(good, func(b []byte) { b[22] |= 7 }), kerr.UnsupportedCompressionType},
		{"a producer id without a sequence", "t", alter(good, func(b []byte) { copy(b[43:], make([]byte, 10)) }), kerr.InvalidRecord},
		{"log append time from a producer", "t", alter(good, func(b []byte) { b[22] |= 8 }), kerr.InvalidTimestamp},
		{"over max.message.bytes", "small", sized(t, 200), kerr.MessageTooLarge},
		{"over segment.bytes", "segments", sized(t, 200), kerr.RecordListTooLarge},
		{"no key in a compacted topic", "compacted", keyless(), kerr.InvalidRecord},
		{"too old", "recent", at(now - 120_000), kerr.InvalidTimestamp},
		{"too new", "recent", at(now + 120_000), kerr.InvalidTimestamp},
		{"an hour ahead is the default's limit", "t", at(now + 2*3600_000), kerr.InvalidTimestamp},
		{"no such topic", "nowhere", good, kerr.UnknownTopicOrPartition},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := produceOne(p, c.topic, 0, c.records)
			require.Equal(t, c.want.Code, got.ErrorCode, "%s (%v)", kerr.ErrorForCode(got.ErrorCode), deref(got.ErrorMessage))
			require.Equal(t, int64(-1), got.BaseOffset)
			if c.topic != "nowhere" {
				require.Zero(t, fetchOne(p, c.topic, 0, 0).HighWatermark)
			}
		})
	}
	require.Zero(t, produceOne(p, "recent", 0, at(now)).ErrorCode)
	require.Zero(t, produceOne(p, "recent", 0, at(-1)).ErrorCode, "no timestamp is no fault")

	// One bad partition does not spoil the good one.
	req := produceRequest("t", 0, -1, good)
	bad := kmsg.NewProduceRequestTopicPartition()
	bad.Partition, bad.Records = 5, good
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, bad)
	got := ask[*kmsg.ProduceResponse](p, 9, req).Topics[0].Partitions
	require.Zero(t, got[0].ErrorCode)
	require.Equal(t, kerr.UnknownTopicOrPartition.Code, got[1].ErrorCode)
}

// TestRecordsAtFault: the records for which a batch is refused are listed, those
// beside them are not, so that a client knows which to give up on.
func TestRecordsAtFault(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "compacted", 1, "cleanup.policy", "compact", "message.timestamp.before.max.ms", "60000")
	createTopic(t, p, "recent", 1, "message.timestamp.before.max.ms", "60000")
	now := time.Now().UnixMilli()
	batch := func(codec batching.Codec, ages ...int64) []byte {
		builder := batching.NewBuilder(batching.Options{Codec: codec})
		for i, age := range ages {
			key := []byte("k")
			if i%2 == 1 {
				key = nil
			}
			require.NoError(t, builder.Append(now-age, key, []byte("v"), nil))
		}
		out, err := builder.Build(nil)
		require.NoError(t, err)
		return out
	}
	for _, c := range []struct {
		name    string
		topic   string
		records []byte
		code    int16
		want    []int32
	}{
		{"no key", "compacted", batch(batching.None, 0, 0, 0, 0), kerr.InvalidRecord.Code, []int32{1, 3}},
		{"no key, compressed", "compacted", batch(batching.Zstd, 0, 0), kerr.InvalidRecord.Code, []int32{1}},
		{"too old", "recent", batch(batching.Gzip, 120_000, 0, 0), kerr.InvalidTimestamp.Code, []int32{0}},
		{"one too old, one without key", "compacted", batch(batching.None, 120_000, 0, 0), kerr.InvalidTimestamp.Code, []int32{0, 1}},
		{"a time that brokers give", "recent", alter(batch(batching.None, 0, 0), func(b []byte) { b[22] |= 8 }), kerr.InvalidTimestamp.Code, []int32{0, 1}},
		{"the batch itself", "recent", alter(batch(batching.None, 0, 0), func(b []byte) { b[22] |= 0x20 }), kerr.InvalidRecord.Code, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := produceOne(p, c.topic, 0, c.records)
			require.Equal(t, c.code, got.ErrorCode)
			var at []int32
			for _, e := range got.ErrorRecords {
				at = append(at, e.RelativeOffset)
				require.NotEmpty(t, deref(e.ErrorMessage))
			}
			require.Equal(t, c.want, at)
		})
	}
	require.Empty(t, produceOne(p, "recent", 0, batch(batching.None, 0)).ErrorRecords, "nothing is left of the last refusal")
}

func TestZstdNeedsProduceV7(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	batch := oneBatch(t, batching.Options{Codec: batching.Zstd}, "a")
	for version, want := range map[int16]int16{6: kerr.UnsupportedCompressionType.Code, 7: 0} {
		got := ask[*kmsg.ProduceResponse](p, version, produceRequest("t", 0, 1, batch))
		require.Equal(t, want, got.Topics[0].Partitions[0].ErrorCode, "v%d", version)
	}
}

func TestAcks(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	good := oneBatch(t, batching.Options{}, "a")

	for _, acks := range []int16{-2, 2, 7} {
		got := ask[*kmsg.ProduceResponse](p, 9, produceRequest("t", 0, acks, good)).Topics[0].Partitions[0]
		require.Equal(t, kerr.InvalidRequiredAcks.Code, got.ErrorCode)
	}
	createTopic(t, p, "two", 1, "min.insync.replicas", "2")
	require.Zero(t, produceOne(p, "two", 0, good).ErrorCode, "there are no two replicas to ask for")
	require.Zero(t, ask[*kmsg.ProduceResponse](p, 9, produceRequest("two", 0, 1, good)).Topics[0].Partitions[0].ErrorCode)
	// acks=0 has no answer: the next answer on the connection is the fetch's.
	req := produceRequest("t", 0, 0, good)
	req.SetVersion(9)
	p.send(req)
	require.Equal(t, []string{"a"}, values(t, fetchOne(p, "t", 0, 0).RecordBatches))
	// And where it fails, the connection goes.
	req = produceRequest("t", 3, 0, good)
	req.SetVersion(9)
	p.send(req)
	p.requireClosed()
}

func TestLogAppendTime(t *testing.T) {
	cfg := testConfig(t)
	cfg.Clock = func() time.Time { return time.UnixMilli(1_700_000_000_000) }
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1, "message.timestamp.type", "LogAppendTime")
	got := produceOne(p, "t", 0, oneBatch(t, batching.Options{}, "a", "b"))
	require.Zero(t, got.ErrorCode)
	require.Equal(t, int64(1_700_000_000_000), got.LogAppendTime)
	batch, err := batching.View(fetchOne(p, "t", 0, 0).RecordBatches)
	require.NoError(t, err)
	require.NoError(t, batch.CheckCRC())
	require.Equal(t, batching.LogAppendTime, batch.TimestampType())
	require.Equal(t, int64(1_700_000_000_000), batch.MaxTimestamp())
}

// TestRecompression: every codec a topic may ask for, from every codec a
// producer may send.
func TestRecompression(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	for _, to := range []string{"gzip", "snappy", "lz4", "zstd", "uncompressed"} {
		createTopic(t, p, "to-"+to, 1, "compression.type", to)
		want, err := batching.ParseCodec(to)
		require.NoError(t, err)
		for _, from := range batching.Codecs() {
			base := produceBatch(p, "to-"+to, oneBatch(t, batching.Options{Codec: from}, "a", "b", "c"))
			batch, err := batching.View(fetchOne(p, "to-"+to, 0, base).RecordBatches)
			require.NoError(t, err)
			require.Equal(t, want, batch.Codec(), "from %v", from)
			require.Equal(t, []string{"a", "b", "c"}, values(t, batch.Bytes()))
		}
	}
}

func produceBatch(p *peer, topic string, records []byte) int64 {
	p.t.Helper()
	got := produceOne(p, topic, 0, records)
	require.Zero(p.t, got.ErrorCode, "%v", deref(got.ErrorMessage))
	return got.BaseOffset
}

// TestIdempotence over the wire; core/producers has the rules as scripts.
func TestIdempotence(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	send := func(epoch int16, sequence int32, n int) kmsg.ProduceResponseTopicPartition {
		builder := batching.NewBuilder(batching.Options{})
		builder.SetProducer(4000, epoch, sequence)
		for range n {
			require.NoError(t, builder.Append(time.Now().UnixMilli(), nil, []byte("v"), nil))
		}
		batch, err := builder.Build(nil)
		require.NoError(t, err)
		return produceOne(p, "t", 0, batch)
	}
	require.Equal(t, int64(0), send(0, 0, 3).BaseOffset)
	require.Equal(t, int64(3), send(0, 3, 2).BaseOffset)
	again := send(0, 0, 3)
	require.Zero(t, again.ErrorCode, "a batch sent again is no error")
	require.Equal(t, int64(0), again.BaseOffset)
	require.Equal(t, kerr.OutOfOrderSequenceNumber.Code, send(0, 9, 1).ErrorCode)
	require.Equal(t, int64(5), send(1, 0, 1).BaseOffset)
	require.Equal(t, kerr.InvalidProducerEpoch.Code, send(0, 5, 1).ErrorCode)
	require.Equal(t, int64(6), fetchOne(p, "t", 0, 0).HighWatermark, "nothing was stored twice")
	require.Equal(t, int64(1), b.Counters().Duplicates)
}
