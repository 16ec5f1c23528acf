package core

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/batching"
	"millrace/core/producers"
)

// mayWrite says whether a transactional batch belongs to a transaction that the
// coordinator knows of; 0: yes. Where the producer's transaction is open here,
// it does. Its first batch here is held against the coordinator, under mu, so
// that no marker can slip in between: a producer that was fenced elsewhere would
// otherwise begin a transaction here that nobody ever ends.
//
// In version 2 of transactions that first batch brings the partition into the
// transaction, and what has to be kept of that is answered.
func (p *partition) mayWrite(b producers.Batch, from source) (*joined, int16) {
	open, ok := p.producers.Open(b.Producer)
	switch {
	case ok && open.Epoch == b.Epoch, from.trusted:
		return nil, 0
	case ok:
		return nil, kerr.InvalidTxnState.Code
	case from.version >= firstJoining:
		return p.b.joinTxn(from, b.Producer, b.Epoch, place{p.topic, p.index})
	}
	return nil, p.b.verifyTxn(from, b.Producer, b.Epoch, place{p.topic, p.index})
}

// remember notes a batch that has its place in the log. mu is held.
func (p *partition) remember(b producers.Batch, now int64) {
	_, open := p.producers.Open(b.Producer)
	p.producers.Append(b, now)
	if b.Transactional && !open {
		p.txns.begin(producers.Txn{Producer: b.Producer, Epoch: b.Epoch, First: b.FirstOffset()})
	}
}

// appendMarker ends a producer's transaction here. code 0: the marker is in the
// log, at at.base; await it where it is not held.
func (p *partition) appendMarker(m producers.Marker, now int64) (at appended, code int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if code := p.check(-1); code != 0 {
		return at, code
	}
	switch p.producers.CheckMarker(m) {
	case producers.ErrEpoch:
		return at, kerr.InvalidProducerEpoch.Code
	case producers.ErrCoordinator:
		return at, kerr.TransactionCoordinatorFenced.Code
	}
	batch, err := batching.View(batching.AppendMarker(nil, batching.Marker{
		Commit: m.Commit, ProducerID: m.Producer, ProducerEpoch: m.Epoch,
		CoordinatorEpoch: m.Coordinator, Timestamp: now,
	}))
	if err != nil {
		panic("BUG: a marker just built: " + err.Error())
	}
	at.base = p.log.End()
	batch.SetBaseOffset(at.base)
	batch.SetLeaderEpoch(p.epoch)
	p.one[0] = batch
	err = p.log.Append(p.one[:]...)
	p.one[0] = batching.Batch{}
	if err != nil {
		p.fail("append", err)
		return at, kerr.KafkaStorageError.Code
	}
	at.end, at.news = at.base+1, untold // a reader of what is committed sees the transaction with it
	if txn, ok := p.producers.End(m, now); ok {
		p.txns.end(txn, m.Commit, at.base)
	}
	p.unsnapped += int64(batch.Size())
	at.held = p.promise.Appended(at.end)
	return at, 0
}

// recall tells the producers' table of a batch found in the log when it is
// opened: h is its header, and the whole of it where it is a control batch.
func (p *partition) recall(h []byte, now int64) {
	if !producers.IsControl(h) {
		if b, ok := producers.FromHeader(h); ok {
			p.remember(b, now)
		}
		return
	}
	batch, err := batching.View(h)
	if err != nil {
		return
	}
	m, ok, err := batch.Marker()
	if err != nil || !ok {
		return
	}
	txn, ok := p.producers.End(producers.Marker{
		Producer: m.ProducerID, Epoch: m.ProducerEpoch, Coordinator: m.CoordinatorEpoch, Commit: m.Commit,
	}, now)
	if ok {
		p.txns.end(txn, m.Commit, batch.BaseOffset())
		p.txns.settle(batch.LastOffset() + 1)
	}
}
