package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"millrace/results"
)

func baselineCmd() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "One reviewed run of each scenario, to hold later ones against",
		Long: `Keep the figures of a run as its scenario's baseline, in a few small files to
commit, and hold later runs against it. One run on either side is a hint: what
differs is for compare or bench-compare to settle.`,
		Example: `  millrace baseline keep results/runs/20260304T050607Z-quickstart
  millrace baseline check results/runs/20260305T050607Z-quickstart`,
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", filepath.Join("results", "baselines"), "`DIR` of the baselines")
	each := func(use, short string, do func(w io.Writer, r *results.Run) error) *cobra.Command {
		return &cobra.Command{Use: use + " RUN…", Short: short, Args: cobra.MinimumNArgs(1),
			Example: "  millrace baseline " + use + " results/runs/20260304T050607Z-quickstart",
			RunE: func(cmd *cobra.Command, args []string) error {
				for _, arg := range args {
					r, err := results.Open(arg)
					if err == nil {
						err = do(cmd.OutOrStdout(), r)
					}
					if errors.Is(err, results.ErrNoRun) || errors.Is(err, results.ErrNotKept) || errors.Is(err, results.ErrNoBaseline) {
						return usage(err)
					} else if err != nil {
						return err
					}
				}
				return nil
			}}
	}
	check := each("check", "Hold runs against the baselines of their scenarios", func(w io.Writer, r *results.Run) error {
		a, err := results.HoldAgainst(dir, r)
		switch {
		case err != nil:
			return err
		case asJSON:
			return writeJSON(w, a)
		}
		writeAgainst(w, a)
		return nil
	})
	check.Flags().BoolVar(&asJSON, "json", false, "one JSON object a run")
	cmd.AddCommand(
		each("keep", "Make runs the baselines of their scenarios", func(w io.Writer, r *results.Run) error {
			place, err := results.KeepBaseline(dir, r)
			if err == nil {
				fmt.Fprintln(w, place)
			}
			return err
		}),
		check)
	return cmd
}

func writeAgainst(w io.Writer, a *results.Against) {
	rows := [][]string{{a.Scenario, "baseline", "this run", "ratio"}}
	for _, f := range a.Figures {
		rows = append(rows, []string{f.Name, shownFigure(f.Name, f.Was), shownFigure(f.Name, f.Is), fmt.Sprintf("%.2f", f.Ratio)})
	}
	table(w, rows)
	for _, u := range a.Unlike {
		for i, line := range results.Wrap("unlike: "+u, 76) {
			if i > 0 {
				line = "  " + line
			}
			fmt.Fprintln(w, line)
		}
	}
}

func shownFigure(name string, v float64) string {
	for _, m := range results.CompareMetrics {
		if m.Name == name {
			switch m.Unit {
			case "ns":
				return results.FormatNs(v)
			case "B":
				return results.FormatBytes(v)
			case "/s":
				return results.FormatCount(v) + "/s"
			}
		}
	}
	return results.FormatNumber(v)
}
