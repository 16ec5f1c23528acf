package netio

import (
	"net"
	"net/netip"
	"time"
)

// Admitter is a Handler that may keep a client from connecting.
type Admitter interface {
	// Admit says how long a new connection from this address, which is none of an
	// IPv4 in IPv6, is kept waiting and then closed, unserved; 0: it is served.
	// It is asked for one connection at a time, and must not block.
	Admit(from netip.Addr) time.Duration
}

// maxHeld bounds the sockets that wait to be closed; what comes beyond them is
// closed at once.
const maxHeld = 1000

// turnedAway asks the handler about a new connection, and keeps it where it is one
// too many: closed at once, the client would only come again at once.
func (s *server) turnedAway(nc *net.TCPConn) bool {
	gate, ok := s.handler.(Admitter)
	if !ok {
		return false
	}
	from, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	wait := gate.Admit(from.AddrPort().Addr().Unmap())
	if wait <= 0 {
		return false
	}
	s.stats.Throttled.Add(1)
	s.log.Debug("connection refused: too many lately from its address", "remote", from, "wait", wait)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) >= maxHeld {
		nc.Close()
		return true
	}
	s.held[nc] = time.AfterFunc(wait, func() { s.letGo(nc) })
	return true
}

// letGo closes a connection that was kept waiting.
func (s *server) letGo(nc *net.TCPConn) {
	s.mu.Lock()
	delete(s.held, nc)
	s.mu.Unlock()
	nc.Close()
}

// letAllGo closes those that wait. Accept has ended.
func (s *server) letAllGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nc, timer := range s.held {
		timer.Stop()
		nc.Close()
		delete(s.held, nc)
	}
}
