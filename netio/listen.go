package netio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ListenError is an address that cannot be listened on: one line that says what
// is wrong and what to do.
type ListenError struct {
	Addr string
	Hint string
	Err  error
}

func (e *ListenError) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("cannot listen on %s: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("cannot listen on %s: %s", e.Addr, e.Hint)
}

func (e *ListenError) Unwrap() error { return e.Err }

// listen opens the listener with the options that its connections inherit. Go
// sets SO_REUSEADDR, so that a restart does not wait for old connections to be
// forgotten, and not SO_REUSEPORT, so that a second server is refused.
func listen(addr string, cfg *Config) (*net.TCPListener, error) {
	var optErr error
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		if err := rc.Control(func(fd uintptr) { optErr = setOptions(int(fd), cfg) }); err != nil {
			return err
		}
		return optErr
	}}
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if optErr != nil {
		return nil, optErr
	}
	if err != nil {
		return nil, listenError(addr, err)
	}
	return ln.(*net.TCPListener), nil
}

func setOptions(fd int, cfg *Config) error {
	if n := cfg.SendBufferBytes; n > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, int(n)); err != nil {
			return fmt.Errorf("socket.send.buffer.bytes %d: %w", n, err)
		}
	}
	if n := cfg.ReceiveBufferBytes; n > 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, int(n)); err != nil {
			return fmt.Errorf("socket.receive.buffer.bytes %d: %w", n, err)
		}
	}
	if name := cfg.Congestion; name != "" {
		if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); err != nil {
			known, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
			return fmt.Errorf("socket.congestion: %q: %w (this kernel has: %s)", name, err, strings.TrimSpace(string(known)))
		}
	}
	return nil
}

func listenError(addr string, err error) error {
	e := &ListenError{Addr: addr, Err: err}
	var dns *net.DNSError
	var bad *net.AddrError
	host, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		e.Hint = fmt.Sprintf("the port is in use by %s; stop that or choose another port (0 picks a free one)", holder(port))
	case errors.Is(err, unix.EACCES):
		e.Hint = "no permission; ports below 1024 need CAP_NET_BIND_SERVICE, so choose a higher one"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		e.Hint = fmt.Sprintf("no interface of this machine has the address %s; use 127.0.0.1 for this machine alone or 0.0.0.0 for all interfaces", host)
	case errors.As(err, &dns) && dns.Err == "no such host":
		e.Hint = fmt.Sprintf("host %s is unknown; use a name that resolves, or an address such as 127.0.0.1", host)
	case errors.As(err, &bad):
		e.Hint = fmt.Sprintf("%s; write HOST:PORT, for instance 127.0.0.1:9092", bad.Err)
	case errors.As(err, &dns):
		e.Hint = dns.Err + "; write HOST:PORT, for instance 127.0.0.1:9092"
	}
	return e
}

// holder names the process that listens on the port, as far as /proc lets us
// see.
func holder(port string) string {
	const unknown = "another process"
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return unknown
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if inode := listenInode(table, n); inode != "" {
			if who := inodeOwner(inode); who != "" {
				return who
			}
		}
	}
	return unknown
}

// listenInode finds the inode of the socket that listens on the port, in a
// table whose lines are "sl local_address rem_address st … inode …", with the
// address as HEX:PORT and state 0A for listening.
func listenInode(table string, port uint64) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Fields(sc.Text())
		if len(w) > 9 && w[3] == "0A" && strings.HasSuffix(w[1], suffix) {
			return w[9]
		}
	}
	return ""
}

func inodeOwner(inode string) string {
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		proc := filepath.Dir(filepath.Dir(fd))
		name, _ := os.ReadFile(proc + "/comm")
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), filepath.Base(proc))
	}
	return ""
}
