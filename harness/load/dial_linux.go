package load

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// congestionControl sets a socket's congestion control before it connects or
// listens; nil where name is empty.
func congestionControl(name string) func(network, address string, c syscall.RawConn) error {
	if name == "" {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		}); e != nil {
			return e
		}
		if err != nil {
			return fmt.Errorf("congestion control %s: %w", name, err)
		}
		return nil
	}
}
