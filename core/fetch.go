package core

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/core/wire"
	"millrace/diskio"
	"millrace/netio"
)

// A fetch goes through these stages, all but the last two on its connection's
// loop:
//
//	attempt   reads every partition asked for; enough bytes, or a fault: answer
//	park      links itself into the waiters of each partition and into the
//	          deadlines, and looks once more: an append may have slipped in
//	(waits)   costs memory only
//	resume    an append, a fault or the deadline has woken it: unlink, attempt
//	load      where cold.read is prefetch and a span is not in the page cache:
//	          a worker reads it in, and answers
//	answer    the head of the response with spans set into it; from here on the
//	          spans are the connection's
//
// Invariants. A fetch that is linked anywhere is unanswered: it is unlinked,
// under the lock of each list, before it is answered or dropped. So whoever
// finds it in a list may wake it as long as he holds that list's lock. Only the
// loop links and unlinks.
//
// Rejected: a goroutine or a timer for each parked fetch (both cost kilobytes
// each and a wake-up per append), and answering from the appender's goroutine
// (it would do the reading of a thousand consumers before its own producer got
// its answer).
type fetch struct {
	b      *Broker
	frame  *netio.Frame
	header wire.Header
	req    wire.FetchRequest
	resp   wire.FetchResponse

	// Decided when the request came.
	minBytes, maxBytes int64
	committed          bool // read_committed
	deadline           time.Time
	parts              []fetchPart
	session            *fetchSession // nil: none, parts are the request's
	opens              bool          // the answer opens one
	marks              uint64        // session.marks when its dirty parts were taken

	// Owned by the loop.
	parked     bool
	prev, next *fetch // in client.parked

	// heapIndex is guarded by deadlines.mu; -1: not in the heap.
	heapIndex int

	// need is how many more bytes a parked fetch waits for. It is set before the
	// fetch is linked; what becomes visible after that is taken off, by whoever
	// made it so.
	need    atomic.Int64
	owes    int32       // see client.owes
	expired atomic.Bool // the deadline has woken it
}

// fetchPart is one partition of a fetch.
type fetchPart struct {
	partition *partition // nil: code says why
	asked     wire.FetchPartition
	code      int16
	span      *diskio.Span
	high      int64        // high watermark at the time of the read
	bound     int64        // what the reader saw below: high, or the last stable offset
	stable    int64        // last stable offset at the time of the read
	start     int64        // log start at the time of the read
	in        *sessionPart // in a session: where the part is from
	said      bool         // it is in the answer

	// In partition.waiters, guarded by partition.waitMu.
	owner      *fetch
	prev, next *fetchPart
}

var fetches = sync.Pool{New: func() any { return &fetch{heapIndex: -1} }}

// attempt reads what is there and answers if that is enough.
func (w *fetch) attempt() (answered bool) {
	if w.session != nil {
		w.takeDirty()
	}
	total, faulty := w.read()
	if total < w.minBytes && !faulty && !w.over() {
		w.releaseSpans()
		w.need.Store(w.minBytes - total)
		return false
	}
	if w.b.prefetch && w.cold() {
		w.b.counters.coldReads.Add(1)
		w.b.workers.run(w.load)
		return true
	}
	w.answer()
	return true
}

// over: it has waited long enough.
func (w *fetch) over() bool {
	return w.expired.Load() || w.b.stopping.Load() || !w.deadline.After(time.Now())
}

// read takes a span of every partition within the limits: the first partition
// that has records gives at least its first batch, however large; each later
// one gives whole batches as far as the limits reach.
func (w *fetch) read() (total int64, faulty bool) {
	left := w.maxBytes
	for i := range w.parts {
		part := &w.parts[i]
		if part.partition == nil {
			faulty = true
			continue
		}
		part.owner, part.high, part.bound, part.start = w, -1, -1, -1
		part.span, part.code = part.partition.read(part, left, total == 0)
		if part.code != 0 {
			faulty = true
			continue
		}
		if part.span != nil {
			n := part.span.Len()
			total += n
			left = max(0, left-n)
		}
	}
	return total, faulty
}

