package limits

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, in which /proc/stat counts: 100 on every Linux
// that Go runs on.
const ticksPerSecond = 100

// watch sees what else the machine did meanwhile.
type watch struct {
	began              time.Time
	steal, busy, total int64
	own                time.Duration
}

func startWatch() watch {
	w := watch{began: time.Now(), own: ownCPU()}
	w.steal, w.busy, w.total = machineTicks()
	return w
}

// stop tells the share of CPU time stolen by the hypervisor, and the cores that
// other processes used.
func (w watch) stop() (steal, busy float64) {
	s, b, t := machineTicks()
	if t <= w.total {
		return 0, 0
	}
	took := time.Since(w.began).Seconds()
	others := float64(b-w.busy)/ticksPerSecond - (ownCPU() - w.own).Seconds()
	return float64(s-w.steal) / float64(t-w.total), max(0, others/took)
}

func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// machineTicks reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal. Zeros where there is none.
func machineTicks() (steal, busy, total int64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	for i, f := range fields[min(1, len(fields)):min(9, len(fields))] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0, 0
		}
		total += n
		switch i {
		case 3, 4: // idle, waiting for a disk
		case 7:
			steal = n
		default:
			busy += n
		}
	}
	return steal, busy, total
}
