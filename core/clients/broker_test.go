// Package clients_test drives a broker with unmodified Kafka clients, over real
// sockets, as the program that users start. It imports nothing of ours: what it
// proves holds for the binary.
//
// The nouns. A broker is one running `millrace serve`. A client is one of the
// Kafka clients under test, reduced to writing and reading records; joining the
// table clients enrols it in the exchange, where each reads what every other
// wrote in every codec. What only one client can do stands in that client's
// file.
//
// MILLRACE_BROKER=HOST:PORT runs the suite against a broker that is already
// there, for instance Apache Kafka, to see whether it is the suite that errs.
package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds everything that waits: far above what a loaded machine needs,
// so that running into it means that something hangs.
const patience = 60 * time.Second

// broker is one running broker.
type broker struct {
	addr string
	cmd  *exec.Cmd
	dir  string
	log  *syncBuffer
	ends chan error
}

// program is the binary under test, "" where a broker is already there.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	if code, is := runCopier(); is {
		return code
	}
	defer dismiss()
	if err := enrol(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getenv("MILLRACE_BROKER") != "" {
		return m.Run()
	}
	tmp, err := os.MkdirTemp("", "millrace-clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(tmp)
	program = filepath.Join(tmp, "millrace")
	args := append([]string{"build", "-o", program}, buildFlags...)
	build := exec.Command("go", append(args, "../../cmd/millrace")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build ./cmd/millrace: %v\n%s", err, out)
		return 1
	}
	common.dir = filepath.Join(tmp, "data")
	code = m.Run()
	if common.broker == nil {
		return code
	}
	if err := common.broker.end(syscall.SIGTERM); err != nil {
		fmt.Fprintln(os.Stderr, "the broker did not stop cleanly:", err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "the broker's log:\n%s", common.broker.log.tail(16<<10))
	}
	return code
}

// common is the broker of all tests that do not stop theirs.
var common struct {
	once   sync.Once
	dir    string
	broker *broker
	err    error
}

// shared is the address of the common broker, which the first test to ask
// starts.
func shared(t *testing.T) string {
	t.Helper()
	dependOnSources(t)
	if addr := os.Getenv("MILLRACE_BROKER"); addr != "" {
		return addr
	}
	common.once.Do(func() { common.broker, common.err = start(common.dir, "--set", "group.initial.rebalance.delay.ms=0") })
	require.NoError(t, common.err)
	return common.broker.addr
}

// dependOnSources looks at every source file of the module. `go test` keeps
// the result of a test for as long as the files that it looked at stay the
// same; it cannot know of those that go into a binary built on the side. What
// happens before the tests run does not count.
func dependOnSources(t *testing.T) {
	t.Helper()
	const root = "../.."
	sources.Do(func() {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := d.Name()
			switch {
			case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "data" || name == "node_modules" || name == "runs"):
				return filepath.SkipDir
			case strings.HasSuffix(name, ".go") || name == "go.mod" || name == "go.sum":
				_, err = os.Stat(path)
			}
			return err
		})
		require.NoError(t, err)
	})
}

var sources sync.Once

// start runs a broker on dir and a free port, and waits until it listens.
func start(dir string, args ...string) (*broker, error) {
	b := &broker{dir: dir, log: &syncBuffer{}, ends: make(chan error, 1)}
	b.cmd = exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", dir}, args...)...)
	b.cmd.Stderr = b.log
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n')
		first <- strings.TrimSpace(line)
		_, _ = io.Copy(b.log, r)
		b.ends <- b.cmd.Wait()
	}()
	select {
	case line := <-first:
		addr, ok := strings.CutPrefix(line, "listening on ")
		if !ok {
			_ = b.cmd.Process.Kill()
			return nil, fmt.Errorf("serve: first line %q, want \"listening on HOST:PORT\"\n%s", line, b.log.tail(4<<10))
		}
		b.addr = addr
		return b, nil
	case <-time.After(patience):
		_ = b.cmd.Process.Kill()
		return nil, errors.New("serve: no first line")
	}
}

// end sends a signal and waits for the process. Nil means what that signal
// should lead to: exit 0, or for SIGKILL the kill.
func (b *broker) end(sig syscall.Signal) error {
	if err := b.cmd.Process.Signal(sig); err != nil {
		return err
	}
	select {
	case err := <-b.ends:
		if sig == syscall.SIGKILL {
			return nil
		}
		return err
	case <-time.After(patience):
		_ = b.cmd.Process.Kill()
		return errors.New("still running")
	}
}

// own starts a broker for one test.
func own(t *testing.T, dir string, args ...string) *broker {
	t.Helper()
	dependOnSources(t)
	require.NotEmpty(t, program, "this test starts brokers of its own: run it without MILLRACE_BROKER")
	b, err := start(dir, args...)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the broker's log:\n%s", b.log.tail(8<<10))
		}
	})
	return b
}

// bounded is a context that ends with the test, or with patience.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// tool answers where a program is that the suite cannot do without.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("missing: %s, which this suite drives; install it with: apt-get install %s", name, debian)
	}
	return path
}

// command runs a program to its end and answers its standard output.
func command(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(bounded(t), name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, errs.String())
	}
	return out.Bytes()
}

// topicName is a name no other test and no earlier run uses.
func topicName(t *testing.T) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%s-%d", clean, time.Now().UnixNano())
}

// syncBuffer is a process's output while it still runs.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) tail(max int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.b.Bytes()
	return string(b[len(b)-min(len(b), max):])
}
