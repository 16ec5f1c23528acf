// Package limits measures what the host can do at most, with loops that do
// nothing else: loopback by write, sendfile, pread+write and mmap+write; what a
// broker does with a produced batch (receive, CRC, append) without the broker;
// appends to the page cache, fdatasync, CRC-32C and the codecs. A broker's
// figures are read as fractions of these.
//
// The nouns: a probe is one loop at one size, joined to a table; a round runs it
// for a fixed time; Measure runs every probe several rounds and keeps the
// median.
//
// What disturbs such figures is controlled or said: the page cache is warmed on
// request, each socket's congestion control is set, each end of a loopback path
// has a CPU of its own, and steal and other processes' CPU are recorded.
package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sort"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"millrace/results"
)

// Options says how to measure.
type Options struct {
	// Dir is where files are written; it should lie on the file system that a
	// broker's data would. Default: the system's temporary directory.
	Dir string
	// Payload is what the codecs compress: at least a few hundred kilobytes of
	// what records really hold.
	Payload []byte
	// Congestion is the TCP congestion control of the loopback sockets; "": the
	// system's.
	Congestion string
	// Warm bytes of page cache are touched first, as WarmUp does; 0: none.
	Warm int64
	// Warming is told how far that is; nil: nobody.
	Warming func(done, total int64)
	// Round is how long a loop runs; default 250 ms.
	Round time.Duration
	// Rounds of each loop; default 3.
	Rounds int
	// Only names the groups of loops to run; nil: all.
	Only []string
	// Progress is told of each probe before it runs; nil: nobody.
	Progress func(done, total int, name string)
}

// probe is one loop.
type probe struct {
	group, name string
	size        int64
	// run works until the deadline, or a fixed number of calls, and says what
	// it moved.
	run func(h *host, size int64) (moved, error)
}

// moved is what one round of a probe did.
type moved struct {
	bytes int64
	took  time.Duration
	cpu   time.Duration // of the measuring thread
	calls []time.Duration
	ratio float64
}

// host is what the probes share in one measurement.
type host struct {
	ctx        context.Context
	dir        string
	payload    []byte
	congestion string
	round      time.Duration
	may        unix.CPUSet // where this process may run
	log        *appended   // nil: nobody appended yet
	pinned     bool        // each end has a CPU of its own
	mu         sync.Mutex
	notes      map[string]bool // guarded by mu

	// What a step does aside, of the measuring thread's time.
	asideTook, asideCPU time.Duration
}

// aside does what is not to be counted.
func (h *host) aside(do func() error) error {
	cpu, began := threadCPU(), time.Now()
	err := do()
	h.asideTook += time.Since(began)
	h.asideCPU += threadCPU() - cpu
	return err
}

func (h *host) note(format string, args ...any) {
	h.mu.Lock()
	h.notes[fmt.Sprintf(format, args...)] = true
	h.mu.Unlock()
}

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
)

func table() []probe {
	var t []probe
	each := func(group, name string, run func(*host, int64) (moved, error), sizes ...int64) {
		for _, s := range sizes {
			t = append(t, probe{group, name, s, run})
		}
	}
	for _, p := range senders {
		each("loopback", p.name, func(h *host, size int64) (moved, error) { return loopback(h, size, p) }, 64*kib, mib)
	}
	for _, p := range receivers {
		each("receive", p.name, func(h *host, size int64) (moved, error) { return receive(h, size, p) }, 16*kib, 64*kib, mib)
	}
	each("append", "append to page cache", appendFile, 16*kib, 64*kib, mib)
	each("fdatasync", "append + fdatasync", syncFile, 64*kib, 256*kib, mib, 4*mib)
	each("crc", "CRC-32C", checksum, 64*kib)
	return append(t, codecProbes()...)
}

