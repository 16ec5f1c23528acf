package harness

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"millrace/internal/knob"
	"millrace/results"
)

// profileKinds are what --profile takes.
var profileKinds = []string{"cpu", "heap", "allocs", "mutex", "block", "goroutine"}

// profiler saves pprof files, a kind and phase each, of the target (through
// its net/http/pprof) and of this process, the generator:
// profiles/target-cpu-steady.pb.gz. CPU profiles span the phase; the others
// are taken at its end and count from the process's start.
type profiler struct {
	kinds    map[string]bool
	dir      string
	target   *prober // nil: its profiles cannot be had
	selfName string  // what this process's files are called

	mu     sync.Mutex
	faults []string
	wait   sync.WaitGroup
	cpu    *os.File // of this process, while it is being profiled
}

func newProfiler(kinds []string, runDir string, target *prober, targetKind string) (*profiler, error) {
	p := &profiler{kinds: map[string]bool{}, dir: filepath.Join(runDir, results.ProfilesDir), target: target, selfName: "generator"}
	for _, k := range kinds {
		if !known(profileKinds, k) {
			return nil, &Faults{[]string{fmt.Sprintf("--profile %s: kinds are %s%s", k, strings.Join(profileKinds, ", "), knob.Suggest(k, profileKinds))}}
		}
		p.kinds[k] = true
	}
	if len(p.kinds) == 0 {
		return p, nil
	}
	if target != nil && target.runtime == "" {
		p.target = nil
		p.fault("the target offers no net/http/pprof: profiles are of the generator only")
	}
	if targetKind == "child" && (p.kinds["mutex"] || p.kinds["block"]) {
		p.fault("the broker's process samples no mutex and block events: those of its profiles are empty (inprocess samples them)")
	}
	if targetKind == "inprocess" {
		p.selfName = "both" // target and generator in one process
	}
	if p.kinds["mutex"] {
		runtime.SetMutexProfileFraction(100)
	}
	if p.kinds["block"] {
		runtime.SetBlockProfileRate(10_000)
	}
	return p, os.Mkdir(p.dir, 0o755)
}

func (p *profiler) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, "profiles: "+fmt.Sprintf(format, args...))
}

func (p *profiler) file(who, kind, phase string) string {
	return filepath.Join(p.dir, who+"-"+kind+"-"+phase+".pb.gz")
}

// phaseBegan starts the CPU profiles of a phase.
func (p *profiler) phaseBegan(ctx context.Context, ph Phase) {
	if !p.kinds["cpu"] {
		return
	}
	if f, err := os.Create(p.file(p.selfName, "cpu", ph.Name)); err != nil {
		p.fault("%v", err)
	} else if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		p.fault("%v", err)
	} else {
		p.cpu = f
	}
	secs := int(ph.Len.Seconds()) // pprof takes whole seconds
	if p.target == nil || secs < 1 {
		return
	}
	p.wait.Add(1)
	go func() {
		defer p.wait.Done()
		ctx, cancel := context.WithTimeout(ctx, ph.Len+10*time.Second)
		defer cancel()
		patient := newProber(p.target.pid, p.target.runtime)
		patient.client.Timeout = 0 // ctx bounds it
		p.save(ctx, patient, fmt.Sprintf("profile?seconds=%d", secs), p.file("target", "cpu", ph.Name))
	}()
}

func (p *profiler) save(ctx context.Context, from *prober, page, file string) {
	body, err := from.get(ctx, page)
	if err == nil {
		err = os.WriteFile(file, body, 0o644)
	}
	if err != nil && ctx.Err() == nil {
		p.fault("%v", err)
	}
}

// phaseEnded ends this process's CPU profile and takes the snapshots.
func (p *profiler) phaseEnded(ctx context.Context, phase string) {
	p.stopCPU()
	for _, kind := range profileKinds {
		if !p.kinds[kind] || kind == "cpu" {
			continue
		}
		if f, err := os.Create(p.file(p.selfName, kind, phase)); err != nil {
			p.fault("%v", err)
		} else {
			p.lookup(f, kind)
			f.Close()
		}
		if p.target != nil {
			p.save(ctx, p.target, kind, p.file("target", kind, phase))
		}
	}
}

func (p *profiler) lookup(w io.Writer, kind string) {
	if err := pprof.Lookup(kind).WriteTo(w, 0); err != nil {
		p.fault("%v", err)
	}
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
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}
