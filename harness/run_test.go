package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/results"
)

const short = `name: short
question: Does a run leave what it promises?
topics: [{name: a, partitions: 2}]
payload: {size: 200B}
keys: {distribution: zipf, count: 100}
producers: {linger: 1ms}
consumers: {groups: 2, fetch.max.wait: 50ms}
phases: [{warmup: 200ms}, {steady: 700ms, rate: 2000/s}, {steady: 600ms, rate: 1000/s}, {drain: 10s}]
goals: [lag.max <= 1000000, ack.p50 <= 1m, ack.p99.99 <= 1m, errors == 0, ledger.lost == 0]
`

func shortScenario(t *testing.T, sets ...string) *Scenario {
	s, err := parse("short.yaml", []byte(short), sets)
	require.NoError(t, err)
	return s
}

// options run the test binary as the broker.
func options(t *testing.T, s *Scenario, target string) RunOptions {
	return RunOptions{Scenario: s, Target: target, OutDir: filepath.Join(t.TempDir(), "runs"),
		DataDir: filepath.Join(t.TempDir(), "data"), audit: 200 * time.Millisecond}
}

// deadline bounds a test's run: a hang is what several of them look for.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestRun(t *testing.T) {
	targets := map[string]func(t *testing.T) string{
		"child":     func(t *testing.T) string { return "child" },
		"inprocess": func(t *testing.T) string { return "inprocess" },
		"external":  func(t *testing.T) string { return "external:" + fakeBroker(t) },
		"command": func(t *testing.T) string {
			file := filepath.Join(t.TempDir(), "fake.yaml")
			exe, err := os.Executable()
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, []byte("start: "+exe+" serve --port $PORT --data $DATA\naddress: 127.0.0.1:$PORT\nversion: echo fake 1.0\n"), 0o644))
			return "command:" + file
		},
	}
	for name, target := range targets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shortScenario(t)
			var progress bytes.Buffer
			o := options(t, s, target(t))
			o.Binary = coreBinary(t)
			o.Progress = &progress
			run, err := Run(deadline(t), o)
			require.NoError(t, err, "%s", &progress)
			checkRun(t, s, run, name)
			require.Contains(t, progress.String(), "short steady")
			left, _ := os.ReadDir(o.DataDir)
			require.Empty(t, left, "the target's data is removed")
			if run.Trial.Target.PID > 0 {
				require.False(t, alive(run.Trial.Target.PID))
			}
		})
	}
}

