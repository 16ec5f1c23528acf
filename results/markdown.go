package results

import (
	"fmt"
	"io"
	"strings"
)

// The summaries in Markdown are for the page that GitHub shows of a CI job: a
// command appends them to the file that GITHUB_STEP_SUMMARY names.

var marks = map[Outcome]string{Pass: "✅", Fail: "❌", Violation: "❌", Inconclusive: "❔", Invalid: "⚠️", Interrupted: "⏹️"}

// MarkdownRun writes a run: the answer, the goals, the figures.
func MarkdownRun(w io.Writer, r *Run) error {
	var b strings.Builder
	t, v := &r.Trial, &r.Verdict
	fmt.Fprintf(&b, "### %s %s: %s\n\n", marks[v.Outcome], cell(t.Scenario), v.Outcome)
	if t.Question != "" {
		fmt.Fprintf(&b, "*%s*\n\n", cell(t.Question))
	}
	fmt.Fprintf(&b, "%s\n\n", cell(v.Answer))
	if v.Reason != "" {
		fmt.Fprintf(&b, "%s\n\n", cell(v.Reason))
	}
	if v.Outcome == Violation {
		for _, e := range t.Ledger.Examples {
			fmt.Fprintf(&b, "- %s\n", cell(e))
		}
		b.WriteByte('\n')
	}
	if len(v.Goals) > 0 {
		b.WriteString("| goal | measured | outcome |\n|---|--:|---|\n")
		for _, g := range v.Goals {
			reason := ""
			if g.Reason != "" {
				reason = ": " + g.Reason
			}
			fmt.Fprintf(&b, "| %s | %s | %s %s%s |\n", code(g.Expr), cell(g.Shown), marks[g.Outcome], g.Outcome, cell(reason))
		}
		b.WriteByte('\n')
	}
	p := &t.Steady
	if p.Acked.Records > 0 {
		b.WriteString("| latency | p50 | p99 | p99.9 | max |\n|---|--:|--:|--:|--:|\n")
		for _, name := range []string{Ack, EndToEnd} {
			if q := p.Latency[name]; q.Count > 0 {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, FormatNs(float64(q.P50Ns)), FormatNs(float64(q.P99Ns)), FormatNs(float64(q.P999Ns)), FormatNs(float64(q.MaxNs)))
			}
		}
		b.WriteByte('\n')
	}
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "- %s\n", cell(n))
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

// MarkdownComparison writes a comparison: the answer and the table.
func MarkdownComparison(w io.Writer, c *Comparison) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s: %s\n\n", cell(c.Scenario), cell(c.Factor))
	fmt.Fprintf(&b, "%s\n\n", cell(c.Answer()))
	if g := c.Gate; g != nil {
		fmt.Fprintf(&b, "%s Gate: %s. %s\n\n", marks[g.Outcome], g.Outcome, cell(g.Reason))
		for _, r := range g.Regressions {
			fmt.Fprintf(&b, "- %s\n", cell(r))
		}
		b.WriteByte('\n')
	}
	b.WriteString("| figure | alternative | median | ratio | 95 % interval | p (Holm) |\n|---|---|--:|--:|--:|--:|\n")
	for _, m := range CompareMetrics {
		for i := range c.Alternatives {
			a := &c.Alternatives[i]
			v, ok := a.Metrics[m.Name]
			if !ok {
				continue
			}
			ratio, interval, p := "", "", ""
			if r := v.Ratio; r != nil && r.Rounds > 0 {
				ratio = fmt.Sprintf("%.3f", r.Value)
				if !r.Different {
					ratio = "~ " + ratio
				}
				if r.Lo != 0 || r.Hi != 0 {
					interval, p = fmt.Sprintf("%.3f–%.3f", r.Lo, r.Hi), fmt.Sprintf("%.3f", r.PHolm)
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", m.Name, cell(a.Name), m.Format(v.Median), ratio, interval, p)
		}
	}
	b.WriteByte('\n')
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "- %s\n", cell(n))
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

// MarkdownSearch writes a search: the capacity and the rates tried.
func MarkdownSearch(w io.Writer, s *Search) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s: highest rate\n\n%s\n\n", cell(s.Scenario), cell(s.Answer()))
	b.WriteString("| rate | outcome | acknowledged/s | ack p50 | ack p99 |\n|--:|---|--:|--:|--:|\n")
	for _, p := range s.Points {
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s | %s |\n", FormatCount(p.Rate), marks[p.Outcome], p.Outcome, FormatCount(p.Throughput), FormatNs(float64(p.AckP50Ns)), FormatNs(float64(p.AckP99Ns)))
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

// code is text as it stands. Entities would be shown as they are written there,
// so that only what ends a cell is kept from it.
func code(s string) string {
	return "`" + strings.NewReplacer("|", "\\|", "\n", " ", "`", "'").Replace(s) + "`"
}

// cell keeps text from breaking out of its place in a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(s)
}
