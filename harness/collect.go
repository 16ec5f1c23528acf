package harness

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"

	"millrace/harness/load"
	"millrace/results"
)

// collect turns what the load generator measured into the trial's figures.
func (tr *trial) collect(res *load.Result, spec load.Spec) {
	t := &tr.run.Trial
	var steady []load.PhaseResult
	for i, p := range res.Phases {
		out := tr.phaseFigures(i, p)
		t.Phases = append(t.Phases, out)
		if p.Phase.Kind == load.Steady {
			steady = append(steady, p)
			t.Steady = together(t.Steady, out)
		}
		for m := range results.Histograms {
			h := p.Latency[m]
			if h == nil || h.HDR() == nil || h.HDR().TotalCount() == 0 {
				continue
			}
			tr.histograms = append(tr.histograms, results.Tagged{
				Histogram: results.Histograms[m], Phase: out.Name, Start: p.Start, Len: p.Len, H: h.HDR()})
		}
	}
	if len(steady) > 1 {
		t.Steady.Latency = mergedLatency(steady)
	}
	if t.Steady.Latency == nil {
		t.Steady.Latency = map[string]results.Quantiles{}
	}
	late := int64(0)
	for _, p := range steady {
		late += p.Late
	}
	if t.Steady.Sent.Records > 0 {
		t.Audit.LateShare = float64(late) / float64(t.Steady.Sent.Records)
	}
	if res.Drained && spec.Consumers.Groups > 0 {
		s := res.DrainTime.Seconds()
		t.DrainS = &s
	}
	t.Ledger = ledgerOf(res)
	for _, e := range res.Events {
		t.Events = append(t.Events, results.Event{AtS: e.At.Seconds(), What: e.What})
	}
	for _, c := range res.Complaints {
		tr.note("%s", complaintText(c))
	}
	for _, c := range res.CatchUps {
		t.CatchUps = append(t.CatchUps, results.CatchUp{Group: c.Group, Backlog: c.Backlog, TookS: c.Took.Seconds()})
	}
	for _, g := range res.Gaps {
		t.UnavailableS = max(t.UnavailableS, (g.To - g.From).Seconds())
	}
	t.Roofline = tr.roofline()
	if t.Target.Kind == "sink" {
		t.Ledger.Reason = "a sink keeps nothing"
	}
	tr.remarks(res, spec)
}

// remarks says what a reader of the figures must know.
func (tr *trial) remarks(res *load.Result, spec load.Spec) {
	t := &tr.run.Trial
	if t.Target.Kind == "inprocess" && len(tr.o.Agents) == 0 {
		tr.note("target and generator share a process: costs are of both together")
	} else if t.Steady.Target == nil && len(t.Faults) > 0 && tr.s.harmful() {
		tr.note("the target was started again in a steady phase: no costs per record of it")
	} else if t.Steady.Target == nil && tr.target != nil {
		tr.note("the target was gone before its costs could be read")
	} else if t.Steady.Target == nil {
		tr.note("the target's process cannot be seen from here: no costs per record")
	} else if t.Steady.Target.Allocs == nil {
		tr.note("the target shows no Go runtime figures: no allocations per record")
	}
	if v := res.Values; v.Pool > 0 {
		size := fmt.Sprintf("values: %s different ones, %s on average, %.1f:1 in lz4 blocks of 64 KiB",
			results.FormatCount(float64(v.Pool)), results.FormatBytes(v.MeanBytes), v.Ratio)
		if v.Overhead > 0 {
			size += fmt.Sprintf("; the ledger adds a header of %d B to each record", v.Overhead)
		}
		tr.note("%s", size)
		if v.Cut > 0 {
			tr.note("%s of the payload file were cut at 1 MiB", plural(v.Cut, "line"))
		}
	}
	for _, e := range res.Events {
		tr.note("at %s: %s", results.FormatSpan(e.At), e.What)
	}
	if c := tr.s.Payload.Compressibility; tr.s.Payload.Generator == "random" && res.Values.Pool > 0 {
		if r := res.Values.Ratio; r < c*(1-ratioSlack) || r > c*(1+ratioSlack) {
			tr.note("the values were to compress %.3g:1 and lz4 makes %.3g:1 of them", c, r)
		}
	}
	if n := res.Ledger.Failed; n > 0 && tr.s.Producers.Acks != "0" {
		tr.note("sent and not acknowledged: %s, refused, given up, or unanswered when the drain ended", plural(n, "record"))
	}
	if n := res.Ledger.Foreign; n > 0 {
		tr.note("%s in the topics that are not of this run: somebody else writes there, and the figures are of both", plural(n, "record"))
	}
	if res.Unsent > 0 {
		tr.note("due and not handed over before the drain ended: %s", plural(res.Unsent, "record"))
	}
	if spec.Consumers.Groups > 0 && !res.Drained {
		tr.note("not every group saw every record before the drain ended")
	}
	if fs := tr.run.Env.FileSystem.Type; fs == "tmpfs" && t.Target.PID > 0 && t.Target.Kind != "external" {
		tr.note("the data lay on tmpfs: nothing reached a disk")
	}
	var out int64
	for _, q := range t.Steady.Latency {
		out += q.OutOfRange
	}
	if out > 0 {
		tr.note("%s beyond the histograms' range, counted as its end", plural(out, "latency value"))
	}
	if t.Audit.LateShare > lateShareLimit && tr.s.scheduled() {
		tr.note("the generator handed over %.1f %% of the records more than a millisecond late by its own fault, as where it must wait for a CPU: the latencies hold that too",
			t.Audit.LateShare*100)
	}
	if t.Steady.Steal > stealLimit {
		tr.note("the hypervisor withheld %.1f %% of the CPU time", t.Steady.Steal*100)
	}
	if o := t.Steady.Others; o != nil && *o > othersLimit {
		tr.note("other processes took %.0f %% of the machine's CPU time", *o*100)
	}
}

