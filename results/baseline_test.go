package results

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func storedRun(t *testing.T, dir string, change func(*Run)) *Run {
	r := &Run{Scenario: []byte("name: x\n"), Env: Env{CPUModel: "a", CPUs: 2, Knobs: map[string]string{}},
		Trial: Trial{Version: Version, Scenario: "x", Promise: "page-cache", Phases: []Phase{},
			Steady: Phase{Acked: Flow{Records: 10, Rate: 1000}, Target: &Cost{PerRecord: PerRecord{CPUNs: 500}}, Latency: map[string]Quantiles{}}},
		Verdict: Verdict{Outcome: Pass, Goals: []Goal{}}}
	change(r)
	d, err := Store{Dir: dir}.Begin("x", time.Now())
	require.NoError(t, err)
	require.NoError(t, d.Write(r, nil, nil))
	r.Dir, err = d.Commit()
	require.NoError(t, err)
	return r
}

func TestBaseline(t *testing.T) {
	dir, kept := t.TempDir(), filepath.Join(t.TempDir(), "baselines")
	first := storedRun(t, dir, func(*Run) {})
	_, err := HoldAgainst(kept, first)
	require.ErrorIs(t, err, ErrNoBaseline)

	place, err := KeepBaseline(kept, first)
	require.NoError(t, err)
	files, err := os.ReadDir(place)
	require.NoError(t, err)
	require.Len(t, files, len(baselineFiles))

	faster := storedRun(t, dir, func(r *Run) { r.Trial.Steady.Acked.Rate = 1500; r.Trial.Steady.Target.PerRecord.CPUNs = 250 })
	a, err := HoldAgainst(kept, faster)
	require.NoError(t, err)
	require.Empty(t, a.Unlike)
	require.Equal(t, AgainstValue{"throughput", 1000, 1500, 1.5}, a.Figures[0])
	require.Contains(t, a.Figures, AgainstValue{"cpu/record", 500, 250, 0.5})

	other := storedRun(t, dir, func(r *Run) {
		r.Env.CPUModel, r.Env.MemoryCost, r.Trial.Promise, r.Scenario = "b", 2, "group", []byte("name: x\nseed: 2\n")
	})
	a, err = HoldAgainst(kept, other)
	require.NoError(t, err)
	require.Equal(t, []string{"CPU: was a, is b", "promise of an acknowledgement: was page-cache, is group",
		"memory: was unknown, is cold", "the scenario itself: see scenario.yaml of both"}, a.Unlike)

	failed := storedRun(t, dir, func(r *Run) { r.Verdict.Outcome = Fail })
	_, err = KeepBaseline(kept, failed)
	require.ErrorContains(t, err, "a baseline is a run that passed")
}
