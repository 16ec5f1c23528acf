package netio

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAdmit: who is turned away is not served and not closed at once, and does not
// keep the server from stopping.
func TestAdmit(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		var wait atomic.Int64
		var from atomic.Value
		b.start(testHandler{serve: b.echo, admit: func(a netip.Addr) time.Duration {
			from.Store(a)
			return time.Duration(wait.Load())
		}})
		c := b.dial()
		c.send([]byte("a"))
		c.expect([]byte("a"))
		require.Equal(t, netip.MustParseAddr("127.0.0.1"), from.Load())
		wait.Store(int64(time.Hour))
		held := b.dial()
		eventually(t, "turned away", func() bool { return b.srv.Stats().Throttled.Load() == 1 })
		held.send([]byte("b"))
		require.NoError(t, held.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err := held.Read(make([]byte, 1))
		require.True(t, err != nil && isTimeout(err), "neither served nor closed: %v", err)
		c.send([]byte("c"))
		c.expect([]byte("c"))
		require.EqualValues(t, 1, b.srv.Stats().Accepted.Load())
		wait.Store(int64(time.Millisecond))
		b.dial().expectEnd()
		c.Close()
		require.NoError(t, b.srv.Stop(t.Context()))
		b.stop = true
		require.NoError(t, held.SetReadDeadline(time.Now().Add(patience)))
		held.expectEnd()
	})
}

// TestHeldAreBounded: beyond the bound they are closed at once.
func TestHeldAreBounded(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo, admit: func(netip.Addr) time.Duration { return time.Hour }})
		b.srv.mu.Lock()
		for range maxHeld {
			b.srv.held[new(net.TCPConn)] = time.NewTimer(time.Hour)
		}
		b.srv.mu.Unlock()
		b.dial().expectEnd()
	})
}
