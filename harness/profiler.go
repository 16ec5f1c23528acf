package harness

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/profile"

	"millrace/internal/knob"
	"millrace/results"
)

// profileKinds are what --profile takes. trace is a runtime execution trace of
// traceTime; perf needs Linux's perf.
var profileKinds = []string{"cpu", "heap", "allocs", "mutex", "block", "goroutine", "trace", "perf"}

// snapshots are the kinds that are taken at a phase's end. Those of cumulative
// count from the process's start: the phase's own part is the difference to
// what they said when it began.
var (
	snapshots  = []string{"heap", "allocs", "mutex", "block", "goroutine"}
	cumulative = []string{"allocs", "mutex", "block"}
)

const (
	// mutexFraction and blockRate are what is sampled while a mutex or block
	// profile is taken: rare enough not to be what is measured.
	mutexFraction = 100
	blockRate     = 10_000 // ns blocked
	// traceTime bounds an execution trace: it grows by tens of MB a second.
	traceTime = 2 * time.Second
)

// profiler saves pprof files, a kind and phase each, of the target (through
// its net/http/pprof) and of this process, the generator. It takes steady
// phases only. CPU profiles span the phase.
type profiler struct {
	kinds    map[string]bool
	dir      string
	target   *prober // nil: its profiles cannot be had
	selfName string  // what this process's files are called
	perf     *perfRecord

	before map[string]*profile.Profile // by file name without phase: cumulative kinds as the phase began

	mu     sync.Mutex
	faults []string
	wait   sync.WaitGroup
	turn   sync.Mutex // one CPU profile of the target at a time
	cpu    *os.File   // of this process, while it is being profiled
}

func newProfiler(kinds []string, runDir string, target *prober, targetKind string) (*profiler, error) {
	p := &profiler{kinds: map[string]bool{}, dir: filepath.Join(runDir, results.ProfilesDir), target: target, selfName: "generator",
		before: map[string]*profile.Profile{}}
	for _, k := range kinds {
		if !known(profileKinds, k) {
			return nil, &Faults{[]string{fmt.Sprintf("--profile %s: kinds are %s%s", k, strings.Join(profileKinds, ", "), knob.Suggest(k, profileKinds))}}
		}
		p.kinds[k] = true
	}
	if len(p.kinds) == 0 {
		return p, nil
	}
	if targetKind == "inprocess" {
		p.selfName = "both" // target and generator in one process
	}
	if p.kinds["perf"] {
		pid := os.Getpid()
		if target != nil {
			pid = target.pid
		}
		var err error
		if p.perf, err = newPerfRecord(pid); err != nil {
			p.fault("%v", err)
		}
	}
	if target != nil && target.runtime == "" {
		p.target = nil
		p.fault("the target offers no net/http/pprof: profiles are of the generator only")
	}
	mutex, block := 0, 0
	if p.kinds["mutex"] {
		mutex = mutexFraction
	}
	if p.kinds["block"] {
		block = blockRate
	}
	if mutex+block > 0 {
		runtime.SetMutexProfileFraction(mutex)
		runtime.SetBlockProfileRate(block)
		if p.target != nil {
			if err := p.target.post(fmt.Sprintf("sampling?mutex=%d&block=%d", mutex, block)); err != nil {
				p.fault("the target samples no mutex and block events, and those of its profiles are empty: %v", err)
			}
		}
	}
	return p, os.Mkdir(p.dir, 0o755)
}

// post changes something of the target's profiling.
func (p *prober) post(page string) error {
	resp, err := p.client.Post(strings.TrimSuffix(p.runtime, "/")+"/"+page, "", nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", page, resp.Status)
	}
	return nil
}

func (p *profiler) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := "profiles: " + fmt.Sprintf(format, args...); !slices.Contains(p.faults, f) {
		p.faults = append(p.faults, f)
	}
}

func (p *profiler) file(who, kind, phase string) string {
	return filepath.Join(p.dir, results.ProfileName(who, kind, phase))
}

// phaseBegan starts what spans a phase.
func (p *profiler) phaseBegan(ctx context.Context, ph Phase) {
	if ph.Kind != Steady {
		return
	}
	for _, kind := range cumulative {
		if p.kinds[kind] {
			p.before[p.selfName+kind] = p.own(kind)
			if p.target != nil {
				p.before["target"+kind] = p.theirs(ctx, kind)
			}
		}
	}
	ends := time.Now().Add(ph.Len)
	if p.kinds["cpu"] {
		if f, err := os.Create(p.file(p.selfName, "cpu", ph.Name)); err != nil {
			p.fault("%v", err)
		} else if err := pprof.StartCPUProfile(f); err != nil {
			f.Close()
			p.fault("%v", err)
		} else {
			p.cpu = f
		}
		p.span(ctx, "profile", ends, time.Hour, p.file("target", "cpu", ph.Name))
	}
	if p.kinds["trace"] {
		p.span(ctx, "trace", ends, traceTime, filepath.Join(p.dir, "target-trace-"+ph.Name+".out"))
		p.trace(filepath.Join(p.dir, p.selfName+"-trace-"+ph.Name+".out"), min(ph.Len, traceTime))
	}
	if p.perf != nil {
		who := p.selfName
		if p.target != nil {
			who = "target"
		}
		p.perf.start(ph.Len, p.file(who, "perf", ph.Name))
	}
}

