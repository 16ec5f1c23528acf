package harness

import (
	"context"
	"errors"
	"io"
	"time"

	"millrace/results"
)

// RunOptions says how to carry a scenario out.
type RunOptions struct {
	Scenario *Scenario
	Target   string   // child (default), inprocess, external:HOST:PORT, command:FILE, sink
	Profile  []string // cpu, heap, allocs, mutex, block, goroutine; of the target
	Binary   string   // the millrace that child runs; default: this one
	OutDir   string   // where run directories go; default results/runs
	DataDir  string   // parent of the target's fresh data directory; default: the system's temporary one

	// Agents are the addresses of the agents that generate the load, in place of
	// this process, and AgentToken is what they want to hear; "": MILLRACE_TOKEN of
	// the environment.
	Agents     []string
	AgentToken string

	// LimitsFile holds what the machine can do at most; default: limits.json
	// beside OutDir. It need not exist.
	LimitsFile string

	Progress io.Writer // live progress; nil: none
	TTY      bool      // Progress is a terminal: one line that is rewritten, else plain lines

	prefix string // before each line of progress: which round of a comparison this is
	// remaining is the time left of all that the run is part of, to be shown in
	// place of its own; nil: it is all there is.
	remaining func() time.Duration
	audit     time.Duration // how long the generator's own ceiling is measured; 0: auditTime
	// ceiling is the generator's own, taken by an earlier trial of the same
	// client, payload and batch settings; 0: measure it.
	ceiling float64
}

// Run carries the scenario out once and stores the run directory. The run is
// returned whenever something was measured, also with an error or when ctx was
// cancelled (its outcome is then INTERRUPTED); a nil run means that nothing
// was.
func Run(ctx context.Context, o RunOptions) (*results.Run, error) {
	if o.Target == "" {
		o.Target = "child"
	}
	if o.OutDir == "" {
		o.OutDir = "results/runs"
	}
	if o.audit == 0 {
		o.audit = auditTime
	}
	return execute(ctx, o)
}

// OutcomeError ends a comparison or a search at a trial after which there is
// nothing to hold against anything: data was lost, the target died.
type OutcomeError struct {
	Outcome results.Outcome
	Err     error
}

func (e *OutcomeError) Error() string { return e.Err.Error() }
func (e *OutcomeError) Unwrap() error { return e.Err }

// ExitCode is what a command that ends with the run and error exits with.
func ExitCode(run *results.Run, err error) int {
	var f *Faults
	var o *OutcomeError
	switch {
	case errors.As(err, &f):
		return results.ExitUsage
	case errors.As(err, &o):
		return o.Outcome.ExitCode()
	case run != nil:
		return run.Verdict.Outcome.ExitCode()
	case errors.Is(err, context.Canceled):
		return results.ExitInterrupted
	case err != nil:
		return results.ExitError
	}
	return results.ExitPass
}
