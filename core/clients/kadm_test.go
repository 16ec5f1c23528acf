package clients_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAdminTopicRoundTrip(t *testing.T) {
	a, ctx, topic := admin(t, shared(t)), bounded(t), topicName(t)
	retention, cleanup := "3600000", "delete"
	created, err := a.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": &retention, "cleanup.policy": &cleanup}, topic)
	require.NoError(t, err)
	require.Equal(t, int32(3), created.NumPartitions)
	require.Equal(t, int16(1), created.ReplicationFactor)
	require.NotEqual(t, kadm.TopicID{}, created.ID)

	_, err = a.CreateTopic(ctx, 3, 1, nil, topic)
	require.ErrorIs(t, err, kerr.TopicAlreadyExists)

	topics, err := a.ListTopics(ctx, topic)
	require.NoError(t, err)
	require.NoError(t, topics[topic].Err)
	require.Equal(t, created.ID, topics[topic].ID)
	require.Len(t, topics[topic].Partitions, 3)
	brokers, err := a.ListBrokers(ctx)
	require.NoError(t, err)
	require.Len(t, brokers, 1)
	for _, p := range topics[topic].Partitions {
		require.NoError(t, p.Err)
		require.Equal(t, brokers[0].NodeID, p.Leader)
		require.Equal(t, []int32{p.Leader}, p.Replicas)
		require.Equal(t, []int32{p.Leader}, p.ISR)
		require.Empty(t, p.OfflineReplicas)
		require.GreaterOrEqual(t, p.LeaderEpoch, int32(0))
	}
	all, err := a.ListTopics(ctx)
	require.NoError(t, err)
	require.Contains(t, all, topic)

	configs, err := a.DescribeTopicConfigs(ctx, topic)
	require.NoError(t, err)
	require.Equal(t, "3600000", configValue(t, configs, topic, "retention.ms"))
	require.Equal(t, "delete", configValue(t, configs, topic, "cleanup.policy"))
	require.NotEmpty(t, configValue(t, configs, topic, "segment.bytes"))

	grown, err := a.UpdatePartitions(ctx, 5, topic)
	require.NoError(t, err)
	require.NoError(t, grown.Error())
	topics, err = a.ListTopics(ctx, topic)
	require.NoError(t, err)
	require.Len(t, topics[topic].Partitions, 5)
	shrunk, err := a.UpdatePartitions(ctx, 2, topic)
	require.NoError(t, err)
	require.ErrorIs(t, shrunk.Error(), kerr.InvalidPartitions)

	_, err = a.DeleteTopic(ctx, topic)
	require.NoError(t, err)
	_, err = a.DeleteTopic(ctx, topic)
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
	topics, err = a.ListTopics(ctx, topic)
	require.NoError(t, err)
	require.ErrorIs(t, topics[topic].Err, kerr.UnknownTopicOrPartition)
}

func configValue(t *testing.T, configs kadm.ResourceConfigs, name, key string) string {
	t.Helper()
	rc, err := configs.On(name, nil)
	require.NoError(t, err)
	require.NoError(t, rc.Err)
	for _, c := range rc.Configs {
		if c.Key == key {
			return c.MaybeValue()
		}
	}
	t.Fatalf("%s has no %s", name, key)
	return ""
}

func TestAdminRefusals(t *testing.T) {
	a, ctx := admin(t, shared(t)), bounded(t)
	nonsense := "nonsense"
	for _, c := range []struct {
		why        string
		topic      string
		partitions int32
		replicas   int16
		configs    map[string]*string
		want       error
	}{
		{"a space in the name", "no such name", 1, 1, nil, kerr.InvalidTopicException},
		{"an empty name", "", 1, 1, nil, kerr.InvalidTopicException},
		{"dot dot", "..", 1, 1, nil, kerr.InvalidTopicException},
		{"a slash", "a/b", 1, 1, nil, kerr.InvalidTopicException},
		{"no partitions", topicName(t), 0, 1, nil, kerr.InvalidPartitions},
		{"more replicas than brokers", topicName(t), 1, 3, nil, kerr.InvalidReplicationFactor},
		{"an unknown setting", topicName(t), 1, 1, map[string]*string{"no.such.setting": &nonsense}, kerr.InvalidConfig},
		{"a senseless value", topicName(t), 1, 1, map[string]*string{"retention.ms": &nonsense}, kerr.InvalidConfig},
	} {
		_, err := a.CreateTopic(ctx, c.partitions, c.replicas, c.configs, c.topic)
		require.ErrorIs(t, err, c.want, c.why)
	}

	dry := topicName(t)
	res, err := a.ValidateCreateTopics(ctx, 1, 1, nil, dry)
	require.NoError(t, err)
	require.NoError(t, res.Error())
	topics, err := a.ListTopics(ctx, dry)
	require.NoError(t, err)
	require.ErrorIs(t, topics[dry].Err, kerr.UnknownTopicOrPartition, "validated is not created")

	configs, err := a.DescribeTopicConfigs(ctx, dry)
	require.NoError(t, err)
	_, err = configs.On(dry, func(r *kadm.ResourceConfig) error { return r.Err })
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
}

