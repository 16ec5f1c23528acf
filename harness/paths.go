package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"time"

	"millrace/harness/limits"
	"millrace/results"
)

// PathScenarios are the broker's paths, each on a core of its own.
var PathScenarios = []string{"path-produce", "path-tail", "path-catchup", "path-mixed"}

// PathSizes are the batch sizes at which they are measured.
var PathSizes = []string{"16KiB", "64KiB", "1MiB"}

// PathsOptions says how to measure the paths.
type PathsOptions struct {
	RunOptions          // Scenario is not asked for
	Scenarios  []string // default PathScenarios
	Sizes      []string // default PathSizes
	Sets       []string // further settings of each scenario
	Rounds     int      // default 3

	limitRound time.Duration // how long a loop of the limits runs; 0: their default
}

// Paths runs every path at every size, some rounds, and measures in each round
// what the machine can do at most, so that both sides of a share are of the same
// minutes. What was measured is returned also where ctx ends.
func Paths(ctx context.Context, o PathsOptions) ([]results.PathFigures, error) {
	if o.Scenarios == nil {
		o.Scenarios = PathScenarios
	}
	if o.Sizes == nil {
		o.Sizes = PathSizes
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.OutDir == "" {
		o.OutDir = "results/runs"
	}
	scratch, err := os.MkdirTemp("", "millrace-paths-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	o.LimitsFile = filepath.Join(scratch, results.LimitsFile)
	var list []results.PathFigures
	var scenarios []*Scenario
	for _, name := range o.Scenarios {
		for _, size := range o.Sizes {
			s, err := Load(name, append([]string{"producers.batch.size=" + size}, o.Sets...))
			if err != nil {
				return nil, err
			}
			scenarios = append(scenarios, s)
			list = append(list, results.PathFigures{Scenario: name, Batch: s.Producers.BatchSize})
		}
	}
	began, done, total := time.Now(), 0, o.Rounds*len(scenarios)
	for round := range o.Rounds {
		for i, s := range scenarios {
			if i%len(o.Sizes) == 0 { // the machine changes within minutes
				if err := o.measureLimits(ctx, s, fmt.Sprintf("round %d of %d, ", round+1, o.Rounds)); err != nil {
					return list, interruptedOr(ctx, err)
				}
			}
			ro := o.RunOptions
			ro.Scenario, ro.ceiling = s, list[i].Ceiling
			ro.prefix = fmt.Sprintf("round %d of %d, %s", round+1, o.Rounds, formatBatch(s.Producers.BatchSize))
			if done > 0 {
				ro.prefix += fmt.Sprintf(", %s left", (time.Since(began) / time.Duration(done) * time.Duration(total-done)).Round(time.Second))
			}
			run, err := Run(ctx, ro)
			if err != nil {
				return list, err
			}
			done++
			list[i].Ceiling = run.Trial.Audit.CeilingRate
			switch run.Verdict.Outcome {
			case results.Violation, results.Interrupted:
				return list, fmt.Errorf("%s: %s; see %s", s.Name, run.Verdict.Reason, run.Dir)
			}
			list[i].Add(run)
		}
	}
	return list, nil
}

// measureLimits takes the loops that bound the paths, as the scenario has
// sockets and memory.
func (o *PathsOptions) measureLimits(ctx context.Context, s *Scenario, prefix string) error {
	ro := o.RunOptions
	ro.Scenario = s
	p := newProgress(ro)
	defer p.end()
	p.status("%smeasuring the machine", prefix)
	if o.DataDir != "" {
		if err := os.MkdirAll(o.DataDir, 0o755); err != nil {
			return err
		}
	}
	l, err := limits.Measure(ctx, limits.Options{
		Dir: o.DataDir, Congestion: s.Host.Congestion, Warm: s.Host.Warm, Round: o.limitRound, Only: []string{"receive", "loopback"},
	})
	if err != nil {
		return err
	}
	if len(l.Paths) == 0 {
		return errors.New("nothing of the machine's limits could be measured")
	}
	env := environment(o.DataDir, nil)
	l.Env = &env
	return results.WriteLimits(o.LimitsFile, l)
}

// PathsSummary writes the paths for a person: medians of the rounds.
func PathsSummary(w io.Writer, list []results.PathFigures) {
	fmt.Fprintf(w, "%-12s %-5s %5s %10s %5s %5s %7s %7s  %s\n", "path", "batch", "MB/s", "records/s", "CPU", "bare", "calls", "switch", "roofline")
	for _, f := range list {
		if len(f.Runs) == 0 {
			continue
		}
		share := "–"
		if v := f.Shares; len(v) > 0 {
			sorted := append([]float64{}, v...)
			sort.Float64s(sorted)
			share = fmt.Sprintf("%.0f %%", 100*results.Median(v))
			if len(v) > 1 {
				share = fmt.Sprintf("%.0f (%.0f-%.0f) %%", 100*results.Median(v), 100*sorted[0], 100*sorted[len(v)-1])
			}
		}
		fmt.Fprintf(w, "%-12s %-5s %5.0f %10s %5.2f %5.2f %7.4f %7.4f  %s\n", clip(f.Scenario, 12), formatBatch(f.Batch),
			results.Median(f.Bytes)/1e6, results.FormatCount(results.Median(f.Records)), results.Median(f.CPUPerGB), results.Median(f.Bare),
			results.Median(f.Syscalls), results.Median(f.Switches), share)
	}
	fmt.Fprintln(w)
	for _, line := range results.Wrap("MB/s: produced and consumed together. CPU: seconds of the broker's for 10^9 of these bytes; "+
		"bare: what loops take that do nothing else. Calls (every system call, or reads and writes: see the runs' notes) and context switches: "+
		"the broker's, for each record. Roofline: the share of what one core could do; medians, and slowest to fastest round.", 78) {
		fmt.Fprintln(w, line)
	}
	for _, note := range results.PathNotes(list) {
		bullet(w, "note: ", note)
	}
}

func formatBatch(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}
