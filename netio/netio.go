// Package netio moves Kafka's length-prefixed frames: requests in, replies out
// in the order of the requests, file ranges by sendfile.
//
// The nouns. A Server listens and owns connections; which engine serves them
// (gnet event loops, or a goroutine per connection) is the knob net.engine. A
// Conn is one client. A Frame is one request's bytes in a pooled buffer and the
// slot of its reply; it is answered exactly once, from any goroutine. A Reply is
// memory with Parts set into it; a Part is anything that can offer itself as a
// range of a file, as memory, or to be copied.
//
// What is bounded: the slots of a connection (queued.max.requests), the memory of
// all requests that are arriving or unanswered and of answers that have not left
// (queued.max.request.bytes, one request, and the answers under way when it is
// reached), what a connection holds besides (one read, 256 KiB, while it pauses;
// one copied chunk, 256 KiB, while its socket is full), and what a connection may
// move before others have their turn (4 MiB sent; about 1 MiB received and served, a
// request counting 4 KiB beside its bytes). Above a bound, reading pauses.
//
// A peer that ends its sending side is gone: replies that are ready still leave
// as far as the socket takes them; requests that are unanswered get none.
//
// Lock order: goLink.mu, server.mu, budget.mu, gnetLoop.mu; writePoller.mu is
// held alone.
//
// The package knows nothing of what the bytes mean beyond the 4-byte length. It
// is for Linux: epoll, sendfile, TCP_CONGESTION.
package netio

import (
	"context"
	"net"
	"os"

	"github.com/valyala/bytebufferpool"
)

// Buffer is a pooled byte buffer. Its bytes are B.
type Buffer = bytebufferpool.ByteBuffer

// Pool hands out buffers; the alternatives are the knob buffer.pool. Safe for
// concurrent use.
type Pool interface {
	// Get returns a buffer with len(B) == n. The bytes are not zeroed.
	Get(n int) *Buffer
	// Put takes the buffer back; the caller must not touch it again. Put(nil)
	// does nothing.
	Put(*Buffer)
}

// Part is a piece of a reply that does not lie in the reply's own memory, for
// instance a range of a segment file. All methods but Release may be called
// only before Release, and from one goroutine at a time.
type Part interface {
	// Len is the number of bytes the part will send.
	Len() int64
	// File offers the part as a range of a file that sendfile may send. ok is
	// false where the part wants to be copied or is in memory. The file must
	// stay reachable, through the part, while its descriptor is in use.
	File() (f *os.File, off int64, ok bool)
	// Bytes is the part's memory, nil where it is not in memory.
	Bytes() []byte
	// ReadAt reads part bytes [off, off+len(p)), for connections that copy.
	ReadAt(p []byte, off int64) (int, error)
	// Release gives back what the part holds. Called exactly once, after the
	// last byte left or the connection closed.
	Release()
}

// Insert says that a Part goes before byte At of the reply's memory.
type Insert struct {
	At   int
	Part Part
}

// Reply is one response. Buf holds all of its memory, the first 4 bytes being
// reserved for the frame length, which the connection fills in; Inserts, in
// ascending order of At (4 to len(Buf.B)), set parts into it. The connection
// owns all of it from the moment of Frame.Reply: it returns Buf to the server's
// pool and releases each part. The Inserts slice is handed back for reuse by a
// later reply, through Frame.Inserts.
type Reply struct {
	Buf     *Buffer
	Inserts []Insert
}

// Handler is what a server does with frames. Serve and Resume run on the
// connection's loop (in the goroutine engine: under its lock): calls for one
// connection never overlap, and those for other connections of the loop wait, so
// they must not block on anything but the page cache.
type Handler interface {
	// Serve handles a request. f.Bytes stays valid until f is answered.
	Serve(f *Frame)
	// Resume follows each Frame.Wake, on the connection's loop, unless f has
	// been answered by then. Wakes may be coalesced: one Resume may stand for
	// several. Another goroutine may answer f meanwhile; f.State stays readable.
	Resume(f *Frame)
	// Closed says that the connection is gone; no Serve or Resume of it
	// follows. Frames still unanswered must be answered all the same
	// (Frame.Drop does); their replies go nowhere.
	Closed(c *Conn)
}

// Server is a running listener.
type Server interface {
	// Addr is the bound address (the real port where 0 was asked).
	Addr() net.Addr
	// Pool is the server's buffer pool. Handlers, which may run before Listen
	// has returned, find it as Conn.Pool.
	Pool() Pool
	// Stats are the server's counters, live.
	Stats() *Stats
	// Stop stops accepting and reading, lets the requests already read be
	// answered and their replies leave until ctx ends, closes every connection,
	// and waits until all handlers have returned. It returns ctx's error where
	// ctx ended before the last reply had left.
	Stop(ctx context.Context) error
}
