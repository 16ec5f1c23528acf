package limits

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// sourceSize is the file that is sent over and over: it lies in the page cache,
// and is larger than the CPU cache that a small machine has.
const sourceSize = 64 * mib

// sender is one way of getting a file's bytes into a socket, as a broker's read
// path would.
type sender struct {
	name string
	// open prepares. send moves size bytes that lie at off in the file into a
	// blocking socket; done gives back what open took.
	open func(f *os.File, size int64) (send func(socket int, off int64) error, done func(), err error)
}

// senders joins the ways.
var senders = []sender{
	{"write from memory", openMemory},
	{"sendfile", openSendfile},
	{"pread + write", openPread},
	{"mmap + write", openMmap},
}

func nothing() {}

func openMemory(_ *os.File, size int64) (func(int, int64) error, func(), error) {
	hot := make([]byte, size)
	return func(socket int, _ int64) error { return writeAll(socket, hot) }, nothing, nil
}

func openSendfile(f *os.File, size int64) (func(int, int64) error, func(), error) {
	return func(socket int, off int64) error {
		defer runtime.KeepAlive(f)
		for left := int(size); left > 0; {
			n, err := unix.Sendfile(socket, int(f.Fd()), &off, left)
			switch {
			case err == unix.EINTR:
			case err != nil:
				return fmt.Errorf("sendfile: %w", err)
			case n == 0:
				return errors.New("sendfile: the file is shorter than it was")
			}
			left -= max(n, 0)
		}
		return nil
	}, nothing, nil
}

func openPread(f *os.File, size int64) (func(int, int64) error, func(), error) {
	buf := make([]byte, size)
	return func(socket int, off int64) error {
		if _, err := f.ReadAt(buf, off); err != nil {
			return err
		}
		return writeAll(socket, buf)
	}, nothing, nil
}

func openMmap(f *os.File, size int64) (func(int, int64) error, func(), error) {
	m, err := unix.Mmap(int(f.Fd()), 0, int(sourceSize), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mmap: %w", err)
	}
	send := func(socket int, off int64) error { return writeAll(socket, m[off:off+size]) }
	return send, func() { _ = unix.Munmap(m) }, nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("write: %w", err)
		}
		b = b[max(n, 0):]
	}
	return nil
}

// loopback sends from this thread to one that only reads, on the next CPU. The
// clock stops when the reader has all.
func loopback(h *host, size int64, s sender) (moved, error) {
	f, err := source(filepath.Join(h.dir, "source"))
	if err != nil {
		return moved{}, err
	}
	defer f.Close()
	send, done, err := s.open(f, size)
	if err != nil {
		return moved{}, err
	}
	defer done()
	socket, drained, err := h.connect()
	if err != nil {
		return moved{}, err
	}
	off := int64(0)
	m, err := h.loop(size, func() error {
		if off+size > sourceSize {
			off = 0
		}
		defer func() { off += size }()
		return send(socket, off)
	})
	unix.Close(socket)
	return m, errors.Join(err, <-drained)
}

// connect makes a loopback connection whose far end is read and thrown away on
// CPU 1, and gives the near end as a blocking descriptor, the caller's to close.
// drained tells how the reader ended, after the near end was closed.
func (h *host) connect() (socket int, drained chan error, err error) {
	near, far, err := h.pair()
	if err != nil {
		return -1, nil, err
	}
	drained = make(chan error, 1)
	go func() {
		defer unix.Close(far)
		defer h.pin(1)()
		drained <- discard(far)
	}()
	return near, drained, nil
}

func discard(fd int) error {
	buf := make([]byte, mib)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case n == 0:
			return nil
		}
	}
}

// source opens the file that is sent, made once and in the page cache.
func source(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.Size() == sourceSize {
		return f, nil
	}
	block := make([]byte, mib)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for off := int64(0); off < sourceSize; off += mib {
		if _, err := f.WriteAt(block, off); err != nil {
			f.Close()
			return nil, err
		}
	}
	if _, err := io.Copy(io.Discard, io.NewSectionReader(f, 0, sourceSize)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
