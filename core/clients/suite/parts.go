package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// suite is one run of everything.
type suite struct {
	root, dir string
	installed struct {
		Drivers []driver `json:"drivers"`
		Kafka   []kafka  `json:"kafka"`
	}
	missing []string // what could not be had, a line each
	rows    []*row
}

// row is a line of the table.
type row struct {
	client, version string
	// in are the words, in plain form, that a test's name has where it drives
	// this client.
	in []string

	passed, failed, skipped int
	seconds                 float64
}

// plain is a name without what Go's test names have otherwise.
func plain(s string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(strings.ToLower(s))
}

// goClients are those that core/clients imports, and kcat.
func goClients(ctx context.Context) ([]*row, error) {
	rows := []*row{
		{client: "franz-go", version: "github.com/twmb/franz-go", in: []string{"franz"}},
		{client: "kadm", version: "github.com/twmb/franz-go/pkg/kadm", in: []string{"testadmin", "testgroupadmin"}},
		{client: "sarama", version: "github.com/IBM/sarama", in: []string{"sarama"}},
		{client: "kafka-go", version: "github.com/segmentio/kafka-go", in: []string{"kafkago"}},
	}
	for _, r := range rows {
		out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", r.version).Output()
		if err != nil {
			return nil, fmt.Errorf("go list -m %s: %w", r.version, err)
		}
		r.version = strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
	}
	out, err := exec.CommandContext(ctx, "kcat", "-V").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("kcat -V: %w; install it with: apt-get install kcat", err)
	}
	version := "?"
	if _, after, ok := strings.Cut(string(out), "Version "); ok {
		version, _, _ = strings.Cut(after, " ")
	}
	return append(rows, &row{client: "kcat", version: version, in: []string{"kcat"}}), nil
}

// event is a line of `go test -json`.
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

// goTest runs go test -json, gives each event to see, and keeps the output in a
// log. The error says that the run as a whole failed; progress goes to stderr.
func (s *suite) goTest(ctx context.Context, name, dir string, env []string, args []string, see func(event)) error {
	file, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	// The tests have programs of their own, which an interrupted run takes along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), env...), file
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	began, said, n := time.Now(), time.Now(), 0
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			_, _ = io.WriteString(file, e.Output)
			if e.Test != "" && (e.Action == "pass" || e.Action == "fail") {
				n++
			}
			see(e)
		} else {
			_, _ = file.Write(line)
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			fmt.Fprintf(os.Stderr, "%s: %d tests in %s\n", name, n, time.Since(began).Round(time.Second))
		}
		if err != nil {
			break
		}
	}
	return cmd.Wait()
}

// testClients runs core/clients and counts for each client the tests that drive
// it. Tests named after no client are franz-go's. Counted are tests without
// tests below them.
func (s *suite) testClients(ctx context.Context, manifest, run string) (faults []string) {
	ends := map[string]event{}
	args := []string{"-count=1", "-timeout=14m", "-parallel=4"}
	if run != "" {
		args = append(args, "-run", run)
	}
	err := s.goTest(ctx, "clients", s.root, []string{"MILLRACE_CLIENTS=" + manifest}, append(args, "./core/clients"), func(e event) {
		if e.Test != "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			ends[e.Test] = e
		}
	})
	inner := map[string]bool{}
	for name := range ends {
		for i, c := range name {
			if c == '/' {
				inner[name[:i]] = true
			}
		}
	}
	for name, e := range ends {
		if inner[name] {
			continue
		}
		counted := false
		for _, r := range s.rows {
			if slices.ContainsFunc(r.in, func(w string) bool { return strings.Contains(plain(name), w) }) {
				r.count(e)
				counted = true
			}
		}
		if !counted {
			s.rows[0].count(e)
		}
		if e.Action == "fail" {
			faults = append(faults, "FAIL "+name)
		}
	}
	slices.Sort(faults)
	if err != nil && len(faults) == 0 {
		faults = append(faults, fmt.Sprintf("FAIL core/clients: %v", err))
	}
	return faults
}

func (r *row) count(e event) {
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
	case "skip":
		r.skipped++
	}
	r.seconds += e.Elapsed
}

// known is the file of what franz-go's own tests cannot find here.
const known = "core/clients/franz-go.txt"

// exceptions reads lines of a test's name and the reason why it does not pass;
// a name covers the tests below it, and * stands for anything.
func exceptions(content []byte) (map[string]string, error) {
	all := map[string]string{}
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("%s:%d: %s is listed without a reason", known, i+1, name)
		}
		all[name] = strings.TrimSpace(reason)
	}
	return all, nil
}

