package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func groupCmd() *cobra.Command {
	return adminGroup("group", "List, describe, reset and delete consumer groups", `  millrace group list
  millrace group describe billing
  millrace group reset billing --topic events --to start
  millrace group delete billing`,
		func(f *adminFlags) []*cobra.Command {
			return []*cobra.Command{groupListCmd(f), groupDescribeCmd(f), groupResetCmd(f), groupDeleteCmd(f)}
		})
}

func groupListCmd(f *adminFlags) *cobra.Command {
	type row struct {
		Group    string `json:"group"`
		State    string `json:"state"`
		Protocol string `json:"protocol_type"`
	}
	return &cobra.Command{
		Use: "list", Short: "List the groups", Example: "  millrace group list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				got, err := a.ListGroups(ctx)
				if err != nil {
					return err
				}
				list, rows := []row{}, [][]string{{"GROUP", "STATE", "PROTOCOL"}}
				for _, g := range got.Sorted() {
					list = append(list, row{g.Group, g.State, g.ProtocolType})
					rows = append(rows, []string{g.Group, g.State, g.ProtocolType})
				}
				return f.show(cmd.OutOrStdout(), list, rows)
			})
		},
	}
}

type lagRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // -1: nothing
	End       int64  `json:"end"`
	Lag       int64  `json:"lag"`
	Member    string `json:"member,omitempty"`
}

func groupDescribeCmd(f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "describe GROUP", Short: "Show what a group has committed, how far it lags, and who reads what", Args: cobra.ExactArgs(1),
		Example: "  millrace group describe billing",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				out, err := describeGroup(ctx, a, args[0])
				if err != nil {
					return err
				}
				rows := [][]string{{"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER"}}
				for _, r := range out.Detail {
					rows = append(rows, []string{r.Topic, fmt.Sprint(r.Partition), fmt.Sprint(r.Committed), fmt.Sprint(r.End), fmt.Sprint(r.Lag), r.Member})
				}
				if !f.json {
					fmt.Fprintf(cmd.OutOrStdout(), "%s, members %d, lag %d\n", out.State, out.Members, out.Lag)
				}
				return f.show(cmd.OutOrStdout(), out, rows)
			})
		},
	}
}

func groupDeleteCmd(f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "delete GROUP...", Short: "Delete groups without members, and what they committed", Args: cobra.MinimumNArgs(1),
		Example: "  millrace group delete billing",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				got, err := a.DeleteGroups(ctx, args...)
				if err != nil {
					return err
				}
				var errs []error
				deleted, rows := []string{}, [][]string{{"DELETED"}}
				for _, g := range got.Sorted() {
					if g.Err != nil {
						errs = append(errs, told(g.Group, g.Err, ""))
						continue
					}
					deleted, rows = append(deleted, g.Group), append(rows, []string{g.Group})
				}
				if len(deleted) > 0 {
					errs = append(errs, f.show(cmd.OutOrStdout(), deleted, rows))
				}
				return errors.Join(errs...)
			})
		},
	}
}

func groupResetCmd(f *adminFlags) *cobra.Command {
	type committed struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Committed int64  `json:"committed"`
	}
	var topic, to string
	cmd := &cobra.Command{
		Use: "reset GROUP", Short: "Commit other offsets for a group without members", Args: cobra.ExactArgs(1),
		Example: "  millrace group reset billing --topic events --to start",
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := strconv.ParseInt(to, 10, 64)
			switch {
			case topic == "":
				return usage(errors.New("say which --topic"))
			case to != "start" && to != "end" && (err != nil || at < 0):
				return usage(fmt.Errorf("--to %q: want start, end or an offset", to))
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				list := a.ListStartOffsets
				if to == "end" {
					list = a.ListEndOffsets
				}
				got, err := list(ctx, topic)
				if err == nil {
					err = got.Error()
				}
				if err != nil {
					return told(topic, err, "")
				}
				offsets := kadm.Offsets{}
				result, rows := []committed{}, [][]string{{"TOPIC", "PARTITION", "COMMITTED"}}
				for _, o := range got.Offsets().Sorted() {
					if to != "start" && to != "end" {
						o.At = at
					}
					offsets.AddOffset(o.Topic, o.Partition, o.At, -1)
					result = append(result, committed{o.Topic, o.Partition, o.At})
					rows = append(rows, []string{o.Topic, fmt.Sprint(o.Partition), fmt.Sprint(o.At)})
				}
				if err := a.CommitAllOffsets(ctx, args[0], offsets); err != nil {
					return told(args[0], err, "")
				}
				return f.show(cmd.OutOrStdout(), result, rows)
			})
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "the `TOPIC` whose offsets are committed")
	cmd.Flags().StringVar(&to, "to", "", "start, end or an `OFFSET`")
	return cmd
}
