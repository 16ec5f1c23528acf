package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"millrace/results"
)

// CompareOptions says what to hold against what. Every kind of factor is
// crossed with the others.
type CompareOptions struct {
	RunOptions
	// Knobs are factors, name=a,b,c: a broker's knob or a scenario's path.
	Knobs []string
	// Targets, where there are several, are a factor.
	Targets []string
	// Revs are git revisions of millrace, each built and used as the child
	// target's binary; the generator is always this one.
	Revs []string
	// Screening runs a fraction of the combinations, which tells the main
	// effects of many knobs apart.
	Screening bool
	Rounds    int // default 10
	// Noise runs the first alternative against itself too: what this host
	// makes of no difference at all.
	Noise bool
	Gate  *results.Gate // nil: none
	// Command is how the comparison is repeated, for its report.
	Command string
}

// alternative is one side of a comparison, ready to run.
type alternative struct {
	name   string
	levels []int
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
	tmp, err := os.MkdirTemp("", "millrace-revisions-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	d, err := designOf(ctx, o, tmp)
	if err != nil {
		return nil, err
	}
	alts := d.alternatives
	if err := answering(ctx, alts); err != nil {
		return nil, err
	}
	c := &results.Comparison{Version: results.Version, Scenario: o.Scenario.Name, Question: o.Scenario.Question, Command: o.Command,
		Factor: d.title(), Factors: d.factors, Design: d.name,
		Seed: o.Scenario.Seed, Started: time.Now().UTC(), Rounds: o.Rounds, Env: environment(o.DataDir, changedKnobs(o.Scenario.Broker))}
	if c.Dir, err = freshDir(o.OutDir, c.Started, "compare-"+o.Scenario.Name); err != nil {
		return nil, err
	}
	for i := range alts {
		alts[i].opts.OutDir = filepath.Join(c.Dir, "runs")
		c.Alternatives = append(c.Alternatives, results.Alternative{Name: alts[i].name, Levels: alts[i].levels, Metrics: map[string]results.Metric{}})
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
	if c.Design != "" && c.Design != results.FullDesign {
		c.Notes = append(c.Notes, "a screening design mixes what two knobs do together into the main effects: cross the knobs that matter in full afterwards")
	}
	if len(o.Profile) > 0 {
		c.Notes = append(c.Notes, mergeProfiles(c)...)
	}
	err = errors.Join(err, finishComparison(c, o.Gate))
	if c.Interrupted {
		err = nil // the comparison says so itself
	}
	return c, err
}

// answering says which of the targets that others run does not answer: before the
// first trial, and not after those of all that come before it.
func answering(ctx context.Context, alts []alternative) error {
	asked := map[string]bool{}
	var faults []string
	for _, a := range alts {
		addr, ok := strings.CutPrefix(a.opts.Target, "external:")
		if !ok || asked[addr] {
			continue
		}
		asked[addr] = true
		if err := (&external{addr: addr}).start(ctx); err != nil {
			faults = append(faults, fmt.Sprintf("target %q: %v", a.opts.Target, err))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "\n"))
	}
	return nil
}

// finishComparison judges the values and stores what they say.
func finishComparison(c *results.Comparison, gate *results.Gate) error {
	c.Judge()
	warnUnlike(c)
	if gate != nil {
		gate.Apply(c)
	}
	return writeComparison(c)
}

// rounds runs them all, and keeps the figures of the rounds that count. A round
// that does not is run again, up to half as many as were asked for.
func rounds(ctx context.Context, o CompareOptions, c *results.Comparison, alts []alternative) error {
	pace := newPace(o, alts)
	for round, kept := 1, 0; kept < o.Rounds && round <= o.Rounds+max(1, o.Rounds/2); round++ {
		runs := make([]*results.Run, len(alts))
		for k := range alts {
			i := k
			if round%2 == 0 {
				i = len(alts) - 1 - k
			}
			ro := alts[i].opts
			ro.prefix = fmt.Sprintf("round %d of %d, %s", kept+1, o.Rounds, alts[i].name)
			ro.remaining = pace.left
			run, err := Run(ctx, ro)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round, alts[i].name, err)
			}
			pace.next()
			runs[i] = run
			shareCeiling(alts, i, run.Trial.Audit.CeilingRate)
			switch run.Verdict.Outcome {
			case results.Interrupted:
				return ctx.Err()
			case results.Violation:
				return &OutcomeError{results.Violation, fmt.Errorf("round %d, %s: %s; see %s", round, alts[i].name, run.Verdict.Reason, run.Dir)}
			}
			if run.Trial.Error != "" {
				return &OutcomeError{results.Fail, fmt.Errorf("round %d, %s: %s; see %s", round, alts[i].name, run.Trial.Error, run.Dir)}
			}
		}
		if why := disturbed(runs); why != "" {
			c.Discarded = append(c.Discarded, fmt.Sprintf("round %d: %s", round, why))
			pace.total += len(alts)
			continue
		}
		kept++
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

// shareCeiling keeps the generator's ceiling, which the trial of alternative i
// took, for every alternative that drives the same load: it says nothing about
// the target, and taking it costs seconds.
func shareCeiling(alts []alternative, i int, rate float64) {
	from := alts[i].opts.Scenario
	for k := range alts {
		o := &alts[k].opts
		if o.ceiling == 0 && (k == i || from.generatesLike(o.Scenario)) {
			o.ceiling = rate
		}
	}
}

// generatesLike tells whether both scenarios make the generator do the same.
func (s *Scenario) generatesLike(t *Scenario) bool {
	return s.Host.GeneratorCPUs == t.Host.GeneratorCPUs && s.Host.TargetCPUs == t.Host.TargetCPUs &&
		reflect.DeepEqual(s.spec(""), t.spec(""))
}

// pace guesses the time that remains: from the plan until a trial has ended,
// then from the trials so far.
type pace struct {
	now          func() time.Time
	began, trial time.Time // of all, and of the trial that runs
	done, total  int
	planned      time.Duration // of one trial
}

// overhead is what a trial takes beside its phases: the target's start and end,
// the ledger's check.
const overhead = 2 * time.Second

func newPace(o CompareOptions, alts []alternative) *pace {
	p := &pace{now: time.Now, began: time.Now(), trial: time.Now(), total: o.Rounds * len(alts), planned: overhead}
	for _, ph := range o.Scenario.Phases {
		if ph.Kind != Drain { // it ends with the last record, mostly at once
			p.planned += ph.Len
		}
	}
	return p
}

// next says that a trial has ended.
func (p *pace) next() {
	p.done++
	p.trial = p.now()
}

// left counts down while a trial runs, to what the trials after it will take.
func (p *pace) left() time.Duration {
	each := p.planned
	if p.done > 0 {
		each = p.trial.Sub(p.began) / time.Duration(p.done)
	}
	here := max(each-p.now().Sub(p.trial), 0)
	return here + each*time.Duration(max(p.total-p.done-1, 0))
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

// disturbed says why a round does not count.
func disturbed(runs []*results.Run) string {
	for _, r := range runs {
		if s := r.Trial.Steady.Steal; s > stealLimit {
			return fmt.Sprintf("the hypervisor withheld %.1f %% of the CPU time", s*100)
		}
	}
	return ""
}

// with is the scenario under further settings.
func (s *Scenario) with(sets ...string) (*Scenario, error) { return parse(s.Name, s.YAML(), sets) }

// warnUnlike notes what makes alternatives hard to hold against each other.
func warnUnlike(c *results.Comparison) {
	if c.Stored {
		return // said already
	}
	promises, depths := map[string]bool{}, map[string]bool{}
	for _, a := range c.Alternatives {
		promises[a.Promise], depths[a.Validation] = true, true
	}
	for _, u := range []struct {
		what   string
		values map[string]bool
	}{{"make different durability promises (sync.policy)", promises}, {"check to different depths (validate.depth)", depths}} {
		if len(u.values) > 1 {
			var list []string
			for _, k := range sortedKeys(u.values) {
				list = append(list, orWords(k, "unknown"))
			}
			c.Notes = append(c.Notes, fmt.Sprintf("the alternatives %s: %s; faster is not better here", u.what, strings.Join(list, ", ")))
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
	for i := range c.Alternatives {
		a := &c.Alternatives[i]
		var runs []*results.Run
		for _, id := range a.Runs {
			r, err := results.Open(a.RunDir(c, id))
			if err != nil {
				return err
			}
			runs = append(runs, r)
		}
		// A key of the benchmark format: benchstat -col alternative.
		if _, err := fmt.Fprintf(bench, "alternative: %s\n", a.Name); err != nil {
			return err
		}
		if err := results.WriteBench(bench, runs...); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(c.Dir, results.CompareFile), b.Bytes(), 0o644)
}

// freshDir makes a directory named by the time and what it holds.
func freshDir(parent string, at time.Time, name string) (string, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("no place for the results: %w (say another with --out)", err)
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