// TestAdminDefaults: -1 partitions and -1 replicas ask for the broker's own.
func TestAdminDefaults(t *testing.T) {
	a, ctx, topic := admin(t, shared(t)), bounded(t), topicName(t)
	created, err := a.CreateTopic(ctx, -1, -1, nil, topic)
	require.NoError(t, err)
	require.GreaterOrEqual(t, created.NumPartitions, int32(1))
	require.Equal(t, int16(1), created.ReplicationFactor)
}

func TestAdminOffsets(t *testing.T) {
	a, ctx, topic := admin(t, shared(t)), bounded(t), topicName(t)
	createTopic(t, shared(t), topic, 1)
	at := func(o kadm.ListedOffsets, err error) kadm.ListedOffset {
		t.Helper()
		require.NoError(t, err)
		require.NoError(t, o.Error())
		got, ok := o.Lookup(topic, 0)
		require.True(t, ok)
		return got
	}
	require.Equal(t, int64(0), at(a.ListStartOffsets(ctx, topic)).Offset)
	require.Equal(t, int64(0), at(a.ListEndOffsets(ctx, topic)).Offset)

	// Ten batches of one record, one second apart, and one batch of five whose
	// records lie within it.
	c := franzClient(t, shared(t), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	const t0 = 1_700_000_000_000
	for i := range int64(10) {
		require.NoError(t, c.ProduceSync(ctx, toFranz(topic, record{Time: t0 + i*1000, Value: []byte("v")})).FirstErr())
	}
	var five []*kgo.Record
	for i := range int64(5) {
		five = append(five, toFranz(topic, record{Time: t0 + 20_000 + i*1000, Value: []byte("v")}))
	}
	require.NoError(t, c.ProduceSync(ctx, five...).FirstErr())

	require.Equal(t, int64(0), at(a.ListStartOffsets(ctx, topic)).Offset)
	require.Equal(t, int64(15), at(a.ListEndOffsets(ctx, topic)).Offset)
	require.Equal(t, int64(15), at(a.ListCommittedOffsets(ctx, topic)).Offset)
	for _, q := range []struct{ ms, offset, ts int64 }{
		{0, 0, t0}, {t0, 0, t0}, {t0 + 1, 1, t0 + 1000}, {t0 + 9000, 9, t0 + 9000},
		{t0 + 9001, 10, t0 + 20_000}, {t0 + 22_500, 13, t0 + 23_000}, {t0 + 24_000, 14, t0 + 24_000},
	} {
		got := at(a.ListOffsetsAfterMilli(ctx, q.ms, topic))
		require.Equal(t, q.offset, got.Offset, "first at or after t0%+d", q.ms-t0)
		require.Equal(t, q.ts, got.Timestamp)
	}
	// After the last one kadm asks again, for the end.
	require.Equal(t, int64(15), at(a.ListOffsetsAfterMilli(ctx, t0+24_001, topic)).Offset)
	latest := at(a.ListMaxTimestampOffsets(ctx, topic))
	require.Equal(t, int64(14), latest.Offset)
	require.Equal(t, int64(t0+24_000), latest.Timestamp)
}

func TestAdminCluster(t *testing.T) {
	a, ctx := admin(t, shared(t)), bounded(t)
	m, err := a.BrokerMetadata(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, m.Cluster)
	require.Len(t, m.Brokers, 1)
	require.Equal(t, m.Brokers[0].NodeID, m.Controller)
	again, err := a.BrokerMetadata(ctx)
	require.NoError(t, err)
	require.Equal(t, m.Cluster, again.Cluster)

	versions, err := a.ApiVersions(ctx)
	require.NoError(t, err)
	for _, v := range versions {
		require.NoError(t, v.Err)
		low, high, ok := v.KeyVersions(0)
		require.True(t, ok)
		require.Equal(t, int16(0), low, "older librdkafka stops compressing when Produce v0 is not offered")
		require.GreaterOrEqual(t, high, int16(7))
	}
	configs, err := a.DescribeBrokerConfigs(ctx, m.Brokers[0].NodeID)
	require.NoError(t, err)
	require.NotEmpty(t, configs)
	require.NoError(t, configs[0].Err)
	require.NotEmpty(t, configs[0].Configs)
}