// checkRun holds a run directory against its schema and against itself.
func checkRun(t *testing.T, s *Scenario, run *results.Run, kind string) {
	require.Equal(t, results.Inconclusive, run.Verdict.Outcome, "%+v", run.Verdict)
	require.Equal(t, 11, ExitCode(run, nil))
	for i, want := range []results.Outcome{results.Pass, results.Pass, results.Inconclusive, results.Pass, results.Pass} {
		require.Equal(t, want, run.Verdict.Goals[i].Outcome, "%+v", run.Verdict.Goals[i])
	}

	stored, err := results.Open(run.Dir)
	require.NoError(t, err)
	// What is stored is what was returned, to the last field.
	for file, v := range map[string]any{results.EnvFile: run.Env, results.TrialFile: run.Trial, results.VerdictFile: run.Verdict} {
		b, err := os.ReadFile(filepath.Join(run.Dir, file))
		require.NoError(t, err)
		want, err := json.Marshal(v)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(b), file)
	}
	again, err := parse("scenario.yaml", stored.Scenario, nil)
	require.NoError(t, err)
	require.Equal(t, s, again, "the stored scenario means the same")

	tr := &stored.Trial
	require.Equal(t, kind, tr.Target.Kind)
	require.NotEmpty(t, stored.Env.CPUModel)
	require.NotEmpty(t, stored.Env.FileSystem.Type)
	var names []string
	var sent int64
	for _, p := range tr.Phases {
		names = append(names, p.Name)
		sent += p.Sent.Records
	}
	require.Equal(t, []string{"warmup", "steady", "steady-2", "drain"}, names)
	require.Equal(t, tr.Phases[1].Sent.Records+tr.Phases[2].Sent.Records, tr.Steady.Sent.Records)
	require.InDelta(t, tr.Phases[1].LenS+tr.Phases[2].LenS, tr.Steady.LenS, 1e-9)
	require.Equal(t, sent, tr.Ledger.Acknowledged)
	require.True(t, tr.Ledger.Checked)
	require.Equal(t, 2*sent, tr.Ledger.ReadBack, "two groups")
	if kind == "child" || kind == "inprocess" {
		require.Equal(t, knobDefault("sync.policy"), tr.Promise)
		require.Equal(t, knobDefault("validate.depth"), tr.Validation)
	}
	if !strings.Contains(strings.Join(tr.Notes, " "), "too busy for it") {
		require.Positive(t, tr.Audit.CeilingRate)
	}
	require.NotNil(t, tr.DrainS)
	hs, err := stored.Histograms()
	require.NoError(t, err)
	counts := map[string]int64{}
	for _, h := range hs {
		counts[h.Histogram+"."+h.Phase] = h.H.TotalCount()
	}
	for _, p := range tr.Phases {
		for name, q := range p.Latency {
			require.Equal(t, q.Count, counts[name+"."+p.Name], "%s of %s", name, p.Name)
		}
	}
	require.Equal(t, counts["ack.steady"]+counts["ack.steady-2"], tr.Steady.Latency[results.Ack].Count)
	require.Equal(t, int64(2000), tr.Steady.Latency[results.Ack].Count, "every record scheduled in the steady phases: 1400 and 600")

	samples, err := stored.Samples()
	require.NoError(t, err)
	require.NotEmpty(t, samples)
	seen := kind == "child" || kind == "command"
	require.Equal(t, seen, tr.Steady.Target != nil)
	if seen {
		require.Positive(t, tr.Steady.Target.CPUS)
		require.Positive(t, tr.Steady.Target.RSSMax)
		require.Positive(t, *tr.Steady.Target.PerRecord.Ctx)
		if kind == "child" { // whose Go runtime can be asked
			require.Positive(t, *tr.Steady.Target.PerRecord.Allocs)
		}
		require.NotNil(t, samples[0].Target)
	}
	require.Positive(t, tr.Steady.Generator.PerRecord.CPUNs)
	bench, err := os.ReadFile(filepath.Join(run.Dir, results.BenchFile))
	require.NoError(t, err)
	require.Contains(t, string(bench), "BenchmarkScenario/short/target="+kind)
}

// Ctrl-C keeps what was measured and stops the broker.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(deadline(t))
	o := options(t, shortScenario(t, "phases=[{steady: 60s, rate: 500/s}, {drain: 30s}]", "goals=[errors == 0, throughput >= 1/s]"), "child")
	o.Progress = &watch{word: "short steady", then: cancel}
	run, err := Run(ctx, o)
	require.NoError(t, err)
	require.Less(t, run.Trial.Steady.LenS, 50.0, "it ended early")
	require.Equal(t, results.Interrupted, run.Verdict.Outcome, "%+v", run.Verdict)
	require.Equal(t, 130, ExitCode(run, err))
	require.Positive(t, run.Trial.Steady.Acked.Records, "what was measured is kept")
	for _, g := range run.Verdict.Goals {
		require.Equal(t, results.Inconclusive, g.Outcome)
	}
	_, err = results.Open(run.Dir)
	require.NoError(t, err)
	require.False(t, alive(run.Trial.Target.PID))
}

