package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetDelete, v0: forgets how far a group has come.
//
//   - Partitions that do not exist: UNKNOWN_TOPIC_OR_PARTITION. That nothing was
//     committed for a partition is no error.
//   - Unknown group: GROUP_ID_NOT_FOUND. A topic that the group reads:
//     GROUP_SUBSCRIBED_TO_TOPIC. A group with members that are no consumers:
//     NON_EMPTY_GROUP.
func offsetDelete(c *groupCall, req *kmsg.OffsetDeleteRequest) {
	var refused []kmsg.OffsetDeleteResponseTopic
	view, known := c.view.Load(), req.Topics[:0]
	for _, t := range req.Topics {
		out := kmsg.OffsetDeleteResponseTopic{Topic: t.Topic}
		topic, there := view.byName[t.Topic], t.Partitions[:0]
		for _, p := range t.Partitions {
			if topic == nil || topic.partition(p.Partition) == nil {
				out.Partitions = append(out.Partitions, kmsg.OffsetDeleteResponseTopicPartition{
					Partition: p.Partition, ErrorCode: kerr.UnknownTopicOrPartition.Code,
				})
				continue
			}
			there = append(there, p)
		}
		if t.Partitions = there; len(there) > 0 {
			known = append(known, t)
		}
		if len(out.Partitions) > 0 {
			refused = append(refused, out)
		}
	}
	req.Topics = known
	c.coordinateThen(req, func(resp kmsg.Response) {
		r := resp.(*kmsg.OffsetDeleteResponse)
		if r.ErrorCode == 0 {
			r.Topics = mergeDeleted(refused, r.Topics)
		}
		c.answer(r)
	})
}

func mergeDeleted(refused, answered []kmsg.OffsetDeleteResponseTopic) []kmsg.OffsetDeleteResponseTopic {
	place := make(map[string]int, len(refused))
	for i := range refused {
		place[refused[i].Topic] = i
	}
	for _, t := range answered {
		if i, ok := place[t.Topic]; ok {
			refused[i].Partitions = append(refused[i].Partitions, t.Partitions...)
			continue
		}
		refused = append(refused, t)
	}
	return refused
}
