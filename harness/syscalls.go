package harness

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// syscallCounter counts every system call of a process, with the kernel's
// raw_syscalls:sys_enter tracepoint as a counter (perf_event_open). Threads that
// are started later are counted with the one that started them.
type syscallCounter struct{ fds []int }

// tracepoint is where the tracepoint's number stands, once tracefs is mounted.
const tracepoint = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id"

func countSyscalls(pid int) (*syscallCounter, error) {
	id, err := strconv.ParseUint(oneLine(tracepoint), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read (as root: mount -t tracefs tracefs /sys/kernel/tracing)", tracepoint)
	}
	tasks, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*"))
	if len(tasks) == 0 {
		return nil, os.ErrProcessDone
	}
	c := &syscallCounter{}
	for _, t := range tasks {
		tid, err := strconv.Atoi(filepath.Base(t))
		if err != nil {
			continue
		}
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Bits: unix.PerfBitInherit}
		attr.Size = uint32(binary.Size(attr))
		fd, err := unix.PerfEventOpen(&attr, tid, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		switch {
		case err == unix.ESRCH: // it ended meanwhile
		case err != nil:
			c.close()
			return nil, fmt.Errorf("perf_event_open: %w", err)
		default:
			c.fds = append(c.fds, fd)
		}
	}
	return c, nil
}

// read is the calls so far; -1: unknown.
func (c *syscallCounter) read() (n int64) {
	if c == nil {
		return -1
	}
	var b [8]byte
	for _, fd := range c.fds {
		if k, err := unix.Read(fd, b[:]); err != nil || k != len(b) {
			return -1
		}
		n += int64(binary.NativeEndian.Uint64(b[:]))
	}
	return n
}

func (c *syscallCounter) close() {
	if c == nil {
		return
	}
	for _, fd := range c.fds {
		unix.Close(fd)
	}
	c.fds = nil
}
