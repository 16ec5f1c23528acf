package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"millrace/harness"
	"millrace/results"
)

func compareCmd() *cobra.Command {
	var t trialFlags
	var out outputs
	var o harness.CompareOptions
	var gates []string
	var stored, anyway bool
	cmd := &cobra.Command{
		Use:   "compare SCENARIO | compare --stored RUN… vs RUN…",
		Short: "Hold alternatives against each other, with honest statistics",
		Long: `Run the scenario with each alternative in turn, round by round, the broker
restarted on an empty directory every time, and report the paired ratio of each
alternative to the first with a 95 % interval. The first alternative also runs
against itself: the host's own noise. Where the interval includes 1, where
Holm's correction for looking at many figures takes a difference back, or where
it is below the noise, the table says "~".

Alternatives are the values of knobs or of scenario settings (several are
crossed: each factor's own effect is shown then, and what two do together),
targets, or git revisions of millrace, which are built on the way.

With --gate it is a regression test: exit code 10 where a figure is shown to be
worse than the first alternative's by more than the gate allows.`,
		Example: `  millrace compare fan-out --knob read.path=sendfile,copy,mmap
  millrace compare quickstart --knob net.engine=gnet,goroutine --rounds 20
  millrace compare quickstart --target child --target external:127.0.0.1:9092
  millrace compare max-throughput --rev main --rev . --gate 5%
  millrace compare max-throughput --knob read.path=sendfile,copy --profile cpu
  millrace compare --stored results/runs/2026*-a vs results/runs/2026*-b`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if len(gates) > 0 {
				if o.Gate, err = results.ParseGate(gates); err != nil {
					return usage(err)
				}
			}
			if o.Rounds < 1 {
				return usage(fmt.Errorf("--rounds %d: at least 1, and ten or more for intervals worth having", o.Rounds))
			}
			var c *results.Comparison
			if stored {
				c, err = compareStored(cmd, args, t, o.Gate, anyway)
			} else {
				if len(args) != 1 {
					return usage(fmt.Errorf("one scenario at a time: %s (stored runs are compared with --stored)", strings.Join(args, ", ")))
				}
				s, lerr := t.scenario(args[0])
				if lerr != nil {
					return usage(lerr)
				}
				o.RunOptions = t.options(cmd)
				o.Scenario, o.Command = s, commandLine("compare", args, cmd)
				if len(o.Targets) == 1 {
					o.RunOptions.Target, o.Targets = o.Targets[0], nil
				}
				c, err = harness.Compare(cmd.Context(), o)
			}
			return compared(cmd, c, err, &out, t.json)
		},
	}
	t.register(cmd)
	out.register(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.Knobs, "knob", nil, "`NAME=A,B,…`: a broker's knob or a scenario's setting; several are crossed")
	f.StringArrayVar(&o.Targets, "target", nil, "`TARGET`, twice or more: brokers to hold against each other")
	f.StringArrayVar(&o.Revs, "rev", nil, "git `REVISION` of millrace, twice or more; . is the working tree")
	f.BoolVar(&o.Screening, "screening", false, "a fraction of the combinations: the main effects of four and more knobs of two values")
	f.IntVar(&o.Rounds, "rounds", 10, "rounds; each runs every alternative once")
	f.BoolVar(&o.Noise, "aa", true, "run the first alternative against itself too: the host's own noise")
	f.StringArrayVar(&gates, "gate", nil, "`SHARE` such as 5%, or METRIC=5%: exit code 10 where it is worse by more")
	f.BoolVar(&stored, "stored", false, "compare runs that are there already: RUN… vs RUN…")
	f.BoolVar(&anyway, "anyway", false, "with --stored: also runs of other machines, loads or durations")
	t.profile(cmd, nil)
	return cmd
}

// compareStored reads RUN… vs RUN… [vs RUN…].
func compareStored(cmd *cobra.Command, args []string, t trialFlags, gate *results.Gate, anyway bool) (*results.Comparison, error) {
	sides := [][]string{nil}
	for _, a := range args {
		if a == "vs" {
			sides = append(sides, nil)
			continue
		}
		sides[len(sides)-1] = append(sides[len(sides)-1], a)
	}
	return harness.CompareStored(harness.StoredOptions{Sides: sides, OutDir: t.opts.OutDir, Gate: gate, Anyway: anyway, Command: commandLine("compare", args, cmd)})
}

// compared prints a comparison and gives the exit code.
func compared(cmd *cobra.Command, c *results.Comparison, err error, out *outputs, asJSON bool) error {
	var faults *harness.Faults
	if errors.As(err, &faults) || errors.Is(err, results.ErrNoRun) {
		return usage(err)
	}
	if c != nil {
		reportDir(cmd.ErrOrStderr(), c.Dir)
		out.comparison(c)
	}
	if err != nil && cmd.Context().Err() == nil {
		out.fault("compare", err)
	}
	if c == nil {
		return outcome(cmd.Context(), errors.Join(err, out.write()))
	}
	err = errors.Join(err, out.write())
	w := cmd.OutOrStdout()
	if asJSON {
		err = errors.Join(err, writeJSON(w, c))
	} else {
		harness.CompareSummary(w, c)
		err = errors.Join(err, harness.MovesSummary(w, c, 12))
	}
	if err := outcome(cmd.Context(), err); err != nil {
		return err
	}
	if c.Gate != nil && c.Gate.Outcome != results.Pass {
		return exit{c.Gate.Outcome.ExitCode(), nil}
	}
	return nil
}

// commandLine is the command as it can be typed again.
func commandLine(name string, args []string, cmd *cobra.Command) string {
	words := []string{"millrace", name}
	for _, a := range args {
		words = append(words, quoted(a))
	}
	cmd.Flags().Visit(func(f *flagOf) {
		if slices.Contains([]string{"json", "out", "data", "junit"}, f.Name) {
			return
		}
		if list, ok := f.Value.(interface{ GetSlice() []string }); ok {
			for _, v := range list.GetSlice() {
				words = append(words, "--"+f.Name, quoted(v))
			}
			return
		}
		if f.Value.Type() == "bool" {
			word := "--" + f.Name
			if f.Value.String() != "true" {
				word += "=" + f.Value.String()
			}
			words = append(words, word)
			return
		}
		words = append(words, "--"+f.Name, quoted(f.Value.String()))
	})
	return strings.Join(words, " ")
}

// quoted is a word for a shell.
func quoted(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_=+:,./%@", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
