package clients_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// copierEnv makes this test's program a copier: "ADDR FROM TO MODE".
const copierEnv = "MILLRACE_TEST_COPIER"

// copier copies a topic, some records at a time, until it is killed. Before each
// end it says "wrote" and waits for a line; then it says "ended", or "idle" when
// there was nothing. Mode exactly-once does it in transactions; mode
// at-least-once writes and then commits, as one does who knows nothing of them.
func copier(spec string) error {
	var addr, from, to, mode string
	if _, err := fmt.Sscan(spec, &addr, &from, &to, &mode); err != nil {
		return err
	}
	opts := []kgo.Opt{kgo.SeedBrokers(addr), kgo.ConsumerGroup(from), kgo.ConsumeTopics(from), kgo.InstanceID("copier"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	var copyOnce func(context.Context) (int, error)
	orders := bufio.NewReader(os.Stdin)
	wrote := func() { fmt.Println("wrote"); _, _ = orders.ReadString('\n') }
	if mode == "exactly-once" {
		s, err := kgo.NewGroupTransactSession(append(opts, kgo.TransactionalID(from), kgo.TransactionTimeout(time.Minute))...)
		if err != nil {
			return err
		}
		// Whoever had the id before is fenced now: its offsets are no longer open.
		if _, _, err := s.Client().ProducerID(context.Background()); err != nil {
			return err
		}
		copyOnce = func(ctx context.Context) (int, error) {
			fs := s.PollRecords(ctx, 20)
			if fs.NumRecords() == 0 {
				return 0, nil
			}
			if err := s.Begin(); err != nil {
				return 0, err
			}
			fs.EachRecord(func(r *kgo.Record) { s.Produce(context.Background(), &kgo.Record{Topic: to, Value: r.Value}, nil) })
			if err := s.Client().Flush(context.Background()); err != nil {
				return 0, err
			}
			wrote()
			_, err := s.End(context.Background(), kgo.TryCommit)
			return fs.NumRecords(), err
		}
	} else {
		c, err := kgo.NewClient(append(opts, kgo.DisableAutoCommit())...)
		if err != nil {
			return err
		}
		copyOnce = func(ctx context.Context) (int, error) {
			fs := c.PollRecords(ctx, 20)
			if fs.NumRecords() == 0 {
				return 0, nil
			}
			fs.EachRecord(func(r *kgo.Record) { c.Produce(context.Background(), &kgo.Record{Topic: to, Value: r.Value}, nil) })
			if err := c.Flush(context.Background()); err != nil {
				return 0, err
			}
			wrote()
			return fs.NumRecords(), c.CommitUncommittedOffsets(context.Background())
		}
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		n, err := copyOnce(ctx)
		cancel()
		switch {
		case err != nil:
			return err
		case n == 0:
			fmt.Println("idle")
		default:
			fmt.Println("ended")
		}
	}
}

// copying is a copier that runs.
type copying struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said chan string // closed when it is dead
}

func startCopier(t *testing.T, addr, from, to, mode string) *copying {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := &copying{cmd: exec.Command(self), said: make(chan string, 16)}
	c.cmd.Env = append(os.Environ(), copierEnv+"="+strings.Join([]string{addr, from, to, mode}, " "))
	c.cmd.Stderr = os.Stderr
	c.in, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(c.kill)
	go func() {
		defer close(c.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.said <- lines.Text()
		}
	}()
	return c
}

func (c *copying) kill() {
	_ = c.cmd.Process.Kill()
	for range c.said {
	}
	_ = c.cmd.Wait()
}

// hear is what it says next; "": it has ended.
func (c *copying) hear(t *testing.T) string {
	t.Helper()
	select {
	case line := <-c.said:
		return line
	case <-time.After(patience):
		t.Fatal("the copier says nothing")
		return ""
	}
}

// copyUnderKills has a copier copy n values. It is killed when it has written and
// not committed, and at any time while it commits; the broker is killed likewise.
func copyUnderKills(t *testing.T, mode string, n int) []string {
	dir, from := t.TempDir(), topicName(t)
	to := from + "-copy"
	set := []string{"--set", "group.initial.rebalance.delay.ms=0"}
	b := own(t, dir, set...)
	addr := b.addr
	createTopic(t, addr, from, 1)
	createTopic(t, addr, to, 1)
	var vs []string
	for i := range n {
		vs = append(vs, fmt.Sprint(i))
	}
	values(t, addr, from, vs...)
	c := startCopier(t, addr, from, to, mode)
	for turn, idle := 0, 0; idle < 2; {
		switch said := c.hear(t); said {
		case "idle":
			idle++
			continue
		case "": // by itself: what the broker's death has left is not always to be mended
			c.kill()
			c = startCopier(t, addr, from, to, mode)
			continue
		case "ended":
			idle = 0
			continue
		}
		turn++
		switch turn % 5 {
		case 1: // written, not committed
			c.kill()
			c = startCopier(t, addr, from, to, mode)
		case 2: // somewhere in the commit
			_, _ = io.WriteString(c.in, "go on\n")
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			c.kill()
			c = startCopier(t, addr, from, to, mode)
		case 3:
			require.NoError(t, b.end(syscall.SIGKILL))
			b = own(t, dir, append(set, "--listen", addr)...)
			_, _ = io.WriteString(c.in, "go on\n")
		default:
			_, _ = io.WriteString(c.in, "go on\n")
		}
	}
	c.kill()
	got := readCommitted(t, addr, to, 1)[0]
	require.NoError(t, b.end(syscall.SIGTERM))
	return got
}

// TestExactlyOnceUnderKills: a copier in transactions that is killed, and its
// broker too, copies each value once and in order.
func TestExactlyOnceUnderKills(t *testing.T) {
	const n = 200
	got := copyUnderKills(t, "exactly-once", n)
	require.Len(t, got, n)
	for i, v := range got {
		require.Equal(t, fmt.Sprint(i), v)
	}
}

// TestAtLeastOnceUnderKills: the same kills show in what knows nothing of
// transactions, or the test above would prove nothing.
func TestAtLeastOnceUnderKills(t *testing.T) {
	const n = 60
	got := copyUnderKills(t, "at-least-once", n)
	seen := map[string]bool{}
	for _, v := range got {
		seen[v] = true
	}
	require.Len(t, seen, n, "nothing is lost")
	require.Greater(t, len(got), n, "what was written and not committed is written twice")
}

// runCopier is for TestMain: whether this process is a copier, and its exit code.
func runCopier() (code int, is bool) {
	spec := os.Getenv(copierEnv)
	if spec == "" {
		return 0, false
	}
	if err := copier(spec); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "copier:", err)
		return 1, true
	}
	return 0, true
}
