package netio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// engine serves accepted connections.
type engine interface {
	// open starts serving nc, which it owns from then on, as c: it sets c.link
	// and c.fd and calls server.add on c's loop before anything is read.
	open(c *Conn, nc *net.TCPConn) error
	// stop ends the engine's goroutines. Every connection is gone.
	stop()
}

// engines are the alternatives of net.engine. Joining the table enrols one in
// the knob, the conformance suite and the benchmarks.
var engines = []struct {
	name  string
	start func(*server) (engine, error)
}{
	{"gnet", startGnet},
	{"goroutine", startGoroutines},
}

func engineNames() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.name)
	}
	return names
}

func startEngine(s *server) (engine, error) {
	for _, e := range engines {
		if e.name == s.cfg.Engine {
			return e.start(s)
		}
	}
	return nil, fmt.Errorf("net.engine: %q is none of %v", s.cfg.Engine, engineNames())
}

// idleTicks is how many ticks of the server's clock make connections.max.idle.ms.
const idleTicks = 8

// server is what the engines share: the listener, the connections, and what
// bounds them.
type server struct {
	cfg     Config
	handler Handler
	log     *slog.Logger
	pool    Pool
	stats   Stats
	budget  budget
	eng     engine
	ln      *net.TCPListener

	began  time.Time      // what Conn.mute counts from
	tick   atomic.Int64   // see idleTicks
	ending chan struct{}  // closed by Stop
	own    sync.WaitGroup // accept and watchIdle

	stopOnce sync.Once
	stopErr  error

	mu     sync.Mutex
	conns  map[*Conn]struct{}
	held   map[*net.TCPConn]*time.Timer // see admit.go
	lastID uint64
	empty  chan struct{} // closed when conns is empty; nil before Stop asks
}

// Listen opens addr (host:port; port 0 picks a free one) and serves h on it.
// Its errors are one line that says what is wrong and what to do.
func Listen(addr string, cfg Config, h Handler) (Server, error) {
	s := &server{
		cfg:     cfg,
		handler: h,
		log:     cfg.Logger,
		began:   time.Now(),
		ending:  make(chan struct{}),
		conns:   map[*Conn]struct{}{},
		held:    map[*net.TCPConn]*time.Timer{},
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.pool = newPool(cfg.Pool, &s.stats.Pool); s.pool == nil {
		return nil, fmt.Errorf("buffer.pool: %q is none of %v", cfg.Pool, poolNames())
	}
	s.budget.limit, s.budget.used = cfg.QueuedBytes, &s.stats.InFlight
	s.budget.crowded = func() { s.each(func(c *Conn) { c.notify(dueSlow) }) }
	var err error
	if s.ln, err = listen(addr, &s.cfg); err != nil {
		return nil, err
	}
	if s.eng, err = startEngine(s); err != nil {
		s.ln.Close()
		return nil, err
	}
	s.own.Go(s.accept)
	if cfg.MaxIdle > 0 {
		s.own.Go(s.watchIdle)
	}
	return s, nil
}

func (s *server) Addr() net.Addr { return s.ln.Addr() }
func (s *server) Pool() Pool     { return s.pool }
func (s *server) Stats() *Stats  { return &s.stats }

// accept hands connections to the engine until the listener closes. The
// listener is ours in both engines: gnet's own shuts the whole engine down when
// the process runs out of descriptors, and cannot stop accepting before it
// closes what it serves.
func (s *server) accept() {
	var pause time.Duration
	var refused time.Time
	for {
		nc, err := s.ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && s.stats.Connections.Load() >= int64(s.cfg.MaxConnections) {
			s.stats.Refused.Add(1)
			if now := time.Now(); now.Sub(refused) > time.Second {
				refused = now
				s.log.Warn("connection refused: max.connections are open",
					"remote", nc.RemoteAddr(), "max.connections", s.cfg.MaxConnections, "refused", s.stats.Refused.Load())
			}
			nc.Close()
			continue
		}
		if err == nil && s.turnedAway(nc) {
			continue
		}
		if err == nil {
			err = s.open(nc)
		}
		if err == nil {
			pause = 0
			continue
		}
		// Out of descriptors or memory: wait for connections to end. Others
		// live on.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.log.Error("connection not accepted", "err", acceptError(err), "retry", pause)
		select {
		case <-time.After(pause):
		case <-s.ending:
			return
		}
	}
}

func acceptError(err error) error {
	if errors.Is(err, unix.EMFILE) {
		return fmt.Errorf("%w: raise the limit of open files (ulimit -n)", err)
	}
	return err
}

func (s *server) open(nc *net.TCPConn) error {
	s.lastID++
	c := &Conn{srv: s, id: s.lastID, remote: nc.RemoteAddr(), local: nc.LocalAddr()}
	c.seen.Store(s.tick.Load())
	return s.eng.open(c, nc)
}

// add makes an open connection one of the server's. On its loop.
func (s *server) add(c *Conn) {
	s.stats.Accepted.Add(1)
	s.stats.Connections.Add(1)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
}

// remove forgets a connection whose handler knows that it is closed.
func (s *server) remove(c *Conn, why *cause) {
	s.stats.Connections.Add(-1)
	s.stats.Closed[why.reason].Add(1)
	level := slog.LevelDebug
	switch why.reason {
	case ClosedMalformed, ClosedBound:
		level = slog.LevelWarn
	case ClosedSource, ClosedBySystem:
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, "connection closed", "conn", c.id, "remote", c.remote, "by", why.reason, "err", why.err)
	s.mu.Lock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
	s.mu.Unlock()
}

// watchIdle moves the clock that connections note their activity by, which
// spares them a look at the real one, and has those looked at that are late.
func (s *server) watchIdle() {
	t := time.NewTicker(max(s.cfg.MaxIdle/idleTicks, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-s.ending:
			return
		case <-t.C:
			s.tick.Add(1)
			s.each(func(c *Conn) {
				if s.idle(c) {
					c.notify(dueIdle)
				}
			})
		}
	}
}

// idle says that nothing moved for connections.max.idle.ms, and up to an eighth
// longer.
func (s *server) idle(c *Conn) bool { return s.tick.Load()-c.seen.Load() > idleTicks }

func (s *server) each(f func(*Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// Stop is described with Server.
func (s *server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { s.stopErr = s.stop(ctx) })
	return s.stopErr
}

func (s *server) stop(ctx context.Context) (err error) {
	close(s.ending)
	s.ln.Close()
	s.own.Wait()
	s.letAllGo()
	s.mu.Lock()
	empty := make(chan struct{})
	if s.empty = empty; len(s.conns) == 0 {
		close(empty)
		s.empty = nil
	}
	s.mu.Unlock()
	s.each(func(c *Conn) { c.notify(dueDrain) })
	select {
	case <-empty:
	case <-ctx.Done():
		n := s.stats.Connections.Load()
		s.each(func(c *Conn) { c.shut(ClosedByStop, errStopped) })
		<-empty
		err = fmt.Errorf("netio: %d connections closed before their last reply had left: %w", n, ctx.Err())
	}
	s.eng.stop()
	return err
}
