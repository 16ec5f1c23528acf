package netio

import (
	"sync"
	"sync/atomic"
	"time"
)

// budget bounds the memory of all requests that are arriving or unanswered, and
// of answers that have not left (queued.max.request.bytes). A connection that may
// not take more pauses and waits in line.
//
// It is shared by a dynamic threshold, as switches share their packet memory: a
// connection may hold as much as is still free. One alone comes to half of the
// limit, n that want all they can get to a share of 1/(n+1) each, and as much is
// left for the next to come, at once and without any table of shares.
//
// A limit that only refuses could end with nothing but halves of requests in
// memory, each waiting for another to finish. So one frame at a time may
// overdraw, of a connection that has little else in flight: it takes what it
// needs to become whole. The bound is therefore the limit and one request
// (socket.request.max.bytes). And while anyone waits, who sends a request too
// slowly is closed: see Conn.checkSlow.
type budget struct {
	limit   int64 // negative: none
	used    *atomic.Int64
	crowded func() // called now and then while someone waits

	waiting atomic.Int32 // len(line), or more for a moment

	mu        sync.Mutex
	overdrawn *Frame // the frame that may exceed the limit
	line      []waiter
	armed     bool // a timer will call crowded
}

// crowdedEvery is how often slow senders are looked for while others wait.
const crowdedEvery = time.Second

type waiter struct {
	c    *Conn
	want int64
	own  int64 // what the frame that waits holds already
}

// tryTake takes n if c may hold as much more.
func (b *budget) tryTake(c *Conn, n int64) bool {
	for {
		u := b.used.Load()
		if b.limit >= 0 && c.charged.Load()+n > b.limit-u {
			return false
		}
		if b.used.CompareAndSwap(u, u+n) {
			c.charged.Add(n)
			return true
		}
	}
}

// modest: the connection has little in flight besides the frame that holds own.
func modest(c *Conn, own int64) bool { return c.charged.Load()-own <= modestBytes }

// modestBytes leaves room for some parked fetches.
const modestBytes = 64 << 10

// take asks for n more bytes for f. If it answers false, the connection is in
// line and hears dueRoom when it should ask again.
func (b *budget) take(f *Frame, n int64) bool {
	if b.tryTake(f.conn, n) {
		f.charged += n
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// From here on a give sees that someone waits; what was given before is
	// seen by the second try.
	b.waiting.Add(1)
	if !b.tryTake(f.conn, n) {
		if b.overdrawn != nil && b.overdrawn != f || !modest(f.conn, f.charged) {
			b.line = append(b.line, waiter{f.conn, n, f.charged})
			b.armLocked()
			return false
		}
		b.overdrawn, f.overdrew = f, true
		b.used.Add(n)
		f.conn.charged.Add(n)
	}
	b.waiting.Add(-1)
	f.charged += n
	return true
}

func (b *budget) armLocked() {
	if b.armed || b.crowded == nil {
		return
	}
	b.armed = true
	time.AfterFunc(crowdedEvery, func() {
		b.mu.Lock()
		b.armed = false
		crowded := len(b.line) > 0
		if crowded {
			b.armLocked()
		}
		b.mu.Unlock()
		if crowded {
			b.crowded()
		}
	})
}

// hold charges n bytes of an answer, which is there already, to f, which holds
// nothing else any more. What is above the limit then keeps requests from being
// begun.
func (b *budget) hold(f *Frame, n int64) {
	b.used.Add(n)
	f.conn.charged.Add(n)
	f.conn.unsent.Add(n)
	f.charged = n
}

// give returns all that f holds.
func (b *budget) give(f *Frame) {
	b.used.Add(-f.charged)
	f.conn.charged.Add(-f.charged)
	f.charged = 0
	if f.overdrew {
		f.overdrew = false
		b.mu.Lock()
		b.overdrawn = nil
		b.callLocked()
		b.mu.Unlock()
		return
	}
	b.call()
}

// call lets those go on that there is room for. Whoever was called and then
// does not take must call again.
func (b *budget) call() {
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	b.callLocked()
	b.mu.Unlock()
}

func (b *budget) callLocked() {
	room := b.limit - b.used.Load()
	for i := 0; i < len(b.line); {
		w := b.line[i]
		fits := w.c.charged.Load()+w.want <= room
		switch {
		case !fits && !modest(w.c, w.own):
			i++ // it waits for answers to what it has sent before; others need not
			continue
		case !fits && b.overdrawn != nil:
			return
		}
		b.dropLocked(i)
		w.c.notify(dueRoom)
		if room -= w.want; room < 0 {
			return
		}
	}
}

func (b *budget) dropLocked(i int) {
	b.line = append(b.line[:i], b.line[i+1:]...)
	b.waiting.Add(-1)
}

// leave takes a closing connection out of the line.
func (b *budget) leave(c *Conn) {
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	for i, w := range b.line {
		if w.c == c {
			b.dropLocked(i)
			break
		}
	}
	b.callLocked()
	b.mu.Unlock()
}
