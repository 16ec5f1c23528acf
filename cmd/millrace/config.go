package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func configCmd() *cobra.Command {
	return adminGroup("config", "Show and change the settings of topics and brokers, and quotas", `  millrace config topic events
  millrace config topic events --set retention.ms=1000
  millrace config client reports --set consumer_byte_rate=1000000
  millrace config broker 1 --set log.retention.ms=3600000 --all`,
		func(f *adminFlags) []*cobra.Command {
			return []*cobra.Command{configTopicCmd(f), configBrokerCmd(f), configClientCmd(f)}
		})
}

type configFlags struct {
	all        bool
	set, unset []string
}

func (c *configFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.all, "all", false, "those at their default as well")
	cmd.Flags().StringArrayVar(&c.set, "set", nil, "`NAME=VALUE`, any number of times")
	cmd.Flags().StringArrayVar(&c.unset, "unset", nil, "`NAME` of a setting to be taken back")
}

func configTopicCmd(f *adminFlags) *cobra.Command {
	var c configFlags
	cmd := &cobra.Command{
		Use: "topic TOPIC", Short: "Show a topic's settings, after changing some", Args: cobra.ExactArgs(1),
		Example: "  millrace config topic events --set retention.ms=1000 --unset segment.bytes",
		RunE: func(cmd *cobra.Command, args []string) error {
			configs, err := alterations(c.set, c.unset)
			if err != nil {
				return usage(err)
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				if len(configs) > 0 {
					if err := alterTopicConfigs(ctx, a, configs, args[0]); err != nil {
						return err
					}
				}
				got, err := a.DescribeTopicConfigs(ctx, args[0])
				return f.showConfigs(cmd, got, err, c.all)
			})
		},
	}
	c.register(cmd)
	return cmd
}

func configBrokerCmd(f *adminFlags) *cobra.Command {
	var c configFlags
	cmd := &cobra.Command{
		Use: "broker ID", Short: "Show a broker's settings, after changing some", Args: cobra.ExactArgs(1),
		Example: "  millrace config broker 1 --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			configs, err := alterations(c.set, c.unset)
			if err != nil {
				return usage(err)
			}
			id, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil {
				return usage(fmt.Errorf("%q is no broker's id", args[0]))
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				if len(configs) > 0 {
					got, err := a.AlterBrokerConfigs(ctx, configs, int32(id))
					if err != nil {
						return err
					}
					for _, r := range got {
						if r.Err != nil {
							return told("broker "+r.Name, r.Err, r.ErrMessage)
						}
					}
				}
				got, err := a.DescribeBrokerConfigs(ctx, int32(id))
				return f.showConfigs(cmd, got, err, c.all)
			})
		},
	}
	c.register(cmd)
	return cmd
}

type configRow struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

func (f *adminFlags) showConfigs(cmd *cobra.Command, got kadm.ResourceConfigs, err error, all bool) error {
	if err != nil {
		return err
	}
	list, rows := []configRow{}, [][]string{{"SETTING", "VALUE", "SOURCE"}}
	for _, r := range got {
		if r.Err != nil {
			return told(r.Name, r.Err, r.ErrMessage)
		}
		for _, c := range r.Configs {
			if c.Source == kmsg.ConfigSourceDefaultConfig && !all {
				continue
			}
			row := configRow{c.Key, c.MaybeValue(), strings.ToLower(c.Source.String())}
			list, rows = append(list, row), append(rows, []string{row.Name, row.Value, row.Source})
		}
	}
	return f.show(cmd.OutOrStdout(), list, rows)
}
