package harness

import (
	"bytes"
	"context"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"millrace/harness/load"
	"millrace/results"
)

// The process clock agrees with getrusage, which counts the same for us.
func TestProcessCPU(t *testing.T) {
	usage := func() time.Duration {
		var ru unix.Rusage
		require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &ru))
		return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	before := usage()
	cpu, ok := processCPU(os.Getpid())
	require.True(t, ok)
	after := usage()
	// getrusage rounds to ticks on some kernels: allow one on either side.
	require.GreaterOrEqual(t, cpu, before-10*time.Millisecond)
	require.LessOrEqual(t, cpu, after+10*time.Millisecond)

	_, ok = processCPU(1 << 22)
	require.False(t, ok)
}

// What the prober reads grows by what the process did.
func TestProber(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http.Server{}
	go srv.Serve(l)
	defer srv.Close()
	p := newProber(os.Getpid(), "http://"+l.Addr().String()+"/debug/pprof/")
	a, ok := p.read()
	require.True(t, ok)
	p.readRuntime(context.Background(), &a)
	file, err := os.Create(t.TempDir() + "/x")
	require.NoError(t, err)
	defer file.Close()
	for range 100 {
		_, err := file.Write([]byte("x"))
		require.NoError(t, err)
	}
	hold := make([][]byte, 100)
	for i := range hold {
		hold[i] = make([]byte, 64<<10)
	}
	b, ok := p.read()
	require.True(t, ok)
	p.readRuntime(context.Background(), &b)
	c := b.cost(a, time.Second, 100)
	require.GreaterOrEqual(t, *c.Syscalls, int64(100))
	require.GreaterOrEqual(t, *c.PerRecord.Syscalls, 1.0)
	require.GreaterOrEqual(t, *c.AllocB, int64(100*64<<10))
	require.GreaterOrEqual(t, *c.PerRecord.Allocs, 1.0)
	require.Positive(t, c.RSSMax)
	require.InDelta(t, c.CPUS*1e9/100, c.PerRecord.CPUNs, 1e-6)
	require.Len(t, hold, 100)

	_, ok = newProber(1<<22, "").read()
	require.False(t, ok)
	gone := newProber(os.Getpid(), "http://127.0.0.1:1/")
	s, _ := gone.read()
	gone.readRuntime(context.Background(), &s)
	require.Equal(t, int64(-1), s.allocs, "unknown, not zero")
	require.Nil(t, s.cost(s, time.Second, 1).Allocs)
}

func TestEnvironment(t *testing.T) {
	e := environment(t.TempDir(), map[string]string{"validate.depth": "crc"})
	require.NotEmpty(t, e.CPUModel)
	require.NotEmpty(t, e.Kernel)
	require.NotEmpty(t, e.FileSystem.Type)
	require.Positive(t, e.MemoryBytes)
	require.Positive(t, e.CPUs)
	require.Equal(t, "crc", e.Knobs["validate.depth"])
	require.Equal(t, "madvise", selected("always [madvise] never"))
	require.Equal(t, "proc", fileSystem("/proc/self").Type)
}

func TestKnobs(t *testing.T) {
	require.Equal(t, map[string]string{"num.partitions": "3"},
		changedKnobs(map[string]string{"num.partitions": "3", "validate.depth": knobDefault("validate.depth")}))
	require.Empty(t, knobDefault("no.such"))
	require.Equal(t, "x", knobValue(map[string]string{"a": "x"}, "a"))
}

// On a terminal one line is rewritten and never wraps; a pipe gets lines.
func TestProgress(t *testing.T) {
	s := shortScenario(t)
	h := load.Sample{Start: time.Second, Len: time.Second, Phase: 1}
	out := results.Sample{Phase: "steady", Acked: 50_000, AckedB: 50 << 20, Lag: 12, Errors: 3}
	var tty, pipe bytes.Buffer
	for _, p := range []*progress{
		newProgress(RunOptions{Scenario: s, Progress: &tty, TTY: true, prefix: strings.Repeat("long ", 20)}),
		newProgress(RunOptions{Scenario: s, Progress: &pipe}),
	} {
		p.status("starting %s", "child")
		p.phase(1)
		p.sample(h, out)
		p.end()
	}
	require.NotContains(t, tty.String(), "\n")
	for _, line := range strings.Split(tty.String(), "\r") {
		require.LessOrEqual(t, len([]rune(line)), 79)
	}
	require.Equal(t, "short: starting child\nshort steady, 10s left  50,000/s  lag 12  errors 3\n", pipe.String())
	newProgress(RunOptions{Scenario: s}).status("nobody looks")
}
