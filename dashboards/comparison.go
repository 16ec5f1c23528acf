package dashboards

import (
	_ "embed"
	"fmt"
	"io"
	"slices"

	"millrace/results"
)

//go:embed comparison.html
var comparisonText string

var comparison = newPage("comparison", comparisonText)

// row is one line of a table of ratios.
type row struct{ Figure, Name, Median, Ratio, Interval, P, Note, Class string }

// Comparison writes the page of a comparison, opened from its directory.
func Comparison(w io.Writer, c *results.Comparison) error {
	if len(c.Alternatives) == 0 {
		return fmt.Errorf("%s: a comparison of nothing", c.Dir)
	}
	tops, err := moves(c)
	if err != nil {
		return err
	}
	axes := c.ParetoAxes()
	data := map[string]any{
		"C": c, "Base": c.Alternatives[0].Name, "Ratios": ratioPlot(c), "Rows": figureRows(c),
		"Effects": effectRows(c.Effects), "Interactions": effectRows(c.Interactions), "Tops": tops,
		"Pareto": paretoPlot(c, axes), "ParetoCaption": paretoCaption(axes),
	}
	return comparison.Execute(w, data)
}

func figureRows(c *results.Comparison) (rows []row) {
	for _, m := range results.CompareMetrics {
		label := m.Name
		for i := range c.Alternatives {
			a := &c.Alternatives[i]
			v, ok := a.Metrics[m.Name]
			if !ok {
				continue
			}
			r := ratioRow(m, v.Ratio)
			r.Figure, r.Name, r.Median = label, a.Name, m.Format(v.Median)
			rows = append(rows, r)
			label = ""
		}
	}
	return rows
}

// effectRows are the effects that were shown.
func effectRows(list []results.Effect) (rows []row) {
	for _, e := range list {
		label := e.Name
		for _, m := range results.CompareMetrics {
			ratio := e.Metrics[m.Name]
			if ratio == nil || !ratio.Different {
				continue
			}
			r := ratioRow(m, ratio)
			r.Figure, r.Name = label, m.Name
			rows = append(rows, r)
			label = ""
		}
		if label != "" {
			rows = append(rows, row{Figure: label, Name: "nothing was shown", Ratio: "~"})
		}
	}
	return rows
}

func ratioRow(m results.CompareMetric, r *results.Ratio) row {
	if r == nil || r.Rounds == 0 {
		return row{}
	}
	out := row{Ratio: fmt.Sprintf("%.3f", r.Value), Note: r.Note, Class: classOf(m, r)}
	if !r.Different {
		out.Ratio = "~ " + out.Ratio
	}
	if r.Lo != 0 || r.Hi != 0 {
		out.Interval, out.P = fmt.Sprintf("%.3f–%.3f", r.Lo, r.Hi), fmt.Sprintf("%.3f", r.PHolm)
	}
	return out
}

// classOf is pass for better, fail for worse, "" where nothing was shown.
func classOf(m results.CompareMetric, r *results.Ratio) string {
	switch {
	case !r.Different:
		return ""
	case (r.Value > 1) == m.Higher:
		return "pass"
	}
	return "fail"
}

// moves are what moved between the profiles of the first alternative and each
// other one, at most of four of them: the report is to stay readable.
func moves(c *results.Comparison) (tops []*top, err error) {
	base := &c.Alternatives[0]
	sides := 0
	for i := range c.Alternatives[1:] {
		a := &c.Alternatives[i+1]
		if c.IsAgain(a) || len(a.Profiles) == 0 || sides == 4 {
			continue
		}
		sides++
		for _, who := range results.Processes {
			for _, kind := range results.ProfileKinds {
				if !results.PerRecordKind(kind) {
					continue
				}
				was, err := c.OpenProfile(base, who+"-"+kind)
				if err != nil {
					return nil, err
				}
				is, err := c.OpenProfile(a, who+"-"+kind)
				if err != nil {
					return nil, err
				}
				if t := movesOf(was, is, base.Name, a.Name, 15); t != nil {
					tops = append(tops, t)
				}
			}
		}
	}
	return tops, nil
}

func paretoCaption(axes []results.CompareMetric) string {
	if len(axes) < 2 {
		return ""
	}
	text := fmt.Sprintf("Each alternative by the medians of %s and %s; better is to the right and down.", axes[0].Name, axes[1].Name)
	if len(axes) > 2 {
		text += fmt.Sprintf(" The larger the circle, the more %s.", axes[2].Name)
	}
	return text + " Filled: shown to be beaten by none in all of them together."
}

// paretoNamed tells an alternative of the Pareto set.
func paretoNamed(c *results.Comparison, a *results.Alternative) bool {
	return slices.Contains(c.Pareto, a.Name)
}
