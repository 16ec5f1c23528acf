package producers

import (
	"cmp"
	"slices"
)

// Marker is a control batch that ends a producer's transaction.
type Marker struct {
	Producer    int64
	Epoch       int16
	Coordinator int32 // epoch of the coordinator that decided
	Commit      bool
}

// Txn is a transaction that is open.
type Txn struct {
	Producer int64
	Epoch    int16
	First    int64 // offset of its first record
}

// CheckMarker says whether a marker may be written: nil, ErrEpoch, or
// ErrCoordinator. Nothing is remembered yet. A marker of a producer that has no
// transaction open is no fault: it may be one written again after a crash.
func (t *Table) CheckMarker(m Marker) error {
	e := t.entries[m.Producer]
	switch {
	case e == nil:
		return nil
	case m.Epoch < e.epoch:
		return ErrEpoch
	case m.Coordinator < e.coordinator-1:
		return ErrCoordinator
	}
	return nil
}

// End remembers a marker that has its place in the log. The transaction that it
// ends is answered; ok is false where none was open. A marker with an epoch
// newer than the producer's fences it: what comes with the old one is ErrEpoch
// from here on. now is wall time in milliseconds.
func (t *Table) End(m Marker, now int64) (ended Txn, ok bool) {
	e := t.entries[m.Producer]
	if e == nil {
		if t.entries == nil {
			t.entries = map[int64]*entry{}
		}
		if len(t.entries) >= Limit {
			t.forgetOldest(Limit / 8)
		}
		e = &entry{epoch: m.Epoch}
		t.entries[m.Producer] = e
	}
	if e.open {
		ended, ok = Txn{m.Producer, e.epoch, e.first}, true
	}
	if m.Epoch > e.epoch {
		e.epoch, e.n = m.Epoch, 0
	}
	e.open, e.first = false, 0
	e.coordinator = max(e.coordinator, m.Coordinator+1)
	e.seen = now
	return ended, ok
}

// Open is the transaction that a producer has open.
func (t *Table) Open(producer int64) (Txn, bool) {
	if e := t.entries[producer]; e != nil && e.open {
		return Txn{producer, e.epoch, e.first}, true
	}
	return Txn{}, false
}

// OpenTxns lists the transactions that are open, by first offset.
func (t *Table) OpenTxns() []Txn {
	var out []Txn
	for id, e := range t.entries {
		if e.open {
			out = append(out, Txn{id, e.epoch, e.first})
		}
	}
	slices.SortFunc(out, func(a, b Txn) int { return cmp.Compare(a.First, b.First) })
	return out
}

// Active is what DescribeProducers tells of a producer.
type Active struct {
	Producer     int64
	Epoch        int16
	LastSequence int32 // -1: no batch in this epoch
	LastTime     int64 // ms, of that batch or of the marker after which none came; -1
	Coordinator  int32 // -1: no marker yet
	FirstTxn     int64 // -1: no transaction open
}

// List is every producer remembered, by id.
func (t *Table) List() []Active {
	out := make([]Active, 0, len(t.entries))
	for id, e := range t.entries {
		a := Active{Producer: id, Epoch: e.epoch, LastSequence: -1, LastTime: -1, Coordinator: e.coordinator - 1, FirstTxn: -1}
		if last := e.last(); last != nil {
			a.LastSequence, a.LastTime = last.lastSequence, last.timestamp
		} else if e.coordinator > 0 {
			a.LastTime = e.seen // of the marker
		}
		if e.open {
			a.FirstTxn = e.first
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Active) int { return cmp.Compare(a.Producer, b.Producer) })
	return out
}
