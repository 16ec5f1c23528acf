package load

import (
	"bytes"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"
)

// meter reads what this process has spent so far. Its methods are for one
// goroutine.
type meter struct {
	samples []metrics.Sample
	gc      debug.GCStats
}

// spent is the running totals; Usage is the difference of two.
type spent struct {
	usage         Usage
	stolen, ticks int64 // of all CPUs, in clock ticks
}

func newMeter() *meter {
	return &meter{samples: []metrics.Sample{
		{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}}
}

func (m *meter) read() spent {
	var s spent
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		s.usage.CPU = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	metrics.Read(m.samples) // does not stop the world, as runtime.ReadMemStats would
	s.usage.Allocs = int64(m.samples[0].Value.Uint64())
	s.usage.AllocB = int64(m.samples[1].Value.Uint64())
	s.usage.GCs = int64(m.samples[2].Value.Uint64())
	debug.ReadGCStats(&m.gc)
	s.usage.GCPause = m.gc.PauseTotal
	s.usage.RSS = residentBytes()
	s.stolen, s.ticks = stealTicks()
	return s
}

// since is what was spent from an earlier reading until this one.
func (s spent) since(from spent) Usage {
	u := s.usage
	u.CPU -= from.usage.CPU
	u.GCPause -= from.usage.GCPause
	u.GCs -= from.usage.GCs
	u.Allocs -= from.usage.Allocs
	u.AllocB -= from.usage.AllocB
	if d := s.ticks - from.ticks; d > 0 {
		u.Steal = float64(s.stolen-from.stolen) / float64(d)
	}
	return u
}

// residentBytes is from /proc/self/statm, whose second field counts pages; 0
// where there is no /proc.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

// stealTicks is from the first line of /proc/stat: cpu user nice system idle
// iowait irq softirq steal guest guest_nice, guest being part of user.
func stealTicks() (stolen, all int64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	for i, f := range bytes.Fields(line) {
		if i == 0 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(string(f), 10, 64)
		all += n
		if i == 8 {
			stolen = n
		}
	}
	return stolen, all
}
