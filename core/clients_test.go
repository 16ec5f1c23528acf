package core

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newClient(t testing.TB, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr())}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

// consume reads n records from the start of a topic.
func consume(t testing.TB, b *Broker, topic string, n int) []*kgo.Record {
	t.Helper()
	cl := newClient(t, b, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []*kgo.Record
	for len(got) < n {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err0(), "after %d of %d records", len(got), n)
		for _, e := range fetches.Errors() {
			require.NoError(t, e.Err)
		}
		got = append(got, fetches.Records()...)
	}
	require.Len(t, got, n)
	return got
}

// TestFranzGo: default settings (idempotent, acks=all), every codec, keys,
// headers, null and empty values.
func TestFranzGo(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	b := start(t, testConfig(t))
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			topic := "franz-" + name
			cl := newClient(t, b, kgo.AllowAutoTopicCreation(), kgo.ProducerBatchCompression(codec))
			const n = 1000
			var sent []*kgo.Record
			for i := range n {
				r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value %d %0200d", i, i)}
				switch i % 10 {
				case 1:
					r.Key = nil
				case 2:
					r.Value = nil
				case 3:
					r.Value = []byte{}
				case 4:
					r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("v")}, {Key: "empty"}}
				}
				sent = append(sent, r)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			require.NoError(t, cl.ProduceSync(ctx, sent...).FirstErr())
			for i, r := range consume(t, b, topic, n) {
				require.Equal(t, int64(i), r.Offset)
				require.Equal(t, sent[i].Key, r.Key)
				require.Equal(t, sent[i].Value, r.Value)
				require.Equal(t, len(sent[i].Headers), len(r.Headers))
			}
		})
	}
}

// TestAdminRoundTrip: kadm, which asks what kafka-topics.sh and its kin ask.
func TestAdminRoundTrip(t *testing.T) {
	b := start(t, testConfig(t))
	adm := kadm.NewClient(newClient(t, b))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	retention := "3600000"
	_, err := adm.CreateTopic(ctx, 3, -1, map[string]*string{"retention.ms": &retention}, "orders")
	require.NoError(t, err)
	described, err := adm.DescribeTopicConfigs(ctx, "orders")
	require.NoError(t, err)
	on, err := described.On("orders", nil)
	require.NoError(t, err)
	found := false
	for _, c := range on.Configs {
		if c.Key == "retention.ms" {
			found = true
			require.Equal(t, retention, c.MaybeValue())
		}
	}
	require.True(t, found)

	details, err := adm.ListTopics(ctx)
	require.NoError(t, err)
	require.Len(t, details["orders"].Partitions, 3)
	grown, err := adm.CreatePartitions(ctx, 2, "orders")
	require.NoError(t, err)
	require.NoError(t, grown.Error())
	ends, err := adm.ListEndOffsets(ctx, "orders")
	require.NoError(t, err)
	require.Len(t, ends["orders"], 5)
	_, err = adm.DescribeAllLogDirs(ctx, nil)
	require.NoError(t, err)
	meta, err := adm.BrokerMetadata(ctx)
	require.NoError(t, err)
	require.Len(t, meta.Brokers, 1)
	_, err = adm.DeleteTopic(ctx, "orders")
	require.NoError(t, err)
	details, err = kadm.NewClient(newClient(t, b)).ListTopics(ctx) // the first client caches
	require.NoError(t, err)
	require.Empty(t, details)
}

// TestSarama: its sync producer and partition consumer.
func TestSarama(t *testing.T) {
	b := start(t, testConfig(t))
	for _, idempotent := range []bool{false, true} {
		t.Run(fmt.Sprint("idempotent=", idempotent), func(t *testing.T) {
			topic := fmt.Sprint("sarama-", idempotent)
			cfg := sarama.NewConfig()
			cfg.Version = sarama.V3_6_0_0
			cfg.Producer.Return.Successes = true
			cfg.Producer.RequiredAcks = sarama.WaitForAll
			cfg.Producer.Idempotent = idempotent
			if idempotent {
				cfg.Net.MaxOpenRequests = 1
			}
			cfg.Producer.Compression = sarama.CompressionSnappy
			producer, err := sarama.NewSyncProducer([]string{b.Addr()}, cfg)
			require.NoError(t, err)
			defer producer.Close()
			for i := range 20 {
				_, offset, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprint(i))})
				require.NoError(t, err)
				require.Equal(t, int64(i), offset)
			}
			consumer, err := sarama.NewConsumer([]string{b.Addr()}, cfg)
			require.NoError(t, err)
			defer consumer.Close()
			part, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
			require.NoError(t, err)
			defer part.Close()
			for i := range 20 {
				select {
				case m := <-part.Messages():
					require.Equal(t, fmt.Sprint(i), string(m.Value))
				case err := <-part.Errors():
					require.NoError(t, err)
				case <-time.After(patience):
					t.Fatal("no message")
				}
			}
		})
	}
}

// TestKafkaGo: its writer and partition reader, and the Conn, whose versions are
// hard-coded.
func TestKafkaGo(t *testing.T) {
	b := start(t, testConfig(t))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w := &kafka.Writer{Addr: kafka.TCP(b.Addr()), Topic: "kafka-go", AllowAutoTopicCreation: true, RequiredAcks: kafka.RequireAll,
		Compression: kafka.Zstd, BatchTimeout: time.Millisecond}
	defer w.Close()
	conn, err := kafka.DialLeader(ctx, "tcp", b.Addr(), "kafka-go", 0) // makes the topic
	require.NoError(t, err)
	defer conn.Close()
	for i := range 20 {
		require.NoError(t, w.WriteMessages(ctx, kafka.Message{Key: []byte("k"), Value: fmt.Append(nil, i)}))
	}
	_, err = conn.WriteMessages(kafka.Message{Value: []byte("20")})
	require.NoError(t, err)
	last, err := conn.ReadLastOffset()
	require.NoError(t, err)
	require.Equal(t, int64(21), last)
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{b.Addr()}, Topic: "kafka-go", MaxWait: 50 * time.Millisecond})
	defer r.Close()
	for i := range 21 {
		m, err := r.ReadMessage(ctx)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(m.Value))
	}
}
