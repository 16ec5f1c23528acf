package core

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestCreateTopicsFaults holds Kafka's code for each way to ask wrongly.
func TestCreateTopicsFaults(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "is.there", 1)
	assignment := func(partition int32, replicas ...int32) kmsg.CreateTopicsRequestTopicReplicaAssignment {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = partition, replicas
		return a
	}
	type topic = kmsg.CreateTopicsRequestTopic
	for i, c := range []struct {
		name  string
		shape func(*topic)
		want  *kerr.Error // nil: made
	}{
		{"defaults", func(r *topic) {}, nil},
		{"replication factor 1", func(r *topic) { r.ReplicationFactor = 1 }, nil},
		{"the longest name", func(r *topic) { r.Topic = strings.Repeat("x", 249) }, nil},
		{"an assignment", func(r *topic) {
			r.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{assignment(1, 1), assignment(0, 1)}
		}, nil},
		{"settings", func(r *topic) {
			configs(r, "cleanup.policy", "compact,delete", "retention.ms", "-1", "segment.bytes", "1048576")
		}, nil},
		{"a setting for a cluster", func(r *topic) { configs(r, "unclean.leader.election.enable", "false") }, nil},
		{"an empty name", func(r *topic) { r.Topic = "" }, kerr.InvalidTopicException},
		{"a dot", func(r *topic) { r.Topic = "." }, kerr.InvalidTopicException},
		{"two dots", func(r *topic) { r.Topic = ".." }, kerr.InvalidTopicException},
		{"a path", func(r *topic) { r.Topic = "../up" }, kerr.InvalidTopicException},
		{"too long a name", func(r *topic) { r.Topic = strings.Repeat("x", 250) }, kerr.InvalidTopicException},
		{"a name that collides", func(r *topic) { r.Topic = "is_there" }, kerr.InvalidTopicException},
		{"it exists", func(r *topic) { r.Topic = "is.there" }, kerr.TopicAlreadyExists},
		{"no partitions", func(r *topic) { r.NumPartitions = 0 }, kerr.InvalidPartitions},
		{"minus partitions", func(r *topic) { r.NumPartitions = -2 }, kerr.InvalidPartitions},
		{"very many partitions", func(r *topic) { r.NumPartitions = 2_000_000_000 }, kerr.PolicyViolation},
		{"no replicas", func(r *topic) { r.ReplicationFactor = 0 }, kerr.InvalidReplicationFactor},
		{"three replicas", func(r *topic) { r.ReplicationFactor = 3 }, kerr.InvalidReplicationFactor},
		{"an unknown setting", func(r *topic) { configs(r, "retention.millis", "1") }, kerr.InvalidConfig},
		{"a broker's setting", func(r *topic) { configs(r, "log.retention.ms", "1") }, kerr.InvalidConfig},
		{"a setting out of bounds", func(r *topic) { configs(r, "segment.bytes", "-7") }, kerr.InvalidConfig},
		{"a setting of another type", func(r *topic) { configs(r, "retention.ms", "soon") }, kerr.InvalidConfig},
		{"assignment and partitions", func(r *topic) {
			r.NumPartitions, r.ReplicaAssignment = 1, []kmsg.CreateTopicsRequestTopicReplicaAssignment{assignment(0, 1)}
		}, kerr.InvalidRequest},
		{"assignment to another broker", func(r *topic) {
			r.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{assignment(0, 2)}
		}, kerr.InvalidReplicaAssignment},
		{"assignment with a hole", func(r *topic) {
			r.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{assignment(1, 1)}
		}, kerr.InvalidReplicaAssignment},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := kmsg.NewPtrCreateTopicsRequest()
			r := kmsg.NewCreateTopicsRequestTopic()
			r.Topic, r.NumPartitions, r.ReplicationFactor = fmt.Sprintf("topic-%d", i), -1, -1
			c.shape(&r)
			req.Topics = append(req.Topics, r)
			req.ValidateOnly = true
			want := int16(0)
			if c.want != nil {
				want = c.want.Code
			}
			for _, only := range []bool{true, false} {
				req.ValidateOnly = only
				got := ask[*kmsg.CreateTopicsResponse](p, 7, req).Topics[0]
				require.Equal(t, want, got.ErrorCode, "validate only %v: %s", only, deref(got.ErrorMessage))
				require.Equal(t, c.want != nil, got.ErrorMessage != nil)
			}
		})
	}
	t.Run("named twice", func(t *testing.T) {
		req := kmsg.NewPtrCreateTopicsRequest()
		r := kmsg.NewCreateTopicsRequestTopic()
		r.Topic, r.NumPartitions, r.ReplicationFactor = "twice", 1, 1
		req.Topics = append(req.Topics, r, r)
		got := ask[*kmsg.CreateTopicsResponse](p, 7, req).Topics
		require.Len(t, got, 1)
		require.Equal(t, kerr.InvalidRequest.Code, got[0].ErrorCode)
	})
}

