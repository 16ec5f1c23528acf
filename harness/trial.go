package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millrace/harness/load"
	"millrace/results"
)

// errTargetGone is why a run whose target died was cut short.
var errTargetGone = errors.New("the target died")

// auditTime is how long the generator's own ceiling is measured.
const auditTime = time.Second

// trial is one run under way.
type trial struct {
	o      RunOptions
	s      *Scenario
	t      target
	draft  *results.Draft
	run    *results.Run
	show   *progress
	prof   *profiler
	target *prober                // nil: its process cannot be seen
	next   atomic.Pointer[prober] // of the process that has taken the target's place
	self   *prober
	noting sync.Mutex // notes come from the load's callbacks and from the attendant

	// Touched by the load generator's callbacks, one at a time, and read after
	// it has returned.
	marks      []mark
	lastTarget spent
	lastSelf   spent
	samples    []results.Sample
	agents     []results.Agent // that were asked to take part
	histograms []results.Tagged
}

// mark is what both processes had spent when a phase began.
type mark struct {
	target, self spent
	seen         bool // target was there to be read
	pid          int  // of the target's process
	host         machine
}

// execute carries out what Run promises.
func execute(ctx context.Context, o RunOptions) (*results.Run, error) {
	began := time.Now()
	t, err := newTarget(&o)
	if err != nil {
		return nil, err
	}
	if err := suits(t, &o); err != nil {
		return nil, err
	}
	tr := &trial{o: o, s: o.Scenario, t: t, show: newProgress(o), self: newProber(os.Getpid(), "")}
	defer tr.show.end()
	if err := tr.roomFor(); err != nil {
		return nil, err
	}
	if err := tr.muster(ctx); err != nil {
		return nil, interruptedOr(ctx, err)
	}
	ground, err := tr.prepare(ctx)
	defer ground.leave()
	if err != nil {
		return nil, interruptedOr(ctx, err)
	}
	if tr.draft, err = (results.Store{Dir: o.OutDir}).Begin(tr.s.Name, began); err != nil {
		return nil, fmt.Errorf("no place for the results: %w (say another with --out)", err)
	}
	defer tr.draft.Discard()

	tr.show.status("starting %s", o.Target)
	defer t.stop() // whatever happens; a second stop does nothing
	if err := t.start(ctx); err != nil {
		return nil, interruptedOr(ctx, err)
	}
	info := t.info()
	if err := tr.reachable(info.Address); err != nil {
		return nil, err
	}
	if info.PID > 0 {
		tr.target = newProber(info.PID, t.pprof())
	}
	tr.run = &results.Run{Scenario: tr.s.YAML(), Env: ground.env}
	tr.run.Trial = results.Trial{
		Version: results.Version, Scenario: tr.s.Name, Question: tr.s.Question, Seed: tr.s.Seed,
		Started: began.UTC(), Target: info, Notes: slices.Concat(ground.notes, tr.s.remarks),
	}
	tr.promise()
	if e, ok := t.(*external); ok && e.pid > 0 {
		tr.note("the target's costs are those of process %d (%s), which listens at %s", e.pid, e.name, e.addr)
	}
	made, err := createTopics(ctx, info, tr.topics(info.Kind))
	if err != nil {
		return nil, interruptedOr(ctx, err)
	}
	for _, topic := range tr.topics(info.Kind) {
		if info.Kind != "sink" && !slices.Contains(made, topic.Name) {
			tr.note("topic %s was there already: used as it is, with its settings and its records", topic.Name)
		}
	}
	if info.Kind == "external" {
		defer deleteTopics(info.Address, made)
	}

	if tr.prof, err = newProfiler(o.Profile, tr.draft.Dir, tr.target, info.Kind); err != nil {
		return nil, err
	}

	spec := tr.s.spec(info.Address)
	spec.SkipReadBack = info.Kind == "sink"
	if err := ground.confineGenerator(); err != nil {
		return nil, err
	}
	tr.audit(ctx, spec, ground)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	tr.countSyscalls()
	defer tr.uncountSyscalls()
	ground.ready(tr)

	end, err := tr.drive(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err := t.stop(); err != nil {
		tr.note("stopping the target: %v", err)
	}
	tr.run.Trial.WallS = time.Since(began).Seconds()
	tr.run.Verdict = judge(tr.s, &tr.run.Trial, end)
	if err := tr.draft.Write(tr.run, tr.samples, tr.histograms); err != nil {
		return tr.run, fmt.Errorf("the results could not be written: %w", err)
	}
	if tr.run.Dir, err = tr.draft.Commit(); err != nil {
		return tr.run, fmt.Errorf("the results could not be written: %w", err)
	}
	tr.run.ID = tr.draft.ID
	return tr.run, nil
}

// audit takes the generator's ceiling against a sink that throws all away.
func (tr *trial) audit(ctx context.Context, spec load.Spec, ground *ground) {
	a := &tr.run.Trial.Audit
	a.Client, a.CeilingRate = tr.s.Client, tr.o.ceiling
	if a.CeilingRate > 0 || len(tr.o.Agents) > 0 || tr.run.Trial.Target.Kind == "sink" {
		return
	}
	tr.show.status("measuring the generator's own ceiling")
	c, err := tr.ceiling(ctx, spec, ground)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		tr.note("the generator's ceiling could not be taken: %v", err)
	case c.Rate == 0:
		tr.note("the generator's ceiling could not be taken: the machine was too busy for it")
	}
	a.CeilingRate, a.CeilingBytes, a.CeilingCPUNs, a.CeilingShared = c.Rate, c.Bytes, c.CPUNs, c.Shared
}