// span fetches what the target's pprof takes over a time: whole seconds, at
// most until the phase ends.
func (p *profiler) span(ctx context.Context, page string, ends time.Time, most time.Duration, file string) {
	if p.target == nil {
		return
	}
	p.wait.Add(1)
	go func() {
		defer p.wait.Done()
		if page == "profile" { // the runtime takes one at a time; that of the phase before may still be on its way
			p.turn.Lock()
			defer p.turn.Unlock()
		}
		// A little grace: a phase of five seconds is not to lose its fifth to the
		// time it took to get here.
		secs := int(min(time.Until(ends)+200*time.Millisecond, most).Seconds())
		if secs < 1 {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, time.Duration(secs)*time.Second+10*time.Second)
		defer cancel()
		patient := newProber(p.target.pid, p.target.runtime)
		patient.client.Timeout = 0 // ctx bounds it
		body, err := patient.get(ctx, fmt.Sprintf("%s?seconds=%d", page, secs))
		if err == nil {
			err = os.WriteFile(file, body, 0o644)
		}
		if err != nil && ctx.Err() == nil {
			p.fault("%v", err)
		}
	}()
}

// trace takes an execution trace of this process.
func (p *profiler) trace(file string, length time.Duration) {
	f, err := os.Create(file)
	if err == nil {
		err = trace.Start(f)
	}
	if err != nil {
		p.fault("%v", err)
		return
	}
	p.wait.Add(1)
	time.AfterFunc(length, func() {
		defer p.wait.Done()
		trace.Stop()
		f.Close()
	})
}

// phaseEnded ends this process's CPU profile and takes the snapshots.
func (p *profiler) phaseEnded(ctx context.Context, ph Phase) {
	if ph.Kind != Steady {
		return
	}
	p.stopCPU()
	for _, kind := range snapshots {
		if !p.kinds[kind] {
			continue
		}
		p.write(p.selfName, kind, ph.Name, p.own(kind))
		if p.target != nil {
			p.write("target", kind, ph.Name, p.theirs(ctx, kind))
		}
	}
}

// write saves a snapshot, less what had been counted when the phase began.
func (p *profiler) write(who, kind, phase string, now *profile.Profile) {
	if now == nil {
		return
	}
	if before := p.before[who+kind]; before != nil {
		before.Scale(-1)
		change, err := profile.Merge([]*profile.Profile{now, before})
		if err != nil {
			p.fault("%s %s: %v", who, kind, err)
			return
		}
		change.DefaultSampleType = now.DefaultSampleType
		now = change
	}
	f, err := os.Create(p.file(who, kind, phase))
	if err == nil {
		err = now.Write(f)
		f.Close()
	}
	if err != nil {
		p.fault("%v", err)
	}
}

// own is a snapshot of this process; nil: it failed, and that was noted.
func (p *profiler) own(kind string) *profile.Profile {
	var b bytes.Buffer
	err := pprof.Lookup(kind).WriteTo(&b, 0)
	return p.parsed(b.Bytes(), err)
}

// theirs is one of the target's.
func (p *profiler) theirs(ctx context.Context, kind string) *profile.Profile {
	return p.parsed(p.target.get(ctx, kind))
}

func (p *profiler) parsed(b []byte, err error) *profile.Profile {
	if err == nil {
		var got *profile.Profile
		if got, err = profile.ParseData(b); err == nil {
			return got
		}
	}
	p.fault("%v", err)
	return nil
}

func (p *profiler) stopCPU() {
	if p.cpu != nil {
		pprof.StopCPUProfile()
		p.cpu.Close()
		p.cpu = nil
	}
}

// finish waits for what is under way, while the target is still there, and
// says what could not be had.
func (p *profiler) finish() []string {
	p.stopCPU()
	p.wait.Wait()
	if p.perf != nil {
		for _, err := range p.perf.finish() {
			p.fault("%v", err)
		}
	}
	if p.kinds["mutex"] || p.kinds["block"] {
		runtime.SetMutexProfileFraction(0)
		runtime.SetBlockProfileRate(0)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}
