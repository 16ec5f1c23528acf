package harness

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"millrace/results"
)

// healthy is a trial in which all went well, for the cases to break.
func healthy() *results.Trial {
	q := func(ms float64) results.Quantiles {
		n := int64(ms * 1e6)
		return results.Quantiles{Count: 100_000, MinNs: n / 4, MeanNs: float64(n) / 2, P50Ns: n / 2, P90Ns: n * 3 / 4, P95Ns: n * 9 / 10,
			P99Ns: n, P999Ns: 2 * n, P9999Ns: 3 * n, MaxNs: 4 * n}
	}
	cost := func() *results.Cost { return &results.Cost{CPUS: 1, RSSMax: 50 << 20} }
	p := results.Phase{
		Name: "steady", Kind: Steady, LenS: 5, ScheduledRate: 1000,
		Sent: results.Flow{Records: 5000, Bytes: 5 << 20, Rate: 1000, ByteRate: 1 << 20},
		Latency: map[string]results.Quantiles{
			results.ScheduleLag: q(0.1), results.SendBlock: q(0.01), results.Ack: q(8), results.EndToEnd: q(12), results.Service: q(7),
		},
		Target: cost(), Generator: cost(),
	}
	p.Acked, p.Consumed = p.Sent, p.Sent
	p.Target.PerRecord.CPUNs = 2000
	drain := 0.2
	return &results.Trial{
		Question: "What?", Target: results.TargetInfo{Kind: "child"}, Steady: p, Phases: []results.Phase{p}, DrainS: &drain,
		Ledger: results.Ledger{Checked: true, Acknowledged: 5000, ReadBack: 5000},
	}
}

func TestJudge(t *testing.T) {
	lag := func(t *results.Trial, ms int64) {
		q := t.Steady.Latency[results.ScheduleLag]
		q.P99Ns = ms * 1e6
		t.Steady.Latency[results.ScheduleLag] = q
	}
	cases := []struct {
		name   string
		goals  string
		change func(t *results.Trial)
		end    ending
		want   results.Outcome
		goal   results.Outcome // of the first goal; "": not looked at
		reason string
	}{
		{name: "met", goals: "throughput >= 990/s, ack.p99 <= 20ms, rss.max <= 64MiB, ledger.lost == 0, drain.time <= 1s", want: results.Pass},
		{name: "no goals", goals: "", want: results.Pass},
		{name: "missed", goals: "ack.p99 <= 5ms", want: results.Fail, goal: results.Fail},
		{name: "throughput missed", goals: "throughput >= 990/s", want: results.Fail,
			change: func(t *results.Trial) { t.Steady.Acked.Rate = 900 }},
		{name: "too few samples", goals: "ack.p99.99 <= 1s", want: results.Inconclusive, goal: results.Inconclusive,
			change: func(t *results.Trial) { q := t.Steady.Latency["ack"]; q.Count = 99_999; t.Steady.Latency["ack"] = q }},
		{name: "just enough", goals: "ack.p99.99 <= 1s", want: results.Pass},
		{name: "not measured", goals: "allocs_per_record <= 1", want: results.Inconclusive, goal: results.Inconclusive},
		{name: "a miss outweighs what nobody can tell", goals: "allocs_per_record <= 1, ack.p99 <= 5ms", want: results.Fail},
		{name: "too short", goals: "throughput >= 990/s", want: results.Inconclusive,
			change: func(t *results.Trial) { t.Steady.LenS = 0.5 }},

		// The generator's fault, and what only looks like it.
		{name: "late generator", goals: "ack.p99 <= 5ms", want: results.Invalid, goal: results.Invalid, reason: "the generator or the machine",
			change: func(t *results.Trial) {
				t.Audit.LateShare = 0.02
				lag(t, 7)
				q := t.Steady.Latency["service"]
				q.P99Ns = 1e6
				t.Steady.Latency["service"] = q
			}},
		{name: "late generator, slow target", goals: "ack.p99 <= 5ms", want: results.Fail,
			change: func(t *results.Trial) { t.Audit.LateShare = 0.02; lag(t, 7) }},
		{name: "late generator, goal met", goals: "ack.p99 <= 20ms", want: results.Pass,
			change: func(t *results.Trial) { t.Audit.LateShare = 0.02; lag(t, 7) }},
		{name: "a stalled target makes the schedule lag, not the generator", goals: "ack.p99 <= 5ms", want: results.Fail,
			change: func(t *results.Trial) { lag(t, 7) }},
		{name: "underfed", goals: "throughput >= 990/s", want: results.Invalid,
			change: func(t *results.Trial) {
				t.Steady.Sent.Rate, t.Steady.Acked.Rate, t.Audit.LateShare = 800, 800, 0.3
			}},
		{name: "steal", goals: "ack.p99 <= 5ms", want: results.Invalid,
			change: func(t *results.Trial) { t.Steady.Steal = 0.2 }},
		{name: "a busy machine", goals: "ack.p99 <= 5ms", want: results.Invalid,
			change: func(t *results.Trial) { t.Steady.Others = val(0.4) }},
		{name: "the kernel's own threads", goals: "ack.p99 <= 5ms", want: results.Fail,
			change: func(t *results.Trial) { t.Steady.Others = val(0.05) }},
		{name: "steal excuses no lost record", goals: "ledger.lost == 0", want: results.Violation, goal: results.Fail,
			change: func(t *results.Trial) { t.Steady.Steal = 0.2; t.Ledger.Lost = 1 }},

		// The data.
		{name: "lost", goals: "throughput >= 990/s", want: results.Violation, reason: "of the records acknowledged, 3 were lost, 1 was out of order",
			change: func(t *results.Trial) { t.Ledger.Lost, t.Ledger.Reordered = 3, 1 }},
		{name: "lost and interrupted", end: ending{interrupted: true}, want: results.Violation,
			change: func(t *results.Trial) { t.Ledger.Corrupt = 1 }},
		{name: "not checked", want: results.Inconclusive, reason: "5,000 acknowledged records could not be read back: no consumer",
			change: func(t *results.Trial) {
				t.Ledger = results.Ledger{Acknowledged: 5000, Unchecked: 5000, Reason: "no consumer"}
			}},

		// The end.
		{name: "interrupted", goals: "throughput >= 990/s", end: ending{interrupted: true}, want: results.Interrupted, goal: results.Inconclusive},
		{name: "died", goals: "throughput >= 990/s", end: ending{broken: "the target died: signal: killed"}, want: results.Fail,
			goal: results.Inconclusive, reason: "the target died: signal: killed"},
		{name: "died, and the generator could not send", goals: "throughput >= 990/s", end: ending{broken: "the target died"}, want: results.Fail, goal: results.Fail,
			change: func(t *results.Trial) {
				t.Steady.Sent.Rate, t.Steady.Acked.Rate, t.Audit.LateShare = 800, 800, 0.5
			}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse("x.yaml", []byte(sound), []string{"goals=[" + c.goals + "]"})
			require.NoError(t, err)
			trial := healthy()
			if c.change != nil {
				c.change(trial)
			}
			v := judge(s, trial, c.end)
			require.Equal(t, c.want, v.Outcome, "%+v", v)
			if c.goal != "" {
				require.Equal(t, c.goal, v.Goals[0].Outcome, "%+v", v)
			}
			require.Contains(t, v.Reason, c.reason)

			var b strings.Builder
			Summary(&b, &results.Run{Trial: *trial, Verdict: v, Dir: "results/runs/x"})
			for line := range strings.Lines(b.String()) {
				require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), 80, line)
			}
			require.Contains(t, b.String(), string(v.Outcome))
		})
	}
}

