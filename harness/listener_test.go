package harness

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestListener(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Logf("%s: %v", at, err) // a machine without IPv6
			continue
		}
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		host := "127.0.0.1"
		if at == "[::1]:0" {
			host = "::1"
		}
		where, here := localAddr(netip.AddrPortFrom(netip.MustParseAddr(host), port).String())
		require.True(t, here)
		pid, name := listener(where)
		require.Equal(t, os.Getpid(), pid, at)
		require.NotEmpty(t, name)
		require.NoError(t, l.Close())
		pid, _ = listener(where)
		require.Zero(t, pid, "nobody listens any more")
	}
	_, here := localAddr("192.0.2.1:9092")
	require.False(t, here, "an address of documents, RFC 5737")
}

// Lines as the kernel prints them.
func TestListens(t *testing.T) {
	tcp := "   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0"
	mapped := "   1: 0000000000000000FFFF00000100007F:2384 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 77 1"
	for _, c := range []struct {
		line, addr, inode string
	}{
		{tcp, "127.0.0.1:9092", "4242"},
		{tcp, "127.0.0.2:9092", ""},
		{tcp, "127.0.0.1:9093", ""},
		{mapped, "127.0.0.1:9092", "77"},
		{mapped, "[::1]:9092", ""},
		{"  sl  local_address rem_address   st", "127.0.0.1:9092", ""},
		{"", "127.0.0.1:9092", ""},
	} {
		inode, ok := listens(c.line, netip.MustParseAddrPort(c.addr))
		require.Equal(t, c.inode, inode, "%s %s", c.line, c.addr)
		require.Equal(t, c.inode != "", ok)
	}
}
