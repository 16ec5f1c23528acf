package clients_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var franz = client{name: "franz-go", codecs: allCodecs, write: franzWrite, read: franzRead}

var franzCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// franzClient is franz-go with its defaults, and what a test adds.
func franzClient(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func toFranz(topic string, r record) *kgo.Record {
	k := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value}
	if r.Time != 0 {
		k.Timestamp = time.UnixMilli(r.Time)
	}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return k
}

func fromFranz(k *kgo.Record) record {
	r := record{Offset: k.Offset, Time: k.Timestamp.UnixMilli(), Key: k.Key, Value: k.Value}
	for _, h := range k.Headers {
		r.Headers = append(r.Headers, header{h.Key, h.Value})
	}
	return r
}

func franzWrite(t *testing.T, addr, topic, codec string) []record {
	rs := corpus()
	c := franzClient(t, addr, kgo.ProducerBatchCompression(franzCodecs[codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var ks []*kgo.Record
	for _, r := range rs {
		ks = append(ks, toFranz(topic, r))
	}
	for i, res := range c.ProduceSync(bounded(t), ks...) {
		require.NoError(t, res.Err)
		require.Equal(t, int64(i), res.Record.Offset)
	}
	return rs
}

func franzRead(t *testing.T, addr, topic string, from int64, n int) []record {
	return franzReadAt(t, addr, topic, kgo.NewOffset().At(from), n)
}

func franzReadAt(t *testing.T, addr, topic string, from kgo.Offset, n int, opts ...kgo.Opt) (rs []record) {
	t.Helper()
	c := franzClient(t, addr, append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}))...)
	ctx := bounded(t)
	for len(rs) < n {
		fs := c.PollFetches(ctx)
		for _, e := range fs.Errors() {
			require.NoError(t, e.Err, "%d of %d records", len(rs), n)
		}
		fs.EachRecord(func(k *kgo.Record) { rs = append(rs, fromFranz(k)) })
	}
	return rs
}

// admin is franz-go's admin client.
func admin(t *testing.T, addr string) *kadm.Client {
	t.Helper()
	return kadm.NewClient(franzClient(t, addr))
}

func createTopic(t *testing.T, addr, topic string, partitions int32) {
	t.Helper()
	_, err := admin(t, addr).CreateTopic(bounded(t), partitions, 1, nil, topic)
	require.NoError(t, err)
}

// values writes plain values with franz-go's defaults.
func values(t *testing.T, addr, topic string, vs ...string) {
	t.Helper()
	c := franzClient(t, addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, v := range vs {
		require.NoError(t, c.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr())
	}
}

func TestFranzAcks(t *testing.T) {
	for name, acks := range map[string]kgo.Acks{"none": kgo.NoAck(), "leader": kgo.LeaderAck(), "all": kgo.AllISRAcks()} {
		t.Run(name, func(t *testing.T) {
			topic := topicName(t)
			createTopic(t, shared(t), topic, 1)
			c := franzClient(t, shared(t), kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
			for range 3 {
				require.NoError(t, c.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr())
			}
			require.Len(t, franzRead(t, shared(t), topic, 0, 3), 3)
		})
	}
}

func TestFranzAutoCreate(t *testing.T) {
	topic := topicName(t)
	c := franzClient(t, shared(t), kgo.AllowAutoTopicCreation(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, c.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte("first")}).FirstErr())
	require.Equal(t, "first", string(franzRead(t, shared(t), topic, 0, 1)[0].Value))

	// A client that does not ask for it gets no topic.
	shy := franzClient(t, shared(t), kgo.UnknownTopicRetries(1))
	err := shy.ProduceSync(bounded(t), &kgo.Record{Topic: topic + "-shy", Value: []byte("x")}).FirstErr()
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
}

func TestFranzTooLarge(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	c := franzClient(t, shared(t), kgo.ProducerBatchMaxBytes(8<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	err := c.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: make([]byte, 4<<20)}).FirstErr()
	require.ErrorIs(t, err, kerr.MessageTooLarge)
	require.NoError(t, c.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte("small")}).FirstErr(), "and the next goes through")
}

