package netio

import (
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// lot is a handler that parks every frame until the test opens it.
type lot struct {
	b      *bench
	mu     sync.Mutex
	open   bool
	parked []*Frame
}

func (l *lot) serve(f *Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		l.b.reply(f, f.Bytes()[:4])
		return
	}
	l.parked = append(l.parked, f)
}

// answer answers what is parked, newest first.
func (l *lot) answer() int {
	l.mu.Lock()
	parked := l.parked
	l.parked = nil
	l.mu.Unlock()
	for i := len(parked) - 1; i >= 0; i-- {
		l.b.reply(parked[i], parked[i].Bytes()[:4])
	}
	return len(parked)
}

func (l *lot) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.parked)
}

func (l *lot) release() {
	l.mu.Lock()
	l.open = true
	l.mu.Unlock()
	l.answer()
}

// numbered sends n requests of size bytes that begin with their number, some at
// a time where they are small.
func (c *client) numbered(n, size int) {
	var buf []byte
	for i := range n {
		buf = binary.BigEndian.AppendUint32(buf, uint32(size))
		buf = binary.BigEndian.AppendUint32(buf, uint32(i))
		buf = append(buf, make([]byte, size-4)...)
		if len(buf) >= 1000 || i == n-1 {
			if _, err := c.Write(buf); err != nil {
				return // the test sees it in the replies
			}
			buf = buf[:0]
		}
	}
}

func (c *client) expectNumbers(n int) {
	c.t.Helper()
	for i := range n {
		c.expect(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
}

// TestFloodOfRequests: a peer pipelines without end while nothing is answered.
// Reading pauses at the bound of slots, and all are answered in the end.
func TestFloodOfRequests(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const n = 50_000
		b.cfg.QueuedRequests = 100
		l := &lot{b: b}
		b.start(testHandler{serve: l.serve})
		st := &b.srv.stats
		c := b.dial()
		go c.numbered(n, 20)
		for range 3 {
			eventually(t, "paused", func() bool { return st.Paused.Load() == 1 && l.count() == 100 })
			require.LessOrEqual(t, st.InFlight.Load(), int64(100*20))
			require.LessOrEqual(t, st.Stashed.Load(), int64(chunkBytes))
			other := b.dial()
			other.send([]byte("else"))
			eventually(t, "others are read", func() bool { return l.count() == 101 })
			require.LessOrEqual(t, st.Slots.Load(), int64(101))
			// 100 of them leave; as many again come in.
			require.Equal(t, 101, l.answer())
			other.expect([]byte("else"))
		}
		l.release()
		c.expectNumbers(n)
	})
}

// TestFloodOfUnreadReplies: requests are answered at once, but the peer does not
// read: the slots fill with replies, and reading pauses all the same.
func TestFloodOfUnreadReplies(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const n, size = 2000, 64 << 10
		b.cfg.QueuedRequests = 50
		b.cfg.SendBufferBytes, b.cfg.ReceiveBufferBytes = 64<<10, 64<<10
		body := make([]byte, size)
		b.start(testHandler{serve: func(f *Frame) {
			copy(body, f.Bytes()[:4])
			b.reply(f, body)
		}})
		st := &b.srv.stats
		c := b.dial()
		go c.numbered(n, 20)
		eventually(t, "paused", func() bool { return st.Paused.Load() == 1 })
		require.LessOrEqual(t, st.Slots.Load(), int64(50))
		for i := range n {
			got, err := c.recv()
			require.NoError(t, err)
			require.Len(t, got, size)
			require.EqualValues(t, i, binary.BigEndian.Uint32(got))
		}
	})
}

// TestBudgetOfRequestBytes: many connections at once want more memory than
// queued.max.request.bytes. They take turns; the bound holds all the time.
func TestBudgetOfRequestBytes(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const conns, each, size = 8, 12, 300 << 10
		b.cfg.QueuedBytes = 1 << 20
		l := &lot{b: b}
		b.start(testHandler{serve: l.serve})
		st := &b.srv.stats
		var cs []*client
		for range conns {
			c := b.dial()
			cs = append(cs, c)
			go c.numbered(each, size)
		}
		eventually(t, "full", func() bool { return st.Paused.Load() > 0 && st.InFlight.Load() > 700<<10 })
		answered := 0
		eventually(t, "all answered", func() bool {
			require.LessOrEqual(t, st.InFlight.Load(), int64(1<<20+size))
			answered += l.answer()
			return answered == conns*each
		})
		for _, c := range cs {
			c.expectNumbers(each)
		}
	})
}

