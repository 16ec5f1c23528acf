package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/group"
	"millrace/core/txn"
)

// AddOffsetsToTxn, v0 to v4: a group whose offsets a producer is about to commit
// in its transaction. What is added is the partition of __consumer_offsets that
// keeps the group; the topic is made if need be.
//
//   - Errors are those of AddPartitionsToTxn. That a group has no name is the
//     commit's to say.
//   - v4 knows TRANSACTION_ABORTABLE, which is no answer here.
func addOffsetsToTxn(c *call, req *kmsg.AddOffsetsToTxnRequest) (*kmsg.AddOffsetsToTxnResponse, error) {
	resp := kmsg.NewPtrAddOffsetsToTxnResponse()
	if err := c.makeStateTopic(offsetsTopic); err != nil {
		c.log.Error("could not make the topic of the group coordinator", "err", err)
	}
	topic := c.view.Load().byName[offsetsTopic]
	if topic == nil {
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
		return resp, nil
	}
	at := txn.Partition{Topic: offsetsTopic, Index: group.PartitionOf(req.Group, len(topic.partitions))}
	resp.ErrorCode = fencedBefore(2, req.Version, codeOf(c.stepTxn(req.TransactionalID, func(m *txn.Machine, now int64) (txn.Effects, error) {
		return m.Add(now, req.TransactionalID, req.ProducerID, req.ProducerEpoch, []txn.Partition{at})
	})))
	return resp, nil
}
