package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetForLeaderEpoch, v2 to v4: where an epoch ends, so that a client can see
// whether records that it has read were cut.
//
//   - The epoch of now ends at the log's end; an older one where the next begins.
//     An epoch newer than now is answered with epoch and offset -1; one older
//     than what the log still holds with itself and where the first known begins.
//   - The current leader epoch is checked as in Fetch, but for epochs below -1:
//     Fetch takes them for none, and this and ListOffsets for one that was. v3 adds the replica id,
//     v4 is flexible.
func offsetForLeaderEpoch(c *call, req *kmsg.OffsetForLeaderEpochRequest) (*kmsg.OffsetForLeaderEpochResponse, error) {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	view := c.view.Load()
	for i := range req.Topics {
		asked := &req.Topics[i]
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = asked.Topic
		topic := view.byName[asked.Topic]
		for j := range asked.Partitions {
			a := &asked.Partitions[j]
			o := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			o.Partition, o.LeaderEpoch, o.EndOffset = a.Partition, unknownLeaderEpoch, unknownOffset
			if topic == nil || topic.partition(a.Partition) == nil {
				o.ErrorCode = kerr.UnknownTopicOrPartition.Code
			} else {
				p := topic.partition(a.Partition)
				if o.ErrorCode = p.check(a.CurrentLeaderEpoch); o.ErrorCode == 0 {
					o.LeaderEpoch, o.EndOffset = p.epochEnd(a.LeaderEpoch)
				}
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}
