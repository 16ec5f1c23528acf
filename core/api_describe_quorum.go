package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeQuorum, v0 to v2: who keeps the cluster's metadata, which is this node
// alone.
//
//   - Asked for anything but the one partition of __cluster_metadata, and that
//     alone: UNKNOWN_TOPIC_OR_PARTITION for each.
//   - The offsets are those of the metadata log here. There are no elections, and
//     so the leader's epoch is always 1.
//   - v1 adds when a replica was last seen: the leader sees itself now. v2 adds
//     messages, the directory's id (none is kept: all zeros) and the nodes'
//     listeners, of which there is the one for clients.
func describeQuorum(c *call, req *kmsg.DescribeQuorumRequest) (*kmsg.DescribeQuorumResponse, error) {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	resp.ErrorMessage = kmsg.StringPtr("") // not null: so does Kafka
	ours := len(req.Topics) == 1 && req.Topics[0].Topic == metadataTopic &&
		len(req.Topics[0].Partitions) == 1 && req.Topics[0].Partitions[0].Partition == 0
	for _, t := range req.Topics {
		topic := kmsg.NewDescribeQuorumResponseTopic()
		topic.Topic = t.Topic
		for _, asked := range t.Partitions {
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition = asked.Partition
			if ours {
				c.tellQuorum(&p)
			} else {
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
				p.ErrorMessage = kmsg.StringPtr(kerr.UnknownTopicOrPartition.Description)
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if ours {
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = c.node
		l := kmsg.NewDescribeQuorumResponseNodeListener()
		host, port := c.advertised()
		l.Name, l.Host, l.Port = "PLAINTEXT", host, uint16(port)
		node.Listeners = append(node.Listeners, l)
		resp.Nodes = append(resp.Nodes, node)
	}
	return resp, nil
}

// metadataTopic is what Kafka calls the log of its metadata. It cannot be fetched.
const metadataTopic = "__cluster_metadata"

func (b *Broker) tellQuorum(p *kmsg.DescribeQuorumResponseTopicPartition) {
	p.ErrorMessage = kmsg.StringPtr("")
	end, now := b.journal.log.End(), b.now().UnixMilli()
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = b.node, 1, end
	voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
	voter.ReplicaID, voter.LogEndOffset = b.node, end
	voter.LastFetchTimestamp, voter.LastCaughtUpTimestamp = now, now
	p.CurrentVoters = append(p.CurrentVoters, voter)
}
