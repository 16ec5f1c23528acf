package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/pprof/driver"
	"github.com/spf13/cobra"

	"millrace/harness"
	"millrace/results"
)

// profile declares the flags that choose what is profiled.
func (t *trialFlags) profile(cmd *cobra.Command, kinds []string) {
	f := cmd.Flags()
	f.StringSliceVar(&t.opts.Profile, "profile", kinds, "`KINDS` of profile to take: cpu,allocs,heap,mutex,block,goroutine")
	f.BoolVar(&t.trace, "trace", false, "a runtime execution trace too, two seconds of each steady phase")
	f.BoolVar(&t.perf, "perf", false, "what runs in the kernel too, by Linux's perf")
}

func profileCmd() *cobra.Command {
	var t trialFlags
	var top int
	var web bool
	var listen string
	cmd := &cobra.Command{
		Use:   "profile SCENARIO",
		Short: "Run a scenario under pprof: the functions that cost most",
		Long: `Run the scenario while profiles of the target and of the generator are taken,
and show the functions that cost most per record. The run's report.html has the
flame graphs. With --web pprof's own pages are served afterwards, on loopback;
RUN in place of SCENARIO shows a run that was profiled before.`,
		Example: `  millrace profile max-throughput
  millrace profile max-throughput --profile cpu,allocs,mutex --top 30
  millrace profile max-throughput --perf --trace
  millrace profile max-throughput --web
  millrace profile results/runs/20260304T050607Z-max-throughput --web`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			run, err := results.Open(args[0])
			code := results.ExitPass
			if errors.Is(err, results.ErrNoRun) {
				s, lerr := t.scenario(args[0])
				if lerr != nil {
					return usage(lerr)
				}
				o := t.options(cmd)
				o.Scenario = s
				if run, err = harness.Run(cmd.Context(), o); run == nil {
					return outcome(cmd.Context(), err)
				}
				reportRun(cmd.ErrOrStderr(), run)
				if err := printRun(w, run, t.json); err != nil {
					return err
				}
				code = harness.ExitCode(run, err)
			} else if err != nil {
				return err
			} else if t.json {
				if err := printRun(w, run, true); err != nil {
					return err
				}
			}
			if !t.json {
				if err := harness.ProfileSummary(w, run, top); err != nil {
					return err
				}
			}
			if web {
				if err := serveProfiles(cmd.Context(), cmd.ErrOrStderr(), run, listen); err != nil {
					return err
				}
			}
			if code != results.ExitPass {
				return exit{code, err}
			}
			return nil
		},
	}
	t.register(cmd)
	t.target(cmd)
	t.profile(cmd, []string{"cpu"})
	f := cmd.Flags()
	f.IntVar(&top, "top", 20, "functions to show")
	f.BoolVar(&web, "web", false, "serve pprof's own pages of the profiles until Ctrl-C")
	f.StringVar(&listen, "listen", "127.0.0.1:0", "loopback `HOST:PORT` of --web")
	return cmd
}

// serveProfiles serves pprof's pages, each of the run's profiles below a path
// of its own.
func serveProfiles(ctx context.Context, w io.Writer, run *results.Run, listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usage(fmt.Errorf("--listen %s: profiles are served on a loopback HOST:PORT only", listen))
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer l.Close()
	mux := http.NewServeMux()
	var names []string
	for _, file := range run.Profiles() {
		name := filepath.Base(file)[:len(filepath.Base(file))-len(".pb.gz")]
		if err := mountProfile(mux, "/"+name, file); err != nil {
			fmt.Fprintf(w, "millrace: %s: %v\n", file, err)
			continue
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s holds no profile", run.Dir)
	}
	slices.SortFunc(names, func(a, b string) int { return len(a) - len(b) }) // target before generator
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><html lang=en><meta charset=utf-8><title>millrace profiles</title><h1>%s</h1><ul>", run.ID)
		for _, n := range names {
			fmt.Fprintf(w, `<li>%s: <a href="/%s/flamegraph">flame graph</a> · <a href="/%s/top">top</a> · <a href="/%s/">graph</a></li>`, n, n, n, n)
		}
		fmt.Fprint(w, "</ul>")
	})
	url := "http://" + l.Addr().String() + "/"
	fmt.Fprintf(w, "pprof on %s (Ctrl-C ends it)\n", url)
	openBrowser(url)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

// mountProfile has pprof's driver make its pages of a profile, and puts them
// below a path.
func mountProfile(mux *http.ServeMux, at, file string) error {
	return driver.PProf(&driver.Options{
		Flagset: pprofFlags{flag.NewFlagSet("pprof", flag.ContinueOnError), []string{"-http", "127.0.0.1:0", "-no_browser", "-symbolize", "none", file}},
		UI:      silent{},
		HTTPServer: func(args *driver.HTTPServerArgs) error {
			for path, h := range args.Handlers {
				mux.Handle(at+path, http.StripPrefix(at, h))
			}
			return nil
		},
	})
}

// pprofFlags gives the driver its arguments without touching those of ours.
type pprofFlags struct {
	*flag.FlagSet
	args []string
}

func (f pprofFlags) StringList(name, def, usage string) *[]*string {
	return &[]*string{f.FlagSet.String(name, def, usage)}
}
func (pprofFlags) ExtraUsage() string   { return "" }
func (pprofFlags) AddExtraUsage(string) {}
func (f pprofFlags) Parse(func()) []string {
	f.FlagSet.SetOutput(io.Discard)
	if f.FlagSet.Parse(f.args) != nil {
		return nil
	}
	return f.FlagSet.Args()
}

// silent is a driver.UI with nobody in front of it.
type silent struct{}

func (silent) ReadLine(string) (string, error)     { return "", io.EOF }
func (silent) Print(...any)                        {}
func (silent) PrintErr(...any)                     {}
func (silent) IsTerminal() bool                    { return false }
func (silent) WantBrowser() bool                   { return false }
func (silent) SetAutoComplete(func(string) string) {}

// openBrowser shows a page where there is a desktop to show it on.
func openBrowser(url string) {
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return
	}
	if open, err := exec.LookPath("xdg-open"); err == nil {
		_ = exec.Command(open, url).Start()
	}
}
