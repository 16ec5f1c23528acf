package harness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/results"
)

// StoredOptions says which stored runs to hold against each other.
type StoredOptions struct {
	// Sides are run directories, the first side is what the others are held
	// against.
	Sides  [][]string
	Names  []string // of the sides; empty: from what differs
	OutDir string
	Gate   *results.Gate
	// Anyway compares also what is not comparable; the notes then say why it
	// is not.
	Anyway  bool
	Command string
}

// CompareStored compares runs of the store. They did not run side by side, so
// that whatever the host did meanwhile stands between them: the interval is
// that of two independent samples.
func CompareStored(o StoredOptions) (*results.Comparison, error) {
	if len(o.Sides) < 2 {
		return nil, &Faults{[]string{"name two sides: compare --stored RUN… vs RUN…"}}
	}
	if o.OutDir == "" {
		o.OutDir = "results/runs"
	}
	var all []*results.Run
	sides := make([][]*results.Run, len(o.Sides))
	for i, dirs := range o.Sides {
		if len(dirs) == 0 {
			return nil, &Faults{[]string{"a side without a run: compare --stored RUN… vs RUN…"}}
		}
		for _, dir := range dirs {
			r, err := results.Open(dir)
			if err != nil {
				return nil, err
			}
			sides[i] = append(sides[i], r)
			all = append(all, r)
		}
	}
	refused, flagged := results.Unlike(all)
	if len(refused) > 0 && !o.Anyway {
		return nil, &Faults{append(refused, "these runs cannot be held against each other; --anyway does it and says so")}
	}
	first := all[0]
	c := &results.Comparison{Version: results.Version, Scenario: first.Trial.Scenario, Question: first.Trial.Question, Factor: "stored runs",
		Command: o.Command, Seed: first.Trial.Seed, Started: time.Now().UTC(), Stored: true, Env: first.Env}
	for _, r := range refused {
		c.Notes = append(c.Notes, "NOT COMPARABLE: "+r)
	}
	c.Notes = append(c.Notes, flagged...)
	c.Notes = append(c.Notes, "the runs were taken from the store: they did not run side by side, and what the host did meanwhile stands between them")
	for i, runs := range sides {
		a := results.Alternative{Name: sideName(o, sides, i), Promise: runs[0].Trial.Promise, Validation: runs[0].Trial.Validation, Metrics: map[string]results.Metric{}}
		for _, r := range runs {
			a.Runs = append(a.Runs, r.Dir)
			for _, m := range results.CompareMetrics {
				if v := m.Of(&r.Trial); v != nil {
					x := a.Metrics[m.Name]
					x.Values = append(x.Values, *v)
					a.Metrics[m.Name] = x
				}
			}
		}
		c.Rounds = max(c.Rounds, len(runs))
		c.Alternatives = append(c.Alternatives, a)
	}
	var err error
	if c.Dir, err = freshDir(o.OutDir, c.Started, "compare-stored-"+c.Scenario); err != nil {
		return nil, err
	}
	return c, finishComparison(c, o.Gate)
}

// sideName names a side by the knobs in which the sides differ, or by its
// place.
func sideName(o StoredOptions, sides [][]*results.Run, i int) string {
	if i < len(o.Names) {
		return o.Names[i]
	}
	var words []string
	var keys []string
	for _, runs := range sides {
		for k := range runs[0].Env.Knobs {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		values := map[string]bool{}
		for _, runs := range sides {
			values[runs[0].Env.Knobs[k]] = true
		}
		if len(values) > 1 {
			words = append(words, k+"="+orWords(sides[i][0].Env.Knobs[k], knobDefault(k)))
		}
	}
	letter := string(rune('A' + i%26))
	if len(words) == 0 {
		return fmt.Sprintf("%s (%s)", letter, plural(int64(len(sides[i])), "run"))
	}
	return letter + ": " + strings.Join(words, " ")
}
