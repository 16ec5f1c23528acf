package results

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// baselineFiles are what is kept of a run that others are held against: its
// figures and how they came about, without the curves.
var baselineFiles = []string{ScenarioFile, EnvFile, TrialFile, VerdictFile}

// Baseline names the directory of a scenario's baseline below dir.
func Baseline(dir, scenario string) string { return filepath.Join(dir, scenario) }

// KeepBaseline copies what is kept of a run to its scenario's place below dir,
// over what was there, and answers the place. Only a run that passed is worth
// it: the error says why another is not.
func KeepBaseline(dir string, r *Run) (string, error) {
	if r.Verdict.Outcome != Pass {
		return "", fmt.Errorf("%w: %s ended %s: a baseline is a run that passed", ErrNotKept, r.Dir, r.Verdict.Outcome)
	}
	if name := r.Trial.Scenario; name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) {
		return "", fmt.Errorf("%w: %s: %q is no name of a scenario", ErrNotKept, r.Dir, name)
	}
	place := Baseline(dir, r.Trial.Scenario)
	if err := os.MkdirAll(place, 0o755); err != nil {
		return "", err
	}
	for _, name := range baselineFiles {
		b, err := os.ReadFile(filepath.Join(r.Dir, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(place, name), b, 0o644); err != nil {
			return "", err
		}
	}
	return place, nil
}

// Against is a run held against its scenario's baseline: one run each, so that
// what differs is a reason to compare properly, and no finding.
type Against struct {
	Scenario string         `json:"scenario"`
	Baseline string         `json:"baseline"`
	Run      string         `json:"run"`
	Figures  []AgainstValue `json:"figures"`
	// Unlike is what makes the two hard to hold against each other.
	Unlike []string `json:"unlike,omitempty"`
}

// AgainstValue is one figure of both; CompareMetrics says what it is.
type AgainstValue struct {
	Name  string  `json:"name"`
	Was   float64 `json:"was"`
	Is    float64 `json:"is"`
	Ratio float64 `json:"ratio"`
}

// ErrNotKept says that a run cannot be a baseline.
var ErrNotKept = errors.New("not kept")

// ErrNoBaseline says that a scenario has none.
var ErrNoBaseline = errors.New("no baseline")

// HoldAgainst reads the baseline of the run's scenario below dir.
func HoldAgainst(dir string, r *Run) (*Against, error) {
	place := Baseline(dir, r.Trial.Scenario)
	base, err := Open(place)
	if errors.Is(err, ErrNoRun) || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w of scenario %s in %s (keep one: millrace baseline keep RUN)", ErrNoBaseline, r.Trial.Scenario, dir)
	}
	if err != nil {
		return nil, err
	}
	a := &Against{Scenario: r.Trial.Scenario, Baseline: place, Run: r.Dir, Unlike: unlike(base, r)}
	for _, m := range CompareMetrics {
		was, is := m.Of(&base.Trial), m.Of(&r.Trial)
		if was != nil && is != nil && *was > 0 {
			a.Figures = append(a.Figures, AgainstValue{m.Name, *was, *is, *is / *was})
		}
	}
	return a, nil
}

func unlike(a, b *Run) (list []string) {
	differ := func(what, x, y string) {
		if x != y {
			list = append(list, fmt.Sprintf("%s: was %s, is %s", what, orNone(x), orNone(y)))
		}
	}
	differ("CPU", a.Env.CPUModel, b.Env.CPUModel)
	differ("CPUs", fmt.Sprint(a.Env.CPUs), fmt.Sprint(b.Env.CPUs))
	differ("kernel", a.Env.Kernel, b.Env.Kernel)
	differ("target", a.Trial.Target.Kind, b.Trial.Target.Kind)
	differ("promise of an acknowledgement", a.Trial.Promise, b.Trial.Promise)
	differ("validation", a.Trial.Validation, b.Trial.Validation)
	differ("memory", coldness(a), coldness(b))
	if !bytes.Equal(a.Scenario, b.Scenario) {
		list = append(list, "the scenario itself: see scenario.yaml of both")
	}
	for _, r := range []*Run{a, b} {
		if v := r.Verdict; v.Outcome != Pass {
			text := fmt.Sprintf("%s is %s", r.Dir, v.Outcome)
			if v.Reason != "" {
				text += ": " + v.Reason
			}
			list = append(list, text)
		}
		if o := r.Trial.Steady.Others; o != nil && *o > 0.1 {
			list = append(list, fmt.Sprintf("%s: other processes took %.0f %% of the machine", r.Dir, 100**o))
		}
	}
	return list
}

func coldness(r *Run) string {
	switch {
	case r.Env.MemoryCost == 0:
		return ""
	case ColdMemory(r.Env.MemoryCost):
		return "cold"
	}
	return "warm"
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
