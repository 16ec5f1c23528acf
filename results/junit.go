package results

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

// The elements of JUnit's XML that CI systems read: a suite for each run,
// comparison or search, a case for each goal.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		Time    string      `xml:"time,attr"`
		Failure *junitFault `xml:"failure,omitempty"`
		Error   *junitFault `xml:"error,omitempty"`
		Out     string      `xml:"system-out,omitempty"`
	}
	junitFault struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit collects what a command measured, to be written as one file.
type JUnit struct {
	suites []junitSuite
	named  map[string]int // how many suites have a name: the second needs another
}

// case_ is a test case with its outcome: FAIL and a violation are failures of
// the target, what could not be told is an error of the test.
func case_(class, name string, o Outcome, shown, reason string) junitCase {
	c := junitCase{Class: class, Name: name, Time: "0", Out: shown}
	text := string(o)
	if shown != "" {
		text += ": " + shown
	}
	if reason != "" {
		text += ": " + reason
	}
	fault := &junitFault{Message: text, Type: string(o), Text: text}
	switch o {
	case Pass:
	case Fail, Violation:
		c.Failure = fault
	default:
		c.Error = fault
	}
	return c
}

func (j *JUnit) add(s junitSuite) {
	if j.named == nil {
		j.named = map[string]int{}
	}
	j.named[s.Name]++
	if n := j.named[s.Name]; n > 1 { // readers take two cases of one class and name for one
		s.Name += fmt.Sprintf(" %d", n)
		for i := range s.Cases {
			s.Cases[i].Class += fmt.Sprintf(".%d", n)
		}
	}
	for _, c := range s.Cases {
		s.Tests++
		if c.Failure != nil {
			s.Failures++
		}
		if c.Error != nil {
			s.Errors++
		}
	}
	j.suites = append(j.suites, s)
}

// Run adds a run: a case for each goal, and one for the run as a whole.
func (j *JUnit) Run(r *Run) {
	class := "millrace." + r.Trial.Scenario
	s := junitSuite{Name: r.Trial.Scenario, Time: seconds(r.Trial.WallS), Timestamp: stamp(r.Trial.Started), Properties: []junitProperty{
		{"target", r.Trial.Target.Kind}, {"promise", r.Trial.Promise}, {"validation", r.Trial.Validation},
		{"records/s", FormatNumber(r.Trial.Steady.Acked.Rate)}, {"run", r.ID}}}
	whole := case_(class, "run", r.Verdict.Outcome, r.Verdict.Answer, r.Verdict.Reason)
	whole.Time = s.Time
	if whole.Failure != nil && r.Verdict.Outcome == Violation {
		for _, e := range r.Trial.Ledger.Examples { // which records
			whole.Failure.Text += "\n" + e
		}
	}
	var goals []junitCase
	for _, g := range r.Verdict.Goals {
		c := case_(class, g.Expr, g.Outcome, g.Shown, g.Reason)
		if c.Failure != nil && r.Verdict.Outcome == Fail && r.Verdict.Reason == "" {
			whole.Failure = nil // this says so
		}
		goals = append(goals, c)
	}
	s.Cases = append(append(s.Cases, whole), goals...)
	j.add(s)
}

// Comparison adds a comparison: a case for each alternative, which fails where
// the gate says that it is a regression.
func (j *JUnit) Comparison(c *Comparison) {
	class := "millrace.compare." + c.Scenario
	s := junitSuite{Name: "compare " + c.Scenario, Time: "0", Timestamp: stamp(c.Started), Properties: []junitProperty{{"factor", c.Factor}, {"rounds", fmt.Sprint(c.Kept())}}}
	o, reason := Pass, ""
	if c.Interrupted {
		o = Interrupted
	}
	if c.Gate != nil && o == Pass {
		o, reason = c.Gate.Outcome, c.Gate.Reason
		for _, r := range c.Gate.Regressions {
			reason += r + "\n"
		}
	}
	s.Cases = append(s.Cases, case_(class, c.Factor, o, c.Answer(), reason))
	j.add(s)
}

// Search adds a search: one case, which fails where no rate met the goals, and
// is an error where that could not be told.
func (j *JUnit) Search(s *Search) {
	j.add(junitSuite{Name: "search " + s.Scenario, Time: "0", Timestamp: stamp(s.Started),
		Properties: []junitProperty{{"capacity", FormatNumber(s.Capacity)}, {"above", FormatNumber(s.Above)}},
		Cases:      []junitCase{case_("millrace.search."+s.Scenario, "capacity", s.Outcome(), s.Answer(), s.Limit)}})
}

// Ended adds what could not be carried out to its end: one case of the outcome,
// which says why.
func (j *JUnit) Ended(name string, o Outcome, err error) {
	j.add(junitSuite{Name: name, Time: "0", Timestamp: stamp(time.Now()),
		Cases: []junitCase{case_("millrace."+name, "run", o, "", err.Error())}})
}

// Write writes what was added.
func (j *JUnit) Write(w io.Writer) error {
	all := junitSuites{Suites: j.suites}
	for _, s := range j.suites {
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") }
