// Package producers remembers what each idempotent producer last appended to
// one partition, so that a batch sent twice is stored once and a gap is noticed.
//
// The nouns. A Batch is what matters of a produced batch: who, which sequence
// numbers. A Table holds, for each producer id, its epoch and its last five
// batches (a client has at most five in flight). It is a pure state machine:
// the partition asks Check under its append lock, appends, and tells it with
// Append; after a crash it is told every batch of the log again. A producer's
// transaction is open from its first transactional batch to the Marker that
// ends it.
package producers

import (
	"errors"
	"math"
	"slices"
	"time"
)

// Window is how many batches are remembered for each producer: Kafka's
// clients keep at most five in flight on a connection.
const Window = 5

// Limit bounds the producers remembered for one partition; beyond it the
// longest silent ones are forgotten, as they are after their expiry. 100,000
// take about 20 MiB.
const Limit = 100_000

// The faults a batch may have.
var (
	// ErrOutOfOrder is Kafka's OUT_OF_ORDER_SEQUENCE_NUMBER.
	ErrOutOfOrder = errors.New("sequence number is not the one expected next")
	// ErrEpoch is Kafka's INVALID_PRODUCER_EPOCH: a newer incarnation of the
	// producer has written.
	ErrEpoch = errors.New("producer epoch is older than the last seen")
	// ErrState is Kafka's INVALID_TXN_STATE: a batch outside a transaction from
	// a producer that has one open.
	ErrState = errors.New("a batch outside the transaction that the producer has open")
	// ErrCoordinator is Kafka's TRANSACTION_COORDINATOR_FENCED.
	ErrCoordinator = errors.New("transaction coordinator's epoch is older than the last seen")
)

// Batch is a batch as far as idempotence is concerned.
type Batch struct {
	Producer      int64
	Epoch         int16
	FirstSequence int32
	LastSequence  int32 // may be smaller than FirstSequence: sequences wrap after 2^31-1
	LastOffset    int64 // known once the batch has its place
	OffsetDelta   int32 // last offset - first offset
	Timestamp     int64 // greatest in the batch, milliseconds
	Transactional bool
	// FirstSequence -1 is a transactional batch of the broker's own, which counts
	// for the transaction but not among the sequences.
}

// FirstOffset is the offset of the batch's first record.
func (b Batch) FirstOffset() int64 { return b.LastOffset - int64(b.OffsetDelta) }

// placed is a remembered batch.
type placed struct {
	firstSequence, lastSequence int32
	offsetDelta                 int32
	lastOffset                  int64
	timestamp                   int64
}

type entry struct {
	epoch   int16
	n       int8 // batches[:n] are in use, oldest first
	batches [Window]placed
	seen    int64 // wall clock of the last append, milliseconds

	open        bool  // a transaction
	first       int64 // its first offset
	coordinator int32 // the coordinator epoch of the last marker, plus one; 0: there was none
}

func (e *entry) last() *placed {
	if e.n == 0 {
		return nil
	}
	return &e.batches[e.n-1]
}

// Table is what one partition remembers. The zero value is ready. Not safe for
// concurrent use: it is guarded by the partition's append lock.
type Table struct {
	entries map[int64]*entry
}

// Len counts the producers remembered.
func (t *Table) Len() int { return len(t.entries) }

// Knows: something is remembered of the producer.
func (t *Table) Knows(producer int64) bool { return t.entries[producer] != nil }

// Check says what to do with a batch that is about to be appended: nil, nil:
// append it; a Batch: it was appended before, there; an error: refuse it.
// Nothing is remembered yet.
func (t *Table) Check(b Batch) (dup Batch, isDup bool, err error) {
	e := t.entries[b.Producer]
	if e == nil {
		// Unknown: never seen, expired, or its records deleted. Any sequence
		// may start, as in Kafka.
		return Batch{}, false, nil
	}
	if b.Epoch < e.epoch {
		return Batch{}, false, ErrEpoch
	}
	if e.open && !b.Transactional {
		return Batch{}, false, ErrState
	}
	if b.FirstSequence < 0 {
		return Batch{}, false, nil
	}
	if b.Epoch > e.epoch {
		if b.FirstSequence != 0 {
			return Batch{}, false, ErrOutOfOrder
		}
		return Batch{}, false, nil
	}
	for i := range e.batches[:e.n] {
		if p := &e.batches[i]; p.firstSequence == b.FirstSequence && p.lastSequence == b.LastSequence {
			b.LastOffset, b.OffsetDelta, b.Timestamp = p.lastOffset, p.offsetDelta, p.timestamp
			return b, true, nil
		}
	}
	next := int32(0)
	if last := e.last(); last != nil {
		next = Following(last.lastSequence)
	}
	if b.FirstSequence != next {
		return Batch{}, false, ErrOutOfOrder
	}
	return Batch{}, false, nil
}

// Append remembers a batch that has its place in the log; now is wall time in
// milliseconds.
func (t *Table) Append(b Batch, now int64) {
	e := t.entries[b.Producer]
	if e == nil {
		if t.entries == nil {
			t.entries = map[int64]*entry{}
		}
		if len(t.entries) >= Limit {
			t.forgetOldest(Limit / 8)
		}
		e = &entry{epoch: b.Epoch}
		t.entries[b.Producer] = e
	}
	if e.epoch != b.Epoch {
		e.epoch, e.n = b.Epoch, 0
	}
	if b.Transactional && !e.open {
		e.open, e.first = true, b.FirstOffset()
	}
	e.seen = now
	if b.FirstSequence < 0 {
		return
	}
	if e.n == Window {
		copy(e.batches[:], e.batches[1:])
		e.n--
	}
	e.batches[e.n] = placed{b.FirstSequence, b.LastSequence, b.OffsetDelta, b.LastOffset, b.Timestamp}
	e.n++
}

// Expire forgets the producers that were silent for longer than after and have
// no transaction open.
func (t *Table) Expire(now int64, after time.Duration) {
	for id, e := range t.entries {
		if !e.open && now-e.seen > after.Milliseconds() {
			delete(t.entries, id)
		}
	}
}

// forgetOldest makes room for n.
func (t *Table) forgetOldest(n int) {
	seen := make([]int64, 0, len(t.entries))
	for _, e := range t.entries {
		if !e.open {
			seen = append(seen, e.seen)
		}
	}
	if len(seen) == 0 {
		return
	}
	slices.Sort(seen)
	bound := seen[min(n, len(seen)-1)]
	for id, e := range t.entries {
		if !e.open && e.seen <= bound && n > 0 {
			delete(t.entries, id)
			n--
		}
	}
}

// Following is the sequence number after s: they wrap to 0 after 2^31-1.
func Following(s int32) int32 {
	if s == math.MaxInt32 {
		return 0
	}
	return s + 1
}
