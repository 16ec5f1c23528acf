package results

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// junitRules are the elements that Jenkins' schema (xunit-plugin, junit-10.xsd)
// and GitLab's reader know, as far as they are used: what may be inside, which
// attributes there may be, and which there must.
var junitRules = map[string]struct{ inside, may, must []string }{
	"testsuites":  {[]string{"testsuite"}, []string{"tests", "failures", "errors", "time", "name"}, nil},
	"testsuite":   {[]string{"properties", "testcase"}, []string{"name", "tests", "failures", "errors", "time", "timestamp"}, []string{"name", "tests", "failures", "errors"}},
	"properties":  {[]string{"property"}, nil, nil},
	"property":    {nil, []string{"name", "value"}, []string{"name", "value"}},
	"testcase":    {[]string{"failure", "error", "system-out"}, []string{"classname", "name", "time"}, []string{"classname", "name", "time"}},
	"failure":     {nil, []string{"message", "type"}, []string{"message", "type"}},
	"error":       {nil, []string{"message", "type"}, []string{"message", "type"}},
	"system-out":  {nil, nil, nil},
	"(the whole)": {[]string{"testsuites"}, nil, nil},
}

// surefireTime is the schema's pattern of a time.
var surefireTime = regexp.MustCompile(`^(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?$`)

type junitCount struct{ tests, failures, errors int }

// checkJUnit reads the XML with nothing but those rules, and answers what a CI
// system would count.
func checkJUnit(t *testing.T, text string) (sum junitCount) {
	t.Helper()
	require.True(t, strings.HasPrefix(text, xml.Header))
	dec := xml.NewDecoder(strings.NewReader(text))
	path := []string{"(the whole)"}
	var said, counted junitCount // of the suite
	seen := map[string]bool{}    // classname and name: GitLab takes two for one
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, text)
		switch tok := tok.(type) {
		case xml.StartElement:
			name := tok.Name.Local
			rule, known := junitRules[name]
			require.True(t, known, name)
			require.Contains(t, junitRules[path[len(path)-1]].inside, name)
			path = append(path, name)
			attr := map[string]string{}
			for _, a := range tok.Attr {
				require.Contains(t, rule.may, a.Name.Local, name)
				attr[a.Name.Local] = a.Value
				require.NotContains(t, a.Value, "\x1b")
			}
			for _, must := range rule.must {
				require.Contains(t, attr, must, name)
			}
			number := func(a string) int { n, err := strconv.Atoi(attr[a]); require.NoError(t, err); return n }
			if at, ok := attr["time"]; ok {
				require.Regexp(t, surefireTime, at)
			}
			if at, ok := attr["timestamp"]; ok {
				_, err := time.Parse("2006-01-02T15:04:05", at)
				require.NoError(t, err)
			}
			switch name {
			case "testsuites":
				sum = junitCount{number("tests"), number("failures"), number("errors")}
			case "testsuite":
				said, counted = junitCount{number("tests"), number("failures"), number("errors")}, junitCount{}
			case "testcase":
				counted.tests++
				id := attr["classname"] + "\x00" + attr["name"]
				require.NotEmpty(t, attr["name"])
				require.False(t, seen[id], "two cases of one name: %q", id)
				seen[id] = true
			case "failure":
				counted.failures++
			case "error":
				counted.errors++
			}
		case xml.EndElement:
			path = path[:len(path)-1]
			if tok.Name.Local == "testsuite" {
				require.Equal(t, counted, said, text)
			}
		case xml.CharData:
			if strings.TrimSpace(string(tok)) != "" {
				require.Contains(t, []string{"failure", "error", "system-out"}, path[len(path)-1])
			}
		}
	}
	return sum
}

func junitRun(o Outcome, reason string, goals ...Goal) *Run {
	return &Run{ID: "20260304T050607Z-x", Trial: Trial{Scenario: "x", Question: "What?", WallS: 1234.5678, Started: time.Unix(1e9, 0)},
		Verdict: Verdict{Outcome: o, Reason: reason, Answer: "The broker acknowledged 5 records/s.", Goals: goals}}
}

