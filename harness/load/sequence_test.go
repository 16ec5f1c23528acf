package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFingerprint: a seed makes the same stream, and everything that changes
// the stream changes the fingerprint.
func TestFingerprint(t *testing.T) {
	base := func() Spec {
		s := small("kgo")
		s.Keys = Keys{Distribution: Zipf, Count: 100}
		s.Payload.Size = Size{Distribution: Weighted, Weights: []Weight{{100, 9}, {1000, 1}}}
		return s
	}
	print := func(change func(*Spec)) string {
		s := base()
		change(&s)
		p, err := Foresee(s)
		require.NoError(t, err)
		return p.Fingerprint
	}
	same := print(func(*Spec) {})
	require.Equal(t, same, print(func(s *Spec) { s.Consumers.Groups = 3 }), "readers change nothing")
	seen := map[string]bool{same: true}
	for name, change := range map[string]func(*Spec){
		"seed":   func(s *Spec) { s.Seed++ },
		"rate":   func(s *Spec) { s.Phases[1].Pacer = Constant(10001) },
		"length": func(s *Spec) { s.Phases[1].Len += time.Millisecond },
		"keys":   func(s *Spec) { s.Keys.Exponent = 1.2 },
		"sizes":  func(s *Spec) { s.Payload.Size.Weights[1].Bytes = 1001 },
		"count":  func(s *Spec) { s.Producers.Count = 3 },
		"parts":  func(s *Spec) { s.Topics[0].Partitions = 4 },
	} {
		got := print(change)
		require.False(t, seen[got], name)
		seen[got] = true
	}
}

// TestWeightedSizes come as often as they say.
func TestWeightedSizes(t *testing.T) {
	p, err := newPool(Payload{Generator: Random, PoolBytes: 4 << 20,
		Size: Size{Distribution: Weighted, Weights: []Weight{{100, 70}, {1000, 25}, {10000, 5}}}}, 1)
	require.NoError(t, err)
	n := map[int]int{}
	for i := range p.len() {
		n[len(p.value(i))]++
	}
	require.Len(t, n, 3)
	require.InDelta(t, 0.70, float64(n[100])/float64(p.len()), 0.02)
	require.InDelta(t, 0.05, float64(n[10000])/float64(p.len()), 0.01)
}
