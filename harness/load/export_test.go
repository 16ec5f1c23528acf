package load

import (
	"context"
	"net"
)

// Through makes a run reach every broker by way of addr.
func (s *Spec) Through(addr string) {
	s.env.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
}
