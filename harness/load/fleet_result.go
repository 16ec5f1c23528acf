package load

import (
	"context"
	"time"
)

func (f *fleet) parts() (list []AgentResult) {
	for _, c := range f.crew {
		list = append(list, c.AgentResult)
	}
	return list
}

// result puts the parts together, reads what is left to be read, and judges.
func (f *fleet) result() *Result {
	r := f.r
	res := &Result{Started: r.start, Stopped: f.stopped && f.err == nil, Values: r.pool.stats()}
	res.Values.Overhead = r.client.overhead()
	whole := f.all(func(c *crewman) bool { return c.Result != nil && c.Err == nil })
	res.Phases = f.phases()
	for _, c := range f.crew {
		if c.Result != nil {
			res.Unsent += c.Result.Unsent
			for _, said := range c.Result.Complaints {
				res.Complaints = addComplaint(res.Complaints, said)
			}
		}
	}
	res.Gaps = f.gaps()
	res.Drained = whole && f.seenAll && !f.stopped && res.Unsent == 0
	res.DrainTime = time.Duration(max(0, f.at-f.drainBegin()))
	if !whole {
		// What one of them acknowledged or read is not known: nothing can be judged.
		for _, c := range f.crew {
			if c.Result != nil {
				res.Ledger.Sent += total(c.streams, func(s streamSnapshot) int64 { return s.Next })
				res.Ledger.Acknowledged += total(c.streams, acknowledged)
			}
		}
		res.Ledger.Unchecked = res.Ledger.Acknowledged
		return res
	}
	res.Ledger = f.judge()
	return res
}

func total(list []streamSnapshot, of func(streamSnapshot) int64) (n int64) {
	for _, s := range list {
		n += of(s)
	}
	return n
}

func acknowledged(s streamSnapshot) int64 {
	set, err := s.Acked.set()
	if err != nil {
		return 0
	}
	return set.n + set.refused
}

func (f *fleet) drainBegin() int64 {
	at := f.r.rec.starts[len(f.r.phases)-1]
	if f.cut > 0 {
		at = min(at, f.cut)
	}
	return at
}

// judge is the ledger of all parts.
func (f *fleet) judge() LedgerReport {
	r := f.r
	r.beginReading()
	for _, c := range f.crew {
		for _, err := range []error{r.ledger.addStreams(c.streams), r.ledger.addReadings(c.readings)} {
			if err != nil {
				c.Err = err
				f.err = err
				return LedgerReport{}
			}
		}
	}
	// The drain's context may have ended; what is read now is bounded by a time of
	// its own: as long as the run was.
	r.hard, r.stopHard = context.WithTimeout(context.Background(), time.Duration(r.rec.starts[len(r.phases)-1])+r.phases[len(r.phases)-1].Len)
	defer r.stopHard()
	groups := r.spec.Consumers.Groups
	switch {
	case f.stopped:
	case groups == 0 && len(r.ledger.readings) > 0:
		r.readBack.Store(true)
		back := &crew{r: r}
		r.complain("consume", r.dealOut(back, 1, false))
		r.awaitConsumers()
		back.stop()
	case groups > 0 && (r.spec.Consumers.grouped() || r.spec.Verify != nil && r.spec.Verify()):
		r.verify()
	}
	if len(r.ledger.readings) == 0 {
		return r.ledger.report(nil)
	}
	ask, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	ends, err := r.ctl.ends(ask, r.sources)
	if err != nil {
		r.log.Warn("the ledger cannot be completed", "error", err)
	}
	if r.spec.Consumers.grouped() && !f.stopped {
		r.endGroups(groups)
	}
	return r.ledger.report(ends)
}

// phases adds up what the agents measured in each phase.
func (f *fleet) phases() (list []PhaseResult) {
	for k := range f.r.phases {
		var sum *PhaseResult
		var n time.Duration
		for _, c := range f.crew {
			if c.Result == nil {
				continue
			}
			for i, at := range c.index {
				if at == k {
					sum = sum.with(c.Result.Phases[i])
					n++
				}
			}
		}
		if sum != nil {
			sum.LagMax = f.lagMax[k]
			sum.Len /= n // the mean: their rates add up
			list = append(list, *sum)
		}
	}
	return list
}

// with adds what another agent measured in the same phase; p may be nil. Len
// becomes the sum of theirs, and no agent's own is changed.
func (p *PhaseResult) with(o PhaseResult) *PhaseResult {
	if p == nil {
		p = &PhaseResult{Phase: o.Phase, Start: o.Start}
	}
	p.Start, p.Len = min(p.Start, o.Start), p.Len+o.Len
	p.Scheduled += o.Scheduled
	p.Sent.add(o.Sent)
	p.Acked.add(o.Acked)
	p.Consumed.add(o.Consumed)
	p.WireBytes += o.WireBytes
	p.Errors += o.Errors
	p.Reconnects += o.Reconnects
	p.Late += o.Late
	p.Latency.merge(o.Latency)
	p.Usage = p.Usage.with(o.Usage)
	return p
}

// gaps are the stretches in which no agent that has producers was acknowledged
// anything. Each is told by its own agent's clock; they began on one word.
func (f *fleet) gaps() (list []Gap) {
	first := true
	for _, c := range f.crew {
		if c.Result == nil || c.Producers == 0 {
			continue
		}
		if first {
			list, first = c.Result.Gaps, false
			continue
		}
		list = common(list, c.Result.Gaps)
	}
	return list
}

// common is where two lists of gaps overlap by as much as makes a gap.
func common(a, b []Gap) (out []Gap) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if g := (Gap{max(a[i].From, b[j].From), min(a[i].To, b[j].To)}); g.To-g.From >= longGap {
			out = append(out, g)
		}
		if a[i].To < b[j].To {
			i++
		} else {
			j++
		}
	}
	return out
}
