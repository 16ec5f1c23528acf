package netio

import (
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The goroutine engine: a goroutine per connection reads and serves, and Go's
// netpoller parks it. The connection's loop is whoever holds goLink.mu: the
// reader after it has received, or a short-lived goroutine that attends to what
// others noted. Nothing blocks under the lock: reads and writes are tried on the
// descriptor, and waiting for either happens outside.
//
// Files are sent by sendfile on the descriptor and not through
// net.TCPConn.ReadFrom, which would move the offset of a file that other
// connections are sending too.
//
// A TLS listener would take this engine: its reader would block in tls.Conn.Read
// and its outlet copy every part.
type goEngine struct {
	srv     *server
	readers sync.WaitGroup
}

type goLink struct {
	c   *Conn
	eng *goEngine
	tcp *net.TCPConn
	raw syscall.RawConn

	// The reader's own: what it hands to raw.Read, once for all, and what that
	// found.
	receiving func(fd uintptr) (done bool)
	closing   bool
	attending func() // attend, once for all: a go statement with arguments allocates

	mu      sync.Mutex // holding it is being on the connection's loop
	resumed *sync.Cond // c.paused became 0, or c closed
}

var (
	_ engine = &goEngine{}
	_ link   = &goLink{}
)

func startGoroutines(s *server) (engine, error) { return &goEngine{srv: s}, nil }

func (e *goEngine) open(c *Conn, nc *net.TCPConn) error {
	raw, err := nc.SyscallConn()
	if err != nil {
		nc.Close()
		return err
	}
	l := &goLink{c: c, eng: e, tcp: nc, raw: raw}
	l.resumed = sync.NewCond(&l.mu)
	l.receiving = func(uintptr) bool {
		var drained bool
		drained, l.closing = l.receive()
		return !drained
	}
	l.attending = l.attend
	c.link = l
	// Only close below closes nc, and only once c.closed is set under mu: the
	// descriptor stays ours for as long as a turn may use it.
	if err := raw.Control(func(fd uintptr) { c.fd = int(fd) }); err != nil {
		nc.Close()
		return err
	}
	e.srv.add(c)
	e.readers.Go(l.read)
	return nil
}

func (e *goEngine) stop() { e.readers.Wait() }

func (l *goLink) schedule() {
	l.c.srv.stats.Turns.Add(1)
	go l.attending()
}

// attend is a turn that others asked for.
func (l *goLink) attend() {
	l.mu.Lock()
	closing := l.c.turn() && l.end()
	l.mu.Unlock()
	if closing {
		l.tcp.Close()
	}
}

// end is the engine's half of closing, under mu; the caller closes tcp after
// it has let go of mu, since that waits for a reader who may want mu.
func (l *goLink) end() bool {
	l.c.gone()
	l.resumed.Signal()
	return true
}

func (l *goLink) arm() error {
	go l.awaitWritable()
	return nil
}

// awaitWritable asks the kernel before it waits: entering the wait forgets an
// event that came since the turn found the socket full. A close ends the wait,
// and the turn then does nothing.
func (l *goLink) awaitWritable() {
	_ = l.raw.Write(func(fd uintptr) bool {
		pfd := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(pfd, 0)
		return n != 0 || err != nil && err != unix.EINTR
	})
	l.c.notify(dueWritable)
}

func (l *goLink) pauseRead() error  { return nil } // read looks at c.paused
func (l *goLink) resumeRead() error { l.resumed.Signal(); return nil }

// read is the connection's goroutine.
func (l *goLink) read() {
	c := l.c
	for {
		l.mu.Lock()
		for c.paused != 0 && !c.closed {
			l.resumed.Wait()
		}
		closed := c.closed
		l.mu.Unlock()
		if closed {
			return
		}
		err := l.raw.Read(l.receiving)
		if l.closing {
			l.tcp.Close()
		}
		if l.closing || err != nil {
			return
		}
	}
}

// chunks are the buffers that small requests are read into; a connection holds
// one only during a turn.
var chunks = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// receive is a turn that begins with what the socket has. drained says that it
// has no more, so that the reader should wait.
func (l *goLink) receive() (drained, closing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.c
	if c.closed || c.paused != 0 {
		return false, false
	}
	c.begin()
	if c.readsDirect() {
		drained = c.receive()
	} else {
		drained = l.receiveChunk()
	}
	closing = c.finish() && l.end()
	return drained && !closing, closing
}

func (l *goLink) receiveChunk() (drained bool) {
	c := l.c
	chunk := chunks.Get().(*[64 << 10]byte)
	defer chunks.Put(chunk)
	for {
		n, err := unix.Read(c.fd, chunk[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return true
		case err != nil:
			c.broken("read", err)
		case n == 0:
			c.broken("read", io.EOF)
		default:
			c.take(chunk[:n])
		}
		return false
	}
}