// park waits for an append, a fault or the deadline, unless something came
// between the read and the wait: then it reads once more.
func (w *fetch) park() {
	for !w.link() {
		w.unlink()
		if w.attempt() {
			return
		}
	}
}

// link makes the fetch known to all that may wake it; false: a partition has
// changed since it was read, or the broker has begun to stop, and will not wake
// it for that.
func (w *fetch) link() bool {
	unchanged := true
	if w.session != nil {
		unchanged = w.settle()
		unchanged = w.session.enlist(w) && unchanged
	}
	for i := range w.parts {
		part := &w.parts[i]
		part.owner = w
		unchanged = part.partition.wait(part) && unchanged
	}
	w.frame.State = w
	w.parked = true
	clientOf(w.frame.Conn()).parked.add(w)
	w.b.deadlines.add(w)
	w.b.counters.parked.Add(1)
	return unchanged && !w.b.stopping.Load()
}

func (w *fetch) unlink() {
	for i := range w.parts {
		w.parts[i].partition.unwait(&w.parts[i])
	}
	if w.session != nil {
		w.session.delist(w)
	}
	w.b.deadlines.remove(w)
	clientOf(w.frame.Conn()).parked.remove(w)
	w.parked = false
	w.frame.State = nil
	w.b.counters.parked.Add(-1)
}

// resume is called on the loop after a wake, which may have been for nothing.
func (w *fetch) resume() {
	if !w.parked {
		return
	}
	w.b.counters.resumed.Add(1)
	w.unlink()
	if !w.attempt() {
		w.park()
	}
}

// credit tells a parked fetch that bytes more can be read, and wakes it when it
// has enough. The caller holds a lock that keeps it linked.
func (w *fetch) credit(bytes int64) (woken bool) {
	if bytes != untold && w.need.Add(-bytes) > 0 {
		return false
	}
	w.frame.Wake()
	return true
}

func (w *fetch) cold() bool {
	for i := range w.parts {
		if s := w.parts[i].span; s != nil && !s.Cached() {
			return true
		}
	}
	return false
}

// load reads cold spans into the page cache, on a worker, and answers. An error
// shows when the span is sent; the connection then closes.
func (w *fetch) load() {
	for i := range w.parts {
		if s := w.parts[i].span; s != nil && !s.Cached() {
			if err := s.Load(); err != nil {
				w.b.log.Error("reading ahead of a fetch", "partition", w.parts[i].partition.name, "err", err)
			}
		}
	}
	w.answer()
}

// answer sends the response and ends the fetch.
func (w *fetch) answer() {
	wait, empty := w.chargeFetch()
	if empty {
		w.respondNothing()
	} else {
		w.respond()
	}
	w.resp.ThrottleMillis = wait
	pool := w.b.server.Pool()
	buf := pool.Get(smallReply)
	dst := wire.AppendResponseHeader(buf.B[:frameLength], w.header.Key, w.header.Version, w.header.CorrelationID)
	buf.B = w.resp.Append(dst, w.header.Version)
	inserts := w.frame.Inserts()
	i, bytes := 0, int64(0)
	for t := range w.resp.Topics {
		for p := range w.resp.Topics[t].Partitions {
			for !w.parts[i].said {
				i++
			}
			if s := w.parts[i].span; s != nil {
				inserts = append(inserts, netio.Insert{At: w.resp.Topics[t].Partitions[p].RecordsAt, Part: s})
				w.parts[i].span = nil // the connection's from here on
				bytes += s.Len()
			}
			i++
		}
	}
	w.b.counters.fetches.Add(1)
	w.b.counters.bytesOut.Add(bytes)
	frame := w.frame
	w.release()
	frame.Reply(netio.Reply{Buf: buf, Inserts: inserts})
}

