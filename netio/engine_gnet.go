package netio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// The gnet engine: one event loop per core, each with an epoll set of its own.
//
// gnet reads and calls OnTraffic. All it read is taken at once, so that it never
// keeps bytes itself; the rest of a long request is read from the descriptor
// straight into its buffer. Nothing is ever written through gnet: with its
// outbound buffer empty, the read interest that pausing removes is not put back
// by gnet.
//
// What gnet has no word for is done beside it: our own listener (see
// server.accept), writePoller, and pausing, which changes the interest of a
// socket in gnet's epoll set. The set's descriptor is found by trying: changing
// the interest succeeds only in the set that the socket is in. start checks with
// a socket pair on each loop that this works; where it does not, a connection
// that should pause is closed. (It is written for gnet's default poller; the one
// of its build tag poll_opt keeps pointers where we write descriptors.)
//
// A loop is woken by a byte on a socket pair of its own, one end of which is a
// connection to gnet. gnet's Execute would do, but it allocates two pieces of
// memory for each wake-up, may reorder tasks, and runs them until there are none
// left before the loop looks at its sockets.
type gnetEngine struct {
	gnet.BuiltinEventEngine

	srv    *server
	client *gnet.Client // gnet's name for loops without a listener
	writes *writePoller
	loops  []*gnetLoop // fixed once started
}

// gnetLoop is one event loop.
type gnetLoop struct {
	el   gnet.EventLoop
	ep   int // its epoll descriptor; -1: not found, so no pausing
	wake int // our end of its socket pair; written to under mu

	closing []*Conn // to be closed by Run; the loop's

	mu       sync.Mutex
	due      []*Conn // connections that want a turn
	spare    []*Conn
	signaled bool // a byte is on its way
	stopped  bool // wake may be closed: no more signals
}

type gnetLink struct {
	c      *Conn
	gc     gnet.Conn
	loop   *gnetLoop
	writes *writePoller
}

var (
	_ engine            = &gnetEngine{}
	_ gnet.EventHandler = &gnetEngine{}
	_ gnet.Runnable     = &gnetLoop{}
	_ link              = &gnetLink{}
)

const readEvents = unix.EPOLLIN | unix.EPOLLPRI // as gnet sets them

func startGnet(s *server) (engine, error) {
	n := s.cfg.Loops
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	e := &gnetEngine{srv: s}
	var err error
	if e.writes, err = startWritePoller(); err != nil {
		return nil, err
	}
	// TCPDelay is gnet's word for leaving TCP_NODELAY, which Go has set, alone.
	e.client, err = gnet.NewClient(e, gnet.WithNumEventLoop(n), gnet.WithReadBufferCap(chunkBytes),
		gnet.WithTCPNoDelay(gnet.TCPDelay), gnet.WithLogger(gnetLog{s.log}))
	if err == nil {
		err = e.client.Start()
	}
	if err != nil {
		e.writes.stop()
		return nil, err
	}
	if err := e.probe(n); err != nil {
		e.stop()
		return nil, fmt.Errorf("gnet: %w", err)
	}
	return e, nil
}

func (e *gnetEngine) open(c *Conn, nc *net.TCPConn) error {
	_, err := e.client.EnrollContext(nc, c)
	return err
}

func (e *gnetEngine) stop() {
	for _, l := range e.loops {
		l.mu.Lock()
		l.stopped = true
		l.mu.Unlock()
	}
	_ = e.client.Stop()
	for _, l := range e.loops {
		unix.Close(l.wake)
	}
	e.writes.stop()
}

// OnOpen runs on the connection's loop.
func (e *gnetEngine) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	switch c := gc.Context().(type) {
	case *Conn:
		for _, l := range e.loops {
			if l.el == gc.EventLoop() {
				c.link, c.fd = &gnetLink{c, gc, l, e.writes}, gc.Fd()
			}
		}
		e.srv.add(c)
	case *probe:
		c.opened(gc)
	}
	return nil, gnet.None
}

// OnTraffic runs on the connection's loop, after gnet has read.
func (e *gnetEngine) OnTraffic(gc gnet.Conn) gnet.Action {
	b, _ := gc.Next(-1)
	c, ok := gc.Context().(*Conn)
	if !ok {
		p := gc.Context().(*probe)
		p.read()
		p.loop.run()
		return gnet.None
	}
	c.begin()
	c.take(b)
	c.receive()
	if c.finish() {
		return gnet.Close
	}
	return gnet.None
}

// OnClose runs on the connection's loop; its descriptor is still open.
func (e *gnetEngine) OnClose(gc gnet.Conn, err error) gnet.Action {
	c, ok := gc.Context().(*Conn)
	if !ok {
		return gnet.None
	}
	switch {
	case err == nil: // a turn or gnet's shutdown closes; a turn has set its cause
		c.shut(ClosedByStop, errStopped)
	case errors.Is(err, io.EOF):
		c.broken("read", io.EOF)
	default:
		c.broken("read", err)
	}
	c.gone()
	e.writes.forget(c)
	return gnet.None
}

func (l *gnetLink) schedule() {
	l.c.srv.stats.Turns.Add(1)
	l.loop.schedule(l.c)
}

