package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"millrace/results"
)

// CompareOptions says what to hold against what.
type CompareOptions struct {
	RunOptions
	// Knobs are factors, name=a,b,c: a broker's knob or a scenario's path.
	// Several are crossed: every combination is an alternative.
	Knobs []string
	// Targets, where there are several, are the factor instead.
	Targets []string
	Rounds  int // default 10
	// Noise runs the first alternative against itself too: what this host
	// makes of no difference at all.
	Noise bool
}

// alternative is one side of a comparison, ready to run.
type alternative struct {
	name   string
	opts   RunOptions
	values map[string][]float64

	trials, busy, limited int     // trials that counted; those on a busy machine; those that the generator limited
	busiest               float64 // share of the CPU that others took, worst trial
	reason                string  // of the last limit
}

// Compare runs the alternatives side by side: each round runs every one once,
// in turn forwards and backwards, so that what drifts on the host falls on all
// alike; each trial starts the broker anew, on a fresh directory, with the same
// seed. What was measured is returned and stored also where ctx ends.
func Compare(ctx context.Context, o CompareOptions) (*results.Comparison, error) {
	if o.Rounds == 0 {
		o.Rounds = 10
	}
	if o.OutDir == "" {
		o.OutDir = "results/runs"
	}
	o.LimitsFile = o.limitsFile()
	alts, factor, err := alternatives(o)
	if err != nil {
		return nil, err
	}
	c := &results.Comparison{Version: results.Version, Scenario: o.Scenario.Name, Question: o.Scenario.Question, Factor: factor,
		Seed: o.Scenario.Seed, Started: time.Now().UTC(), Rounds: o.Rounds, Env: environment(o.DataDir, changedKnobs(o.Scenario.Broker))}
	if c.Dir, err = freshDir(o.OutDir, c.Started, "compare-"+o.Scenario.Name); err != nil {
		return nil, err
	}
	for i := range alts {
		alts[i].opts.OutDir = filepath.Join(c.Dir, "runs")
		c.Alternatives = append(c.Alternatives, results.Alternative{Name: alts[i].name, Metrics: map[string]results.Metric{}})
	}
	err = rounds(ctx, o, c, alts)
	c.Interrupted = ctx.Err() != nil
	for i, a := range alts {
		c.Notes = append(c.Notes, a.remarks()...)
		for _, m := range results.CompareMetrics {
			if v := a.values[m.Name]; len(v) > 0 {
				c.Alternatives[i].Metrics[m.Name] = results.Metric{Values: v}
			}
		}
	}
	c.Judge()
	warnUnlike(c)
	if werr := writeComparison(c); werr != nil {
		err = errors.Join(err, werr)
	}
	if c.Interrupted {
		err = nil // the comparison says so itself
	}
	return c, err
}

// rounds runs them all, and keeps the figures of the rounds that count.
func rounds(ctx context.Context, o CompareOptions, c *results.Comparison, alts []alternative) error {
	began := time.Now()
	done, total := 0, o.Rounds*len(alts)
	for round := range o.Rounds {
		runs := make([]*results.Run, len(alts))
		for k := range alts {
			i := k
			if round%2 == 1 {
				i = len(alts) - 1 - k
			}
			ro := alts[i].opts
			ro.prefix = fmt.Sprintf("round %d of %d, %s%s", round+1, o.Rounds, alts[i].name, left(began, done, total))
			run, err := Run(ctx, ro)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, alts[i].name, err)
			}
			done++
			runs[i] = run
			alts[i].opts.ceiling = run.Trial.Audit.CeilingRate
			switch run.Verdict.Outcome {
			case results.Interrupted:
				return ctx.Err()
			case results.Violation:
				return fmt.Errorf("round %d, %s: %s; see %s", round+1, alts[i].name, run.Verdict.Reason, run.Dir)
			}
			if run.Trial.Error != "" {
				return fmt.Errorf("round %d, %s: %s; see %s", round+1, alts[i].name, run.Trial.Error, run.Dir)
			}
		}
		if why := disturbed(runs); why != "" {
			c.Discarded = append(c.Discarded, fmt.Sprintf("round %d: %s", round+1, why))
			continue
		}
		for i, run := range runs {
			a := &c.Alternatives[i]
			a.Runs = append(a.Runs, run.ID)
			a.Promise, a.Validation = run.Trial.Promise, run.Trial.Validation
			for _, m := range results.CompareMetrics {
				if v := m.Of(&run.Trial); v != nil {
					alts[i].values[m.Name] = append(alts[i].values[m.Name], *v)
				}
			}
			alts[i].seen(&run.Trial)
		}
	}
	return nil
}

// seen keeps what a reader of the medians must know of a trial.
func (a *alternative) seen(t *results.Trial) {
	a.trials++
	if o := t.Steady.Others; o != nil && *o > othersLimit {
		a.busy++
		a.busiest = max(a.busiest, *o)
	}
	if t.Audit.Limited {
		a.limited++
		a.reason = t.Audit.Reason
	}
}

