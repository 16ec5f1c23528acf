package core

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

// TestOracle puts the same requests to kfake, franz-go's stand-in for Kafka, and
// compares what a client would act on: error codes and offsets. Where kfake is
// known to differ from Kafka it is not asked.
func TestOracle(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	defer fake.Close()
	b := start(t, testConfig(t))
	ours, theirs := script(dial(t, b)), script(dialAddr(t, fake.ListenAddrs()[0]))
	require.Equal(t, theirs, ours)
	require.Greater(t, len(ours), 20)
}

// script asks, and writes down one line for each answer.
func script(p *peer) (lines []string) {
	say := func(what string, values ...any) { lines = append(lines, what+": "+fmt.Sprint(values...)) }

	create := func(name string, partitions int32, replicas int16) {
		req := kmsg.NewPtrCreateTopicsRequest()
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, replicas
		req.Topics = append(req.Topics, rt)
		say(fmt.Sprint("create ", name, partitions, replicas), ask[*kmsg.CreateTopicsResponse](p, 6, req).Topics[0].ErrorCode)
	}
	create("t", 2, 1)
	create("t", 2, 1)
	create("u", 0, 1)

	produce := func(what string, partition int32, records []byte) {
		got := produceOne(p, "t", partition, records)
		if got.ErrorCode != 0 {
			got.BaseOffset = -1 // kfake leaves 0, Kafka says -1
		}
		say("produce "+what, got.ErrorCode, got.BaseOffset)
	}
	produce("first", 0, oneBatch(p.t, batching.Options{}, "a", "b"))
	produce("second", 0, oneBatch(p.t, batching.Options{}, "c"))
	produce("no such partition", 9, oneBatch(p.t, batching.Options{}, "c"))
	produce("sequence 0", 1, idempotentBatch(p.t, 5, 0, "x", "y"))
	produce("sequence 2", 1, idempotentBatch(p.t, 5, 2, "z"))
	produce("sequence 0 again", 1, idempotentBatch(p.t, 5, 0, "x", "y"))
	produce("sequence 9", 1, idempotentBatch(p.t, 5, 9, "x"))

	for _, partition := range []int32{0, 9} {
		for _, offset := range []int64{0, 1, 2, 3, 4} {
			got := fetchOne(p, "t", partition, offset)
			n := 0
			if got.ErrorCode == 0 {
				n = len(values(p.t, got.RecordBatches))
			}
			say(fmt.Sprint("fetch ", partition, " at ", offset), got.ErrorCode, n)
		}
	}
	for _, ts := range []int64{-1, -2, 0, 1 << 60} {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp, rp.CurrentLeaderEpoch = ts, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		got := ask[*kmsg.ListOffsetsResponse](p, 6, req).Topics[0].Partitions[0]
		say(fmt.Sprint("list offset for ", ts), got.ErrorCode, got.Offset)
	}
	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = kmsg.StringPtr("nowhere")
	meta.Topics = append(meta.Topics, mt)
	say("metadata of nothing", ask[*kmsg.MetadataResponse](p, 9, meta).Topics[0].ErrorCode)
	deleteUnknown := kmsg.NewPtrDeleteTopicsRequest()
	dt := kmsg.NewDeleteTopicsRequestTopic()
	dt.TopicID = [16]byte{1, 2, 3}
	deleteUnknown.Topics = append(deleteUnknown.Topics, dt)
	say("delete an unknown id", ask[*kmsg.DeleteTopicsResponse](p, 6, deleteUnknown).Topics[0].ErrorCode)
	return lines
}
