package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"millrace/batching"
)

// leanClient sends batches made before the run over raw sockets and reads them
// back without looking into them: what the broker can take, at about 1 % of
// what an application's client costs.
//
// One request carries one batch, one connection per leader carries the requests
// of one producer, and up to MaxInFlight of them are unanswered. A batch that
// fails is not sent again: its records count as errors, and as unacknowledged
// in the ledger.
//
// Nothing is added to the records. Who sent a batch, and which of its records
// these are, stands in header fields that brokers leave alone (cut.header);
// when its records were intended to start, and the CRC with which it left, stand
// in the ledger's batch log in this process. A batch that comes back with the
// CRC with which it left has the records with which it left.
//
// Handing a record over means the moment at which its batch is full or its
// linger is over: the wait for that is part of the ack latency, as it is inside
// a client of an application, and the generator is late only after it.
type leanClient struct{}

func (leanClient) check(s *Spec) error {
	if s.Producers.Idempotent {
		return errors.New("the lean client is not idempotent: it never sends a batch again")
	}
	if s.Consumers.grouped() {
		return errors.New("the lean client has no group protocol: its consumers share the partitions for good")
	}
	if s.Consumers.Committed {
		return errors.New("the lean client reads all records, not committed ones only")
	}
	return nil
}

func (leanClient) overhead() int { return 0 }

// leanInFlight is the default for Producers.MaxInFlight: enough that 64 KiB
// batches keep a loopback connection busy while answers are on their way.
const leanInFlight = 16

// What one write may gather where several batches are due.
const (
	gatherBatches = 16
	gatherBytes   = 1 << 20
)

type leanProducer struct {
	// Immutable.
	r         *run
	index     int
	templates []*template
	linger    time.Duration

	// Owned by the sending goroutine.
	rng    *rand.Rand
	next   int // the template whose turn it is
	part   int // and the partition it goes to, where the template leaves that open
	turn   int64
	conns  map[leader]*leanConn
	shard  *shard
	writes gather
	back   time.Duration // how long to wait before connecting again

	acks *shard // shared by the connections' readers
}

// gather is the requests of one write.
type gather struct {
	heads [gatherBatches][]byte // request header and batch header
	bufs  net.Buffers
	left  net.Buffers // what WriteTo consumes
	bytes int
}

func (leanClient) producer(ctx context.Context, r *run, index int) (producer, error) {
	codec := leanCodecs[r.spec.Producers.Compression]
	r.templatesOnce.Do(func() {
		var headers []batching.Header
		for i := range r.spec.Payload.Headers {
			headers = append(headers, batching.Header{Key: []byte(headerKey(i)), Value: headerValue(i, r.spec.Payload.HeaderBytes)})
		}
		r.templates, r.templatesErr = newTemplates(r.pool, r.keys, codec, r.spec.Producers.BatchBytes, r.spec.Seed, headers...)
	})
	if r.templatesErr != nil {
		return nil, fmt.Errorf("load: making batches: %w", r.templatesErr)
	}
	p := &leanProducer{
		r: r, index: index, templates: r.templates, linger: r.spec.Producers.Linger,
		rng: rand.New(rand.NewPCG(r.spec.Seed, uint64(index))), conns: map[leader]*leanConn{},
		shard: r.rec.shard(), acks: r.rec.shard(),
	}
	p.next = index * len(p.templates) / r.spec.Producers.Count
	p.part = p.rng.IntN(len(r.parts))
	p.turn = int64(index)
	seen := map[leader]bool{}
	for i := range r.parts {
		if l := r.leaderOf(i); !seen[l] {
			seen[l] = true
			if _, err := p.conn(l); err != nil {
				p.close()
				return nil, fmt.Errorf("load: producer %d: %w", index, err)
			}
		}
	}
	return p, nil
}

// target is the template whose turn it is, and its partition.
func (p *leanProducer) target() (*template, int) {
	t := p.templates[p.next]
	if t.part >= 0 {
		return t, p.r.spec.keyed(t.part, p.turn)
	}
	return t, p.part
}

// advance lets the next template have its turn.
func (p *leanProducer) advance() {
	p.next = (p.next + 1) % len(p.templates)
	p.part = (p.part + 1) % len(p.r.parts)
	p.turn++
}

func (p *leanProducer) batch() (full, most int, linger time.Duration) {
	n := p.templates[p.next].n
	return n, n * gatherBatches, p.linger
}

