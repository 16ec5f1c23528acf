package clients_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What a topic's settings do to its records, as clients see it.

func topicWith(t *testing.T, setting, value string) string {
	t.Helper()
	topic := topicName(t)
	_, err := admin(t, shared(t)).CreateTopic(bounded(t), 1, 1, map[string]*string{setting: &value}, topic)
	require.NoError(t, err)
	return topic
}

// TestTopicCodec: whatever codec the records come in, they are stored in the
// topic's, and are the same records.
func TestTopicCodec(t *testing.T) {
	for i, codec := range append([]string{"uncompressed"}, allCodecs[1:]...) {
		t.Run(codec, func(t *testing.T) {
			topic := topicWith(t, "compression.type", codec)
			wrote := franzWrite(t, shared(t), topic, allCodecs[(i+2)%len(allCodecs)])
			for i := range wrote {
				wrote[i].Offset = int64(i)
			}
			same(t, wrote, franzRead(t, shared(t), topic, 0, len(wrote)), false)
			same(t, wrote, saramaRead(t, shared(t), topic, 0, len(wrote)), false)
			want := strings.Replace(codec, "uncompressed", "none", 1)
			for _, got := range storedCodecs(t, shared(t), topic) {
				require.Equal(t, want, got)
			}
		})
	}
}

// TestLogAppendTime: the broker's clock replaces the producer's, on both the
// answer and the records.
func TestLogAppendTime(t *testing.T) {
	topic := topicWith(t, "message.timestamp.type", "LogAppendTime")
	before := time.Now().UnixMilli()
	wrote := franzWrite(t, shared(t), topic, "gzip")
	after := time.Now().UnixMilli()
	for _, r := range clients {
		if r.read == nil || r.name == kafkaGo.name { // kafka-go does not look at the timestamp type
			continue
		}
		for _, got := range r.read(t, shared(t), topic, 0, len(wrote)) {
			require.GreaterOrEqual(t, got.Time, before, r.name)
			require.LessOrEqual(t, got.Time, after, r.name)
		}
	}
}

// TestFutureTimestamp: a record from far ahead would keep its segment from ever
// being deleted by age.
func TestFutureTimestamp(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	c := franzClient(t, shared(t))
	ahead := &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: time.Now().Add(240 * time.Hour)}
	require.ErrorIs(t, c.ProduceSync(bounded(t), ahead).FirstErr(), kerr.InvalidTimestamp)
}

func TestDeleteRecords(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	a, ctx := admin(t, shared(t)), bounded(t)
	for i := range 10 {
		values(t, shared(t), topic, fmt.Sprintf("v%d", i))
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, 6, -1)
	deleted, err := a.DeleteRecords(ctx, offsets)
	require.NoError(t, err)
	require.NoError(t, deleted.Error())
	low, _ := deleted.Lookup(topic, 0)
	require.Equal(t, int64(6), low.LowWatermark)
	starts, err := a.ListStartOffsets(ctx, topic)
	require.NoError(t, err)
	start, _ := starts.Lookup(topic, 0)
	require.Equal(t, int64(6), start.Offset)
	rs := franzReadAt(t, shared(t), topic, kgo.NewOffset().AtStart(), 4)
	require.Equal(t, "v6", string(rs[0].Value))
	strict := franzClient(t, shared(t), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(2)}}))
	require.ErrorIs(t, strict.PollFetches(ctx).Err(), kerr.OffsetOutOfRange)

	beyond := kadm.Offsets{}
	beyond.AddOffset(topic, 0, 11, -1)
	deleted, err = a.DeleteRecords(ctx, beyond)
	require.NoError(t, err)
	require.ErrorIs(t, deleted.Error(), kerr.OffsetOutOfRange)
}

func TestLogDirsAndEpochs(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	values(t, shared(t), topic, "v")
	a, ctx := admin(t, shared(t)), bounded(t)
	var set kadm.TopicsSet
	set.Add(topic, 0)
	dirs, err := a.DescribeAllLogDirs(ctx, set)
	require.NoError(t, err)
	size := int64(0)
	dirs.Each(func(d kadm.DescribedLogDir) {
		require.NoError(t, d.Err)
		size += d.Size()
	})
	require.Greater(t, size, int64(61))

	var ask kadm.OffsetForLeaderEpochRequest
	ask.Add(topic, 0, 0)
	epochs, err := a.OffsetForLeaderEpoch(ctx, ask)
	require.NoError(t, err)
	require.NoError(t, epochs[topic][0].Err)
	require.Equal(t, int64(1), epochs[topic][0].EndOffset)
}
