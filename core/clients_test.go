package core

import (
	"context"
	"fmt"
	"testing"

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
