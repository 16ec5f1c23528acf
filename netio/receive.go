package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// A request on the wire:
//
//	┌───────────────┬──────────────────────┐
//	│ length, int32 │ length bytes         │   big-endian; the length excludes itself
//	└───────────────┴──────────────────────┘

const (
	// chunkBytes is the size of the buffer that a readable socket is read into
	// first. It lets one system call bring in hundreds of small requests.
	chunkBytes = 256 << 10

	// turnBytes bounds what is received from one connection before the others on
	// its loop have their turn; for what is sent see sendBytes. It is also what it may have in
	// answers that it does not read, before no more requests are served.
	turnBytes = 1<<20 + 64<<10

	// requestCost is what a request counts of its turn beside its own bytes and
	// those of an answer that is there at once: 256 KiB, read in one go, may be
	// ten thousand requests. A turn of the smallest is 65 of them.
	requestCost = 16 << 10

	// trusted is the longest length for which memory is set aside on the
	// peer's word. For a longer one the buffer grows with what has arrived: to
	// what the kernel holds already, or to twice of what was read. So a thousand
	// peers that claim 100 MiB each and send a byte cost 4 MiB.
	trusted = 4 << 10

	// direct is how much of a request must be missing for the rest to be read
	// straight into its buffer. Below that, a read that also brings in what
	// follows is worth the copy.
	direct = 16 << 10
)

var (
	errIdle    = errors.New("nothing moved for connections.max.idle.ms")
	errStopped = errors.New("the server stops")
)

// intake assembles requests. Touched on the loop only.
type intake struct {
	head  [4]byte
	nhead int    // bytes of head that have arrived
	frame *Frame // the request that is arriving, once its length is known
	want  int    // its length
	got   int    // its bytes so far; len(frame.buf.B) is what there is room for

	left      int   // of this turn
	opened    int64 // requests begun
	looked    int64 // the one that was arriving at the last checkSlow; 0: none
	lookedGot int   // and how much of it had

	stash *Buffer // what was read ahead when the connection paused
	taken int     // how much of it is done

	frames, bytes int64 // not yet in the server's stats
}

// take takes the bytes of one read, of which nothing is kept by the caller.
func (c *Conn) take(p []byte) {
	c.touch()
	c.in.bytes += int64(len(p))
	if c.in.stash != nil {
		panic("BUG: read while paused")
	}
	c.keep(c.feed(p))
}

// feed takes bytes that arrived, serving each request that they complete, and
// returns what it could not take because the connection paused.
func (c *Conn) feed(p []byte) (rest []byte) {
	in := &c.in
	for c.cause.Load() == nil {
		if in.frame == nil {
			if in.nhead < 4 {
				n := copy(in.head[in.nhead:], p)
				in.nhead += n
				if p = p[n:]; in.nhead < 4 {
					return nil
				}
			}
			if !c.openFrame(len(p)) {
				return p
			}
		}
		if len(p) == 0 {
			return nil
		}
		if in.got == len(in.frame.buf.B) && !c.growFrame(len(p)) {
			return p
		}
		n := copy(in.frame.buf.B[in.got:], p)
		in.got += n
		p = p[n:]
		if in.got == in.want {
			c.serve()
		}
	}
	return nil // it is to close
}

