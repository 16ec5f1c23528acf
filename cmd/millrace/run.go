package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"millrace/harness"
	"millrace/results"
)

// trialFlags are the flags of every command that runs trials.
type trialFlags struct {
	opts harness.RunOptions
	sets []string
	load harness.LoadOptions
	json bool

	trace, perf bool // beside the kinds of profile
}

// scenario is the one of a name or a file, with the flags' settings.
func (t *trialFlags) scenario(name string) (*harness.Scenario, error) {
	o := t.load
	o.Sets = t.sets
	return harness.LoadWith(name, o)
}

// ombFlags are those that go with a workload of OpenMessaging Benchmark.
func ombFlags(cmd *cobra.Command, o *harness.LoadOptions) {
	cmd.Flags().StringVar(&o.Driver, "driver", "", "OpenMessaging Benchmark driver `FILE`, where SCENARIO is a workload of its")
	cmd.Flags().StringVar(&o.Scale, "scale", "", "`FACTOR` of every rate, such as 0.1; machine: by this machine's CPUs")
}

func (t *trialFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&t.sets, "set", nil, "`NAME=VALUE`: a scenario's setting or a broker's knob, any number of times")
	ombFlags(cmd, &t.load)
	f.StringVar(&t.opts.OutDir, "out", "results/runs", "`DIR` for run directories")
	f.StringVar(&t.opts.DataDir, "data", "", "`DIR` in which the broker's data is put, and removed after (default: the system's temporary one)")
	f.BoolVar(&t.json, "json", false, "results as JSON on standard output")
	hostFlags(cmd, &t.sets)
}

// hostFlags are short for settings of the scenario's host section.
func hostFlags(cmd *cobra.Command, sets *[]string) {
	f := cmd.Flags()
	set := func(key string) func(string) error {
		return func(v string) error { *sets = append(*sets, "host."+key+"="+v); return nil }
	}
	f.Func("warm-memory", "`SIZE` of page cache to touch before each run (host.warm)", set("warm"))
	f.Func("congestion", "TCP congestion `CONTROL` of both ends' sockets (host.congestion)", set("congestion"))
	f.Func("pin", "`TARGET:GENERATOR`: CPUs for each, such as 0:1 (host.target.cpus, host.generator.cpus)", func(v string) error {
		target, generator, ok := strings.Cut(v, ":")
		if !ok {
			return errors.New("write the target's CPUs, a colon, and the generator's, such as 0:1")
		}
		return errors.Join(set("target.cpus")(target), set("generator.cpus")(generator))
	})
}

// target declares the flag of the commands that measure one target.
func (t *trialFlags) target(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.opts.Target, "target", "child", "`TARGET`: child, inprocess, external:HOST:PORT, command:FILE, sink")
}

// agents declares the flags of the commands whose load agents can generate.
func (t *trialFlags) agents(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&t.opts.Agents, "agent", nil, "`HOST:PORT` of a millrace agent to share the load")
	f.StringVar(&t.opts.AgentToken, "agent-token", "", "`TOKEN` of the agents (or MILLRACE_TOKEN)")
}

// options fills in what depends on the streams.
func (t *trialFlags) options(cmd *cobra.Command) harness.RunOptions {
	o := t.opts
	o.Profile = slices.Clone(o.Profile)
	if t.trace {
		o.Profile = append(o.Profile, "trace")
	}
	if t.perf {
		o.Profile = append(o.Profile, "perf")
	}
	o.Progress = cmd.ErrOrStderr()
	o.TTY = isTerminal(o.Progress)
	return o
}

