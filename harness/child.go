package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"millrace/core"
	"millrace/results"
)

// startTime is how long a broker that we start may take to listen.
const startTime = 30 * time.Second

// child is this binary's own broker in a process of its own, with a fresh data
// directory and a free loopback port.
type child struct {
	binary     string // empty: the running one
	dataParent string
	knobs      map[string]string
	cpus       *unix.CPUSet // nil: all
	// discards is the topics of a broker that throws all away; nil: a real one.
	discards []Topic

	data      string
	p         *process
	addr      string
	pprofBase string
}

func (c *child) start(ctx context.Context) (err error) {
	if c.discards != nil {
		return c.launch(ctx, "127.0.0.1:0")
	}
	if c.data, err = dataDir(c.dataParent); err != nil {
		return fmt.Errorf("no directory for the broker's data: %w (say another with --data)", err)
	}
	return c.launch(ctx, "127.0.0.1:0")
}

// revive starts a broker that died again, on the same data and the same
// address, so that what was acknowledged can be read back.
func (c *child) revive(ctx context.Context) error {
	addr := c.addr
	c.addr, c.pprofBase = "", ""
	if err := c.launch(ctx, addr); err != nil {
		return err
	}
	if c.addr != addr {
		return fmt.Errorf("it listens on %s, where the load does not look for it", c.addr)
	}
	return nil
}

// args is how the binary becomes the broker.
func (c *child) args(listen string) []string {
	if c.discards != nil {
		args := []string{"sink", "--listen", listen, "--pprof", "127.0.0.1:0"}
		for _, t := range c.discards {
			args = append(args, "--topic", fmt.Sprintf("%s:%d", t.Name, t.Partitions))
		}
		return args
	}
	args := []string{"serve", "--listen", listen, "--data", c.data, "--pprof", "127.0.0.1:0"}
	for _, k := range sortedKeys(c.knobs) {
		args = append(args, "--set", k+"="+c.knobs[k])
	}
	return args
}

// launch starts the broker and waits until it listens.
func (c *child) launch(ctx context.Context, listen string) (err error) {
	binary := c.binary
	if binary == "" {
		if binary, err = os.Executable(); err != nil {
			return err
		}
	}
	cmd := exec.Command(binary, c.args(listen)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if c.p, err = startProcess(cmd, c.cpus); err != nil {
		return fmt.Errorf("the broker could not be started: %w", err)
	}
	lines := make(chan string)
	go func() { // the first lines are for us; the rest is read so that it cannot block the broker
		defer close(lines)
		r := bufio.NewReader(stdout)
		for range 2 {
			line, err := r.ReadString('\n')
			if line != "" {
				lines <- strings.TrimSpace(line)
			}
			if err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	deadline := time.After(startTime)
	for c.addr == "" || c.pprofBase == "" {
		select {
		case line, ok := <-lines:
			addr, listening := strings.CutPrefix(line, "listening on ")
			base, pprof := strings.CutPrefix(line, "pprof on ")
			switch {
			case !ok:
				<-c.p.done
				return fmt.Errorf("the broker ended before it listened: %s", c.p.why())
			case listening:
				c.addr = addr
			case pprof:
				c.pprofBase = base
			default:
				return fmt.Errorf("the broker said %q where %q was expected", line, "listening on HOST:PORT")
			}
		case <-deadline:
			return fmt.Errorf("the broker did not listen within %s: %s", startTime, c.p.stderr.lines(5))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (c *child) info() results.TargetInfo {
	kind := "child"
	if c.discards != nil {
		kind = "sink"
	}
	return results.TargetInfo{Kind: kind, Address: c.addr, Version: ownVersion(), PID: c.p.cmd.Process.Pid}
}
func (c *child) gone() <-chan struct{} { return c.p.lost }
func (c *child) why() string           { return c.p.why() }
func (c *child) pprof() string         { return c.pprofBase }

func (c *child) process() *process     { return c.p }
func (c *child) dataDirectory() string { return c.data }

var _ victim = (*child)(nil)

func (c *child) stop() error {
	var err error
	if c.p != nil {
		if err = c.p.stop(); err != nil {
			err = fmt.Errorf("the broker %w", err)
		}
	}
	return errors.Join(err, removeData(c.data))
}

// ownVersion is the revision this binary was built from.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	version := "millrace"
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			version += " " + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			version += " (modified)"
		}
	}
	return version
}

// inprocess is a broker inside the lab's own process: for debugging and for
// tests. Its costs cannot be told from the generator's.
type inprocess struct {
	dataParent string
	knobs      map[string]string

	data   string
	broker *core.Broker
}

func (t *inprocess) start(ctx context.Context) error {
	cfg, err := brokerConfig(t.knobs)
	if err != nil {
		return err
	}
	if t.data, err = dataDir(t.dataParent); err != nil {
		return fmt.Errorf("no directory for the broker's data: %w (say another with --data)", err)
	}
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.data
	cfg.Logger = quiet
	if t.broker, err = core.Start(ctx, cfg); err != nil {
		return fmt.Errorf("the broker could not be started: %w", err)
	}
	return nil
}

func (t *inprocess) info() results.TargetInfo {
	return results.TargetInfo{Kind: "inprocess", Address: t.broker.Addr(), Version: ownVersion()}
}

// gone is nil: a broker that failed in this process answers with errors, which
// are counted, and its end would be ours.
func (t *inprocess) gone() <-chan struct{} { return nil }
func (t *inprocess) why() string           { return "" }
func (t *inprocess) pprof() string         { return "" }

func (t *inprocess) stop() error {
	var err error
	if t.broker != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		err = t.broker.Stop(ctx)
	}
	return errors.Join(err, removeData(t.data))
}
