package core

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// InitProducerId, v0 to v5: an id for an idempotent producer.
//
//   - Without a transactional id each call gets an id never given out before,
//     at epoch 0, whatever id and epoch the client had (v3).
//   - There is no transaction coordinator yet, and FindCoordinator is not
//     served; a transactional id is INVALID_REQUEST.
func initProducerID(c *call, req *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp, nil
	}
	id, err := c.ids.next(c.Broker)
	if err != nil {
		c.log.Error("no producer id to give out", "err", err)
		resp.ErrorCode = changeFault(err).code
		return resp, nil
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp, nil
}

// initProducerIDIsSlow: where a new block has to be taken.
func initProducerIDIsSlow(b *Broker, _ kmsg.Request) bool { return b.ids.empty() }

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
