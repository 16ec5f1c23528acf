package clients_test

import (
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
)

// kafkaGo hands out empty keys and values as nil.
var kafkaGo = client{name: "kafka-go", codecs: allCodecs, write: kafkaGoWrite, read: kafkaGoRead, emptyIsNull: true}

// kafkaGoTransport is one of the test's own: the default one keeps the metadata
// of an earlier test for seconds.
func kafkaGoTransport(t *testing.T) *kafka.Transport {
	tr := &kafka.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

var kafkaGoCodecs = map[string]kafka.Compression{
	"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

func kafkaGoWrite(t *testing.T, addr, topic, codec string) []record {
	rs := corpus()
	w := &kafka.Writer{
		Addr: kafka.TCP(addr), Topic: topic, RequiredAcks: kafka.RequireAll,
		Compression: kafkaGoCodecs[codec], BatchTimeout: 10 * time.Millisecond, BatchSize: len(rs),
		Transport: kafkaGoTransport(t),
	}
	defer w.Close()
	var ms []kafka.Message
	for _, r := range rs {
		m := kafka.Message{Key: r.Key, Value: r.Value, Time: time.UnixMilli(r.Time)}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		ms = append(ms, m)
	}
	require.NoError(t, w.WriteMessages(bounded(t), ms...))
	return rs
}

func kafkaGoRead(t *testing.T, addr, topic string, from int64, n int) (rs []record) {
	// Closing a reader waits for the fetch under way: the short MaxWait is for that.
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: topic, Partition: 0, MaxWait: 50 * time.Millisecond})
	defer r.Close()
	require.NoError(t, r.SetOffset(from))
	ctx := bounded(t)
	for len(rs) < n {
		m, err := r.ReadMessage(ctx)
		require.NoError(t, err, "%d of %d records", len(rs), n)
		rec := record{Offset: m.Offset, Time: m.Time.UnixMilli(), Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			rec.Headers = append(rec.Headers, header{h.Key, h.Value})
		}
		rs = append(rs, rec)
	}
	return rs
}

// TestKafkaGoConn drives the low-level connection, whose versions are
// hard-coded and not negotiated.
func TestKafkaGoConn(t *testing.T) {
	topic := topicName(t)
	ctx := bounded(t)
	c, err := kafka.DialContext(ctx, "tcp", shared(t))
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	require.NoError(t, c.CreateTopics(kafka.TopicConfig{Topic: topic, NumPartitions: 2, ReplicationFactor: 1}))
	ps, err := c.ReadPartitions(topic)
	require.NoError(t, err)
	require.Len(t, ps, 2)
	brokers, err := c.Brokers()
	require.NoError(t, err)
	require.Len(t, brokers, 1)
	_, err = c.Controller()
	require.NoError(t, err)
	_, err = c.ApiVersions()
	require.NoError(t, err)

	l, err := kafka.DialLeader(ctx, "tcp", shared(t), topic, 1)
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, l.SetDeadline(time.Now().Add(patience)))
	_, err = l.WriteMessages(kafka.Message{Value: []byte("a")}, kafka.Message{Value: []byte("b")})
	require.NoError(t, err)
	first, last, err := l.ReadOffsets()
	require.NoError(t, err)
	require.Equal(t, []int64{0, 2}, []int64{first, last})
	_, err = l.Seek(1, kafka.SeekAbsolute)
	require.NoError(t, err)
	m, err := l.ReadMessage(1 << 20)
	require.NoError(t, err)
	require.Equal(t, "b", string(m.Value))
	at, err := l.ReadOffset(time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, int64(0), at)
	require.NoError(t, c.DeleteTopics(topic))
}

func TestKafkaGoClient(t *testing.T) {
	topic := topicName(t)
	ctx := bounded(t)
	c := &kafka.Client{Addr: kafka.TCP(shared(t)), Timeout: patience, Transport: kafkaGoTransport(t)}
	created, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
	require.NoError(t, err)
	require.NoError(t, errors.Join(created.Errors[topic]))
	m, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	require.NoError(t, err)
	require.Len(t, m.Topics, 1)
	require.NoError(t, m.Topics[0].Error)
	offsets, err := c.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	require.NoError(t, err)
	require.NoError(t, offsets.Topics[topic][0].Error)
	require.Equal(t, int64(0), offsets.Topics[topic][0].LastOffset)
	deleted, err := c.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	require.NoError(t, err)
	require.NoError(t, deleted.Errors[topic])
}
