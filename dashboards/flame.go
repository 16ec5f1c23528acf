package dashboards

import (
	"fmt"
	"hash/fnv"
	"html/template"
	"math"
	"strings"

	"millrace/results"
)

// The flame graph's measures, in the units of its viewBox.
const (
	flameWidth = 1000.0
	flameRow   = 17.0
	flameDepth = 48     // deeper frames are left out
	flameLeast = 0.0015 // of the width: narrower frames are left out
)

// flame draws a profile's calls from the top down: each function as wide as
// what was spent in it and below. diff colours a function by what it costs more
// (red) or less (green) than it did.
func flame(title string, p *results.Profile, root *results.Frame, diff bool) template.HTML {
	if root.Value <= 0 {
		return ""
	}
	var rects strings.Builder
	deepest := 0
	var draw func(f *results.Frame, x, width float64, depth int)
	draw = func(f *results.Frame, x, width float64, depth int) {
		if width < flameLeast*flameWidth || depth > flameDepth {
			return
		}
		deepest = max(deepest, depth)
		name := results.ShortName(f.Name)
		tip := fmt.Sprintf("%s: %s, %.1f %%", f.Name, p.Format(f.Value), 100*f.Value/root.Value)
		fill := heat(f.Name)
		if diff {
			fill = redGreen(f.Value-f.Was, root.Value)
			tip += fmt.Sprintf("; was %s", p.Format(f.Was))
		}
		y := float64(depth) * flameRow
		fmt.Fprintf(&rects, `<g><title>%s</title><rect x="%.2f" y="%.0f" width="%.2f" height="%.0f" rx="1" fill="%s"/>`,
			template.HTMLEscapeString(tip), x, y, math.Max(width-0.4, 0.3), flameRow-1, fill)
		if room := int((width - 4) / 6.1); room >= 3 {
			fmt.Fprintf(&rects, `<text x="%.2f" y="%.1f">%s</text>`, x+2.5, y+flameRow-5, template.HTMLEscapeString(clip(name, room)))
		}
		rects.WriteString("</g>\n")
		at := x
		for _, c := range f.Children {
			w := width * c.Value / f.Value
			draw(c, at, w, depth+1)
			at += w
		}
	}
	draw(root, 0, flameWidth, 0)
	return template.HTML(fmt.Sprintf(`<svg class="flame" viewBox="0 0 %.0f %.0f" role="img"><title>%s</title><desc>%s</desc>`+"\n%s</svg>",
		flameWidth, float64(deepest+1)*flameRow, template.HTMLEscapeString(title),
		template.HTMLEscapeString("Flame graph: each box is a function, as wide as its share, below the one that called it. The table beside it has the same figures."), rects.String()))
}

func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// heat is a warm colour that a package keeps on every graph; the kernel and the
// runtime have cold ones.
func heat(name string) string {
	short := results.ShortName(name)
	pkg, _, _ := strings.Cut(short, ".")
	h := fnv.New32a()
	h.Write([]byte(pkg))
	n := h.Sum32()
	switch {
	case strings.HasPrefix(name, "kernel: "):
		return fmt.Sprintf("hsl(%d 30%% 72%%)", 200+n%20)
	case pkg == "runtime":
		return "hsl(150 22% 75%)"
	case name == "all":
		return "hsl(40 10% 80%)"
	}
	return fmt.Sprintf("hsl(%d 75%% %d%%)", 15+n%40, 66+n>>8%10)
}

// redGreen is the redder the more was added, as a share of the whole; 5 % of
// the whole is full colour.
func redGreen(by, whole float64) string {
	strength := math.Min(math.Abs(by)/whole/0.05, 1)
	hue := 145
	if by > 0 {
		hue = 8
	}
	return fmt.Sprintf("hsl(%d %.0f%% %.0f%%)", hue, 75*strength, 88-22*strength)
}

// top is a profile's table.
type top struct {
	Title, Caption string
	Rows           []topRow
	Flame          template.HTML
	Diff           bool
}

type topRow struct{ Name, Full, Own, OwnShare, All, AllShare, Was, By, Class string }

// topOf is the table and the flame graph of a profile; nil of an empty one.
func topOf(p *results.Profile, n int) *top {
	if p == nil || p.Total == 0 {
		return nil
	}
	scale, per := 1.0, "in all"
	if p.PerRecord > 0 {
		scale, per = p.PerRecord, "a record"
	}
	t := &top{Title: processNames[p.Process] + ": " + kindNames[p.Kind],
		Caption: fmt.Sprintf("%s %s. Own is what was spent in the function itself, with calls what in all that it called too.", p.Format(float64(p.Total)*scale), per)}
	share := func(v int64) string { return fmt.Sprintf("%.1f %%", 100*float64(v)/float64(p.Total)) }
	for i, f := range p.Top() {
		if i == n {
			break
		}
		t.Rows = append(t.Rows, topRow{Name: results.ShortName(f.Name), Full: f.Name, Own: p.Format(float64(f.Flat) * scale), OwnShare: share(f.Flat),
			All: p.Format(float64(f.Cum) * scale), AllShare: share(f.Cum)})
	}
	t.Flame = flame(t.Title, p, p.Flame(nil), false)
	return t
}

// movesOf is the table and the flame graph of what moved between two profiles.
func movesOf(was, is *results.Profile, before, after string, n int) *top {
	if was == nil || is == nil || is.Total == 0 || was.Total == 0 {
		return nil
	}
	t := &top{Diff: true, Title: fmt.Sprintf("%s: %s, %s against %s", processNames[is.Process], kindNames[is.Kind], after, before)}
	quiet := 0
	for _, m := range is.Moves(was) {
		if !m.Shown() {
			quiet++
			continue
		}
		if len(t.Rows) == n {
			continue
		}
		row := topRow{Name: results.ShortName(m.Name), Full: m.Name, Was: is.Format(m.Was), Own: is.Format(m.Is), By: "+" + is.Format(m.By()), Class: "fail"}
		if m.By() < 0 {
			row.By, row.Class = "−"+is.Format(-m.By()), "pass"
		}
		t.Rows = append(t.Rows, row)
	}
	t.Caption = fmt.Sprintf("A record costs %s instead of %s. Of the functions, %d moved by no more than sampling alone does and are left out. The graph is that of %s: red costs more than before, green less.",
		is.Format(float64(is.Total)*is.PerRecord), was.Format(float64(was.Total)*was.PerRecord), quiet, after)
	t.Flame = flame(t.Title, is, is.Flame(was), true)
	return t
}

var processNames = map[string]string{"target": "Target", "generator": "Generator", "both": "Target and generator (one process)"}

var kindNames = map[string]string{"cpu": "CPU", "perf": "CPU, the kernel's share included", "allocs": "bytes allocated", "heap": "heap in use at the end",
	"mutex": "waiting for mutexes", "block": "blocked", "goroutine": "goroutines at the end"}
