package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each path has a figure for each round, and stands under limits of its own
// minutes.
func TestPaths(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("FAKE", "core")
	cpu := firstCPU(t)
	file := filepath.Join(t.TempDir(), "path.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`name: path-x
question: What?
client: lean
topics: [{name: a, partitions: 2}]
payload: {generator: random, size: 1KiB}
phases: [{warmup: 100ms}, {steady: 500ms, rate: 20000/s}, {drain: 10s}]
host: {target.cpus: `+cpu+`, generator.cpus: `+cpu+`, warm: 1MiB}
`), 0o644))
	o := PathsOptions{RunOptions: options(t, nil, "child"), Scenarios: []string{file}, Sizes: []string{"4KiB", "16KiB"}, Rounds: 2, limitRound: 30 * time.Millisecond}
	o.Binary = exe
	var progress strings.Builder
	o.Progress = &progress
	list, err := Paths(deadline(t), o)
	require.NoError(t, err, "%s", &progress)
	require.Len(t, list, 2)
	for _, f := range list {
		require.Len(t, f.Runs, 2)
		require.Len(t, f.Shares, 2)
		require.Len(t, f.Syscalls, 2)
		require.Positive(t, f.Bytes[0])
		require.Positive(t, f.CPUPerGB[0])
		require.Positive(t, f.Bare[0])
	}
	require.Contains(t, progress.String(), "measuring the machine")
	var out strings.Builder
	PathsSummary(&out, list)
	require.Contains(t, out.String(), "16KiB")
	for _, line := range strings.Split(out.String(), "\n") {
		require.LessOrEqual(t, len([]rune(line)), 80, line)
	}
	o.Scenarios = []string{"no-such"}
	_, err = Paths(deadline(t), o)
	require.ErrorContains(t, err, "no scenario")
}
