package netio

import (
	"sync"
	"sync/atomic"
)

// budget bounds the memory of all requests that are arriving or unanswered
// (queued.max.request.bytes). A connection that may not take more pauses and
// waits in line.
//
// A limit that only refuses could end with nothing but halves of requests in
// memory, each waiting for another to finish. So one frame at a time may
// overdraw: it takes what it needs to become whole. The bound is therefore the
// limit and one request (socket.request.max.bytes).
type budget struct {
	limit int64 // negative: none
	used  *atomic.Int64

	waiting atomic.Int32 // len(line), or more for a moment

	mu        sync.Mutex
	overdrawn *Frame // the frame that may exceed the limit
	line      []waiter
}

type waiter struct {
	c    *Conn
	want int64
}

func (b *budget) tryTake(n int64) bool {
	for {
		u := b.used.Load()
		if b.limit >= 0 && u+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(u, u+n) {
			return true
		}
	}
}

// take asks for n more bytes for f. If it answers false, the connection is in
// line and hears dueRoom when it should ask again.
func (b *budget) take(f *Frame, n int64) bool {
	if b.tryTake(n) {
		f.charged += n
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// From here on a give sees that someone waits; what was given before is
	// seen by the second try.
	b.waiting.Add(1)
	if !b.tryTake(n) {
		if b.overdrawn != nil && b.overdrawn != f {
			b.line = append(b.line, waiter{f.conn, n})
			return false
		}
		b.overdrawn, f.overdrew = f, true
		b.used.Add(n)
	}
	b.waiting.Add(-1)
	f.charged += n
	return true
}

// give returns all that f holds.
func (b *budget) give(f *Frame) {
	b.used.Add(-f.charged)
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
	for len(b.line) > 0 {
		w := b.line[0]
		if w.want > room && b.overdrawn != nil {
			return
		}
		b.dropLocked(0)
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
