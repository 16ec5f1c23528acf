package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"millrace/core"
	"millrace/results"
)

func logCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Look into the files of a log: dump, verify",
	}
	cmd.AddCommand(logDumpCmd(), logVerifyCmd())
	return cmd
}

func logDumpCmd() *cobra.Command {
	var o core.DumpOptions
	cmd := &cobra.Command{
		Use:   "dump DIR",
		Short: "Show a partition's log, or every log of a data directory, batch by batch",
		Example: `  millrace log dump data/events-0
  millrace log dump --records data/events-0 | less`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return core.DumpLog(cmd.OutOrStdout(), args[0], o)
		},
	}
	cmd.Flags().BoolVar(&o.Records, "records", false, "show each record too")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "one JSON object a line")
	return cmd
}

func logVerifyCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every batch of a log: lengths, checksums, offsets, indexes",
		Long: `Check every batch of a partition's directory, or of all in a data directory:
lengths, checksums, offsets, and the indexes against them. Nothing is changed.
The exit code is 13 where a fault is found.`,
		Example: `  millrace log verify data
  millrace log verify data/events-0`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := core.VerifyLog(args[0])
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if asJSON {
				enc := json.NewEncoder(w)
				enc.SetIndent("", "  ")
				if err := enc.Encode(v); err != nil {
					return err
				}
			} else {
				for _, f := range v.Faults {
					fmt.Fprintln(w, f)
				}
				fmt.Fprintf(w, "%d partitions, %d segments, %d batches, %d records, %d bytes: ",
					v.Partitions, v.Segments, v.Batches, v.Records, v.Bytes)
				if n := len(v.Faults); n > 0 {
					fmt.Fprintf(w, "%d faults\n", n)
				} else {
					fmt.Fprintln(w, "sound")
				}
			}
			if len(v.Faults) > 0 {
				return exit{results.ExitViolation, nil}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}
