package core

import (
	"math"
	"slices"
	"sync/atomic"

	"millrace/core/producers"
)

// transactions is what a partition knows of the transactions in it, beyond what
// its producers' table does.
//
// A transaction is undecided for readers from its first record until its marker
// is visible: the last stable offset is the first record of the earliest such
// one, or the high watermark where there is none. A marker that is written but
// not yet promised decides nothing, since a loss of power could take it back.
//
// Order, so that readers need no lock. A transaction's beginning lowers unstable
// before its first record becomes visible; its end adds the aborted entry, moves
// visible past the marker, and only then raises unstable. A reader loads visible
// first, then unstable, then aborted.
type transactions struct {
	// Guarded by partition.mu.
	open   []producers.Txn // by first offset
	ending []ending        // by marker offset: ended, the marker not yet visible

	unstable atomic.Int64 // first offset of the earliest undecided one; math.MaxInt64: none
	pending  atomic.Int32 // len(ending), to be looked at without the lock
	aborted  abortedIndex
}

// ending is a transaction whose marker waits for the sync policy's promise.
type ending struct{ first, marker int64 }

// reset begins from the producers' table, when the log is opened.
func (x *transactions) reset(open []producers.Txn) {
	x.open = open
	x.recompute()
}

func (x *transactions) recompute() {
	first := int64(math.MaxInt64)
	if len(x.open) > 0 {
		first = x.open[0].First
	}
	for _, e := range x.ending {
		first = min(first, e.first)
	}
	x.pending.Store(int32(len(x.ending)))
	x.unstable.Store(first)
}

// begin notes a transaction whose first record is about to become visible.
func (x *transactions) begin(t producers.Txn) {
	x.open = append(x.open, t)
	x.recompute()
}

// end notes the marker at an offset.
func (x *transactions) end(t producers.Txn, commit bool, marker int64) {
	x.open = slices.DeleteFunc(x.open, func(o producers.Txn) bool { return o.Producer == t.Producer })
	if !commit {
		stable := marker + 1
		if len(x.open) > 0 {
			stable = x.open[0].First
		}
		x.aborted.add(abortedTxn{producer: t.Producer, first: t.First, last: marker, stable: stable})
	}
	x.ending = append(x.ending, ending{t.First, marker})
	x.recompute()
}

// settle forgets the transactions whose marker is below visible.
func (x *transactions) settle(visible int64) {
	x.ending = slices.DeleteFunc(x.ending, func(e ending) bool { return e.marker < visible })
	x.recompute()
}

// stable is the last stable offset: below it every transaction is decided. high
// is the high watermark, loaded before. DeleteRecords and retention stop at the
// high watermark and not here, as in Kafka: where they have taken the beginning of
// an open transaction, it begins at the log start.
func (p *partition) stable(high int64) int64 {
	first := p.txns.unstable.Load()
	if first < high {
		first = max(first, p.log.Start())
	}
	return min(high, first)
}

// bound is the offset below which a reader sees, given the high watermark.
func (p *partition) bound(committed bool, high int64) int64 {
	if committed {
		return p.stable(high)
	}
	return high
}
