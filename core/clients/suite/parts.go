package main

import (
	"bufio"
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
	ready   map[string]bool // kits that are there
	missing []string        // what could not be had, a line each
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
