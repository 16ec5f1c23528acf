package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"millrace/results"
)

// command is any broker that a small YAML file says how to start, wait for and
// stop:
//
//	start: bin/some-broker --port $PORT --data $DATA    # stays in the foreground
//	address: 127.0.0.1:$PORT
//	wait: 60s                                           # until it answers; default 60s
//	stop: bin/some-broker stop                          # default: SIGTERM to what start began
//	version: bin/some-broker --version                  # its first line goes into the results
//
// The lines run in sh, in the file's directory, with PORT (a free loopback
// port) and DATA (a fresh directory, removed afterwards) in the environment.
type command struct {
	form       commandForm
	dir        string
	dataParent string
	cpus       *unix.CPUSet // nil: all

	env     []string
	data    string
	addr    string
	version string
	p       *process
}

type commandForm struct {
	Start, Address, Stop, Version string
	Wait                          time.Duration
}

func newCommand(file, dataParent string, cpus *unix.CPUSet, fault func(string, ...any) error) (*command, error) {
	if file == "" {
		return nil, fault("say which file tells how to start it: command:FILE")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fault("%v", err)
	}
	c := &command{form: commandForm{Wait: time.Minute}, dataParent: dataParent, cpus: cpus}
	if c.dir, err = filepath.Abs(filepath.Dir(file)); err != nil {
		return nil, err
	}
	form := section{
		{"start", "the shell line that runs the broker in the foreground", text(&c.form.Start)},
		{"address", "where it listens", text(&c.form.Address)},
		{"wait", "how long it may take to answer", span(&c.form.Wait, time.Second, time.Hour)},
		{"stop", "the shell line that stops it", text(&c.form.Stop)},
		{"version", "the shell line that prints its version", text(&c.form.Version)},
	}
	d := &decoder{file: file, at: map[string]*yaml.Node{}}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil || len(doc.Content) == 0 {
		return nil, fault("%s is no sound YAML: %v", file, err)
	}
	form.decode(d, doc.Content[0], "")
	if c.form.Start == "" {
		d.faultAt("", "start is missing: the shell line that runs the broker in the foreground")
	}
	if c.form.Address == "" {
		d.faultAt("", "address is missing: where the broker listens, such as 127.0.0.1:$PORT")
	}
	return c, d.err()
}

func (c *command) start(ctx context.Context) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	if c.data, err = dataDir(c.dataParent); err != nil {
		return fmt.Errorf("no directory for the broker's data: %w (say another with --data)", err)
	}
	vars := map[string]string{"PORT": strconv.Itoa(port), "DATA": c.data}
	c.env = append(os.Environ(), "PORT="+vars["PORT"], "DATA="+vars["DATA"])
	c.addr = os.Expand(c.form.Address, func(k string) string {
		if v, ok := vars[k]; ok {
			return v
		}
		return os.Getenv(k)
	})
	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		return fmt.Errorf("address %q is no HOST:PORT", c.addr)
	}
	if c.form.Version != "" {
		out, _ := c.shell(ctx, c.form.Version).Output()
		c.version, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	}
	return c.launch(ctx)
}

// revive starts a broker that died again, with the same port and data.
func (c *command) revive(ctx context.Context) error { return c.launch(ctx) }

// launch starts the broker and waits until it answers.
func (c *command) launch(ctx context.Context) (err error) {
	// exec: the broker takes the shell's place, so that its pid is the one that
	// is measured and signalled.
	cmd := c.shell(context.Background(), "exec "+c.form.Start)
	if c.p, err = startProcess(cmd, c.cpus); err != nil {
		return fmt.Errorf("the broker could not be started: %w", err)
	}
	deadline := time.Now().Add(c.form.Wait)
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := ping(try, c.addr)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-c.p.done:
			return fmt.Errorf("the broker ended before it answered: %s", c.p.why())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the broker did not answer at %s within %s (%v): %s", c.addr, c.form.Wait, err, c.p.stderr.lines(5))
		}
	}
}

func (c *command) shell(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env = c.dir, c.env
	return cmd
}

func (c *command) info() results.TargetInfo {
	return results.TargetInfo{Kind: "command", Address: c.addr, Version: c.version, PID: c.p.cmd.Process.Pid}
}
func (c *command) gone() <-chan struct{} { return c.p.lost }
func (c *command) why() string           { return c.p.why() }
func (c *command) pprof() string         { return "" }

func (c *command) process() *process     { return c.p }
func (c *command) dataDirectory() string { return c.data }

var _ victim = (*command)(nil)

func (c *command) stop() error {
	var errs []error
	if c.p != nil {
		if c.form.Stop != "" && c.p.told() {
			ctx, cancel := context.WithTimeout(context.Background(), stopTime)
			if out, err := c.shell(ctx, c.form.Stop).CombinedOutput(); err != nil {
				errs = append(errs, fmt.Errorf("stop: %w: %s", err, strings.TrimSpace(string(out))))
			}
			cancel()
		}
		errs = append(errs, c.p.stop())
	}
	return errors.Join(append(errs, removeData(c.data))...)
}
