package core

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/diskio"
)

// setBroker gives a broker ("": all) a setting; nil takes it back.
func setBroker(p *peer, broker, name string, value *string) *kmsg.IncrementalAlterConfigsResponseResource {
	p.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, broker
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value = name, value
	if value == nil {
		c.Op = kmsg.IncrementalAlterConfigOpDelete
	}
	r.Configs = append(r.Configs, c)
	req.Resources = append(req.Resources, r)
	return &ask[*kmsg.IncrementalAlterConfigsResponse](p, 1, req).Resources[0]
}

// describeSettingOf is one setting of a resource.
func describeSettingOf(p *peer, kind kmsg.ConfigResourceType, resource, name string) kmsg.DescribeConfigsResponseResourceConfig {
	p.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, resource, []string{name}
	req.Resources = append(req.Resources, r)
	return ask[*kmsg.DescribeConfigsResponse](p, 4, req).Resources[0].Configs[0]
}

// TestBrokerConfigsAreLive: what brokers are told holds for the next batch of
// every topic that has no setting of its own, the broker's own before all
// brokers', and after a crash.
func TestBrokerConfigsAreLive(t *testing.T) {
	mem := diskio.NewMem()
	b := start(t, onMemory(t, mem, diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	createTopic(t, p, "own", 1, "max.message.bytes", "100000")
	batch := func() []byte { return oneBatch(t, batching.Options{}, big()) }
	code := func(p *peer, topic string) int16 { return produceOne(p, topic, 0, batch()).ErrorCode }
	require.Zero(t, code(p, "t"))

	require.Zero(t, setBroker(p, "", "message.max.bytes", kmsg.StringPtr("5000")).ErrorCode)
	require.Equal(t, kerr.MessageTooLarge.Code, code(p, "t"))
	require.Zero(t, code(p, "own"))
	createTopic(t, p, "later", 1)
	require.Equal(t, kerr.MessageTooLarge.Code, code(p, "later"))
	require.Zero(t, setBroker(p, "1", "message.max.bytes", kmsg.StringPtr("50000")).ErrorCode)
	require.Zero(t, code(p, "t"))

	got := describeSettingOf(p, kmsg.ConfigResourceTypeTopic, "t", "max.message.bytes")
	require.Equal(t, "50000", deref(got.Value))
	require.Equal(t, kmsg.ConfigSourceDynamicBrokerConfig, got.Source)
	require.Len(t, got.ConfigSynonyms, 3, "the broker's, all brokers', the default")
	require.False(t, describeSettingOf(p, kmsg.ConfigResourceTypeBroker, "1", "message.max.bytes").ReadOnly)
	require.Equal(t, kmsg.ConfigSourceDynamicDefaultBrokerConfig, describeSettingOf(p, kmsg.ConfigResourceTypeBroker, "", "message.max.bytes").Source)

	require.Zero(t, setBroker(p, "1", "message.max.bytes", nil).ErrorCode)
	require.Equal(t, kerr.MessageTooLarge.Code, code(p, "t"))
	crashed := dial(t, start(t, onMemory(t, mem.CrashClone(diskio.Crash{}), diskio.SyncPageCache)))
	require.Equal(t, kerr.MessageTooLarge.Code, code(crashed, "t"))
	require.Equal(t, "5000", deref(describeSettingOf(crashed, kmsg.ConfigResourceTypeBroker, "1", "message.max.bytes").Value))
}

func TestBrokerConfigsRefused(t *testing.T) {
	p := dial(t, start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache)))
	for _, bad := range []struct{ broker, name, value string }{
		{"1", "num.partitions", "3"},
		{"", "node.id", "3"},
		{"1", "log.retention.ms", "soon"},
		{"1", "message.max.bytes", "-1"},
		{"2", "log.retention.ms", "5"},
		{"one", "log.retention.ms", "5"},
	} {
		got := setBroker(p, bad.broker, bad.name, &bad.value)
		require.Equal(t, kerr.InvalidRequest.Code, got.ErrorCode, "%v", bad)
		require.NotEmpty(t, deref(got.ErrorMessage))
	}
}

// TestBrokerConfigsWithoutEffect: what means nothing here is checked as Kafka
// checks it, kept and shown; an unknown setting is shown without its value.
func TestBrokerConfigsWithoutEffect(t *testing.T) {
	p := dial(t, start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache)))
	rate, secret := "leader.replication.throttled.rate", "some.password"
	refused := setBroker(p, "1", rate, kmsg.StringPtr("-1"))
	require.Equal(t, kerr.InvalidRequest.Code, refused.ErrorCode)
	require.Equal(t, "Invalid value -1 for configuration "+rate+": Value must be at least 0", *refused.ErrorMessage)
	require.Equal(t, "Invalid value x for configuration background.threads: Not a number of type INT", *setBroker(p, "", "background.threads", kmsg.StringPtr("x")).ErrorMessage)
	require.Zero(t, setBroker(p, "", rate, kmsg.StringPtr("10")).ErrorCode)
	require.Zero(t, setBroker(p, "1", rate, kmsg.StringPtr("20")).ErrorCode)
	require.Zero(t, setBroker(p, "1", secret, kmsg.StringPtr("hidden")).ErrorCode)

	own := describeSettingOf(p, kmsg.ConfigResourceTypeBroker, "1", rate)
	require.Equal(t, "20", *own.Value)
	require.Equal(t, kmsg.ConfigSourceDynamicBrokerConfig, own.Source)
	require.Equal(t, kmsg.ConfigTypeLong, own.ConfigType)
	require.False(t, own.ReadOnly || own.IsSensitive)
	require.Len(t, own.ConfigSynonyms, 3)
	require.Equal(t, "10", *own.ConfigSynonyms[1].Value)
	require.Equal(t, kmsg.ConfigSourceDefaultConfig, own.ConfigSynonyms[2].Source)
	all := describeSettingOf(p, kmsg.ConfigResourceTypeBroker, "", rate)
	require.Equal(t, "10", *all.Value)
	require.Equal(t, kmsg.ConfigSourceDynamicDefaultBrokerConfig, all.Source)

	hidden := describeSettingOf(p, kmsg.ConfigResourceTypeBroker, "1", secret)
	require.Nil(t, hidden.Value)
	require.Nil(t, hidden.ConfigSynonyms[0].Value)
	require.True(t, hidden.ReadOnly && hidden.IsSensitive)

	require.Zero(t, setBroker(p, "1", rate, nil).ErrorCode)
	require.Equal(t, "10", *describeSettingOf(p, kmsg.ConfigResourceTypeBroker, "1", rate).Value)
}
