package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"millrace/harness"
	"millrace/results"
)

const labScenario = `name: lab-%s
question: Is what a person and a CI system see of a run what they should?
topics: [{name: a, partitions: 1}]
payload: {size: 100B}
phases: [{steady: 1200ms, rate: 500/s}, {drain: 5s}]
goals: [%s]
`

func labFile(t *testing.T, name, goals string) string {
	file := filepath.Join(t.TempDir(), name+".yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, labScenario, name, goals), 0o644))
	return file
}

// terminal is a pseudo-terminal of so many columns: what is written to its inner
// end comes out of said, once that end is closed.
func terminal(t *testing.T, columns int) (inner *os.File, said func() string) {
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(outer.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(outer.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	inner, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(inner.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}))
	return inner, drained(outer, inner)
}

// drained reads r to its end, beside whoever writes to w.
func drained(r, w *os.File) func() string {
	var text bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&text, r) }) // a terminal ends with EIO
	return func() string {
		w.Close()
		reading.Wait()
		r.Close()
		return text.String()
	}
}

// TestRunOnATerminal: on a terminal one line of progress is rewritten, never wraps
// and is gone at the end; JUnit's file and GitHub's page are written.
func TestRunOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	page, junit := filepath.Join(t.TempDir(), "page.md"), filepath.Join(t.TempDir(), "junit.xml")
	require.NoError(t, os.WriteFile(page, []byte("what another step wrote\n"), 0o644))
	t.Setenv("GITHUB_STEP_SUMMARY", page)
	const columns = 50
	tty, said := terminal(t, columns)
	var out bytes.Buffer
	code := run([]string{"run", labFile(t, "passes", "errors == 0, ack.p50 <= 1m"), "--target", "inprocess", "--out", t.TempDir(), "--junit", junit}, &out, tty)
	text := said()
	require.Equal(t, results.ExitPass, code, text)
	require.Contains(t, text, "lab-passes: starting inprocess")
	require.Contains(t, text, "lab-passes steady, ")
	require.Contains(t, text, "s left")
	require.NotContains(t, text, "\n")
	lines := strings.Split(text, "\r")
	for _, line := range lines {
		require.Less(t, utf8.RuneCountInString(line), columns, "%q", line)
	}
	require.Empty(t, strings.TrimSpace(lines[len(lines)-1]+lines[len(lines)-2]), "the line is left empty")
	require.Contains(t, out.String(), "PASS")

	x, err := os.ReadFile(junit)
	require.NoError(t, err)
	require.Contains(t, string(x), `<testsuites tests="3" failures="0" errors="0">`)
	require.Contains(t, string(x), `name="ack.p50 &lt;= 1m"`)
	md, err := os.ReadFile(page)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(md), "what another step wrote\n### ✅ lab-passes: PASS\n"), "%s", md)
	require.Contains(t, string(md), "| `ack.p50 <= 1m` |")
}

// TestRunInAPipe: in a pipe progress is plain lines, and a missed goal is exit
// code 10 and a failure in JUnit's file.
func TestRunInAPipe(t *testing.T) {
	junit := filepath.Join(t.TempDir(), "junit.xml")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	said := drained(r, w)
	var out bytes.Buffer
	code := run([]string{"run", labFile(t, "fails", "ack.p50 <= 1ns, errors == 0"), "--target", "inprocess", "--out", t.TempDir(), "--junit", junit, "--json"}, &out, w)
	text := said()
	x, err := os.ReadFile(junit)
	require.NoError(t, err)
	var told struct{ Verdict results.Verdict }
	require.NoError(t, json.Unmarshal(out.Bytes(), &told), "standard output holds JSON and nothing else")
	// A machine that others use cannot fail a latency: then it is INVALID.
	require.Contains(t, []results.Outcome{results.Fail, results.Invalid}, told.Verdict.Outcome)
	require.Equal(t, told.Verdict.Outcome.ExitCode(), code)
	require.NotContains(t, string(x), `failures="0" errors="0"`)
	require.NotContains(t, text, "\r")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	require.Greater(t, len(lines), 2)
	for _, line := range lines {
		require.True(t, strings.HasPrefix(line, "lab-fails"), "%q", line)
	}
}