// TestBudgetFullOfHalves: halves of requests fill the budget, so that none can
// be finished within it. One at a time may overdraw, and all get through.
func TestBudgetFullOfHalves(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const conns, size = 6, 800 << 10
		b.cfg.QueuedBytes = 1 << 20
		b.start(testHandler{serve: func(f *Frame) { b.reply(f, f.Bytes()[:4]) }})
		st := &b.srv.stats
		body := make([]byte, 4+size)
		binary.BigEndian.PutUint32(body, size)
		var cs []*client
		rest := make(chan struct{})
		for range conns {
			c := b.dial()
			cs = append(cs, c)
			go func() {
				_, _ = c.Write(body[:size/2])
				<-rest
				_, _ = c.Write(body[size/2:])
			}()
		}
		eventually(t, "halves wait", func() bool { return st.Paused.Load() > 0 })
		close(rest)
		for _, c := range cs {
			c.expect([]byte{0, 0, 0, 0})
		}
	})
}

// TestBudgetIsShared: one connection floods, and cannot take it all: another,
// which asks for little, is served at once.
func TestBudgetIsShared(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const limit, size = 1 << 20, 100 << 10
		b.cfg.QueuedBytes = limit
		l := &lot{b: b}
		b.start(testHandler{serve: func(f *Frame) {
			if len(f.Bytes()) == size {
				l.serve(f)
				return
			}
			b.echo(f)
		}})
		st := &b.srv.stats
		greedy := b.dial()
		go greedy.numbered(30, size)
		eventually(t, "the greedy one waits", func() bool { return st.Paused.Load() == 1 })
		require.LessOrEqual(t, st.InFlight.Load(), int64(limit/2+4+size))
		require.Greater(t, st.InFlight.Load(), int64(limit/4))
		modest := b.dial()
		for range 5 {
			body := b.random(100 << 8)
			modest.send(body)
			modest.expect(body)
		}
		require.EqualValues(t, 1, st.Paused.Load(), "and still waits")
		l.release()
		greedy.expectNumbers(30)
	})
}

// TestSlowSendersGiveWay: peers that claim memory and hardly send keep it only
// as long as nobody else wants it.
func TestSlowSendersGiveWay(t *testing.T) {
	// A look for each crowdedEvery would take long. But whose window was closed may
	// wait for a timer of TCP's once it is open again, of 200 ms at the least, and
	// must not be taken for slow.
	const lookEvery = 450 * time.Millisecond
	suite(t, func(t *testing.T, b *bench) {
		const size = 256 << 10
		b.cfg.QueuedBytes = 1 << 20
		b.start(testHandler{serve: b.echo})
		st := &b.srv.stats
		begun := frame(make([]byte, size))[:size/2]
		for range 8 {
			c := b.dial()
			_, err := c.Write(begun)
			require.NoError(t, err)
		}
		eventually(t, "they hold all there is", func() bool { return st.InFlight.Load() > 700<<10 && st.Paused.Load() > 0 })
		require.Zero(t, st.Closed[ClosedBound].Load())
		good := b.dial()
		body := b.random(size)
		answered := make(chan bool)
		go func() {
			_, _ = good.Write(frame(body))
			got, err := good.recv()
			answered <- err == nil && string(got) == string(body)
		}()
		for done := false; !done; {
			select {
			case ok := <-answered:
				require.True(t, ok)
				done = true
			case <-time.After(lookEvery):
				b.srv.budget.crowded() // as its timer does each second
			}
		}
		require.Positive(t, st.Closed[ClosedBound].Load())
		require.Contains(t, b.log.take("level=WARN"), "while others wait for queued.max.request.bytes")
	})
}

// TestClaimsCostNothing: who claims 100 MiB and sends little holds little.
func TestClaimsCostNothing(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo})
		claim := append(binary.BigEndian.AppendUint32(nil, 100<<20), make([]byte, 10_000)...)
		const conns = 50
		for range conns {
			_, err := b.dial().Write(claim)
			require.NoError(t, err)
		}
		st := &b.srv.stats
		eventually(t, "all has come", func() bool { return st.BytesIn.Load() == conns*int64(len(claim)) })
		require.LessOrEqual(t, st.InFlight.Load(), int64(conns*2*len(claim)))
	})
}

// TestBudgetSurvivesItsHolders: those that hold the budget, or wait in line for
// it, vanish. What they held comes back.
func TestBudgetSurvivesItsHolders(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const size = 800 << 10
		b.cfg.QueuedBytes = 1 << 20
		b.start(testHandler{serve: func(f *Frame) { b.reply(f, f.Bytes()[:4]) }})
		st := &b.srv.stats
		body := make([]byte, 4+size)
		binary.BigEndian.PutUint32(body, size)
		for round := range 3 {
			var cs []*client
			for range 5 {
				c := b.dial()
				cs = append(cs, c)
				go c.Write(body[:size-1])
			}
			eventually(t, "some wait", func() bool { return st.Paused.Load() > 0 })
			for i := range cs {
				if round != 1 {
					i = len(cs) - 1 - i
				}
				require.NoError(t, cs[i].SetLinger(0)) // a paused connection hears of a reset only
				cs[i].Close()
			}
			eventually(t, "gone", func() bool { return st.Connections.Load() == 0 })
			require.Zero(t, st.InFlight.Load())
		}
		c := b.dial()
		c.numbered(3, size)
		c.expectNumbers(3)
	})
}