// A broker that is killed in the middle is a failed run that says so, soon. It
// is started again on what it left: one that kept what it acknowledged has
// broken no promise, and one that forgot is found out.
func TestRunTargetKilled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		binary func(*testing.T) string
		judge  func(*testing.T, *results.Run)
	}{
		{"keeps", coreBinary, func(t *testing.T, run *results.Run) {
			require.Equal(t, results.Fail, run.Verdict.Outcome, "%+v", run.Verdict)
			require.Contains(t, run.Verdict.Reason, "the target died during the run: signal: killed")
			l := run.Trial.Ledger
			require.True(t, l.Checked)
			require.Positive(t, l.Acknowledged)
			require.Zero(t, l.Unchecked, "all that was acknowledged could be asked for: %+v", l)
			require.Zero(t, l.Violations(), "%+v", l)
		}},
		{"forgets", func(*testing.T) string { return "" }, func(t *testing.T, run *results.Run) {
			require.Equal(t, results.Violation, run.Verdict.Outcome, "%+v %+v", run.Verdict, run.Trial.Ledger)
			require.Positive(t, run.Trial.Ledger.Lost)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(t, shortScenario(t, "phases=[{steady: 60s, rate: 500/s}, {drain: 5s}]", "goals=[errors == 0, throughput >= 1/s]"), "child")
			o.Binary = c.binary(t)
			var killed int
			o.Progress = &watch{word: "short steady", then: func() {
				files, _ := filepath.Glob(filepath.Join(o.DataDir, "*", "pid"))
				b, _ := os.ReadFile(files[0])
				killed, _ = strconv.Atoi(string(b))
				_ = syscall.Kill(killed, syscall.SIGKILL)
			}}
			run, err := Run(deadline(t), o)
			require.NoError(t, err)
			require.Less(t, run.Trial.Steady.LenS, 50.0, "it ended early")
			require.Equal(t, killed, run.Trial.Target.PID)
			c.judge(t, run)
			left, _ := os.ReadDir(o.DataDir)
			require.Empty(t, left)
		})
	}
}

// Targets that do not come up say what is wrong in a line, and leave nothing.
func TestTargetRefuses(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "broker.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		return "command:" + file
	}
	closed, err := freePort()
	require.NoError(t, err)
	cases := []struct {
		name, target, fake, want string
		usage                    bool
	}{
		{name: "nothing listens", target: "external:127.0.0.1:" + strconv.Itoa(closed),
			want: "nothing answers at 127.0.0.1:" + strconv.Itoa(closed) + " (connect: connection refused): start the broker, or correct external:HOST:PORT"},
		{name: "no port", target: "external:localhost", want: "say where it listens: external:HOST:PORT", usage: true},
		{name: "unknown", target: "chld", want: `target "chld": targets are child, inprocess, external:HOST:PORT, command:FILE and sink (did you mean "child"?)`, usage: true},
		{name: "argument", target: "child:1", want: "child takes no argument", usage: true},
		{name: "child dies", target: "child", fake: "dies",
			want: "the broker ended before it listened: exit status 1; its last words:\n    millrace: listen 127.0.0.1:9092: address already in use"},
		{name: "child babbles", target: "child", fake: "babbles", want: `the broker said "hello" where "listening on HOST:PORT" was expected`},
		{name: "no file", target: "command:/no/such.yaml", want: "no such file", usage: true},
		{name: "bad key", target: write("strat: x\naddress: y"), want: `unknown key "strat" (did you mean "start"?)`, usage: true},
		{name: "no address", target: write("start: x"), want: "address is missing", usage: true},
		{name: "command ends", target: write("start: sh -c 'echo no such option >&2; exit 3'\naddress: 127.0.0.1:$PORT"),
			want: "the broker ended before it answered: exit status 3; its last words:\n    no such option"},
		{name: "command never answers", target: write("start: sleep 60\naddress: 127.0.0.1:$PORT\nwait: 1s"), want: "did not answer at 127.0.0.1:"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("FAKE", c.fake)
			o := options(t, shortScenario(t), c.target)
			o.Binary = exe
			run, err := Run(deadline(t), o)
			require.Nil(t, run)
			require.ErrorContains(t, err, c.want)
			var f *Faults
			require.Equal(t, c.usage, errors.As(err, &f))
			left, _ := os.ReadDir(o.DataDir)
			require.Empty(t, left)
			ids, err := results.Store{Dir: o.OutDir}.List()
			require.NoError(t, err)
			require.Empty(t, ids)
		})
	}
}

// A process that the lab started does not outlive it, however it ends.
func TestProcessDiesWithTheLab(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	lab := exec.Command(exe, "lab")
	out, err := lab.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, lab.Start())
	var pid int
	_, err = fmt.Fscan(out, &pid)
	require.NoError(t, err)
	require.True(t, alive(pid))
	require.NoError(t, lab.Process.Kill())
	_ = lab.Wait()
	require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, 10*time.Millisecond)
}

