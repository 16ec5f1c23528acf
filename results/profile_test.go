package results

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

// stacked is a CPU profile of stacks, outermost function first, with samples of
// 10 ms each.
func stacked(stacks map[string]int64, frames map[string][]string) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}, Period: 1e7}
	locs := map[string]*profile.Location{}
	for name, n := range stacks {
		s := &profile.Sample{Value: []int64{n, n * 1e7}}
		for _, fn := range frames[name] {
			if locs[fn] == nil {
				f := &profile.Function{ID: uint64(len(locs) + 1), Name: fn}
				locs[fn] = &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f}}}
				p.Function, p.Location = append(p.Function, f), append(p.Location, locs[fn])
			}
			s.Location = append([]*profile.Location{locs[fn]}, s.Location...)
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func profiledRun(t *testing.T, records int64, cpuS float64, p *profile.Profile) *Run {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ProfilesDir), 0o755))
	f, err := os.Create(filepath.Join(dir, ProfilesDir, ProfileName("target", "cpu", "steady")))
	require.NoError(t, err)
	require.NoError(t, p.Write(f))
	require.NoError(t, f.Close())
	return &Run{Dir: dir, Trial: Trial{Phases: []Phase{{Name: "steady", Kind: "steady", Acked: Flow{Records: records}, Target: &Cost{CPUS: cpuS}}}}}
}

var frames = map[string][]string{"read": {"a/b/main.run", "x/gnet/v2.read"}, "write": {"a/b/main.run", "write"}, "loop": {"a/b/main.run", "a/b/main.run"}}

// Over merged rounds the cost per record is what the processes spent, not what
// was sampled, over all rounds' records; the shares are the samples'.
func TestProfilesPerRecord(t *testing.T) {
	one := profiledRun(t, 1000, 1.2, stacked(map[string]int64{"read": 60, "write": 40}, frames))
	two := profiledRun(t, 3000, 2.8, stacked(map[string]int64{"read": 140, "write": 140, "loop": 20}, frames))
	p, err := MergeProfiles("target", "cpu", one, two)
	require.NoError(t, err)
	require.EqualValues(t, 400*10*time.Millisecond, p.Total)
	require.EqualValues(t, 4000, p.Records)
	require.InDelta(t, 4e9/4000, float64(p.Total)*p.PerRecord, 1e-6)
	top := p.Top()
	require.Equal(t, Function{"x/gnet/v2.read", 2e9, 2e9}, top[0])
	require.Equal(t, Function{"write", 18e8, 18e8}, top[1])
	require.Equal(t, Function{"a/b/main.run", 2e8, 4e9}, top[2], "a recursive function counts once")
	root := p.Flame(nil)
	require.InDelta(t, 1e6, root.Value, 1e-6)
	require.Len(t, root.Children, 1)
	require.Len(t, root.Children[0].Children, 3)
	require.Equal(t, "gnet/v2.read", ShortName("x/gnet/v2.read"))
	require.Equal(t, "main.f[a/b.c]", ShortName("a/b/main.f[a/b.c]"))

	none, err := MergeProfiles("generator", "cpu", one, two)
	require.NoError(t, err)
	require.Nil(t, none)
}

// A function that costs more is shown to; one that sampling moved is not.
func TestMoves(t *testing.T) {
	was, err := profiledRun(t, 1000, 4, stacked(map[string]int64{"read": 200, "write": 200}, frames)).Profile("target", "cpu")
	require.NoError(t, err)
	is, err := profiledRun(t, 1000, 5, stacked(map[string]int64{"read": 305, "write": 195}, frames)).Profile("target", "cpu")
	require.NoError(t, err)
	moves := is.Moves(was)
	require.Equal(t, "x/gnet/v2.read", moves[0].Name)
	require.InDelta(t, 1.05e6, moves[0].By(), 1)
	require.True(t, moves[0].Shown())
	for _, m := range moves[1:] {
		require.False(t, m.Shown(), "%+v", m)
	}
}
