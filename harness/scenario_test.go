package harness

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sound is a scenario that the cases below break one line at a time.
const sound = `name: x
question: What?
topics: [{name: a, partitions: 2}]
payload: {size: 1KiB}
producers: {count: 2, linger: 5ms}
consumers: {groups: 1}
phases: [{warmup: 1s}, {steady: 5s, rate: 1000/s}, {drain: 5s}]
goals: [throughput >= 990/s, ack.p99 <= 20ms]
`

func TestParseSound(t *testing.T) {
	s, err := parse("x.yaml", []byte(sound), nil)
	require.NoError(t, err)
	require.Equal(t, 1000.0, s.Phases[0].Rate, "a warm-up takes the rate of the steady phase after it")
	require.Equal(t, Phase{Kind: Steady, Name: "steady", Len: 5 * time.Second, Rate: 1000, rateSet: true}, s.Phases[1])
	require.Equal(t, int64(1024), s.Payload.Size)
	require.Equal(t, Goal{Figure: "ack.p99", Op: "<=", Limit: 20e6, text: "ack.p99 <= 20ms", unit: duration}, s.Goals[1])
}

func TestParseFaults(t *testing.T) {
	cases := []struct {
		name     string
		old, new string // replaced in sound
		want     string // the faults, a line each
	}{
		{"unknown key", "count: 2", "cuont: 2",
			`x.yaml:5:13: unknown key "cuont" in producers (did you mean "count"?)`},
		{"unknown top key", "payload:", "payloads:",
			`x.yaml:4:1: unknown key "payloads" (did you mean "payload"?)`},
		{"key twice", "count: 2", "count: 2, count: 3",
			`x.yaml:5:23: "count" is given twice in producers; the first is in line 5`},
		{"bad size", "1KiB", "1 KiBB",
			`x.yaml:4:17: payload.size: "1 KiBB" is no size (write 64KiB, 1MiB or a count of bytes)`},
		{"negative size", "1KiB", "-1",
			`x.yaml:4:17: payload.size: "-1" is negative`},
		{"record beyond the batch", "1KiB", "1MiB",
			`x.yaml:4:17: payload.size: a record of 1MiB does not fit a batch.size of 64KiB`},
		{"duration without unit", "5ms", "5",
			`x.yaml:5:31: producers.linger: 5 has no unit (write 5s or 5ms)`},
		{"rate without unit", "1000/s", "50k",
			`x.yaml:7:43: phases.1.rate: "50k" has no unit (write 50k/s)`},
		{"rate that is none", "1000/s", "fast",
			`x.yaml:7:43: phases.1.rate: "fast" is no rate (write 50000/s, 50k/s or max)`},
		{"idempotence with acks 1", "count: 2", "acks: 1, idempotence: true",
			"x.yaml:5:35: producers.idempotence: needs acks all, not 1"},
		{"ramp", "1000/s", "1000/s to 5k",
			`x.yaml:7:43: phases.1.rate: "5k" has no unit (write 5k/s)`},
		{"goal above a ramp", "1000/s", "100/s to 1000/s",
			`x.yaml:8:9: goals.0: throughput >= 990/s: impossible: the schedule offers 550/s`},
		{"enum", "count: 2", "acks: al",
			`x.yaml:5:19: producers.acks: "al" is none of all, 1, 0 (did you mean "all"?)`},
		{"count out of bounds", "count: 2", "count: 0",
			`x.yaml:5:20: producers.count: 0 is outside 1 to 1000`},
		{"list for a mapping", "{size: 1KiB}", "[1]",
			`x.yaml:4:10: payload is a list of keys and values, such as {generator: …}, not a list`},
		{"mapping for a value", "1KiB", "{a: b}",
			`x.yaml:4:17: payload.size is a single value, not keys and values`},
		{"no phases", "phases: [{warmup: 1s}, {steady: 5s, rate: 1000/s}, {drain: 5s}]\n", "",
			`x.yaml:1:1: the scenario has no phases`},
		{"no steady phase", "{steady: 5s, rate: 1000/s}, ", "",
			"x.yaml:7:9: phases: no steady phase, so nothing would be counted (write {steady: 15s, rate: 50000/s})"},
		{"steady without rate", ", rate: 1000/s", "",
			`x.yaml:7:24: phases.1: a steady phase needs its rate (write rate: 50000/s, or rate: max for a closed loop)`},
		{"two kinds", "{warmup: 1s}", "{warmup: 1s, drain: 2s}",
			`x.yaml:7:30: phases.0.drain: a phase is of one kind, and this one is already a warmup`},
		{"no kind", "{warmup: 1s}", "{rate: 5/s}",
			`x.yaml:7:10: phases.0 is of no kind: one of the keys warmup, ramp, steady, pause, burst, drain must be there`},
		{"drain with a rate", "{drain: 5s}", "{drain: 5s, rate: 5/s}",
			"x.yaml:7:52: phases.2: a drain has no rate"},
		{"burst without rate", "{warmup: 1s}", "{burst: 1s}",
			"x.yaml:7:10: phases.0: a burst phase needs its rate"},
		{"step without unit", "1000/s", "1000/s then 5k",
			`x.yaml:7:43: phases.1.rate: "5k" has no unit (write 5k/s)`},
		{"sine below nothing", "1000/s", "1000/s +- 2k/s every 1s",
			`x.yaml:7:43: phases.1.rate: a swing of 2000/s around 1000/s falls below nothing`},
		{"sine without a period", "1000/s", "1000/s ± 500/s",
			`x.yaml:7:43: phases.1.rate: a rate that swings says how often`},
		{"more producers than there are", "rate: 1000/s", "rate: 1000/s, producers: 3",
			`x.yaml:7:24: phases.1: 3 producers are more than there are`},
		{"members without a protocol", "rate: 1000/s", "rate: 1000/s, members: 3",
			`x.yaml:7:24: phases.1: the number of members changes only by a group protocol`},
		{"happening in no phase", "goals:", "timeline: [{at: 1s, in: stedy, do: kill}]\ngoals:",
			`x.yaml:8:12: timeline.0: there is no phase "stedy"`},
		{"happening after the end", "goals:", "timeline: [{at: 1m, do: kill}]\ngoals:",
			`x.yaml:8:12: timeline.0: the run is over after 11s`},
		{"slow disk", "goals:", "timeline: [{at: 1s, do: slow}]\ngoals:",
			`x.yaml:8:25: timeline.0.do: a disk is slowed down below the file system`},
		{"join without a protocol", "goals:", "timeline: [{at: 1s, do: join}]\ngoals:",
			`x.yaml:8:12: timeline.0: members join only by a group protocol`},
		{"condition nobody knows early", "goals:", "abort: [ledger.lost > 0]\ngoals:",
			`x.yaml:8:9: abort.0: ledger.lost is known only at the end`},
		{"lean transactions", "producers: {count: 2", "client: lean\nproducers: {transaction.records: 5",
			`x.yaml:6:34: producers.transaction.records: a transaction needs client: kgo`},
		{"transform that nobody reads", "consumers: {groups: 1}", "transform: {workers: 1}",
			`x.yaml:6:12: transform: nobody reads the outputs`},
		{"weight of no size", "{size: 1KiB}", "{size.weights: {1KX: 5}}",
			`x.yaml:4:31: payload.size.weights: "1KX" is no size`},
		{"unknown figure", "throughput >=", "thruput >=",
			`x.yaml:8:9: goals.0: unknown figure "thruput" (did you mean "throughput"?)`},
		{"goal without unit", "20ms", "20",
			`x.yaml:8:30: goals.1: ack.p99: 20 has no unit (write 20s or 20ms)`},
		{"goal of another unit", "20ms", "20MiB",
			`x.yaml:8:30: goals.1: ack.p99: "20MiB" is no duration (write 5ms, 30s, 2h, 7d)`},
		{"goal above the schedule", "990/s", "60000/s",
			`x.yaml:8:9: goals.0: throughput >= 60000/s: impossible: the schedule offers 1,000/s, and no target can acknowledge more than it is offered`},
		{"goal in no phase", "20ms", "20ms in stead",
			`x.yaml:8:30: goals.1: ack.p99 <= 20ms in stead: there is no phase "stead" (did you mean "steady"?)`},
		{"goal of p100", "ack.p99", "ack.p100",
			`x.yaml:8:30: goals.1: unknown figure "ack.p100"`},
		{"goal nobody measures", "consumers: {groups: 1}", "goals: [lag.max <= 5]",
			`x.yaml:6:9: goals.0: lag.max <= 5: nobody consumes in this scenario`},
		{"goal that is none", "throughput >= 990/s", "throughput",
			`x.yaml:8:9: goals.0: "throughput" is no goal`},
		{"knob", "goals:", "broker: {validate.dept: crc}\ngoals:",
			`x.yaml:8:25: unknown knob "validate.dept" (did you mean "validate.depth"?)`},
		{"knob's value", "goals:", "broker: {validate.depth: crcs}\ngoals:",
			`x.yaml:8:26: validate.depth: "crcs" is none of crc, records, none (did you mean "crc"?)`},
		{"file that is not there", "size: 1KiB", "file: /no/such.log",
			`x.yaml:4:17: payload.file: stat /no/such.log: no such file or directory`},
		{"no name", "name: x\n", "", `x.yaml:1:1: the scenario has no name`},
		{"several at once", "payload: {size: 1KiB}\nproducers: {count: 2, linger: 5ms}",
			"payload: {size: 1KX}\nproducers: {cuont: 2, linger: 5x}",
			"x.yaml:4:17: payload.size: \"1KX\" is no size\nx.yaml:5:13: unknown key \"cuont\"\nx.yaml:5:31: producers.linger: \"5x\" is no duration"},
		{"empty file", sound, "", "x.yaml: the file is empty: begin with"},
		{"broken YAML", "phases: [", "phases: [[", "x.yaml: no sound YAML: "},
		{"scalar file", sound, "hello", `x.yaml:1:1: a scenario is a list of keys and values`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			require.Contains(t, sound, c.old)
			_, err := parse("x.yaml", []byte(strings.Replace(sound, c.old, c.new, 1)), nil)
			var f *Faults
			require.ErrorAs(t, err, &f)
			want := strings.Split(c.want, "\n")
			require.GreaterOrEqual(t, len(f.List), len(want), "%v", f)
			for i, w := range want {
				require.True(t, strings.HasPrefix(f.List[i], w), "fault %d:\n got %s\nwant %s", i, f.List[i], w)
			}
			require.Equal(t, 2, ExitCode(nil, err))
		})
	}
}

