package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"millrace/harness"
	"millrace/harness/limits"
	"millrace/internal/knob"
	"millrace/results"
)

func limitsCmd() *cobra.Command {
	var o limits.Options
	var asJSON bool
	var sets []string
	warm, payload, scenario, out := "0", "", "", ""
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Measure what this host can do at most",
		Long: `Measure the host with bare loops, in under a minute: loopback by write, sendfile,
pread+write and mmap+write, appends to the page cache, fdatasync by size,
CRC-32C, and each codec; what a broker does with a produced batch (receive, CRC,
append) without the broker. CPU seconds for each GB are those of the thread that
sends, receives or writes.

The figures are kept in results/limits.json: each run takes them up into its
env.json and says what part of them it reached.`,
		Example: `  millrace limits
  millrace limits --warm-memory 8GiB --congestion reno
  millrace limits --scenario logs --set payload.file=/var/log/dpkg.log`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Warm, err = knob.ParseBytes(warm); err != nil {
				return usage(fmt.Errorf("--warm-memory: %w", err))
			}
			switch {
			case payload != "":
				if o.Payload, err = head(payload, 8<<20); err != nil {
					return usage(fmt.Errorf("--payload: %w", err))
				}
			case scenario != "":
				s, err := harness.Load(scenario, sets)
				if err != nil {
					return usage(err)
				}
				if o.Payload, err = s.SamplePayload(8 << 20); err != nil {
					return err
				}
			default:
				o.Payload = harness.SamplePayload(1 << 20)
			}
			progress, tty := cmd.ErrOrStderr(), isTerminal(cmd.ErrOrStderr())
			o.Warming = func(done, total int64) {
				fmt.Fprintf(progress, "%swarming memory, %s of %s%s", map[bool]string{true: "\r\033[K"}[tty],
					results.FormatBytes(float64(done)), results.FormatBytes(float64(total)), map[bool]string{false: "\n"}[tty])
			}
			o.Progress = func(done, total int, name string) {
				if tty {
					fmt.Fprintf(progress, "\r\033[K%d of %d  %s", done+1, total, name)
				} else {
					fmt.Fprintf(progress, "%d of %d  %s\n", done+1, total, name)
				}
			}
			l, err := limits.Measure(cmd.Context(), o)
			if tty {
				fmt.Fprint(progress, "\r\033[K")
			}
			if l == nil {
				return err
			}
			env := harness.Environment(o.Dir)
			l.Env = &env
			if err == nil && out != "" {
				err = results.WriteLimits(out, l)
			}
			if asJSON {
				if err := writeJSON(cmd.OutOrStdout(), l); err != nil {
					return err
				}
			} else {
				writeLimits(cmd.OutOrStdout(), l)
			}
			return outcome(cmd.Context(), err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "data", "", "`DIR` to write files in (default: the system's temporary one)")
	f.StringVar(&payload, "payload", "", "`FILE` that the codecs compress (default: generated JSON events)")
	f.StringVar(&o.Congestion, "congestion", "", "TCP congestion control of the sockets: reno, cubic, bbr (default: the system's)")
	f.StringVar(&warm, "warm-memory", warm, "`SIZE` of page cache to touch first, so that memory is warm; 4 GiB stay free")
	f.StringVar(&scenario, "scenario", "", "`SCENARIO` whose payload the codecs compress")
	f.StringArrayVar(&sets, "set", nil, "`NAME=VALUE` of that scenario, any number of times")
	f.StringVar(&out, "out", filepath.Join("results", results.LimitsFile), "`FILE` for the runs that come to take up; empty: none")
	f.BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// head reads at most n bytes of a file.
func head(name string, n int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, n))
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%s is empty", name)
	}
	return b, err
}

func writeLimits(w io.Writer, l *results.Limits) {
	rows := [][]string{{"path", "call", "GB/s", "slowest-fastest", "CPU-s/GB", ""}}
	for _, p := range l.Paths {
		extra := ""
		if p.P50Ns > 0 {
			extra = "p50 " + results.FormatNs(float64(p.P50Ns))
		}
		if p.Ratio > 0 {
			extra = fmt.Sprintf("to %.0f %%", 100*p.Ratio)
		}
		rows = append(rows, []string{p.Name, results.FormatBytes(float64(p.Size)), fmt.Sprintf("%.2f", p.Rate/1e9),
			fmt.Sprintf("%.2f-%.2f", p.Low/1e9, p.High/1e9), fmt.Sprintf("%.2f", p.CPUPerGB), extra})
	}
	table(w, rows)
	state := []string{fmt.Sprintf("memory warm (%.2f CPU-s/GB)", l.Memory)}
	if l.Cold() {
		state[0] = fmt.Sprintf("memory cold (%.2f CPU-s/GB)", l.Memory)
	}
	if l.WarmedBytes > 0 {
		state[0] += ", " + results.FormatBytes(float64(l.WarmedBytes)) + " of page cache touched"
	}
	if l.Congestion != "" {
		state = append(state, "congestion control "+l.Congestion)
	} else {
		state = append(state, "congestion control "+l.Env.Congestion)
	}
	if l.Pinned {
		state = append(state, "sender and receiver on CPUs of their own")
	}
	fmt.Fprintln(w)
	for _, line := range results.Wrap(strings.Join(state, ", ")+fmt.Sprintf("; steal %.1f %%; took %.0f s", 100*l.Steal, l.TookS), 78) {
		fmt.Fprintln(w, line)
	}
	for _, n := range l.Notes {
		for i, line := range results.Wrap("note: "+n, 76) {
			if i > 0 {
				line = "  " + line
			}
			fmt.Fprintln(w, line)
		}
	}
}
