package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/group"
)

// TxnOffsetCommit, v0 to v5: how far a group has come, as part of a transaction.
// The offsets count when it is committed.
//
//   - The group's partition of __consumer_offsets has to be part of the
//     transaction (AddOffsetsToTxn): INVALID_TXN_STATE, v4 TRANSACTION_ABORTABLE.
//     A fenced producer: INVALID_PRODUCER_EPOCH. A transaction that is being
//     ended: COORDINATOR_LOAD_IN_PROGRESS, which clients try again.
//     v5 (transactions version 2) adds it to the transaction itself.
//   - v2 brings leader epochs, v3 the member and its generation, which are judged
//     as in OffsetCommit. Without them the group may have members all the same.
//   - Partitions that do not exist: UNKNOWN_TOPIC_OR_PARTITION, each for itself.
func txnOffsetCommit(c *groupCall, req *kmsg.TxnOffsetCommitRequest) {
	g := c.groups.Load()
	if g == nil {
		c.answer(group.Refusal(req, kerr.NotCoordinator.Code))
		return
	}
	if req.Group == "" {
		c.answer(group.Refusal(req, kerr.InvalidGroupID.Code))
		return
	}
	view, known := c.view.Load(), req.Topics[:0]
	var refused []kmsg.TxnOffsetCommitResponseTopic
	for _, t := range req.Topics {
		topic, there := view.byName[t.Topic], t.Partitions[:0]
		out := kmsg.NewTxnOffsetCommitResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			if topic != nil && topic.partition(p.Partition) != nil {
				there = append(there, p)
				continue
			}
			o := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			o.Partition, o.ErrorCode = p.Partition, kerr.UnknownTopicOrPartition.Code
			out.Partitions = append(out.Partitions, o)
		}
		if t.Partitions = there; len(there) > 0 {
			known = append(known, t)
		}
		if len(out.Partitions) > 0 {
			refused = append(refused, out)
		}
	}
	req.Topics = known
	var added *joined
	g.Handle(&group.Request{
		Body: req, ClientID: string(c.header.ClientID), Host: hostOf(c.frame.Conn().RemoteAddr()),
		Admit: func() (code int16) {
			added, code = c.verifyOffsets(req, place{offsetsTopic, g.Partition(req.Group)})
			return code
		},
		Answer: func(resp kmsg.Response) {
			r := resp.(*kmsg.TxnOffsetCommitResponse)
			r.Topics = append(refused, r.Topics...)
			if added == nil {
				c.answer(r)
				return
			}
			added.lane.whenKept(added.at, func(code int16) {
				if code != 0 {
					c.answer(group.Refusal(req, kerr.NotCoordinator.Code))
					return
				}
				c.answer(r)
			})
		},
	})
}

// verifyOffsets asks the transaction coordinator whether a commit is part of a
// transaction, or from v5 to make it so, with what has to be kept of that; 0: it
// is.
func (c *groupCall) verifyOffsets(req *kmsg.TxnOffsetCommitRequest, at place) (added *joined, code int16) {
	from := source{txn: []byte(req.TransactionalID)}
	switch {
	case req.Version >= 5:
		from.version = firstJoining
		added, code = c.joinTxn(from, req.ProducerID, req.ProducerEpoch, at)
	case req.Version == 4:
		from.version = firstAbortable
		fallthrough
	default:
		code = c.verifyTxn(from, req.ProducerID, req.ProducerEpoch, at)
	}
	if code == kerr.NotEnoughReplicas.Code {
		code = kerr.CoordinatorLoadInProgress.Code
	}
	return added, code
}
