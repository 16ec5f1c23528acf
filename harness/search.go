package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"millrace/results"
)

// SearchOptions says how to look for the highest rate.
type SearchOptions struct {
	RunOptions
	// From is the first rate tried, records/s; 0: the scenario's own, or 10,000
	// where that is a closed loop.
	From float64
	// Command is how the search is repeated, for its report.
	Command string
	// Resolution is how near the rates that met and missed the goals must come,
	// as a share: 0.05 by default.
	Resolution float64
}

// searchSteps bounds the trials of one search: about eight to bracket over
// three decades and five to bisect, with room for repetitions.
const searchSteps = 32

// shortestStep is the shortest steady phase of a step: a rate over less than a
// second or so is not judged.
const shortestStep = 2 * time.Second

// keepUp is the share of the offered rate that must be acknowledged: the goal
// that takes the place of the scenario's own throughput goals.
const keepUp = 0.99

// repeats is how often the winner is tried in all; it must hold in most of them.
const repeats = 3

// Search looks for the highest rate that still meets the scenario's goals: it
// doubles until a rate fails, halves down where the first one fails, then
// bisects, each step a trial at a fixed rate on a fresh broker, and tries the
// winner again.
//
// Where a goal names a phase the scenario keeps its phases, and every rate in
// them is scaled alike; else each trial is a warm-up, one steady phase and the
// drain, all at the one rate.
func Search(ctx context.Context, o SearchOptions) (*results.Search, error) {
	if o.Resolution == 0 {
		o.Resolution = 0.05
	}
	if o.OutDir == "" {
		o.OutDir = "results/runs"
	}
	h := &hunt{o: o, s: &results.Search{Version: results.Version, Scenario: o.Scenario.Name, Question: o.Scenario.Question, Command: o.Command,
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
	strain    strain       // what the host's disks and network did meanwhile
	perPhase  bool         // a goal names a phase
	held      int          // trials at low that met the goals,
	tried     int          // of so many
	untold    int          // trials in a row that were INCONCLUSIVE
	// try carries out one step; the tests put a broker of known capacity here.
	try func(ctx context.Context, n int, rate float64) (results.Outcome, error)
}

// goals keeps the scenario's goals but those of throughput: each step's own
// rate takes their place.
func (h *hunt) goals() {
	h.s.Goals = []string{fmt.Sprintf("throughput >= %v × rate", keepUp)}
	for _, g := range h.o.Scenario.Goals {
		if strings.Contains(g.Figure, "throughput") {
			continue
		}
		h.s.Goals = append(h.s.Goals, g.String())
		h.perPhase = h.perPhase || g.Phase != ""
	}
}

func (h *hunt) run(ctx context.Context) error {
	rate := h.o.From
	if rate == 0 {
		if rate, _ = meanRate(h.o.Scenario.steady()); rate == 0 {
			rate = 10_000
		}
	}
	again := false
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
		if h.untold++; outcome != results.Inconclusive {
			h.untold = 0
		}
		if h.untold == 3 && h.low == 0 { // a lower rate makes fewer values, and tells still less
			h.s.Notes = append(h.s.Notes, "stopped: three rates in a row were INCONCLUSIVE; make the steady phase longer, or the goals' percentiles lower")
			h.conclude()
			return nil
		}
		h.learn(rate, outcome == results.Pass)
		switch {
		case h.low == 0 && h.high < 10:
			h.conclude()
			return nil
		case h.low == 0:
			rate = h.high / 2
		case h.high == 0:
			rate = h.low * 2
		case h.high/h.low > 1+h.o.Resolution:
			rate = math.Round(math.Sqrt(h.low * h.high))
		case h.tried < repeats:
			rate = h.low
		default:
			h.conclude()
			return nil
		}
	}
	h.s.Notes = append(h.s.Notes, fmt.Sprintf("stopped after %d steps", searchSteps))
	h.conclude()
	return nil
}

// learn takes in how a rate came out.
func (h *hunt) learn(rate float64, ok bool) {
	switch {
	case rate == h.low: // the winner again
		h.tried++
		if ok {
			h.held++
		}
		if failed := h.tried - h.held; failed > repeats/2 {
			h.high = rate
			h.fallBack()
		}
	case ok:
		h.low, h.held, h.tried = rate, 1, 1
	default:
		h.high = rate
	}
}

// fallBack takes the next lower rate that met the goals for the winner.
func (h *hunt) fallBack() {
	h.low, h.held, h.tried = 0, 0, 0
	for _, p := range h.s.Points {
		if p.Outcome == results.Pass && p.Rate < h.high && p.Rate > h.low {
			h.low, h.held, h.tried = p.Rate, 1, 1
		}
	}
}

// step tries one rate.
func (h *hunt) step(ctx context.Context, n int, rate float64) (results.Outcome, error) {
	s, err := h.at(rate)
	if err != nil {
		return "", err
	}
	o := h.o.RunOptions
	o.Scenario, o.OutDir = s, filepath.Join(h.s.Dir, "runs")
	o.prefix = h.where(n, rate)
	before := readStrain()
	run, err := Run(ctx, o)
	if err != nil {
		return "", fmt.Errorf("at %s: %w", perSec.format(rate), err)
	}
	t, v := &run.Trial, run.Verdict
	h.o.ceiling = t.Audit.CeilingRate
	if v.Outcome == results.Interrupted {
		return v.Outcome, nil
	}
	ack := t.Steady.Latency[results.Ack]
	p := results.SearchPoint{Rate: rate, Outcome: v.Outcome, Throughput: t.Steady.Acked.Rate, ByteRate: t.Steady.Acked.ByteRate, Run: run.ID,
		AckP50Ns: ack.P50Ns, AckP99Ns: ack.P99Ns, AckP999Ns: ack.P999Ns, E2EP99Ns: t.Steady.Latency[results.EndToEnd].P99Ns}
	if c := t.Steady.Target; c != nil {
		p.TargetCores = c.Cores
		if c.DiskBytes != nil && t.Steady.LenS > 0 {
			p.DiskRate = float64(*c.DiskBytes) / t.Steady.LenS
		}
	}
	if c := t.Steady.Generator; c != nil {
		p.GeneratorCores = c.Cores
	}
	for _, g := range v.Goals {
		if g.Outcome != results.Pass {
			p.Missed = fmt.Sprintf("%s: %s", g.Expr, g.Shown)
			if g.Reason != "" {
				p.Missed += " (" + g.Reason + ")"
			}
			break
		}
	}
	h.s.Points = append(h.s.Points, p)
	if v.Outcome == results.Violation {
		return v.Outcome, &OutcomeError{v.Outcome, fmt.Errorf("at %s: %s; see %s", perSec.format(rate), v.Reason, run.Dir)}
	}
	if v.Outcome != results.Pass {
		h.failed, h.strain = run, readStrain().since(before)
	}
	return v.Outcome, nil
}

// where says how far the search is.
func (h *hunt) where(n int, rate float64) string {
	text := fmt.Sprintf("step %d, %s", n, perSec.format(rate))
	switch {
	case h.low > 0 && h.high > 0:
		return text + fmt.Sprintf(" (between %s and %s)", perSec.format(h.low), perSec.format(h.high))
	case h.low > 0:
		return text + fmt.Sprintf(" (%s held)", perSec.format(h.low))
	}
	return text
}

// at is the scenario at one rate.
func (h *hunt) at(rate float64) (*Scenario, error) {
	s := h.o.Scenario
	goals := "goals=[" + strings.Join(append([]string{fmt.Sprintf("throughput >= %s", formatRate(math.Floor(rate*keepUp)))}, h.s.Goals[1:]...), ", ") + "]"
	if h.perPhase {
		mean, ok := meanRate(s.steady())
		if !ok || mean == 0 {
			return nil, &Faults{[]string{"a goal names a phase, and a closed loop has no rates to scale: leave the phase out of the goal, or give the phases rates"}}
		}
		phases, err := scaledPhases(s, rate/mean)
		if err != nil {
			return nil, err
		}
		return s.with(phases, goals)
	}
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
	length = max(length, shortestStep)
	return s.with(fmt.Sprintf("phases=[{warmup: %s, rate: %s}, {steady: %s, rate: %s}, {drain: %s}]", warm, formatRate(rate), length, formatRate(rate), drain), goals)
}

// aRate is a rate in a scenario's text.
var aRate = regexp.MustCompile(`([0-9][0-9_.]*)(k|M)?/s\b`)

// scaledPhases is the setting phases=… with every rate multiplied.
func scaledPhases(s *Scenario, factor float64) (string, error) {
	var doc struct {
		Phases yaml.Node `yaml:"phases"`
	}
	if err := yaml.Unmarshal(s.YAML(), &doc); err != nil {
		return "", err
	}
	inFlow(&doc.Phases)
	text, err := yaml.Marshal(&doc.Phases)
	if err != nil {
		return "", err
	}
	line := strings.Join(strings.Fields(string(text)), " ")
	return "phases=" + aRate.ReplaceAllStringFunc(line, func(m string) string {
		parts := aRate.FindStringSubmatch(m)
		v, err := strconv.ParseFloat(strings.ReplaceAll(parts[1], "_", ""), 64)
		if err != nil {
			return m
		}
		v *= map[string]float64{"": 1, "k": 1e3, "M": 1e6}[parts[2]]
		return formatRate(math.Max(1, math.Round(v*factor)))
	}), nil
}

// inFlow puts a node and all below it on one line.
func inFlow(n *yaml.Node) {
	n.Style |= yaml.FlowStyle
	for _, c := range n.Content {
		inFlow(c)
	}
}

// conclude states the capacity and what stood in the way.
func (h *hunt) conclude() {
	h.s.Capacity, h.s.Above = h.low, h.high
	h.s.Confirmed, h.s.Tries = h.held, h.tried
	var rates []float64
	for _, p := range h.s.Points {
		if p.Rate == h.low && h.low > 0 {
			rates = append(rates, p.Throughput)
		}
	}
	if len(rates) > 0 {
		h.s.Measured = &results.Interval{Median: results.Median(rates), Low: slices.Min(rates), High: slices.Max(rates)}
	}
	switch f := h.failed; {
	case h.low == 0 && f == nil:
		h.s.Limited, h.s.Limit = "goals", "no rate met the goals"
	case f == nil:
		h.s.Limited, h.s.Limit = "nothing", "nothing: no rate that was tried failed"
	default:
		h.s.Limited, h.s.Limit = limitOf(f, h.strain)
	}
}