// TestJUnit: whatever came out, the file is what CI systems read, and is red
// wherever the exit code is not 0, and only there.
func TestJUnit(t *testing.T) {
	pass := Goal{Expr: "ack.p99 <= 20ms", Outcome: Pass, Shown: "3 ms"}
	fail := Goal{Expr: `throughput >= "1"/s & so <on>`, Outcome: Fail, Shown: "0.5/s"}
	untold := Goal{Expr: "ack.p99.99 <= 1s", Outcome: Inconclusive, Shown: "–", Reason: "10 values are too few"}
	invalid := Goal{Expr: "e2e.p99 <= 1ms", Outcome: Invalid, Shown: "2 ms", Reason: "other processes took 30 %"}
	regression := &Gate{Outcome: Fail, Regressions: []string{"throughput of b: −10 %", "ack.p99 of b: +20 %"}}
	type want struct{ failures, errors int }
	files := map[string]string{}
	for name, c := range map[string]struct {
		add  func(j *JUnit)
		code int
		want want
	}{
		"nothing":      {func(*JUnit) {}, ExitPass, want{}},
		"pass":         {func(j *JUnit) { j.Run(junitRun(Pass, "", pass)) }, ExitPass, want{}},
		"a goal":       {func(j *JUnit) { j.Run(junitRun(Fail, "", pass, fail)) }, ExitFail, want{1, 0}},
		"stopped":      {func(j *JUnit) { j.Run(junitRun(Fail, "stopped early: errors > 10")) }, ExitFail, want{1, 0}},
		"stopped, too": {func(j *JUnit) { j.Run(junitRun(Fail, "stopped early", untold)) }, ExitFail, want{1, 1}},
		"untold":       {func(j *JUnit) { j.Run(junitRun(Inconclusive, "", untold)) }, ExitInconclusive, want{0, 2}},
		"invalid":      {func(j *JUnit) { j.Run(junitRun(Invalid, "", invalid)) }, ExitInvalid, want{0, 2}},
		"violation": {func(j *JUnit) { j.Run(junitRun(Violation, "1 was lost\x00\x1b[31m red\x1b[0m]]>", pass)) },
			ExitViolation, want{1, 0}},
		"interrupted": {func(j *JUnit) { j.Run(junitRun(Interrupted, "stopped")) }, ExitInterrupted, want{0, 1}},
		"error":       {func(j *JUnit) { j.Ended("x", Error, errors.New("nothing answers at 127.0.0.1:1")) }, ExitError, want{0, 1}},
		"two, one bad": {func(j *JUnit) { j.Run(junitRun(Pass, "", pass)); j.Ended("y", Error, errors.New("no")) },
			ExitError, want{0, 1}},
		"a record lost in a comparison": {func(j *JUnit) {
			j.Comparison(&Comparison{Scenario: "x", Factor: "rev"})
			j.Ended("compare x", Violation, errors.New("lost"))
		},
			ExitViolation, want{1, 0}},
		"gate":       {func(j *JUnit) { j.Comparison(&Comparison{Scenario: "x", Factor: "rev", Gate: regression}) }, ExitFail, want{1, 0}},
		"no gate":    {func(j *JUnit) { j.Comparison(&Comparison{Scenario: "x", Factor: "rev"}) }, ExitPass, want{}},
		"found":      {func(j *JUnit) { j.Search(&Search{Scenario: "x", Capacity: 5, Points: []SearchPoint{{Outcome: Fail}}}) }, ExitPass, want{}},
		"found none": {func(j *JUnit) { j.Search(&Search{Scenario: "x", Points: []SearchPoint{{Outcome: Fail}}}) }, ExitFail, want{1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var j JUnit
			c.add(&j)
			var b bytes.Buffer
			require.NoError(t, j.Write(&b))
			sum := checkJUnit(t, b.String())
			require.Equal(t, c.want, want{sum.failures, sum.errors}, b.String())
			require.Equal(t, c.code == ExitPass, sum.failures+sum.errors == 0)
			files[name] = b.String()
		})
	}
	require.Contains(t, files["a goal"], "&amp; so &lt;on&gt;")
	if dir := os.Getenv("JUNIT_FILES"); dir != "" { // to be checked against a schema by hand
		for name, text := range files {
			require.NoError(t, os.WriteFile(dir+"/"+strings.ReplaceAll(name, " ", "-")+".xml", []byte(text), 0o644))
		}
	}
}

