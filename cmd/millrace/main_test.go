package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/results"
)

// millrace runs the command line in this process.
func millrace(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestBadUsageExitsWithTwoAndSaysWhat(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, []byte(text), 0o644))
		return p
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"frobnicate"}, `unknown command "frobnicate"`},
		{[]string{"serve", "--nope"}, "unknown flag: --nope"},
		{[]string{"serve", "--lisen", ":0"}, `unknown flag: --lisen (did you mean "--listen"?)`},
		{[]string{"serve", "--broker", "x"}, "unknown flag: --broker: the address is given by --listen HOST:PORT"},
		{[]string{"topic", "list", "--brokers", "x"}, "unknown flag: --brokers: the broker is named by --bootstrap HOST:PORT"},
		{[]string{"topic", "list", "-b", "x"}, "unknown shorthand flag: 'b' in -b: the broker is named by --bootstrap"},
		{[]string{"group", "--bootstrap-server=x", "list"}, "unknown flag: --bootstrap-server: the broker is named by --bootstrap"},
		{[]string{"run", "quickstart", "--bootstrap-server", "x"}, "a running broker is named by --target external:HOST:PORT"},
		{[]string{"dash", "-b", "x"}, "the broker is named by --broker HOST:PORT"},
		{[]string{"serve", "extra"}, `unknown command "extra"`},
		{[]string{"serve", "--set", "num.partition=3"}, `unknown knob "num.partition" (did you mean "num.partitions"?)`},
		{[]string{"serve", "--set", "num.partitions"}, "write NAME=VALUE"},
		{[]string{"serve", "--set", "num.partitions=0"}, "num.partitions: 0 is outside 1 to"},
		{[]string{"serve", "--config", file("a.yaml", "num.partitions: 3\nnum.partition: 4\n")}, `a.yaml:2:1: unknown knob "num.partition"`},
		{[]string{"serve", "--config", file("b.yaml", "num.partitions: 3\nnum.partitions: 4\n")}, `b.yaml:2:1: num.partitions is set twice, first on line 1`},
		{[]string{"serve", "--config", file("c.yaml", "num.partitions: [3]\n")}, `c.yaml:1:17: num.partitions: want one value`},
		{[]string{"serve", "--config", file("d.yaml", "- 3\n")}, `d.yaml:1:1: want lines of "knob: value"`},
		{[]string{"serve", "--config", filepath.Join(dir, "none.yaml")}, "no such file"},
		{[]string{"run"}, "requires at least 1 arg(s), only received 0: write millrace run SCENARIO"},
		{[]string{"baseline", "x.yaml"}, `unknown command "x.yaml" for "millrace baseline": there are check, keep`},
		{[]string{"topic", "lst"}, `unknown command "lst" for "millrace topic": there are alter, create`},
		{[]string{"compare", "quickstart", "--knob", "read.path=copy,mmap", "--rounds", "-3"}, "--rounds -3: at least 1"},
		{[]string{"compare", "quickstart", "--knob", "read.path=copy,mmap", "--rounds", "0"}, "--rounds 0: at least 1"},
		{[]string{"run", "no-such-scenario"}, "no-such-scenario"},
		{[]string{"compare", "quickstart"}, "nothing to compare"},
		{[]string{"validate", file("e.yaml", "name: x\nfoo: 1\n")}, "e.yaml:2:1"},
		{[]string{"report", dir}, "no run directory"},
	} {
		code, stdout, stderr := millrace(c.args...)
		require.Equal(t, results.ExitUsage, code, "%v: %s", c.args, stderr)
		require.Contains(t, stderr, c.want, "%v", c.args)
		require.Empty(t, stdout, "%v", c.args)
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	root, _ := newRoot(nil, nil)
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" || cmd.HasSubCommands() {
			continue
		}
		require.NotEmpty(t, cmd.Short, cmd.Name())
		require.Contains(t, cmd.Example, "millrace "+cmd.Name(), cmd.Name())
		code, stdout, _ := millrace(cmd.Name(), "--help")
		require.Zero(t, code)
		require.Contains(t, stdout, "Examples:")
	}
}

// The listings are read on a terminal of 80 columns.
func TestListingsFitATerminal(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"knobs"}, {"scenarios"}, {"plan", "quickstart"}} {
		code, stdout, stderr := millrace(args...)
		require.Zero(t, code, stderr)
		for _, line := range strings.Split(stdout, "\n") {
			require.LessOrEqual(t, len([]rune(line)), 80, "%v: %s", args, line)
		}
	}
}

func TestKnobsDocIsFresh(t *testing.T) {
	_, want, _ := millrace("knobs", "--markdown")
	have, err := os.ReadFile("../../docs/knobs.md")
	require.NoError(t, err)
	if want != string(have) {
		t.Fatal("docs/knobs.md is stale: go run ./cmd/millrace knobs --markdown > docs/knobs.md")
	}
}

func TestGraverOutcomeWins(t *testing.T) {
	require.Equal(t, results.ExitViolation, graver(results.ExitInterrupted, results.ExitViolation))
	require.Equal(t, results.ExitFail, graver(results.ExitFail, results.ExitPass))
	require.Equal(t, results.ExitInvalid, graver(results.ExitFail, results.ExitInvalid))
}