// ratioSlack is how far the values' ratio may be from the one that was asked for.
const ratioSlack = 0.15

func (tr *trial) phaseFigures(i int, p load.PhaseResult) results.Phase {
	secs := p.Len.Seconds()
	out := results.Phase{
		Name: tr.s.Phases[i].Name, Kind: p.Phase.Kind.String(), StartS: p.Start.Seconds(), LenS: secs,
		ScheduledRate: tr.s.Phases[i].records() / tr.s.Phases[i].Len.Seconds(), Sent: flow(p.Sent, secs), Acked: flow(p.Acked, secs), Consumed: flow(p.Consumed, secs),
		Errors: p.Errors, LagMax: p.LagMax, Latency: map[string]results.Quantiles{}, Steal: p.Usage.Steal,
	}
	if tr.s.Consumers.Groups == 0 {
		out.LagMax = 0 // nobody was meant to keep up
	}
	for m, name := range results.Histograms {
		if h := p.Latency[m]; h != nil && h.HDR() != nil {
			out.Latency[name] = results.QuantilesOf(h.HDR(), h.OutOfRange())
		}
	}
	if i+1 >= len(tr.marks) {
		return out
	}
	from, to := tr.marks[i], tr.marks[i+1]
	if from.seen && to.seen && from.pid == to.pid {
		out.Target = to.target.cost(from.target, p.Len, costed(out))
	}
	out.Generator = to.self.cost(from.self, p.Len, costed(out))
	agents := len(tr.o.Agents) > 0
	if all := to.host.all - from.host.all; all > 0 && (out.Target != nil || tr.run.Trial.Target.Kind == "inprocess") {
		ours := to.self.cpu - from.self.cpu
		if agents && tr.here() {
			ours += p.Usage.CPU
		}
		if out.Target != nil {
			ours += to.target.cpu - from.target.cpu
		}
		out.Others = val(max(0, float64(to.host.busy-from.host.busy-ours)/float64(all)))
	}
	if agents {
		out.Generator = agentCost(p, costed(out))
		return out
	}
	g, pause := out.Generator, p.Usage.GCPause.Seconds()
	g.Allocs, g.AllocB, g.GCPauseS = &p.Usage.Allocs, &p.Usage.AllocB, &pause
	perRecord(g, costed(out))
	return out
}

// costed is the records by which a phase's costs are divided.
func costed(p results.Phase) int64 {
	if p.Consumed.Records > results.CatchingUp*p.Acked.Records {
		return p.Consumed.Records
	}
	return p.Acked.Records
}

func flow(c load.Count, secs float64) results.Flow {
	f := results.Flow{Records: c.Records, Bytes: c.Bytes}
	if secs > 0 {
		f.Rate, f.ByteRate = float64(c.Records)/secs, float64(c.Bytes)/secs
	}
	return f
}