func configs(r *kmsg.CreateTopicsRequestTopic, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = pairs[i], kmsg.StringPtr(pairs[i+1])
		r.Configs = append(r.Configs, c)
	}
}

// TestDescribeConfigsSources: where a setting's value comes from.
func TestDescribeConfigsSources(t *testing.T) {
	cfg := testConfig(t)
	cfg.Disk.SegmentBytes = 1 << 20
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1, "retention.ms", "1h")
	describe := func(kind kmsg.ConfigResourceType, name string, names ...string) kmsg.DescribeConfigsResponseResource {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms = true
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, names
		req.Resources = append(req.Resources, r)
		return ask[*kmsg.DescribeConfigsResponse](p, 4, req).Resources[0]
	}
	got := describe(kmsg.ConfigResourceTypeTopic, "t", "retention.ms", "segment.bytes", "max.message.bytes", "nonsense")
	require.Len(t, got.Configs, 3)
	byName := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, c := range got.Configs {
		byName[c.Name] = c
	}
	own := byName["retention.ms"]
	require.Equal(t, "3600000", *own.Value, "as Kafka writes it")
	require.Equal(t, kmsg.ConfigSourceDynamicTopicConfig, own.Source)
	require.Equal(t, kmsg.ConfigTypeLong, own.ConfigType)
	require.Len(t, own.ConfigSynonyms, 2)
	require.Equal(t, "log.retention.ms", own.ConfigSynonyms[1].Name)
	require.Equal(t, "604800000", *own.ConfigSynonyms[1].Value)
	require.Equal(t, kmsg.ConfigSourceStaticBrokerConfig, byName["segment.bytes"].Source)
	require.Equal(t, "1048576", *byName["segment.bytes"].Value)
	require.Equal(t, kmsg.ConfigSourceDefaultConfig, byName["max.message.bytes"].Source)
	require.Equal(t, "1048588", *byName["max.message.bytes"].Value)

	broker := describe(kmsg.ConfigResourceTypeBroker, "1", "log.segment.bytes", "message.max.bytes")
	require.Len(t, broker.Configs, 2)
	require.False(t, broker.Configs[0].ReadOnly, "topics go by it")
	require.True(t, describe(kmsg.ConfigResourceTypeBroker, "1", "num.partitions").Configs[0].ReadOnly)

	require.Equal(t, kerr.UnknownTopicOrPartition.Code, describe(kmsg.ConfigResourceTypeTopic, "nowhere").ErrorCode)
	require.Equal(t, kerr.InvalidRequest.Code, describe(kmsg.ConfigResourceTypeBroker, "2").ErrorCode)
	require.Equal(t, kerr.InvalidRequest.Code, describe(kmsg.ConfigResourceTypeBroker, "one").ErrorCode)
	require.Equal(t, kerr.InvalidRequest.Code, describe(kmsg.ConfigResourceTypeGroupConfig, "").ErrorCode)
}
