package harness

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"millrace/results"
)

// TestTargetLabels: names that leave room for the figures, and tell targets apart.
func TestTargetLabels(t *testing.T) {
	require.Equal(t, []string{"child", "external:10.0.0.1:9092", "kafka", "command:b/kafka.yaml"},
		targetLabels([]string{"child", "external:10.0.0.1:9092", "command:a/kafka.yaml", "command:b/kafka.yaml"}))
}

// TestCeilingIsTakenOncePerLoad: alternatives that differ in the broker alone
// share the generator's ceiling; another batch size has its own.
func TestCeilingIsTakenOncePerLoad(t *testing.T) {
	base, err := Load("quickstart", nil)
	require.NoError(t, err)
	var alts []alternative
	for _, set := range []string{"read.path=sendfile", "read.path=copy", "producers.batch.size=16KiB", "payload.size=2KiB", "keys.count=5"} {
		s, err := base.with(set)
		require.NoError(t, err)
		alts = append(alts, alternative{opts: RunOptions{Scenario: s}})
	}
	ceilings := func() (list []float64) {
		for _, a := range alts {
			list = append(list, a.opts.ceiling)
		}
		return list
	}
	shareCeiling(alts, 0, 0) // could not be taken
	require.Equal(t, []float64{0, 0, 0, 0, 0}, ceilings())
	shareCeiling(alts, 0, 5)
	require.Equal(t, []float64{5, 5, 0, 0, 0}, ceilings())
	shareCeiling(alts, 2, 7)
	require.Equal(t, []float64{5, 5, 7, 0, 0}, ceilings())
}

// tiny is a scenario of a third of a second.
func tiny(t *testing.T, sets ...string) *Scenario {
	return shortScenario(t, append([]string{"phases=[{warmup: 100ms}, {steady: 250ms, rate: 1000/s}, {drain: 5s}]", "goals=[errors == 0]", "consumers.groups=1"}, sets...)...)
}

// TestCompareTargets: a broker that the lab starts, one that a recipe starts and
// one that somebody else runs are held against each other in one invocation.
func TestCompareTargets(t *testing.T) {
	t.Parallel()
	recipe := filepath.Join(t.TempDir(), "fake.yaml")
	exe, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(recipe, []byte("start: "+exe+" serve --port $PORT --data $DATA\naddress: 127.0.0.1:$PORT\nversion: echo fake 1.0\n"), 0o644))
	var progress bytes.Buffer
	o := options(t, tiny(t), "")
	o.Binary, o.Progress = coreBinary(t), &progress
	outside := "external:" + fakeBroker(t)
	c, err := Compare(deadline(t), CompareOptions{RunOptions: o, Targets: []string{"child", "command:" + recipe, outside}, Rounds: 2})
	require.NoError(t, err, "%s", &progress)
	require.Equal(t, "target", c.Factor)
	var names []string
	for i, a := range c.Alternatives {
		names = append(names, a.Name)
		require.Len(t, a.Runs, c.Kept())
		for _, id := range a.Runs {
			run, err := results.Open(a.RunDir(c, id))
			require.NoError(t, err)
			require.Equal(t, []string{"child", "command", "external"}[i], run.Trial.Target.Kind)
			require.EqualValues(t, 0, run.Trial.Ledger.Violations())
		}
	}
	require.Equal(t, []string{"child", "fake", outside}, names)
	if c.Kept() > 0 {
		require.NotContains(t, c.Alternatives[2].Metrics, "cpu/record", "it is the generator's own process, whose costs are not the target's")
		require.Contains(t, c.Alternatives[1].Metrics, "cpu/record")
		require.Contains(t, strings.Join(c.Notes, "\n"), "make different durability promises (sync.policy): unknown, page-cache", "%v", c.Notes)
	}
	// One figure of the time left on each line, and it never grows within a trial.
	for line := range strings.Lines(progress.String()) {
		require.LessOrEqual(t, strings.Count(line, " left"), 1, line)
		require.Contains(t, line, "round ")
	}
	require.Contains(t, progress.String(), " left")
	var b strings.Builder
	CompareSummary(&b, c)
	for line := range strings.Lines(b.String()) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSpace(line)), width, line)
	}
}

