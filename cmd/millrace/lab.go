package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"millrace/dashboards"
	"millrace/harness"
	"millrace/results"
)

func compareCmd() *cobra.Command {
	var t trialFlags
	var o harness.CompareOptions
	cmd := &cobra.Command{
		Use:   "compare SCENARIO",
		Short: "Hold alternatives against each other, with honest statistics",
		Long: `Run the scenario with each alternative in turn, round by round, the broker
restarted on an empty directory every time, and report the paired ratio of each
alternative to the first with a 95 % interval. Where the interval includes 1,
or the difference is below the host's own noise, the table says "~".`,
		Example: `  millrace compare fan-out --knob read.path=sendfile,copy,mmap
  millrace compare quickstart --knob net.engine=gnet,goroutine --rounds 20
  millrace compare quickstart --target child --target external:127.0.0.1:9092`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.Knobs) == 0 && len(o.Targets) < 2 {
				return usage(errors.New("nothing to compare: give --knob name=a,b, or --target twice"))
			}
			s, err := harness.Load(args[0], t.sets)
			if err != nil {
				return usage(err)
			}
			o.RunOptions = t.options(cmd)
			if len(o.Targets) == 1 {
				o.RunOptions.Target, o.Targets = o.Targets[0], nil
			}
			o.Scenario = s
			c, err := harness.Compare(cmd.Context(), o)
			if c != nil {
				if t.json {
					err = errors.Join(err, writeJSON(cmd.OutOrStdout(), c))
				} else {
					harness.CompareSummary(cmd.OutOrStdout(), c)
				}
			}
			return outcome(cmd.Context(), err)
		},
	}
	t.register(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.Knobs, "knob", nil, "`NAME=A,B,…`: a broker's knob or a scenario's setting; several are crossed")
	f.StringArrayVar(&o.Targets, "target", nil, "`TARGET`, twice or more: brokers to hold against each other")
	f.IntVar(&o.Rounds, "rounds", 10, "rounds; each runs every alternative once")
	f.BoolVar(&o.Noise, "noise", false, "run the first alternative against itself too: the host's own noise")
	return cmd
}

func searchCmd() *cobra.Command {
	var t trialFlags
	var o harness.SearchOptions
	cmd := &cobra.Command{
		Use:   "search SCENARIO",
		Short: "Find the highest rate that still meets the goals",
		Long: `Run the scenario at one fixed rate after another, doubling until a goal is
missed and then halving the gap, and report the highest rate that met every
goal, with the latencies at each rate tried.`,
		Example: `  millrace search latency-at-rate
  millrace search quickstart --set producers.acks=1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := harness.Load(args[0], t.sets)
			if err != nil {
				return usage(err)
			}
			o.RunOptions = t.options(cmd)
			o.Scenario = s
			found, err := harness.Search(cmd.Context(), o)
			if found != nil {
				if t.json {
					err = errors.Join(err, writeJSON(cmd.OutOrStdout(), found))
				} else {
					harness.SearchSummary(cmd.OutOrStdout(), found)
				}
			}
			return outcome(cmd.Context(), err)
		},
	}
	t.register(cmd)
	t.target(cmd)
	return cmd
}

func profileCmd() *cobra.Command {
	var t trialFlags
	var top int
	cmd := &cobra.Command{
		Use:   "profile SCENARIO",
		Short: "Run a scenario under pprof: the functions that cost most",
		Example: `  millrace profile max-throughput
  millrace profile max-throughput --profile cpu,allocs --top 30
  go tool pprof -http 127.0.0.1: results/runs/RUN/profiles/FILE`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := harness.Load(args[0], t.sets)
			if err != nil {
				return usage(err)
			}
			o := t.options(cmd)
			o.Scenario = s
			run, err := harness.Run(cmd.Context(), o)
			if run == nil {
				return outcome(cmd.Context(), err)
			}
			reportRun(cmd.ErrOrStderr(), run)
			w := cmd.OutOrStdout()
			if err := printRun(w, run, t.json); err != nil {
				return err
			}
			if !t.json {
				if err := harness.ProfileSummary(w, run, top); err != nil {
					return err
				}
			}
			if code := harness.ExitCode(run, err); code != results.ExitPass {
				return exit{code, err}
			}
			return nil
		},
	}
	t.register(cmd)
	t.target(cmd)
	cmd.Flags().StringSliceVar(&t.opts.Profile, "profile", []string{"cpu"}, "`KINDS`: cpu,heap,allocs,mutex,block,goroutine")
	cmd.Flags().IntVar(&top, "top", 20, "functions to show")
	return cmd
}

// outcome makes an interruption's exit code of an error under a context that
// has ended.
func outcome(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exit{results.ExitInterrupted, errors.New("interrupted; what was measured is kept")}
	}
	return err
}

// reportRun puts report.html into the run's directory. A failure is said and
// costs nothing else: the report can be made again.
func reportRun(w io.Writer, run *results.Run) {
	if run.Dir == "" {
		return
	}
	if _, err := dashboards.WriteReport(run.Dir); err != nil {
		fmt.Fprintln(w, "millrace: no report:", err)
	}
}

func reportCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "report RUN…",
		Short:   "Make report.html again from run directories",
		Example: "  millrace report results/runs/20260304T050607Z-quickstart",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, dir := range args {
				file, err := dashboards.WriteReport(dir)
				if errors.Is(err, results.ErrNoRun) {
					return usage(err)
				} else if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), file)
			}
			return nil
		},
	}
}

func dashCmd() *cobra.Command {
	var listen, dir string
	cmd := &cobra.Command{
		Use:     "dash",
		Short:   "Serve a page over all past runs",
		Example: "  millrace dash --listen 127.0.0.1:8080",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("%w; choose another with --listen HOST:PORT", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "listening on http://%s/\n", l.Addr())
			server := &http.Server{Handler: dashboards.Handler(results.Store{Dir: filepath.Clean(dir)}), ReadHeaderTimeout: 10 * time.Second}
			ended := make(chan error, 1)
			go func() { ended <- server.Serve(l) }()
			select {
			case err := <-ended:
				return err
			case <-cmd.Context().Done():
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return server.Shutdown(ctx)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8090", "`HOST:PORT` of the page")
	cmd.Flags().StringVar(&dir, "out", "results/runs", "`DIR` of the run directories")
	return cmd
}
