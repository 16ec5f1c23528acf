package limits

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// receiver is how much is done with what arrives: the way of a produced batch,
// less the broker.
type receiver struct {
	name        string
	crc, append bool
}

// receivers joins the ways. The last is the bound of a produce path with the
// page cache's promise.
var receivers = []receiver{
	{"receive", false, false},
	{"receive + CRC", true, false},
	{"receive + CRC + append", true, true},
}

// receive reads batches of a size on this thread, from a sender on the next CPU
// that writes them from memory, and does with each what r says. A batch is read
// whole before anything is done with it, as a broker must.
func receive(h *host, size int64, r receiver) (m moved, err error) {
	near, far, err := h.pair()
	if err != nil {
		return m, err
	}
	var file *appended
	if r.append {
		if file, err = h.appended(); err != nil {
			unix.Close(near)
			unix.Close(far)
			return m, err
		}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer unix.Close(far)
		defer h.pin(1)()
		hot := make([]byte, max(size, 256*kib)) // small batches leave several at a time
		for writeAll(far, hot) == nil {
		}
	}()
	buf, sum := make([]byte, size), uint32(0)
	m, err = h.loop(size, func() error {
		for have := 0; have < len(buf); {
			n, err := unix.Read(near, buf[have:])
			switch {
			case err == unix.EINTR:
			case err != nil:
				return fmt.Errorf("read: %w", err)
			case n == 0:
				return errors.New("read: the sender is gone")
			}
			have += max(n, 0)
		}
		if r.crc {
			sum = crc32.Update(sum, castagnoli, buf)
		}
		if r.append {
			return file.write(buf)
		}
		return nil
	})
	unix.Close(near) // the sender's next write fails
	<-sent
	runtime.KeepAlive(sum)
	return m, err
}

// pair is the two ends of a loopback connection as blocking descriptors, the
// caller's to close.
func (h *host) pair() (near, far int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return -1, -1, err
	}
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return -1, -1, err
	}
	defer dialled.Close()
	accepted, err := listener.Accept()
	if err != nil {
		return -1, -1, err
	}
	defer accepted.Close()
	if near, err = h.blocking(dialled); err != nil {
		return -1, -1, err
	}
	if far, err = h.blocking(accepted); err != nil {
		unix.Close(near)
		return -1, -1, err
	}
	return near, far, nil
}

// blocking duplicates a connection's descriptor, which makes it blocking, and
// sets its congestion control.
func (h *host) blocking(c net.Conn) (int, error) {
	dup, err := c.(*net.TCPConn).File()
	if err != nil {
		return -1, err
	}
	defer dup.Close()
	socket, err := unix.FcntlInt(dup.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if h.congestion != "" {
		if err := unix.SetsockoptString(socket, unix.IPPROTO_TCP, unix.TCP_CONGESTION, h.congestion); err != nil {
			h.note("congestion control %s could not be set: %v", h.congestion, err)
		}
	}
	return socket, nil
}
