package core

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/diskio"
)

// withClock starts a broker whose quotas go by a clock of the test's own.
func withClock(t *testing.T, change func(*Config)) (b *Broker, pass func(time.Duration)) {
	var now atomic.Int64
	now.Store(1_700_000_000_000_000_000)
	cfg := onMemory(t, diskio.NewMem(), diskio.SyncPageCache)
	cfg.Clock = func() time.Time { return time.Unix(0, now.Load()) }
	change(&cfg)
	return start(t, cfg), func(d time.Duration) { now.Add(int64(d)) }
}

// TestMutationQuota: each request that changes how many partitions there are is
// charged for them and, once that is overdrawn, refused at the versions that can
// tell, and let and made to wait at those before.
func TestMutationQuota(t *testing.T) {
	b, pass := withClock(t, func(c *Config) { c.MutationSamples = 2 })
	fresh := func() *peer { return dial(t, b) } // no connection waits for what another owes
	create := func(version int16, name string, partitions int32) (code int16, wait int32) {
		req := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
		req.Topics = append(req.Topics, topic)
		resp := ask[*kmsg.CreateTopicsResponse](fresh(), version, req)
		return resp.Topics[0].ErrorCode, resp.ThrottleMillis
	}
	remove := func(version int16, name string) (code int16, wait int32) {
		req := kmsg.NewPtrDeleteTopicsRequest()
		if version < 6 {
			req.TopicNames = []string{name}
		} else {
			topic := kmsg.NewDeleteTopicsRequestTopic()
			topic.Topic = &name
			req.Topics = append(req.Topics, topic)
		}
		resp := ask[*kmsg.DeleteTopicsResponse](fresh(), version, req)
		return resp.Topics[0].ErrorCode, resp.ThrottleMillis
	}
	grow := func(version int16, name string, to int32) (code int16, wait int32) {
		req := kmsg.NewPtrCreatePartitionsRequest()
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = name, to
		req.Topics = append(req.Topics, topic)
		resp := ask[*kmsg.CreatePartitionsResponse](fresh(), version, req)
		return resp.Topics[0].ErrorCode, resp.ThrottleMillis
	}
	answers := func(code int16, wait int32) func(int16, int32) {
		return func(gotCode int16, gotWait int32) {
			t.Helper()
			require.Equal(t, kerr.ErrorForCode(code), kerr.ErrorForCode(gotCode))
			require.Equal(t, wait, gotWait)
		}
	}
	exceeded := kerr.ThrottlingQuotaExceeded.Code
	require.Zero(t, setQuota(fresh(), 1, map[string]*string{"user": nil}, "controller_mutation_rate", 50)) // 100 at once

	answers(0, 0)(create(7, "a", 60))
	answers(0, 0)(create(6, "b", 45)) // 5 too many: taken once
	answers(exceeded, 100)(create(7, "c", 1))
	answers(exceeded, 100)(create(6, "c", 1))
	answers(exceeded, 100)(remove(5, "a"))
	answers(exceeded, 100)(remove(6, "a"))
	answers(exceeded, 100)(grow(3, "a", 61))
	require.Nil(t, b.view.Load().image.Topic("c"))
	require.Len(t, b.view.Load().image.Topic("a").Partitions, 60)

	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr("by-asking")
	req.Topics, req.AllowAutoTopicCreation = append(req.Topics, topic), true
	require.Equal(t, kerr.UnknownTopicOrPartition.Code, ask[*kmsg.MetadataResponse](fresh(), 12, req).Topics[0].ErrorCode)

	answers(0, 120)(create(5, "c", 1))
	answers(0, 140)(grow(2, "c", 2))
	answers(0, 180)(remove(4, "c"))
	require.Nil(t, b.view.Load().image.Topic("c"))
	pass(180 * time.Millisecond)
	answers(0, 0)(grow(3, "a", 61))
	answers(exceeded, 20)(remove(6, "a"))
	pass(20 * time.Millisecond)
	require.Zero(t, ask[*kmsg.MetadataResponse](fresh(), 12, req).Topics[0].ErrorCode)
	pass(time.Second)
	answers(0, 0)(remove(6, "a"))
	answers(exceeded, 240)(remove(6, "b")) // 50 - 1 - 61
	require.Zero(t, setQuota(fresh(), 1, map[string]*string{"user": nil}, "controller_mutation_rate", 0))
	answers(0, 0)(remove(6, "b"))
}

// TestMutedForMutations: whoever was told to wait is not served before.
func TestMutedForMutations(t *testing.T) {
	b, _ := withClock(t, func(c *Config) { c.MutationSamples = 2 })
	p := dial(t, b)
	require.Zero(t, setQuota(p, 1, theClient(), "controller_mutation_rate", 50))
	createTopic(t, p, "a", 110)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{"a"}
	began := time.Now()
	require.EqualValues(t, 200, ask[*kmsg.DeleteTopicsResponse](p, 5, req).ThrottleMillis)
	p.ask(kmsg.NewPtrApiVersionsRequest())
	require.GreaterOrEqual(t, time.Since(began), 190*time.Millisecond)
}

// TestConnectionQuota: an address above its rate is kept waiting, unserved, and
// then closed; others, and what it has open, go on.
func TestConnectionQuota(t *testing.T) {
	b, pass := withClock(t, func(c *Config) { c.QuotaSamples = 2 })
	p := dial(t, b)
	here := kmsg.StringPtr("127.0.0.1")
	require.Zero(t, setQuota(p, 1, map[string]*string{"ip": kmsg.StringPtr("10.9.9.9")}, "connection_creation_rate", 1))
	require.Zero(t, setQuota(p, 1, map[string]*string{"ip": nil}, "connection_creation_rate", 5))
	served := func() {
		t.Helper()
		require.NotEmpty(t, dial(t, b).ask(kmsg.NewPtrApiVersionsRequest()))
	}
	for range 5 {
		served()
	}
	late := dial(t, b)
	began := time.Now()
	late.send(kmsg.NewPtrApiVersionsRequest())
	late.requireClosed()
	require.GreaterOrEqual(t, time.Since(began), 150*time.Millisecond, "(6-5)/5 of a second")
	require.EqualValues(t, 1, b.server.Stats().Throttled.Load())
	require.NotEmpty(t, p.ask(kmsg.NewPtrApiVersionsRequest()), "who is there goes on")
	pass(3 * time.Second)
	served()
	require.Zero(t, setQuota(p, 1, map[string]*string{"ip": here}, "connection_creation_rate", 30))
	for range 20 {
		served()
	}
}
