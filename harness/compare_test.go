package harness

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTargetLabels: names that leave room for the figures, and tell targets apart.
func TestTargetLabels(t *testing.T) {
	require.Equal(t, []string{"child", "external:10.0.0.1:9092", "kafka", "command:b/kafka.yaml"},
		targetLabels([]string{"child", "external:10.0.0.1:9092", "command:a/kafka.yaml", "command:b/kafka.yaml"}))
}

// TestCeilingIsTakenOncePerLoad: alternatives that differ in the broker alone
// share the generator's ceiling; another batch size has its own.
func TestCeilingIsTakenOncePerLoad(t *testing.T) {
	base, err := Load("quickstart", nil)
	require.NoError(t, err)
	var alts []alternative
	for _, set := range []string{"read.path=sendfile", "read.path=copy", "producers.batch.size=16KiB", "payload.size=2KiB", "keys.count=5"} {
		s, err := base.with(set)
		require.NoError(t, err)
		alts = append(alts, alternative{opts: RunOptions{Scenario: s}})
	}
	ceilings := func() (list []float64) {
		for _, a := range alts {
			list = append(list, a.opts.ceiling)
		}
		return list
	}
	shareCeiling(alts, 0, 0) // could not be taken
	require.Equal(t, []float64{0, 0, 0, 0, 0}, ceilings())
	shareCeiling(alts, 0, 5)
	require.Equal(t, []float64{5, 5, 0, 0, 0}, ceilings())
	shareCeiling(alts, 2, 7)
	require.Equal(t, []float64{5, 5, 7, 0, 0}, ceilings())
}
