package clients_test

import (
	"fmt"
	"testing"
	"time"

	smp "github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
)

var sarama = client{name: "sarama", codecs: allCodecs, write: saramaWrite, read: saramaRead}

var saramaCodecs = map[string]smp.CompressionCodec{
	"none": smp.CompressionNone, "gzip": smp.CompressionGZIP, "snappy": smp.CompressionSnappy,
	"lz4": smp.CompressionLZ4, "zstd": smp.CompressionZSTD,
}

// saramaConfig is sarama's default, which speaks as to Kafka 2.1, and what a
// synchronous producer needs.
func saramaConfig() *smp.Config {
	cfg := smp.NewConfig()
	cfg.Producer.Return.Successes = true
	cfg.Producer.RequiredAcks = smp.WaitForAll
	cfg.Producer.Partitioner = smp.NewManualPartitioner
	return cfg
}

func saramaWrite(t *testing.T, addr, topic, codec string) []record {
	rs := corpus()
	cfg := saramaConfig()
	cfg.Producer.Compression = saramaCodecs[codec]
	p, err := smp.NewSyncProducer([]string{addr}, cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	var ms []*smp.ProducerMessage
	for _, r := range rs {
		ms = append(ms, toSarama(topic, r))
	}
	require.NoError(t, p.SendMessages(ms))
	for i, m := range ms {
		require.Equal(t, int64(i), m.Offset)
	}
	return rs
}

func toSarama(topic string, r record) *smp.ProducerMessage {
	m := &smp.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(r.Time)}
	if r.Key != nil {
		m.Key = smp.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = smp.ByteEncoder(r.Value)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, smp.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	return m
}

func saramaRead(t *testing.T, addr, topic string, from int64, n int) []record {
	return saramaReadAs(t, addr, topic, from, n, smp.NewConfig())
}

func saramaReadAs(t *testing.T, addr, topic string, from int64, n int, cfg *smp.Config) (rs []record) {
	t.Helper()
	cfg.Consumer.MaxWaitTime = 50 * time.Millisecond // closing waits for the fetch under way
	c, err := smp.NewConsumer([]string{addr}, cfg)
	require.NoError(t, err)
	defer c.Close()
	pc, err := c.ConsumePartition(topic, 0, from)
	require.NoError(t, err)
	defer pc.Close()
	end := time.After(patience)
	for len(rs) < n {
		select {
		case m := <-pc.Messages():
			r := record{Offset: m.Offset, Time: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value}
			for _, h := range m.Headers {
				r.Headers = append(r.Headers, header{string(h.Key), h.Value})
			}
			rs = append(rs, r)
		case <-end:
			t.Fatalf("%d of %d records", len(rs), n)
		}
	}
	return rs
}

// TestSaramaVersions makes sarama speak as to every generation of broker: each
// has other versions of every request, not negotiated but taken from a table.
func TestSaramaVersions(t *testing.T) {
	for _, v := range []smp.KafkaVersion{smp.V1_0_0_0, smp.V1_1_0_0, smp.V2_0_0_0, smp.V2_1_0_0, smp.V2_3_0_0, smp.V2_8_0_0, smp.V3_6_0_0, smp.MaxVersion} {
		t.Run(v.String(), func(t *testing.T) {
			topic := topicName(t)
			cfg := saramaConfig()
			cfg.Version = v
			a, err := smp.NewClusterAdmin([]string{shared(t)}, cfg)
			require.NoError(t, err)
			defer a.Close()
			require.NoError(t, a.CreateTopic(topic, &smp.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false))
			p, err := smp.NewSyncProducer([]string{shared(t)}, cfg)
			require.NoError(t, err)
			defer p.Close()
			for i := range 5 {
				_, offset, err := p.SendMessage(toSarama(topic, record{Time: 1_700_000_000_000, Value: fmt.Appendf(nil, "v%d", i)}))
				require.NoError(t, err)
				require.Equal(t, int64(i), offset)
			}
			rs := saramaReadAs(t, shared(t), topic, smp.OffsetOldest, 5, cfg)
			require.Equal(t, "v4", string(rs[4].Value))
		})
	}
}

func TestSaramaIdempotent(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	cfg := saramaConfig()
	cfg.Version = smp.MaxVersion
	cfg.Producer.Idempotent = true
	cfg.Net.MaxOpenRequests = 1
	p, err := smp.NewSyncProducer([]string{shared(t)}, cfg)
	require.NoError(t, err)
	defer p.Close()
	for i := range 20 {
		_, offset, err := p.SendMessage(toSarama(topic, record{Time: 1_700_000_000_000, Value: []byte("v")}))
		require.NoError(t, err)
		require.Equal(t, int64(i), offset)
	}
}

func TestSaramaAdmin(t *testing.T) {
	topic := topicName(t)
	cfg := saramaConfig()
	a, err := smp.NewClusterAdmin([]string{shared(t)}, cfg)
	require.NoError(t, err)
	defer a.Close()
	ms := "7200000"
	detail := &smp.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &ms}}
	require.NoError(t, a.CreateTopic(topic, detail, false))
	require.ErrorIs(t, a.CreateTopic(topic, detail, false), smp.ErrTopicAlreadyExists)
	topics, err := a.ListTopics()
	require.NoError(t, err)
	require.Equal(t, int32(2), topics[topic].NumPartitions)
	require.Equal(t, int16(1), topics[topic].ReplicationFactor)
	require.NotNil(t, topics[topic].ConfigEntries["retention.ms"])
	require.Equal(t, ms, *topics[topic].ConfigEntries["retention.ms"])
	require.NoError(t, a.CreatePartitions(topic, 4, nil, false))
	described, err := a.DescribeTopics([]string{topic})
	require.NoError(t, err)
	require.Len(t, described[0].Partitions, 4)
	configs, err := a.DescribeConfigs([]*smp.ConfigResource{{Type: smp.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}},
		smp.DescribeConfigsOptions{IncludeSynonyms: true, IncludeDocumentation: true})
	require.NoError(t, err)
	require.Len(t, configs, 1)
	require.Equal(t, smp.ErrNoError, configs[0].ErrorCode)
	require.Len(t, configs[0].Configs, 1)
	require.Equal(t, ms, configs[0].Configs[0].Value)
	brokers, _, err := a.DescribeCluster()
	require.NoError(t, err)
	require.Len(t, brokers, 1)
	require.NoError(t, a.DeleteTopic(topic))
	require.ErrorIs(t, a.DeleteTopic(topic), smp.ErrUnknownTopicOrPartition)
}
