package dashboards

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"gonum.org/v1/plot/plotter"

	"millrace/results"
)

//go:embed report.html
var reportText string

// ReportFile is the name of a report in its run directory.
const ReportFile = "report.html"

// WriteReport makes the report of a directory, that of a run, a comparison or a
// search, and puts it there.
func WriteReport(dir string) (file string, err error) {
	var page bytes.Buffer
	if err := writePage(&page, dir); err != nil {
		return "", err
	}
	file = filepath.Join(dir, ReportFile)
	return file, os.WriteFile(file, page.Bytes(), 0o644)
}

// writePage writes the page of whatever the directory holds.
func writePage(w io.Writer, dir string) error {
	switch results.KindOf(dir) {
	case results.KindComparison:
		c, err := results.OpenComparison(dir)
		if err != nil {
			return err
		}
		return Comparison(w, c)
	case results.KindSearch:
		s, err := results.OpenSearch(dir)
		if err != nil {
			return err
		}
		return Search(w, s)
	}
	run, err := results.Open(dir)
	if err != nil {
		return err
	}
	return Report(w, run)
}

// Report writes one run, opened from its directory, as a self-contained HTML
// page: no scripts, nothing loaded from elsewhere.
func Report(w io.Writer, run *results.Run) error {
	samples, err := run.Samples()
	if err != nil {
		return err
	}
	samples = whole(samples)
	p := page{Run: run, Trial: &run.Trial, Env: &run.Env, Verdict: &run.Verdict}
	for _, c := range []chart{throughput(&run.Trial, samples), overTime(&run.Trial, samples), percentiles(&run.Trial), usage(&run.Trial, samples)} {
		svg, err := c.svg()
		if err != nil {
			return fmt.Errorf("report of %s: %s: %w", run.ID, c.title, err)
		}
		if svg != "" {
			p.Charts = append(p.Charts, drawn{c.title, explain[c.title], svg})
		}
	}
	for _, who := range results.Processes {
		for _, kind := range results.ProfileKinds {
			prof, err := run.Profile(who, kind)
			if err != nil {
				return fmt.Errorf("report of %s: %w", run.ID, err)
			}
			if t := topOf(prof, 15); t != nil {
				p.Tops = append(p.Tops, t)
			}
		}
	}
	return report.Execute(w, p)
}

// page is what the template sees.
type page struct {
	Run     *results.Run
	Trial   *results.Trial
	Env     *results.Env
	Verdict *results.Verdict
	Charts  []drawn
	Tops    []*top
}

type drawn struct {
	Title, Caption string
	SVG            template.HTML
}

// The charts by title, and how each is to be read.
const (
	titleThroughput  = "Throughput"
	titleOverTime    = "Latency over time"
	titlePercentiles = "Latency by percentile"
	titleUsage       = "Processor"
)

var explain = map[string]string{
	titleThroughput:  "Records a second, by second. Shaded grey: phases that do not count; orange: faults of the timeline. Where the acknowledged line leaves the scheduled one, the target did not keep up.",
	titleOverTime:    "Of the records of each second, from their intended start; log scale. A pause of the target shows as a spike over every record that was due in it.",
	titlePercentiles: "Steady phases only, log scale. Each step to the right is ten times fewer records; schedule lag is the generator's own share, and must lie far below the rest.",
	titleUsage:       "Cores in use, by second, of the target and of the generator.",
}

//go:embed parts.html
var partsText string

var report = newPage("report", reportText)

// newPage is a template with the parts that every page shares.
func newPage(name, text string) *template.Template {
	return template.Must(template.Must(template.New(name).Funcs(formats).Parse(partsText)).New(name).Parse(text))
}

// whole leaves out samples of much less than a second, as the drain mostly ends
// with: a rate over a few milliseconds draws a drop or a spike that was none.
func whole(samples []results.Sample) []results.Sample {
	var out []results.Sample
	before := 0.0
	for _, s := range samples {
		if s.T-before >= 0.5 {
			out = append(out, s)
		}
		before = s.T
	}
	return out
}

// formats are the functions of the templates.
var formats = template.FuncMap{
	"ns":      func(v any) string { return results.FormatNs(number(v)) },
	"count":   func(v any) string { return results.FormatCount(number(v)) },
	"bytes":   func(v any) string { return results.FormatBytes(number(v)) },
	"mb":      func(v float64) string { return results.FormatBytes(v) + "/s" },
	"pct":     func(v float64) string { return fmt.Sprintf("%.2f %%", 100*v) },
	"lower":   func(v any) string { return strings.ToLower(fmt.Sprint(v)) },
	"seconds": func(v any) string { return fmt.Sprintf("%.2f s", number(v)) },
	"lasted":  func(f results.Fault) string { return fmt.Sprintf("%.1f s", f.OverS-f.AtS) },
	"caughtUp": func(c results.CatchUp) string {
		if c.TookS <= 0 {
			return "–"
		}
		return results.FormatCount(float64(c.Backlog) / c.TookS)
	},
	"title": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	"histograms": func(p results.Phase) []named {
		var out []named
		for _, name := range results.Histograms {
			if q, ok := p.Latency[name]; ok && q.Count > 0 {
				out = append(out, named{name, meaning[name], q})
			}
		}
		return out
	},
	"sorted": func(m map[string]string) [][2]string {
		var out [][2]string
		for k, v := range m {
			out = append(out, [2]string{k, v})
		}
		sort.Slice(out, func(i, j int) bool { return out[i][0] < out[j][0] })
		return out
	},
}

