package dashboards

import (
	_ "embed"
	"fmt"
	"image/color"
	"io"
	"slices"

	"gonum.org/v1/plot/plotter"

	"millrace/results"
)

//go:embed search.html
var searchText string

var search = newPage("search", searchText)

// Search writes the page of a search, opened from its directory.
func Search(w io.Writer, s *results.Search) error {
	data := map[string]any{"S": s}
	var charts []drawn
	for _, c := range []struct {
		chart
		caption string
	}{
		{latencyCurve(s), "Each trial by the rate it was asked for; log scale. Where several ran at one rate, their median. Shaded: rates above the highest that held."},
		{coresCurve(s), "Cores in use at each rate. What bends or ends here is what ran out."},
	} {
		svg, err := c.svg()
		if err != nil {
			return fmt.Errorf("report of %s: %s: %w", s.Dir, c.title, err)
		}
		if svg != "" {
			charts = append(charts, drawn{c.title, c.caption, svg})
		}
	}
	data["Charts"] = charts
	return search.Execute(w, data)
}

// byRate is a figure over the rates tried, medians where a rate was tried more
// than once.
func byRate(s *results.Search, of func(p *results.SearchPoint) float64) (out plotter.XYs) {
	values := map[float64][]float64{}
	var rates []float64
	for i := range s.Points {
		p := &s.Points[i]
		if v := of(p); v > 0 {
			if values[p.Rate] == nil {
				rates = append(rates, p.Rate)
			}
			values[p.Rate] = append(values[p.Rate], v)
		}
	}
	slices.Sort(rates)
	for _, r := range rates {
		out = append(out, plotter.XY{X: r, Y: results.Median(values[r])})
	}
	return out
}

func latencyCurve(s *results.Search) chart {
	c := chart{title: "Latency against throughput", x: "records/s asked for", y: "latency", logY: true, yLabel: results.FormatNs, xTicks: counts{}, marks: true, shaded: missed(s)}
	for _, l := range []struct {
		name  string
		color color.Color
		of    func(p *results.SearchPoint) int64
	}{
		{"acknowledged p50", sky, func(p *results.SearchPoint) int64 { return p.AckP50Ns }},
		{"acknowledged p99", blue, func(p *results.SearchPoint) int64 { return p.AckP99Ns }},
		{"acknowledged p99.9", purple, func(p *results.SearchPoint) int64 { return p.AckP999Ns }},
		{"end to end p99", orange, func(p *results.SearchPoint) int64 { return p.E2EP99Ns }},
	} {
		c.lines = append(c.lines, line{name: l.name, color: l.color, points: byRate(s, func(p *results.SearchPoint) float64 { return float64(l.of(p)) })})
	}
	return c
}

func coresCurve(s *results.Search) chart {
	return chart{title: "Processor against throughput", x: "records/s asked for", y: "cores", xTicks: counts{}, marks: true, shaded: missed(s), lines: []line{
		{name: "target", color: blue, points: byRate(s, func(p *results.SearchPoint) float64 { return p.TargetCores })},
		{name: "generator", color: purple, points: byRate(s, func(p *results.SearchPoint) float64 { return p.GeneratorCores })},
	}}
}

// missed is the stretch of rates that did not hold.
func missed(s *results.Search) []span {
	highest := 0.0
	for _, p := range s.Points {
		highest = max(highest, p.Rate)
	}
	if s.Capacity == 0 || s.Above == 0 || highest <= s.Capacity {
		return nil
	}
	return []span{{s.Capacity, highest}}
}
