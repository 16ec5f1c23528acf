package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transaction is the records of one producer that are committed or aborted
// together. A record that was written is acknowledged when its transaction is
// committed, not before: that is what an application may rely on.
//
// Owned by the sending goroutine, but for written and failed, which kgo's
// promises add to under the producer's mu; after a flush they are the sender's.
type transaction struct {
	open    bool
	abort   bool // it is to be aborted, by the seed
	records int
	written []*slot
	failed  int
}

// begin opens a transaction where none is open; false: it could not.
func (p *kgoProducer) begin(ctx context.Context) bool {
	t := &p.txn
	for !t.open && ctx.Err() == nil {
		err := p.cl.BeginTransaction()
		if err == nil {
			t.open, t.records = true, 0
			t.abort = p.rng.Float64() < p.r.spec.Producers.Transaction.Abort
			return true
		}
		p.r.complain("begin a transaction", err)
		p.anew(ctx)
	}
	return t.open
}

// end commits or aborts what is open, and books what became of its records.
func (p *kgoProducer) end(ctx context.Context) {
	t := &p.txn
	if !t.open {
		return
	}
	t.open = false
	err := p.cl.Flush(ctx)
	p.mu.Lock()
	written, failed := t.written, t.failed
	t.written, t.failed = nil, 0
	p.mu.Unlock()
	abort := t.abort || failed > 0 || err != nil
	if err == nil {
		bound, cancel := context.WithTimeout(ctx, transactionTime)
		err = p.cl.EndTransaction(bound, kgo.TransactionEndTry(!abort))
		cancel()
	}
	now := p.r.now()
	var count Count
	p.shard.Lock()
	for _, s := range written {
		switch {
		case err != nil: // nobody knows
			p.shard.tally.errors++
		case !abort:
			p.shard.recordLocked(s.phase, Ack, now-s.intended, 1)
			p.shard.recordLocked(s.phase, Service, now-s.sent, 1)
			count.add(Count{1, int64(len(s.rec.Key) + len(s.rec.Value))})
		case !t.abort: // it was to be committed
			p.shard.tally.errors++
		}
	}
	p.shard.tally.acked.add(count)
	p.shard.Unlock()
	for _, s := range written {
		switch {
		case err != nil:
			s.stream.fail(1)
		case abort:
			s.stream.abort(s.seq, 1)
		default:
			s.stream.ack(s.seq, 1, s.rec.Offset)
		}
	}
	p.mu.Lock()
	p.free = append(p.free, written...)
	p.mu.Unlock()
	if err != nil {
		p.r.complain("end a transaction", err)
		p.anew(ctx)
	}
}

// anew replaces a client that has lost its way: under the same transactional id,
// so that the target aborts what the last one left open.
func (p *kgoProducer) anew(ctx context.Context) {
	if !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
		return
	}
	cl, err := kgo.NewClient(p.opts...)
	if err != nil {
		p.r.complain("connect", err)
		return
	}
	bound, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p.r.complain("flush", ignoreCancelled(p.cl.AbortBufferedRecords(bound)))
	p.cl.Close()
	p.cl = cl
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func (r *run) transactionalID(producer int) string {
	return fmt.Sprintf("millrace-%08x-p%d", r.id, producer)
}