// TestCompareFindsTheAbsentFirst: a target that does not answer is told before any
// trial, and all of them at once.
func TestCompareFindsTheAbsentFirst(t *testing.T) {
	var progress bytes.Buffer
	o := options(t, tiny(t), "")
	o.Binary, o.Progress = coreBinary(t), &progress
	_, err := Compare(deadline(t), CompareOptions{RunOptions: o, Targets: []string{"child", "external:127.0.0.1:1", "external:127.0.0.1:2"}, Rounds: 2})
	require.ErrorContains(t, err, `target "external:127.0.0.1:1": nothing answers at 127.0.0.1:1`)
	require.ErrorContains(t, err, `target "external:127.0.0.1:2": nothing answers`)
	require.NotContains(t, progress.String(), "starting")
	require.NoDirExists(t, o.OutDir, "nothing was begun")
}

// TestCompareEndsAtAViolation: a proxy that damages a record in the second
// alternative ends the comparison, with the exit code of lost data.
func TestCompareEndsAtAViolation(t *testing.T) {
	t.Parallel()
	const mark = "a line of which one bit falls over"
	file := filepath.Join(t.TempDir(), "lines")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat(mark+"\n", 100)), 0o644))
	damaged := "external:" + behind(t, func(b []byte) {
		if at := bytes.Index(b, []byte(mark)); at >= 0 {
			b[at] ^= 1
		}
	})
	s := tiny(t, "payload.generator=file", "payload.file="+file, "producers.compression=none")
	o := options(t, s, "")
	c, err := Compare(deadline(t), CompareOptions{RunOptions: o, Targets: []string{"external:" + behind(t, nil), damaged}, Rounds: 2})
	var end *OutcomeError
	require.ErrorAs(t, err, &end)
	require.Equal(t, results.Violation, end.Outcome)
	require.Equal(t, results.ExitViolation, ExitCode(nil, err))
	require.ErrorContains(t, err, "damaged")
	require.NotNil(t, c, "what was measured is kept")
	require.FileExists(t, filepath.Join(c.Dir, results.CompareFile))
}

// TestPace: the time left is the plan's until a trial has ended, then that of the
// trials so far; it counts down within a trial, and waits where one takes longer.
func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	p := &pace{now: func() time.Time { return now }, began: now, trial: now, total: 4, planned: 10 * time.Second}
	at := func(d time.Duration) time.Duration { now = time.Unix(1000, 0).Add(d); return p.left() }
	require.Equal(t, 40*time.Second, at(0))
	require.Equal(t, 33*time.Second, at(7*time.Second))
	require.Equal(t, 30*time.Second, at(15*time.Second), "it took longer than was planned")
	p.next()
	require.Equal(t, 45*time.Second, at(15*time.Second))
	require.Equal(t, 40*time.Second, at(20*time.Second))
	at(25 * time.Second)
	p.next()
	require.Equal(t, 25*time.Second, at(25*time.Second))
	p.total += 2 // a round did not count
	require.Equal(t, 50*time.Second, at(25*time.Second))
}

// compareRun stores a run with given figures.
func compareRun(t *testing.T, dir string, rate float64, edit func(*results.Run)) string {
	r := &results.Run{Scenario: []byte("name: x\n"), Env: results.Env{CPUModel: "m", CPUs: 2, Knobs: map[string]string{}},
		Trial: results.Trial{Version: results.Version, Scenario: "x", Promise: "page-cache", Validation: "crc", Phases: []results.Phase{},
			Steady: results.Phase{LenS: 5, Acked: results.Flow{Records: 10, Rate: rate}, Latency: map[string]results.Quantiles{}}},
		Verdict: results.Verdict{Outcome: results.Pass, Goals: []results.Goal{}}}
	if edit != nil {
		edit(r)
	}
	d, err := results.Store{Dir: dir}.Begin("x", time.Now())
	require.NoError(t, err)
	require.NoError(t, d.Write(r, nil, nil))
	path, err := d.Commit()
	require.NoError(t, err)
	return path
}

