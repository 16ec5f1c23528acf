package dashboards

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"millrace/results"
)

// line is one curve of a chart.
type line struct {
	name   string
	color  color.Color
	dashed bool
	points plotter.XYs
}

// Colours that are told apart with any colour vision (Okabe and Ito's palette),
// the same thing in the same colour on every chart.
var (
	blue   = color.RGBA{0x00, 0x72, 0xb2, 255}
	orange = color.RGBA{0xd5, 0x5e, 0x00, 255}
	green  = color.RGBA{0x00, 0x9e, 0x73, 255}
	purple = color.RGBA{0xcc, 0x79, 0xa7, 255}
	sky    = color.RGBA{0x56, 0xb4, 0xe9, 255}
	grey   = color.RGBA{0x77, 0x77, 0x77, 255}
)

// chart is a drawing with its axes named.
type chart struct {
	title, x, y string
	lines       []line
	logY        bool
	xTicks      plot.Ticker // nil: numbers
	yLabel      func(float64) string
	marks       bool // a dot at each point
	events      []event
	shaded      []span // stretches of x that do not count, for instance the warm-up
}

type span struct{ from, to float64 }

// event is a mark on the x axis: a line up through the chart where it began, a
// tint until it was over, and its name at the top.
type event struct {
	span
	name string
}

const (
	chartWidth  = 9.4 * vg.Inch
	chartHeight = 3.0 * vg.Inch
)

// svg draws the chart; empty where there is nothing to draw.
func (c chart) svg() (template.HTML, error) {
	if c.logY {
		for i := range c.lines {
			c.lines[i].points = positive(c.lines[i].points)
		}
	}
	lowest, highest := math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for _, xy := range l.points {
			lowest, highest = math.Min(lowest, xy.Y), math.Max(highest, xy.Y)
		}
	}
	if math.IsInf(lowest, 1) {
		return "", nil
	}
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = c.x, c.y
	p.BackgroundColor = color.Transparent
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.Legend.Padding = vg.Points(3)
	if c.xTicks != nil {
		p.X.Tick.Marker = c.xTicks
	}
	if c.logY {
		// Whole decades, so that two reports can be laid side by side.
		lowest = math.Pow(10, math.Floor(math.Log10(lowest)))
		highest = math.Pow(10, math.Ceil(math.Log10(highest*1.0001)))
		p.Y.Scale = plot.LogScale{}
		p.Y.Tick.Marker = decades{c.yLabel}
	} else {
		lowest, highest = 0, math.Max(highest*1.3, 1e-9) // room for the legend
		p.Y.Tick.Marker = labelled{plot.DefaultTicks{}, c.yLabel}
	}
	if err := c.fill(p, lowest, highest); err != nil {
		return "", err
	}
	p.Y.Min, p.Y.Max = lowest, highest
	canvas := vgsvg.New(chartWidth, chartHeight)
	// Room for half of the last tick's label, which lies beyond the axis's end.
	p.Draw(draw.Crop(draw.New(canvas), 0, -vg.Points(16), 0, -vg.Points(4)))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return "", err
	}
	return template.HTML(embeddable(out.String(), c.title, c.describe())), nil
}

// describe says in words what the chart shows, for who does not see it: the
// range of every curve.
func (c chart) describe() string {
	var parts []string
	for _, l := range c.lines {
		if len(l.points) == 0 {
			continue
		}
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, xy := range l.points {
			lo, hi = math.Min(lo, xy.Y), math.Max(hi, xy.Y)
		}
		word := c.yLabel
		if word == nil {
			word = func(v float64) string { return fmt.Sprintf("%.2f", v) }
		}
		parts = append(parts, fmt.Sprintf("%s: %s to %s, at the end %s", l.name, word(lo), word(hi), word(l.points[len(l.points)-1].Y)))
	}
	for _, e := range c.events {
		parts = append(parts, fmt.Sprintf("%s at %.1f s", e.name, e.from))
	}
	return fmt.Sprintf("%s over %s. %s.", c.y, c.x, strings.Join(parts, "; "))
}