func TestInterruptedBeforeStart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	run, err := Run(ctx, options(t, shortScenario(t), "child"))
	require.Nil(t, run)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 130, ExitCode(run, err))
}

func TestNoPlaceForResults(t *testing.T) {
	o := options(t, shortScenario(t), "child")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	o.OutDir = filepath.Join(file, "runs")
	_, err := Run(deadline(t), o)
	require.ErrorContains(t, err, "no place for the results")
	require.Equal(t, 1, ExitCode(nil, err))
}

// Profiles are taken of target and generator, a file for each kind and phase.
func TestProfile(t *testing.T) {
	t.Parallel()
	s := shortScenario(t, "phases=[{steady: 1100ms, rate: 3000/s}, {drain: 5s}]", "goals=[errors == 0]")
	o := options(t, s, "child")
	o.Profile = []string{"cpu", "heap", "goroutine", "allocs", "mutex", "block", "trace"}
	o.Binary = coreBinary(t)
	run, err := Run(deadline(t), o)
	require.NoError(t, err)
	var names []string
	for _, f := range run.Profiles() {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".pb.gz"))
	}
	require.Equal(t, []string{
		"generator-allocs-steady", "generator-block-steady", "generator-cpu-steady", "generator-goroutine-steady", "generator-heap-steady", "generator-mutex-steady",
		"target-allocs-steady", "target-block-steady", "target-cpu-steady", "target-goroutine-steady", "target-heap-steady", "target-mutex-steady",
	}, names, "%v", run.Trial.Notes)
	p, err := run.Profile("target", "cpu")
	require.NoError(t, err)
	require.Equal(t, "ns", p.Unit)
	var flat int64
	for _, f := range p.Top() {
		require.LessOrEqual(t, f.Flat, f.Cum)
		require.LessOrEqual(t, f.Cum, p.Total)
		flat += f.Flat
	}
	require.Equal(t, p.Total, flat, "every sample is some function's own")
	block, err := run.Profile("target", "block")
	require.NoError(t, err)
	require.Positive(t, block.Total, "the target samples what blocks while it is profiled")
	require.FileExists(t, filepath.Join(run.Dir, results.ProfilesDir, "target-trace-steady.out"))
	var b strings.Builder
	require.NoError(t, ProfileSummary(&b, run, 10))
	require.Contains(t, b.String(), "target, cpu: ")

	o.Profile = []string{"cpus"}
	_, err = Run(deadline(t), o)
	require.ErrorContains(t, err, `--profile cpus: kinds are cpu, heap, allocs, mutex, block, goroutine, trace, perf (did you mean "cpu"?)`)
}

func TestKnobsOnForeignTarget(t *testing.T) {
	_, err := Run(context.Background(), options(t, shortScenario(t, "validate.depth=crc"), "external:127.0.0.1:1"))
	require.ErrorContains(t, err, "knobs (validate.depth) can be set only on a broker that the lab starts")
}