func TestSets(t *testing.T) {
	s, err := parse("x.yaml", []byte(sound), []string{
		"producers.acks=1", "producers.batch.size=128KiB", "phases.steady.rate=2k/s", "phases.warmup=250ms",
		"topics.a.partitions=8", "topics.0.config.retention.ms=1000", "goals=[errors == 0]", "validate.depth=crc", "broker.num.partitions=3",
		"name=y", "seed=7",
	})
	require.NoError(t, err)
	require.Equal(t, "1", s.Producers.Acks)
	require.Equal(t, int64(128<<10), s.Producers.BatchSize)
	require.Equal(t, 2000.0, s.Phases[1].Rate)
	require.Equal(t, 2000.0, s.Phases[0].Rate, "the warm-up follows a rate that was set")
	require.Equal(t, 250*time.Millisecond, s.Phases[0].Len)
	require.Equal(t, 8, s.Topics[0].Partitions)
	require.Equal(t, map[string]string{"retention.ms": "1000"}, s.Topics[0].Config)
	require.Len(t, s.Goals, 1)
	require.Equal(t, map[string]string{"validate.depth": "crc", "num.partitions": "3"}, s.Broker)
	require.Equal(t, "y", s.Name)
	require.Equal(t, uint64(7), s.Seed)

	for set, want := range map[string]string{
		"producers.acks=al":          `--set producers.acks=al: producers.acks: "al" is none of`,
		"producer.acks=1":            `--set producer.acks=1: unknown setting "producer.acks": neither a scenario path nor a broker knob (did you mean "producers.acks"?)`,
		"validate.depth=x":           `--set validate.depth=x: validate.depth: "x" is none of`,
		"validate.dept=crc":          `--set validate.dept=crc: unknown setting "validate.dept"`,
		"producers":                  `--set producers: a setting is path=value`,
		"phases.steady.rate=500/s":   `x.yaml:8:9: goals.0: throughput >= 990/s: impossible: the schedule offers 500/s`,
		"goals=[ack.p99 <= 2]":       `--set goals=[ack.p99 <= 2]: goals.0: ack.p99: 2 has no unit`,
		"payload.size=1MiB":          `--set payload.size=1MiB: payload.size: a record of 1MiB does not fit`,
		"payload.file=/no/such/file": `--set payload.file=/no/such/file: payload.file: stat`,
		"phases.steady.rate=1e99/s":  `--set phases.steady.rate=1e99/s: phases.1.rate: 1e99/s is outside`,
	} {
		_, err := parse("x.yaml", []byte(sound), []string{set})
		require.Error(t, err, set)
		require.True(t, strings.HasPrefix(err.Error(), want), "got  %s\nwant %s", err, want)
	}
}

