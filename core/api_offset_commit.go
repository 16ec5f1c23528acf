package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetCommit, v2 to v10: how far a group has come.
//
//   - Partitions that do not exist: UNKNOWN_TOPIC_OR_PARTITION, each for itself;
//     v10 has topic ids, and UNKNOWN_TOPIC_ID. If none is left, nothing else is
//     looked at.
//   - v2 to v4 may say how long the commit is to be kept. v6 brings leader
//     epochs, v7 group.instance.id. From v9 on an unknown group is
//     GROUP_ID_NOT_FOUND, before ILLEGAL_GENERATION.
//   - In a group of the type consumer the generation is the member's epoch, and one
//     that is not is STALE_MEMBER_EPOCH; before v9 such members get
//     UNSUPPORTED_VERSION.
//   - No member and no generation: a consumer that manages its partitions
//     itself. It is heard while the group has no members (UNKNOWN_MEMBER_ID
//     otherwise), and makes the group if need be.
//   - Metadata longer than offset.metadata.max.bytes: OFFSET_METADATA_TOO_LARGE.
//     Past group.max.bytes: INVALID_COMMIT_OFFSET_SIZE.
//   - Answered when the offsets are in __consumer_offsets, and the promise of
//     the sync policy holds for them.
func offsetCommit(c *groupCall, req *kmsg.OffsetCommitRequest) {
	refused := c.refuseUnknown(req)
	switch {
	case len(req.Topics) == 0:
		resp := kmsg.NewPtrOffsetCommitResponse()
		resp.Topics = refused
		c.answer(resp)
	case len(refused) == 0:
		c.coordinate(req)
	default:
		c.coordinateThen(req, func(resp kmsg.Response) {
			r := resp.(*kmsg.OffsetCommitResponse)
			r.Topics = mergeCommitted(refused, r.Topics)
			c.answer(r)
		})
	}
}

// refuseUnknown takes out of req what does not exist, and answers for it. From
// v10 on it writes in what the topics are called.
func (c *groupCall) refuseUnknown(req *kmsg.OffsetCommitRequest) (refused []kmsg.OffsetCommitResponseTopic) {
	view, known := c.view.Load(), req.Topics[:0]
	for _, t := range req.Topics {
		topic, code := view.find([]byte(t.Topic), t.TopicID, req.Version >= 10)
		if topic != nil {
			t.Topic = topic.meta.Name
		}
		out := kmsg.OffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.TopicID}
		there := t.Partitions[:0]
		for _, p := range t.Partitions {
			switch {
			case topic == nil:
				out.Partitions = append(out.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: code})
			case topic.partition(p.Partition) == nil:
				out.Partitions = append(out.Partitions, kmsg.OffsetCommitResponseTopicPartition{
					Partition: p.Partition, ErrorCode: kerr.UnknownTopicOrPartition.Code,
				})
			default:
				there = append(there, p)
			}
		}
		if t.Partitions = there; len(there) > 0 {
			known = append(known, t)
		}
		if len(out.Partitions) > 0 {
			refused = append(refused, out)
		}
	}
	req.Topics = known
	return refused
}

// mergeCommitted adds the coordinator's answers to those of refuseUnknown.
func mergeCommitted(refused, answered []kmsg.OffsetCommitResponseTopic) []kmsg.OffsetCommitResponseTopic {
	place := make(map[string]int, len(refused))
	for i := range refused {
		place[refused[i].Topic] = i
	}
	for _, t := range answered {
		if i, ok := place[t.Topic]; ok && t.Topic != "" {
			refused[i].Partitions = append(refused[i].Partitions, t.Partitions...)
			continue
		}
		refused = append(refused, t)
	}
	return refused
}
