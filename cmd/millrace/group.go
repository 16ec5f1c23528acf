package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func groupCmd() *cobra.Command {
	return adminGroup("group", "List, describe, reset and delete consumer groups", `  millrace group list --state stable,empty
  millrace group describe billing
  millrace group members billing
  millrace group reset-offsets billing --topic events --to-earliest --execute
  millrace group delete billing`,
		func(f *adminFlags) []*cobra.Command {
			return []*cobra.Command{groupListCmd(f), groupDescribeCmd(f), groupMembersCmd(f), groupStateCmd(f),
				groupResetCmd(f), groupDeleteOffsetsCmd(f), groupDeleteCmd(f)}
		})
}

func groupListCmd(f *adminFlags) *cobra.Command {
	type row struct {
		Group    string `json:"group"`
		State    string `json:"state"`
		Protocol string `json:"protocol_type"`
	}
	var states, types []string
	cmd := &cobra.Command{
		Use: "list", Short: "List the groups", Example: "  millrace group list --state empty --type consumer", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				got, err := a.ListGroupsByType(ctx, types, states...)
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
	cmd.Flags().StringSliceVar(&states, "state", nil, "only those in these `STATES`: empty, stable, …")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only those of these `TYPES`: classic, consumer")
	return cmd
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
		Use: "describe GROUP", Short: "Show a group's committed offsets, its lag, who reads what", Args: cobra.ExactArgs(1),
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
