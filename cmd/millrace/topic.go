package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func topicCmd() *cobra.Command {
	return adminGroup("topic", "List, create, describe, alter and delete topics", `  millrace topic list
  millrace topic create events --partitions 6 --set retention.ms=3600000
  millrace topic describe events
  millrace topic alter events --partitions 12 --set segment.bytes=67108864
  millrace topic delete events`,
		func(f *adminFlags) []*cobra.Command {
			return []*cobra.Command{topicListCmd(f), topicCreateCmd(f), topicDescribeCmd(f), topicAlterCmd(f), topicDeleteCmd(f), topicDeleteRecordsCmd(f)}
		})
}

type topicRow struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Partitions int    `json:"partitions"`
	Internal   bool   `json:"internal,omitempty"`
}

func topicListCmd(f *adminFlags) *cobra.Command {
	var internal bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the topics", Example: "  millrace topic list --internal", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				details, err := a.ListTopicsWithInternal(ctx)
				if err != nil {
					return err
				}
				list, rows := []topicRow{}, [][]string{{"TOPIC", "PARTITIONS"}}
				for _, t := range details.Sorted() {
					if t.IsInternal && !internal {
						continue
					}
					list = append(list, topicRow{t.Topic, t.ID.String(), len(t.Partitions), t.IsInternal})
					rows = append(rows, []string{t.Topic, fmt.Sprint(len(t.Partitions))})
				}
				return f.show(cmd.OutOrStdout(), list, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&internal, "internal", false, "the broker's own topics as well")
	return cmd
}

func topicCreateCmd(f *adminFlags) *cobra.Command {
	var partitions int32
	var replicas int16
	var set []string
	cmd := &cobra.Command{
		Use: "create TOPIC", Short: "Create a topic", Args: cobra.ExactArgs(1),
		Example: "  millrace topic create events --partitions 6 --set cleanup.policy=compact",
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, err := alterations(set, nil)
			if err != nil {
				return usage(err)
			}
			configs := map[string]*string{}
			for _, c := range asked {
				configs[c.Name] = c.Value
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				got, err := a.CreateTopic(ctx, partitions, replicas, configs, args[0])
				if err = told(args[0], err, got.ErrMessage); err != nil {
					return err
				}
				row := topicRow{Name: got.Topic, ID: got.ID.String(), Partitions: int(got.NumPartitions)}
				return f.show(cmd.OutOrStdout(), row, [][]string{{"TOPIC", "PARTITIONS"}, {row.Name, fmt.Sprint(row.Partitions)}})
			})
		},
	}
	cmd.Flags().Int32Var(&partitions, "partitions", -1, "how many; -1: num.partitions")
	cmd.Flags().Int16Var(&replicas, "replicas", -1, "of each partition; -1: default")
	cmd.Flags().StringArrayVar(&set, "set", nil, "`NAME=VALUE` of a setting, any number of times")
	return cmd
}

func topicDeleteCmd(f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "delete TOPIC...", Short: "Delete topics and all that is in them", Args: cobra.MinimumNArgs(1),
		Example: "  millrace topic delete events",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				got, err := a.DeleteTopics(ctx, args...)
				if err != nil {
					return err
				}
				var errs []error
				deleted, rows := []string{}, [][]string{{"DELETED"}}
				for _, t := range got.Sorted() {
					if t.Err != nil {
						errs = append(errs, told(t.Topic, t.Err, t.ErrMessage))
						continue
					}
					deleted, rows = append(deleted, t.Topic), append(rows, []string{t.Topic})
				}
				if len(deleted) > 0 {
					errs = append(errs, f.show(cmd.OutOrStdout(), deleted, rows))
				}
				return errors.Join(errs...)
			})
		},
	}
}

type partitionRow struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Epoch     int32   `json:"leader_epoch"`
	Replicas  []int32 `json:"replicas"`
	Start     int64   `json:"start"` // -1: not known
	End       int64   `json:"end"`   // -1: not known
	Error     string  `json:"error,omitempty"`
}

// someOffsets passes over the errors of single partitions, which are shown in
// their rows.
func someOffsets(err error) error {
	var shards *kadm.ShardErrors
	if errors.As(err, &shards) {
		return nil
	}
	return err
}