// TestNoPauseClosesTheOffender is the negative control of pausing: where gnet's
// epoll set is out of reach, the bound holds by closing.
func TestNoPauseClosesTheOffender(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		if b.cfg.Engine != "gnet" {
			b.start(testHandler{})
			return
		}
		b.cfg.QueuedRequests = 100
		l := &lot{b: b}
		b.start(testHandler{serve: l.serve, closed: func(*Conn) { go l.answer() }})
		for _, lp := range b.srv.eng.(*gnetEngine).loops {
			require.GreaterOrEqual(t, lp.ep, 0, "the check at start has passed")
			done := make(chan struct{})
			require.NoError(t, lp.el.Execute(t.Context(), runnable(func() {
				lp.ep = -1
				close(done)
			})))
			<-done
		}
		c := b.dial()
		go c.numbered(50_000, 20)
		c.expectEnd()
		eventually(t, "closed", func() bool { return b.srv.stats.Closed[ClosedBound].Load() == 1 })
		require.Contains(t, b.log.take("level=WARN"), "reading cannot be paused")
		eventually(t, "given back", func() bool { return b.srv.stats.InFlight.Load() == 0 })
	})
}

// TestMaxConnections: the one too many is refused and said; a place that becomes
// free is given again.
func TestMaxConnections(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.cfg.MaxConnections = 2
		b.start(testHandler{serve: b.echo})
		one, two, three := b.dial(), b.dial(), b.dial()
		three.expectEnd()
		for _, c := range []*client{one, two} {
			c.send([]byte("hi"))
			c.expect([]byte("hi"))
		}
		require.Contains(t, b.log.take("level=WARN"), "max.connections are open")
		one.Close()
		eventually(t, "closed", func() bool { return b.srv.stats.Connections.Load() == 1 })
		four := b.dial()
		four.send([]byte("hi"))
		four.expect([]byte("hi"))
		require.EqualValues(t, 1, b.srv.stats.Refused.Load())
	})
}

// TestOutOfDescriptors: a server that cannot accept says so, serves those it
// has, and accepts again when it can.
func TestOutOfDescriptors(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo})
		old := b.dial()
		old.send([]byte("hi"))
		old.expect([]byte("hi"))
		// The new client's own descriptor is opened before there are no more.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		b.fds++
		var was unix.Rlimit
		require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 5, Max: was.Max}))
		restored := false
		restore := func() {
			if !restored {
				restored = true
				require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &was))
			}
		}
		defer restore()
		require.NoError(t, unix.Connect(fd, &unix.SockaddrInet4{Port: portOf(b), Addr: [4]byte{127, 0, 0, 1}}))
		eventually(t, "said", func() bool { return strings.Contains(b.log.take("level=ERROR"), "raise the limit of open files") })
		old.send([]byte("hi"))
		old.expect([]byte("hi"))
		restore()
		_, err = unix.Write(fd, frame([]byte("new")))
		require.NoError(t, err)
		got := make([]byte, 7)
		_, err = unix.Read(fd, got)
		require.NoError(t, err)
		require.Equal(t, frame([]byte("new")), got)
		b.log.take("level=ERROR")
	})
}

// TestBudgetLine: the order and the accounting, without sockets.
func TestBudgetLine(t *testing.T) {
	var used atomic.Int64
	b := &budget{limit: 100, used: &used}
	conn := func() *Conn { c := &Conn{}; c.due.Store(held); return c }
	called := func(c *Conn) bool { return c.due.Swap(held)&dueRoom != 0 }
	a, x, y, z := &Frame{conn: conn()}, &Frame{conn: conn()}, &Frame{conn: conn()}, &Frame{conn: conn()}
	require.True(t, b.take(a, 90))
	require.True(t, b.take(x, 50), "one may overdraw")
	require.True(t, b.take(x, 50), "and go on to")
	require.False(t, b.take(y, 20))
	require.False(t, b.take(z, 20))
	require.EqualValues(t, 190, used.Load())
	b.give(a)
	require.False(t, called(y.conn), "x still holds all there is")
	b.give(x)
	require.True(t, called(y.conn))
	require.True(t, called(z.conn))
	require.Zero(t, used.Load())
	require.Zero(t, b.waiting.Load())

	require.True(t, b.take(a, 100))
	require.True(t, b.take(x, 1))
	require.False(t, b.take(y, 60))
	require.False(t, b.take(z, 60))
	b.leave(y.conn)
	b.give(a)
	require.True(t, called(z.conn), "y has left the line")
	require.False(t, called(y.conn))
	b.give(x)
	require.Zero(t, used.Load())
	require.Zero(t, b.waiting.Load())

	none := &budget{limit: -1, used: &used}
	require.True(t, none.take(a, 1<<60))
}
