package netio

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// sendfileBytes bounds one sendfile call: it does not return to the loop
	// before it has copied or the socket is full.
	sendfileBytes = 1 << 20

	// sendBytes bounds what one connection is sent before the others on its loop
	// have their turn.
	sendBytes = 2 << 20

	// lastBytes bounds what is sent of the replies that are ready when a
	// connection is closed.
	lastBytes = 4 << 20

	// copyBytes is the chunk in which a part that cannot be sent as a file is
	// read and written. Larger chunks fall out of the core's cache between the
	// two.
	copyBytes = 256 << 10

	// smallPiece is the size up to which pieces of memory are copied together,
	// which costs less than an iovec each.
	smallPiece = 512

	maxPieces = 64
)

// outlet sends replies. Touched on the loop only.
type outlet struct {
	head, tail *Frame // in request order
	slots      int    // their number
	armed      bool   // the socket is full: link.arm notes when it no longer is
	left       int    // of this turn

	// chunk holds bytes of the copied part that is insert chunkIns of
	// chunkFrame, from chunkOff on.
	chunk      *Buffer
	chunkFrame *Frame
	chunkIns   int
	chunkOff   int64

	bytes int64 // not yet in the server's stats
	noted int   // slots in the server's stats
}

func (o *outlet) push(f *Frame) {
	if o.tail == nil {
		o.head = f
	} else {
		o.tail.next = f
	}
	o.tail = f
	o.slots++
}

// plan is what can be sent next: pieces of memory in order, then, once these
// have left, what ended them.
type plan struct {
	iov   [maxPieces]unix.Iovec
	n     int // pieces
	bytes int
	small [16 << 10]byte // where small pieces are copied together
	nsm   int
	open  bool // the last piece ends at small[nsm]
	hdr   unix.Msghdr
}

var plans = sync.Pool{New: func() any { return new(plan) }}

// then is what follows the pieces of a plan.
type then uint8

const (
	thenStop then = iota // nothing that is ready; or the plan is full
	thenFile             // the head's next part is a range of a file
	thenFail             // the head is a failed frame
)

// add appends memory; false: the plan is full.
func (p *plan) add(b []byte) bool {
	if len(b) <= smallPiece && p.nsm+len(b) <= len(p.small) {
		if !p.open {
			if p.n == maxPieces {
				return false
			}
			p.iov[p.n].Base = &p.small[p.nsm]
			p.iov[p.n].Len = 0
			p.n++
			p.open = true
		}
		p.nsm += copy(p.small[p.nsm:], b)
		p.iov[p.n-1].Len += uint64(len(b))
		p.bytes += len(b)
		return true
	}
	if p.n == maxPieces {
		return false
	}
	p.open = false
	p.iov[p.n].Base = &b[0]
	p.iov[p.n].SetLen(len(b))
	p.n++
	p.bytes += len(b)
	return p.bytes < sendfileBytes
}

func (p *plan) reset() {
	clear(p.iov[:p.n])
	p.n, p.bytes, p.nsm, p.open = 0, 0, 0, false
}

// pump sends what is ready, in order, until the socket is full, and then it arms,
// or until the turn is used up (see more). A part is released when its last byte
// has been given to the kernel.
func (c *Conn) pump() {
	o := &c.out
	if o.armed || o.left <= 0 || o.head == nil || !o.head.answered() || c.closed {
		return
	}
	p := plans.Get().(*plan)
	defer plans.Put(p)
	for o.left > 0 {
		p.reset()
		next, err := c.fill(p)
		var n int
		switch {
		case err != nil:
			c.shut(ClosedSource, err)
			return
		case p.n > 0:
			n, err = p.send(c.fd, next == thenFile)
		case next == thenFile:
			n, err = c.sendfile()
		case next == thenFail:
			c.shut(ClosedByHandler, o.head.err)
			return
		default:
			return
		}
		switch err {
		case nil:
			c.advance(int64(n))
			o.left -= n
		case unix.EINTR:
		case unix.EAGAIN:
			if o.head == nil || !o.head.answered() {
				return
			}
			o.armed = true
			if err := c.link.arm(); err != nil {
				c.shut(ClosedBySystem, fmt.Errorf("waiting for the socket: %w", err))
			}
			return
		default:
			var short *shortError
			if errors.As(err, &short) {
				c.shut(ClosedSource, err)
			} else {
				c.broken("send", err)
			}
			return
		}
	}
}

// more says that the turn ended with something to send, for which the socket had
// room.
func (o *outlet) more() bool {
	return o.left <= 0 && !o.armed && o.head != nil && o.head.answered()
}

// fill collects memory from the cursor of the head on, over as many answered
// frames as fit.
func (c *Conn) fill(p *plan) (then, error) {
	c.settle()
	for f := c.out.head; f != nil && f.answered(); f = f.next {
		switch f.kind {
		case answerDrop:
			continue
		case answerFail:
			return thenFail, nil
		}
		pos, off := f.pos, f.off
		for ins := f.ins; ; ins++ {
			end := len(f.reply.Buf.B)
			if ins < len(f.reply.Inserts) {
				end = f.reply.Inserts[ins].At
			}
			if pos < end && !p.add(f.reply.Buf.B[pos:end]) {
				return thenStop, nil
			}
			pos = end
			if ins == len(f.reply.Inserts) {
				break
			}
			part := f.reply.Inserts[ins].Part
			if part.Len() > off {
				if _, _, ok := part.File(); ok {
					return thenFile, nil
				}
				if b := part.Bytes(); b != nil {
					if !p.add(b[off:]) {
						return thenStop, nil
					}
				} else {
					b, err := c.loadChunk(f, ins, off)
					if err == nil {
						p.add(b)
					}
					return thenStop, err
				}
			}
			off = 0
		}
	}
	return thenStop, nil
}

