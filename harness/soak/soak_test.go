package soak

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// samples is a soak's memory in MiB.
func samples(mib ...int64) *Report {
	r := &Report{}
	for _, m := range mib {
		r.Samples = append(r.Samples, Sample{RSS: m << 20})
	}
	return r
}

// TestMemoryThirds: what grows for as long as one looks is told from what is
// large now and then.
func TestMemoryThirds(t *testing.T) {
	grows := func(r *Report) bool {
		_, second, last := r.memory()
		return last > int64(float64(second)*growth)+growthSlop
	}
	require.False(t, grows(samples(20, 30, 40, 40, 40, 40, 40, 41, 40)))
	require.False(t, grows(samples(20, 90, 40, 40, 90, 40, 40, 41, 90)), "peaks")
	require.True(t, grows(samples(20, 30, 40, 50, 60, 70, 80, 90, 100)))
	most, _, _ := samples(1, 7, 3).memory()
	require.EqualValues(t, 7<<20, most)
}

// TestVerdict: a machine that was busy excuses latency and nothing else.
func TestVerdict(t *testing.T) {
	r := &Report{Checks: []Check{{Passed: true}, {Environment: true}}}
	require.False(t, r.Passed())
	require.False(t, r.Failed())
	r.Checks = append(r.Checks, Check{})
	require.True(t, r.Failed())
}

func TestOwnCPU(t *testing.T) {
	all := machineCPU()
	require.Positive(t, all)
	require.Less(t, processCPU(1), all)
	require.Zero(t, processCPU(-1))
}
