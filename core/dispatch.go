package core

import (
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/quota"
	"millrace/core/wire"
	"millrace/netio"
)

// api is one row of the table of APIs: which versions are served, and by what.
// Exactly one of raw and handle is set.
type api struct {
	key      int16
	min, max int16
	// advertised is the lowest version that ApiVersions names, where that is
	// below min; see api_produce.go.
	advertised int16

	// raw handles a request that it decodes itself, on the connection's loop,
	// and sees to the answer. It must not block on anything but the page cache.
	raw func(b *Broker, f *netio.Frame, h wire.Header, body []byte)

	// handle answers a decoded request.
	handle handler
	// slow says that handle may wait for the disk or a lock that others hold
	// while they do: it is run on a worker.
	slow func(b *Broker, req kmsg.Request) bool
}

// handler answers a request. An error closes the connection: it is for requests
// that the protocol has no error code for.
type handler func(c *call, req kmsg.Request) (kmsg.Response, error)

// call is a request that is being answered.
type call struct {
	*Broker
	header wire.Header
	client *client
	owes   time.Duration // what the client is made to wait for what it asks for; see mutated
}

// client is what the broker knows of one connection; it lies in Conn.Value and
// is touched on the connection's loop only.
type client struct {
	// host is the address that the client has connected to.
	host string
	// parked are the fetches that wait on this connection.
	parked fetchList
	// owes is what the client is told to wait for the time that earlier requests
	// took, in ms, while a request is served.
	owes int32
}

// typed lets a handler name the request that it answers.
func typed[Q kmsg.Request, A kmsg.Response](f func(*call, Q) (A, error)) handler {
	return func(c *call, req kmsg.Request) (kmsg.Response, error) { return f(c, req.(Q)) }
}

// always marks an API as slow whatever is asked.
func always(*Broker, kmsg.Request) bool { return true }

// apiTable is indexed by key; nil: not served.
type apiTable [kmsg.MaxKey + 1]*api

func (t *apiTable) find(key int16) *api {
	if key < 0 || int(key) >= len(t) {
		return nil
	}
	return t[key]
}

func newAPITable(rows []api) *apiTable {
	t := &apiTable{}
	for i := range rows {
		a := &rows[i]
		if t[a.key] != nil || (a.raw == nil) == (a.handle == nil) || a.min > a.max {
			panic(fmt.Sprintf("BUG: the table's row for API %d", a.key))
		}
		t[a.key] = a
	}
	return t
}

// loop is the broker as its server sees it: what runs on the connections'
// loops.
type loop struct{ *Broker }

var (
	_ netio.Handler  = loop{}
	_ netio.Admitter = loop{}
)

// Serve finds the row of the request's API and lets it answer.
func (l loop) Serve(f *netio.Frame) {
	b := l.Broker
	if !b.ready.Load() {
		<-b.opened
	}
	b.counters.requests.Add(1)
	h, body, err := wire.ParseHeader(f.Bytes())
	if err != nil {
		b.refuse(f, err)
		return
	}
	a := b.apis.find(h.Key)
	if a == nil {
		b.refuse(f, &wire.Error{Kind: wire.ErrUnknownKey, Key: h.Key, Version: h.Version})
		return
	}
	if h.Version < a.min || h.Version > a.max {
		if h.Key == wire.KeyApiVersions {
			// The client could not know better: it is told in the form that
			// every client reads.
			h.Version = 0
			b.reply(f, h, b.unsupportedApiVersions())
			return
		}
		b.refuse(f, &wire.Error{Kind: wire.ErrVersion, Key: h.Key, Version: h.Version})
		return
	}
	if a.raw != nil {
		if b.quotas.Limits(quota.Request) {
			b.serveTimed(a, f, h, body)
			return
		}
		a.raw(b, f, h, body)
		return
	}
	req, err := wire.DecodeKmsg(h.Key, h.Version, body)
	if err != nil {
		b.refuse(f, err)
		return
	}
	c := &call{Broker: b, header: h, client: clientOf(f.Conn())}
	if a.slow == nil || !a.slow(b, req) {
		b.answer(f, c, a, req)
		return
	}
	b.workers.run(func() { b.answer(f, c, a, req) })
}

func (b *Broker) answer(f *netio.Frame, c *call, a *api, req kmsg.Request) {
	began := b.now()
	resp, err := a.handle(c, req)
	if err != nil {
		b.refuse(f, err)
		return
	}
	wait := b.charge(f.Conn(), quota.Request, c.header.ClientID, percent(b.now().Sub(began)))
	if wait = max(wait, b.throttle(f.Conn(), c.owes)); wait > 0 {
		if r, ok := resp.(kmsg.SetThrottleResponse); ok {
			r.SetThrottle(wait)
		}
	}
	b.reply(f, c.header, resp)
}

// Resume goes on with a parked fetch.
func (l loop) Resume(f *netio.Frame) {
	if w, ok := f.State.(*fetch); ok {
		w.resume()
	}
}

// Closed drops what is parked on the connection.
func (l loop) Closed(c *netio.Conn) {
	if cl, ok := c.Value.(*client); ok {
		cl.parked.dropAll()
	}
}

func clientOf(c *netio.Conn) *client {
	if cl, ok := c.Value.(*client); ok {
		return cl
	}
	cl := &client{}
	if at, ok := c.LocalAddr().(*net.TCPAddr); ok {
		cl.host = at.IP.String()
	}
	c.Value = cl
	return cl
}

// refuse closes the connection of a request that has no answer.
func (b *Broker) refuse(f *netio.Frame, err error) {
	b.counters.refused.Add(1)
	if ok, dropped := b.refusals.allow(time.Now()); ok {
		b.log.Warn("closing a connection", "client", f.Conn().RemoteAddr(), "err", err, "more", dropped)
	}
	f.Fail(err)
}

// frameLength is the room that netio wants before a response.
const frameLength = 4

// reply sends a response that kmsg encodes.
func (b *Broker) reply(f *netio.Frame, h wire.Header, resp kmsg.Response) {
	resp.SetVersion(h.Version)
	buf := b.server.Pool().Get(smallReply)
	dst := wire.AppendResponseHeader(buf.B[:frameLength], h.Key, h.Version, h.CorrelationID)
	buf.B = resp.AppendTo(dst)
	f.Reply(netio.Reply{Buf: buf})
}

// smallReply holds most answers; longer ones grow their buffer.
const smallReply = 512
