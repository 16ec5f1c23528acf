package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// adminTime bounds an administrative command, an unreachable broker included.
const adminTime = 15 * time.Second

// adminFlags are common to the commands that administer a broker, this one or
// any other that speaks Kafka's protocol.
type adminFlags struct {
	bootstrap string
	json      bool
}

// adminGroup is a command that only holds others.
func adminGroup(use, short, example string, children func(f *adminFlags) []*cobra.Command) *cobra.Command {
	f := &adminFlags{}
	cmd := &cobra.Command{Use: use, Short: short, Example: example}
	cmd.PersistentFlags().StringVar(&f.bootstrap, "bootstrap", "127.0.0.1:9092", "`ADDRESS` of a broker")
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.AddCommand(children(f)...)
	return cmd
}

// admin runs a command with a client.
func (f *adminFlags) admin(cmd *cobra.Command, do func(ctx context.Context, a *kadm.Client) error) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(f.bootstrap, ",")...),
		kgo.DialTimeout(adminTime/3), kgo.RequestRetries(2), kgo.RetryTimeout(adminTime/3))
	if err != nil {
		return usage(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), adminTime)
	defer cancel()
	err = do(ctx, kadm.NewClient(cl))
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s does not answer within %v: %w", f.bootstrap, adminTime, err)
	}
	return err
}

// show prints rows as a table, the first being the heads, or v as JSON.
func (f *adminFlags) show(w io.Writer, v any, rows [][]string) error {
	if f.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	table(w, narrow(rows, 80))
	return nil
}

// narrow clips the cells of the widest column until a row fits.
func narrow(rows [][]string, width int) [][]string {
	if len(rows) == 0 {
		return rows
	}
	wide := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			wide[i] = max(wide[i], utf8.RuneCountInString(c))
		}
	}
	total := 2 * (len(wide) - 1)
	for _, n := range wide {
		total += n
	}
	for ; total > width; total-- {
		widest := slices.Index(wide, slices.Max(wide))
		if wide[widest] <= 4 {
			break
		}
		wide[widest]--
	}
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = slices.Clone(r)
		for j, c := range r {
			if letters := []rune(c); len(letters) > wide[j] {
				out[i][j] = string(letters[:wide[j]-1]) + "…"
			}
		}
	}
	return out
}

// alterations reads --set NAME=VALUE and --unset NAME.
func alterations(set, unset []string) ([]kadm.AlterConfig, error) {
	var out []kadm.AlterConfig
	for _, s := range set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--set %s: write NAME=VALUE", s)
		}
		out = append(out, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	for _, name := range unset {
		out = append(out, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
	}
	return out, nil
}

// told is an error with what the broker had to say to it.
func told(what string, err error, message string) error {
	if err == nil {
		return nil
	}
	if message != "" {
		return fmt.Errorf("%s: %w (%s)", what, err, message)
	}
	return fmt.Errorf("%s: %w", what, err)
}
