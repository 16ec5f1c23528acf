package load

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
)

// sockets are the connections of one client, so that they can be cut as a
// machine that loses its power cuts them: without a word of the protocol.
type sockets struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu   sync.Mutex
	open map[*socket]bool // guarded by mu
	dead bool             // no more are opened; guarded by mu
}

// socket forgets itself when it is closed.
type socket struct {
	net.Conn
	of *sockets
}

var errVanished = errors.New("the client has vanished")

func newSockets(dial func(context.Context, string, string) (net.Conn, error)) *sockets {
	return &sockets{dial: dial, open: map[*socket]bool{}}
}

func (s *sockets) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := s.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &socket{nc, s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		nc.Close()
		return nil, errVanished
	}
	s.open[c] = true
	return c, nil
}

// SyscallConn is that of the connection itself.
func (c *socket) SyscallConn() (syscall.RawConn, error) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return sc.SyscallConn()
}

func (c *socket) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// cut resets what is open; for ever also keeps new connections from opening.
func (s *sockets) cut(forEver bool) {
	s.mu.Lock()
	list := make([]*socket, 0, len(s.open))
	for c := range s.open {
		list = append(list, c)
	}
	s.dead = s.dead || forEver
	s.mu.Unlock()
	for _, c := range list {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not a goodbye
		}
		c.Close()
	}
}
