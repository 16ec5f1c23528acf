package netio

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestListenErrorsAreOneClearLine(t *testing.T) {
	for _, e := range engines {
		t.Run("engine="+e.name, func(t *testing.T) {
			cfg := Defaults()
			cfg.Engine = e.name
			before := openFiles(t)
			s, err := Listen("127.0.0.1:0", cfg, &countingHandler{})
			require.NoError(t, err)
			taken := s.Addr().String()
			cubist := cfg
			cubist.Congestion = "cubist"
			odd := cfg
			odd.Pool = "swimming"
			for _, c := range []struct {
				addr string
				cfg  Config
				want string
			}{
				{taken, cfg, fmt.Sprintf("cannot listen on %s: the port is in use by netio.test (pid %d); stop that or choose another port (0 picks a free one)", taken, os.Getpid())},
				{"203.0.113.7:9092", cfg, "cannot listen on 203.0.113.7:9092: no interface of this machine has the address 203.0.113.7; use 127.0.0.1 for this machine alone or 0.0.0.0 for all interfaces"},
				{"127.0.0.1", cfg, "cannot listen on 127.0.0.1: missing port in address; write HOST:PORT, for instance 127.0.0.1:9092"},
				{"127.0.0.1:99999", cfg, "cannot listen on 127.0.0.1:99999: invalid port; write HOST:PORT, for instance 127.0.0.1:9092"},
				{"127.0.0.1:0", odd, `buffer.pool: "swimming" is none of [bytebufferpool classes none]`},
			} {
				_, err := Listen(c.addr, c.cfg, &countingHandler{})
				require.EqualError(t, err, c.want)
			}
			_, err = Listen("127.0.0.1:0", cubist, &countingHandler{})
			require.ErrorContains(t, err, `socket.congestion: "cubist"`)
			require.ErrorContains(t, err, "this kernel has: ")
			require.NoError(t, s.Stop(context.Background()))
			// The port is free again at once.
			s, err = Listen(taken, cfg, &countingHandler{})
			require.NoError(t, err)
			require.NoError(t, s.Stop(context.Background()))
			eventually(t, "descriptors closed", func() bool { return openFiles(t) <= before })
		})
	}
}

func TestListenErrorForPrivilegedPort(t *testing.T) {
	err := listenError("127.0.0.1:80", os.NewSyscallError("bind", unix.EACCES))
	require.EqualError(t, err, "cannot listen on 127.0.0.1:80: no permission; ports below 1024 need CAP_NET_BIND_SERVICE, so choose a higher one")
	require.ErrorIs(t, err, unix.EACCES)
}

// TestSocketOptions reach the connections.
func TestSocketOptions(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.cfg.SendBufferBytes, b.cfg.ReceiveBufferBytes, b.cfg.Congestion = 50_000, 60_000, "reno"
		seen := make(chan [4]string, 1)
		b.start(testHandler{serve: func(f *Frame) {
			fd := f.Conn().fd
			var got [4]string
			for i, o := range [][2]int{{unix.SOL_SOCKET, unix.SO_SNDBUF}, {unix.SOL_SOCKET, unix.SO_RCVBUF}, {unix.IPPROTO_TCP, unix.TCP_NODELAY}} {
				n, err := unix.GetsockoptInt(fd, o[0], o[1])
				got[i] = fmt.Sprint(n, err)
			}
			got[3], _ = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
			got[3] = strings.TrimRight(got[3], "\x00")
			seen <- got
			f.Drop()
		}})
		c := b.dial()
		c.send([]byte("x"))
		// The kernel doubles what was asked, for its own accounting.
		require.Equal(t, [4]string{"100000 <nil>", "120000 <nil>", "1 <nil>", "reno"}, <-seen)
	})
}

// TestConnNamesItsEnds: addresses outlive the connection.
func TestConnNamesItsEnds(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		conns := make(chan *Conn, 2)
		b.start(testHandler{serve: func(f *Frame) {
			conns <- f.Conn()
			f.Drop()
		}})
		c, d := b.dial(), b.dial()
		c.send([]byte("x"))
		one := <-conns
		d.send([]byte("x"))
		two := <-conns
		require.NotEqual(t, one.ID(), two.ID())
		c.Close()
		eventually(t, "closed", func() bool { return b.srv.stats.Connections.Load() == 1 })
		require.Equal(t, c.TCPConn.LocalAddr().(*net.TCPAddr).Port, one.RemoteAddr().(*net.TCPAddr).Port)
		require.Equal(t, b.srv.Addr().String(), one.LocalAddr().String())
	})
}
