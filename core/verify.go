package core

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/core/txn"
)

// Before the first batch of a transaction is written to a partition, the
// coordinator is asked: in version 1 of transactions whether the producer has
// added the partition, in version 2 to add it.

// verifyTxn asks the transaction coordinator whether a partition is part of a
// producer's transaction; 0: yes, otherwise Kafka's error code for Produce.
func (b *Broker) verifyTxn(from source, producer int64, epoch int16, at place) int16 {
	t := b.txns.Load()
	if t == nil || from.txn == nil {
		return b.noTxns(from)
	}
	return from.refusal(t.verify(string(from.txn), producer, epoch, at))
}

// noTxns is the code for Produce where nobody can be asked. A broker that stops
// has no coordinator any more, and the transaction goes on after its start.
func (b *Broker) noTxns(from source) int16 {
	if from.txn != nil && b.stopping.Load() {
		return kerr.NotEnoughReplicas.Code
	}
	return kerr.InvalidTxnState.Code
}

// refusal is the code for Produce of what the coordinator says; 0: nothing.
func (from source) refusal(err error) int16 {
	switch err {
	case nil:
		return 0
	case kerr.ProducerFenced:
		return kerr.InvalidProducerEpoch.Code
	case kerr.InvalidTxnState:
		if from.version >= firstAbortable {
			return kerr.TransactionAbortable.Code
		}
		return kerr.InvalidTxnState.Code
	case kerr.InvalidProducerIDMapping, kerr.PolicyViolation, kerr.InvalidRequest:
		return codeOf(err)
	case kerr.ConcurrentTransactions:
		if from.version >= firstJoining { // which knows that it is soon over
			return kerr.ConcurrentTransactions.Code
		}
	}
	return kerr.NotEnoughReplicas.Code // which every client tries again
}

// firstAbortable is the version of Produce from which a client knows
// TRANSACTION_ABORTABLE.
const firstAbortable = 11

func (t *txns) verify(id string, producer int64, epoch int16, at place) error {
	l := t.lane(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != txnServing {
		return kerr.NotCoordinator
	}
	return l.machine.Verify(id, producer, epoch, txn.Partition{Topic: at.topic, Index: at.partition})
}

// firstJoining is the version of Produce from which a batch brings its partition
// into the transaction.
const firstJoining = 12

// joined is the record of a partition that a batch has brought into its
// transaction. It is kept before the batch is acknowledged, though it may be
// written at the same time: were it lost alone, the batch would be one of a
// transaction that no coordinator knows of, which the next start aborts.
type joined struct {
	lane *txnLane
	at   appended
}

// joinTxn adds a partition to a producer's transaction; nil, 0: it was in it.
func (b *Broker) joinTxn(from source, producer int64, epoch int16, at place) (*joined, int16) {
	t := b.txns.Load()
	if t == nil || from.txn == nil {
		return nil, b.noTxns(from)
	}
	id := string(from.txn)
	l := t.lane(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != txnServing {
		return nil, from.refusal(kerr.NotCoordinator)
	}
	fx, err := l.machine.Add(b.now().UnixMilli(), id, producer, epoch, []txn.Partition{{Topic: at.topic, Index: at.partition}})
	if err != nil || len(fx.Records) == 0 {
		return nil, from.refusal(err)
	}
	written, ok := l.append(fx.Records)
	if !ok {
		return nil, from.refusal(kerr.NotCoordinator)
	}
	return &joined{l, written}, 0
}

// joinedBefore is for a batch sent again: all that the coordinator has written
// of its transaction so far.
func (b *Broker) joinedBefore(from source) *joined {
	t := b.txns.Load()
	if t == nil || from.txn == nil {
		return nil
	}
	l := t.lane(string(from.txn))
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.log.End()
	if l.visible.Load() >= end {
		return nil
	}
	return &joined{l, appended{end: end}}
}