// receive reads the rest of a long request straight into its buffer, until the
// socket has no more (which it reports), the request is whole, or the turn is
// used up.
func (c *Conn) receive() (drained bool) {
	in := &c.in
	for left := in.left; left > 0 && c.readsDirect(); {
		if in.got == len(in.frame.buf.B) && !c.growFrame(0) {
			return false
		}
		n, err := unix.Read(c.fd, in.frame.buf.B[in.got:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return true
		case err != nil:
			c.broken("read", err)
			return false
		case n == 0:
			c.broken("read", io.EOF)
			return false
		}
		c.touch()
		in.bytes += int64(n)
		in.got += n
		left -= n
		if in.got == in.want {
			c.serve()
		}
	}
	return false
}

func (c *Conn) readsDirect() bool {
	in := &c.in
	return in.frame != nil && in.want-in.got >= direct && c.paused == 0 && c.cause.Load() == nil
}

// openFrame starts the request whose length has arrived, with avail bytes of it
// at hand. false: the connection paused or is to close.
func (c *Conn) openFrame(avail int) bool {
	in, cfg := &c.in, &c.srv.cfg
	n := int64(int32(binary.BigEndian.Uint32(in.head[:])))
	if n <= 0 || n > cfg.MaxRequestBytes {
		c.shut(ClosedMalformed, &LengthError{n, cfg.MaxRequestBytes})
		return false
	}
	if c.failed.Load() {
		c.pause(pauseFail)
	}
	if c.mute.Load() != 0 {
		c.checkMute()
	}
	if in.left <= 0 {
		c.pause(pauseTurn)
	}
	if c.paused != 0 {
		return false
	}
	if c.full() {
		if c.pump(); c.full() {
			c.pause(pauseSlots)
			return false
		}
	}
	size := int(n)
	if size > trusted && size > avail {
		size = min(size, max(trusted, avail+c.received()))
	}
	f := newFrame(c)
	if !c.srv.budget.take(f, int64(size)) {
		f.recycle()
		c.pause(pauseRoom)
		return false
	}
	f.buf = c.srv.pool.Get(size)
	in.frame, in.want, in.got = f, int(n), 0
	in.opened++
	return true
}

// growFrame makes room for more of the request, with avail bytes at hand.
func (c *Conn) growFrame(avail int) bool {
	in := &c.in
	f := in.frame
	size := min(in.want, max(2*in.got, in.got+avail+c.received()))
	if !c.srv.budget.take(f, int64(size-in.got)) {
		c.pause(pauseRoom)
		return false
	}
	b := c.srv.pool.Get(size)
	copy(b.B, f.buf.B)
	c.srv.pool.Put(f.buf)
	f.buf = b
	return true
}

// received is how many bytes the kernel holds for the connection.
func (c *Conn) received() int {
	n, err := unix.IoctlGetInt(c.fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// serve hands the whole request to the handler.
func (c *Conn) serve() {
	in := &c.in
	f := in.frame
	in.frame, in.nhead = nil, 0
	in.frames++
	c.out.push(f)
	in.left -= requestCost + in.want
	c.srv.handler.Serve(f)
	if f.answered() && f.kind == answerReply {
		in.left -= len(f.reply.Buf.B)
	}
}

// full: the connection has as many requests, or bytes of answers, waiting to
// leave as it may.
func (c *Conn) full() bool {
	return c.out.slots >= c.srv.cfg.QueuedRequests || c.unsent.Load() >= turnBytes
}

// keep stashes what feed could not take. rest is the reader's memory.
func (c *Conn) keep(rest []byte) {
	if len(rest) == 0 {
		return
	}
	b := c.srv.pool.Get(len(rest))
	copy(b.B, rest)
	c.in.stash, c.in.taken = b, 0
	c.srv.stats.Stashed.Add(int64(len(rest)))
}

// feedStash goes on with what was stashed, and with a request whose length
// alone had arrived.
func (c *Conn) feedStash() {
	in := &c.in
	if in.stash == nil {
		c.feed(nil)
		return
	}
	before := in.stash.B[in.taken:]
	rest := c.feed(before)
	in.taken = len(in.stash.B) - len(rest)
	c.srv.stats.Stashed.Add(int64(len(rest) - len(before)))
	if len(rest) == 0 {
		c.srv.pool.Put(in.stash)
		in.stash = nil
	}
}

// dropIntake releases what has arrived and was not served.
func (c *Conn) dropIntake() {
	in := &c.in
	if f := in.frame; f != nil {
		in.frame = nil
		f.releaseRequest()
		f.recycle()
	}
	if in.stash != nil {
		c.srv.stats.Stashed.Add(int64(in.taken - len(in.stash.B)))
		c.srv.pool.Put(in.stash)
		in.stash = nil
	}
}

// LengthError is a request whose length is no length.
type LengthError struct {
	Length int64
	Max    int64 // socket.request.max.bytes
}

func (e *LengthError) Error() string {
	switch {
	case e.Length < 0:
		return fmt.Sprintf("request length %d is negative: not Kafka's protocol, or a stream out of step", e.Length)
	case e.Length == 0:
		return "request length is 0"
	}
	return fmt.Sprintf("request length %d is above socket.request.max.bytes %d: a larger request, or not Kafka's protocol (TLS, HTTP)", e.Length, e.Max)
}
