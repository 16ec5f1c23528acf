package netio

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// Frame is one request and the slot of its reply. It is answered exactly once,
// by Reply, Drop or Fail, from any goroutine; after that it must not be touched.
type Frame struct {
	// State is the handler's own, for instance a parked fetch. It stays
	// readable during a Resume even where another goroutine answers meanwhile.
	State any

	// Set by the loop before the handler sees the frame, then the answerer's.
	conn     *Conn
	buf      *Buffer
	charged  int64 // of the budget
	overdrew bool  // see budget

	// Written by the answerer before stage, read by the loop after it.
	kind  answerKind
	reply Reply
	err   error

	stage atomic.Uint32
	woken atomic.Bool

	// Touched on the loop only: the queue in request order, and how much of the
	// reply has left: memory up to pos, inserts before ins, and off bytes of
	// insert ins.
	next *Frame
	pos  int
	ins  int
	off  int64

	spare []Insert // memory of the last reply's inserts
}

type answerKind uint8

const (
	answerReply answerKind = iota
	answerDrop
	answerFail
)

// The stages of a frame. Whoever moves a frame from open is the only one to
// look after its reply: the answerer hands it to the loop, or, where the
// connection has closed before, releases it at once.
const (
	stageOpen     uint32 = iota
	stageAnswered        // the loop has the reply
	stageOrphaned        // the connection is gone and the handler has not answered
	stageDone            // after an orphan's answer, and between uses
)

var frames = sync.Pool{New: func() any { return new(Frame) }}

func newFrame(c *Conn) *Frame {
	f := frames.Get().(*Frame)
	f.conn = c
	f.stage.Store(stageOpen)
	return f
}

// recycle ends the frame's life; all it held is released.
func (f *Frame) recycle() {
	f.stage.Store(stageDone)
	f.woken.Store(false)
	f.State, f.conn, f.buf, f.err, f.next = nil, nil, nil, nil, nil
	f.reply = Reply{}
	f.kind, f.pos, f.ins, f.off = answerReply, 0, 0, 0
	frames.Put(f)
}

// Bytes is the request without its 4-byte length. The handler may write to it;
// it is valid until the frame is answered.
func (f *Frame) Bytes() []byte { return f.buf.B }

// Conn is the connection the request came on.
func (f *Frame) Conn() *Conn { return f.conn }

// Inserts is an empty slice for a reply's inserts, with memory that an earlier
// reply has left behind.
func (f *Frame) Inserts() []Insert { return f.spare[:0] }

// Reply answers the request. Replies leave in the order of the requests.
func (f *Frame) Reply(r Reply) {
	n := int64(len(r.Buf.B)) - 4
	at := 4
	for _, in := range r.Inserts {
		if in.At < at || in.At > len(r.Buf.B) {
			panic(fmt.Sprintf("BUG: reply insert at %d, outside %d to %d", in.At, at, len(r.Buf.B)))
		}
		at = in.At
		n += in.Part.Len()
	}
	if n < 0 || n > math.MaxInt32 {
		panic(fmt.Sprintf("BUG: reply of %d bytes", n))
	}
	binary.BigEndian.PutUint32(r.Buf.B, uint32(n))
	f.reply = r
	f.answer(answerReply)
}

// Drop answers with nothing: the slot vanishes.
func (f *Frame) Drop() { f.answer(answerDrop) }

// Fail answers by closing the connection once the replies before it have left.
// err is logged as the reason.
func (f *Frame) Fail(err error) {
	f.err = err
	f.conn.failed.Store(true)
	f.answer(answerFail)
}

func (f *Frame) answer(k answerKind) {
	c := f.conn
	if s := f.stage.Load(); s != stageOpen && s != stageOrphaned {
		panic("BUG: frame answered twice")
	}
	f.kind = k
	f.releaseRequest()
	if k == answerReply && len(f.reply.Buf.B) > smallPiece {
		c.srv.budget.hold(f, int64(len(f.reply.Buf.B)))
	}
	if f.stage.CompareAndSwap(stageOpen, stageAnswered) {
		c.notify(dueAnswer)
		return
	}
	if !f.stage.CompareAndSwap(stageOrphaned, stageDone) {
		panic("BUG: frame answered twice")
	}
	f.releaseReply()
	f.recycle()
}

// Wake asks for Handler.Resume on the connection's loop. It may be called from
// any goroutine while the frame is unanswered.
func (f *Frame) Wake() {
	if !f.woken.Swap(true) {
		f.conn.notify(dueWake)
	}
}

func (f *Frame) answered() bool { return f.stage.Load() == stageAnswered }

// releaseRequest gives the request's memory back.
func (f *Frame) releaseRequest() {
	s := f.conn.srv
	s.pool.Put(f.buf)
	f.buf = nil
	s.budget.give(f)
}

// releaseReply gives the reply's memory and its remaining parts back.
func (f *Frame) releaseReply() {
	if f.charged != 0 {
		f.conn.unsent.Add(-f.charged)
		f.conn.srv.budget.give(f)
	}
	for i := f.ins; i < len(f.reply.Inserts); i++ {
		f.reply.Inserts[i].Part.Release()
	}
	f.conn.srv.pool.Put(f.reply.Buf)
	clear(f.reply.Inserts)
	if f.reply.Inserts != nil {
		f.spare = f.reply.Inserts[:0]
	}
	f.reply = Reply{}
}