// TestFranzSmallLimits: a batch larger than every limit of the fetch moves all
// the same.
func TestFranzSmallLimits(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	big := strings.Repeat("x", 500_000)
	values(t, shared(t), topic, big, "small", big)
	rs := franzReadAt(t, shared(t), topic, kgo.NewOffset().AtStart(), 3, kgo.FetchMaxBytes(1000), kgo.FetchMaxPartitionBytes(1000))
	require.Equal(t, big, string(rs[0].Value))
	require.Equal(t, "small", string(rs[1].Value))
	require.Equal(t, big, string(rs[2].Value))
}

// TestFranzLongPoll: a waiting fetch is answered by the append, not by its
// deadline, which lies beyond patience.
func TestFranzLongPoll(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	c := franzClient(t, shared(t), kgo.FetchMaxWait(4*time.Minute),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	for i := range 3 {
		got := make(chan kgo.Fetches, 1)
		go func() { got <- c.PollFetches(bounded(t)) }()
		time.Sleep(50 * time.Millisecond) // lets the fetch reach the broker; nothing depends on it
		values(t, shared(t), topic, "wake up")
		fs := <-got
		require.NoError(t, fs.Err())
		require.Equal(t, int64(i), fs.Records()[0].Offset)
	}
}

func TestFranzOutOfRange(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	values(t, shared(t), topic, "a", "b")
	at := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(100)}}

	strict := franzClient(t, shared(t), kgo.ConsumePartitions(at), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	require.ErrorIs(t, strict.PollFetches(bounded(t)).Err(), kerr.OffsetOutOfRange)

	rs := franzReadAt(t, shared(t), topic, kgo.NewOffset().At(100), 2, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.Equal(t, "a", string(rs[0].Value))
}

// TestFranzManyPartitions produces with the default partitioner, from many
// goroutines, and reads everything once and in order.
func TestFranzManyPartitions(t *testing.T) {
	const partitions, n = 8, 5000
	topic := topicName(t)
	createTopic(t, shared(t), topic, partitions)
	c := franzClient(t, shared(t))
	ctx := bounded(t)
	first := kgo.AbortingFirstErrPromise(c)
	for i := range n {
		c.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte{byte(i), byte(i >> 8)}, Value: []byte(strings.Repeat("v", i%300))}, first.Promise())
	}
	require.NoError(t, c.Flush(ctx))
	require.NoError(t, first.Err())

	at := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		at[p] = kgo.NewOffset().AtStart()
	}
	r := franzClient(t, shared(t), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}))
	next := map[int32]int64{}
	seen := map[string]bool{}
	for len(seen) < n {
		fs := r.PollFetches(ctx)
		require.NoError(t, fs.Err())
		fs.EachRecord(func(k *kgo.Record) {
			require.Equal(t, next[k.Partition], k.Offset, "partition %d", k.Partition)
			next[k.Partition]++
			require.False(t, seen[string(k.Key)], "read twice")
			seen[string(k.Key)] = true
		})
	}
	require.Greater(t, len(next), 1, "spread over partitions")
}

// TestFranzDeletedTopic: a topic that goes away under a producer is reported,
// and one of the same name is another topic.
func TestFranzDeletedTopic(t *testing.T) {
	topic := topicName(t)
	a := admin(t, shared(t))
	createTopic(t, shared(t), topic, 1)
	values(t, shared(t), topic, "old")
	_, err := a.DeleteTopic(bounded(t), topic)
	require.NoError(t, err)
	_, err = a.ListEndOffsets(bounded(t), topic)
	if err == nil {
		ends, _ := a.ListEndOffsets(bounded(t), topic)
		err = ends.Error()
	}
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)

	createTopic(t, shared(t), topic, 1)
	values(t, shared(t), topic, "new")
	rs := franzRead(t, shared(t), topic, 0, 1)
	require.Equal(t, "new", string(rs[0].Value))
}
