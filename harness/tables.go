package harness

import (
	"fmt"
	"io"
	"math"
	"strings"

	"millrace/results"
)

// CompareSummary writes a comparison for a person: the answer, the table of
// every figure, what each factor does, and what must be known beside it.
func CompareSummary(w io.Writer, c *results.Comparison) {
	wrapped(w, "", c.Question)
	fmt.Fprintln(w)
	wrapped(w, "  ", c.Answer())
	if g := c.Gate; g != nil {
		fmt.Fprintln(w)
		gateSummary(w, g)
	}
	fmt.Fprintln(w)
	name := 10
	for _, a := range c.Alternatives {
		name = min(max(name, len([]rune(shortName(a.Name)))), 19) // 80 columns in all
	}
	fmt.Fprintf(w, "%-15s %-*s %11s   %s\n", "median", name, clip(c.Factor, name), "", "ratio  95 % interval  p (Holm)")
	sunk := map[string][]string{}
	for _, m := range results.CompareMetrics {
		label := m.Name
		for _, a := range c.Alternatives {
			v, ok := a.Metrics[m.Name]
			if !ok {
				continue
			}
			fmt.Fprintf(w, "%-15s %-*s %11s", label, name, clip(shortName(a.Name), name), m.Format(v.Median))
			if r := v.Ratio; r != nil {
				fmt.Fprintf(w, " %s", formatRatio(r))
				if r.Note != "" {
					sunk[r.Note] = append(sunk[r.Note], m.Name+" of "+a.Name)
				}
			}
			fmt.Fprintln(w)
			label = ""
		}
	}
	fmt.Fprintln(w)
	effectTable(w, "main effects", c.Effects)
	effectTable(w, "what two do together beyond what each does alone", c.Interactions)
	bullet(w, "", "~ : no difference was shown. Ratios are to "+c.Alternatives[0].Name+pairing(c))
	for _, note := range sortedKeys(sunk) {
		bullet(w, "~ "+note+": ", listed(sunk[note], 4))
	}
	switch {
	case len(c.NoiseFloor) > 0:
		text := "The host's noise floor, " + c.Alternatives[0].Name + " against itself: " + floors(c) + "."
		if r, ok := c.Resolution("throughput"); ok {
			text += fmt.Sprintf(" With this noise so many rounds can show a difference in throughput of about %s %% and more.", results.FormatNumber(math.Round(r*1000)/10))
		}
		bullet(w, "", text)
	case !c.Stored:
		bullet(w, "", "The host's noise floor was not measured (--aa).")
	}
	if len(c.Pareto) > 0 {
		var axes []string
		for _, m := range c.ParetoAxes() {
			axes = append(axes, m.Name)
		}
		bullet(w, "not beaten", fmt.Sprintf(" in %s together: %s", strings.Join(axes, ", "), listed(c.Pareto, 6)))
	}
	for _, n := range c.Discarded {
		bullet(w, "left out: ", n)
	}
	for _, n := range c.Notes {
		bullet(w, "note: ", n)
	}
	fmt.Fprintf(w, "\n%s\n", c.Dir)
}

// shortName leaves out what all targets of a kind have in common, so that two of
// them stay apart in a narrow column.
func shortName(name string) string { return strings.TrimPrefix(name, "external:") }

func pairing(c *results.Comparison) string {
	if c.Stored {
		return ", as independent samples."
	}
	return ", round by round."
}

func gateSummary(w io.Writer, g *results.Gate) {
	var limits []string
	for _, l := range g.Limits {
		limits = append(limits, fmt.Sprintf("%s %s %%", l.Metric, results.FormatNumber(l.Share*100)))
	}
	wrapped(w, "  ", fmt.Sprintf("Gate %s (at most worse by: %s).", g.Outcome, strings.Join(limits, ", ")))
	for _, r := range g.Regressions {
		bullet(w, "regression: ", r)
	}
	if g.Reason != "" {
		wrapped(w, "  ", g.Reason)
	}
}

// effectTable writes what was shown of factors; of what was not it says how
// much there is.
func effectTable(w io.Writer, title string, effects []results.Effect) {
	if len(effects) == 0 {
		return
	}
	fmt.Fprintf(w, "%-48s   %s\n", clip(title, 48), "ratio  95 % interval  p (Holm)")
	quiet := 0
	for _, e := range effects {
		first := true
		for _, m := range results.CompareMetrics {
			r := e.Metrics[m.Name]
			if r == nil {
				continue
			}
			if !r.Different {
				quiet++
				continue
			}
			if first {
				fmt.Fprintln(w, clip(e.Name, width))
				first = false
			}
			fmt.Fprintf(w, "  %-46s %s\n", m.Name, formatRatio(r))
		}
	}
	if quiet > 0 {
		fmt.Fprintf(w, "  %s in which nothing was shown\n", plural(int64(quiet), "figure"))
	}
	fmt.Fprintln(w)
}

// floors are the noise of the figures that matter most.
func floors(c *results.Comparison) string {
	var parts []string
	for _, name := range []string{"throughput", "ack.p99", "e2e.p99", "cpu/record"} {
		if f, ok := c.NoiseFloor[name]; ok {
			parts = append(parts, fmt.Sprintf("%s %s %%", name, results.FormatNumber(math.Round(f*1000)/10)))
		}
	}
	return strings.Join(parts, ", ")
}

// listed joins at most n and says how many more there are.
func listed(list []string, n int) string {
	if len(list) > n {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
	}
	return strings.Join(list, ", ")
}

func abs(f float64) float64 { return math.Abs(f) }

// formatRatio is the ratio with its interval, ~ where it shows nothing.
func formatRatio(r *results.Ratio) string {
	if r.Rounds == 0 {
		return "~"
	}
	mark := "  "
	if !r.Different {
		mark = "~ "
	}
	value := func(v float64) string {
		if v >= 10 {
			return results.FormatNumber(v)
		}
		return fmt.Sprintf("%.3f", v)
	}
	if r.Lo == 0 && r.Hi == 0 {
		return mark + value(r.Value)
	}
	return fmt.Sprintf("%s%5s  %-13s %8s", mark, value(r.Value), value(r.Lo)+"–"+value(r.Hi), pValue(r.PHolm))
}

func pValue(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

func countOr(v float64) string {
	if v == 0 {
		return ""
	}
	return results.FormatCount(v)
}

// SearchSummary writes a search for a person.
func SearchSummary(w io.Writer, s *results.Search) {
	wrapped(w, "", s.Question)
	fmt.Fprintln(w)
	wrapped(w, "  ", s.Answer())
	if m := s.Measured; m != nil {
		wrapped(w, "  ", fmt.Sprintf("Capacity: %s to %s records/s; at the lower end %s were acknowledged (%s to %s over %s).", results.FormatCount(s.Capacity),
			orWords(countOr(s.Above), "more"), results.FormatCount(m.Median), results.FormatCount(m.Low), results.FormatCount(m.High), plural(int64(s.Tries), "trial")))
	}
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