// TestCompareStored: what cannot be held against each other is refused, each with
// its reason, and done all the same on request, with the reason beside it; other
// promises and depths are named; and runs that are alike give a ratio, which a
// gate can fail on.
func TestCompareStored(t *testing.T) {
	dir := t.TempDir()
	base := compareRun(t, dir, 1000, nil)
	for what, c := range map[string]struct {
		edit    func(*results.Run)
		refused bool
		said    string
	}{
		"machine":    {func(r *results.Run) { r.Env.CPUModel = "n" }, true, "different machines: m, 2 CPUs"},
		"cgroup":     {func(r *results.Run) { r.Env.CgroupCPU = 1 }, true, "limited to 1 CPUs"},
		"duration":   {func(r *results.Run) { r.Trial.Steady.LenS = 6 }, true, "different durations of the steady phases: 5 to 6 s"},
		"rate":       {func(r *results.Run) { r.Trial.Steady.ScheduledRate = 7 }, true, "different rates asked for"},
		"client":     {func(r *results.Run) { r.Trial.Audit.Client = "kgo" }, true, "different clients: kgo; unknown"},
		"violation":  {func(r *results.Run) { r.Verdict.Outcome = results.Violation }, true, "ended with VIOLATION"},
		"interrupt":  {func(r *results.Run) { r.Verdict.Outcome = results.Interrupted }, true, "ended with INTERRUPTED"},
		"promise":    {func(r *results.Run) { r.Trial.Promise = "group" }, false, "different promises of an acknowledgement (sync.policy): group; page-cache"},
		"validation": {func(r *results.Run) { r.Trial.Validation = "records" }, false, "different depths of validation (validate.depth): crc; records"},
		"invalid":    {func(r *results.Run) { r.Verdict.Outcome, r.Verdict.Reason = results.Invalid, "busy" }, false, "is INVALID: busy"},
		"target":     {func(r *results.Run) { r.Trial.Target.Kind = "external" }, false, "different ways to run the target"},
	} {
		t.Run(what, func(t *testing.T) {
			o := StoredOptions{Sides: [][]string{{base}, {compareRun(t, dir, 1000, c.edit)}}, OutDir: t.TempDir()}
			got, err := CompareStored(o)
			if c.refused {
				var f *Faults
				require.ErrorAs(t, err, &f)
				require.ErrorContains(t, err, c.said)
				require.ErrorContains(t, err, "--anyway")
				require.Nil(t, got)
				o.Anyway = true
				got, err = CompareStored(o)
				c.said = "NOT COMPARABLE: "
			}
			require.NoError(t, err)
			require.Contains(t, strings.Join(got.Notes, "\n"), c.said)
		})
	}
	side := func(rate float64) (list []string) {
		for i := range 8 {
			list = append(list, compareRun(t, dir, rate*(1+float64(i)/1000), nil))
		}
		return list
	}
	for _, c := range []struct {
		rate float64
		want results.Outcome
	}{{1000, results.Pass}, {800, results.Fail}} {
		gate, err := results.ParseGate([]string{"throughput=5%"})
		require.NoError(t, err)
		got, err := CompareStored(StoredOptions{Sides: [][]string{side(1000), side(c.rate)}, OutDir: t.TempDir(), Gate: gate})
		require.NoError(t, err)
		require.Equal(t, c.want, got.Gate.Outcome, "%+v", got.Gate)
		require.Equal(t, c.want == results.Fail, got.Alternatives[1].Metrics["throughput"].Ratio.Different)
	}
	_, err := CompareStored(StoredOptions{Sides: [][]string{{base}}})
	require.ErrorContains(t, err, "name two sides")
	_, err = CompareStored(StoredOptions{Sides: [][]string{{base}, {}}})
	require.ErrorContains(t, err, "a side without a run")
	_, err = CompareStored(StoredOptions{Sides: [][]string{{base}, {t.TempDir()}}})
	require.ErrorIs(t, err, results.ErrNoRun)
}
