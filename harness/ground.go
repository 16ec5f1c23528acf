package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"millrace/harness/limits"
	"millrace/results"
)

// ground is the machine as a trial finds and prepares it.
type ground struct {
	env   results.Env
	notes []string
	cpus  *unix.CPUSet // of the generator; nil: all
	// targetCPUs is nil where the target may use all.
	targetCPUs *unix.CPUSet
	warm       *limits.Warmed
	inside     func() // lets the generator out again
}

// letGo is how much of the warmed page cache is freed as the load begins: some
// seconds of appends, before the kernel has to take from what nobody uses.
const letGo = 4 << 30

// prepare does what the scenario's host section asks. The ground is to be left
// also where there is an error.
func (tr *trial) prepare(ctx context.Context) (*ground, error) {
	h := &tr.s.Host
	g := &ground{env: environment(tr.o.DataDir, changedKnobs(tr.s.brokerKnobs()))}
	g.env.TargetCPUs, g.env.GeneratorCPUs, g.env.SocketCongestion = h.TargetCPUs, h.GeneratorCPUs, h.Congestion
	var err error
	if g.cpus, err = cpusOf("generator.cpus", h.GeneratorCPUs); err != nil {
		return g, err
	}
	if g.targetCPUs, err = cpusOf("target.cpus", h.TargetCPUs); err != nil {
		return g, err
	}
	if h.Warm > 0 {
		if err := g.warmUp(ctx, tr); err != nil {
			return g, err
		}
	}
	var notes []string
	g.env.Limits, notes = results.ReadLimits(tr.o.limitsFile(), &g.env, time.Now())
	g.notes = append(g.notes, notes...)
	if h.Congestion != "" && tr.o.Target != "child" && tr.o.Target != "inprocess" && tr.o.Target != "sink" {
		g.note("congestion control %s is set on the generator's sockets alone: the lab cannot reach the target's", h.Congestion)
	}
	return g, nil
}

// warmUp touches page cache where the target's data will lie.
func (g *ground) warmUp(ctx context.Context, tr *trial) error {
	dir := tr.o.DataDir
	if dir == "" {
		dir = os.TempDir()
	}
	err := os.MkdirAll(dir, 0o755) // the target would
	if err != nil {
		return err
	}
	g.warm, err = limits.WarmUp(ctx, dir, tr.s.Host.Warm, func(done, total int64) {
		tr.show.status("warming memory, %s of %s", results.FormatBytes(float64(done)), results.FormatBytes(float64(total)))
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		g.note("memory could not be warmed as asked: %v", err)
	}
	g.env.WarmedBytes = g.warm.Size()
	return nil
}

// ready frees a part of what was warmed and says what fresh memory costs. It is
// for the last moment before the load: a hypervisor takes back within seconds
// what is free.
func (g *ground) ready(tr *trial) {
	g.warm.Let(letGo)
	cost, err := limits.MemoryCost()
	if err != nil {
		tr.note("what fresh memory costs could not be measured: %v", err)
	}
	tr.run.Env.MemoryCost = cost
	if results.ColdMemory(cost) {
		tr.note("memory was cold (%.1f CPU-s for each GB of fresh pages): appends and buffers are slower than they need be (--set host.warm=12GiB warms it)", cost)
	}
}

// confineGenerator puts this process on its CPUs, until the ground is left.
func (g *ground) confineGenerator() (err error) {
	g.inside, err = confine(g.cpus)
	return err
}

func (g *ground) leave() {
	if g.inside != nil {
		g.inside()
	}
	g.warm.Close()
}

func (g *ground) note(format string, args ...any) {
	g.notes = append(g.notes, fmt.Sprintf(format, args...))
}

// limitsFile is where the machine's limits are kept.
func (o *RunOptions) limitsFile() string {
	if o.LimitsFile != "" {
		return o.LimitsFile
	}
	return filepath.Join(filepath.Dir(o.OutDir), results.LimitsFile)
}

// countSyscalls begins to count every system call of both processes, where the
// scenario asks for it.
func (tr *trial) countSyscalls() {
	if tr.s.Host.Syscalls != "all" {
		return
	}
	for _, p := range []*prober{tr.target, tr.self} {
		if p == nil {
			continue
		}
		var err error
		if p.calls, err = countSyscalls(p.pid); err != nil {
			tr.note("only reads and writes are counted as system calls, as /proc/PID/io has them: %v", err)
			tr.uncountSyscalls() // both in the same unit
			return
		}
	}
	tr.note("every system call is counted, which makes each about 0.1 µs slower")
}

func (tr *trial) uncountSyscalls() {
	for _, p := range []*prober{tr.target, tr.self} {
		if p != nil {
			p.calls.close()
			p.calls = nil
		}
	}
}

// roofline holds the steady phases against what the machine can do.
func (tr *trial) roofline() *results.Roofline {
	l := tr.run.Env.Limits
	if l == nil || tr.run.Trial.Target.Kind == "sink" || tr.s.Producers.Compression != "none" {
		return nil // bytes before compression are not those that were moved
	}
	alone := false
	if set, err := parseCPUs(tr.s.Host.TargetCPUs); err == nil {
		alone = set.Count() == 1
	}
	fetch := min(tr.s.Consumers.PartitionBytes, tr.s.Consumers.MaxBytes)
	return l.Under(&tr.run.Trial.Steady, tr.s.Producers.BatchSize, fetch, knobValue(tr.s.Broker, "read.path"), alone)
}
