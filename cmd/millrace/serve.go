package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"millrace/core"
	"millrace/internal/knob"
)

// drainTime is how long a stopping broker lets replies already begun leave.
const drainTime = 10 * time.Second

func serveCmd() *cobra.Command {
	cfg := core.Defaults()
	var sets []string
	var file string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long: `Run the broker until it is told to stop (Ctrl-C or SIGTERM). The first line on
standard output is "listening on HOST:PORT"; its log goes to standard error.

A knob is set with --set, or in a YAML file of "knob: value" lines; --set wins.
"millrace knobs" lists them.`,
		Example: `  millrace serve
  millrace serve --listen 127.0.0.1:0 --data /tmp/mr --set sync.policy=group
  millrace serve --config broker.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			knobs := core.Knobs(&cfg)
			if err := configure(knobs, file, sets); err != nil {
				return usage(err)
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			cfg.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return serve(cmd, cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Listen, "listen", cfg.Listen, "`HOST:PORT` to listen on; port 0 takes any free one")
	f.StringVar(&cfg.DataDir, "data", cfg.DataDir, "`DIR` that holds the data, created if missing")
	f.StringVar(&file, "config", "", "YAML `FILE` of knobs")
	f.StringArrayVar(&sets, "set", nil, "`KNOB=VALUE`, any number of times")
	f.StringVar(&cfg.PprofListen, "pprof", "", "serve net/http/pprof on this loopback `HOST:PORT`")
	f.BoolVarP(&verbose, "verbose", "v", false, "log each connection")
	return cmd
}

func serve(cmd *cobra.Command, cfg core.Config) error {
	ctx := cmd.Context()
	b, err := core.Start(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "listening on", b.Addr())
	if addr := b.PprofAddr(); addr != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "pprof on http://%s/debug/pprof/\n", addr)
	}
	select {
	case <-ctx.Done():
	case <-b.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	return errors.Join(b.Err(), b.Stop(stopCtx))
}

// configure fills knobs from a YAML file and then from NAME=VALUE settings,
// and checks the whole. The error lists every fault.
func configure(knobs *knob.Set, file string, sets []string) error {
	var errs []error
	if file != "" {
		errs = append(errs, readKnobs(knobs, file))
	}
	for _, s := range sets {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			errs = append(errs, fmt.Errorf("--set %s: write NAME=VALUE", s))
			continue
		}
		if err := knobs.Set(strings.TrimSpace(name), value); err != nil {
			errs = append(errs, fmt.Errorf("--set %s: %w", s, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return knobs.Validate()
}

// readKnobs applies a YAML file, one flat mapping of knob to value.
func readKnobs(knobs *knob.Set, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(doc.Content) == 0 {
		return nil // an empty file sets nothing
	}
	top := doc.Content[0]
	at := func(n *yaml.Node, format string, args ...any) error {
		return fmt.Errorf("%s:%d:%d: %w", file, n.Line, n.Column, fmt.Errorf(format, args...))
	}
	if top.Kind != yaml.MappingNode {
		return at(top, `want lines of "knob: value"`)
	}
	var errs []error
	seen := map[string]int{}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		switch {
		case value.Kind != yaml.ScalarNode:
			errs = append(errs, at(value, "%s: want one value", key.Value))
		case seen[key.Value] != 0:
			errs = append(errs, at(key, "%s is set twice, first on line %d", key.Value, seen[key.Value]))
		default:
			if err := knobs.Set(key.Value, value.Value); err != nil {
				errs = append(errs, at(key, "%w", err))
			}
		}
		seen[key.Value] = key.Line
	}
	return errors.Join(errs...)
}
