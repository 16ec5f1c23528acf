package core

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/txn"
)

// AddPartitionsToTxn, v0 to v5: partitions that a producer is about to write to
// in its transaction, which begins with the first.
//
//   - All or none: a partition that does not exist is UNKNOWN_TOPIC_OR_PARTITION
//     and the others OPERATION_NOT_ATTEMPTED. Any other error stands for all.
//   - An unknown transactional id, or one of another producer id:
//     INVALID_PRODUCER_ID_MAPPING. Another epoch: PRODUCER_FENCED (before v2:
//     INVALID_PRODUCER_EPOCH). A transaction that is being ended:
//     CONCURRENT_TRANSACTIONS.
//   - v4 and v5 are for brokers among themselves: several transactions, each of
//     which may ask, with verify only, whether the partitions are in it already;
//     those that are not are TRANSACTION_ABORTABLE.
func addPartitionsToTxn(c *call, req *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	resp := kmsg.NewPtrAddPartitionsToTxnResponse()
	if req.Version < 4 {
		asked := addition{req.TransactionalID, req.ProducerID, req.ProducerEpoch, false, nil}
		for _, t := range req.Topics {
			asked.topics = append(asked.topics, addedTopic{t.Topic, t.Partitions})
		}
		at := 0
		codes := c.addPartitions(&asked, req.Version)
		for _, t := range req.Topics {
			out := kmsg.NewAddPartitionsToTxnResponseTopic()
			out.Topic = t.Topic
			for _, index := range t.Partitions {
				o := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				o.Partition, o.ErrorCode = index, codes[at]
				at++
				out.Partitions = append(out.Partitions, o)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil
	}
	for _, r := range req.Transactions {
		asked := addition{r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.VerifyOnly, nil}
		for _, t := range r.Topics {
			asked.topics = append(asked.topics, addedTopic{t.Topic, t.Partitions})
		}
		at := 0
		codes := c.addPartitions(&asked, req.Version)
		result := kmsg.NewAddPartitionsToTxnResponseTransaction()
		result.TransactionalID = r.TransactionalID
		for _, t := range r.Topics {
			out := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
			out.Topic = t.Topic
			for _, index := range t.Partitions {
				o := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
				o.Partition, o.ErrorCode = index, codes[at]
				at++
				out.Partitions = append(out.Partitions, o)
			}
			result.Topics = append(result.Topics, out)
		}
		resp.Transactions = append(resp.Transactions, result)
	}
	return resp, nil
}

// addition is what is asked for one transaction, in any version.
type addition struct {
	id         string
	producer   int64
	epoch      int16
	verifyOnly bool
	topics     []addedTopic
}

type addedTopic struct {
	name       string
	partitions []int32
}

// addPartitions answers a code for each partition, in the order of asking.
func (c *call) addPartitions(asked *addition, version int16) (codes []int16) {
	view := c.view.Load()
	var parts []txn.Partition
	missing := false
	for _, t := range asked.topics {
		topic := view.byName[t.name]
		for _, index := range t.partitions {
			code := kerr.OperationNotAttempted.Code
			switch {
			case topic == nil || topic.partition(index) == nil:
				code, missing = kerr.UnknownTopicOrPartition.Code, true
			case topic.internal && version < 4: // between brokers it is AddOffsetsToTxn's
				code, missing = kerr.TopicAuthorizationFailed.Code, true
			}
			codes = append(codes, code)
			parts = append(parts, txn.Partition{Topic: t.name, Index: index})
		}
	}
	if missing {
		return codes
	}
	absent := make([]bool, len(parts))
	code := fencedBefore(2, version, codeOf(c.stepTxn(asked.id, func(m *txn.Machine, now int64) (txn.Effects, error) {
		if !asked.verifyOnly {
			return m.Add(now, asked.id, asked.producer, asked.epoch, parts)
		}
		for i, p := range parts {
			err := m.Verify(asked.id, asked.producer, asked.epoch, p)
			if absent[i] = err == kerr.InvalidTxnState; err != nil && !absent[i] {
				return txn.Effects{}, err
			}
		}
		return txn.Effects{}, nil
	})))
	for i := range codes {
		if codes[i] = code; code == 0 && absent[i] {
			codes[i] = kerr.TransactionAbortable.Code
		}
	}
	return codes
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