// loadChunk returns bytes of a part that is copied, from off on.
func (c *Conn) loadChunk(f *Frame, ins int, off int64) ([]byte, error) {
	o := &c.out
	if o.chunk != nil && o.chunkFrame == f && o.chunkIns == ins {
		if at := off - o.chunkOff; at < int64(len(o.chunk.B)) {
			return o.chunk.B[at:], nil
		}
	}
	c.dropChunk()
	part := f.reply.Inserts[ins].Part
	b := c.srv.pool.Get(int(min(part.Len()-off, copyBytes)))
	if n, err := part.ReadAt(b.B, off); n < len(b.B) {
		c.srv.pool.Put(b)
		return nil, fmt.Errorf("part of a reply: %d bytes at %d of %d: %w", len(b.B), off, part.Len(), err)
	}
	o.chunk, o.chunkFrame, o.chunkIns, o.chunkOff = b, f, ins, off
	return b.B, nil
}

func (c *Conn) dropChunk() {
	c.srv.pool.Put(c.out.chunk)
	c.out.chunk, c.out.chunkFrame = nil, nil
}

// send gives the pieces to the kernel. more: a file follows, so that the bytes
// share its first packet.
func (p *plan) send(fd int, more bool) (int, error) {
	flags := unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	p.hdr.Iov = &p.iov[0]
	p.hdr.SetIovlen(p.n)
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&p.hdr)), uintptr(flags))
	runtime.KeepAlive(p)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// shortError is a file that ends before the range that was promised.
type shortError struct {
	file string
	off  int64
	left int64
}

func (e *shortError) Error() string {
	return fmt.Sprintf("part of a reply: %s ends at %d, %d bytes before the end of the range", e.file, e.off, e.left)
}

// sendfile sends from the file range at the head's cursor.
func (c *Conn) sendfile() (int, error) {
	f := c.out.head
	part := f.reply.Inserts[f.ins].Part
	file, off, _ := part.File()
	off += f.off
	left := part.Len() - f.off
	n, err := unix.Sendfile(c.fd, int(file.Fd()), &off, int(min(left, sendfileBytes)))
	// The descriptor is the file's; the collector must not close it under us.
	runtime.KeepAlive(file)
	if err == nil && n == 0 {
		err = &shortError{file.Name(), off, left}
	}
	return n, err
}

// advance moves the cursor over n bytes that have left.
func (c *Conn) advance(n int64) {
	c.touch()
	c.out.bytes += n
	for {
		c.settle()
		if n == 0 {
			return
		}
		f := c.out.head
		end := len(f.reply.Buf.B)
		if f.ins < len(f.reply.Inserts) {
			end = f.reply.Inserts[f.ins].At
		}
		if f.pos < end {
			k := min(int64(end-f.pos), n)
			f.pos += int(k)
			n -= k
			continue
		}
		k := min(f.reply.Inserts[f.ins].Part.Len()-f.off, n)
		f.off += k
		n -= k
	}
}

// settle releases the parts that have left and retires the frames that have,
// and those that were dropped.
func (c *Conn) settle() {
	o := &c.out
	for f := o.head; f != nil && f.answered() && f.kind != answerFail; f = o.head {
		if f.kind == answerReply {
			for f.ins < len(f.reply.Inserts) && f.pos == f.reply.Inserts[f.ins].At && f.off == f.reply.Inserts[f.ins].Part.Len() {
				if o.chunkFrame == f && o.chunkIns == f.ins {
					c.dropChunk()
				}
				f.reply.Inserts[f.ins].Part.Release()
				f.ins++
				f.off = 0
			}
			if f.ins < len(f.reply.Inserts) || f.pos < len(f.reply.Buf.B) {
				return
			}
			f.releaseReply()
		}
		o.pop()
		f.recycle()
	}
}

func (o *outlet) pop() {
	o.head = o.head.next
	if o.head == nil {
		o.tail = nil
	}
	o.slots--
}

// orphan releases the replies that will not leave, and leaves those frames
// that are still open to their handler.
func (c *Conn) orphan() {
	o := &c.out
	c.dropChunk()
	for o.head != nil {
		f := o.head
		o.pop()
		f.next = nil
		if f.stage.CompareAndSwap(stageOpen, stageOrphaned) {
			continue
		}
		if f.kind == answerReply {
			f.releaseReply()
		}
		f.recycle()
	}
}

func (c *Conn) flushStats() {
	st := &c.srv.stats
	if c.in.frames != 0 {
		st.Frames.Add(c.in.frames)
		c.in.frames = 0
	}
	if c.in.bytes != 0 {
		st.BytesIn.Add(c.in.bytes)
		c.in.bytes = 0
	}
	if c.out.bytes != 0 {
		st.BytesOut.Add(c.out.bytes)
		c.out.bytes = 0
	}
	if d := c.out.slots - c.out.noted; d != 0 {
		st.Slots.Add(int64(d))
		c.out.noted = c.out.slots
	}
}
