package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterPartitionReassignments, v0 to v1: a partition is where it can be. To move
// it there again is done at once; another broker is INVALID_REPLICA_ASSIGNMENT,
// as is no broker, or one named twice. To cancel: NO_REASSIGNMENT_IN_PROGRESS.
func alterReassignments(c *call, req *kmsg.AlterPartitionAssignmentsRequest) (*kmsg.AlterPartitionAssignmentsResponse, error) {
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	if len(req.Topics) == 0 {
		resp.ErrorMessage = kmsg.StringPtr("") // not null: so does Kafka
	}
	view := c.view.Load()
	for _, t := range req.Topics {
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = t.Topic
		topic := view.byName[t.Topic]
		for _, p := range t.Partitions {
			o := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			o.Partition = p.Partition
			var f *fault
			switch {
			case topic == nil:
				f = faultf(kerr.UnknownTopicOrPartition, "Unable to find a topic named %s.", t.Topic)
			case topic.partition(p.Partition) == nil:
				f = faultf(kerr.UnknownTopicOrPartition, "Unable to find partition %s:%d.", t.Topic, p.Partition)
			case p.Replicas == nil:
				f = &fault{code: kerr.NoReassignmentInProgress.Code}
			default:
				f = c.assignmentFault(p.Replicas)
			}
			if f != nil {
				o.ErrorCode, o.ErrorMessage = f.code, f.text()
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// assignmentFault: a partition can only be assigned to this broker.
func (b *Broker) assignmentFault(replicas []int32) *fault {
	if len(replicas) == 0 {
		return faultf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	for _, r := range replicas {
		if r != b.node {
			return faultf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", r)
		}
	}
	if len(replicas) > 1 {
		return faultf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", b.node)
	}
	return nil
}

// ListPartitionReassignments, v0: there is none.
func listReassignments(*call, *kmsg.ListPartitionReassignmentsRequest) (*kmsg.ListPartitionReassignmentsResponse, error) {
	return kmsg.NewPtrListPartitionReassignmentsResponse(), nil
}
