package harness

import (
	"fmt"
	"math"
	"strings"

	"millrace/results"
)

// stealLimit is the share of CPU time taken by the hypervisor above which a
// missed goal says nothing about the target.
const stealLimit = 0.04

// othersLimit is the share of the machine's CPU time taken by processes that
// are neither target nor generator above which the same holds. The kernel's
// own threads, which work for both, stay well below it.
const othersLimit = 0.10

// ceilingShare is how near to its own ceiling a closed loop's client may come
// before the client, and not the target, may have been the limit.
const ceilingShare = 0.9

// lateShareLimit is the share of the records that a generator may hand over late
// by its own fault before that has to be said.
const lateShareLimit = 0.01

// tailSamples is how many values must lie above a percentile before it says
// more than chance.
const tailSamples = 10

// samplesFor is how many values a percentile needs.
func samplesFor(percent float64) float64 {
	return math.Ceil(tailSamples / (1 - percent/100) * (1 - 1e-12))
}

// judge says how a trial came out.
//
// The generator and the machine are on the target's side: latency counts from
// the intended start, so a late generator only ever makes figures worse. A goal
// that is met is met in spite of that. A goal that is missed is the target's
// fault only where the target was what was measured; otherwise it is INVALID.
func judge(s *Scenario, t *results.Trial, end ending) results.Verdict {
	whole := !end.interrupted && end.broken == "" && end.stopped == ""
	if whole { // of a run cut short nobody can say who was late
		audit(s, t)
	}
	v := results.Verdict{Answer: answer(s, t), Goals: []results.Goal{}}
	for _, g := range s.Goals {
		if t.Target.Kind == "sink" && strings.HasPrefix(g.Figure, "ledger.") {
			continue // nothing is kept that could be lost
		}
		goal := judgeGoal(g, s, t)
		switch {
		case !whole && goal.Outcome == results.Pass:
			goal.Outcome, goal.Reason = results.Inconclusive, "the run did not end as planned"
		case !whole && goal.Outcome == results.Invalid:
			goal.Outcome, goal.Reason = results.Fail, ""
		}
		v.Goals = append(v.Goals, goal)
		v.Outcome = results.Worst(v.Outcome, goal.Outcome)
	}
	if v.Outcome == "" {
		v.Outcome = results.Pass
	}
	switch l := t.Ledger; {
	case l.Violations() > 0:
		v.Outcome, v.Reason = results.Violation, "of the records acknowledged, "+violations(l)
	case end.interrupted:
		v.Outcome, v.Reason = results.Interrupted, "stopped before its end; what was measured is kept"
	case end.broken != "":
		v.Outcome, v.Reason = results.Fail, end.broken
	case end.stopped != "":
		v.Outcome, v.Reason = results.Fail, "stopped early: "+end.stopped
	case t.Steady.LenS == 0:
		v.Outcome, v.Reason = results.Inconclusive, "no steady phase was measured"
	case t.Target.Kind == "sink" && v.Outcome != results.Invalid: // nothing could be read back
	case !l.Checked && l.Acknowledged > 0 || l.Unchecked > 0:
		v.Outcome = results.Worst(v.Outcome, results.Inconclusive)
		v.Reason = fmt.Sprintf("%s could not be read back: %s", plural(max(l.Unchecked, l.Acknowledged-l.ReadBack), "acknowledged record"), l.Reason)
	case v.Outcome == results.Invalid:
		v.Reason = "the generator or the machine, not the target, may have been the limit"
	case s.scheduled() && t.Steady.Sent.Records == 0:
		v.Outcome, v.Reason = results.Invalid, "the generator sent nothing in the steady phase"
	}
	return v
}

// scheduled says that the steady phases follow a schedule.
func (s *Scenario) scheduled() bool { _, ok := meanRate(s.steady()); return ok }

// audit fills in whether the generator set the figures.
func audit(s *Scenario, t *results.Trial) {
	limit(s.scheduled(), &t.Steady, &t.Audit)
	auditAgents(s, t)
}

