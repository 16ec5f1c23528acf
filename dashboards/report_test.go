package dashboards

import (
	"bytes"
	"io"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"millrace/results"
)

// sampleRun is a run with every part filled in, stored under dir.
func sampleRun(t *testing.T, dir string, edit func(*results.Run)) string {
	t.Helper()
	h := hdrhistogram.New(1, int64(time.Minute), 3)
	for i := 0; i < 100000; i++ {
		ms := 1 + 3*math.Abs(math.Sin(float64(i)))
		if i%1000 == 0 {
			ms *= 12
		}
		require.NoError(t, h.RecordValue(int64(ms*1e6)))
	}
	q := results.QuantilesOf(h, 2)
	value, allocs := 49876.0, 0.03
	started := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	run := &results.Run{
		Scenario: []byte("name: sample\nseed: 7\n"),
		Env: results.Env{CPUModel: "Example <CPU>", CPUs: 2, MemoryBytes: 8 << 30, OS: "linux", Arch: "amd64", Kernel: "6.1",
			FileSystem: results.FileSystem{Type: "ext4", Options: "rw,relatime"}, Congestion: "cubic", Go: "go1.26", Knobs: map[string]string{"read.path": "mmap"}},
		Trial: results.Trial{Version: results.Version, Scenario: "sample", Question: "Does the page say what was measured?", Seed: 7, Started: started,
			Target: results.TargetInfo{Kind: "child", Version: "test"}, Promise: "page-cache", Validation: "records",
			Audit:  results.Audit{Client: "kgo", CeilingRate: 190000, LateShare: 0.0012},
			Ledger: results.Ledger{Checked: true, Acknowledged: 748140, ReadBack: 748140},
			Notes:  []string{"steal was 1.2 % of all processor time"}},
		Verdict: results.Verdict{Outcome: results.Fail, Answer: "It took 49,876 records/s.",
			Goals: []results.Goal{{Expr: "throughput >= 49500/s", Value: &value, Shown: "49,876/s", Outcome: results.Pass},
				{Expr: "e2e.p99 <= 5ms", Shown: "not measured", Outcome: results.Fail, Reason: "missed"}}},
	}
	cost := &results.Cost{CPUS: 3, Cores: 0.25, RSSMax: 60 << 20, PerRecord: results.PerRecord{CPUNs: 4010, Allocs: &allocs}}
	steady := results.Phase{Name: "steady", Kind: "steady", StartS: 3, LenS: 15, ScheduledRate: 50000,
		Acked: results.Flow{Records: 748140, Rate: value, ByteRate: value * 1024}, Consumed: results.Flow{Records: 748140, Rate: value},
		Latency: map[string]results.Quantiles{results.Ack: q, results.EndToEnd: q, results.ScheduleLag: q}, Target: cost, Generator: cost}
	run.Trial.Steady = steady
	run.Trial.Phases = []results.Phase{{Name: "warmup", Kind: "warmup", LenS: 3, ScheduledRate: 50000}, steady}
	var samples []results.Sample
	for i := range 18 {
		x := float64(i)
		samples = append(samples, results.Sample{T: x + 1, Scheduled: 50000, Acked: 50000 - 4000*math.Abs(math.Sin(x)), Consumed: 48000,
			AckP50Ns: 2e6, AckP99Ns: int64(9e6 + 2e6*math.Sin(x)), E2EP50Ns: 3e6, E2EP99Ns: 30e6,
			Target: &results.Usage{Cores: 0.25 + 0.1*math.Sin(x)}, Generator: &results.Usage{Cores: 0.8}})
	}
	if edit != nil {
		edit(run)
	}
	d, err := results.Store{Dir: dir}.Begin("sample", started)
	require.NoError(t, err)
	require.NoError(t, d.Write(run, samples, nil))
	out, err := d.Commit()
	require.NoError(t, err)
	return out
}

func TestReportSaysWhatTheRunDirectorySays(t *testing.T) {
	dir := sampleRun(t, t.TempDir(), nil)
	file, err := WriteReport(dir)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, ReportFile), file)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	doc, err := html.Parse(bytes.NewReader(text))
	require.NoError(t, err)

	var svgs int
	var seen strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			seen.WriteString(n.Data + " ")
		case n.Data == "svg":
			svgs++
		case n.Data == "script" || n.Data == "link" || n.Data == "img":
			t.Errorf("the page is not self-contained: <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("the page loads %s", a.Val)
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(doc)
	require.Equal(t, 4, svgs, "throughput, latency over time, by percentile, processor")
	for _, want := range []string{
		"Does the page say what was measured?", "FAIL", "It took 49,876 records/s.", "page-cache", "records",
		"throughput >= 49500/s", "e2e.p99 <= 5ms", "missed", "steal was 1.2 %", "748,140", "none lost",
		"Example <CPU>", "read.path=mmap", "seed: 7", "190,000", "4.01 µs",
	} {
		require.Contains(t, seen.String(), want)
	}
}