func TestLoadFindsNothing(t *testing.T) {
	_, err := Load("quickstrat", nil)
	require.ErrorContains(t, err, `no scenario "quickstrat" in the library, and no such file (did you mean "quickstart"?)`)
	_, err = Load("./nowhere.yaml", nil)
	require.ErrorContains(t, err, "no such file")
	var f *Faults
	require.True(t, errors.As(err, &f))

	file := t.TempDir() + "/mine.yaml"
	require.NoError(t, os.WriteFile(file, []byte(sound), 0o644))
	require.NoError(t, Validate(file))
}

func TestPlan(t *testing.T) {
	s, err := parse("x.yaml", []byte(sound), []string{"goals=[ack.p99 <= 20ms, ack.p99.9 <= 50ms]"})
	require.NoError(t, err)
	p, err := s.Plan()
	require.NoError(t, err)
	require.Equal(t, 11*time.Second, p.Duration)
	require.Equal(t, 6000.0, p.Records)
	require.Equal(t, 6000.0*1024, p.Bytes)
	require.Greater(t, p.DiskFree, 0.0)
	require.Equal(t, []string{"ack.p99.9 <= 50ms: 5,000 records are too few to tell p99.9 (10,000 are needed); it will be INCONCLUSIVE"}, p.Warnings)

	s, err = parse("x.yaml", []byte(sound), []string{"phases.steady=9d", "phases.steady.rate=1M/s", "goals=[errors == 0]"})
	require.NoError(t, err)
	p, err = s.Plan()
	require.NoError(t, err)
	require.Len(t, p.Warnings, 1)
	require.True(t, p.TooBig())
	require.Contains(t, p.Warnings[0], "it will be refused")
	var b strings.Builder
	p.Write(&b)
	require.Contains(t, b.String(), "steady     216h0m0s at 1,000,000 records/s")
}

