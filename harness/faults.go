package harness

import (
	"time"

	"millrace/harness/load"
	"millrace/results"
)

// suits says whether the target can suffer what the timeline has for it.
func suits(t target, o *RunOptions) error {
	if _, ok := t.(victim); ok {
		return nil
	}
	for _, h := range o.Scenario.Timeline {
		if h.ofTarget() || h.Cold == "true" {
			return &Faults{[]string{"target " + o.Target + ": the timeline wants to " + h.Do +
				" it, which can be done only to a process that the lab starts: child or command:FILE"}}
		}
	}
	return nil
}

// verification is when everything is read once more at the end.
func (tr *trial) verification(a *attendant) func() bool {
	switch tr.s.Verify {
	case "off":
		return nil
	case "full":
		return func() bool { return true }
	}
	// Whether it died is read from the load's own goroutine while the attendant
	// is at work; that it is another process than at first says as much.
	pid := tr.run.Trial.Target.PID
	return func() bool {
		return tr.s.discards() || pid > 0 && (tr.s.harmful() || isClosed(a.deceased))
	}
}

// harmful says that the timeline may make the target forget something.
func (s *Scenario) harmful() bool {
	for _, h := range s.Timeline {
		if h.Do == killTarget || h.Do == fullDisk || h.Do == stopTarget {
			return true
		}
	}
	return false
}

// discards says that what consumers read, they do not check.
func (s *Scenario) discards() bool { return s.Consumers.Discard == "true" }

// withGaps tells each fault what it cost: the gap in the acknowledgements that
// began before it was over and ended after it had begun.
func withGaps(suffered []ordeal, res *load.Result) (faults []results.Fault) {
	for _, o := range suffered {
		at, over := o.at.Sub(res.Started), o.over.Sub(res.Started)
		f := results.Fault{Do: o.do, AtS: at.Seconds(), OverS: over.Seconds()}
		for _, g := range res.Gaps {
			if g.To < at || g.From > over {
				continue
			}
			f.UnavailableS = max(f.UnavailableS, (g.To - g.From).Seconds())
			if after := (g.To - over).Seconds(); after > 0 {
				f.FirstAckS = &after
			}
		}
		faults = append(faults, f)
	}
	return faults
}

func fromSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
