package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeProducers, v0: the producers that partitions remember, and which of
// them have a transaction open. An offset or time that there is not is -1.
func describeProducers(c *call, req *kmsg.DescribeProducersRequest) (*kmsg.DescribeProducersResponse, error) {
	resp := kmsg.NewPtrDescribeProducersResponse()
	view := c.view.Load()
	for _, t := range req.Topics {
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = t.Topic
		topic := view.byName[t.Topic]
		for _, index := range t.Partitions {
			o := kmsg.NewDescribeProducersResponseTopicPartition()
			o.Partition = index
			if topic == nil || topic.partition(index) == nil {
				o.ErrorCode = kerr.UnknownTopicOrPartition.Code
				if f := topicNameFault(t.Topic); f != "" {
					o.ErrorCode, o.ErrorMessage = kerr.InvalidTopicException.Code, &f
				} else if topic == nil {
					o.ErrorMessage = kmsg.StringPtr(kerr.UnknownTopicOrPartition.Description)
				}
				out.Partitions = append(out.Partitions, o)
				continue
			}
			p := topic.partition(index)
			if o.ErrorCode = p.check(-1); o.ErrorCode == 0 {
				p.mu.Lock()
				list := p.producers.List()
				p.mu.Unlock()
				for _, a := range list {
					active := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
					active.ProducerID, active.ProducerEpoch = a.Producer, int32(a.Epoch)
					active.LastSequence, active.LastTimestamp = a.LastSequence, a.LastTime
					active.CoordinatorEpoch, active.CurrentTxnStartOffset = a.Coordinator, a.FirstTxn
					o.ActiveProducers = append(o.ActiveProducers, active)
				}
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}
