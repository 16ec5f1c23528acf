package core

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/txn"
)

// AddPartitionsToTxn, v0 to v3: partitions that a producer is about to write to
// in its transaction, which begins with the first.
//
//   - All or none: a partition that does not exist is UNKNOWN_TOPIC_OR_PARTITION
//     and the others OPERATION_NOT_ATTEMPTED. Any other error stands for all.
//   - An unknown transactional id, or one of another producer id:
//     INVALID_PRODUCER_ID_MAPPING. Another epoch: PRODUCER_FENCED (before v2:
//     INVALID_PRODUCER_EPOCH). A transaction that is being ended:
//     CONCURRENT_TRANSACTIONS.
//   - v4, for brokers among themselves, is not served.
func addPartitionsToTxn(c *call, req *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	view := c.view.Load()
	var parts []txn.Partition
	missing := false
	for _, t := range req.Topics {
		topic := view.byName[t.Topic]
		for _, index := range t.Partitions {
			parts = append(parts, txn.Partition{Topic: t.Topic, Index: index})
			missing = missing || topic == nil || topic.partition(index) == nil || topic.internal
		}
	}
	var code int16
	if !missing {
		code = fencedBefore(2, req.Version, codeOf(c.stepTxn(req.TransactionalID, func(m *txn.Machine, now int64) (txn.Effects, error) {
			return m.Add(now, req.TransactionalID, req.ProducerID, req.ProducerEpoch, parts)
		})))
	}
	resp := kmsg.NewPtrAddPartitionsToTxnResponse()
	for _, t := range req.Topics {
		out := kmsg.NewAddPartitionsToTxnResponseTopic()
		out.Topic = t.Topic
		topic := view.byName[t.Topic]
		for _, index := range t.Partitions {
			o := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			o.Partition = index
			switch {
			case !missing:
				o.ErrorCode = code
			case topic == nil || topic.partition(index) == nil:
				o.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case topic.internal:
				o.ErrorCode = kerr.TopicAuthorizationFailed.Code
			default:
				o.ErrorCode = kerr.OperationNotAttempted.Code
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// stepTxn does a step of the coordinator of a transactional id, if there is one.
func (c *call) stepTxn(id string, do func(m *txn.Machine, now int64) (txn.Effects, error)) error {
	t := c.txns.Load()
	if t == nil {
		return kerr.NotCoordinator
	}
	return t.step(t.lane(id), do)
}

// codeOf is the code of one of Kafka's errors; 0: nil.
func codeOf(err error) int16 {
	if err == nil {
		return 0
	}
	var e *kerr.Error
	if !errors.As(err, &e) {
		panic("BUG: no error of Kafka's: " + err.Error())
	}
	return e.Code
}

// fencedBefore is code as clients of this version know it: PRODUCER_FENCED came
// with version since, and was INVALID_PRODUCER_EPOCH before.
func fencedBefore(since, version, code int16) int16 {
	if code == kerr.ProducerFenced.Code && version < since {
		return kerr.InvalidProducerEpoch.Code
	}
	return code
}
