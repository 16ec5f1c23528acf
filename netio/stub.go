package netio

import (
	"errors"
	"net"
)

type Stats struct{}

func engineNames() []string { return []string{"gnet", "goroutine"} }
func poolNames() []string   { return []string{"bytebufferpool", "classes", "none"} }

type Conn struct {
	// Value is the handler's state for this connection, touched on its loop
	// only.
	Value any
}

// Frame is one request and the slot of its reply.
type Frame struct {
	// State is the handler's own, for instance a parked fetch.
	State any
}

func (c *Conn) ID() uint64           { return 0 }
func (c *Conn) RemoteAddr() net.Addr { return nil }
func (c *Conn) LocalAddr() net.Addr  { return nil }
func (c *Conn) Close(reason error)   {}
func (f *Frame) Bytes() []byte       { return nil }
func (f *Frame) Conn() *Conn         { return nil }

// Inserts is an empty slice to append a reply's inserts to, with the memory of an earlier reply.
func (f *Frame) Inserts() []Insert { return nil }
func (f *Frame) Reply(r Reply)     {}
func (f *Frame) Drop()             {}
func (f *Frame) Fail(err error)    {}
func (f *Frame) Wake()             {}

// Listen opens addr (host:port; port 0 picks a free one).
func Listen(addr string, cfg Config, h Handler) (Server, error) {
	return nil, errors.New("netio: not built yet")
}