// Whatever a goal says, it parses to something that says the same, or errs.
func FuzzGoal(f *testing.F) {
	for _, s := range []string{"ack.p99 <= 20ms", "throughput >= 50k/s in steady", "rss.max<256MiB", "errors == 0", "e2e.p99.9 < 1s", "a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := parseGoal(s)
		if err != nil {
			return
		}
		again, err := parseGoal(g.String())
		if err != nil || again != g {
			t.Fatalf("%q: %+v, again %+v, %v", s, g, again, err)
		}
		if !(g.Limit >= 0) {
			t.Fatalf("%q: limit %v", s, g.Limit)
		}
		if g.histogram() == "" && figures[g.Figure].of == nil {
			t.Fatalf("%q: a figure that nothing reads", s)
		}
	})
}

// The scenario parser neither panics nor takes what its own form refuses.
func FuzzScenario(f *testing.F) {
	f.Add(sound, "producers.acks=1")
	f.Add("a: &a [*a]", "x=y")
	f.Add("{name: x, phases: [{steady: 1s}]}", "goals=[")
	f.Fuzz(func(t *testing.T, text, set string) {
		s, err := parse("x.yaml", []byte(text), []string{set})
		if err == nil {
			if _, err := parse("again.yaml", s.YAML(), nil); err != nil {
				t.Fatalf("%q resolved to %q: %v", text, s.YAML(), err)
			}
		}
	})
}
