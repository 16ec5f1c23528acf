package clients_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// storedCodecs are the codecs of all batches of partition 0, as plain fetches
// hand them out. A writer may well send a small batch plain, where compressing
// it would not make it smaller.
func storedCodecs(t *testing.T, addr, topic string) (codecs []string) {
	t.Helper()
	ends, err := admin(t, addr).ListEndOffsets(bounded(t), topic)
	require.NoError(t, err)
	end, _ := ends.Lookup(topic, 0)
	for next := int64(0); next < end.Offset; {
		batches := fetchRaw(t, addr, topic, next)
		require.NotEmpty(t, batches)
		for len(batches) > 0 {
			require.Greater(t, len(batches), 61)
			require.Equal(t, byte(2), batches[16], "magic")
			codecs = append(codecs, allCodecs[batches[22]&7])
			next = int64(binary.BigEndian.Uint64(batches)) + int64(binary.BigEndian.Uint32(batches[23:])) + 1
			batches = batches[12+binary.BigEndian.Uint32(batches[8:]):]
		}
	}
	return codecs
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
