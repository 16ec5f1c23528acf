package load

import (
	"context"
	"math"
	"time"
)

// watch keeps the time of a run: it enters the phases, collects what was
// recorded, tells whoever asked, and ends the run when it must end. All of it
// happens on one goroutine.
type watch struct {
	r       *run
	drivers []*driver
	meter   *meter
	tick    time.Duration
	err     error
	// draining is closed when the drain begins.
	draining chan struct{}

	phase   int
	begun   []PhaseResult
	entered spent // when the phase began
	sampled spent // when the last sample was taken
	from    int64 // ns at which the sample began
	due     int64 // ns at which it ends: a whole second of the phase
	stopped bool  // by ctx, or given up
	cut     int64 // ns at which the sending was ended early; 0: it was not

	acked   int64 // records acknowledged so far
	ackedAt int64 // ns at which that last grew, or nothing was waiting
	gaps    []Gap
}

func newWatch(r *run, drivers []*driver) *watch {
	w := &watch{r: r, drivers: drivers, meter: newMeter(), draining: make(chan struct{}), tick: time.Second / looks}
	switch {
	case len(r.parts)*len(drivers) > manyStreams:
		w.tick = time.Second
	case r.spec.Watchful:
		w.tick = watchfulTick
	}
	return w
}

// looks is how often a second the watch looks at what changes between samples,
// and with how many streams (producers × partitions) it is content with once.
const (
	looks        = 10
	manyStreams  = 1 << 12
	watchfulTick = 10 * time.Millisecond
)

// What counts as a gap, and how many of a run are kept.
const (
	longGap = 200 * time.Millisecond
	maxGaps = 1000
)

