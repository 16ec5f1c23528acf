package txn

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// InitRequest asks for the right to write under a transactional id.
type InitRequest struct {
	ID      string
	Timeout int32 // ms
	// What the producer has, where it goes on after an error; -1: nothing, it
	// takes over from whoever had the id.
	Producer int64
	Epoch    int16
	// NewID is a producer id never given out before, -1: none at hand.
	NewID int64
}

func (r InitRequest) goesOn() bool { return r.Producer != noProducer }

// Init gives out a producer id and epoch under which nobody else can write any
// more. With CONCURRENT_TRANSACTIONS there may be effects: the transaction that
// is under way is aborted first, and the producer has to come again.
func (m *Machine) Init(now int64, r InitRequest) (producer int64, epoch int16, fx Effects, err error) {
	producer, epoch, err = m.init(now, r)
	return producer, epoch, m.take(), err
}

func (m *Machine) init(now int64, r InitRequest) (int64, int16, error) {
	switch {
	case r.ID == "" || r.goesOn() != (r.Epoch != noEpoch):
		return noProducer, noEpoch, kerr.InvalidRequest
	case len(r.ID) > maxID:
		return noProducer, noEpoch, kerr.InvalidRequest
	case r.Timeout <= 0 || int64(r.Timeout) > m.cfg.MaxTimeout.Milliseconds():
		return noProducer, noEpoch, kerr.InvalidTransactionTimeout
	}
	t := m.txns[r.ID]
	if t == nil {
		return m.initNew(now, r)
	}
	if t.deciding() {
		return noProducer, noEpoch, kerr.ConcurrentTransactions
	}
	if r.goesOn() && !t.knows(r) {
		return noProducer, noEpoch, kerr.ProducerFenced
	}
	if t.state == Ongoing {
		if r.goesOn() && r.Epoch != t.epoch && r.Epoch != t.last {
			return noProducer, noEpoch, kerr.ProducerFenced // a zombie ends nobody's transaction
		}
		m.fence(t, now)
		return noProducer, noEpoch, kerr.ConcurrentTransactions
	}
	switch {
	case r.goesOn() && r.Epoch == t.last && t.last != noEpoch && t.epoch != math.MaxInt16:
		// Sent again, or after an EndTxn that raised the epoch and whose answer
		// was lost: the answer is what it was. Nobody was fenced by it, since a
		// producer that takes over leaves no last epoch behind.
	case r.goesOn() && r.Producer != t.producer:
		return noProducer, noEpoch, kerr.ProducerFenced
	case t.epoch >= lastEpoch && (!r.goesOn() || r.Epoch == t.epoch || r.Epoch == t.last):
		if r.NewID < 0 {
			return noProducer, noEpoch, ErrNeedsID
		}
		t.previous, t.producer, t.last, t.epoch = t.producer, r.NewID, r.Epoch, 0 // noEpoch of one that takes over
	case r.goesOn() && r.Epoch != t.epoch:
		return noProducer, noEpoch, kerr.ProducerFenced
	case r.goesOn():
		t.last = t.epoch
		t.epoch++
	default:
		t.last = noEpoch
		t.epoch++
	}
	m.begin(t, now, r)
	return t.producer, t.epoch, nil
}

// initNew is the first that is heard of an id.
func (m *Machine) initNew(now int64, r InitRequest) (int64, int16, error) {
	if m.budget.bytes.Load()+int64(idCost+len(r.ID)) > m.cfg.MaxBytes {
		return noProducer, noEpoch, kerr.PolicyViolation
	}
	if r.NewID < 0 {
		return noProducer, noEpoch, ErrNeedsID
	}
	t := m.create(r.ID)
	t.producer, t.epoch = r.NewID, 0
	m.begin(t, now, r)
	return t.producer, t.epoch, nil
}

func (m *Machine) begin(t *transaction, now int64, r InitRequest) {
	m.clear(t)
	t.state, t.timeout, t.started, t.bumped = Empty, r.Timeout, -1, false
	m.write(t, now)
}

// knows: the producer has this id, or had it before the last rotation, which its
// request sent again would not know of.
func (t *transaction) knows(r InitRequest) bool {
	return r.Producer == t.producer || r.Producer == t.previous && t.previous != noProducer && r.Epoch >= lastEpoch
}

// maxID bounds a transactional id so that it fits a record.
const maxID = 1<<15 - 1
