package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"millrace/harness/soak"
	"millrace/results"
)

func soakCmd() *cobra.Command {
	o := soak.Options{Duration: 20 * time.Minute}
	attack, asJSON := "", false
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Leave a broker alone with bad peers, and judge what is left of it",
		Long: `Start a broker, and beside one well-behaved client let these loose on it, all at
once: floods of requests whose answers nobody reads, slowloris, half-open peers,
5,000 connections at once, 1,000 connections a second, peers that vanish inside a
sendfile, slow readers, and garbage.

Judged are the client's p99 (under 10 ms), its records (all, in order), and the
broker's memory and descriptors: bounded throughout, flat at the end. Where other
processes kept the machine busy, latency is not judged (exit code 11).`,
		Example: `  millrace soak --time 1m
  millrace soak --set net.engine=goroutine`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if attack != "" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(soak.Attack(cmd.Context(), attack))
			}
			if o.Duration < 10*time.Second {
				return usage(fmt.Errorf("--time %v: at least 10s, or there is nothing to judge", o.Duration))
			}
			o.Progress = cmd.ErrOrStderr()
			r, err := soak.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), r)
			} else {
				writeSoak(cmd.OutOrStdout(), r)
			}
			switch {
			case err != nil || r.Passed():
				return err
			case r.Failed():
				return exit{code: results.ExitFail}
			}
			return exit{code: results.ExitInconclusive}
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.Duration, "time", o.Duration, "how long")
	f.StringVar(&o.Dir, "data", "", "`DIR` to put the broker's data under (default: the system's temporary one)")
	f.StringArrayVar(&o.Knobs, "set", nil, "`KNOB=VALUE` of the broker, any number of times")
	f.BoolVar(&asJSON, "json", false, "one JSON object, with all samples")
	f.StringVar(&attack, "attack", "", "`HOST:PORT`: be the attackers")
	_ = f.MarkHidden("attack")
	return cmd
}

func writeSoak(w io.Writer, r *soak.Report) {
	verdict := func(passed, failed bool) string {
		switch {
		case failed:
			return "FAIL"
		case passed:
			return "PASS"
		}
		return "INCONCLUSIVE"
	}
	rows := [][]string{{"", "check", "wanted", "seen"}}
	for _, c := range r.Checks {
		rows = append(rows, []string{verdict(c.Passed, !c.Passed && !c.Environment), c.Name, c.Want, c.Seen})
	}
	fmt.Fprintf(w, "%s after %v\n\n", verdict(r.Passed(), r.Failed()), r.Duration)
	table(w, rows)
	for _, c := range r.Checks {
		if c.Note != "" {
			fmt.Fprintln(w, "note:", c.Note)
		}
	}
}
