package netio

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is one client's connection.
//
// All of its work happens on its loop, one turn after another: an event loop of
// gnet, or, in the goroutine engine, whoever holds the connection's lock. What
// other goroutines want of it they note in due, which brings about a turn.
//
//	due == 0      nobody is at it; the first to note something calls link.schedule
//	due&held      a turn is running or on its way and will see what is noted
//
// A turn ends by swapping held for 0, which fails if something was noted since.
type Conn struct {
	// Value is the handler's state for this connection, touched on its loop
	// only.
	Value any

	// Fixed once open.
	srv    *server
	id     uint64
	remote net.Addr
	local  net.Addr
	link   link
	fd     int

	// Touched on the loop only.
	in       intake
	out      outlet
	paused   pause
	draining bool
	closed   bool

	// Any goroutine.
	due     atomic.Uint32
	cause   atomic.Pointer[cause] // set once: the connection is to close
	charged atomic.Int64          // of the budget, by all its frames
	unsent  atomic.Int64          // of charged, by answers
	failed  atomic.Bool           // by Frame.Fail: it is to close once earlier replies left
	seen    atomic.Int64          // the server's tick when bytes last moved
	mute    atomic.Int64          // no frame is served before this, in ns since the server began; 0: none
}

// link is what an engine does for one connection.
type link interface {
	// schedule brings about a turn, soon. Any goroutine; never blocks.
	schedule()
	// arm notes dueWritable once the socket takes bytes again. On the loop.
	arm() error
	// pauseRead stops calling for what the socket has received, resumeRead
	// goes on. On the loop.
	pauseRead() error
	resumeRead() error
}

const (
	held        uint32 = 1 << iota
	dueAnswer          // a frame was answered
	dueWake            // Frame.Wake
	dueWritable        // the socket takes bytes again
	dueRoom            // the budget has room
	dueClose           // cause is set
	dueDrain           // the server stops
	dueIdle            // nothing moved for long
	dueSlow            // others wait for memory: is this one slow?
	dueMute            // mute was set, or is over
)

// pause says why the connection is not read from.
type pause uint8

const (
	pauseSlots pause = 1 << iota // queued.max.requests, or turnBytes of unread answers
	pauseRoom                    // queued.max.request.bytes
	pauseDrain                   // the server stops
	pauseFail                    // a frame failed: nothing after it is served
	pauseMute                    // Conn.Mute
	pauseTurn                    // the others on its loop have their turn
)

type cause struct {
	reason CloseReason
	err    error
}

// ID is unique among the connections of the server.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// LocalAddr is the address the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// Pool is the server's buffer pool, for building replies.
func (c *Conn) Pool() Pool { return c.srv.pool }

// Close closes the connection, from any goroutine. Of the replies that are
// ready, what the socket takes at once still leaves. The reason is logged at debug level.
func (c *Conn) Close(reason error) { c.shut(ClosedByHandler, reason) }

// Mute has no request of the connection served for d from now on, nor for less
// than an earlier Mute asked for; the replies to those already served leave all
// the same. Any goroutine, before it answers the request on whose account it
// mutes: what the client sends after the answer then waits.
func (c *Conn) Mute(d time.Duration) {
	until := int64(time.Since(c.srv.began) + d)
	for was := c.mute.Load(); was < until; was = c.mute.Load() {
		if c.mute.CompareAndSwap(was, until) {
			c.notify(dueMute)
			return
		}
	}
}

// checkMute pauses reading while the connection is muted, and goes on when that
// is over.
func (c *Conn) checkMute() {
	until := c.mute.Load()
	if until == 0 {
		return
	}
	if left := time.Duration(until) - time.Since(c.srv.began); left > 0 {
		if c.paused&pauseMute == 0 {
			c.pause(pauseMute)
		}
		time.AfterFunc(left, func() { c.notify(dueMute) })
		return
	}
	if c.mute.CompareAndSwap(until, 0) {
		c.unpause(pauseMute)
		return
	}
	c.due.Or(dueMute) // it was muted for longer
}

// shut has the connection closed by its next turn. The first cause counts.
func (c *Conn) shut(r CloseReason, err error) {
	if c.cause.CompareAndSwap(nil, &cause{r, err}) {
		c.notify(dueClose)
	}
}

func (c *Conn) notify(bit uint32) {
	// What is noted and not yet swapped out will be seen after what the caller
	// did before: no need to note it again.
	if c.due.Load()&(bit|held) == bit|held {
		return
	}
	if c.due.Or(bit|held)&held == 0 {
		c.link.schedule()
	}
}

// begin marks that a turn is running, so that what is noted from here on waits
// for its end.
func (c *Conn) begin() {
	c.due.Or(held)
	c.in.left, c.out.left = turnBytes, sendBytes
}

// turn does what is due. It reports that the connection must be closed, which
// the engine does at once (and calls gone).
func (c *Conn) turn() (closing bool) {
	c.begin()
	if c.cause.Load() == nil {
		c.unpause(pauseTurn)
	}
	return c.finish()
}

