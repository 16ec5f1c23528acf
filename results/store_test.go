package results

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"
)

func sampleRun() *Run {
	f := 1.5
	return &Run{
		Scenario: []byte("name: x\n"),
		Env:      Env{OS: "linux", Arch: "amd64", CPUModel: "made up", GOMAXPROCS: 2, Knobs: map[string]string{"read.path": "copy"}},
		Trial: Trial{Version: Version, Scenario: "x", Question: "What?", Started: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
			Target: TargetInfo{Kind: "child"},
			Steady: Phase{Name: "steady", Acked: Flow{Records: 1000, Bytes: 1 << 20, Rate: 500, ByteRate: 1 << 19},
				Latency: map[string]Quantiles{Ack: {Count: 1000, P50Ns: 1e6, P99Ns: 5e6}},
				Target:  &Cost{PerRecord: PerRecord{CPUNs: 2100, Allocs: &f}}}},
		Verdict: Verdict{Outcome: Pass, Goals: []Goal{{Expr: "errors == 0", Outcome: Pass}}},
	}
}

func TestStore(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "runs")}
	ids, err := s.List()
	require.NoError(t, err)
	require.Empty(t, ids)

	h := hdrhistogram.New(1, 1e12, 3)
	for i := range int64(1000) {
		require.NoError(t, h.RecordValue(i*1e4))
	}
	run := sampleRun()
	samples := []Sample{{T: 1, Phase: "steady", Acked: 500}, {T: 2, Phase: "steady", Acked: 501}}
	histograms := []Tagged{{Histogram: Ack, Phase: "steady-2", Start: 3 * time.Second, Len: 15 * time.Second, H: h}}
	d, err := s.Begin("x", run.Trial.Started)
	require.NoError(t, err)
	require.NoError(t, d.Write(run, samples, histograms))

	ids, err = s.List()
	require.NoError(t, err)
	require.Empty(t, ids, "an unfinished directory is no run")
	dir, err := d.Commit()
	require.NoError(t, err)
	d.Discard()
	ids, err = s.List()
	require.NoError(t, err)
	require.Equal(t, []string{"20260102T030405Z-x"}, ids)

	got, err := Open(dir)
	require.NoError(t, err)
	run.ID, run.Dir = ids[0], dir
	require.Equal(t, run, got)
	gotSamples, err := got.Samples()
	require.NoError(t, err)
	require.Equal(t, samples, gotSamples)

	hs, err := got.Histograms()
	require.NoError(t, err)
	require.Len(t, hs, 1)
	require.Equal(t, Ack, hs[0].Histogram)
	require.Equal(t, "steady-2", hs[0].Phase)
	require.Equal(t, 3*time.Second, hs[0].Start)
	require.Equal(t, 15*time.Second, hs[0].Len)
	require.True(t, h.Equals(hs[0].H), "nothing of the histogram is lost")
	require.Equal(t, QuantilesOf(h, 0), QuantilesOf(hs[0].H, 0))

	// A second run of the same second gets a name of its own.
	d, err = s.Begin("x", run.Trial.Started)
	require.NoError(t, err)
	require.NoError(t, d.Write(sampleRun(), nil, nil))
	_, err = d.Commit()
	require.NoError(t, err)
	ids, err = s.List()
	require.NoError(t, err)
	require.Equal(t, []string{"20260102T030405Z-x", "20260102T030405Z-x.2"}, ids)
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir)
	require.ErrorIs(t, err, ErrNoRun)

	s := Store{Dir: dir}
	d, err := s.Begin("x", time.Now())
	require.NoError(t, err)
	run := sampleRun()
	run.Trial.Version = Version + 1
	require.NoError(t, d.Write(run, nil, nil))
	at, err := d.Commit()
	require.NoError(t, err)
	_, err = Open(at)
	require.ErrorContains(t, err, "newer version")
	require.NoError(t, os.WriteFile(filepath.Join(at, VerdictFile), []byte("{"), 0o644))
	_, err = Open(at)
	require.Error(t, err)
}

// bench.txt is what benchstat reads: its own parser says so.
func TestBench(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteBench(&b, sampleRun(), sampleRun()))
	r := benchfmt.NewReader(strings.NewReader(b.String()), "bench.txt")
	lines := 0
	for r.Scan() {
		switch rec := r.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Fatal(rec)
		case *benchfmt.Result:
			lines++
			require.Equal(t, "Scenario/x/target=child/read.path=copy-2", rec.Name.String())
			v, ok := rec.Value("records/s")
			require.True(t, ok)
			require.Equal(t, 500.0, v)
			v, ok = rec.Value("ack-p99-sec") // the format keeps times in seconds
			require.True(t, ok)
			require.Equal(t, 5e-3, v)
			_, ok = rec.Value("e2e-p99-sec")
			require.False(t, ok, "what was not measured is not there")
			require.Equal(t, "linux", rec.GetConfig("goos"))
		}
	}
	require.NoError(t, r.Err())
	require.Equal(t, 2, lines)
	require.Equal(t, 1, r.Units().GetBetter("records/s"))
}

func TestOutcome(t *testing.T) {
	require.Equal(t, Pass, Worst())
	require.Equal(t, Fail, Worst(Pass, Fail, Inconclusive))
	require.Equal(t, Violation, Worst(Interrupted, Violation, Invalid))
	codes := map[Outcome]int{Pass: 0, Error: 1, Fail: 10, Inconclusive: 11, Invalid: 12, Violation: 13, Interrupted: 130}
	for o, code := range codes {
		require.Equal(t, code, o.ExitCode(), o)
	}
}

// A ratio without an interval still fits into JSON, which knows no NaN.
func TestComparison(t *testing.T) {
	c := Comparison{Alternatives: []Alternative{
		{Name: "a", Metrics: map[string]Metric{"throughput": {Values: []float64{1, 2}}, "ack.p99": {Values: []float64{5, 5}}}},
		{Name: "b", Metrics: map[string]Metric{"throughput": {Values: []float64{2, 4}}}},
	}}
	c.Judge()
	require.Nil(t, c.Alternatives[0].Metrics["throughput"].Ratio)
	require.Equal(t, 2.0, c.Alternatives[1].Metrics["throughput"].Ratio.Value)
	require.Equal(t, 3.0, c.Alternatives[1].Metrics["throughput"].Median)
	_, err := json.Marshal(c)
	require.NoError(t, err)
}
