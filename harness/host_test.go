package harness

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestCPULists(t *testing.T) {
	for list, want := range map[string]string{"0": "0", "3,1": "1,3", "2-5,8": "2-5,8", "0-1,1-2": "0-2"} {
		set, err := parseCPUs(list)
		require.NoError(t, err, list)
		require.Equal(t, want, cpuNames(&set), list)
	}
	for _, list := range []string{"", "x", "1-", "5-2", "-1", "0,", "99999"} {
		_, err := parseCPUs(list)
		require.Error(t, err, list)
	}
}

// firstCPU is one that this process may use.
func firstCPU(t *testing.T) string {
	var may unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &may))
	return strings.FieldsFunc(cpuNames(&may), func(r rune) bool { return r == '-' || r == ',' })[0]
}

// allowed is where a thread of the process may run.
func allowed(t *testing.T, pid string) string {
	b, err := os.ReadFile("/proc/" + pid + "/status")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(b), "Cpus_allowed_list:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// A generator is let out again as it was.
func TestConfine(t *testing.T) {
	cpu := firstCPU(t)
	before, procs := allowed(t, "self"), runtime.GOMAXPROCS(0)
	set, err := cpusOf("generator.cpus", cpu)
	require.NoError(t, err)
	release, err := confine(set)
	require.NoError(t, err)
	require.Equal(t, cpu, allowed(t, "thread-self"))
	require.Equal(t, cpu, allowed(t, "self"))
	require.Equal(t, 1, runtime.GOMAXPROCS(0))
	release()
	require.Equal(t, before, allowed(t, "self"))
	require.Equal(t, procs, runtime.GOMAXPROCS(0))
}

// The host section holds for both sides of a run, the sink of the audit
// included, and what stands in env.json is what was.
func TestRunOnCPUs(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("FAKE", "core")
	cpu := firstCPU(t)
	s, err := shortScenario(t).with("host.target.cpus="+cpu, "host.generator.cpus="+cpu, "host.warm=1MiB", "host.syscalls=all")
	require.NoError(t, err)
	o := options(t, s, "child")
	o.Binary = exe
	run, err := Run(deadline(t), o)
	require.NoError(t, err)
	require.Equal(t, cpu, run.Env.TargetCPUs)
	require.Equal(t, cpu, run.Env.GeneratorCPUs)
	require.EqualValues(t, 1<<20, run.Env.WarmedBytes)
	require.Positive(t, run.Env.MemoryCost)
	for _, note := range run.Trial.Notes {
		if strings.Contains(note, "ceiling could not be taken") { // too little of one shared core is no fault of the section
			require.Contains(t, note, "too busy")
		}
	}
	require.False(t, run.Trial.Audit.CeilingShared, "the sink had its own process")
	require.Positive(t, *run.Trial.Steady.Target.Syscalls)

	c, err := newTarget(&RunOptions{Scenario: s, Target: "child", Binary: exe, DataDir: t.TempDir()})
	require.NoError(t, err)
	require.NoError(t, c.start(deadline(t)))
	defer c.stop()
	require.Equal(t, cpu, allowed(t, strconv.Itoa(c.info().PID)))
}

func TestSinkTarget(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	for _, client := range []string{"kgo", "lean"} {
		t.Run(client, func(t *testing.T) {
			text := strings.Replace(short, "lag.max <= 1000000, ", "", 1)
			s, err := parse("short.yaml", []byte(text), []string{"client=" + client, "consumers.groups=0", "producers.acks=1"})
			require.NoError(t, err)
			o := options(t, s, "sink")
			o.Binary = exe
			run, err := Run(deadline(t), o)
			require.NoError(t, err)
			require.Equal(t, "sink", run.Trial.Target.Kind)
			require.Positive(t, run.Trial.Steady.Acked.Records)
			require.False(t, run.Trial.Ledger.Checked)
			for _, g := range run.Verdict.Goals {
				require.NotContains(t, g.Expr, "ledger")
			}
		})
	}
	s, err := shortScenario(t).with("consumers.groups=1")
	require.NoError(t, err)
	_, err = Run(deadline(t), options(t, s, "sink"))
	require.ErrorContains(t, err, "keeps nothing that consumers could read")
}

// What this machine has not got is refused before anything starts.
func TestHostRefuses(t *testing.T) {
	for set, want := range map[string]string{
		"host.target.cpus=1000":          "host.target.cpus: there is no CPU 1000 for us here, only ",
		"host.generator.cpus=1000":       "host.generator.cpus: there is no CPU 1000 for us here, only ",
		"host.congestion=carrier-pigeon": `host.congestion: this kernel has no "carrier-pigeon", only `,
	} {
		s, err := shortScenario(t).with(set)
		require.NoError(t, err)
		_, err = Run(deadline(t), options(t, s, "child"))
		require.ErrorContains(t, err, want)
		var f *Faults
		require.True(t, errors.As(err, &f))
	}
	s, err := shortScenario(t).with("host.target.cpus=0")
	require.NoError(t, err)
	_, err = Run(deadline(t), options(t, s, "inprocess"))
	require.ErrorContains(t, err, "host.target.cpus: the lab starts no process for a target inprocess")
}

// Every system call is counted, or it is said why not.
func TestCountSyscalls(t *testing.T) {
	c, err := countSyscalls(os.Getpid())
	if err != nil {
		require.Regexp(t, "tracefs|perf_event_open", err.Error())
		return
	}
	defer c.close()
	before := c.read()
	const calls = 10_000
	for range calls {
		unix.Getppid()
	}
	require.GreaterOrEqual(t, c.read()-before, int64(calls))
	require.EqualValues(t, -1, (*syscallCounter)(nil).read())
}