// limit says whether a generator set the figures of a phase, by its schedule or,
// in a closed loop, by its own ceiling.
func limit(scheduled bool, p *results.Phase, a *results.Audit) {
	switch {
	case scheduled && p.Sent.Rate < 0.99*p.ScheduledRate && a.LateShare > lateShareLimit:
		a.Limited = true
		a.Reason = fmt.Sprintf("it handed over %s of %s, %.1f %% of them late by its own fault",
			perSec.format(p.Sent.Rate), perSec.format(p.ScheduledRate), a.LateShare*100)
	case !scheduled && a.CeilingRate > 0 && p.Acked.Rate > ceilingShare*a.CeilingRate:
		a.Limited = true
		a.Reason = fmt.Sprintf("its own ceiling on this machine is about %s: the target may take more", perSec.format(a.CeilingRate))
	}
}

func judgeGoal(g Goal, s *Scenario, t *results.Trial) results.Goal {
	out := results.Goal{Expr: g.String()}
	p := &t.Steady
	if g.Phase != "" {
		p = phaseOf(t, g.Phase)
	}
	f, _ := lookup(g.Figure)
	if p != nil {
		out.Value = f.of(t, p)
	}
	set := func(o results.Outcome, format string, args ...any) results.Goal {
		out.Outcome, out.Reason = o, fmt.Sprintf(format, args...)
		return out
	}
	if out.Value == nil {
		out.Shown = "–"
		return set(results.Inconclusive, "not measured")
	}
	out.Shown = g.unit.format(*out.Value)
	if percent := g.percent(); percent > 0 {
		n := float64(p.Latency[g.histogram()].Count)
		if need := samplesFor(percent); n < need {
			return set(results.Inconclusive, "%s are too few to tell p%v (%s are needed)",
				plural(int64(n), "value"), percent, results.FormatCount(need))
		}
	}
	if strings.Contains(g.Figure, "throughput") && !strings.HasPrefix(g.Figure, "catchup.") && p.LenS < 1 {
		return set(results.Inconclusive, "less than a second was measured")
	}
	if g.holds(*out.Value) {
		return set(results.Pass, "")
	}
	if why := excuse(g, s, t, p, *out.Value); why != "" {
		return set(results.Invalid, "%s", why)
	}
	return set(results.Fail, "")
}

// excuse says why a missed goal may not be the target's fault; "": it is.
func excuse(g Goal, s *Scenario, t *results.Trial, p *results.Phase, v float64) string {
	if strings.HasPrefix(g.Figure, "ledger.") || g.Figure == "errors" || g.Figure == "rss.max" {
		return "" // no lack of time makes a record vanish
	}
	if p.Steal > stealLimit {
		return fmt.Sprintf("the hypervisor withheld %.1f %% of the CPU time", p.Steal*100)
	}
	if p.Others != nil && *p.Others > othersLimit {
		return fmt.Sprintf("other processes took %.0f %% of the machine's CPU time", *p.Others*100)
	}
	a := t.Audit
	if strings.HasPrefix(g.Figure, "throughput") && (g.Op == ">=" || g.Op == ">") && a.Limited {
		return "the generator was the limit: " + a.Reason
	}
	// Latency: enough records were late by the generator's own fault to make
	// the percentile, their lateness is most of what is over the limit, and the
	// target alone (from the actual send on) would have met the goal.
	percent := g.percent()
	if percent == 0 || (g.histogram() != results.Ack && g.histogram() != results.EndToEnd) || a.LateShare <= 1-percent/100 {
		return ""
	}
	lag, service := p.Latency[results.ScheduleLag], p.Latency[results.Service]
	late := quantile(&lag, percent)
	if *late < (v-g.Limit)/2 {
		return ""
	}
	if alone := quantile(&service, percent); g.histogram() == results.Ack && service.Count > 0 && !g.holds(*alone) {
		return ""
	}
	return fmt.Sprintf("the generator itself was late with %.1f %% of the records (schedule lag p%v %s)",
		a.LateShare*100, percent, results.FormatNs(*late))
}

func phaseOf(t *results.Trial, name string) *results.Phase {
	for i := range t.Phases {
		if t.Phases[i].Name == name {
			return &t.Phases[i]
		}
	}
	return nil
}