// TestJUnitSameScenarioTwice: two runs of one scenario are told apart.
func TestJUnitSameScenarioTwice(t *testing.T) {
	var j JUnit
	for i := range 2 {
		r := junitRun(Pass, "", Goal{Expr: "errors == 0", Outcome: Pass})
		r.ID = fmt.Sprintf("20260304T05060%dZ-x", i)
		j.Run(r)
	}
	var b bytes.Buffer
	require.NoError(t, j.Write(&b))
	require.Equal(t, 4, checkJUnit(t, b.String()).tests)
}

// TestViolationIsNamed: both files say which records, by topic, partition and
// offset.
func TestViolationIsNamed(t *testing.T) {
	r := junitRun(Violation, "of the records acknowledged, 1 was damaged")
	r.Trial.Ledger.Examples = []string{"corrupt: events-3 offset 1234, group 0: the client refused a batch"}
	var j JUnit
	j.Run(r)
	var x, md bytes.Buffer
	require.NoError(t, j.Write(&x))
	require.NoError(t, MarkdownRun(&md, r))
	checkJUnit(t, x.String())
	require.Contains(t, x.String(), "events-3 offset 1234")
	require.Contains(t, md.String(), "\n- corrupt: events-3 offset 1234, group 0")
}

// TestSearchOutcome: what a search is worth as a test.
func TestSearchOutcome(t *testing.T) {
	points := func(list ...Outcome) (p []SearchPoint) {
		for _, o := range list {
			p = append(p, SearchPoint{Outcome: o})
		}
		return p
	}
	for _, c := range []struct {
		s    Search
		want Outcome
	}{
		{Search{Capacity: 1, Points: points(Pass, Fail)}, Pass},
		{Search{Points: points(Fail, Invalid, Inconclusive)}, Fail},
		{Search{Points: points(Invalid, Inconclusive)}, Inconclusive},
		{Search{Points: points(Invalid, Invalid)}, Invalid},
		{Search{Capacity: 1, Points: points(Pass, Violation)}, Violation},
		{Search{Capacity: 1, Interrupted: true, Points: points(Pass)}, Interrupted},
	} {
		require.Equal(t, c.want, c.s.Outcome(), "%+v", c.s)
	}
}

// cells is what GitHub makes of a row: it splits at every | that no backslash
// stands before, in code as elsewhere.
func cells(row string) []string {
	row = strings.ReplaceAll(strings.Trim(row, "|"), `\|`, "\x00")
	return strings.Split(row, "|")
}

// TestMarkdown: every table of a job's summary holds together whatever its cells
// hold, and a goal is shown as it was written.
func TestMarkdown(t *testing.T) {
	r := junitRun(Fail, "a|b\nc", Goal{Expr: "ack.p99 <= 20ms", Outcome: Fail, Shown: "3|4 ms", Reason: "x|y\nz <b>"}, Goal{Expr: "a|b`c", Outcome: Pass})
	r.Trial.Steady.Acked.Records = 5
	r.Trial.Steady.Latency = map[string]Quantiles{Ack: {Count: 5, P50Ns: 1e6}}
	c := &Comparison{Scenario: "x", Factor: "a|b", Alternatives: []Alternative{{Name: "one|two", Metrics: map[string]Metric{"throughput": {Median: 5}}}}, Gate: &Gate{Outcome: Fail, Regressions: []string{"a\nb"}}}
	s := &Search{Scenario: "x", Points: []SearchPoint{{Rate: 5, Outcome: Pass}}}
	var b bytes.Buffer
	require.NoError(t, MarkdownRun(&b, r))
	require.NoError(t, MarkdownComparison(&b, c))
	require.NoError(t, MarkdownSearch(&b, s))
	text := b.String()
	require.Contains(t, text, "| `ack.p99 <= 20ms` |", "code shows entities as they are written")
	require.Contains(t, text, "z &lt;b>", "and text would take them for tags")
	width, tables := 0, 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			width = 0
			continue
		}
		require.True(t, strings.HasSuffix(line, "|"), line)
		n := len(cells(line))
		if width == 0 {
			width = n
			tables++
		}
		require.Equal(t, width, n, line)
	}
	require.Equal(t, 4, tables)
	require.True(t, slices.Contains(strings.Split(text, "\n"), "- a b"))
}
