package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"millrace/results"
)

// SearchOptions says how to look for the highest rate.
type SearchOptions struct {
	RunOptions
	// From is the first rate tried, records/s; 0: the scenario's own, or 10,000
	// where that is a closed loop.
	From float64
	// Resolution is how near the rates that met and missed the goals must come,
	// as a share: 0.05 by default.
	Resolution float64
}

// searchSteps bounds the trials of one search: about eight to bracket over
// three decades and five to bisect, with room for repetitions.
const searchSteps = 32

// keepUp is the share of the offered rate that must be acknowledged: the goal
// that takes the place of the scenario's own throughput goals.
const keepUp = 0.99

// Search looks for the highest rate that still meets the scenario's goals: it
// doubles until a rate fails, halves down where the first one fails, then
// bisects, each step a trial at a fixed rate on a fresh broker, and tries the
// winner once more.
func Search(ctx context.Context, o SearchOptions) (*results.Search, error) {
	if o.Resolution == 0 {
		o.Resolution = 0.05
	}
	if o.OutDir == "" {
		o.OutDir = "results/runs"
	}
	h := &hunt{o: o, s: &results.Search{Version: results.Version, Scenario: o.Scenario.Name, Question: o.Scenario.Question,
		Seed: o.Scenario.Seed, Started: time.Now().UTC(), Env: environment(o.DataDir, changedKnobs(o.Scenario.Broker))}}
	h.goals()
	h.try = h.step
	var err error
	o.LimitsFile = o.limitsFile()
	if h.s.Dir, err = freshDir(o.OutDir, h.s.Started, "search-"+o.Scenario.Name); err != nil {
		return nil, err
	}
	err = h.run(ctx)
	h.s.Interrupted = ctx.Err() != nil
	if len(h.s.Points) == 0 {
		os.Remove(h.s.Dir)
		if err == nil {
			err = ctx.Err()
		}
		return nil, err
	}
	var b bytes.Buffer
	jerr := results.Encode(&b, h.s)
	if jerr == nil {
		jerr = os.WriteFile(filepath.Join(h.s.Dir, results.SearchFile), b.Bytes(), 0o644)
	}
	if h.s.Interrupted {
		err = nil
	}
	return h.s, errors.Join(err, jerr)
}

// hunt is a search under way.
type hunt struct {
	o SearchOptions
	s *results.Search
	// low met the goals at its last trial, high missed them; 0: not known.
	low, high float64
	failed    *results.Run // the trial at high
	// try carries out one step; the tests put a broker of known capacity here.
	try func(ctx context.Context, n int, rate float64) (results.Outcome, error)
}

// goals keeps the scenario's goals but those of throughput: each step's own
// rate takes their place.
func (h *hunt) goals() {
	h.s.Goals = []string{fmt.Sprintf("throughput >= %v × rate", keepUp)}
	for _, g := range h.o.Scenario.Goals {
		if !strings.Contains(g.Figure, "throughput") && g.Phase == "" {
			h.s.Goals = append(h.s.Goals, g.String())
		}
	}
}

func (h *hunt) run(ctx context.Context) error {
	rate := h.o.From
	if rate == 0 {
		if rate, _ = meanRate(h.o.Scenario.steady()); rate == 0 {
			rate = 10_000
		}
	}
	confirmed, again := false, false
	for step := 1; step <= searchSteps; step++ {
		outcome, err := h.try(ctx, step, rate)
		if err != nil || ctx.Err() != nil {
			h.conclude()
			return err
		}
		if outcome == results.Invalid && !again { // a busy moment: it gets a second chance
			again = true
			continue
		}
		again = false
		ok := outcome == results.Pass
		switch {
		case ok && rate == h.low: // the winner again
			confirmed = true
		case ok:
			h.low = rate
		default:
			h.high = rate
			if rate <= h.low { // the winner failed the second time
				h.low = 0
				for _, p := range h.s.Points {
					if p.Outcome == results.Pass && p.Rate < rate {
						h.low = max(h.low, p.Rate)
					}
				}
			}
		}
		switch {
		case h.low == 0 && h.high < 10:
			h.conclude()
			return nil
		case h.low == 0:
			rate = h.high / 2
		case h.high == 0:
			rate = h.low * 2
		case h.high/h.low <= 1+h.o.Resolution && confirmed:
			h.conclude()
			return nil
		case h.high/h.low <= 1+h.o.Resolution:
			rate = h.low
		default:
			confirmed = false
			rate = math.Round(math.Sqrt(h.low * h.high))
		}
	}
	h.s.Notes = append(h.s.Notes, fmt.Sprintf("stopped after %d steps", searchSteps))
	h.conclude()
	return nil
}