// ceiling is taken against a sink in this process, or, where the generator is
// kept to CPUs of its own, against one on the target's CPUs.
func (tr *trial) ceiling(ctx context.Context, spec load.Spec, ground *ground) (load.CeilingResult, error) {
	if tr.s.Host.GeneratorCPUs == "" {
		return load.Ceiling(ctx, spec, tr.o.audit)
	}
	sink := newSink(tr.o.Binary, tr.s, ground.targetCPUs)
	defer func() { _ = sink.stop() }()
	if err := sink.start(ctx); err != nil {
		return load.CeilingResult{}, err
	}
	return load.CeilingAgainst(ctx, spec, sink.addr, tr.o.audit)
}

// ending is how the load came to its end.
type ending struct {
	interrupted bool
	broken      string // why the target can no longer be measured; "": it can
	stopped     string // the condition on which it was stopped early; "": it was not
}

// drive runs the load and takes over what it measured.
func (tr *trial) drive(ctx context.Context, spec load.Spec) (ending, error) {
	loadCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	curtailed := make(chan struct{})
	curtail := sync.OnceFunc(func() { close(curtailed) })
	nurse := &attendant{
		t: tr.t, faults: tr.s.faults(), curtail: curtail, note: tr.note,
		giveUp:  func() { cancel(errTargetGone) },
		revived: func(info results.TargetInfo) { tr.next.Store(newProber(info.PID, tr.t.pprof())) },
	}
	nurse.attend(loadCtx)
	spec.Curtail = curtailed
	spec.Logger = quiet
	spec.OnPhase = func(i int) {
		if i == 0 {
			nurse.begun <- time.Now()
		}
		tr.phase(loadCtx, i)
	}
	live := newSofar(tr.s)
	var stopped string // why the run was ended early
	spec.OnSample = func(s load.Sample) {
		tr.sample(s)
		if s.Phase < len(tr.s.Phases) && stopped == "" {
			ph := tr.s.Phases[s.Phase]
			if stopped = live.add(s, ph.Name, ph.Kind); stopped != "" {
				curtail()
			}
		}
	}
	spec.Verify = tr.verification(nurse)
	if v, ok := tr.t.(victim); ok && tr.s.evictsAfterLag() {
		spec.OnRelease = func() {
			e, err := evict(v.dataDirectory())
			if err != nil {
				tr.note("evict: %v", err)
				return
			}
			tr.note("%v", e)
		}
	}
	res, err := tr.generate(loadCtx, spec)
	cause := context.Cause(loadCtx)
	cancel(nil)
	nurse.ended.Wait()
	tr.show.status("checking the account")
	for _, f := range tr.prof.finish() {
		tr.note("%s", f)
	}
	if res == nil {
		if err == nil {
			err = cause
		}
		return ending{}, interruptedOr(ctx, err)
	}
	end := ending{stopped: stopped}
	switch {
	case nurse.died != "":
		end.broken = "the target died during the run: " + nurse.died
		if nurse.back {
			tr.note("the target was started again on the data it had left, for the ledger to read back")
		}
	case isClosed(tr.t.gone()):
		end.broken = "the target died during the run: " + tr.t.why()
	case errors.Is(err, load.ErrTargetGone):
		end.broken = fmt.Sprintf("the target stopped answering: nothing was acknowledged for %s", giveUp)
	case ctx.Err() != nil:
		end.interrupted = true
	case err != nil:
		end.broken = err.Error()
	}
	tr.run.Trial.Error = end.broken
	tr.run.Trial.Faults = withGaps(nurse.suffered, res)
	tr.collect(res, spec)
	return end, nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default: // also of a nil channel
		return false
	}
}

func interruptedOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// roomFor refuses a run that would fill the disk.
func (tr *trial) roomFor() error {
	if kind := tr.o.Target; kind != "child" && kind != "inprocess" {
		return nil
	}
	p, err := tr.s.planIn(tr.o.DataDir)
	if err != nil {
		return err
	}
	if p.TooBig() {
		return fmt.Errorf("the run may write %s and %s has only %s free: make it shorter or slower, or say another place with --data",
			results.FormatBytes(p.Disk), p.DataDir, results.FormatBytes(p.DiskFree))
	}
	return nil
}

// topics is what is to be created. A broker that the lab starts is alone: it
// cannot keep several replicas, nor ask for them.
func (tr *trial) topics(kind string) []Topic {
	list := tr.s.allTopics()
	if kind != "child" && kind != "inprocess" && kind != "sink" {
		return list
	}
	said := false
	for i := range list {
		if list[i].Replicas <= 1 {
			continue
		}
		if !said {
			tr.note("%d replicas were asked for, and one broker is measured: there is 1", list[i].Replicas)
			said = true
		}
		list[i].Replicas = 1
		list[i].Config = maps.Clone(list[i].Config)
		delete(list[i].Config, "min.insync.replicas")
	}
	return list
}

// promise notes what an acknowledgement of a broker of ours is worth.
func (tr *trial) promise() {
	if kind := tr.run.Trial.Target.Kind; kind != "child" && kind != "inprocess" {
		return
	}
	tr.run.Trial.Promise = knobValue(tr.s.Broker, "sync.policy")
	tr.run.Trial.Validation = knobValue(tr.s.Broker, "validate.depth")
}

func (tr *trial) note(format string, args ...any) {
	tr.noting.Lock()
	defer tr.noting.Unlock()
	tr.run.Trial.Notes = append(tr.run.Trial.Notes, fmt.Sprintf(format, args...))
}