// remarks says it, once for each alternative.
func (a *alternative) remarks() (notes []string) {
	if a.busy > 0 {
		notes = append(notes, fmt.Sprintf("%s: other processes took up to %.0f %% of the machine's CPU time, more than %.0f %% in %d of %s",
			a.name, a.busiest*100, othersLimit*100, a.busy, plural(int64(a.trials), "trial")))
	}
	if a.limited > 0 {
		notes = append(notes, fmt.Sprintf("%s: the generator was the limit in %d of %s: %s", a.name, a.limited, plural(int64(a.trials), "trial"), a.reason))
	}
	return notes
}

// left is the time that remains, guessed from the trials so far.
func left(began time.Time, done, total int) string {
	if done == 0 {
		return ""
	}
	each := time.Since(began) / time.Duration(done)
	return fmt.Sprintf(", %s left", (each * time.Duration(total-done)).Round(time.Second))
}

// disturbed says why a round does not count.
func disturbed(runs []*results.Run) string {
	for _, r := range runs {
		if s := r.Trial.Steady.Steal; s > stealLimit {
			return fmt.Sprintf("the hypervisor withheld %.1f %% of the CPU time", s*100)
		}
	}
	return ""
}

// alternatives works out the sides from knobs or targets.
func alternatives(o CompareOptions) (alts []alternative, factor string, err error) {
	add := func(name string, ro RunOptions) {
		alts = append(alts, alternative{name: name, opts: ro, values: map[string][]float64{}})
	}
	if len(o.Targets) > 1 {
		if len(o.Knobs) > 0 {
			return nil, "", &Faults{[]string{"compare either knobs or targets, not both"}}
		}
		for _, t := range o.Targets {
			ro := o.RunOptions
			ro.Target = t
			if _, err := newTarget(&ro); err != nil {
				return nil, "", err
			}
			add(t, ro)
		}
		factor = "target"
	} else {
		var names []string
		combos := [][]string{nil}
		var faults []string
		for _, k := range o.Knobs {
			name, list, ok := strings.Cut(k, "=")
			values := strings.Split(list, ",")
			if !ok || len(values) < 2 {
				faults = append(faults, fmt.Sprintf("--knob %s: write name=a,b with two values or more", k))
				continue
			}
			names = append(names, name)
			var next [][]string
			for _, c := range combos {
				for _, v := range values {
					next = append(next, append(append([]string{}, c...), name+"="+v))
				}
			}
			combos = next
		}
		if len(o.Knobs) == 0 {
			faults = append(faults, "nothing to compare: say --knob name=a,b or several --target")
		}
		if len(faults) > 0 {
			return nil, "", &Faults{faults}
		}
		factor = strings.Join(names, ", ")
		for _, sets := range combos {
			ro := o.RunOptions
			if ro.Scenario, err = o.Scenario.with(sets...); err != nil {
				return nil, "", err
			}
			if o.Target != "" {
				if _, err := newTarget(&ro); err != nil {
					return nil, "", err
				}
			}
			name := strings.Join(sets, " ")
			if len(names) == 1 { // the factor's name stands in the heading
				name = strings.TrimPrefix(sets[0], names[0]+"=")
			}
			add(name, ro)
		}
	}
	if o.Noise {
		again := alts[0]
		again.name, again.values = again.name+results.Again, map[string][]float64{}
		alts = append(alts, again)
	}
	return alts, factor, nil
}

// with is the scenario under further settings.
func (s *Scenario) with(sets ...string) (*Scenario, error) { return parse(s.Name, s.YAML(), sets) }

// warnUnlike notes what makes alternatives hard to hold against each other.
func warnUnlike(c *results.Comparison) {
	promises, depths := map[string]bool{}, map[string]bool{}
	for _, a := range c.Alternatives {
		promises[a.Promise], depths[a.Validation] = true, true
	}
	for what, m := range map[string]map[string]bool{"durability promises (sync.policy)": promises, "validation depths (validate.depth)": depths} {
		if len(m) > 1 {
			var list []string
			for _, k := range sortedKeys(m) {
				list = append(list, orWords(k, "unknown"))
			}
			c.Notes = append(c.Notes, fmt.Sprintf("the alternatives make different %s: %s; faster is not better here", what, strings.Join(list, ", ")))
		}
	}
}

func writeComparison(c *results.Comparison) error {
	var b bytes.Buffer
	if err := results.Encode(&b, c); err != nil {
		return err
	}
	bench, err := os.Create(filepath.Join(c.Dir, results.BenchFile))
	if err != nil {
		return err
	}
	defer bench.Close()
	var runs []*results.Run
	for _, a := range c.Alternatives {
		for _, id := range a.Runs {
			r, err := results.Open(filepath.Join(c.Dir, "runs", id))
			if err != nil {
				return err
			}
			runs = append(runs, r)
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(c.Dir, results.CompareFile), b.Bytes(), 0o644),
		results.WriteBench(bench, runs...))
}

// freshDir makes a directory named by the time and what it holds.
func freshDir(parent string, at time.Time, name string) (string, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	dir := filepath.Join(parent, at.UTC().Format("20060102T150405Z")+"-"+name)
	for n := 2; ; n++ {
		err := os.Mkdir(dir, 0o755)
		if err == nil || !errors.Is(err, os.ErrExist) || n > 100 {
			return dir, err
		}
		dir = fmt.Sprintf("%s.%d", strings.TrimSuffix(dir, fmt.Sprintf(".%d", n-1)), n)
	}
}
