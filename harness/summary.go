package harness

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"millrace/results"
)

// width is what a terminal line holds.
const width = 80

// Summary writes a run for a person: the answer first, then the figures, at
// most 80 columns wide.
func Summary(w io.Writer, run *results.Run) {
	t, v := &run.Trial, &run.Verdict
	wrapped(w, "", t.Question)
	fmt.Fprintln(w)
	wrapped(w, "  ", v.Answer)
	fmt.Fprintln(w)
	ratesTable(w, t)
	latencyTable(w, &t.Steady)
	costsTable(w, t)
	agentLines(w, t)
	rooflineLines(w, t)
	ledgerLine(w, t.Ledger)
	for _, n := range t.Notes {
		bullet(w, "note: ", n)
	}
	fmt.Fprintln(w)
	for _, g := range v.Goals {
		fmt.Fprintf(w, "  %-13s %-38s %s\n", g.Outcome, g.Expr, g.Shown)
		if g.Reason != "" {
			wrapped(w, "                ", g.Reason)
		}
	}
	fmt.Fprintf(w, "\n  %s", v.Outcome)
	if v.Reason != "" {
		fmt.Fprintln(w)
		wrapped(w, "  ", v.Reason)
	} else {
		fmt.Fprintln(w)
	}
	for i, e := range t.Ledger.Examples {
		if i == 5 {
			break
		}
		bullet(w, "", e)
	}
	if run.Dir != "" {
		fmt.Fprintf(w, "\n%s\n", run.Dir)
	}
}

func ratesTable(w io.Writer, t *results.Trial) {
	fmt.Fprintf(w, "%-14s %8s %13s %13s %13s %11s\n", "phase", "seconds", "acked/s", "bytes/s", "consumed/s", "lag max")
	for _, p := range t.Phases {
		if p.Kind == Pause || p.Kind == Drain {
			continue // nothing is sent in them
		}
		fmt.Fprintf(w, "%-14s %8s %13s %13s %13s %11s\n", clip(p.Name, 14), results.FormatNumber(p.LenS), results.FormatCount(p.Acked.Rate),
			results.FormatBytes(p.Acked.ByteRate), orDash(p.Consumed.Records > 0, results.FormatCount(p.Consumed.Rate)), orDash(p.Consumed.Records > 0, results.FormatCount(float64(p.LagMax))))
	}
	if t.DrainS != nil {
		fmt.Fprintf(w, "%-14s %8s  until every group had seen every record\n", Drain, results.FormatNumber(*t.DrainS))
	}
	fmt.Fprintln(w)
}

// latencyNames is what the histograms are called for a person.
var latencyNames = map[string]string{
	results.ScheduleLag: "schedule lag", results.SendBlock: "send block", results.Ack: "ack",
	results.EndToEnd: "end to end", results.Service: "service time",
}