// fill puts shades, grid and curves on the plot, whose y axis runs from lowest
// to highest.
func (c chart) fill(p *plot.Plot, lowest, highest float64) error {
	for _, s := range c.shaded {
		area, err := plotter.NewPolygon(plotter.XYs{{X: s.from, Y: lowest}, {X: s.to, Y: lowest}, {X: s.to, Y: highest}, {X: s.from, Y: highest}})
		if err != nil {
			return err
		}
		area.Color = color.NRGBA{0x80, 0x80, 0x80, 0x22}
		area.LineStyle.Width = 0
		p.Add(area)
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color = color.NRGBA{0x80, 0x80, 0x80, 0x40}
	grid.Vertical.Color = grid.Horizontal.Color
	p.Add(grid)
	if err := c.mark(p, lowest, highest); err != nil {
		return err
	}
	for _, l := range c.lines {
		if len(l.points) == 0 {
			continue
		}
		curve, err := plotter.NewLine(l.points)
		if err != nil {
			return err
		}
		curve.Color, curve.Width = l.color, vg.Points(1.6)
		if l.dashed {
			curve.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(curve)
		if c.marks {
			dots, err := plotter.NewScatter(l.points)
			if err != nil {
				return err
			}
			dots.Color, dots.Shape, dots.Radius = l.color, draw.CircleGlyph{}, vg.Points(2.4)
			p.Add(dots)
		}
		p.Legend.Add(l.name, curve)
	}
	return nil
}

// mark draws the events, behind the curves.
func (c chart) mark(p *plot.Plot, lowest, highest float64) error {
	var at plotter.XYLabels
	for i, e := range c.events {
		if e.to > e.from {
			area, err := plotter.NewPolygon(plotter.XYs{{X: e.from, Y: lowest}, {X: e.to, Y: lowest}, {X: e.to, Y: highest}, {X: e.from, Y: highest}})
			if err != nil {
				return err
			}
			area.Color, area.LineStyle.Width = color.NRGBA{0xd5, 0x5e, 0x00, 0x22}, 0
			p.Add(area)
		}
		edge, err := plotter.NewLine(plotter.XYs{{X: e.from, Y: lowest}, {X: e.from, Y: highest}})
		if err != nil {
			return err
		}
		edge.Color, edge.Width, edge.Dashes = orange, vg.Points(1), []vg.Length{vg.Points(2), vg.Points(2)}
		p.Add(edge)
		at.XYs, at.Labels = append(at.XYs, plotter.XY{X: e.from, Y: highest}), append(at.Labels, strings.Repeat("\n", i%3)+e.name) // in three rows: events may lie close together
	}
	if len(at.XYs) == 0 {
		return nil
	}
	names, err := plotter.NewLabels(at)
	if err != nil {
		return err
	}
	for i := range names.TextStyle {
		names.TextStyle[i].Color, names.TextStyle[i].Font.Size = orange, vg.Points(9)
		names.TextStyle[i].YAlign = draw.YTop
		names.TextStyle[i].XAlign = draw.XLeft
	}
	names.Offset = vg.Point{X: vg.Points(2), Y: -vg.Points(2)}
	p.Add(names)
	return nil
}

var (
	svgOpen = regexp.MustCompile(`(?s)^.*?<svg [^>]*?viewBox="([^"]*)"[^>]*>`)
	fonts   = regexp.MustCompile(`font-family:[^;"]*`)
)

// embeddable makes a standalone SVG document fit to stand in a page: without
// its prologue, as wide as its place, named for a screen reader, in the page's
// font, and with the page's text colour for black.
func embeddable(svg, title, description string) string {
	svg = svgOpen.ReplaceAllString(svg, fmt.Sprintf(`<svg viewBox="$1" role="img" aria-label="%s">`, template.HTMLEscapeString(title)))
	at := strings.Index(svg, ">") + 1
	svg = svg[:at] + fmt.Sprintf("<title>%s</title><desc>%s</desc>", template.HTMLEscapeString(title), template.HTMLEscapeString(description)) + svg[at:]
	svg = fonts.ReplaceAllString(svg, "font-family:inherit")
	return strings.NewReplacer("fill:#000000", "fill:currentColor", "stroke:#000000", "stroke:currentColor").Replace(svg)
}

// positive leaves out what a log axis cannot show.
func positive(in plotter.XYs) plotter.XYs {
	var out plotter.XYs
	for _, xy := range in {
		if xy.Y > 0 {
			out = append(out, xy)
		}
	}
	return out
}

// labelled puts a ticker's marks into words.
type labelled struct {
	plot.Ticker
	label func(float64) string
}

func (t labelled) Ticks(min, max float64) []plot.Tick {
	ticks := t.Ticker.Ticks(min, max)
	for i := range ticks {
		if ticks[i].Label != "" && t.label != nil {
			ticks[i].Label = t.label(ticks[i].Value)
		}
	}
	return ticks
}

// decades marks powers of ten, with small marks between them.
type decades struct{ label func(float64) string }

func (t decades) Ticks(min, max float64) []plot.Tick {
	var ticks []plot.Tick
	for d := math.Floor(math.Log10(min)); d <= math.Ceil(math.Log10(max)); d++ {
		for m := 1.0; m < 10; m++ {
			tick := plot.Tick{Value: m * math.Pow(10, d)}
			if tick.Value < min*0.999 || tick.Value > max*1.001 {
				continue
			}
			if m == 1 {
				tick.Label = t.label(tick.Value)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// counts marks an axis of counts.
type counts struct{}

func (counts) Ticks(min, max float64) []plot.Tick {
	return labelled{plot.DefaultTicks{}, results.FormatCount}.Ticks(min, max)
}

// wholeSeconds marks a time axis in steps that a clock has.
type wholeSeconds struct{}

func (wholeSeconds) Ticks(min, max float64) []plot.Tick {
	step := 1.0
	for _, s := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600} {
		if step = s; (max-min)/s <= 12 {
			break
		}
	}
	var ticks []plot.Tick
	for v := math.Ceil(min/step) * step; v <= max; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprint(v)})
	}
	return ticks
}

// nines is the x axis of a percentile curve: each step to the right is ten
// times fewer records, so that the tail has as much room as it has meaning.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

type nineTicks struct{}

func (nineTicks) Ticks(min, max float64) []plot.Tick {
	var ticks []plot.Tick
	for _, p := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999} {
		if v := nines(p); v >= min && v <= max+1e-9 {
			ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("p%v", p)})
		}
	}
	return ticks
}