// finish is the second half of a turn, after what was received.
func (c *Conn) finish() (closing bool) {
	for {
		due := c.due.Swap(held)
		if c.closed {
			return false // due stays held: no more turns
		}
		if due&dueWritable != 0 {
			c.out.armed = false
		}
		if due&dueWake != 0 && c.cause.Load() == nil {
			c.resume()
		}
		if due&dueRoom != 0 {
			c.unpause(pauseRoom)
		}
		if due&dueMute != 0 {
			c.checkMute()
		}
		if due&dueDrain != 0 && !c.draining {
			c.draining = true
			c.pause(pauseDrain)
		}
		if c.cause.Load() == nil {
			c.pump()
		}
		if c.paused&pauseSlots != 0 && c.out.slots <= c.srv.cfg.QueuedRequests/2 && c.unsent.Load() <= turnBytes/2 {
			c.unpause(pauseSlots)
		}
		if due&dueIdle != 0 {
			c.checkIdle()
		}
		if due&dueSlow != 0 {
			c.checkSlow()
		}
		if c.draining && c.out.head == nil {
			c.shut(ClosedByStop, errStopped)
		}
		if c.cause.Load() != nil {
			return true
		}
		if c.paused&pauseTurn != 0 || c.out.more() {
			c.flushStats()
			c.link.schedule() // held stays: the next turn is on its way
			return false
		}
		if c.due.CompareAndSwap(held, 0) {
			c.flushStats()
			return false
		}
	}
}

// resume calls Handler.Resume for the frames that were woken. They are looked
// for in the queue rather than kept in a list: a frame that was answered since
// is no longer the handler's, and may have left.
func (c *Conn) resume() {
	for f := c.out.head; f != nil; f = f.next {
		if f.woken.Swap(false) && f.stage.Load() == stageOpen {
			c.srv.handler.Resume(f)
		}
	}
}

func (c *Conn) pause(why pause) {
	was := c.paused
	c.paused |= why
	if was != 0 {
		return
	}
	c.srv.stats.Paused.Add(1)
	c.srv.stats.Pauses.Add(1)
	if err := c.link.pauseRead(); err != nil {
		c.shut(ClosedBound, fmt.Errorf("reading cannot be paused: %w", err))
	}
}

func (c *Conn) unpause(why pause) {
	if c.paused&why == 0 || c.closed {
		return
	}
	c.paused &^= why
	if c.paused != 0 {
		if why == pauseRoom {
			c.srv.budget.call() // to someone who can use the room
		}
		return
	}
	c.srv.stats.Paused.Add(-1)
	if c.feedStash(); c.paused != 0 || c.cause.Load() != nil {
		return
	}
	if err := c.link.resumeRead(); err != nil {
		c.shut(ClosedBySystem, fmt.Errorf("reading cannot be resumed: %w", err))
	}
}

// checkIdle closes the connection if it is for the peer to do something.
func (c *Conn) checkIdle() {
	if !c.srv.idle(c) {
		return
	}
	if !c.out.armed && (c.out.head != nil || c.paused&(pauseRoom|pauseMute) != 0) {
		return // the handler's turn, or ours
	}
	c.shut(ClosedIdle, errIdle)
}

// checkSlow closes the connection if it has held memory for a request since the
// last look and sent less than slowBytes of it meanwhile. It is called while
// others wait for memory, so that a peer which claims some and then sends a byte
// now and then does not keep it from those who send.
func (c *Conn) checkSlow() {
	in := &c.in
	if in.frame == nil || c.paused != 0 {
		in.looked = 0
		return
	}
	if in.looked == in.opened && in.got-in.lookedGot < slowBytes {
		c.shut(ClosedBound, fmt.Errorf("%d of %d bytes of a request in %v, while others wait for queued.max.request.bytes",
			in.got-in.lookedGot, in.want, crowdedEvery))
		return
	}
	in.looked, in.lookedGot = in.opened, in.got
}

// slowBytes is what a peer must send of a request between two looks.
const slowBytes = 16 << 10

// touch notes that bytes moved.
func (c *Conn) touch() {
	if t := c.srv.tick.Load(); c.seen.Load() != t {
		c.seen.Store(t)
	}
}

// broken is an error of the socket, from either direction.
func (c *Conn) broken(op string, err error) {
	r := ClosedBySystem
	switch {
	case err == io.EOF:
		c.shut(ClosedByPeer, io.EOF)
		return
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ETIMEDOUT),
		errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.ECONNREFUSED):
		r = ClosedByPeer
	}
	c.shut(r, fmt.Errorf("%s: %w", op, err))
}

// gone ends the connection. The engine calls it on the loop, once, while the
// descriptor is still open.
func (c *Conn) gone() {
	if c.closed {
		panic("BUG: connection closed twice")
	}
	s := c.srv
	c.out.left = lastBytes
	why := c.cause.Load()
	if why == nil {
		why = &cause{ClosedBySystem, errors.New("the engine closed it")}
	}
	switch why.reason {
	case ClosedSource, ClosedBySystem:
		discard(c.fd)
	case ClosedByPeer:
		if why.err == io.EOF {
			c.pump() // what is ready, as far as the socket takes it
		}
	default:
		c.pump()
		discard(c.fd)
	}
	c.closed = true
	if c.paused != 0 {
		s.stats.Paused.Add(-1)
	}
	c.dropIntake()
	c.orphan()
	c.flushStats()
	s.budget.leave(c)
	s.handler.Closed(c)
	s.remove(c, why)
}

// discard takes what the peer has sent and nobody will read: closing over
// unread bytes resets the connection, and a reset overtakes replies that are
// still on their way. Bounded, for a peer that floods.
func discard(fd int) {
	for range 16 {
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 1<<20, unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
		if n == 0 || errno != 0 {
			return
		}
	}
}