// run returns once over is closed.
func (w *watch) run(ctx context.Context, over <-chan struct{}) {
	time.Sleep(time.Until(w.r.start))
	w.sampled = w.meter.read()
	w.enter(0)
	last := len(w.r.phases) - 1
	for {
		end := w.end()
		select {
		case <-over:
			w.sample()
			w.leave()
			w.tell(len(w.r.phases))
			return
		case <-w.ended(ctx):
			w.stop(last)
			continue
		case <-w.curtailed():
			w.curtail(last)
			continue
		case <-time.After(w.sleep(end)):
		}
		now := w.r.now()
		w.look(now)
		if w.r.spec.GiveUp > 0 && now-w.ackedAt > int64(w.r.spec.GiveUp) && !w.stopped {
			w.err = ErrTargetGone
			w.stop(last)
			continue
		}
		switch {
		case now >= end && w.phase == last:
			if w.cut == 0 { // time is up
				w.cut = now
			}
			w.r.stopHard()
			<-over
			over = closed
		case now >= end:
			w.sample()
			w.leave()
			w.enter(w.phase + 1)
		case now >= w.due:
			w.sample()
		}
	}
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// ended is ctx.Done, once.
func (w *watch) ended(ctx context.Context) <-chan struct{} {
	if w.stopped {
		return nil
	}
	return ctx.Done()
}

// curtailed is Spec.Curtail, once.
func (w *watch) curtailed() <-chan struct{} {
	if w.stopped || w.cut > 0 {
		return nil
	}
	return w.r.spec.Curtail
}

// curtail ends the sending and goes on to the drain.
func (w *watch) curtail(drain int) {
	if w.cut == 0 {
		w.cut = w.r.now()
	}
	w.r.stopSoft()
	if w.phase != drain {
		w.sample()
		w.leave()
		w.enter(drain)
	}
}

// end is when the present phase ends; of a stopped run's drain, the grace
// decides.
func (w *watch) end() int64 {
	if w.stopped {
		return math.MaxInt64
	}
	from := w.r.rec.starts[w.phase]
	if w.cut > 0 {
		from = int64(w.begun[len(w.begun)-1].Start)
	}
	end := from + int64(w.r.phases[w.phase].Len)
	if w.r.readBack.Load() {
		// Reading back is no part of what is measured. It may take as long as
		// the sending did, and one drain more.
		end += w.r.rec.starts[len(w.r.phases)-1]
	}
	return end
}

// sleep is how long until there is something to do.
func (w *watch) sleep(end int64) time.Duration {
	at := min(end, w.due)
	return min(max(time.Duration(at-w.r.now()), 0), w.tick)
}

// stop ends the sending at once, and everything after the grace.
func (w *watch) stop(drain int) {
	w.stopped = true
	time.AfterFunc(grace, w.r.stopHard)
	w.curtail(drain)
}

// backlog is how many arrivals are due and not handed over.
func (w *watch) backlog(now int64) int64 {
	n := w.r.due(now)
	for _, d := range w.drivers {
		n -= d.handed.Load()
	}
	return max(n, 0)
}

// drainBegin is when the last phase that sends ended, or was to end.
func (w *watch) drainBegin() time.Duration {
	at := time.Duration(w.r.rec.starts[len(w.r.phases)-1])
	if w.cut > 0 {
		at = min(at, w.begun[len(w.begun)-1].Start)
	}
	return at
}

// lag is how far the slowest group is behind; 0 where there is none.
func (w *watch) lag() int64 {
	if w.r.spec.Consumers.Groups == 0 {
		return 0
	}
	return w.r.ledger.lag()
}

// look notes what a sample a second would miss.
func (w *watch) look(now int64) {
	ph := &w.begun[len(w.begun)-1]
	ph.LagMax = max(ph.LagMax, w.lag())
	acked := w.r.rec.acknowledged()
	kind := ph.Phase.Kind
	closedLoop := ph.Phase.Pacer == nil && kind.sends() && w.r.share(ph.Phase.active(w.r.spec.Producers.Count)) > 0
	waiting := closedLoop || w.r.ledger.open() > 0 || w.backlog(now) > 0
	if acked != w.acked || !waiting {
		w.gap(now)
		w.acked, w.ackedAt = acked, now
	}
}

// gap notes a stretch in which records waited and none was acknowledged.
func (w *watch) gap(now int64) {
	if now-w.ackedAt >= int64(longGap) && w.ackedAt > 0 && len(w.gaps) < maxGaps {
		w.gaps = append(w.gaps, Gap{time.Duration(w.ackedAt), time.Duration(now)})
	}
}

func (w *watch) enter(phase int) {
	w.phase = phase
	w.from = w.r.now()
	w.due = w.from + int64(time.Second)
	w.entered = w.sampled
	w.begun = append(w.begun, PhaseResult{Phase: w.r.phases[phase], Start: time.Duration(w.from)})
	w.tell(phase)
	if phase == len(w.r.phases)-1 {
		close(w.draining)
	}
}

func (w *watch) tell(phase int) {
	if w.r.spec.OnPhase != nil {
		w.r.spec.OnPhase(phase)
	}
}

// sample collects, and tells what came since the last sample.
func (w *watch) sample() {
	count, latency := w.r.rec.collect(w.phase)
	now := w.r.now()
	spent := w.meter.read()
	if w.r.spec.OnSample != nil {
		w.r.spec.OnSample(Sample{
			Start: time.Duration(w.from), Len: time.Duration(now - w.from), Phase: w.phase,
			Sent: count.sent, Acked: count.acked, Consumed: count.consumed, Errors: count.errors,
			Lag: w.lag(), InFlight: w.r.ledger.open(),
			Latency: latency, Usage: spent.since(w.sampled),
		})
	}
	w.sampled, w.from = spent, now
	w.due += (max(now-w.due, 0)/int64(time.Second) + 1) * int64(time.Second)
}

// leave closes the account of the phase.
func (w *watch) leave() {
	ph := &w.begun[len(w.begun)-1]
	ph.Len = time.Duration(w.from) - ph.Start
	c := w.r.rec.phase[w.phase]
	ph.Sent, ph.Acked, ph.Consumed = c.sent, c.acked, c.consumed
	ph.WireBytes, ph.Errors, ph.Reconnects, ph.Late = c.wire, c.errors, c.reconnects, c.late
	ph.Scheduled = w.r.scheduled(w.phase, w.from)
	if w.cut > 0 {
		ph.Scheduled = w.r.scheduled(w.phase, min(w.from, w.cut))
	}
	ph.Usage = w.sampled.since(w.entered)
}

// result is for when everything has ended.
func (w *watch) result() *Result {
	res := &Result{
		Started: w.r.start, Phases: w.begun, Stopped: w.stopped && w.err == nil,
		Values: w.r.pool.stats(), Gaps: w.gaps,
	}
	if w.cut > 0 {
		res.Unsent = w.backlog(w.cut)
	}
	w.r.rec.collect(w.phase) // what came after the last sample
	last := &res.Phases[len(res.Phases)-1]
	c := w.r.rec.phase[w.phase]
	last.Sent, last.Acked, last.Consumed, last.Errors = c.sent, c.acked, c.consumed, c.errors
	for i := range res.Phases {
		ph := &res.Phases[i]
		ph.Latency = w.r.rec.latency(w.indexOf(i))
		if ph.Phase.Pacer == nil {
			ph.Scheduled = ph.Latency[ScheduleLag].Count()
		}
	}
	res.Values.Overhead = w.r.client.overhead()
	return res
}

// indexOf is the phase of a result: all that began are in order, but a stopped
// run jumps to the drain.
func (w *watch) indexOf(i int) int {
	if i == len(w.begun)-1 {
		return w.phase
	}
	return i
}
