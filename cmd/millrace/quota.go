package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func configClientCmd(f *adminFlags) *cobra.Command {
	var set, unset []string
	cmd := &cobra.Command{
		Use: "client [CLIENT-ID]", Short: "Show quotas, after changing those of a client id", Args: cobra.MaximumNArgs(1),
		Long: `Show the quotas of clients, or of one client id, after changing some.
The client id "<default>" stands for all that have no quota of their own.

  producer_byte_rate  consumer_byte_rate   bytes a second
  request_percentage                       time of requests, in % of a thread`,
		Example: `  millrace config client reports --set consumer_byte_rate=1000000
  millrace config client '<default>' --unset request_percentage`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ops, err := quotaOps(set, unset)
			if err != nil {
				return usage(err)
			}
			if len(ops) > 0 && len(args) == 0 {
				return usage(fmt.Errorf("whose quota? name a client id, or '<default>'"))
			}
			return f.admin(cmd, func(ctx context.Context, a *kadm.Client) error {
				if len(ops) > 0 {
					if err := alterQuotas(ctx, a, args[0], ops); err != nil {
						return err
					}
				}
				got, err := a.DescribeClientQuotas(ctx, false, nil)
				return f.showQuotas(cmd, got, err, args)
			})
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "`NAME=VALUE`, any number of times")
	cmd.Flags().StringArrayVar(&unset, "unset", nil, "`NAME` of a quota to be taken back")
	return cmd
}

func quotaOps(set, unset []string) ([]kadm.AlterClientQuotaOp, error) {
	var ops []kadm.AlterClientQuotaOp
	for _, s := range set {
		name, text, ok := strings.Cut(s, "=")
		value, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("--set %q: want NAME=NUMBER, such as producer_byte_rate=1000000", s)
		}
		ops = append(ops, kadm.AlterClientQuotaOp{Key: name, Value: value})
	}
	for _, name := range unset {
		ops = append(ops, kadm.AlterClientQuotaOp{Key: name, Remove: true})
	}
	return ops, nil
}

const defaultClient = "<default>"

func alterQuotas(ctx context.Context, a *kadm.Client, client string, ops []kadm.AlterClientQuotaOp) error {
	part := kadm.ClientQuotaEntityComponent{Type: "client-id"}
	if client != defaultClient {
		part.Name = &client
	}
	got, err := a.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: kadm.ClientQuotaEntity{part}, Ops: ops}})
	if err != nil {
		return err
	}
	for _, r := range got {
		if r.Err != nil {
			return told("client "+client, r.Err, r.ErrMessage)
		}
	}
	return nil
}

type quotaRow struct {
	Entity map[string]string  `json:"entity"`
	Limits map[string]float64 `json:"limits"`
}

func (f *adminFlags) showQuotas(cmd *cobra.Command, got kadm.DescribedClientQuotas, err error, args []string) error {
	if err != nil {
		return err
	}
	list, rows := []quotaRow{}, [][]string{{"ENTITY", "QUOTA", "VALUE"}}
	for _, q := range got {
		row := quotaRow{map[string]string{}, map[string]float64{}}
		var names []string
		for _, part := range q.Entity {
			name := defaultClient
			if part.Name != nil {
				name = *part.Name
			}
			row.Entity[part.Type] = name
			names = append(names, part.Type+" "+name)
		}
		if len(args) > 0 && row.Entity["client-id"] != args[0] {
			continue
		}
		for _, v := range q.Values {
			row.Limits[v.Key] = v.Value
			rows = append(rows, []string{strings.Join(names, ", "), v.Key, strconv.FormatFloat(v.Value, 'f', -1, 64)})
		}
		list = append(list, row)
	}
	return f.show(cmd.OutOrStdout(), list, rows)
}
