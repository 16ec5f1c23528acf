package harness

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"millrace/results"
)

// spent is what a process has spent since its start; a difference of two is
// what it spent between them. A value below zero could not be read.
type spent struct {
	cpu                 time.Duration
	syscalls            int64 // all where they are counted, else reads and writes: /proc/PID/io
	ctxVol, ctxInvol    int64
	diskBytes           int64
	allocs, allocBytes  int64
	gcs                 int64
	rss, rssPeak, heapB int64
}

// prober reads a process through /proc, and its Go runtime through
// net/http/pprof where there is one.
type prober struct {
	pid     int
	runtime string // base URL of pprof; "": none
	client  *http.Client
	calls   *syscallCounter // nil: /proc/PID/io counts
}

func newProber(pid int, pprof string) *prober {
	return &prober{pid: pid, runtime: pprof, client: &http.Client{Timeout: 5 * time.Second}}
}

func (p *prober) path(name string) string { return filepath.Join("/proc", strconv.Itoa(p.pid), name) }

// read takes what the kernel tells. ok is false where the process is gone.
func (p *prober) read() (s spent, ok bool) {
	s = spent{syscalls: -1, ctxVol: -1, ctxInvol: -1, diskBytes: -1, allocs: -1, allocBytes: -1, gcs: -1, heapB: -1}
	if s.cpu, ok = processCPU(p.pid); !ok {
		return s, false
	}
	status := keyed(p.path("status"))
	s.rss, s.rssPeak = status["VmRSS"]*1024, status["VmHWM"]*1024
	if io := keyed(p.path("io")); io != nil {
		s.syscalls, s.diskBytes = io["syscr"]+io["syscw"], io["write_bytes"]
	}
	if n := p.calls.read(); n >= 0 {
		s.syscalls = n
	}
	// Context switches are kept for each thread. Go keeps its threads, so the
	// sum does not fall.
	tasks, _ := filepath.Glob(p.path("task/*/status"))
	if len(tasks) > 0 {
		s.ctxVol, s.ctxInvol = 0, 0
	}
	for _, t := range tasks {
		m := keyed(t)
		s.ctxVol += m["voluntary_ctxt_switches"]
		s.ctxInvol += m["nonvoluntary_ctxt_switches"]
	}
	return s, true
}

// readRuntime adds what the Go runtime of the target tells. It stops the
// target's world for a moment, so it is asked between phases only.
func (p *prober) readRuntime(ctx context.Context, s *spent) {
	if p.runtime == "" {
		return
	}
	body, err := p.get(ctx, "allocs?debug=1")
	if err != nil {
		return
	}
	for line := range bytes.Lines(body) {
		key, v, ok := bytes.Cut(bytes.TrimPrefix(bytes.TrimSpace(line), []byte("# ")), []byte(" = "))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			continue
		}
		switch string(key) {
		case "TotalAlloc":
			s.allocBytes = n
		case "Mallocs":
			s.allocs = n
		case "NumGC":
			s.gcs = n
		case "HeapAlloc":
			s.heapB = n
		}
	}
}

// get fetches a page of the target's pprof, bounded.
func (p *prober) get(ctx context.Context, page string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.runtime, "/")+"/"+page, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", page, resp.Status, bytes.TrimSpace(body[:min(len(body), 200)]))
	}
	return body, err
}

// resetPeak makes VmHWM start again from the present, so that a phase has a
// peak of its own.
func (p *prober) resetPeak() { _ = os.WriteFile(p.path("clear_refs"), []byte("5"), 0) }

// processCPU is the user and system time of a process, to the nanosecond: its
// CPU-time clock, whose id the kernel derives from the pid (man 3
// clock_getcpuclockid). /proc/PID/stat counts in hundredths of a second.
func processCPU(pid int) (time.Duration, bool) {
	const processScheduler = 2
	if pid <= 0 || pid > 1<<22 { // the kernel's own bound; the id would wrap
		return 0, false
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|processScheduler), &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

// keyed reads lines of "key: number…", with or without a colon; nil: no file.
func keyed(file string) map[string]int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	m := map[string]int64{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 2 {
			continue
		}
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			m[strings.TrimSuffix(f[0], ":")] = n
		}
	}
	return m
}

// cost is what was spent between two readings of a phase in which the target
// acknowledged so many records.
func (after spent) cost(before spent, length time.Duration, records int64) *results.Cost {
	c := &results.Cost{
		CPUS:   (after.cpu - before.cpu).Seconds(),
		RSSMax: max(after.rssPeak, after.rss),
	}
	if length > 0 {
		c.Cores = c.CPUS / length.Seconds()
	}
	diff := func(a, b int64) *int64 {
		if a < 0 || b < 0 {
			return nil
		}
		d := a - b
		return &d
	}
	c.Syscalls = diff(after.syscalls, before.syscalls)
	c.CtxVol, c.CtxInvol = diff(after.ctxVol, before.ctxVol), diff(after.ctxInvol, before.ctxInvol)
	c.DiskBytes = diff(after.diskBytes, before.diskBytes)
	c.Allocs, c.AllocB = diff(after.allocs, before.allocs), diff(after.allocBytes, before.allocBytes)
	perRecord(c, records)
	return c
}

func perRecord(c *results.Cost, records int64) {
	if records <= 0 {
		return
	}
	each := func(v *int64) *float64 {
		if v == nil {
			return nil
		}
		f := float64(*v) / float64(records)
		return &f
	}
	c.PerRecord = results.PerRecord{
		CPUNs:  c.CPUS * 1e9 / float64(records),
		Allocs: each(c.Allocs), AllocB: each(c.AllocB),
		Syscalls: each(c.Syscalls), DiskBytes: each(c.DiskBytes),
	}
	if c.CtxVol != nil && c.CtxInvol != nil {
		sum := *c.CtxVol + *c.CtxInvol
		c.PerRecord.Ctx = each(&sum)
	}
}

// addCost sums two costs of the same process, for several phases together.
func addCost(a, b *results.Cost) *results.Cost {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	sum := func(x, y *int64) *int64 {
		if x == nil || y == nil {
			return nil
		}
		s := *x + *y
		return &s
	}
	c := &results.Cost{CPUS: a.CPUS + b.CPUS, RSSMax: max(a.RSSMax, b.RSSMax),
		Allocs: sum(a.Allocs, b.Allocs), AllocB: sum(a.AllocB, b.AllocB), Syscalls: sum(a.Syscalls, b.Syscalls),
		CtxVol: sum(a.CtxVol, b.CtxVol), CtxInvol: sum(a.CtxInvol, b.CtxInvol), DiskBytes: sum(a.DiskBytes, b.DiskBytes)}
	if a.GCPauseS != nil && b.GCPauseS != nil {
		s := *a.GCPauseS + *b.GCPauseS
		c.GCPauseS = &s
	}
	return c
}