func latencyTable(w io.Writer, p *results.Phase) {
	fmt.Fprintf(w, "%-14s %10s %10s %10s %10s %10s %10s\n", "latency", "p50", "p90", "p99", "p99.9", "p99.99", "max")
	for _, name := range results.Histograms {
		q := p.Latency[name]
		if q.Count == 0 {
			continue
		}
		fmt.Fprintf(w, "%-14s", latencyNames[name])
		for _, c := range []struct {
			percent float64
			ns      int64
		}{{50, q.P50Ns}, {90, q.P90Ns}, {99, q.P99Ns}, {99.9, q.P999Ns}, {99.99, q.P9999Ns}, {0, q.MaxNs}} {
			// A percentile that rests on too few values is not shown.
			told := c.percent == 0 || float64(q.Count) >= samplesFor(c.percent)
			fmt.Fprintf(w, " %10s", orDash(told, results.FormatNs(float64(c.ns))))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
}

func costsTable(w io.Writer, t *results.Trial) {
	p, self := &t.Steady, "generator"
	if t.Target.Kind == "inprocess" {
		self = "both"
	}
	if p.Target == nil && p.Generator == nil {
		return
	}
	fmt.Fprintf(w, "%-14s %8s %7s %7s %8s %9s %8s %7s\n", "per record", "CPU", "allocs", "bytes", "syscalls", "switches", "to disk", "RSS")
	for _, row := range []struct {
		name string
		c    *results.Cost
	}{{"target", p.Target}, {self, p.Generator}} {
		if row.c == nil {
			continue
		}
		r := row.c.PerRecord
		fmt.Fprintf(w, "%-14s %8s %7s %7s %8s %9s %8s %7s\n", row.name, results.FormatNs(r.CPUNs), figureOf(r.Allocs), figureOf(r.AllocB),
			figureOf(r.Syscalls), figureOf(r.Ctx), figureOf(r.DiskBytes), strings.ReplaceAll(results.FormatBytes(float64(row.c.RSSMax)), "iB", ""))
	}
	fmt.Fprintln(w)
}

// agentLines is a line for each agent: its part of the steady phases, and what
// it took.
func agentLines(w io.Writer, t *results.Trial) {
	if len(t.Agents) == 0 {
		return
	}
	fmt.Fprintf(w, "%-26s %9s %7s %11s %11s %6s\n", "agent", "producers", "members", "acked/s", "consumed/s", "cores")
	for _, a := range t.Agents {
		fmt.Fprintf(w, "%-26s %9d %7d %11s %11s %6.2f\n", clip(a.Address, 26), a.Producers, a.Members,
			results.FormatCount(a.Acked.Rate), orDash(a.Consumed.Records > 0, results.FormatCount(a.Consumed.Rate)), a.Cores)
		if a.Error != "" {
			bullet(w, "", a.Error)
		}
	}
	fmt.Fprintln(w)
}

// rooflineLines says how near the run came to what the machine can do, and what
// the generator's own ceiling is.
func rooflineLines(w io.Writer, t *results.Trial) {
	if r := t.Roofline; r != nil {
		for _, b := range r.Paths {
			bullet(w, "roofline: ", fmt.Sprintf("%s %.2f GB/s; bare %s of %s: %.2f GB/s%s", b.Path, b.Rate/1e9,
				b.Bare.Name, results.FormatBytes(float64(b.Bare.Size)), b.Bare.Rate/1e9, shareOf(b.Share, r.Share > 0)))
		}
		if len(r.Paths) > 1 && r.Share > 0 {
			bullet(w, "roofline: ", fmt.Sprintf("together %.0f %% of what one core could do", 100*r.Share))
		}
		if r.CPUPerGB > 0 {
			bullet(w, "roofline: ", fmt.Sprintf("target %.2f CPU-s/GB; the bare loops %.2f", r.CPUPerGB, r.BareCPUPerGB))
		}
	}
	if a := t.Audit; a.CeilingBytes > 0 && t.Steady.ScheduledRate == 0 {
		where := "generator alone"
		if a.CeilingShared {
			where = "generator and sink together"
		}
		bullet(w, "ceiling: ", fmt.Sprintf("the generator reaches %s records/s (%.2f GB/s) against a sink, at %s a record (%s)",
			results.FormatCount(a.CeilingRate), a.CeilingBytes/1e9, results.FormatNs(a.CeilingCPUNs), where))
	}
}

func shareOf(share float64, alone bool) string {
	if !alone {
		return "" // of one core, and the target had more
	}
	return fmt.Sprintf(", %.0f %% of it", 100*share)
}

func ledgerLine(w io.Writer, l results.Ledger) {
	switch {
	case !l.Checked:
		bullet(w, "ledger: ", fmt.Sprintf("%s acknowledged, not checked: %s", plural(l.Acknowledged, "record"), l.Reason))
	default:
		text := fmt.Sprintf("%s acknowledged; %s", plural(l.Acknowledged, "record"), orWords(violations(l), "each read back, in order, whole"))
		if l.Unchecked > 0 {
			text = fmt.Sprintf("%s acknowledged; %s not checked: %s", plural(l.Acknowledged, "record"), results.FormatCount(float64(l.Unchecked)), l.Reason)
			if v := violations(l); v != "" {
				text += "; " + v
			}
		}
		if l.Aborted > 0 {
			text += fmt.Sprintf("; %s sent in transactions that were aborted", results.FormatCount(float64(l.Aborted)))
		}
		if l.Redelivered > 0 {
			text += fmt.Sprintf("; %s handed over again to a group's next member", results.FormatCount(float64(l.Redelivered)))
		}
		if l.Verified {
			text += "; all of it was read once more at the end"
		}
		if l.Unacked > 0 {
			text += fmt.Sprintf("; %s never acknowledged and yet there", results.FormatCount(float64(l.Unacked)))
		}
		bullet(w, "ledger: ", text)
	}
}

func figureOf(v *float64) string {
	if v == nil {
		return "–"
	}
	if *v < 0.001 && *v > 0 {
		return "<0.001"
	}
	return results.FormatNumber(*v)
}

func orDash(ok bool, s string) string {
	if !ok {
		return "–"
	}
	return s
}

func orWords(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// bullet writes text under a label, later lines indented.
func bullet(w io.Writer, label, text string) {
	var b strings.Builder
	wrapped(&b, "    ", label+text)
	fmt.Fprint(w, strings.Replace(b.String(), "    ", "  ", 1))
}

// wrapped writes text in lines of at most 80 columns.
func wrapped(w io.Writer, indent, text string) {
	for _, para := range strings.Split(text, "\n") {
		for _, line := range results.Wrap(para, width-len(indent)) {
			fmt.Fprintln(w, indent+line)
		}
	}
}
