package core

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func driveAlterConfigs(d driven) {
	alter := func(validate bool, name string, pairs ...string) kmsg.AlterConfigsResponseResource {
		req := kmsg.NewPtrAlterConfigsRequest()
		req.ValidateOnly = validate
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, name
		for i := 0; i < len(pairs); i += 2 {
			c := kmsg.NewAlterConfigsRequestResourceConfig()
			c.Name, c.Value = pairs[i], kmsg.StringPtr(pairs[i+1])
			r.Configs = append(r.Configs, c)
		}
		req.Resources = append(req.Resources, r)
		return ask[*kmsg.AlterConfigsResponse](d.peer, d.version, req).Resources[0]
	}
	own := func() map[string]string { return d.b.view.Load().byName["events"].meta.Configs }
	require.Zero(d.t, alter(false, "events", "retention.ms", "1000", "segment.bytes", "65536").ErrorCode)
	require.Equal(d.t, map[string]string{"retention.ms": "1000", "segment.bytes": "65536"}, own())
	require.Zero(d.t, alter(false, "events", "max.message.bytes", "1000").ErrorCode)
	require.Equal(d.t, map[string]string{"max.message.bytes": "1000"}, own(), "the others are gone")
	require.Zero(d.t, alter(true, "events").ErrorCode)
	require.Equal(d.t, kerr.InvalidConfig.Code, alter(false, "events", "retention.ms", "-5").ErrorCode)
	got := alter(false, "nothing", "retention.ms", "1")
	require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, got.ErrorCode)
	require.Equal(d.t, "nothing", got.ResourceName)
	require.Len(d.t, own(), 1)
}

func driveIncrementalAlterConfigs(d driven) {
	own := func() map[string]string { return d.b.view.Load().byName["events"].meta.Configs }
	set, del, add, sub := kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete,
		kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	topic, broker := kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
	value := kmsg.StringPtr
	for _, c := range []struct {
		what     string
		kind     kmsg.ConfigResourceType
		name     string
		ops      []configOp
		validate bool
		want     *kerr.Error
		own      map[string]string // nil: as before
	}{
		{what: "set", kind: topic, name: "events", ops: []configOp{{set, "retention.ms", value("1000")}, {set, "segment.bytes", value("65536")}},
			own: map[string]string{"retention.ms": "1000", "segment.bytes": "65536"}},
		{what: "delete, and one that was not set", kind: topic, name: "events", ops: []configOp{{del, "retention.ms", nil}, {del, "retention.bytes", nil}},
			own: map[string]string{"segment.bytes": "65536"}},
		{what: "add to a list", kind: topic, name: "events", ops: []configOp{{add, "cleanup.policy", value("compact")}, {del, "segment.bytes", nil}},
			own: map[string]string{"cleanup.policy": "delete,compact"}},
		{what: "add what is there", kind: topic, name: "events", ops: []configOp{{add, "cleanup.policy", value("compact")}}},
		{what: "take from a list", kind: topic, name: "events", ops: []configOp{{sub, "cleanup.policy", value("delete")}},
			own: map[string]string{"cleanup.policy": "compact"}},
		{what: "validate only", kind: topic, name: "events", ops: []configOp{{set, "retention.ms", value("1")}}, validate: true},
		{what: "validate only, wrong", kind: topic, name: "events", ops: []configOp{{set, "retention.ms", value("x")}}, validate: true, want: kerr.InvalidConfig},
		{what: "one wrong setting spoils the other", kind: topic, name: "events", want: kerr.InvalidConfig,
			ops: []configOp{{set, "retention.ms", value("1")}, {set, "no.such", value("1")}}},
		{what: "not a list", kind: topic, name: "events", ops: []configOp{{add, "retention.ms", value("1")}}, want: kerr.InvalidConfig},
		{what: "twice", kind: topic, name: "events", ops: []configOp{{set, "retention.ms", value("1")}, {del, "retention.ms", nil}}, want: kerr.InvalidRequest},
		{what: "null", kind: topic, name: "events", ops: []configOp{{set, "retention.ms", nil}}, want: kerr.InvalidRequest},
		{what: "unknown operation", kind: topic, name: "events", ops: []configOp{{9, "retention.ms", value("1")}}, want: kerr.InvalidRequest},
		{what: "unknown topic", kind: topic, name: "nothing", ops: []configOp{{set, "retention.ms", value("1")}}, want: kerr.UnknownTopicOrPartition},
		{what: "no topic's name", kind: topic, name: "a/b", ops: []configOp{{set, "retention.ms", value("1")}}, want: kerr.InvalidTopicException},
		{what: "broker", kind: broker, name: "1", ops: []configOp{{set, "node.id", value("3")}}, want: kerr.InvalidRequest},
		{what: "all brokers", kind: broker, name: "", ops: []configOp{{set, "log.retention.ms", value("3")}}},
		{what: "another broker", kind: broker, name: "7", ops: []configOp{{del, "node.id", nil}}, want: kerr.InvalidRequest},
		{what: "broker, nothing to take back", kind: broker, name: "1", ops: []configOp{{del, "node.id", nil}}},
		{what: "no kind", name: "events", want: kerr.InvalidRequest},
	} {
		d.t.Run(c.what, func(t *testing.T) {
			before := own()
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.ValidateOnly = c.validate
			r := kmsg.NewIncrementalAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = c.kind, c.name
			for _, o := range c.ops {
				rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
				rc.Op, rc.Name, rc.Value = o.op, o.name, o.value
				r.Configs = append(r.Configs, rc)
			}
			req.Resources = append(req.Resources, r)
			got := ask[*kmsg.IncrementalAlterConfigsResponse](d.peer, d.version, req).Resources[0]
			require.Equal(t, c.name, got.ResourceName)
			if c.want != nil {
				require.Equal(t, c.want.Code, got.ErrorCode, deref(got.ErrorMessage))
				require.NotEmpty(t, deref(got.ErrorMessage))
			} else {
				require.Zero(t, got.ErrorCode, deref(got.ErrorMessage))
			}
			if c.own == nil {
				c.own = before
			}
			require.Equal(t, c.own, own())
			// The same resource twice: neither.
			req.Resources = append(req.Resources, r)
			for _, got := range ask[*kmsg.IncrementalAlterConfigsResponse](d.peer, d.version, req).Resources {
				require.Equal(t, kerr.InvalidRequest.Code, got.ErrorCode)
			}
		})
	}
}