func TestCompare(t *testing.T) {
	t.Parallel()
	s := shortScenario(t, "phases=[{warmup: 100ms}, {steady: 300ms, rate: 1000/s}, {drain: 5s}]", "goals=[errors == 0]")
	var progress bytes.Buffer
	o := options(t, s, "child")
	o.Progress = &progress
	c, err := Compare(deadline(t), CompareOptions{RunOptions: o, Knobs: []string{"producers.linger=0ms,20ms"}, Rounds: 2, Noise: true})
	require.NoError(t, err, "%s", &progress)
	require.Len(t, c.Alternatives, 3)
	require.Equal(t, "20ms", c.Alternatives[1].Name)
	require.Equal(t, "0ms (again)", c.Alternatives[2].Name)
	// Interleaved, restarted, the second round backwards: starts in order. A
	// round that the machine disturbed is run again, once here.
	var order, want []string
	for line := range strings.Lines(progress.String()) {
		if head, _, ok := strings.Cut(line, "short: starting"); ok {
			_, name, _ := strings.Cut(head, ", ")
			order = append(order, strings.Trim(name, ": "))
		}
	}
	played := min(2+len(c.Discarded), 3)
	for round := range played {
		names := []string{"0ms", "20ms", "0ms (again)"}
		if round%2 == 1 {
			slices.Reverse(names)
		}
		want = append(want, names...)
	}
	require.Equal(t, want, order)
	rounds := played - len(c.Discarded)
	for _, a := range c.Alternatives {
		require.Len(t, a.Runs, rounds)
		if rounds > 0 {
			require.Len(t, a.Metrics["ack.p50"].Values, rounds)
		}
		for _, id := range a.Runs {
			run, err := results.Store{Dir: filepath.Join(c.Dir, "runs")}.Open(id)
			require.NoError(t, err)
			require.Equal(t, a.Name == "20ms", strings.Contains(string(run.Scenario), "linger: 20ms,"), "each trial ran with its alternative's value")
		}
	}
	if rounds > 0 {
		require.False(t, c.Alternatives[1].Metrics["ack.p50"].Ratio.Different, "two rounds are no proof")
	}
	stored, err := os.ReadFile(filepath.Join(c.Dir, results.CompareFile))
	require.NoError(t, err)
	own, err := json.Marshal(c)
	require.NoError(t, err)
	require.JSONEq(t, string(own), string(stored))
	var b strings.Builder
	CompareSummary(&b, c)
	require.Contains(t, b.String(), "No difference was shown")
	require.FileExists(t, filepath.Join(c.Dir, results.BenchFile))

	_, err = Compare(context.Background(), CompareOptions{RunOptions: o})
	require.ErrorContains(t, err, "nothing to compare")
	_, err = Compare(context.Background(), CompareOptions{RunOptions: o, Knobs: []string{"producers.acks=all"}})
	require.ErrorContains(t, err, "write name=a,b")
	_, err = Compare(context.Background(), CompareOptions{RunOptions: o, Knobs: []string{"read.pth=a,b"}})
	require.ErrorContains(t, err, "unknown setting")
}

func TestSearch(t *testing.T) {
	t.Parallel()
	// A goal that a rate of 4000/s and more misses, whatever the machine.
	s := shortScenario(t, "consumers.groups=0", "phases=[{warmup: 100ms}, {steady: 1s, rate: 1000/s}]", "goals=[errors == 0]")
	h := &hunt{o: SearchOptions{RunOptions: options(t, s, "child"), Resolution: 0.05}, s: &results.Search{}}
	h.goals()
	at, err := h.at(2000)
	require.NoError(t, err)
	require.Equal(t, "throughput >= 1980/s", at.Goals[0].String())
	require.Equal(t, 2000.0, at.steady()[0].Rate)

	for name, capacity := range map[string]float64{"above the first": 3300, "below the first": 130, "nothing": 0, "everything": 1e12} {
		t.Run(name, func(t *testing.T) {
			h := &hunt{o: SearchOptions{RunOptions: RunOptions{Scenario: s}, Resolution: 0.05}, s: &results.Search{}}
			h.goals()
			busy := map[float64]bool{}
			h.try = func(_ context.Context, _ int, rate float64) (results.Outcome, error) {
				o := results.Fail
				if !busy[rate] { // the machine is always busy the first time
					busy[rate] = true
					return results.Invalid, nil
				}
				if rate <= capacity {
					o = results.Pass
				}
				h.s.Points = append(h.s.Points, results.SearchPoint{Rate: rate, Outcome: o})
				return o, nil
			}
			require.NoError(t, h.run(context.Background()))
			switch {
			case capacity == 0:
				require.Zero(t, h.s.Capacity)
			case capacity > 1e10:
				require.Greater(t, h.s.Capacity, 1e5)
				require.NotEmpty(t, h.s.Notes)
			default:
				require.LessOrEqual(t, h.s.Capacity, capacity)
				require.Greater(t, h.s.Capacity, capacity*0.94)
				require.Greater(t, h.s.Above, capacity)
				last := h.s.Points[len(h.s.Points)-1]
				require.Equal(t, h.s.Capacity, last.Rate, "the winner is tried again")
				require.LessOrEqual(t, len(h.s.Points), 16)
			}
			var b strings.Builder
			SearchSummary(&b, h.s)
			require.NotEmpty(t, b.String())
		})
	}
}
