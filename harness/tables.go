package harness

import (
	"fmt"
	"io"

	"millrace/results"
)

// CompareSummary writes a comparison for a person.
func CompareSummary(w io.Writer, c *results.Comparison) {
	wrapped(w, "", c.Question)
	fmt.Fprintln(w)
	wrapped(w, "  ", verdictOf(c))
	fmt.Fprintln(w)
	name := 10
	for _, a := range c.Alternatives {
		name = min(max(name, len(a.Name)), 24)
	}
	fmt.Fprintf(w, "%-16s %-*s %11s  %s\n", "median", name, clip(c.Factor, name), "", "ratio  95 % interval     p (Holm)")
	for _, m := range results.CompareMetrics {
		label := m.Name
		for _, a := range c.Alternatives {
			v, ok := a.Metrics[m.Name]
			if !ok {
				continue
			}
			fmt.Fprintf(w, "%-16s %-*s %11s", label, name, clip(a.Name, name), formatMetric(m, v.Median))
			if r := v.Ratio; r != nil {
				fmt.Fprintf(w, "  %s", formatRatio(r))
			}
			fmt.Fprintln(w)
			label = ""
		}
	}
	fmt.Fprintln(w)
	bullet(w, "", "~ : no difference was shown. Ratios are to "+c.Alternatives[0].Name+", round by round.")
	if c.NoiseFloor == nil {
		bullet(w, "", "The host's noise floor was not measured (--noise).")
	} else if f, ok := c.NoiseFloor["throughput"]; ok {
		bullet(w, "", fmt.Sprintf("The host's noise floor, throughput of %s against itself: %.1f %%.", c.Alternatives[0].Name, f*100))
	}
	for _, n := range c.Discarded {
		bullet(w, "left out: ", n)
	}
	for _, n := range c.Notes {
		bullet(w, "note: ", n)
	}
	fmt.Fprintf(w, "\n%s\n", c.Dir)
}

// verdictOf says in a sentence what the comparison showed.
func verdictOf(c *results.Comparison) string {
	rounds := 0
	for _, a := range c.Alternatives {
		rounds = max(rounds, len(a.Runs))
	}
	base := c.Alternatives[0].Name
	text := fmt.Sprintf("Over %s of %s: ", plural(int64(rounds), "round"), c.Factor)
	if c.Interrupted {
		text = "Interrupted. " + text
	}
	found := false
	for _, m := range results.CompareMetrics {
		for _, a := range c.Alternatives[1:] {
			r := a.Metrics[m.Name].Ratio
			if r == nil || !r.Different {
				continue
			}
			word := "less"
			if r.Value > 1 {
				word = "more"
			}
			if found {
				text += "; "
			}
			text += fmt.Sprintf("%s has %.1f %% %s %s than %s", a.Name, abs(r.Value-1)*100, word, m.Name, base)
			found = true
		}
	}
	if !found {
		return text + "no difference was shown."
	}
	return text + "."
}

func abs(f float64) float64 {
	if f < 0 {
		return -f
	}
	return f
}

func formatMetric(m results.CompareMetric, v float64) string {
	switch m.Unit {
	case "/s":
		return results.FormatCount(v) + "/s"
	case "ns":
		return results.FormatNs(v)
	case "B":
		return results.FormatBytes(v)
	}
	return results.FormatNumber(v)
}

// formatRatio is the ratio with its interval, ~ where it shows nothing.
func formatRatio(r *results.Ratio) string {
	if r.Rounds == 0 {
		return "~ " + r.Note
	}
	mark := "  "
	if !r.Different {
		mark = "~ "
	}
	if r.Lo == 0 && r.Hi == 0 {
		return fmt.Sprintf("%s%.3f  %s", mark, r.Value, r.Note)
	}
	text := fmt.Sprintf("%s%.3f  %.3f–%.3f  %.3f", mark, r.Value, r.Lo, r.Hi, r.PHolm)
	if r.Note != "" {
		text += "  " + r.Note
	}
	return text
}

// SearchSummary writes a search for a person.
func SearchSummary(w io.Writer, s *results.Search) {
	wrapped(w, "", s.Question)
	fmt.Fprintln(w)
	text := "No rate met the goals."
	if s.Capacity > 0 {
		text = fmt.Sprintf("The highest rate that met the goals is %s records/s", results.FormatCount(s.Capacity))
		if s.Above > 0 {
			text += fmt.Sprintf("; %s did not", results.FormatCount(s.Above))
		}
		text += ". In the way of more: " + s.Limit + "."
	}
	if s.Interrupted {
		text = "Interrupted. " + text
	}
	wrapped(w, "  ", text)
	fmt.Fprintln(w)
	fmt.Fprintf(w, "%12s %-13s %12s %9s %9s %9s %7s\n", "rate/s", "outcome", "acked/s", "ack p50", "ack p99", "e2e p99", "cores")
	for _, p := range s.Points {
		fmt.Fprintf(w, "%12s %-13s %12s %9s %9s %9s %7s\n", results.FormatCount(p.Rate), p.Outcome, results.FormatCount(p.Throughput),
			results.FormatNs(float64(p.AckP50Ns)), results.FormatNs(float64(p.AckP99Ns)), results.FormatNs(float64(p.E2EP99Ns)),
			fmt.Sprintf("%.2f", p.TargetCores+p.GeneratorCores))
		if p.Missed != "" {
			wrapped(w, "               ", p.Missed)
		}
	}
	fmt.Fprintln(w)
	for _, g := range s.Goals {
		bullet(w, "goal: ", g)
	}
	for _, n := range s.Notes {
		bullet(w, "note: ", n)
	}
	fmt.Fprintf(w, "\n%s\n", s.Dir)
}