// TestAlteredSettings: a change holds at once, in the partition and in its log,
// shows with its source, and survives a restart.
func TestAlteredSettings(t *testing.T) {
	cfg := testConfig(t)
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	admin := func(b *Broker) *kadm.Client {
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
		require.NoError(t, err)
		t.Cleanup(cl.Close)
		return kadm.NewClient(cl)
	}
	alter := func(a *kadm.Client, configs ...kadm.AlterConfig) {
		t.Helper()
		got, err := a.AlterTopicConfigs(ctx, configs, "t")
		require.NoError(t, err)
		require.NoError(t, got[0].Err)
	}
	source := func(a *kadm.Client, name string) (string, kmsg.ConfigSource) {
		t.Helper()
		got, err := a.DescribeTopicConfigs(ctx, "t")
		require.NoError(t, err)
		for _, c := range got[0].Configs {
			if c.Key == name {
				return c.MaybeValue(), c.Source
			}
		}
		t.Fatal("no ", name)
		return "", 0
	}
	a := admin(b)
	part := b.view.Load().byName["t"].partitions[0]
	for range 4 {
		require.Zero(t, produceOne(p, "t", 0, sized(t, 5000)).ErrorCode)
	}
	require.Equal(t, 1, part.log.Segments())

	alter(a, kadm.AlterConfig{Name: "segment.bytes", Value: kadm.StringPtr("6000")}, kadm.AlterConfig{Name: "max.message.bytes", Value: kadm.StringPtr("5500")})
	require.Equal(t, kerr.MessageTooLarge.Code, produceOne(p, "t", 0, sized(t, 5900)).ErrorCode)
	for range 3 {
		require.Zero(t, produceOne(p, "t", 0, sized(t, 5000)).ErrorCode)
	}
	require.Equal(t, 4, part.log.Segments(), "the log rolls by the new size")

	alter(a, kadm.AlterConfig{Name: "retention.bytes", Value: kadm.StringPtr("6000")})
	part.retain()
	require.Positive(t, part.log.Start(), "retention goes by the new size")

	value, from := source(a, "segment.bytes")
	require.Equal(t, "6000", value)
	require.Equal(t, kmsg.ConfigSourceDynamicTopicConfig, from)

	stop(t, b)
	b = start(t, cfg)
	a = admin(b)
	value, from = source(a, "segment.bytes")
	require.Equal(t, "6000", value)
	require.Equal(t, kmsg.ConfigSourceDynamicTopicConfig, from)
	alter(a, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "segment.bytes"})
	value, from = source(a, "segment.bytes")
	require.Equal(t, "1073741824", value)
	require.Equal(t, kmsg.ConfigSourceDefaultConfig, from)

	valid, err := a.ValidateAlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: kadm.StringPtr("soon")}}, "t")
	require.NoError(t, err)
	require.ErrorIs(t, valid[0].Err, kerr.InvalidConfig)

	_, err = a.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Name: "log.retention.ms", Value: kadm.StringPtr("1")}}, 1)
	require.NoError(t, err)
}