func violations(l results.Ledger) string {
	var parts []string
	for _, c := range []struct {
		n    int64
		what string
	}{{l.Lost, "lost"}, {l.Duplicated, "doubled"}, {l.Reordered, "out of order"}, {l.Corrupt, "damaged"}, {l.AbortedSeen, "of aborted transactions and seen"}} {
		if c.n > 0 {
			verb := "were"
			if c.n == 1 {
				verb = "was"
			}
			parts = append(parts, fmt.Sprintf("%s %s %s", results.FormatCount(float64(c.n)), verb, c.what))
		}
	}
	if n := l.Misplaced; n > 0 {
		parts = append(parts, fmt.Sprintf("those of %s were acknowledged at wrong offsets", plural(n, "stream")))
	}
	return strings.Join(parts, ", ")
}

// answer says in a sentence what the run found.
func answer(s *Scenario, t *results.Trial) string {
	p := t.Steady
	if p.LenS == 0 || p.Acked.Records == 0 && p.Sent.Records == 0 {
		return "Nothing was measured."
	}
	flow, verb := p.Acked, "acknowledged"
	if s.Producers.Acks == "0" {
		flow, verb = p.Sent, "was sent (unacknowledged)"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s records/s (%s/s)", subject(t.Target), verb, results.FormatCount(flow.Rate), results.FormatBytes(flow.ByteRate))
	if s.scheduled() {
		fmt.Fprintf(&b, " of %s scheduled", results.FormatCount(p.ScheduledRate))
	} else {
		b.WriteString(" in a closed loop")
		if n := s.Producers.Buffered; n > 0 && s.Client == "kgo" {
			fmt.Fprintf(&b, " of at most %s", plural(int64(n*s.Producers.Count), "record"))
		}
	}
	latency := func(name, as string) {
		if q := p.Latency[name]; q.Count > 0 {
			fmt.Fprintf(&b, ", %s p50 %s and p99 %s", as, results.FormatNs(float64(q.P50Ns)), results.FormatNs(float64(q.P99Ns)))
		}
	}
	latency(results.Ack, "ack")
	latency(results.EndToEnd, "end to end")
	if groups := s.Consumers.Groups; groups > 1 && p.Consumed.Records > 0 {
		fmt.Fprintf(&b, "; %d groups together read %s records/s", groups, results.FormatCount(p.Consumed.Rate))
	}
	if c := p.Target; c != nil && p.Acked.Records > 0 {
		fmt.Fprintf(&b, "; its CPU cost is %s per record", results.FormatNs(c.PerRecord.CPUNs))
	}
	b.WriteByte('.')
	for _, f := range t.Faults {
		b.WriteString(faultSentence(f))
	}
	if n := len(t.CatchUps); n > 0 {
		c := t.CatchUps[n-1]
		fmt.Fprintf(&b, " Group %d caught up with %s in %s s (%s/s).", c.Group, plural(c.Backlog, "record"),
			results.FormatNumber(c.TookS), results.FormatCount(float64(c.Backlog)/c.TookS))
	}
	if t.Audit.Limited {
		b.WriteString(" The generator was the limit.")
	}
	return b.String()
}

func faultSentence(f results.Fault) string {
	text := fmt.Sprintf(" After %s at %s", f.Do, results.FormatSpan(fromSeconds(f.AtS)))
	switch {
	case f.Do == evictCache && f.UnavailableS == 0:
		return ""
	case f.UnavailableS == 0:
		return text + " nothing waited for 0.2 s."
	}
	text += fmt.Sprintf(" nothing was acknowledged for %s s", results.FormatNumber(f.UnavailableS))
	if f.FirstAckS != nil {
		text += fmt.Sprintf(", of which %s s after it was over", results.FormatNumber(*f.FirstAckS))
	}
	return text + "."
}

func subject(t results.TargetInfo) string {
	switch t.Kind {
	case "child", "inprocess":
		return "The broker"
	case "sink":
		return "The sink, which keeps nothing,"
	}
	return "The broker at " + t.Address
}
