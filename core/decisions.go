package core

import (
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/core/producers"
	"millrace/core/txn"
)

// carryOut writes a decision's markers, all before the first is waited for, and
// completes it. Where a partition's disk has failed it stays decided, and is
// taken up again at the next start.
func (t *txns) carryOut(d txn.Decision) {
	m := producers.Marker{Producer: d.Producer, Epoch: d.Epoch, Coordinator: t.epoch(), Commit: d.Commit}
	view := t.b.view.Load()
	waits := make([]func() int16, 0, len(d.Partitions))
	for _, at := range d.Partitions {
		topic := view.byName[at.Topic]
		if topic == nil || topic.partition(at.Index) == nil {
			continue // deleted, and nobody waits for it
		}
		waits = append(waits, t.markAny(topic.partition(at.Index), m))
	}
	for _, wait := range waits {
		switch code := wait(); code {
		case 0, kerr.UnknownTopicOrPartition.Code:
		case kerr.InvalidProducerEpoch.Code, kerr.TransactionCoordinatorFenced.Code:
			t.b.log.Warn("a partition has seen a newer epoch than the transaction that ends", "id", d.ID, "producer", d.Producer, "epoch", d.Epoch)
		default:
			t.b.log.Error("a transaction stays undecided: a partition takes no marker", "id", d.ID, "err", kerr.ErrorForCode(code))
			return
		}
	}
	l := t.lane(d.ID)
	l.mu.Lock()
	at, written := l.append(l.machine.Complete(t.b.now().UnixMilli(), d).Records)
	l.mu.Unlock()
	if written {
		// Nobody waits for it: if it is lost, the markers are written once more.
		l.whenKept(at, func(int16) {})
	}
}

// markAny is mark, or markGroup where groups keep their offsets.
func (t *txns) markAny(p *partition, m producers.Marker) (wait func() int16) {
	if g := t.b.groups.Load(); g != nil && p.id == g.topic {
		return t.markGroup(g, p, m)
	}
	return t.mark(p, m)
}

// mark writes one marker; wait answers when its promise holds, with Kafka's
// error code.
func (t *txns) mark(p *partition, m producers.Marker) (wait func() int16) {
	at, code := p.appendMarker(m, t.b.now().UnixMilli())
	if code != 0 {
		return func() int16 { return code }
	}
	return func() int16 { return p.hold(at) }
}

// markGroup is mark where groups keep their offsets: those of the transaction
// count from the marker on, or are dropped.
func (t *txns) markGroup(g *groups, p *partition, m producers.Marker) (wait func() int16) {
	g.loading.Wait() // or the marker could be missed
	told := make(chan int16, 1)
	g.EndTxn(p.index, m.Producer, m.Commit, func() func(func(error)) {
		at, code := p.appendMarker(m, t.b.now().UnixMilli())
		if code != 0 {
			told <- code
			return nil
		}
		return func(done func(error)) { p.whenKept(at, func(code int16) { done(keptError(code)); told <- code }) }
	})
	return func() int16 { return <-told }
}

// abortStrays ends the transactions in partitions that the coordinator does not
// know of: a loss of power may have taken its records and left theirs, and their
// readers would wait for ever. The marker's epoch is above the producer's own: a
// batch of it sent again must not be taken for one that is stored, since it is
// aborted now.
func (t *txns) abortStrays() {
	for _, p := range t.b.view.Load().all() {
		if p.check(-1) != 0 {
			continue
		}
		p.mu.Lock()
		open := p.producers.OpenTxns()
		p.mu.Unlock()
		for _, o := range open {
			if t.has(o.Producer, txn.Partition{Topic: p.topic, Index: p.index}) {
				continue
			}
			t.b.log.Warn("aborting a transaction that no coordinator knows of", "partition", p.name, "producer", o.Producer, "from", o.First)
			m := producers.Marker{Producer: o.Producer, Epoch: o.Epoch, Coordinator: t.epoch()}
			if m.Epoch < math.MaxInt16 {
				m.Epoch++
			}
			t.markAny(p, m)()
		}
	}
}

// has says whether a lane knows of a transaction of this producer in a partition.
func (t *txns) has(producer int64, p txn.Partition) bool {
	return slices.ContainsFunc(t.lanes, func(l *txnLane) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.machine.Has(producer, p)
	})
}