// send hands over whole batches, as many as are due and there is room for in
// one write, or the part of one batch that has lingered.
func (p *leanProducer) send(ctx context.Context, e events) (handed, blocked int64) {
	begin := p.r.now()
	conn, l, room := p.room(ctx)
	if room == 0 {
		return 0, p.r.now() - begin
	}
	p.writes.bufs, p.writes.bytes = p.writes.bufs[:0], 0
	var size, wire int64
	p.shard.Lock()
	for range min(room, gatherBatches) {
		t, part := p.target()
		left := e.to - e.from - handed
		if left == 0 || left < int64(t.n) && handed > 0 || p.writes.bytes >= gatherBytes || p.r.leaderOf(part) != l {
			break
		}
		c := t.cut(int(min(left, int64(t.n))))
		f := flight{
			stream: p.r.ledger.streams[part][p.index], part: part, phase: e.phase, n: int64(c.n),
			bytes: int64(t.bytes[c.n-1]), event: e.from + handed, intended: -1,
		}
		ready := e.ready
		if e.pace == nil {
			f.intended = begin
		} else if c.n == t.n {
			ready = e.intended(f.event+f.n-1, 0) // the batch became full
		}
		p.encode(t, c, &f, e)
		conn.push(f)
		lag := max(begin-ready, 0)
		p.shard.recordLocked(e.phase, ScheduleLag, lag, f.n)
		if lag-e.excused > lateBound {
			p.shard.tally.late += f.n
		}
		handed += f.n
		size += f.bytes
		wire += int64(batching.HeaderSize + len(c.records))
		p.advance()
	}
	p.shard.Unlock()

	p.writes.left = p.writes.bufs
	_, err := p.writes.left.WriteTo(conn.nc)
	blocked = p.r.now() - begin
	if err != nil {
		conn.fail(err)
	} else if !p.r.ledger.acks {
		conn.unasked()
	}
	p.shard.Lock()
	p.shard.recordLocked(e.phase, SendBlock, blocked, handed)
	p.shard.tally.sent.add(Count{handed, size})
	p.shard.tally.wire += wire
	p.shard.Unlock()
	return handed, blocked
}

// encode puts one batch into the write and into the ledger.
func (p *leanProducer) encode(t *template, c cut, f *flight, e events) {
	w := &p.writes
	i := len(w.bufs) / 2
	head := p.r.prefixes[f.part].append(w.heads[i][:0], batching.HeaderSize+len(c.records))
	at := len(head)
	head = append(head, make([]byte, batching.HeaderSize)...)
	f.seq = f.stream.take(f.n)
	created := p.r.start.UnixMilli() + e.intended(f.event, f.intended)/int64(time.Millisecond)
	crc := c.header((*[batching.HeaderSize]byte)(head[at:]), t.codec, p.index, f.seq, created)
	f.stream.log(sentBatch{
		seq: f.seq, event: f.event, intended: f.intended, n: int32(f.n), bytes: int32(f.bytes), phase: int32(f.phase),
		crc: crc, content: t.sums[c.n-1],
	})
	w.heads[i] = head
	w.bufs = append(w.bufs, head, c.records)
	w.bytes += len(head) + len(c.records)
	f.sent = p.r.now()
}

// room waits until the connection that the next batch needs is up and may
// carry one more request at least; 0: ctx ended.
func (p *leanProducer) room(ctx context.Context) (*leanConn, leader, int) {
	for ctx.Err() == nil {
		_, part := p.target()
		l := p.r.leaderOf(part) // may have moved
		c, err := p.conn(l)
		if err != nil {
			p.r.complain("connect", err)
			p.r.refreshLeaders()
			p.back = min(max(2*p.back, 10*time.Millisecond), 500*time.Millisecond)
			select {
			case <-ctx.Done():
			case <-time.After(p.back):
			}
			continue
		}
		p.back = 0
		if n := c.room(ctx); n > 0 {
			return c, l, n
		}
	}
	return nil, leader{}, 0
}

// conn is the connection to a leader, opened anew where the last one failed.
func (p *leanProducer) conn(l leader) (*leanConn, error) {
	old := p.conns[l]
	if old != nil && !old.failed() {
		return old, nil
	}
	c, err := dialLean(p, l)
	if err != nil {
		return nil, err
	}
	if old != nil {
		p.shard.Lock()
		p.shard.tally.reconnects++
		p.shard.Unlock()
	}
	p.conns[l] = c
	return c, nil
}

func (p *leanProducer) flush(ctx context.Context) {
	for _, c := range p.conns {
		c.idle(ctx)
	}
}

func (p *leanProducer) close() {
	var wg sync.WaitGroup
	for _, c := range p.conns {
		wg.Go(func() { c.fail(net.ErrClosed); <-c.done })
	}
	wg.Wait()
}
