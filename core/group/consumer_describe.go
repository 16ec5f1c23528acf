package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ConsumerGroupDescribe, versions 0 and 1: groups of the type consumer with their
// members. 1 tells which protocol a member speaks. A group that is unknown, or a
// classic one, is GROUP_ID_NOT_FOUND.
func (s *shard) describeConsumers(req *Request, body *kmsg.ConsumerGroupDescribeRequest) {
	r := kmsg.NewPtrConsumerGroupDescribeResponse()
	r.Version = body.Version
	for _, id := range body.Groups {
		rg := kmsg.NewConsumerGroupDescribeResponseGroup()
		rg.Group = id
		switch g := s.groups[id]; {
		case !s.cfg.servesConsumerProtocol():
			rg.ErrorCode = kerr.UnsupportedVersion.Code
		case id == "":
			rg.ErrorCode = kerr.InvalidGroupID.Code
		case g == nil:
			rg.ErrorCode, rg.ErrorMessage = kerr.GroupIDNotFound.Code, textOrNil("Group "+id+" not found.")
		case g.consumer == nil:
			rg.ErrorCode, rg.ErrorMessage = kerr.GroupIDNotFound.Code, textOrNil("Group "+id+" is not a consumer group.")
		default:
			s.describeConsumer(&rg, g.consumer)
		}
		r.Groups = append(r.Groups, rg)
	}
	s.reply(req, r)
}

func (s *shard) describeConsumer(r *kmsg.ConsumerGroupDescribeResponseGroup, c *consumerGroup) {
	r.State, r.Epoch, r.AssignmentEpoch, r.AssignorName = string(c.state()), c.epoch, c.assigned, c.assignorName()
	for _, m := range c.sorted() {
		rm := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		rm.MemberID, rm.InstanceID, rm.RackID, rm.MemberEpoch = m.id, m.instance, m.rack, m.epoch
		rm.ClientID, rm.ClientHost, rm.SubscribedTopics = m.clientID, m.host, m.topics
		regex := textOf(m.regex)
		rm.SubscribedTopicRegex = &regex // never null, as Kafka has it
		rm.Assignment, rm.TargetAssignment = s.named(m.owned), s.named(m.target)
		rm.MemberType = 1
		if m.classic != nil {
			rm.MemberType = 0
		}
		r.Members = append(r.Members, rm)
	}
}

// named is a set with the names of its topics; those that are gone are left out.
func (s *shard) named(set partitionSet) (a kmsg.Assignment) {
	for _, id := range set.topics() {
		if t, ok := s.metadata.TopicOf(id); ok {
			a.TopicPartitions = append(a.TopicPartitions, kmsg.AssignmentTopicPartition{TopicID: id, Topic: t.Name, Partitions: set[id]})
		}
	}
	return a
}
