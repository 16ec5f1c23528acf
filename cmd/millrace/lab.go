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

func searchCmd() *cobra.Command {
	var t trialFlags
	var out outputs
	var o harness.SearchOptions
	cmd := &cobra.Command{
		Use:   "search SCENARIO",
		Short: "Find the highest rate that still meets the goals",
		Long: `Run the scenario at one fixed rate after another, doubling until a goal is
missed and then halving the gap, and report the highest rate that met every
goal, with the latencies at each rate tried and what stood in the way of more.
The winner is tried three times, and must hold in most of them. The exit code is 10
where no rate met the goals (11 or 12 where that could not be told), and 13 where
a record was lost at any. A goal that
names a phase ("in steady-2") keeps the scenario's phases, every rate in them
scaled alike.`,
		Example: `  millrace search latency-at-rate
  millrace search quickstart --set producers.acks=1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := t.scenario(args[0])
			if err != nil {
				return usage(err)
			}
			o.RunOptions = t.options(cmd)
			o.Scenario, o.Command = s, commandLine("search", args, cmd)
			found, err := harness.Search(cmd.Context(), o)
			if found != nil {
				reportDir(cmd.ErrOrStderr(), found.Dir)
				out.search(found)
			}
			if err != nil && cmd.Context().Err() == nil {
				out.fault("search."+s.Name, err)
			}
			err = errors.Join(err, out.write())
			if found != nil {
				if t.json {
					err = errors.Join(err, writeJSON(cmd.OutOrStdout(), found))
				} else {
					harness.SearchSummary(cmd.OutOrStdout(), found)
				}
			}
			if err := outcome(cmd.Context(), err); err != nil {
				return err
			}
			if o := found.Outcome(); o != results.Pass {
				return exit{o.ExitCode(), nil}
			}
			return nil
		},
	}
	t.register(cmd)
	t.target(cmd)
	t.agents(cmd)
	out.register(cmd)
	cmd.Flags().Float64Var(&o.From, "from", 0, "first `RATE` tried, records/s (default: the scenario's own)")
	cmd.Flags().Float64Var(&o.Resolution, "resolution", 0.05, "how near the rates that held and did not must come, as a share")
	return cmd
}

// outcome gives an error its exit code: an interruption's under a context that has
// ended, a trial's where one ended it all, that of bad usage.
func outcome(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exit{results.ExitInterrupted, errors.New("interrupted; what was measured is kept")}
	}
	var o *harness.OutcomeError
	if errors.As(err, &o) {
		return exit{o.Outcome.ExitCode(), err}
	}
	var f *harness.Faults
	if errors.As(err, &f) {
		return usage(err)
	}
	return err
}

// reportRun puts report.html into the run's directory. A failure is said and
// costs nothing else: the report can be made again.
func reportRun(w io.Writer, run *results.Run) { reportDir(w, run.Dir) }

// reportDir does it for the directory of a run, a comparison or a search.
func reportDir(w io.Writer, dir string) {
	if dir == "" {
		return
	}
	if _, err := dashboards.WriteReport(dir); err != nil {
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
	var listen, dir, broker string
	cmd := &cobra.Command{
		Use:   "dash",
		Short: "Serve a page over past runs, and a live one over a broker",
		Long: `Serve a page over all past runs, comparisons and searches. With --broker it has
a live page at /live too: records appended, the groups' lag and the time to
answer, second by second, of any broker that speaks the protocol.`,
		Example: `  millrace dash --listen 127.0.0.1:8080
  millrace dash --broker 127.0.0.1:9092`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("%w; choose another with --listen HOST:PORT", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "listening on http://%s/\n", l.Addr())
			mux := http.NewServeMux()
			mux.Handle("/", dashboards.Handler(results.Store{Dir: filepath.Clean(dir)}))
			if broker != "" {
				watched, err := watchBroker(cmd.Context(), broker)
				if err != nil {
					return usage(fmt.Errorf("--broker %s: %w", broker, err))
				}
				page := dashboards.Live(broker, watched)
				mux.Handle("/live", page)
				mux.Handle("/live/", page)
				fmt.Fprintf(cmd.OutOrStdout(), "live page: http://%s/live\n", l.Addr())
			}
			server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
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
	cmd.Flags().StringVar(&broker, "broker", "", "`HOST:PORT` of a running broker: its live page")
	return cmd
}
