package load

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// lastWords is how long agents may take from the end of everything to their
// results.
const lastWords = 15 * time.Second

// carryOut keeps the run's time from its start until every agent has handed its
// result in or failed.
func (f *fleet) carryOut(ctx context.Context) {
	r, last := f.r, len(f.r.phases)-1
	f.phase = -1
	ping := time.NewTicker(time.Second)
	defer ping.Stop()
	ended, curtailed := ctx.Done(), r.spec.Curtail
	var late <-chan time.Time
	end := func() { // of everything
		if late == nil {
			late = time.After(lastWords)
		}
	}
	var stopping bool
	stop := func() {
		stopping = true
		f.curtail(last)
		f.tell(doStop)
		ended, curtailed = nil, nil
		end()
	}
	for !f.all((*crewman).done) {
		select {
		case <-ended:
			f.stopped = true
			stop()
		case <-curtailed:
			f.curtail(last)
			f.tell(doCurtail)
			curtailed = nil
		case <-ping.C:
			f.tell(doPing)
		case <-late:
			for _, c := range f.crew {
				if !c.done() {
					f.take(heard{from: c, err: errLate})
				}
			}
		case <-time.After(f.untilNext(last)):
			f.advance(last, end)
		case all := <-f.drained:
			f.finish(all)
			end()
		case h := <-f.words:
			f.take(h)
			f.look()
			f.sample()
			if f.err == nil && h.from.Err != nil {
				f.err = h.from.Err
			}
			if f.err != nil && !stopping {
				stop()
			}
		}
		if f.drained == nil && f.all(func(c *crewman) bool { return c.flushed }) {
			f.drain()
		}
	}
	f.curtail(last)
	r.stopHard()
	f.waiting.Wait()
	if r.spec.OnPhase != nil {
		r.spec.OnPhase(len(r.phases))
	}
}

// errLate is for an agent that hands nothing in.
var errLate = fmt.Errorf("it handed in no result within %v of the end", lastWords)

// phaseEnd is when the present phase ends, ns; before the first, when that begins.
func (f *fleet) phaseEnd(last int) int64 {
	switch {
	case f.phase < 0:
		return 0
	case f.phase == last && f.cut > 0:
		return f.cut + int64(f.r.phases[last].Len)
	}
	return f.r.rec.starts[f.phase] + int64(f.r.phases[f.phase].Len)
}

func (f *fleet) untilNext(last int) time.Duration {
	if f.phase == last && f.r.hard.Err() != nil {
		return math.MaxInt64
	}
	return max(0, time.Duration(f.phaseEnd(last)-f.r.now()))
}

// advance enters the next phase, or ends the drain.
func (f *fleet) advance(last int, end func()) {
	if f.phase < last {
		f.enter(f.phase + 1)
		return
	}
	f.r.stopHard() // nobody waits for the readers any more
	f.tell(doFinish)
	end()
}

func (f *fleet) enter(phase int) {
	f.phase = phase
	if f.r.spec.OnPhase != nil {
		f.r.spec.OnPhase(phase)
	}
}

// curtail goes on to the drain.
func (f *fleet) curtail(last int) {
	if f.phase < last {
		f.cut = max(f.r.now(), 1)
		f.enter(last)
	}
}

// look works out the lag, and where the readers are.
func (f *fleet) look() {
	groups := f.r.spec.Consumers.Groups
	if groups == 0 {
		return
	}
	for f.lagOfTick(groups) {
	}
	for g, group := range f.r.ledger.readings {
		var fresh int64
		for _, c := range f.crew {
			if g < len(c.last.Fresh) {
				fresh += c.last.Fresh[g]
			}
		}
		for p, reading := range group {
			reading.mu.Lock()
			for _, c := range f.crew {
				if g < len(c.last.Next) && p < len(c.last.Next[g]) {
					reading.next = max(reading.next, c.last.Next[g][p])
				}
			}
			if p == 0 { // only their sum is known, and only that is asked for
				reading.fresh = fresh
			}
			reading.mu.Unlock()
		}
	}
}

