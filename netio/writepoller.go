package netio

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// writePoller tells connections of the gnet engine when their socket takes
// bytes again, for which gnet has no callback. It is an epoll set of ours,
// itself watched by Go's netpoller, so that it parks a goroutine and no thread.
//
// A socket is armed for one event at a time (EPOLLONESHOT). What comes back is
// the connection's id, which is never used twice, so that an event of a
// descriptor that was closed and opened anew finds nobody.
type writePoller struct {
	fd   int
	file *os.File
	raw  syscall.RawConn
	done chan struct{}

	stopping atomic.Bool

	mu    sync.Mutex
	conns map[uint64]*Conn // those that were ever armed, by id
}

func startWritePoller() (*writePoller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &writePoller{
		fd:    fd,
		file:  os.NewFile(uintptr(fd), "write poller"),
		done:  make(chan struct{}),
		conns: map[uint64]*Conn{},
	}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	go p.run()
	return p, nil
}

// arm asks for one dueWritable. On c's loop.
func (p *writePoller) arm(c *Conn) error {
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(c.id), Pad: int32(c.id >> 32)}
	op := unix.EPOLL_CTL_MOD
	p.mu.Lock()
	if p.conns[c.id] == nil {
		p.conns[c.id] = c
		op = unix.EPOLL_CTL_ADD
	}
	p.mu.Unlock()
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, c.fd, &ev))
}

// forget ends the polling of c, whose descriptor is still open. On c's loop.
func (p *writePoller) forget(c *Conn) {
	p.mu.Lock()
	known := p.conns[c.id] != nil
	delete(p.conns, c.id)
	p.mu.Unlock()
	if known {
		// It fails where arming had failed; then there is nothing to remove.
		_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, c.fd, nil)
	}
}

func (p *writePoller) run() {
	defer close(p.done)
	events := make([]unix.EpollEvent, 64)
	var due []*Conn
	var n int
	var err error
	poll := func(fd uintptr) bool { // once, so that waiting allocates nothing
		n, err = unix.EpollWait(int(fd), events, 0)
		return n != 0
	}
	for {
		waitErr := p.raw.Read(poll)
		switch {
		case waitErr != nil && p.stopping.Load():
			return
		case waitErr != nil:
			panic(fmt.Sprintf("BUG: write poller: %v", waitErr))
		case err == unix.EINTR:
			continue
		case err != nil:
			panic(fmt.Sprintf("BUG: epoll_wait: %v", err))
		}
		p.mu.Lock()
		due = due[:0]
		for _, ev := range events[:n] {
			if c := p.conns[uint64(uint32(ev.Fd))|uint64(uint32(ev.Pad))<<32]; c != nil {
				due = append(due, c)
			}
		}
		p.mu.Unlock()
		for _, c := range due {
			c.notify(dueWritable)
		}
	}
}

func (p *writePoller) stop() {
	p.stopping.Store(true)
	p.file.Close()
	<-p.done
}