// TestWhatCannotRunIsInTheFiles: a run that does not begin is exit code 1, and what
// CI systems read says why.
func TestWhatCannotRunIsInTheFiles(t *testing.T) {
	for _, command := range []string{"run", "search", "compare"} {
		page, junit := filepath.Join(t.TempDir(), "page.md"), filepath.Join(t.TempDir(), "junit.xml")
		t.Setenv("GITHUB_STEP_SUMMARY", page)
		args := []string{command, labFile(t, "absent", "errors == 0"), "--target", "external:127.0.0.1:1", "--out", t.TempDir(), "--junit", junit}
		if command == "compare" {
			args = append(args, "--target", "inprocess")
		}
		code, _, stderr := millrace(args...)
		require.Equal(t, results.ExitError, code, stderr)
		require.Contains(t, stderr, "nothing answers at 127.0.0.1:1")
		for _, file := range []string{junit, page} {
			b, err := os.ReadFile(file)
			require.NoError(t, err, command)
			require.Contains(t, string(b), "nothing answers at 127.0.0.1:1", command)
		}
	}
}

// keptRun stores a run with given figures.
func keptRun(t *testing.T, dir string, rate float64, edit func(*results.Run)) string {
	r := &results.Run{Scenario: []byte("name: x\n"), Env: results.Env{CPUModel: "m", CPUs: 2, Knobs: map[string]string{}},
		Trial: results.Trial{Version: results.Version, Scenario: "x", Promise: "page-cache", Phases: []results.Phase{},
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

// TestGateExitCodes: a gate's outcome is the exit code, and a failure in JUnit's
// file; what cannot be compared is bad usage.
func TestGateExitCodes(t *testing.T) {
	dir := t.TempDir()
	side := func(n int, rate float64) (list []string) {
		for i := range n {
			list = append(list, keptRun(t, dir, rate*(1+float64(i)/1000), nil))
		}
		return list
	}
	base := side(8, 1000)
	for _, c := range []struct {
		name  string
		other []string
		code  int
		junit string
	}{
		{"the same", side(8, 1000), results.ExitPass, `failures="0" errors="0"`},
		{"slower", side(8, 800), results.ExitFail, `failures="1" errors="0"`},
		{"too few", side(1, 800), results.ExitInconclusive, `failures="0" errors="1"`},
		{"another machine", []string{keptRun(t, dir, 800, func(r *results.Run) { r.Env.CPUs = 64 })}, results.ExitUsage, ""},
	} {
		junit := filepath.Join(t.TempDir(), "junit.xml")
		args := append(append([]string{"compare", "--stored", "--out", t.TempDir(), "--junit", junit, "--gate", "throughput=5%"}, base...), "vs")
		code, stdout, stderr := millrace(append(args, c.other...)...)
		require.Equal(t, c.code, code, "%s: %s", c.name, stderr)
		if c.junit == "" {
			require.Contains(t, stderr, "different machines")
			continue
		}
		require.Contains(t, stdout, "Gate "+map[int]string{0: "PASS", 10: "FAIL", 11: "INCONCLUSIVE"}[c.code])
		x, err := os.ReadFile(junit)
		require.NoError(t, err)
		require.Contains(t, string(x), c.junit, c.name)
	}
}

// TestBaselineCommand: only what passed is kept; what is held against it is named
// where it did not pass, or comes from another machine.
func TestBaselineCommand(t *testing.T) {
	dir, kept := t.TempDir(), filepath.Join(t.TempDir(), "baselines")
	baseline := func(verb, run string) (int, string, string) { return millrace("baseline", verb, run, "--dir", kept) }
	good := keptRun(t, dir, 1000, nil)
	code, _, stderr := baseline("check", good)
	require.Equal(t, results.ExitUsage, code)
	require.Contains(t, stderr, "millrace baseline keep RUN")
	for _, o := range []results.Outcome{results.Fail, results.Invalid, results.Inconclusive, results.Violation, results.Interrupted} {
		code, _, stderr := baseline("keep", keptRun(t, dir, 1000, func(r *results.Run) { r.Verdict.Outcome = o }))
		require.Equal(t, results.ExitUsage, code, o)
		require.Contains(t, stderr, fmt.Sprintf("ended %s: a baseline is a run that passed", o))
		require.NoDirExists(t, kept)
	}
	code, _, stderr = baseline("keep", keptRun(t, dir, 1000, func(r *results.Run) { r.Trial.Scenario = "../elsewhere" }))
	require.Equal(t, results.ExitUsage, code)
	require.Contains(t, stderr, `"../elsewhere" is no name of a scenario`)
	require.NoDirExists(t, filepath.Join(filepath.Dir(kept), "elsewhere"))
	code, stdout, stderr := baseline("keep", good)
	require.Zero(t, code, stderr)
	require.Equal(t, filepath.Join(kept, "x")+"\n", stdout)

	code, stdout, _ = baseline("check", keptRun(t, dir, 900, nil))
	require.Zero(t, code)
	require.Contains(t, stdout, "0.90")
	require.NotContains(t, stdout, "unlike")
	code, stdout, _ = millrace("baseline", "check", "--json", "--dir", kept, good)
	require.Zero(t, code)
	var against results.Against
	require.NoError(t, json.Unmarshal([]byte(stdout), &against))
	require.Equal(t, filepath.Join(kept, "x"), against.Baseline)
	require.NotEmpty(t, against.Figures)
	_, stdout, _ = baseline("check", keptRun(t, dir, 900, func(r *results.Run) {
		r.Env.CPUModel, r.Verdict.Outcome, r.Verdict.Reason = "another", results.Invalid, "the generator was the limit"
	}))
	require.Contains(t, stdout, "unlike: CPU: was m, is another")
	require.Contains(t, strings.Join(strings.Fields(stdout), " "), "is INVALID: the generator was the limit")
	code, _, stderr = baseline("check", filepath.Join(dir, "none"))
	require.Equal(t, results.ExitUsage, code, stderr)
}

// TestLiveBroker: what the live page is told of a broker: what is appended, how far
// groups are behind, and that it has gone.
func TestLiveBroker(t *testing.T) {
	b := startForAdmin(t)
	b.ok("topic create events --partitions 2")
	l, err := watchBroker(t.Context(), b.Addr())
	require.NoError(t, err)
	get := func() (p struct {
		Broker string
		Points []struct {
			At, AnswerMs float64
			Topics       map[string]float64
			Lag          map[string]int64
			Fault        string
		}
	}) {
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest("GET", "/live/points", nil))
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p), w.Body.String())
		return p
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("events"), kgo.ConsumeTopics("events"),
		kgo.ConsumerGroup("readers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer cl.Close()
	write := func() { require.NoError(t, cl.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr()) }
	write()
	for got := 0; got == 0; {
		got = cl.PollFetches(t.Context()).NumRecords()
	}
	require.NoError(t, cl.CommitUncommittedOffsets(t.Context()))
	seen := func(what func(topics map[string]float64, lag map[string]int64, fault string) bool) func() bool {
		return func() bool {
			for _, p := range get().Points {
				if what(p.Topics, p.Lag, p.Fault) {
					return true
				}
			}
			return false
		}
	}
	write()
	require.Eventually(t, seen(func(topics map[string]float64, lag map[string]int64, _ string) bool {
		return topics["events"] > 0 && lag["readers"] == 1
	}),
		20*time.Second, 20*time.Millisecond)
	require.Equal(t, b.Addr(), get().Broker)
	gone, err := watchBroker(t.Context(), "127.0.0.1:1")
	require.NoError(t, err)
	l = gone
	require.Eventually(t, seen(func(_ map[string]float64, _ map[string]int64, fault string) bool { return fault != "" }), 20*time.Second, 20*time.Millisecond)
}

// TestExitCodeOfAComparisonThatLostData: a violation in one of its trials is 13,
// whatever the others came to, and a failure in JUnit's file.
func TestExitCodeOfAComparisonThatLostData(t *testing.T) {
	junit := filepath.Join(t.TempDir(), "junit.xml")
	for err, code := range map[error]int{
		&harness.OutcomeError{Outcome: results.Violation, Err: errors.New("round 1, b: 1 was lost")}:     results.ExitViolation,
		&harness.OutcomeError{Outcome: results.Fail, Err: errors.New("round 1, b: the target has died")}: results.ExitFail,
		errors.New("no place"): results.ExitError,
	} {
		cmd := compareCmd()
		cmd.SetContext(t.Context())
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		out := outputs{file: junit}
		c := &results.Comparison{Scenario: "x", Factor: "rev", Alternatives: []results.Alternative{{Name: "a"}, {Name: "b"}}}
		got := compared(cmd, c, err, &out, false)
		var e exit
		if code != results.ExitError { // which is what any other error is
			require.ErrorAs(t, got, &e)
			require.Equal(t, code, e.code)
		}
		require.ErrorContains(t, got, err.Error())
		x, rerr := os.ReadFile(junit)
		require.NoError(t, rerr)
		require.Contains(t, string(x), err.Error())
		require.NotRegexp(t, `<testsuites tests="\d+" failures="0" errors="0">`, string(x))
	}
}
