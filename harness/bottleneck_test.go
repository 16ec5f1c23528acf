package harness

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/results"
)

// used is a run of two CPUs that missed its goals, with so much CPU in use.
func used(target, generator float64, edit func(*results.Run)) *results.Run {
	none := 0.0
	r := &results.Run{Env: results.Env{CPUs: 2}, Verdict: results.Verdict{Outcome: results.Fail}}
	r.Trial.Promise = "page-cache"
	r.Trial.Steady = results.Phase{Others: &none, Target: &results.Cost{Cores: target}, Generator: &results.Cost{Cores: generator}}
	if edit != nil {
		edit(r)
	}
	return r
}

// TestBottleneck: what stood in the way is named by what was recorded, the
// machine's noise before everything else, as it makes all the rest uncertain.
func TestBottleneck(t *testing.T) {
	busyDisk := strain{disk: map[string]float64{"sda": 0.2, "nvme0n1": 0.95}}
	busyLink := strain{net: map[string]float64{"eth0": 0.9}, disk: map[string]float64{"sda": 0.95}}
	for name, c := range map[string]struct {
		run  *results.Run
		s    strain
		word string
		text string
	}{
		"target":               {used(1.3, 0.6, nil), strain{}, "target-cpu", "most of it the target's (target 1.30, generator 0.60 of 2 cores)"},
		"generator":            {used(0.6, 1.3, nil), strain{}, "generator-cpu", "most of it the generator's"},
		"generator by audit":   {used(0.1, 1, func(r *results.Run) { r.Trial.Audit.Limited = true }), strain{}, "generator-cpu", "the target may take more"},
		"cpu before disk":      {used(1.3, 0.6, nil), busyDisk, "target-cpu", ""},
		"disk":                 {used(0.3, 0.3, nil), busyDisk, "disk", "nvme0n1 was at work 95 % of the time"},
		"network before disk":  {used(0.3, 0.3, nil), busyLink, "network", "eth0 at 90 % of its speed"},
		"fsync":                {used(0.3, 0.3, func(r *results.Run) { r.Trial.Promise = "group" }), strain{}, "disk", "waits for an fsync"},
		"each":                 {used(0.3, 0.3, func(r *results.Run) { r.Trial.Promise = "each" }), strain{}, "disk", "waits for an fsync"},
		"waiting":              {used(0.3, 0.3, nil), strain{}, "waiting", "on locks or on single threads"},
		"stolen":               {used(1.3, 0.6, func(r *results.Run) { r.Trial.Steady.Steal = 0.2 }), busyDisk, "noise", "withheld 20.0 %"},
		"others":               {used(0.6, 0.3, func(r *results.Run) { *r.Trial.Steady.Others = 0.5 }), busyDisk, "noise", "other processes, which took 50 %"},
		"others a little":      {used(1.2, 0.55, func(r *results.Run) { *r.Trial.Steady.Others = 0.08 }), strain{}, "target-cpu", ""},
		"invalid":              {used(0.3, 0.3, func(r *results.Run) { r.Verdict.Outcome = results.Invalid }), strain{}, "noise", "the generator or the machine"},
		"nobody sees a target": {used(0, 1.9, func(r *results.Run) { r.Trial.Steady.Target = nil }), strain{}, "generator-cpu", "most of it the generator's"},
		"a far target":         {used(0, 0.2, func(r *results.Run) { r.Trial.Steady.Target, r.Trial.Promise = nil, "" }), strain{}, "unknown", "the target's CPU is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			word, text := limitOf(c.run, c.s)
			require.Equal(t, c.word, word, text)
			require.Contains(t, text, c.text)
		})
	}
}

// TestStrain: shares are of the time between two readings.
func TestStrain(t *testing.T) {
	at := time.Unix(100, 0)
	before := strain{at: at, disk: map[string]float64{"sda": 1000, "sdb": 0}}
	now := strain{at: at.Add(2 * time.Second), disk: map[string]float64{"sda": 2500, "sdb": 10}}
	s := now.since(before)
	require.InDelta(t, 0.75, s.disk["sda"], 1e-9)
	name, share := worst(s.disk)
	require.Equal(t, "sda", name)
	require.InDelta(t, 0.75, share, 1e-9)
	require.Empty(t, before.since(now).disk, "no time went by")
	require.NotPanics(t, func() { readStrain().since(readStrain()) })
}

// TestRevisions: a revision is built from the repository as it was then, beside the
// working tree, which stays as it is; what cannot be built is told by its name.
func TestRevisions(t *testing.T) {
	repo, out := t.TempDir(), t.TempDir()
	ctx := t.Context()
	git := func(args ...string) string {
		text, err := tool(ctx, repo, "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)...)
		require.NoError(t, err, "%v", args)
		return text
	}
	write := func(file, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(repo, file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(repo, file), []byte(text), 0o644))
	}
	program := func(says string) string { return "package main\n\nfunc main() { print(\"" + says + "\") }\n" }
	git("init", "-q", "-b", "trunk")
	write("go.mod", "module example\n")
	git("add", ".")
	git("commit", "-qm", "nothing yet")
	write("cmd/millrace/main.go", program("first"))
	git("add", ".")
	git("commit", "-qm", "first")
	git("tag", "v1")
	write("cmd/millrace/main.go", "package main\n\nfunc main() { no such thing }\n")
	git("commit", "-qam", "broken")
	write("cmd/millrace/main.go", program("tree"))
	t.Chdir(repo)
	before := git("status", "--porcelain")
	for rev, want := range map[string]string{"v1": "first", "HEAD~1": "first", ".": "tree"} {
		binary, err := buildRevision(ctx, rev, out)
		require.NoError(t, err)
		said, err := tool(ctx, "", "sh", "-c", binary+" 2>&1")
		require.NoError(t, err)
		require.Equal(t, want, said, rev)
	}
	for rev, want := range map[string]string{
		"v9":      "--rev v9: no such revision",
		"--help":  "no such revision",
		"HEAD~2":  "it has no cmd/millrace",
		"HEAD":    "--rev HEAD does not build",
		"v1; rm ": "no such revision",
	} {
		_, err := buildRevision(ctx, rev, out)
		require.ErrorContains(t, err, want, rev)
	}
	require.Equal(t, before, git("status", "--porcelain"), "the working tree is as it was")
	require.NotContains(t, git("worktree", "list"), "source-", "nothing is left behind")
	t.Chdir(t.TempDir())
	_, err := buildRevision(ctx, "v1", out)
	require.ErrorContains(t, err, "run it inside millrace's git repository")
}
