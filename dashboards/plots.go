package dashboards

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"millrace/results"
)

// ratioPlot draws every ratio with its interval on one log axis, grouped by
// figure.
func ratioPlot(c *results.Comparison) template.HTML {
	const rowHeight, left, right, width = 19.0, 420.0, 80.0, 1000.0
	lo, hi := 0.95, 1.05
	type line struct {
		figure, name string
		m            results.CompareMetric
		r            *results.Ratio
	}
	var lines []line
	for _, m := range results.CompareMetrics {
		label := m.Name
		for i := range c.Alternatives {
			a := &c.Alternatives[i]
			r := a.Metrics[m.Name].Ratio
			if r == nil || r.Rounds == 0 || c.IsAgain(a) {
				continue
			}
			lines = append(lines, line{label, a.Name, m, r})
			label = ""
			low, high := r.Value, r.Value
			if r.Lo > 0 {
				low, high = r.Lo, r.Hi
			}
			lo, hi = math.Min(lo, low), math.Max(hi, high)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	lo, hi = math.Max(lo/1.02, 0.02), math.Min(hi*1.02, 50)
	at := func(v float64) float64 {
		v = math.Min(math.Max(v, lo), hi)
		return left + (width-left-right)*math.Log(v/lo)/math.Log(hi/lo)
	}
	height := rowHeight*float64(len(lines)) + 26
	var b strings.Builder
	for _, tick := range ratioTicks(lo, hi) {
		class := "axis"
		if tick == 1 {
			class = "one"
		}
		fmt.Fprintf(&b, `<line class="%s" x1="%.1f" x2="%.1f" y1="4" y2="%.1f"/><text class="soft" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`,
			class, at(tick), at(tick), height-20, at(tick), height-5, results.FormatNumber(tick))
	}
	var said []string
	for i, l := range lines {
		y := rowHeight*float64(i) + 14
		if l.figure != "" {
			fmt.Fprintf(&b, `<text x="0" y="%.1f" font-weight="600">%s</text>`, y+4, template.HTMLEscapeString(l.figure))
		}
		if floor, ok := c.NoiseFloor[l.m.Name]; ok {
			fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#888" fill-opacity=".18"/>`,
				at(1/(1+floor)), y-rowHeight/2, math.Max(at(1+floor)-at(1/(1+floor)), 1), rowHeight)
		}
		color := map[string]string{"pass": "var(--pass)", "fail": "var(--fail)", "": "#8a8a8a"}[classOf(l.m, l.r)]
		text := fmt.Sprintf("%.3f", l.r.Value)
		tip := fmt.Sprintf("%s of %s: ratio %s", l.m.Name, l.name, text)
		if l.r.Lo > 0 {
			tip += fmt.Sprintf(", 95 %% interval %.3f to %.3f", l.r.Lo, l.r.Hi)
		}
		if !l.r.Different {
			text = "~ " + text
			tip += "; no difference was shown"
		}
		said = append(said, tip)
		fmt.Fprintf(&b, `<g><title>%s</title><text x="115" y="%.1f">%s</text>`, template.HTMLEscapeString(tip), y+4, template.HTMLEscapeString(clip(l.name, 44)))
		if l.r.Lo > 0 {
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s" stroke-width="3" stroke-linecap="round"/>`, at(l.r.Lo), at(l.r.Hi), y, y, color)
		}
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="5" fill="%s"/><text x="%.0f" y="%.1f" text-anchor="end">%s</text></g>`+"\n",
			at(l.r.Value), y, color, width, y+4, text)
	}
	return plotOf("Ratios to "+c.Alternatives[0].Name, strings.Join(said, ". "), width, height, b.String())
}

// plotOf wraps a drawing in its SVG, named and described.
func plotOf(title, description string, width, height float64, body string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="plot" viewBox="0 0 %.0f %.0f" role="img"><title>%s</title><desc>%s</desc>`+"\n%s</svg>",
		width, height, template.HTMLEscapeString(title), template.HTMLEscapeString(description), body))
}

