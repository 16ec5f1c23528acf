package core

import (
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/group"
	"millrace/core/wire"
	"millrace/netio"
)

// groupCall is a request to the group coordinator. Its answer may come much
// later, from another goroutine: when the other members have joined, when the
// records are kept.
type groupCall struct {
	*Broker
	frame  *netio.Frame
	header wire.Header
}

// grouped makes a table's row of a handler for a group's request. The handler
// runs on the connection's loop and sees to the answer.
func grouped[Q kmsg.Request](handle func(*groupCall, Q)) func(*Broker, *netio.Frame, wire.Header, []byte) {
	return func(b *Broker, f *netio.Frame, h wire.Header, body []byte) {
		req, err := wire.DecodeKmsg(h.Key, h.Version, body)
		if err != nil {
			b.refuse(f, err)
			return
		}
		handle(&groupCall{Broker: b, frame: f, header: h}, req.(Q))
	}
}

func (c *groupCall) answer(resp kmsg.Response) { c.reply(c.frame, c.header, resp) }

// coordinate hands the request to the coordinator and its answer to the client.
func (c *groupCall) coordinate(req kmsg.Request) { c.coordinateThen(req, c.answer) }

// coordinateThen hands the coordinator's answer to then.
func (c *groupCall) coordinateThen(req kmsg.Request, then func(kmsg.Response)) {
	g := c.groups.Load()
	if g == nil {
		then(refuseGroup(req))
		return
	}
	g.Handle(&group.Request{
		Body: req, ClientID: string(c.header.ClientID), Host: hostOf(c.frame.Conn().RemoteAddr()), Answer: then,
	})
}

// hostOf is how Kafka shows a member's host: as Java writes an address.
func hostOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return "/" + tcp.IP.String()
	}
	return "/" + a.String()
}