// lagOfTick takes the oldest moment of which every agent has told; false: there
// is none. Each agent says what was acknowledged and seen at the same moments of
// the run, by its own clock: they differ by as much as the word to begin took.
func (f *fleet) lagOfTick(groups int) bool {
	latest := int64(0)
	for _, c := range f.crew {
		if len(c.ticks) == 0 {
			return false
		}
		latest = max(latest, c.ticks[0].Tick)
	}
	var acked int64
	fresh := make([]int64, groups)
	for _, c := range f.crew {
		for len(c.ticks) > 0 && c.ticks[0].Tick < latest { // a pulse left out elsewhere
			c.ticks = c.ticks[1:]
		}
		if len(c.ticks) == 0 || c.ticks[0].Tick > latest {
			return false
		}
	}
	for _, c := range f.crew {
		acked += c.ticks[0].Acked
		for g, n := range c.ticks[0].Fresh {
			if g < groups {
				fresh[g] += n
			}
		}
		c.ticks = c.ticks[1:]
	}
	f.lag = max(0, acked-slices.Min(fresh))
	if f.phase >= 0 {
		f.lagMax[f.phase] = max(f.lagMax[f.phase], f.lag)
	}
	return true
}

// drain waits for the readers, where there are any.
func (f *fleet) drain() {
	f.drained = make(chan bool, 1)
	if f.at = f.r.now(); f.r.spec.Consumers.Groups == 0 {
		f.drained <- true
		return
	}
	f.waiting.Go(func() { f.drained <- f.r.awaitConsumers() })
}

// finish ends the agents' part.
func (f *fleet) finish(all bool) {
	f.seenAll = all
	if f.r.spec.Consumers.Groups > 0 {
		f.at = f.r.now()
	}
	f.tell(doFinish)
}

// sample tells of a second once every agent has told of it, or of one after it.
// Agents cut their samples at the whole seconds of each phase, so that those that
// begin within the same second belong together.
func (f *fleet) sample() {
	if f.r.spec.OnSample == nil {
		clearSamples(f.crew)
		return
	}
	for {
		first := int64(math.MaxInt64)
		for _, c := range f.crew {
			switch {
			case len(c.samples) > 0:
				first = min(first, f.second(c.samples[0]))
			case !c.done():
				return
			}
		}
		if first == math.MaxInt64 {
			return
		}
		var sum *Sample
		for _, c := range f.crew {
			if len(c.samples) > 0 && f.second(c.samples[0]) == first {
				sum = sum.with(c.samples[0])
				c.samples = c.samples[1:]
			}
		}
		sum.Lag = f.lag
		f.r.spec.OnSample(*sum)
	}
}

func clearSamples(crew []*crewman) {
	for _, c := range crew {
		c.samples = nil
	}
}

// second is which second of which phase a sample is of, in an order of time.
func (f *fleet) second(s Sample) int64 {
	mid := int64(s.Start+s.Len/2) - f.r.rec.starts[s.Phase]
	return int64(s.Phase)<<40 | max(mid, 0)/int64(time.Second)
}

// with adds an agent's sample of the same second; s may be nil.
func (s *Sample) with(o Sample) *Sample {
	if s == nil {
		return &o
	}
	s.Len = max(s.Start+s.Len, o.Start+o.Len)
	s.Start = min(s.Start, o.Start)
	s.Len -= s.Start
	s.Sent.add(o.Sent)
	s.Acked.add(o.Acked)
	s.Consumed.add(o.Consumed)
	s.Errors += o.Errors
	s.InFlight += o.InFlight
	s.Latency.merge(o.Latency)
	s.Usage = s.Usage.with(o.Usage)
	return s
}

// merge adds what other histograms hold.
func (l *Latency) merge(o Latency) {
	for m := range l {
		if l[m] == nil {
			l[m] = NewHistogram()
		}
		l[m].Merge(o[m])
	}
}

// with adds what another process spent in the same time; the steal is that of
// the machine which had most of it.
func (u Usage) with(o Usage) Usage {
	u.CPU += o.CPU
	u.GCPause += o.GCPause
	u.GCs += o.GCs
	u.Allocs += o.Allocs
	u.AllocB += o.AllocB
	u.RSS += o.RSS
	u.Steal = max(u.Steal, o.Steal)
	return u
}