// A closed loop at the client's own ceiling says nothing against the target.
func TestJudgeCeiling(t *testing.T) {
	s, err := parse("x.yaml", []byte(sound), []string{"goals=[throughput >= 2M/s]", "phases.steady.rate=max"})
	require.NoError(t, err)
	trial := healthy()
	trial.Steady.Acked.Rate, trial.Audit.CeilingRate = 950, 1000
	v := judge(s, trial, ending{})
	require.Equal(t, results.Invalid, v.Outcome)
	require.True(t, trial.Audit.Limited)

	trial.Audit.CeilingRate = 2000
	trial.Audit.Limited, trial.Audit.Reason = false, ""
	require.Equal(t, results.Fail, judge(s, trial, ending{}).Outcome, "well below its ceiling the client was not the limit")
}

func TestAnswer(t *testing.T) {
	s, err := parse("x.yaml", []byte(sound), nil)
	require.NoError(t, err)
	require.Equal(t, "The broker acknowledged 1,000 records/s (1 MiB/s) of 1,000 scheduled, ack p50 4 ms and p99 8 ms, "+
		"end to end p50 6 ms and p99 12 ms; its CPU cost is 2 µs per record.", answer(s, healthy()))
	require.Equal(t, "Nothing was measured.", answer(s, &results.Trial{}))
}

func TestFormat(t *testing.T) {
	for want, got := range map[string]string{
		"0": results.FormatNs(0), "999 ns": results.FormatNs(999), "1 µs": results.FormatNs(999.6), "1.23 ms": results.FormatNs(1_234_567), "12.3 s": results.FormatNs(12.34e9),
		"1,234,567": results.FormatCount(1234567), "-1,000": results.FormatCount(-1000), "0.5": results.FormatCount(0.5), "99.5": results.FormatCount(99.5), "100": results.FormatCount(100.4),
		"1 KiB": results.FormatBytes(1024), "48.8 MiB": results.FormatBytes(50000 * 1024), "0 B": results.FormatBytes(0),
	} {
		require.Equal(t, want, got)
	}
}
