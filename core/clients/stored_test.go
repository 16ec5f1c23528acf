package clients_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// storedCodec is the codec of the first batch of partition 0, as a plain fetch
// hands it out.
func storedCodec(t *testing.T, addr, topic string) string {
	t.Helper()
	batch := fetchRaw(t, addr, topic, 0)
	require.Greater(t, len(batch), 61)
	require.Equal(t, byte(2), batch[16], "magic")
	return allCodecs[batch[22]&7]
}

// fetchRaw is what one fetch of partition 0 answers: record batches.
func fetchRaw(t *testing.T, addr, topic string, from int64) []byte {
	t.Helper()
	c := franzClient(t, addr)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes = 10_000, 1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = from, 64<<20
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic, ft.TopicID = topic, topicID(t, c, topic)
	ft.Partitions = append(ft.Partitions, p)
	req.Topics = append(req.Topics, ft)
	resp, err := req.RequestWith(bounded(t), c)
	require.NoError(t, err)
	require.Len(t, resp.Topics, 1)
	require.Len(t, resp.Topics[0].Partitions, 1)
	require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode)
	return resp.Topics[0].Partitions[0].RecordBatches
}

func topicID(t *testing.T, c *kgo.Client, topic string) [16]byte {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	req.Topics = append(req.Topics, mt)
	resp, err := req.RequestWith(bounded(t), c)
	require.NoError(t, err)
	require.Len(t, resp.Topics, 1)
	return resp.Topics[0].TopicID
}