// Measure runs every probe. It returns what was measured also where ctx ends.
func Measure(ctx context.Context, o Options) (*results.Limits, error) {
	if o.Round <= 0 {
		o.Round = 250 * time.Millisecond
	}
	if o.Rounds <= 0 {
		o.Rounds = 3
	}
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	probes := table()
	if o.Only != nil {
		probes = slices.DeleteFunc(probes, func(p probe) bool { return !slices.Contains(o.Only, p.group) })
	}
	codecs := slices.ContainsFunc(probes, func(p probe) bool { return p.group == "codec" })
	if codecs && len(o.Payload) == 0 {
		return nil, errors.New("limits: no payload for the codecs")
	}
	dir, err := os.MkdirTemp(o.Dir, "millrace-limits-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	h := &host{ctx: ctx, dir: dir, payload: o.Payload, congestion: o.Congestion, round: o.Round,
		notes: map[string]bool{}}
	if err := unix.SchedGetaffinity(unix.Getpid(), &h.may); err == nil && h.may.Count() > 1 {
		h.pinned = true
	} else {
		h.note("both ends of the loopback paths shared a CPU")
	}
	l := &results.Limits{Started: time.Now().UTC(), Congestion: o.Congestion}
	if o.Warm > 0 {
		held, err := WarmUp(ctx, dir, o.Warm, o.Warming)
		if err != nil {
			h.note("the page cache could not be warmed: %v", err)
		}
		defer held.Close()
		l.WarmedBytes = held.Size()
		held.Let(2 << 30)
	}
	if l.Memory, err = MemoryCost(); err != nil {
		h.note("what fresh memory costs could not be measured: %v", err)
	} else if l.Cold() {
		h.note("memory was cold: a page taken anew cost %.1f CPU-s/GB, so that appends are slower than they can be; warm it with --warm", l.Memory)
	}
	defer func() {
		if h.log != nil {
			h.log.f.Close()
		}
	}()
	watch := startWatch()
	for i, p := range probes {
		if ctx.Err() != nil {
			break
		}
		if o.Progress != nil {
			o.Progress(i, len(probes), fmt.Sprintf("%s %s", p.name, results.FormatBytes(float64(p.size))))
		}
		path, err := p.measure(h, o.Rounds)
		if err != nil {
			h.note("%s %s: %v", p.name, results.FormatBytes(float64(p.size)), err)
			continue
		}
		l.Paths = append(l.Paths, path)
	}
	l.Steal, l.Busy = watch.stop()
	l.Pinned = h.pinned
	if l.Steal > 0.03 {
		h.note("%.1f %% of CPU time was stolen by the hypervisor: measure again on a quieter host", 100*l.Steal)
	}
	if l.Busy > 0.1 {
		h.note("other processes used %.2f cores meanwhile", l.Busy)
	}
	for n := range h.notes {
		l.Notes = append(l.Notes, n)
	}
	sort.Strings(l.Notes)
	l.TookS = time.Since(l.Started).Seconds()
	return l, ctx.Err()
}

// measure runs a probe's rounds on a thread of its own, pinned to CPU 0, and
// takes medians.
func (p probe) measure(h *host, rounds int) (results.Path, error) {
	out := results.Path{Group: p.group, Name: p.name, Size: p.size}
	var rates, costs, calls []float64
	var fault error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer h.pin(0)()
		for range rounds {
			if fault = h.ctx.Err(); fault != nil {
				return
			}
			var m moved
			if m, fault = p.run(h, p.size); fault != nil {
				return
			}
			rates = append(rates, float64(m.bytes)/m.took.Seconds())
			costs = append(costs, m.cpu.Seconds()/(float64(m.bytes)/1e9))
			for _, c := range m.calls {
				calls = append(calls, float64(c))
			}
			out.Ratio = m.ratio
		}
	}()
	<-done
	if fault != nil {
		return out, fault
	}
	sort.Float64s(rates)
	out.Low, out.High = rates[0], rates[len(rates)-1]
	out.Rate, out.CPUPerGB = results.Median(rates), results.Median(costs)
	if len(calls) > 0 {
		out.P50Ns = int64(results.Median(calls))
	}
	return out, nil
}

// pin locks the goroutine to its thread, and the thread to one CPU of those that
// this process may use. unpin takes both back: a thread that kept its CPU would
// be a trap for whoever runs on it next, and the process's first thread outlives
// every goroutine.
func (h *host) pin(n int) (unpin func()) {
	runtime.LockOSThread()
	if !h.pinned {
		return runtime.UnlockOSThread
	}
	var one unix.CPUSet
	for cpu, seen := 0, 0; cpu < 1024; cpu++ {
		if !h.may.IsSet(cpu) {
			continue
		}
		if seen == n {
			one.Set(cpu)
			break
		}
		seen++
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		h.pinned = false
		h.note("threads could not be pinned: %v", err)
	}
	return func() {
		if err := unix.SchedSetaffinity(0, &h.may); err == nil {
			runtime.UnlockOSThread() // else the thread ends with the goroutine
		}
	}
}

// threadCPU is the CPU time of the calling thread.
func threadCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loop calls step, which moves size bytes, until the round is over.
func (h *host) loop(size int64, step func() error) (moved, error) {
	var m moved
	if err := step(); err != nil { // once outside the count: first touches
		return m, err
	}
	h.asideTook, h.asideCPU = 0, 0
	cpu, began := threadCPU(), time.Now()
	for m.took = 0; m.took < h.round; m.took = time.Since(began) - h.asideTook {
		if err := step(); err != nil {
			return m, err
		}
		m.bytes += size
	}
	m.cpu = threadCPU() - cpu - h.asideCPU
	return m, nil
}