// describePartition is a partition's row. One without a leader (offline: its
// disk failed) has no offsets to tell.
func describePartition(p kadm.PartitionDetail, starts, ends kadm.ListedOffsets) partitionRow {
	r := partitionRow{p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, -1, -1, ""}
	start, ok1 := starts.Lookup(p.Topic, p.Partition)
	end, ok2 := ends.Lookup(p.Topic, p.Partition)
	err := p.Err
	for _, o := range []kadm.ListedOffset{start, end} {
		if err == nil {
			err = o.Err
		}
	}
	switch {
	case p.Leader < 0:
		r.Error = "no leader; see the broker's log"
	case err != nil:
		r.Error = err.Error()
	case !ok1 || !ok2:
		r.Error = "no answer"
	default:
		r.Start, r.End = start.Offset, end.Offset
	}
	return r
}

// orDash is an offset, or a dash where it is not known.
func orDash(offset int64) string {
	if offset < 0 {
		return "-"
	}
	return fmt.Sprint(offset)
}

func topicDescribeCmd(f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "describe TOPIC", Short: "Show a topic's partitions and their offsets: first, next", Args: cobra.ExactArgs(1),
		Example: "  millrace topic describe events",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				details, err := a.ListTopicsWithInternal(ctx, args[0])
				if err != nil {
					return err
				}
				t := details[args[0]]
				if t.Err != nil {
					return told(args[0], t.Err, "")
				}
				starts, err := a.ListStartOffsets(ctx, args[0])
				if err = someOffsets(err); err != nil {
					return err
				}
				ends, err := a.ListEndOffsets(ctx, args[0])
				if err = someOffsets(err); err != nil {
					return err
				}
				out := struct {
					topicRow
					Detail []partitionRow `json:"detail"`
				}{topicRow{t.Topic, t.ID.String(), len(t.Partitions), t.IsInternal}, nil}
				rows := [][]string{{"PARTITION", "LEADER", "EPOCH", "REPLICAS", "START", "END", ""}}
				for _, p := range t.Partitions.Sorted() {
					r := describePartition(p, starts, ends)
					out.Detail = append(out.Detail, r)
					rows = append(rows, []string{fmt.Sprint(r.Partition), fmt.Sprint(r.Leader), fmt.Sprint(r.Epoch),
						fmt.Sprint(r.Replicas), orDash(r.Start), orDash(r.End), r.Error})
				}
				return f.show(cmd.OutOrStdout(), out, rows)
			})
		},
	}
}

func topicAlterCmd(f *adminFlags) *cobra.Command {
	var partitions int
	var set, unset []string
	cmd := &cobra.Command{
		Use: "alter TOPIC", Short: "Give a topic more partitions or other settings", Args: cobra.ExactArgs(1),
		Example: "  millrace topic alter events --partitions 12 --set retention.ms=1000",
		RunE: func(cmd *cobra.Command, args []string) error {
			configs, err := alterations(set, unset)
			if err == nil && len(configs) == 0 && partitions == 0 {
				err = errors.New("nothing to alter: give --partitions, --set or --unset")
			}
			if err != nil {
				return usage(err)
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				if partitions != 0 {
					got, err := a.UpdatePartitions(ctx, partitions, args[0])
					if err != nil {
						return err
					}
					if p := got[args[0]]; p.Err != nil {
						return told(args[0], p.Err, p.ErrMessage)
					}
				}
				if len(configs) == 0 {
					return nil
				}
				return alterTopicConfigs(ctx, a, configs, args[0])
			})
		},
	}
	cmd.Flags().IntVar(&partitions, "partitions", 0, "how many there are to be")
	cmd.Flags().StringArrayVar(&set, "set", nil, "`NAME=VALUE` of a setting, any number of times")
	cmd.Flags().StringArrayVar(&unset, "unset", nil, "`NAME` of a setting to be the broker's again")
	return cmd
}

func alterTopicConfigs(ctx context.Context, a *kadm.Client, configs []kadm.AlterConfig, topic string) error {
	got, err := a.AlterTopicConfigs(ctx, configs, topic)
	if err != nil {
		return err
	}
	for _, r := range got {
		if r.Err != nil {
			return told(r.Name, r.Err, r.ErrMessage)
		}
	}
	return nil
}
