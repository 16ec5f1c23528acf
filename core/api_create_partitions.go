package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// CreatePartitions, v0 to v3: more partitions for topics that exist.
//
//   - Fewer or as many as there are: INVALID_PARTITIONS.
//   - Assignments, where given, name this broker once for each new partition:
//     INVALID_REPLICA_ASSIGNMENT otherwise.
//   - __consumer_offsets does not grow: INVALID_TOPIC_EXCEPTION. Kafka lets it,
//     and loses the groups whose place that moves.
//   - v2 is flexible, v3 adds THROTTLING_QUOTA_EXCEEDED; see CreateTopics.
func createPartitions(c *call, req *kmsg.CreatePartitionsRequest) (*kmsg.CreatePartitionsResponse, error) {
	resp := kmsg.NewPtrCreatePartitionsResponse()
	times := map[string]int{}
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	err := c.change(func(image *meta.Image) ([]meta.Record, error) {
		resp.Topics = resp.Topics[:0]
		var records []meta.Record
		told := map[string]bool{}
		for i := range req.Topics {
			asked := &req.Topics[i]
			out := kmsg.NewCreatePartitionsResponseTopic()
			out.Topic = asked.Topic
			if times[asked.Topic] > 1 {
				if !told[asked.Topic] {
					out.ErrorCode, out.ErrorMessage = kerr.InvalidRequest.Code, kmsg.StringPtr("Duplicate topic name.")
					resp.Topics = append(resp.Topics, out)
				}
				told[asked.Topic] = true
				continue
			}
			topic := image.Topic(asked.Topic)
			f := c.checkGrowth(topic, asked)
			if f == nil {
				f = c.mutated(int(asked.Count)-len(topic.Partitions), 3)
			}
			if f != nil {
				out.ErrorCode, out.ErrorMessage = f.code, f.text()
			} else if !req.ValidateOnly {
				records = append(records, meta.PartitionsAdded{Topic: topic.ID, Total: int(asked.Count), Node: c.node})
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

func (b *Broker) checkGrowth(topic *meta.Topic, asked *kmsg.CreatePartitionsRequestTopic) *fault {
	if topic == nil {
		return &fault{code: kerr.UnknownTopicOrPartition.Code}
	}
	have := len(topic.Partitions)
	switch n := int(asked.Count); {
	case n == have:
		return faultf(kerr.InvalidPartitions, "Topic already has %d partition(s).", have)
	case n < have:
		return faultf(kerr.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", topic.Name, have, n)
	case internalTopic(topic.Name):
		return faultf(kerr.InvalidTopicException, "The number of partitions of %s says what is kept where, and cannot change.", topic.Name)
	case n-have > MaxPartitions:
		return faultf(kerr.PolicyViolation, tooManyPartitions)
	}
	if asked.Assignment == nil {
		return nil
	}
	if more := int(asked.Count) - have; len(asked.Assignment) != more {
		return faultf(kerr.InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", more, len(asked.Assignment))
	}
	for _, a := range asked.Assignment {
		if f := b.checkReplicas(a.Replicas); f != nil {
			return f
		}
	}
	return nil
}