// respond fills the response from the parts.
func (w *fetch) respond() {
	w.resp.Reset()
	if w.session != nil {
		w.respondSession()
		return
	}
	i := 0
	for t := range w.req.Topics {
		asked := &w.req.Topics[t]
		topic := w.resp.AddTopic()
		topic.Name, topic.ID = asked.Name, asked.ID
		for range asked.Partitions {
			part := &w.parts[i]
			i++
			part.said = true
			w.fill(topic.AddPartition(), part)
		}
	}
	if w.opens {
		w.openSession()
	}
}

// respondNothing leaves everything for a later fetch: a session stays as it was,
// a new one is not made.
func (w *fetch) respondNothing() {
	w.releaseSpans()
	w.resp.Reset()
	if w.session != nil {
		w.resp.SessionID = w.session.id
	}
}

// fill says what was read of one partition.
func (w *fetch) fill(out *wire.FetchPartitionResponse, part *fetchPart) {
	out.Index, out.ErrorCode = part.asked.Index, part.code
	if part.code != 0 {
		return // offsets -1, no records: as Kafka
	}
	out.HighWatermark, out.LastStable, out.LogStart = part.high, part.stable, part.start
	if w.committed {
		out.StartAborted()
	}
	if part.span == nil {
		return
	}
	out.RecordsLen = int(part.span.Len())
	if w.committed {
		part.partition.txns.aborted.overlapping(part.asked.Offset, part.span.NextOffset(), func(a abortedTxn) {
			out.Aborted = append(out.Aborted, wire.AbortedTxn{ProducerID: a.producer, FirstOffset: a.first})
		})
	}
}

func (w *fetch) releaseSpans() {
	for i := range w.parts {
		if s := w.parts[i].span; s != nil {
			s.Release()
			w.parts[i].span = nil
		}
	}
}

// release gives the fetch back; its frame is the caller's to answer.
func (w *fetch) release() {
	w.req.Reset()
	w.resp.Reset()
	clear(w.parts)
	if cap(w.parts) > keepParts {
		w.parts = nil
	}
	w.parts = w.parts[:0]
	w.b, w.frame, w.header = nil, nil, wire.Header{}
	w.session, w.opens, w.marks = nil, false, 0
	w.expired.Store(false)
	fetches.Put(w)
}

// keepParts bounds what a pooled fetch keeps of one that asked for very many
// partitions.
const keepParts = 1024

// drop ends a fetch whose connection is gone.
func (w *fetch) drop() {
	w.unlink()
	frame := w.frame
	w.release()
	frame.Drop()
}

// fetchList is the parked fetches of one connection, touched on its loop only.
type fetchList struct{ first *fetch }

func (l *fetchList) add(w *fetch) {
	w.prev, w.next = nil, l.first
	if l.first != nil {
		l.first.prev = w
	}
	l.first = w
}

func (l *fetchList) remove(w *fetch) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

func (l *fetchList) dropAll() {
	for l.first != nil {
		l.first.drop()
	}
}

// read answers one partition's share of a fetch: a span, nil where there is
// nothing yet, or Kafka's error code. first says that nothing came before it in
// the answer, so that a batch larger than every limit still moves.
func (p *partition) read(part *fetchPart, left int64, first bool) (*diskio.Span, int16) {
	if code := p.check(max(part.asked.LeaderEpoch, unknownLeaderEpoch)); code != 0 {
		return nil, code
	}
	high, end, start := p.visible.Load(), p.log.End(), p.log.Start()
	offset := part.asked.Offset
	if offset < start || offset > end {
		return nil, kerr.OffsetOutOfRange.Code
	}
	part.high, part.stable, part.start = high, p.stable(high), start
	part.bound = high
	if part.owner.committed {
		part.bound = part.stable
	}
	limit := min(left, int64(part.asked.MaxBytes))
	if offset >= part.bound || limit <= 0 && !first {
		return nil, 0
	}
	span, err := p.log.Read(offset, int(max(limit, 0)), part.bound)
	switch {
	case err != nil:
		return nil, p.readFault(offset, err)
	case span != nil && span.Len() > limit && !first:
		span.Release()
		return nil, 0
	}
	return span, 0
}
