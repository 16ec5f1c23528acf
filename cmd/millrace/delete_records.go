package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func topicDeleteRecordsCmd(f *adminFlags) *cobra.Command {
	type row struct {
		Partition int32 `json:"partition"`
		Start     int64 `json:"start"`
	}
	var partition int32
	var before int64
	cmd := &cobra.Command{
		Use: "delete-records TOPIC", Short: "Delete a partition's records before an offset", Args: cobra.ExactArgs(1),
		Example: "  millrace topic delete-records events --partition 0 --before 1000",
		RunE: func(cmd *cobra.Command, args []string) error {
			if partition < 0 || before < -1 {
				return usage(errors.New("say which --partition, and the offset to keep: --before OFFSET, or -1 for the end"))
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				offsets := kadm.Offsets{}
				offsets.AddOffset(args[0], partition, before, -1)
				got, err := a.DeleteRecords(ctx, offsets)
				if err == nil {
					err = got.Error()
				}
				if err != nil {
					return told(args[0], err, "")
				}
				r, _ := got.Lookup(args[0], partition)
				return f.show(cmd.OutOrStdout(), row{partition, r.LowWatermark},
					[][]string{{"PARTITION", "START"}, {fmt.Sprint(partition), fmt.Sprint(r.LowWatermark)}})
			})
		},
	}
	cmd.Flags().Int32Var(&partition, "partition", -1, "the `PARTITION`")
	cmd.Flags().Int64Var(&before, "before", -2, "first `OFFSET` kept; -1: none is")
	return cmd
}