func excepted(all map[string]string, test string) bool {
	for {
		for pattern := range all {
			if ok, _ := filepath.Match(pattern, test); ok {
				return true
			}
		}
		i := strings.LastIndexByte(test, '/')
		if i < 0 {
			return false
		}
		test = test[:i]
	}
}

// franzOwn runs the tests that franz-go ships, from a copy of its module, against
// a broker of its own. With chaos every connection of theirs dies within seconds.
// What fails, or skips itself, must be listed with its reason.
func (s *suite) franzOwn(ctx context.Context, chaos bool) []string {
	name := "franz-go's own"
	env := []string{"KGO_LOG_LEVEL=none", "KGO_TEST_RF=1", "KGO_TEST_RECORDS=50000"}
	if chaos {
		name += ", chaos"
		env = append(env, "KGO_TEST_CHAOS=1")
	}
	fault := func(format string, args ...any) []string {
		return []string{"FAIL " + name + ": " + fmt.Sprintf(format, args...)}
	}
	content, err := os.ReadFile(known)
	if err != nil {
		return fault("%v", err)
	}
	listed, err := exceptions(content)
	if err != nil {
		return fault("%v", err)
	}
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/twmb/franz-go").Output()
	if err != nil {
		return fault("go list -m: %v", err)
	}
	tmp, err := os.MkdirTemp("", "millrace-franz-")
	if err != nil {
		return fault("%v", err)
	}
	defer os.RemoveAll(tmp)
	// The module cache cannot be written to, and `go test` wants a main module.
	if out, err := exec.CommandContext(ctx, "sh", "-c", `cp -r "$0" "$1/src" && chmod -R u+w "$1/src"`, strings.TrimSpace(string(module)), tmp).CombinedOutput(); err != nil {
		return fault("%s", out)
	}
	addr, end, err := serve(ctx, s.root, filepath.Join(tmp, "data"))
	if err != nil {
		return fault("%v", err)
	}
	r := &row{client: name, version: s.rows[0].version}
	s.rows = append(s.rows, r)
	began := time.Now()
	var faults []string
	forgiven := 0
	log := strings.NewReplacer("'", "", ", ", "-", " ", "-").Replace(name)
	err = s.goTest(ctx, log, filepath.Join(tmp, "src"), append(env, "KGO_SEEDS="+addr, "GOFLAGS=-mod=mod"),
		[]string{"-count=1", "-timeout=6m", "./pkg/kgo"}, func(e event) {
			if e.Test == "" || e.Action != "pass" && e.Action != "fail" && e.Action != "skip" {
				return
			}
			if e.Action == "fail" && excepted(listed, e.Test) {
				e.Action = "skip"
				forgiven++
			}
			r.count(e)
			if e.Action == "fail" || e.Action == "skip" && !excepted(listed, e.Test) {
				faults = append(faults, fmt.Sprintf("FAIL %s: %s: %s, and not listed in %s", name, e.Test, e.Action, known))
			}
		})
	r.seconds = time.Since(began).Seconds()
	if err != nil && len(faults) == 0 && forgiven == 0 {
		faults = append(faults, fault("%v", err)...)
	}
	if err := end(); err != nil {
		faults = append(faults, fault("the broker did not stop cleanly: %v", err)...)
	}
	return faults
}

// serve starts a broker and answers where it listens, and what stops it.
func serve(ctx context.Context, root, data string) (string, func() error, error) {
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "millrace"), "serve", "--listen", "127.0.0.1:0", "--data", data,
		"--set", "group.initial.rebalance.delay.ms=0")
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("%w; build it first: make build", err)
	}
	r := bufio.NewReader(out)
	line, _ := r.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return "", nil, fmt.Errorf("serve: %q\n%s", line, errs.String())
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return addr, func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}, nil
}

// print writes the table, at most 80 columns wide.
func (s *suite) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-24s %-12s %-6s %7s %7s %7s %9s\n", "client", "version", "result", "passed", "failed", "skipped", "test time")
	for _, r := range s.rows {
		result := "ok"
		switch {
		case r.failed > 0:
			result = "FAIL"
		case r.passed == 0:
			result = "-"
		}
		fmt.Fprintf(w, "%-24.24s %-12.12s %-6s %7d %7d %7d %8.0fs\n", r.client, r.version, result, r.passed, r.failed, r.skipped, r.seconds)
	}
	for _, m := range s.missing {
		fmt.Fprintf(w, "not reached: %.66s\n", m)
	}
}
