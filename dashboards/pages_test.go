package dashboards

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"millrace/results"
)

// storeJSON puts v into a directory of its own.
func storeJSON(t *testing.T, name string, v any) string {
	dir := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.Mkdir(dir, 0o755))
	b, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	return dir
}

// selfContained parses a page and checks that it loads nothing and that each of
// its drawings is named and described; it returns how many there are.
func selfContained(t *testing.T, file string) (text string, svgs int) {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	doc, err := html.Parse(bytes.NewReader(b))
	require.NoError(t, err)
	for n := range doc.Descendants() {
		require.NotContains(t, []string{"script", "link", "img"}, n.Data)
		for _, a := range n.Attr {
			require.NotEqual(t, "src", a.Key)
		}
		if n.Type == html.ElementNode && n.Data == "svg" {
			svgs++
			var inside []string
			for c := n.FirstChild; c != nil; c = c.NextSibling {
				inside = append(inside, c.Data)
			}
			require.Contains(t, inside, "title")
			require.Contains(t, inside, "desc")
		}
	}
	return string(b), svgs
}

func TestComparisonPage(t *testing.T) {
	c := results.Comparison{Version: results.Version, Scenario: "s", Question: "Which is faster <and> why?", Factor: "read.path", Design: results.FullDesign,
		Factors: []results.Factor{{Name: "read.path", Levels: []string{"sendfile", "copy"}}}, Command: "millrace compare s --knob read.path=sendfile,copy",
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Rounds: 8, Notes: []string{"others were busy"}}
	for i, name := range []string{"sendfile", "copy", "sendfile" + results.Again} {
		a := results.Alternative{Name: name, Runs: make([]string, 8), Metrics: map[string]results.Metric{}}
		for metric, base := range map[string]float64{"throughput": 1e5, "ack.p99": 4e6, "cpu/GB": 0.8} {
			var m results.Metric
			for r := range 8 {
				v := base * (1 + 0.004*float64((r*7+i*3)%5))
				if i == 1 && metric == "throughput" {
					v *= 0.8
				}
				m.Values = append(m.Values, v)
			}
			a.Metrics[metric] = m
		}
		c.Alternatives = append(c.Alternatives, a)
	}
	c.Judge()
	gate, err := results.ParseGate([]string{"5%"})
	require.NoError(t, err)
	gate.Apply(&c)
	dir := storeJSON(t, results.CompareFile, c)
	file, err := WriteReport(dir)
	require.NoError(t, err)
	text, svgs := selfContained(t, file)
	require.Equal(t, 2, svgs, "the ratios and the Pareto plot")
	for _, want := range []string{"Which is faster &lt;and&gt; why?", "gate FAIL", "copy against sendfile: throughput −", "millrace compare s --knob", "others were busy", "~ "} {
		require.Contains(t, text, want)
	}
	var junit results.JUnit
	junit.Comparison(&c)
	var b, md strings.Builder
	require.NoError(t, junit.Write(&b))
	require.Contains(t, b.String(), `failures="1"`)
	require.NoError(t, results.MarkdownComparison(&md, &c))
	require.Contains(t, md.String(), "❌ Gate: FAIL")
}

func TestSearchPage(t *testing.T) {
	s := results.Search{Version: results.Version, Scenario: "s", Question: "How much?", Goals: []string{"ack.p99 <= 20ms"}, Capacity: 4000, Above: 4300, Confirmed: 3, Tries: 3,
		Measured: &results.Interval{Median: 3999, Low: 3990, High: 4001}, Limited: "disk", Limit: "the disk"}
	for _, rate := range []float64{1000, 2000, 4000, 8000, 4300, 4000, 4000} {
		p := results.SearchPoint{Rate: rate, Outcome: results.Pass, Throughput: rate, AckP50Ns: int64(1e3 * rate), AckP99Ns: int64(3e3 * rate), TargetCores: rate / 8000}
		if rate > 4000 {
			p.Outcome, p.Missed = results.Fail, "ack.p99 <= 20ms: 24 ms"
		}
		s.Points = append(s.Points, p)
	}
	file, err := WriteReport(storeJSON(t, results.SearchFile, s))
	require.NoError(t, err)
	text, svgs := selfContained(t, file)
	require.Equal(t, 2, svgs)
	for _, want := range []string{"The highest rate that met the goals is 4,000 records/s", "4,300 did not; it held 3 of 3 times", "the disk", "24 ms"} {
		require.Contains(t, text, want)
	}
}

// A sample of a few milliseconds at the end of the drain draws no drop.
func TestPartialSamplesAreLeftOut(t *testing.T) {
	got := whole([]results.Sample{{T: 1}, {T: 2}, {T: 3.01}, {T: 3.03}})
	require.Len(t, got, 3)
}
