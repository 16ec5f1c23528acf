package harness

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// forwarders listen in the place of a broker that is another process: what they
// spend is not the broker's.
var forwarders = []string{"docker-proxy", "rootlessport", "slirp4netns", "ssh", "sshd", "socat", "kubectl", "haproxy", "nginx", "envoy"}

// listener is the process of this machine that listens at addr; pid is 0 where
// there is none, or none that may be looked into.
func listener(addr netip.AddrPort) (pid int, name string) {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for sc := bufio.NewScanner(f); sc.Scan(); {
			if inode, ok := listens(sc.Text(), addr); ok {
				sockets["socket:["+inode+"]"] = true
			}
		}
		f.Close()
	}
	if len(sockets) == 0 {
		return 0, ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || !sockets[to] {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		name = oneLine(filepath.Join(dir, "comm"))
		if pid, _ = strconv.Atoi(filepath.Base(dir)); pid > 0 && !slices.Contains(forwarders, name) {
			return pid, name
		}
	}
	return 0, ""
}

// listens reads a line of /proc/net/tcp or tcp6 (man 5 proc): whether it is of a
// socket that takes connections to addr, and its inode.
func listens(line string, addr netip.AddrPort) (inode string, ok bool) {
	const listenState = "0A"
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != listenState {
		return "", false
	}
	host, port, _ := strings.Cut(f[1], ":")
	if n, err := strconv.ParseUint(port, 16, 16); err != nil || uint16(n) != addr.Port() {
		return "", false
	}
	at, err := kernelAddr(host)
	if err != nil || !at.IsUnspecified() && at != addr.Addr().Unmap() {
		return "", false
	}
	return f[9], true
}

// kernelAddr reads an address as the kernel prints it: 32-bit words in hex, each
// in the byte order of the machine, of which all that Go runs Linux on and we
// are built for are little-endian.
func kernelAddr(hex string) (netip.Addr, error) {
	if len(hex) != 8 && len(hex) != 32 {
		return netip.Addr{}, fmt.Errorf("%q is no address", hex)
	}
	var b []byte
	for ; hex != ""; hex = hex[8:] {
		w, err := strconv.ParseUint(hex[:8], 16, 32)
		if err != nil {
			return netip.Addr{}, err
		}
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	at, _ := netip.AddrFromSlice(b)
	return at.Unmap(), nil
}

// localAddr is addr where it is one of this machine.
func localAddr(addr string) (netip.AddrPort, bool) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return netip.AddrPort{}, false
	}
	at := netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), uint16(tcp.Port))
	if at.Addr().IsLoopback() {
		return at, true
	}
	ours, _ := net.InterfaceAddrs()
	for _, a := range ours {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(tcp.IP) {
			return at, true
		}
	}
	return at, false
}