// together adds a further steady phase to those before. Latencies are merged
// elsewhere, from the histograms.
func together(a, b results.Phase) results.Phase {
	if a.Kind == "" {
		return b
	}
	out := a
	out.Name = "steady phases"
	out.LenS = a.LenS + b.LenS
	sum := func(x, y results.Flow) results.Flow {
		return flow(load.Count{Records: x.Records + y.Records, Bytes: x.Bytes + y.Bytes}, out.LenS)
	}
	weigh := func(x, y float64) float64 { return (x*a.LenS + y*b.LenS) / out.LenS }
	out.Sent, out.Acked, out.Consumed = sum(a.Sent, b.Sent), sum(a.Acked, b.Acked), sum(a.Consumed, b.Consumed)
	out.ScheduledRate, out.Steal = weigh(a.ScheduledRate, b.ScheduledRate), weigh(a.Steal, b.Steal)
	if a.ScheduledRate == 0 || b.ScheduledRate == 0 {
		out.ScheduledRate = 0 // one of them was a closed loop
	}
	if a.Others != nil && b.Others != nil {
		out.Others = val(weigh(*a.Others, *b.Others))
	}
	out.Errors, out.LagMax = a.Errors+b.Errors, max(a.LagMax, b.LagMax)
	for _, c := range []struct{ to, a, b **results.Cost }{{&out.Target, &a.Target, &b.Target}, {&out.Generator, &a.Generator, &b.Generator}} {
		if *c.to = addCost(*c.a, *c.b); *c.to != nil {
			(*c.to).Cores = (*c.to).CPUS / out.LenS
			perRecord(*c.to, costed(out))
		}
	}
	return out
}

func mergedLatency(phases []load.PhaseResult) map[string]results.Quantiles {
	out := map[string]results.Quantiles{}
	for m, name := range results.Histograms {
		var sum *hdrhistogram.Histogram
		var outOfRange int64
		for _, p := range phases {
			h := p.Latency[m]
			if h == nil || h.HDR() == nil {
				continue
			}
			outOfRange += h.OutOfRange()
			if sum == nil {
				sum = h.HDR().Clone()
			} else if dropped := sum.Merge(h.HDR()); dropped > 0 {
				panic(fmt.Sprintf("BUG: histograms of different ranges: %d values lost", dropped))
			}
		}
		if sum != nil {
			out[name] = results.QuantilesOf(sum, outOfRange)
		}
	}
	return out
}

func ledgerOf(res *load.Result) results.Ledger {
	r := res.Ledger
	l := results.Ledger{
		Checked: r.Checked, Acknowledged: r.Acknowledged, ReadBack: r.Seen,
		Lost: r.Lost, Duplicated: r.Duplicated, Reordered: r.Reordered, Corrupt: r.Corrupt, Misplaced: r.Misplaced,
		Unacked: r.Unacked, Unchecked: r.Unchecked, Aborted: r.Aborted, AbortedSeen: r.AbortedSeen,
		Redelivered: r.Redelivered, Verified: r.Verified,
	}
	switch {
	case !r.Checked && r.Acknowledged == 0:
		l.Reason = "nothing was acknowledged"
	case !r.Checked:
		l.Reason = "no reader was handed one of them"
	case r.Unchecked > 0:
		l.Reason = "reading back ended early"
	}
	for _, e := range r.Examples {
		l.Examples = append(l.Examples, exampleText(e))
	}
	return l
}

// exampleText says where a violation was seen, and of which record.
func exampleText(e load.Example) string {
	at := fmt.Sprintf("%s: %s-%d", e.Kind, e.Topic, e.Partition)
	if e.Offset >= 0 {
		at += fmt.Sprintf(" offset %d", e.Offset)
	}
	if e.Kind == "misplaced" && e.Sequence < 0 {
		return at + fmt.Sprintf(", some records of producer %d: acknowledged at other offsets than they were read at", e.Producer)
	}
	if e.Kind == "lost" && e.Producer < 0 {
		return at + " on: acknowledged and read, and no longer in the log"
	}
	who := fmt.Sprintf("group %d", e.Group)
	if e.Group < 0 {
		who = "read again at the end"
	}
	switch {
	case e.Why != "":
		return fmt.Sprintf("%s, %s: %s", at, who, e.Why)
	case e.Producer < 0:
		return fmt.Sprintf("%s, %s: whose record it was cannot be told", at, who)
	}
	return fmt.Sprintf("%s, record %d of producer %d, %s", at, e.Sequence, e.Producer, who)
}

// complaintText says what went wrong for the generator's clients, and how often.
func complaintText(c load.Complaint) string {
	text := c.What + ": " + c.Error
	if c.Count > 1 {
		text += fmt.Sprintf(" (%s times)", results.FormatCount(float64(c.Count)))
	}
	return text
}