func runCmd() *cobra.Command {
	var t trialFlags
	var out outputs
	cmd := &cobra.Command{
		Use:   "run SCENARIO…",
		Short: "Run scenarios: drive, measure, check the data, judge",
		Long: `Run each scenario (a name of the library, or a file) against a broker, print the
verdict, and leave a run directory with every figure. Progress goes to standard
error. The exit code is the outcome's: 0 PASS, 10 FAIL, 11 INCONCLUSIVE,
12 INVALID, 13 data violation, 130 interrupted; the gravest of several.`,
		Example: `  millrace run quickstart
  millrace run logs --set payload.file=/var/log/dpkg.log
  millrace run quickstart --set sync.policy=group --set producers.acks=1
  millrace run quickstart --target external:127.0.0.1:9092 --json
  millrace run quickstart --target external:broker:9092 \
    --agent gen1:7070 --agent gen2:7070
  millrace run 1-topic-16-partitions-1kb.yaml --driver kafka-throughput.yaml --scale machine`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runScenarios(cmd, &t, &out, args)
		},
	}
	t.register(cmd)
	t.target(cmd)
	t.agents(cmd)
	t.profile(cmd, nil)
	out.register(cmd)
	return cmd
}

// runScenarios checks every scenario before it runs the first.
func runScenarios(cmd *cobra.Command, t *trialFlags, out *outputs, names []string) error {
	var loaded []*harness.Scenario
	var faults []error
	for _, name := range names {
		s, err := t.scenario(name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		loaded = append(loaded, s)
	}
	if len(faults) > 0 {
		return usage(errors.Join(faults...))
	}
	w := cmd.OutOrStdout()
	code := results.ExitPass
	for _, s := range loaded {
		o := t.options(cmd)
		o.Scenario = s
		run, err := harness.Run(cmd.Context(), o)
		if run != nil {
			reportRun(cmd.ErrOrStderr(), run)
			out.run(run)
			if err := printRun(w, run, t.json); err != nil {
				return err
			}
		}
		c := harness.ExitCode(run, err)
		if err != nil && (run == nil || c == results.ExitError) {
			out.fault(s.Name, err)
			return exit{c, errors.Join(err, out.write())}
		}
		code = graver(code, c)
		if c == results.ExitInterrupted {
			break
		}
	}
	if err := out.write(); err != nil {
		return err
	}
	if code != results.ExitPass {
		return exit{code, nil}
	}
	return nil
}

// graver is the code that should win where several scenarios ran: broken data
// before an interruption, an interruption before a verdict.
func graver(a, b int) int {
	rank := map[int]int{
		results.ExitPass: 0, results.ExitInconclusive: 1, results.ExitFail: 2, results.ExitInvalid: 3,
		results.ExitError: 4, results.ExitInterrupted: 5, results.ExitViolation: 6,
	}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

func printRun(w io.Writer, run *results.Run, asJSON bool) error {
	if !asJSON {
		harness.Summary(w, run)
		return nil
	}
	return writeJSON(w, map[string]any{"id": run.ID, "dir": run.Dir, "verdict": run.Verdict, "trial": run.Trial, "env": run.Env})
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func scenariosCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "scenarios",
		Short:   "List the scenario library, each with its question",
		Example: "  millrace scenarios",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			if asJSON {
				return writeJSON(w, harness.Library())
			}
			for _, e := range harness.Library() {
				fmt.Fprintln(w, e.Name)
				for _, line := range results.Wrap(e.Question, 74) {
					fmt.Fprintln(w, "    "+line)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON array")
	return cmd
}

func planCmd() *cobra.Command {
	var o harness.LoadOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "plan SCENARIO",
		Short:   "What a scenario would do and need, without running it",
		Example: "  millrace plan quickstart --set producers.count=4",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := harness.LoadWith(args[0], o)
			if err != nil {
				return usage(err)
			}
			p, err := s.Plan()
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), p)
			}
			p.Write(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&o.Sets, "set", nil, "`NAME=VALUE`, any number of times")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	ombFlags(cmd, &o)
	return cmd
}

func validateCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "validate FILE…",
		Short:   "Check scenario files; each fault with its line and column",
		Example: "  millrace validate my-scenario.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var faults []error
			for _, file := range args {
				if err := harness.Validate(file); err != nil {
					faults = append(faults, err)
					continue
				}
				fmt.Fprintln(cmd.OutOrStdout(), file+": sound")
			}
			return usage(errors.Join(faults...))
		},
	}
}
