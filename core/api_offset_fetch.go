package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetFetch, v1 to v10: how far groups have come.
//
//   - No topics named, by null (v2): all that the group has committed for. An
//     offset that is not there, and so every one of an unknown group, is -1
//     without an error.
//   - v5 tells leader epochs. v7 asks for offsets that no transaction may change
//     any more: one that an open transaction has committed is
//     UNSTABLE_OFFSET_COMMIT.
//   - v8 asks for several groups at once, each with an error of its own. v9 has
//     a member's id and epoch: in a group of the type consumer a wrong epoch is
//     STALE_MEMBER_EPOCH; to a classic group they mean nothing.
//   - v10 has topic ids. Unknown: UNKNOWN_TOPIC_ID. Asked for all, a topic that
//     is gone is left out.
func offsetFetch(c *groupCall, req *kmsg.OffsetFetchRequest) {
	if req.Version < 10 {
		c.coordinate(req)
		return
	}
	view := c.view.Load()
	unknown := make([][]kmsg.OffsetFetchResponseGroupTopic, len(req.Groups))
	for i := range req.Groups {
		g := &req.Groups[i]
		if g.Topics == nil {
			continue
		}
		known := g.Topics[:0]
		for _, t := range g.Topics {
			if topic := view.byID[t.TopicID]; topic != nil {
				t.Topic = topic.meta.Name
				known = append(known, t)
				continue
			}
			unknown[i] = append(unknown[i], noOffsets(t))
		}
		g.Topics = known
	}
	c.coordinateThen(req, func(resp kmsg.Response) {
		r := resp.(*kmsg.OffsetFetchResponse)
		for i := range r.Groups {
			if g := &r.Groups[i]; g.ErrorCode == 0 {
				g.Topics = append(identify(view, g.Topics), unknown[i]...)
			}
		}
		c.answer(r)
	})
}

// identify writes in the ids of topics, and leaves out those that are gone.
func identify(view *view, topics []kmsg.OffsetFetchResponseGroupTopic) []kmsg.OffsetFetchResponseGroupTopic {
	out := topics[:0]
	for _, t := range topics {
		if topic := view.byName[t.Topic]; topic != nil {
			t.TopicID = topic.meta.ID
			out = append(out, t)
		}
	}
	return out
}

// noOffsets is the answer for a topic id that is unknown.
func noOffsets(asked kmsg.OffsetFetchRequestGroupTopic) kmsg.OffsetFetchResponseGroupTopic {
	t := kmsg.OffsetFetchResponseGroupTopic{TopicID: asked.TopicID}
	for _, p := range asked.Partitions {
		t.Partitions = append(t.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{
			Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new(string), ErrorCode: kerr.UnknownTopicID.Code,
		})
	}
	return t
}