type named struct {
	Name, Meaning string
	Q             results.Quantiles
}

var meaning = map[string]string{
	results.ScheduleLag: "intended start to handed to the client",
	results.SendBlock:   "inside the client's send call",
	results.Ack:         "intended start to acknowledged",
	results.EndToEnd:    "intended start to seen by the consumer",
	results.Service:     "actual send to acknowledged",
}

// number takes any figure of the schema; a pointer that is nil is 0, and the
// template asks before it shows one.
func number(v any) float64 {
	switch n := v.(type) {
	case int:
		return float64(n)
	case int64:
		return float64(n)
	case float64:
		return n
	case *int64:
		if n != nil {
			return float64(*n)
		}
	case *float64:
		if n != nil {
			return *n
		}
	}
	return 0
}

// uncounted are the stretches of the run outside its steady phases.
func uncounted(t *results.Trial) []span {
	var out []span
	for _, p := range t.Phases {
		if p.Kind != "steady" && p.LenS > 0 {
			out = append(out, span{p.StartS, p.StartS + p.LenS})
		}
	}
	return out
}

// happened are the timeline's entries as they came about.
func happened(t *results.Trial) (out []event) {
	for _, f := range t.Faults {
		out = append(out, event{span{f.AtS, f.OverS}, f.Do})
	}
	for _, e := range t.Events {
		what, _, _ := strings.Cut(e.What, ",") // in full among the notes
		out = append(out, event{span{e.AtS, e.AtS}, what})
	}
	return out
}

// series takes one figure of every sample that has it.
func series(samples []results.Sample, get func(results.Sample) (float64, bool)) plotter.XYs {
	var out plotter.XYs
	for _, s := range samples {
		if v, ok := get(s); ok {
			out = append(out, plotter.XY{X: s.T, Y: v})
		}
	}
	return out
}

func throughput(t *results.Trial, samples []results.Sample) chart {
	all := func(get func(results.Sample) float64) plotter.XYs {
		return series(samples, func(s results.Sample) (float64, bool) { return get(s), true })
	}
	c := chart{title: titleThroughput, x: "seconds", xTicks: wholeSeconds{}, y: "records/s", yLabel: results.FormatCount, shaded: uncounted(t), events: happened(t), lines: []line{
		{"scheduled", grey, true, series(samples, func(s results.Sample) (float64, bool) { return s.Scheduled, s.Scheduled > 0 })},
		{"acknowledged", blue, false, all(func(s results.Sample) float64 { return s.Acked })},
	}}
	if t.Steady.Consumed.Records > 0 {
		c.lines = append(c.lines, line{"consumed", green, false, all(func(s results.Sample) float64 { return s.Consumed })})
	}
	return c
}

func overTime(t *results.Trial, samples []results.Sample) chart {
	at := func(get func(results.Sample) int64) plotter.XYs {
		return series(samples, func(s results.Sample) (float64, bool) { return float64(get(s)), true })
	}
	return chart{title: titleOverTime, x: "seconds", xTicks: wholeSeconds{}, y: "latency", logY: true, yLabel: results.FormatNs, shaded: uncounted(t), events: happened(t), lines: []line{
		{"acknowledged p50", sky, false, at(func(s results.Sample) int64 { return s.AckP50Ns })},
		{"acknowledged p99", blue, false, at(func(s results.Sample) int64 { return s.AckP99Ns })},
		{"end to end p50", green, true, at(func(s results.Sample) int64 { return s.E2EP50Ns })},
		{"end to end p99", orange, false, at(func(s results.Sample) int64 { return s.E2EP99Ns })},
	}}
}

func percentiles(t *results.Trial) chart {
	c := chart{title: titlePercentiles, x: "percentile", y: "latency", logY: true, yLabel: results.FormatNs, xTicks: nineTicks{}}
	for _, h := range []struct {
		name, shown string
		line        line
	}{
		{results.Ack, "acknowledged", line{color: blue}},
		{results.EndToEnd, "end to end", line{color: orange}},
		{results.Service, "service time", line{color: green, dashed: true}},
		{results.ScheduleLag, "schedule lag", line{color: grey, dashed: true}},
	} {
		l := h.line
		l.name = h.shown
		for _, pt := range t.Steady.Latency[h.name].Curve {
			if pt.Percent < 100 {
				l.points = append(l.points, plotter.XY{X: nines(pt.Percent), Y: float64(pt.Ns)})
			}
		}
		c.lines = append(c.lines, l)
	}
	return c
}

func usage(t *results.Trial, samples []results.Sample) chart {
	cores := func(get func(results.Sample) *results.Usage) plotter.XYs {
		return series(samples, func(s results.Sample) (float64, bool) {
			u := get(s)
			if u == nil {
				return 0, false
			}
			return u.Cores, true
		})
	}
	return chart{title: titleUsage, x: "seconds", xTicks: wholeSeconds{}, y: "cores", shaded: uncounted(t), lines: []line{
		{"target", blue, false, cores(func(s results.Sample) *results.Usage { return s.Target })},
		{"generator", purple, false, cores(func(s results.Sample) *results.Usage { return s.Generator })},
	}}
}
