package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"millrace/harness"
)

func agentCmd() *cobra.Command {
	o := harness.AgentOptions{}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Generate this machine's share of a run's load",
		Long: `Wait for a coordinator ("millrace run SCENARIO --agent HOST:PORT") and generate
this machine's share of its load: some of the producers and of each group's
members. One run at a time; it ends when its coordinator does. The first line
says where it listens. Beyond loopback it needs a token, and a network that can
be trusted: nothing is encrypted. Coordinator and agents must be one build.`,
		Example: `  MILLRACE_TOKEN=secret millrace agent --listen 0.0.0.0:7070
  MILLRACE_TOKEN=secret millrace run quickstart \
    --target external:broker:9092 --agent gen1:7070 --agent gen2:7070`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Token == "" {
				o.Token = os.Getenv("MILLRACE_TOKEN")
			}
			o.Note = func(format string, args ...any) {
				fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
			}
			err := harness.ServeAgent(cmd.Context(), o, func(addr string) {
				fmt.Fprintln(cmd.OutOrStdout(), "listening on", addr)
			})
			if faults := (*harness.Faults)(nil); errors.As(err, &faults) {
				return usage(err)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:7070", "`HOST:PORT` to listen on; port 0: any free")
	f.StringVar(&o.Token, "token", "", "`TOKEN` that a coordinator must know (or MILLRACE_TOKEN)")
	return cmd
}