// What was done to the target stands in the page with what it cost, and on the
// charts where it happened.
func TestReportOfARunWithFaults(t *testing.T) {
	first := 0.31
	text := read(t, sampleRun(t, t.TempDir(), func(r *results.Run) {
		r.Trial.UnavailableS = 1.37
		r.Trial.Faults = []results.Fault{
			{Do: "kill", AtS: 6, OverS: 7.25, UnavailableS: 1.56, FirstAckS: &first},
			{Do: "stop", AtS: 10, OverS: 10.5},
		}
		r.Trial.Events = []results.Event{{AtS: 12, What: "lag, group 0"}}
		r.Trial.CatchUps = []results.CatchUp{{Group: 0, Backlog: 50000, TookS: 2.5}, {Group: 1, Backlog: 7}}
	}))
	for _, want := range []string{
		"What the faults cost", "<b>1.4 s</b>",
		"<td>kill</td><td>6.0 s</td><td>1.2 s</td><td>1.56 s</td><td>0.31 s</td>",
		"<td>stop</td><td>10.0 s</td><td>0.5 s</td><td>less than 0.2 s</td><td>–</td>",
		"<td>50,000</td><td>2.50 s</td><td>20,000</td>", "<td>0.00 s</td><td>–</td>",
		"kill at 6.0 s; stop at 10.0 s; lag at 12.0 s",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "%!", "a value that its format does not fit")
	require.NotContains(t, read(t, sampleRun(t, t.TempDir(), nil)), "What the faults cost")
}

// read renders the report of a run directory.
func read(t *testing.T, dir string) string {
	t.Helper()
	file, err := WriteReport(dir)
	require.NoError(t, err)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// A run that was cut short has neither samples nor percentiles; its page says
// so and is a page all the same.
func TestReportOfARunWithNothingMeasured(t *testing.T) {
	dir := sampleRun(t, t.TempDir(), func(r *results.Run) {
		r.Trial.Steady, r.Trial.Phases = results.Phase{}, nil
		r.Trial.Ledger = results.Ledger{Reason: "the target had gone"}
		r.Trial.Error = "the target ended"
		r.Verdict = results.Verdict{Outcome: results.Error, Reason: "the target ended"}
	})
	var page bytes.Buffer
	run, err := results.Open(dir)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "samples.ndjson"), nil, 0o644))
	require.NoError(t, Report(&page, run))
	require.Contains(t, page.String(), "The data was not checked: the target had gone.")
	require.NotContains(t, page.String(), "<svg")
}

func TestReportNamesADirectoryThatHoldsNoRun(t *testing.T) {
	_, err := WriteReport(t.TempDir())
	require.ErrorIs(t, err, results.ErrNoRun)
}

func TestHandlerServesEveryRunAndNothingElse(t *testing.T) {
	store := results.Store{Dir: filepath.Join(t.TempDir(), "runs")}
	server := httptest.NewServer(Handler(store))
	defer server.Close()
	get := func(path string) (int, string) {
		res, err := server.Client().Get(server.URL + path)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(text)
	}
	code, text := get("/")
	require.Equal(t, 200, code)
	require.Contains(t, text, "There is none yet")

	id := filepath.Base(sampleRun(t, store.Dir, nil))
	require.NoError(t, os.WriteFile(filepath.Join(store.Dir, "..", "secret"), []byte("x"), 0o644))
	code, text = get("/")
	require.Equal(t, 200, code)
	require.Contains(t, text, `href="runs/`+id+`/"`)
	require.Contains(t, text, "49,876")
	code, text = get("/runs/" + id + "/")
	require.Equal(t, 200, code)
	require.Contains(t, text, "Does the page say what was measured?")
	code, text = get("/runs/" + id + "/scenario.yaml")
	require.Equal(t, 200, code)
	require.Equal(t, "name: sample\nseed: 7\n", text)
	for _, path := range []string{"/runs/nobody/", "/runs/../secret", "/runs/%2e%2e/secret", "/runs/" + id + "/..%2f..%2f..%2fsecret", "/elsewhere"} {
		code, text = get(path)
		require.NotEqual(t, 200, code, path)
		require.NotEqual(t, "x", text, path)
	}
}