func (l *gnetLink) arm() error        { return l.writes.arm(l.c) }
func (l *gnetLink) pauseRead() error  { return l.loop.interest(l.c.fd, 0) }
func (l *gnetLink) resumeRead() error { return l.loop.interest(l.c.fd, readEvents) }

func (l *gnetLoop) schedule(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	l.due = append(l.due, c)
	if !l.signaled {
		l.signaled = true
		c.srv.stats.Signals.Add(1)
		// One byte at most is in the pair, so that there is always room.
		_, _ = unix.Write(l.wake, wakeByte[:])
	}
}

var wakeByte [1]byte

// run gives each connection that wants one a turn. On the loop.
func (l *gnetLoop) run() {
	l.mu.Lock()
	due := l.due
	l.due, l.spare, l.signaled = l.spare[:0], nil, false
	l.mu.Unlock()
	for i, c := range due {
		due[i] = nil
		if c.turn() {
			l.closing = append(l.closing, c)
		}
	}
	l.spare = due[:0]
	if len(l.closing) > 0 {
		_ = l.el.Execute(context.Background(), l) // fails only after stopped, which closes all
	}
}

// Run closes what the turns have found to be at its end, as a task: after the
// events that gnet holds already, some of which may be for these sockets, and
// before it looks for more.
func (l *gnetLoop) Run(context.Context) error {
	for i, c := range l.closing {
		l.closing[i] = nil
		if !c.closed { // by an event meanwhile
			_ = l.el.Close(c.link.(*gnetLink).gc)
		}
	}
	l.closing = l.closing[:0]
	return nil
}

// interest sets what gnet's epoll set watches the socket for.
func (l *gnetLoop) interest(fd int, events uint32) error {
	if l.ep < 0 {
		return errors.New("gnet's epoll set was not found")
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.ep, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}))
}

// probe is gnet's end of a loop's socket pair. At first it learns the loop's epoll
// descriptor and checks that pausing works on it; then it wakes the loop. Its
// fields are the loop's until a channel says otherwise.
type probe struct {
	loop  *gnetLoop
	fd    int
	reads int
	heard chan struct{}
}

func (p *probe) opened(gc gnet.Conn) {
	p.loop = &gnetLoop{el: gc.EventLoop(), ep: findEpoll(gc.Fd())}
	p.fd = gc.Fd()
	_ = p.loop.interest(p.fd, 0)
}

func (p *probe) read() {
	if p.reads++; p.reads == 1 {
		close(p.heard)
	}
}

// findEpoll tries every descriptor of the process.
func findEpoll(fd int) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	for _, n := range names {
		ep, err := strconv.Atoi(n.Name())
		if err == nil && unix.EpollCtl(ep, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: readEvents, Fd: int32(fd)}) == nil {
			return ep
		}
	}
	return -1
}

// probe learns each of n loops. A new connection goes to the loop with the
// fewest, so all probes stay until the last is placed.
func (e *gnetEngine) probe(n int) error {
	for range n {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socketpair", err)
		}
		f := os.NewFile(uintptr(fds[0]), "probe")
		nc, err := net.FileConn(f)
		f.Close()
		p := &probe{heard: make(chan struct{})}
		if err == nil {
			_, err = e.client.EnrollContext(nc, p)
		}
		if err != nil {
			unix.Close(fds[1])
			return err
		}
		p.loop.wake = fds[1]
		e.loops = append(e.loops, p.loop)
		if p.loop.ep < 0 || !e.checkPause(p, fds[1]) {
			p.loop.ep = -1
			e.srv.log.Warn("gnet does not let reading pause here: a connection that exceeds a bound will be closed")
		}
	}
	return nil
}

// checkPause sends to the paused probe. A loop looks at its sockets before it
// runs tasks, so a task that was given after the byte must not find it read;
// once resumed, it must be.
func (e *gnetEngine) checkPause(p *probe, peer int) bool {
	if _, err := unix.Write(peer, []byte{0}); err != nil {
		return false
	}
	quiet := make(chan bool, 1)
	task := runnable(func() {
		quiet <- p.reads == 0 && p.loop.interest(p.fd, readEvents) == nil
	})
	if err := p.loop.el.Execute(context.Background(), task); err != nil || !<-quiet {
		return false
	}
	select {
	case <-p.heard:
		return true
	case <-time.After(time.Second):
		return false
	}
}

type runnable func()

func (r runnable) Run(context.Context) error { r(); return nil }

// gnetLog takes what gnet says. It speaks of its own workings, so that only
// what worries it is above debug.
type gnetLog struct{ log *slog.Logger }

func (l gnetLog) say(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf("gnet: "+format, args...))
	}
}

func (l gnetLog) Debugf(format string, args ...any) { l.say(slog.LevelDebug, format, args) }
func (l gnetLog) Infof(format string, args ...any)  { l.say(slog.LevelDebug, format, args) }
func (l gnetLog) Warnf(format string, args ...any)  { l.say(slog.LevelWarn, format, args) }
func (l gnetLog) Errorf(format string, args ...any) { l.say(slog.LevelError, format, args) }
func (l gnetLog) Fatalf(format string, args ...any) { l.say(slog.LevelError, format, args) }
