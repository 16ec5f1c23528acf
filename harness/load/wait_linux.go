package load

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// waiter sleeps one goroutine until a moment, as precisely as may be without
// burning a core. It waits on a timerfd through Go's network poller, because
// the alternatives are worse on this path: asked for 100 µs, time.Sleep of an
// otherwise idle process comes back 1,000 µs late (its poller counts in whole
// milliseconds), nanosleep(2) 80 µs late and with its thread's other goroutines
// held up, a timerfd 40 µs late (medians on a 2-core machine).
type waiter struct {
	f  *os.File
	fd int
}

func newWaiter() (*waiter, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	return &waiter{os.NewFile(uintptr(fd), "timerfd"), fd}, nil
}

// sleep returns about d later, never earlier where nothing fails.
func (w *waiter) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	var ticks [8]byte
	if unix.TimerfdSettime(w.fd, 0, &spec, nil) == nil {
		if n, err := w.f.Read(ticks[:]); err == nil && n == 8 && binary.NativeEndian.Uint64(ticks[:]) > 0 {
			return
		}
	}
	time.Sleep(d)
}

func (w *waiter) close() { w.f.Close() }