// phase is called as phase i begins, and once more when the last has ended.
func (tr *trial) phase(ctx context.Context, i int) {
	tr.follow()
	m := mark{host: readMachine()}
	m.self, _ = tr.self.read()
	if tr.target != nil {
		m.pid = tr.target.pid
		if m.target, m.seen = tr.target.read(); m.seen {
			tr.target.readRuntime(context.WithoutCancel(ctx), &m.target) // its client bounds it
			tr.target.resetPeak()
		}
	}
	if i > 0 {
		tr.prof.phaseEnded(ctx, tr.s.Phases[i-1])
	}
	for len(tr.marks) < i { // a phase that was skipped
		tr.marks = append(tr.marks, m)
	}
	tr.marks = append(tr.marks, m)
	if i == 0 {
		tr.lastTarget, tr.lastSelf = m.target, m.self
	}
	if i < len(tr.s.Phases) {
		tr.prof.phaseBegan(ctx, tr.s.Phases[i])
	}
	tr.show.phase(i)
}

// follow turns to the process that has taken the target's place.
func (tr *trial) follow() {
	if next := tr.next.Swap(nil); next != nil {
		tr.target = next
		tr.lastTarget, _ = next.read()
	}
}

// sample takes about one second of the run.
func (tr *trial) sample(s load.Sample) {
	tr.follow()
	secs := s.Len.Seconds()
	if secs <= 0 {
		return
	}
	each := func(n int64) float64 { return float64(n) / secs }
	m := readMachine()
	out := results.Sample{
		T: (s.Start + s.Len).Seconds(), Phase: phaseName(tr.s, s.Phase),
		Sent: each(s.Sent.Records), Acked: each(s.Acked.Records), Consumed: each(s.Consumed.Records),
		AckedB: each(s.Acked.Bytes), Errors: s.Errors, Lag: s.Lag, Steal: s.Usage.Steal,
		PageCacheB: m.pageCache, DirtyB: m.dirty,
	}
	if s.Phase < len(tr.s.Phases) {
		out.Scheduled = tr.s.scheduledOver(s.Phase, s.Start, s.Start+s.Len)
	}
	out.AckP50Ns, out.AckP99Ns = percentiles(s.Latency[load.Ack])
	out.E2EP50Ns, out.E2EP99Ns = percentiles(s.Latency[load.EndToEnd])
	if tr.target != nil {
		if now, ok := tr.target.read(); ok {
			out.Target = usage(now, tr.lastTarget, s.Len)
			tr.lastTarget = now
		}
	}
	if now, ok := tr.self.read(); ok {
		out.Generator = usage(now, tr.lastSelf, s.Len)
		gcs := each(s.Usage.GCs)
		out.Generator.GCs = &gcs
		tr.lastSelf = now
	}
	if len(tr.o.Agents) > 0 {
		gcs := each(s.Usage.GCs)
		out.Generator = &results.Usage{Cores: s.Usage.CPU.Seconds() / secs, RSSBytes: s.Usage.RSS, GCs: &gcs}
	}
	tr.samples = append(tr.samples, out)
	tr.show.sample(s, out)
}

func phaseName(s *Scenario, i int) string {
	if i < len(s.Phases) {
		return s.Phases[i].Name
	}
	return "end"
}

func percentiles(h *load.Histogram) (p50, p99 int64) {
	if h == nil || h.HDR() == nil || h.HDR().TotalCount() == 0 {
		return 0, 0
	}
	return h.HDR().ValueAtQuantile(50), h.HDR().ValueAtQuantile(99)
}

func usage(now, before spent, length time.Duration) *results.Usage {
	secs := length.Seconds()
	rate := func(a, b int64) float64 { return float64(max(a-b, 0)) / secs }
	return &results.Usage{
		Cores: (now.cpu - before.cpu).Seconds() / secs, RSSBytes: now.rss,
		DiskB: rate(now.diskBytes, before.diskBytes), Syscalls: rate(now.syscalls, before.syscalls),
		Ctx: rate(now.ctxVol+now.ctxInvol, before.ctxVol+before.ctxInvol),
	}
}

// knobValue is the value a broker of ours has for the knob.
func knobValue(set map[string]string, name string) string {
	if v, ok := set[name]; ok {
		return v
	}
	return knobDefault(name)
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return results.FormatCount(float64(n)) + " " + noun + "s"
}