// step tries one rate.
func (h *hunt) step(ctx context.Context, n int, rate float64) (results.Outcome, error) {
	s, err := h.at(rate)
	if err != nil {
		return "", err
	}
	o := h.o.RunOptions
	o.Scenario, o.OutDir = s, filepath.Join(h.s.Dir, "runs")
	o.prefix = fmt.Sprintf("step %d, %s", n, perSec.format(rate))
	run, err := Run(ctx, o)
	if err != nil {
		return "", fmt.Errorf("at %s: %w", perSec.format(rate), err)
	}
	t, v := &run.Trial, run.Verdict
	h.o.ceiling = t.Audit.CeilingRate
	if v.Outcome == results.Interrupted {
		return v.Outcome, nil
	}
	p := results.SearchPoint{Rate: rate, Outcome: v.Outcome, Throughput: t.Steady.Acked.Rate, Run: run.ID,
		AckP50Ns: t.Steady.Latency[results.Ack].P50Ns, AckP99Ns: t.Steady.Latency[results.Ack].P99Ns,
		E2EP99Ns: t.Steady.Latency[results.EndToEnd].P99Ns}
	if c := t.Steady.Target; c != nil {
		p.TargetCores = c.Cores
	}
	if c := t.Steady.Generator; c != nil {
		p.GeneratorCores = c.Cores
	}
	for _, g := range v.Goals {
		if g.Outcome != results.Pass {
			p.Missed = fmt.Sprintf("%s: %s", g.Expr, g.Shown)
			break
		}
	}
	h.s.Points = append(h.s.Points, p)
	if v.Outcome == results.Violation {
		return v.Outcome, fmt.Errorf("at %s: %s; see %s", perSec.format(rate), v.Reason, run.Dir)
	}
	if v.Outcome != results.Pass {
		h.failed = run
	}
	return v.Outcome, nil
}

// at is the scenario at one fixed rate.
func (h *hunt) at(rate float64) (*Scenario, error) {
	s := h.o.Scenario
	warm, length, drain := time.Second, time.Duration(0), 5*time.Second
	for _, p := range s.Phases {
		switch p.Kind {
		case Warmup:
			warm = max(warm, p.Len)
		case Steady:
			length += p.Len
		case Drain:
			drain = p.Len
		}
	}
	goals := []string{fmt.Sprintf("throughput >= %s", formatRate(math.Floor(rate*keepUp)))}
	goals = append(goals, h.s.Goals[1:]...)
	return s.with(
		fmt.Sprintf("phases=[{warmup: %s, rate: %s}, {steady: %s, rate: %s}, {drain: %s}]", warm, formatRate(rate), length, formatRate(rate), drain),
		"goals=["+strings.Join(goals, ", ")+"]")
}

// conclude states the capacity and what stood in the way.
func (h *hunt) conclude() {
	h.s.Capacity, h.s.Above = h.low, h.high
	switch f := h.failed; {
	case h.low == 0:
		h.s.Limit = "no rate met the goals"
	case f == nil:
		h.s.Limit = "nothing: no rate that was tried failed"
	default:
		h.s.Limit = limitOf(f)
	}
}

// limitOf names what a trial that missed its goals ran into.
func limitOf(run *results.Run) string {
	t := &run.Trial
	cpus := float64(run.Env.CPUs)
	var target, generator float64
	if c := t.Steady.Target; c != nil {
		target = c.Cores
	}
	if c := t.Steady.Generator; c != nil {
		generator = c.Cores
	}
	use := fmt.Sprintf("target %.2f, generator %.2f of %d cores", target, generator, run.Env.CPUs)
	switch {
	case run.Verdict.Outcome == results.Invalid || t.Audit.Limited:
		return "the generator or the machine (" + use + "): the target may take more"
	case t.Steady.Target != nil && target+generator > 0.9*cpus && target >= generator:
		return "the machine's CPU, most of it the target's (" + use + ")"
	case t.Steady.Target != nil && target+generator > 0.9*cpus:
		return "the machine's CPU, most of it the generator's (" + use + ")"
	}
	return "not the CPU (" + use + "): waiting, on the disk or on locks"
}
