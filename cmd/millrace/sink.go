package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // on the default mux, which only --pprof serves
	"time"

	"github.com/spf13/cobra"

	"millrace/harness"
)

func sinkCmd() *cobra.Command {
	var listen, pprof string
	var topics []string
	cmd := &cobra.Command{
		Use:   "sink",
		Short: "A broker that acknowledges everything and keeps nothing",
		Long: `Serve producers and throw away what they send: what a client reaches against it
is that client's own ceiling. "millrace run SCENARIO --target sink" starts one.`,
		Example: `  millrace sink --topic events:4
  millrace run kgo-ceiling --target sink`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			profiles, err := servePprof(pprof)
			if err != nil {
				return err
			}
			err = harness.ServeSink(cmd.Context(), listen, topics, func(addr string) {
				fmt.Fprintln(cmd.OutOrStdout(), "listening on", addr)
				if profiles != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "pprof on http://%s/debug/pprof/\n", profiles)
				}
			})
			if faults := (*harness.Faults)(nil); errors.As(err, &faults) {
				return usage(err)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:9092", "`HOST:PORT` to listen on; port 0 takes any free one")
	f.StringArrayVar(&topics, "topic", nil, "`NAME:PARTITIONS`, any number of times")
	f.StringVar(&pprof, "pprof", "", "serve net/http/pprof on this loopback `HOST:PORT`")
	return cmd
}

// servePprof serves profiles until the process ends, and answers where.
func servePprof(addr string) (string, error) {
	if addr == "" {
		return "", nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("--pprof: %w", err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		l.Close()
		return "", usage(fmt.Errorf("--pprof %s is not a loopback address; use 127.0.0.1:PORT", addr))
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), nil
}
