package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"millrace/core/wire"
)

// produceVersion is the version of Produce that the lean client speaks: the
// last in which the records end the request, so that nothing is to be written
// after them, and one that carries every codec. Kafka 4 still serves it.
const produceVersion = 8

// produceTimeout is what a produce request grants the target.
const produceTimeout = 30 * time.Second

// maxProduceAnswer bounds an answer to a produce request; one partition's is
// under 100 bytes, and an error message may come with it.
const maxProduceAnswer = 1 << 20

// prefix is the bytes of a produce request in front of its batch, for one
// partition.
type prefix []byte

func newPrefix(at partition, acks int16) prefix {
	b := wire.AppendRequestHeader(make([]byte, 4), wire.Header{
		Key: wire.KeyProduce, Version: produceVersion, ClientID: []byte(clientID),
	})
	req := wire.ProduceRequest{Acks: acks, TimeoutMillis: int32(produceTimeout / time.Millisecond)}
	p := req.AddTopic()
	p.Name = []byte(at.topic)
	p.AddPartition().Index = at.index
	p.Partitions[0].Records = []byte{}
	return req.Append(b, produceVersion)
}

// append writes the prefix of a batch of n bytes to dst. The frame's length is
// its first 4 bytes and the batch's its last 4. Answers come back in the order
// of the requests, so that all may have the same correlation id.
func (p prefix) append(dst []byte, n int) []byte {
	at := len(dst)
	dst = append(dst, p...)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(p)-4+n))
	binary.BigEndian.PutUint32(dst[len(dst)-4:], uint32(n))
	return dst
}

// flight is a batch that was sent and is not answered yet.
type flight struct {
	stream   *stream
	part     int
	phase    int
	seq      int64
	n, bytes int64 // records, and of their keys and values
	event    int64 // number of the first in the producer's share of the phase
	intended int64 // closed loop: ns of all; -1: by the schedule
	sent     int64 // ns
}

// leanConn is a connection to one leader and what is in flight on it. The
// sender pushes and writes, the reader takes the answers, in the same order.
type leanConn struct {
	p     *leanProducer
	nc    net.Conn
	done  chan struct{} // closed when the reader has returned
	space chan struct{} // holds a token when something left flights

	mu      sync.Mutex
	flights []flight // ring
	head, n int
	err     error // why the connection ended
}

func dialLean(p *leanProducer, l leader) (*leanConn, error) {
	ctx, cancel := context.WithTimeout(p.r.hard, dialTimeout)
	defer cancel()
	nc, err := p.r.dial(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	window := p.r.spec.Producers.MaxInFlight
	if window == 0 {
		window = leanInFlight
	}
	c := &leanConn{
		p: p, nc: nc, done: make(chan struct{}), space: make(chan struct{}, 1),
		flights: make([]flight, window),
	}
	go c.read()
	return c, nil
}

// room waits for a free place and answers how many there are; 0: the
// connection has failed or ctx ended.
func (c *leanConn) room(ctx context.Context) int {
	for {
		c.mu.Lock()
		free, err := len(c.flights)-c.n, c.err
		c.mu.Unlock()
		if err != nil {
			return 0
		}
		if free > 0 {
			return free
		}
		select {
		case <-c.space:
		case <-ctx.Done():
			return 0
		}
	}
}

// idle waits until nothing is in flight.
func (c *leanConn) idle(ctx context.Context) {
	for {
		c.mu.Lock()
		n := c.n
		c.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-c.space:
		case <-ctx.Done():
			return
		}
	}
}

func (c *leanConn) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// push takes a place, which room has promised.
func (c *leanConn) push(f flight) {
	c.mu.Lock()
	c.flights[(c.head+c.n)%len(c.flights)] = f
	c.n++
	c.mu.Unlock()
}

// pop gives the oldest flight's place back.
func (c *leanConn) pop() (f flight, ok bool) {
	c.mu.Lock()
	if ok = c.n > 0; ok {
		f = c.flights[c.head]
		c.head, c.n = (c.head+1)%len(c.flights), c.n-1
	}
	c.mu.Unlock()
	if ok {
		select {
		case c.space <- struct{}{}:
		default:
		}
	}
	return f, ok
}

// unasked ends all flights of acks=0, which nothing answers.
func (c *leanConn) unasked() {
	now := c.p.r.now()
	for f, ok := c.pop(); ok; f, ok = c.pop() {
		c.acked(f, now)
	}
}

// fail ends the connection, once; what was in flight has failed with it.
func (c *leanConn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
	}
	c.mu.Unlock()
	if !first {
		return
	}
	c.nc.Close()
	c.p.r.complain("produce", err)
	for f, ok := c.pop(); ok; f, ok = c.pop() {
		c.refused(f)
	}
	select { // wake a sender that waits for room in vain
	case c.space <- struct{}{}:
	default:
	}
}

// read takes the answers until the connection ends.
func (c *leanConn) read() {
	defer close(c.done)
	in := newFrames(c.nc, 64<<10, maxProduceAnswer)
	var resp wire.ProduceResponse
	for {
		frame, err := in.next()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s closed the connection", c.nc.RemoteAddr())
		}
		if err == nil {
			err = c.answer(&resp, frame)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// answer books one answer.
func (c *leanConn) answer(resp *wire.ProduceResponse, frame []byte) error {
	_, body, err := wire.ParseResponseHeader(frame, wire.KeyProduce, produceVersion)
	if err == nil {
		err = resp.Decode(produceVersion, body)
	}
	if err != nil {
		return err
	}
	f, ok := c.pop()
	if !ok {
		return fmt.Errorf("%s answers what was not asked", c.nc.RemoteAddr())
	}
	if resp.ThrottleMillis > 0 {
		c.p.r.complain("throttle", errThrottled)
	}
	at := c.p.r.parts[f.part]
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 ||
		string(resp.Topics[0].Name) != at.topic || resp.Topics[0].Partitions[0].Index != at.index {
		c.refused(f)
		return fmt.Errorf("%s answers for other partitions than topic %s partition %d", c.nc.RemoteAddr(), at.topic, at.index)
	}
	p := &resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		c.refused(f)
		c.p.r.rejected("produce", f.part, p.ErrorCode)
		return nil
	}
	f.stream.ack(f.seq, f.n, p.BaseOffset+f.n-1)
	c.acked(f, c.p.r.now())
	return nil
}

// acked records one batch as acknowledged: each of its records has an intended
// start of its own.
func (c *leanConn) acked(f flight, now int64) {
	acks := c.p.acks
	acks.Lock()
	acks.recordEach(Ack, now, f.n, c.p.r.arrival(f.phase, c.p.index, f.event, f.intended))
	acks.recordLocked(f.phase, Service, now-f.sent, f.n)
	acks.tally.acked.add(Count{f.n, f.bytes})
	acks.Unlock()
}

func (c *leanConn) refused(f flight) {
	f.stream.fail(f.n)
	c.p.acks.Lock()
	c.p.acks.tally.errors += f.n
	c.p.acks.Unlock()
}
