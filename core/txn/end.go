package txn

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// EndRequest asks that a transaction be decided.
type EndRequest struct {
	ID       string
	Producer int64
	Epoch    int16
	Commit   bool
	// Bump: as version 2 of transactions does it. Every end raises the epoch, so
	// that nothing late of this transaction can get into the next one, and an
	// abort needs no transaction.
	Bump bool
	// NewID is a producer id never given out before, -1: none at hand.
	NewID int64
}

// End decides a transaction as its producer wishes, and answers the id and epoch
// that it goes on with. One that was ended so before and is complete is no error,
// since the request may have been sent again.
func (m *Machine) End(now int64, r EndRequest) (producer int64, epoch int16, fx Effects, err error) {
	producer, epoch, err = m.end(now, r)
	return producer, epoch, m.take(), err
}

func (m *Machine) end(now int64, r EndRequest) (int64, int16, error) {
	if !r.Bump {
		return m.endSame(now, r)
	}
	if r.ID == "" {
		return noProducer, noEpoch, kerr.InvalidRequest
	}
	t := m.txns[r.ID]
	if t == nil {
		return noProducer, noEpoch, kerr.InvalidProducerIDMapping
	}
	rotated := t.bumped && t.previous == r.Producer && t.previous != noProducer && r.Epoch == lastEpoch && t.epoch == 0
	again := rotated || t.bumped && r.Epoch != math.MaxInt16 && t.epoch == r.Epoch+1 &&
		(t.epoch != math.MaxInt16 || t.next != noProducer) // which was not given out, but a new id
	valid := r.Epoch == t.epoch
	switch {
	case t.deciding() && t.bumped:
		valid = again // the epoch is the next transaction's already
	case !t.deciding() && t.state != Ongoing && t.state != Empty:
		valid = valid || again
	}
	switch {
	case t.producer != r.Producer && !rotated:
		return noProducer, noEpoch, kerr.InvalidProducerIDMapping
	case !valid:
		return noProducer, noEpoch, kerr.ProducerFenced
	}
	switch t.state {
	case Ongoing:
		return m.bump(t, now, r)
	case PrepareCommit, PrepareAbort:
		if r.Commit == (t.state == PrepareCommit) {
			return noProducer, noEpoch, kerr.ConcurrentTransactions
		}
	case CompleteCommit, CompleteAbort:
		if again && r.Commit == (t.state == CompleteCommit) {
			return t.producer, t.epoch, nil
		}
		if !again && !r.Commit {
			return m.bump(t, now, r)
		}
	case Empty:
		if !r.Commit {
			return m.bump(t, now, r)
		}
	}
	return noProducer, noEpoch, kerr.InvalidTxnState
}

// bump decides a transaction under the next epoch. The last one is followed by a
// new producer id, under which nothing is written before the markers are.
func (m *Machine) bump(t *transaction, now int64, r EndRequest) (int64, int16, error) {
	if t.epoch == math.MaxInt16 {
		return noProducer, noEpoch, kerr.ProducerFenced // which nobody was given
	}
	if t.epoch >= lastEpoch {
		if r.NewID < 0 {
			return noProducer, noEpoch, ErrNeedsID
		}
		t.next = r.NewID
	}
	if t.state != Ongoing {
		m.clear(t)
		t.started = now // there is none, and the record wants one
	}
	t.last, t.bumped = t.epoch, true
	t.epoch++
	to := PrepareAbort
	if r.Commit {
		to = PrepareCommit
	}
	m.decide(t, now, to)
	if t.next != noProducer {
		return t.next, 0, nil
	}
	return t.producer, t.epoch, nil
}

// endSame ends a transaction as version 1 does: the epoch stays.
func (m *Machine) endSame(now int64, r EndRequest) (int64, int16, error) {
	t, err := m.find(r.ID, r.Producer, r.Epoch)
	if err != nil {
		return noProducer, noEpoch, err
	}
	prepared, complete := PrepareAbort, CompleteAbort
	if r.Commit {
		prepared, complete = PrepareCommit, CompleteCommit
	}
	switch t.state {
	case Ongoing:
		t.bumped = false
		m.decide(t, now, prepared)
		return t.producer, t.epoch, nil
	case complete:
		return t.producer, t.epoch, nil
	case prepared:
		return noProducer, noEpoch, kerr.ConcurrentTransactions
	}
	return noProducer, noEpoch, kerr.InvalidTxnState
}

func (m *Machine) decide(t *transaction, now int64, to State) {
	t.state = to
	m.write(t, now)
	m.fx.Decisions = append(m.fx.Decisions, t.decision())
}

// fence aborts what the current producer has under way, under an epoch above its
// own: nothing of it is taken from here on. It is as if the producer had aborted it
// in version 2: unless another takes over, it may ask for that abort and go on with
// the new epoch. Kafka does so since 4.1 (KAFKA-19367).
func (m *Machine) fence(t *transaction, now int64) {
	// PrepareEpochFence, in passing.
	t.last, t.bumped = t.epoch, true
	if t.epoch < math.MaxInt16 { // which is never given out: there is nobody to fence
		t.epoch++
	}
	m.decide(t, now, PrepareAbort)
}

// Complete says that a decision's markers are kept.
func (m *Machine) Complete(now int64, d Decision) Effects {
	t := m.txns[d.ID]
	if t == nil || !t.deciding() || t.producer != d.Producer || t.epoch != d.Epoch {
		panic("BUG: a transaction completed that was not decided: " + d.ID)
	}
	m.clear(t)
	if t.next != noProducer {
		t.previous, t.producer, t.next, t.epoch, t.last = t.producer, t.next, noProducer, 0, lastEpoch
	}
	t.state = CompleteAbort
	if d.Commit {
		t.state = CompleteCommit
	}
	m.write(t, now)
	return m.take()
}
