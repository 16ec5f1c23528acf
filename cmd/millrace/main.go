// Command millrace is a Kafka-protocol broker and the lab that measures it.
// Every subcommand is a thin layer over core, harness, results or dashboards:
// flags in, text out, and the exit code.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"millrace/results"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// exit is an error that carries the process's exit code. Err may be nil where
// all has been said already.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e exit) Unwrap() error { return e.err }

// usage marks an error as the caller's: exit code 2.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return exit{results.ExitUsage, err}
}

// run is main without the process: for tests.
func run(args []string, stdout, stderr io.Writer) int {
	// The first signal asks every command to end in order; after it the
	// signals' default returns, so that a second one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root, began := newRoot(stdout, stderr)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return results.ExitPass
	}
	var e exit
	switch {
	case errors.As(err, &e):
	case !*began: // cobra's own complaint: an unknown command, flag or argument
		e = exit{results.ExitUsage, err}
	case errors.Is(err, context.Canceled):
		e = exit{results.ExitInterrupted, errors.New("interrupted")}
	default:
		e = exit{results.ExitError, err}
	}
	if e.err != nil {
		fmt.Fprintln(stderr, "millrace:", e.err)
		if e.code == results.ExitUsage && !*began {
			fmt.Fprintln(stderr, "see:", cmd.CommandPath(), "--help")
		}
	}
	return e.code
}

// newRoot builds the command tree. began turns true when a command's own code
// starts, that is when its flags and arguments were found good.
func newRoot(stdout, stderr io.Writer) (root *cobra.Command, began *bool) {
	began = new(bool)
	root = &cobra.Command{
		Use:   "millrace",
		Short: "A Kafka-protocol broker core and the lab that measures it",
		Long: `millrace is a Kafka-protocol broker and the performance lab around it.

  serve     run the broker: any Kafka client can talk to it
  run       drive a scripted scenario against a broker, and judge it
  compare   the alternatives of a knob side by side, with honest statistics
  search    the highest rate that still meets the goals
  profile   where the cycles go
  topic, group, config
            administer this broker, or any that speaks the protocol`,
		Example: `  millrace serve --listen 127.0.0.1:9092 --data ./data
  millrace run quickstart
  millrace run logs --set payload.file=/var/log/dpkg.log
  millrace compare fan-out --knob read.path=sendfile,copy,mmap`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRun:  func(*cobra.Command, []string) { *began = true },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(
		serveCmd(), runCmd(), compareCmd(), searchCmd(), profileCmd(),
		reportCmd(), dashCmd(), scenariosCmd(), planCmd(), validateCmd(), knobsCmd(), limitsCmd(), pathsCmd(), baselineCmd(), sinkCmd(), agentCmd(), soakCmd(), logCmd(),
		topicCmd(), groupCmd(), configCmd(),
	)
	explainArgs(root)
	root.SetFlagErrorFunc(explainFlag)
	return root, began
}

// explainArgs has every command below root say how it is written where its
// arguments are wrong, and the mere groups of commands refuse what is none of
// theirs: cobra would print their help and call it success.
func explainArgs(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		explainArgs(cmd)
		check := cmd.Args
		if cmd.HasSubCommands() && !cmd.Runnable() {
			check = cobra.NoArgs
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
		if check == nil {
			continue
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil {
				return nil
			}
			if !cmd.HasSubCommands() {
				return fmt.Errorf("%w: write %s", err, cmd.UseLine())
			}
			var names []string
			for _, sub := range cmd.Commands() {
				names = append(names, sub.Name())
			}
			return fmt.Errorf("%w: there are %s", err, strings.Join(names, ", "))
		}
	}
}

// isTerminal tells whether w is a terminal that a line can be rewritten on.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}
