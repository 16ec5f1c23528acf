package main

import (
	"errors"

	"github.com/spf13/cobra"

	"millrace/harness"
)

func pathsCmd() *cobra.Command {
	var t trialFlags
	var o harness.PathsOptions
	cmd := &cobra.Command{
		Use:   "paths",
		Short: "How near the broker comes to what this machine can do, by path",
		Long: `Run the path scenarios (produce, tail fetch, catch-up fetch, both at once) at
16 KiB, 64 KiB and 1 MiB batches, the broker on one core and a lean generator on
another, and hold each against bare loops measured in the same minutes: receive
+ CRC + append for what is produced, sendfile for what is fetched. Medians of
the rounds.`,
		Example: `  millrace paths
  millrace paths --rounds 5 --warm-memory 12GiB
  millrace paths --scenario path-produce --size 64KiB --set sync.policy=group`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.RunOptions, o.Sets = t.options(cmd), t.sets
			list, err := harness.Paths(cmd.Context(), o)
			if faults := (*harness.Faults)(nil); errors.As(err, &faults) {
				return usage(err)
			}
			if len(list) > 0 {
				if t.json {
					err = errors.Join(err, writeJSON(cmd.OutOrStdout(), list))
				} else {
					harness.PathsSummary(cmd.OutOrStdout(), list)
				}
			}
			return outcome(cmd.Context(), err)
		},
	}
	t.register(cmd)
	t.target(cmd)
	f := cmd.Flags()
	f.IntVar(&o.Rounds, "rounds", 3, "rounds; each runs every path once at every size")
	f.StringSliceVar(&o.Scenarios, "scenario", nil, "`SCENARIO`s in place of the library's path scenarios")
	f.StringSliceVar(&o.Sizes, "size", nil, "`SIZE`s of batches (default 16KiB,64KiB,1MiB)")
	return cmd
}
