package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// DeleteTopics, v1 to v6: by name; from v6 by name or id.
//
//   - v5 adds words to an error, and THROTTLING_QUOTA_EXCEEDED; see CreateTopics.
//   - Unknown: UNKNOWN_TOPIC_OR_PARTITION by name, UNKNOWN_TOPIC_ID by id. Both
//     given, neither given, or the same topic twice (answered once):
//     INVALID_REQUEST.
//   - A deleted topic's files leave in the background; the answer does not wait
//     for them.
func deleteTopics(c *call, req *kmsg.DeleteTopicsRequest) (*kmsg.DeleteTopicsResponse, error) {
	asked := req.Topics
	for _, name := range req.TopicNames {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		asked = append(asked, t)
	}
	resp := kmsg.NewPtrDeleteTopicsResponse()
	err := c.change(func(image *meta.Image) ([]meta.Record, error) {
		resp.Topics = resp.Topics[:0]
		var records []meta.Record
		found := make([]*meta.Topic, len(asked))
		times, names := map[*meta.Topic]int{}, map[*meta.Topic]int{}
		for i := range asked {
			found[i] = topicToDelete(image, &asked[i])
			times[found[i]]++
			if asked[i].Topic != nil {
				names[found[i]]++
			}
		}
		for i := range asked {
			t, topic := &asked[i], found[i]
			out := kmsg.NewDeleteTopicsResponseTopic()
			out.Topic, out.TopicID = t.Topic, t.TopicID
			var f *fault
			switch {
			case t.Topic != nil && t.TopicID != [16]byte{}:
				f = faultf(kerr.InvalidRequest, "You may not specify both topic name and topic id.")
			case t.Topic == nil && t.TopicID == [16]byte{}:
				f = faultf(kerr.InvalidRequest, "Neither topic name nor id were specified.")
			case topic == nil && t.Topic != nil:
				f = &fault{kerr.UnknownTopicOrPartition.Code, "This server does not host this topic-partition."}
			case topic == nil:
				f = &fault{kerr.UnknownTopicID.Code, "This server does not host this topic ID."}
			case times[topic] < 0:
				continue // told already
			case names[topic] > 1:
				f = faultf(kerr.InvalidRequest, "Duplicate topic name.")
				times[topic] = -1
			case times[topic] > 1:
				f = faultf(kerr.InvalidRequest, "The provided topic name maps to an ID that was already supplied.")
				out.Topic, out.TopicID = kmsg.StringPtr(topic.Name), topic.ID
				times[topic] = -1
			default:
				out.Topic, out.TopicID = kmsg.StringPtr(topic.Name), topic.ID
				if f = c.mutated(len(topic.Partitions), 5); f != nil {
					break
				}
				records = append(records, meta.TopicDeleted{Topic: topic.ID})
			}
			if f != nil {
				out.ErrorCode, out.ErrorMessage = f.code, f.text()
			}
			resp.Topics = append(resp.Topics, out)
		}
		return records, nil
	})
	if err != nil {
		f := changeFault(err)
		for i := range resp.Topics {
			if t := &resp.Topics[i]; t.ErrorCode == 0 {
				t.ErrorCode, t.ErrorMessage = f.code, f.text()
			}
		}
	}
	return resp, nil
}

func topicToDelete(image *meta.Image, t *kmsg.DeleteTopicsRequestTopic) *meta.Topic {
	switch byID := t.TopicID != [16]byte{}; {
	case byID == (t.Topic != nil):
		return nil
	case byID:
		return image.TopicByID(t.TopicID)
	}
	return image.Topic(*t.Topic)
}
