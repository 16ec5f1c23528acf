package harness

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/harness/load"
	"millrace/results"
)

// Every shape of schedule means after writing what it meant before, and holds as
// many records as its curve says.
func TestRates(t *testing.T) {
	for text, want := range map[string]float64{
		"1000/s":                      10_000,
		"0/s to 2k/s":                 math.NaN(), // 0.1/s is the least
		"100/s to 1900/s":             10_000,
		"1k/s then 3k/s":              20_000,
		"1k/s then 2k/s then 1.5k/s ": 15_000,
		"1k/s +- 500/s every 5s":      10_000,
		"1k/s ± 1k/s every 2s":        10_000,
		"max":                         0,
	} {
		p := Phase{Kind: Steady, Len: 10 * time.Second}
		l := rate(&p)
		err := l.parse(text)
		if math.IsNaN(want) {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.InDelta(t, want, p.records(), 2, text)
		again := Phase{Kind: Steady, Len: p.Len}
		require.NoError(t, rate(&again).parse(l.show()), l.show())
		require.Equal(t, p, again, text)
	}
	p := Phase{Kind: Steady, Len: 10 * time.Second}
	require.NoError(t, rate(&p).parse("1k/s then 3k/s"))
	require.InDelta(t, 1000, p.rateOver(0, 5*time.Second), 1)
	require.InDelta(t, 3000, p.rateOver(6*time.Second, 9*time.Second), 1)
}

const suffering = `name: suffering
question: What do faults cost?
topics: [{name: a, partitions: 2}]
payload: {size: 200B}
producers: {linger: 1ms}
consumers: {groups: 1, fetch.max.wait: 50ms}
phases: [{warmup: 300ms}, {steady: 1500ms, rate: 2000/s}, {drain: 30s}]
goals: [ledger.lost == 0, recovery.time <= 1m]
`

// A target that is killed as the timeline says goes on being measured, and what
// it forgot is found out, also where it had been read before.
func TestTimelineKills(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		binary func(*testing.T) string
		want   results.Outcome
	}{{"keeps", coreBinary, results.Pass}, {"forgets", func(*testing.T) string { return "" }, results.Violation}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := parse("x.yaml", []byte(suffering), []string{
				"timeline=[{at: 500ms, in: steady, do: kill, for: 200ms}]"})
			require.NoError(t, err)
			o := options(t, s, "child")
			o.Binary = c.binary(t)
			run, err := Run(deadline(t), o)
			require.NoError(t, err)
			require.Equal(t, c.want, run.Verdict.Outcome, "%+v %+v", run.Verdict, run.Trial)
			require.Len(t, run.Trial.Faults, 1)
			f := run.Trial.Faults[0]
			require.Equal(t, "kill", f.Do)
			require.GreaterOrEqual(t, f.AtS, 0.799)
			require.Greater(t, f.OverS-f.AtS, 0.2)
			l := run.Trial.Ledger
			if c.want == results.Violation { // all that was read before the kill is missing, not the tail alone
				require.Greater(t, l.Lost, int64(1000), "%+v", l)
				return
			}
			require.True(t, l.Verified)
			require.EqualValues(t, 3600, l.Acknowledged, "the load went on: %+v", l)
			require.GreaterOrEqual(t, l.ReadBack, 2*l.Acknowledged, "read live, and once more")
			require.Greater(t, f.UnavailableS, 0.2)
			require.GreaterOrEqual(t, run.Trial.UnavailableS, f.UnavailableS)
			require.NotNil(t, f.FirstAckS)
		})
	}
}

// A target that stands still is not dead; one without room refuses, and what it
// acknowledged is there all the same.
func TestTimelineStopsAndFills(t *testing.T) {
	t.Parallel()
	s, err := parse("x.yaml", []byte(suffering), []string{
		"timeline=[{at: 300ms, in: steady, do: stop, for: 400ms}, {at: 1s, in: steady, do: evict}]"})
	require.NoError(t, err)
	o := options(t, s, "child")
	o.Binary = coreBinary(t)
	run, err := Run(deadline(t), o)
	require.NoError(t, err)
	require.Equal(t, results.Pass, run.Verdict.Outcome, "%+v %+v", run.Verdict, run.Trial)
	require.Greater(t, run.Trial.Faults[0].UnavailableS, 0.35)
	require.Equal(t, "evict", run.Trial.Faults[1].Do)
	require.Contains(t, joined(run.Trial.Notes), "left the page cache")

	// Acknowledgements and errors come from the lean client at once: kgo would
	// try again until the end of the drain.
	s, err = parse("x.yaml", []byte(suffering), []string{"client=lean", "goals=[ledger.lost == 0]", "broker={segment.prealloc: false}",
		"timeline=[{at: 700ms, in: steady, do: full, for: 5s}]", "phases=[{warmup: 300ms}, {steady: 1500ms, rate: 2000/s}, {drain: 2s}]"})
	require.NoError(t, err)
	o = options(t, s, "child")
	o.Binary = coreBinary(t)
	run, err = Run(deadline(t), o)
	require.NoError(t, err)
	l := run.Trial.Ledger
	require.Zero(t, l.Violations(), "%+v", l)
	require.Less(t, l.Acknowledged, int64(3600), "the disk was full: %+v", run.Trial.Faults)
	require.Positive(t, l.Acknowledged)
}