// ratioTicks are round ratios within a range, not too many.
func ratioTicks(lo, hi float64) (ticks []float64) {
	for _, steps := range [][]float64{
		{0.9, 0.92, 0.94, 0.96, 0.98, 1, 1.02, 1.04, 1.06, 1.08, 1.1},
		{0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3},
		{0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.6, 1.8, 2},
		{0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50},
	} {
		if lo < steps[0]*0.9 || hi > steps[len(steps)-1]*1.1 {
			continue
		}
		for _, s := range steps {
			if s >= lo && s <= hi {
				ticks = append(ticks, s)
			}
		}
		return ticks
	}
	return []float64{1}
}

// paretoPlot draws each alternative by throughput and tail latency, as large as
// its CPU cost.
func paretoPlot(c *results.Comparison, axes []results.CompareMetric) template.HTML {
	if len(axes) < 2 || len(c.Pareto) == 0 {
		return ""
	}
	const width, height, left, bottom, topRoom, right = 1000.0, 380.0, 90.0, 46.0, 16.0, 280.0
	span := func(m results.CompareMetric) (lo, hi float64) {
		lo, hi = math.Inf(1), 0
		for _, a := range c.Alternatives {
			v := a.Metrics[m.Name].Median
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
		pad := math.Max((hi-lo)*0.15, hi*0.02)
		return math.Max(lo-pad, 0), hi + pad
	}
	x0, x1 := span(axes[0])
	y0, y1 := span(axes[1])
	xAt := func(v float64) float64 { return left + (width-left-right)*(v-x0)/(x1-x0) }
	yAt := func(v float64) float64 { return topRoom + (height-bottom-topRoom)*(1-(v-y0)/(y1-y0)) }
	var b strings.Builder
	for i := range 5 {
		f := float64(i) / 4
		xv, yv := x0+(x1-x0)*f, y0+(y1-y0)*f
		fmt.Fprintf(&b, `<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text class="soft" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`,
			xAt(xv), xAt(xv), topRoom, height-bottom, xAt(xv), height-bottom+17, axes[0].Format(xv))
		fmt.Fprintf(&b, `<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text class="soft" x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
			left, width-right, yAt(yv), yAt(yv), left-8, yAt(yv)+4, axes[1].Format(yv))
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text><text x="14" y="%.1f" transform="rotate(-90 14 %.1f)" text-anchor="middle">%s</text>`,
		(left+width-right)/2, height-6, axes[0].Name, height/2, height/2, axes[1].Name)
	largest := 0.0
	if len(axes) > 2 {
		for _, a := range c.Alternatives {
			largest = math.Max(largest, a.Metrics[axes[2].Name].Median)
		}
	}
	var said []string
	for i := range c.Alternatives {
		a := &c.Alternatives[i]
		if c.IsAgain(a) {
			continue
		}
		radius := 8.0
		tip := fmt.Sprintf("%s: %s %s, %s %s", a.Name, axes[0].Name, axes[0].Format(a.Metrics[axes[0].Name].Median), axes[1].Name, axes[1].Format(a.Metrics[axes[1].Name].Median))
		if largest > 0 {
			v := a.Metrics[axes[2].Name].Median
			radius = 4 + 12*math.Sqrt(v/largest)
			tip += fmt.Sprintf(", %s %s", axes[2].Name, axes[2].Format(v))
		}
		fill := "none"
		if paretoNamed(c, a) {
			fill = "#0072b2"
			tip += "; not beaten"
		}
		said = append(said, tip)
		x, y := xAt(a.Metrics[axes[0].Name].Median), yAt(a.Metrics[axes[1].Name].Median)
		fmt.Fprintf(&b, `<g><title>%s</title><circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" fill-opacity=".75" stroke="#0072b2" stroke-width="1.6"/><text x="%.1f" y="%.1f">%s</text></g>`+"\n",
			template.HTMLEscapeString(tip), x, y, radius, fill, x+radius+5, y+4, template.HTMLEscapeString(clip(a.Name, 44)))
	}
	return plotOf("What beats what", strings.Join(said, ". "), width, height, b.String())
}
