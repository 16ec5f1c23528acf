package load

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// skipper drops bytes that arrived on a connection without copying them: with
// MSG_TRUNC, recv(2) of a TCP socket discards up to as many as it is told and
// says how many (tcp(7)).
func skipper(nc net.Conn) func(n int) (int, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return skipRead(nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return skipRead(nc)
	}
	var want, got int
	var failed error
	receive := func(fd uintptr) (done bool) {
		for {
			n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, 0, uintptr(want), unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
			switch {
			case errno == unix.EINTR:
				continue
			case errno == unix.EAGAIN:
				return false
			case errno != 0:
				got, failed = 0, errno
			case n == 0:
				got, failed = 0, io.EOF
			default:
				got, failed = int(n), nil
			}
			return true
		}
	}
	return func(n int) (int, error) {
		want = n
		if err := raw.Read(receive); err != nil {
			return 0, err
		}
		return got, failed
	}
}