func joined(list []string) (all string) {
	for _, s := range list {
		all += s + "\n"
	}
	return all
}

// Only what the lab starts can be made to suffer.
func TestTimelineNeedsAProcess(t *testing.T) {
	s, err := parse("x.yaml", []byte(suffering), []string{"timeline=[{at: 1s, do: stop}]"})
	require.NoError(t, err)
	_, err = Run(deadline(t), options(t, s, "inprocess"))
	require.ErrorContains(t, err, "only to a process that the lab starts")
	require.Equal(t, 2, ExitCode(nil, err))
}

// A run ends early once a goal can no longer be met, and not before.
func TestAbort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		goal, abort string
		early       bool
	}{
		{"ack.max <= 1ns", "goals", true},
		{"ack.p50 <= 1ns", "goals", true},
		{"ack.p50 <= 1m", "goals", false},
		{"ack.p50 <= 1m", "ack.p50 > 1ns", true},
		{"ack.p50 <= 1m", "errors > 0", false},
	} {
		t.Run(c.goal+" "+c.abort, func(t *testing.T) {
			t.Parallel()
			length := "3s"
			if c.early {
				length = "60s"
			}
			s, err := parse("x.yaml", []byte(suffering), []string{"phases=[{steady: " + length + ", rate: 1000/s}, {drain: 10s}]",
				"goals=[" + c.goal + "]", "abort=[" + c.abort + "]"})
			require.NoError(t, err)
			run, err := Run(deadline(t), options(t, s, "inprocess"))
			require.NoError(t, err)
			if c.early {
				require.Less(t, run.Trial.Steady.LenS, 50.0)
				require.Equal(t, results.Fail, run.Verdict.Outcome)
				require.Contains(t, run.Verdict.Reason, "stopped early: ")
				require.Zero(t, run.Trial.Ledger.Violations()+run.Trial.Ledger.Unchecked, "what was sent was read: %+v", run.Trial.Ledger)
				return
			}
			require.Greater(t, run.Trial.Steady.LenS, 2.9)
			require.NotContains(t, run.Verdict.Reason, "early")
		})
	}
}

// What may still be met is not given up: a percentile over its limit can come
// down again as long as enough is to come.
func TestHopeless(t *testing.T) {
	s, err := parse("x.yaml", []byte(suffering), []string{"phases=[{steady: 100s, rate: 100/s}]",
		"goals=[ack.p99 <= 1ms, errors <= 5]", "abort=[goals]"})
	require.NoError(t, err)
	add := func(f *sofar, slow int64, errors int64) string {
		h := load.NewHistogram()
		h.Record(int64(5*time.Millisecond), slow)
		return f.add(load.Sample{Errors: errors, Latency: load.Latency{load.Ack: h}}, "steady", Steady)
	}
	f := newSofar(s)
	require.Empty(t, add(f, 500, 0), "the first sample may hold what the warm-up left")
	require.Empty(t, add(f, 90, 2), "90 of 10,000")
	require.Empty(t, add(f, 10, 3))
	require.Contains(t, add(f, 5, 0), "ack.p99 <= 1ms can no longer be met")
	require.Contains(t, add(newSofar(s), 0, 6), "errors <= 5 can no longer be met")
}

func TestEvict(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sub", "segment.log")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, make([]byte, 4<<20), 0o644))
	e, err := evict(dir)
	require.NoError(t, err)
	require.EqualValues(t, 4<<20, e.bytes)
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	b := make([]byte, 4<<20)
	_, err = f.Read(b)
	require.NoError(t, err)
	require.EqualValues(t, 4<<20, resident(f, 4<<20), "what was read is there again")
}
