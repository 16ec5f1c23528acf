package core

import (
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
	"millrace/core/txn"
)

// InitProducerId, v0 to v5: an id for an idempotent or transactional producer.
//
//   - Without a transactional id each call gets an id never given out before,
//     at epoch 0, whatever id and epoch the client had (v3).
//   - With one, the id's holder is fenced: the epoch rises, and a transaction
//     that it has under way is aborted first. Kafka answers that with
//     CONCURRENT_TRANSACTIONS and goes on behind it; here the answer waits, and
//     only a transaction that is being ended by another request has that code.
//     The transaction's timeout is bounded by transaction.max.timeout.ms
//     (INVALID_TRANSACTION_TIMEOUT).
//   - v3 names what the producer has: it goes on with the next epoch where that
//     is the latest one, and is PRODUCER_FENCED otherwise (before v4:
//     INVALID_PRODUCER_EPOCH). After the last epoch comes a new producer id.
//   - v5 knows TRANSACTION_ABORTABLE, which is no answer here.
func initProducerID(c *call, req *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		id, epoch, err := c.initTransactional(req)
		if resp.ErrorCode = fencedBefore(4, req.Version, codeOf(err)); err == nil {
			resp.ProducerID, resp.ProducerEpoch = id, epoch
		}
		return resp, nil
	}
	id, err := c.ids.next(c.Broker)
	if err != nil {
		c.log.Error("no producer id to give out", "err", err)
		resp.ErrorCode = kerr.KafkaStorageError.Code
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp, nil
}

func (c *call) initTransactional(req *kmsg.InitProducerIDRequest) (id int64, epoch int16, err error) {
	if *req.TransactionalID == "" {
		return -1, -1, kerr.InvalidRequest
	}
	t := c.txns.Load()
	if t == nil {
		return -1, -1, kerr.NotCoordinator // the client looks for one, which makes it
	}
	r := txn.InitRequest{ID: *req.TransactionalID, Timeout: req.TransactionTimeoutMillis, Producer: -1, Epoch: -1, NewID: -1}
	if req.Version >= 3 {
		r.Producer, r.Epoch = req.ProducerID, req.ProducerEpoch
	}
	// At most: to learn that a new id is needed, to abort what is under way, to
	// learn that now a new id is needed, and to get it.
	for range 4 {
		aborted := false
		err = t.step(t.lane(r.ID), func(m *txn.Machine, now int64) (fx txn.Effects, err error) {
			id, epoch, fx, err = m.Init(now, r)
			aborted = len(fx.Decisions) > 0
			return fx, err
		})
		switch {
		case errors.Is(err, txn.ErrNeedsID):
			if r.NewID, err = c.ids.next(c.Broker); err != nil {
				c.log.Error("no producer id to give out", "err", err)
				return -1, -1, kerr.KafkaStorageError
			}
		case aborted && err == kerr.ConcurrentTransactions:
		default:
			return id, epoch, err
		}
	}
	return -1, -1, kerr.ConcurrentTransactions
}

// initProducerIDIsSlow: where a new block has to be taken, or a transaction's
// state be kept.
func initProducerIDIsSlow(b *Broker, req kmsg.Request) bool {
	return req.(*kmsg.InitProducerIDRequest).TransactionalID != nil || b.ids.empty()
}

// idBlock is how many producer ids one metadata record reserves; what is left
// of a block is lost at a stop. Kafka takes as many.
const idBlock = 1000

// producerIDs gives out the ids of a block that the metadata log has reserved.
type producerIDs struct {
	mu        sync.Mutex
	from, end int64
}

func (p *producerIDs) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.from == p.end
}

// next takes a new block where the old one is used up. Only a caller that was
// overtaken between empty and next does so on a loop.
func (p *producerIDs) next(b *Broker) (int64, error) {
	p.mu.Lock()
	if p.from < p.end {
		id := p.from
		p.from++
		p.mu.Unlock()
		return id, nil
	}
	p.mu.Unlock()

	var from int64
	if err := b.change(func(image *meta.Image) ([]meta.Record, error) {
		from = image.NextProducerID
		return []meta.Record{meta.ProducerIDs{Next: from + idBlock}}, nil
	}); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// Two that found the block empty take a block each: the second's is used,
	// the rest of the first's is lost.
	p.from, p.end = from+1, from+idBlock
	return from, nil
}
