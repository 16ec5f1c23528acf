package core

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/wire"
)

// askMetadata asks for topics, all where none is named.
func askMetadata(p *peer, version int16, topics ...string) *kmsg.MetadataResponse {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	return ask[*kmsg.MetadataResponse](p, version, req)
}

// TestMetadataIsNeverStale: whatever changes what Metadata says, the next
// request hears of it, though the one before came from the cache.
func TestMetadataIsNeverStale(t *testing.T) {
	cfg := testConfig(t)
	cfg.AutoCreate = false
	b, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Stop(context.Background()) }) // says that t2-0 is offline
	p := dial(t, b)
	twice := func(version int16, topics ...string) *kmsg.MetadataResponse {
		first := askMetadata(p, version, topics...)
		require.Equal(t, first, askMetadata(p, version, topics...))
		return first
	}
	for version := int16(1); version <= 13; version++ {
		name := fmt.Sprintf("t%d", version)
		require.NotZero(t, twice(version, name).Topics[0].ErrorCode)
		require.Len(t, twice(version).Topics, int(version-1))
		createTopic(t, p, name, 2)
		require.Len(t, twice(version, name).Topics[0].Partitions, 2)
		require.Len(t, twice(version).Topics, int(version))
	}
	b.metadata.mu.RLock()
	require.NotEmpty(t, b.metadata.answers)
	b.metadata.mu.RUnlock()

	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TopicNames = []string{"t1"}
	require.Zero(t, ask[*kmsg.DeleteTopicsResponse](p, 3, del).Topics[0].ErrorCode)
	require.NotZero(t, twice(12, "t1").Topics[0].ErrorCode)

	require.EqualValues(t, 1, twice(12, "t2").Topics[0].Partitions[0].Leader)
	b.view.Load().byName["t2"].partitions[0].fail("test", fmt.Errorf("on purpose"))
	require.EqualValues(t, -1, twice(12, "t2").Topics[0].Partitions[0].Leader)
}

// TestMetadataMakesTopics: one that a client asks for is there at once; one that
// was deleted is gone for the first who asks, as in Kafka, and back for the next.
func TestMetadataMakesTopics(t *testing.T) {
	p := dial(t, start(t, testConfig(t)))
	for _, version := range []int16{0, 3, 4, 12} {
		name := fmt.Sprintf("t%d", version)
		is := func(code *kerr.Error) {
			t.Helper()
			req := kmsg.NewPtrMetadataRequest()
			req.AllowAutoTopicCreation = true
			for _, name := range []string{name, "beside-" + name} {
				topic := kmsg.NewMetadataRequestTopic()
				topic.Topic = kmsg.StringPtr(name)
				req.Topics = append(req.Topics, topic)
			}
			found := ask[*kmsg.MetadataResponse](p, version, req).Topics
			if code != nil {
				require.Equal(t, code.Code, found[0].ErrorCode)
				require.Empty(t, found[0].Partitions)
			} else {
				require.Zero(t, found[0].ErrorCode)
				require.Len(t, found[0].Partitions, 1)
			}
			require.Zero(t, found[1].ErrorCode)
		}
		is(nil)
		for range 2 {
			del := kmsg.NewPtrDeleteTopicsRequest()
			del.TopicNames = []string{name}
			require.Zero(t, ask[*kmsg.DeleteTopicsResponse](p, 3, del).Topics[0].ErrorCode)
			is(kerr.UnknownTopicOrPartition)
			is(nil)
		}
	}
}

// TestMetadataByAddress: where clients are told the address they came by, one
// client's answer is not another's.
func TestMetadataByAddress(t *testing.T) {
	cfg := testConfig(t)
	cfg.Listen = "0.0.0.0:0"
	b := start(t, cfg)
	_, port, err := splitListener(b.Addr())
	require.NoError(t, err)
	for range 2 {
		for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
			p := dialAddr(t, fmt.Sprintf("%s:%d", host, port))
			require.Equal(t, host, askMetadata(p, 12).Brokers[0].Host)
		}
	}
}

// TestMetadataCacheIsBounded, whatever is asked.
func TestMetadataCacheIsBounded(t *testing.T) {
	var c metadataCache
	v := &view{}
	for i := range 3 * maxMetadataCount {
		key := metadataKey(nil, wire.Header{Version: 12}, "h", fmt.Appendf(nil, "%d", i))
		c.put(key, v, 0, make([]byte, 64<<10))
		require.NotNil(t, c.get(key, v, 0))
		require.LessOrEqual(t, c.bytes, maxMetadataBytes)
		require.LessOrEqual(t, len(c.answers), maxMetadataCount)
	}
	c.put([]byte("large"), v, 0, make([]byte, maxMetadataBytes))
	require.Nil(t, c.get([]byte("large"), v, 0))
	require.Zero(t, c.bytes)
}
