package load

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	for _, c := range Clients() {
		s := small(c)
		s.Brokers = []string{"127.0.0.1:1"}
		require.NoError(t, s.Validate())
	}
	for want, change := range map[string]func(*Spec){
		`client "kafkacat"`:        func(s *Spec) { s.Client = "kafkacat" },
		"no broker":                func(s *Spec) { s.Brokers = nil },
		"no topic":                 func(s *Spec) { s.Topics = nil },
		"at least one partition":   func(s *Spec) { s.Topics[0].Partitions = 0 },
		"partitions are more than": func(s *Spec) { s.Topics[0].Partitions = 1 << 20 },
		"same number":              func(s *Spec) { s.Keys.Distribution = Zipf; s.Topics = []Topic{{"a", 1}, {"b", 2}} },
		"producer count":           func(s *Spec) { s.Producers.Count = 0 },
		"acks":                     func(s *Spec) { s.Producers.Acks = 2 },
		"idempotent producers":     func(s *Spec) { s.Producers.Idempotent = true },
		"never sends a batch again": func(s *Spec) {
			s.Client, s.Producers.Idempotent, s.Producers.Acks = "lean", true, AcksAll
		},
		"linger":              func(s *Spec) { s.Producers.Linger = -1 },
		"compression":         func(s *Spec) { s.Producers.Compression = "brotli" },
		"in flight":           func(s *Spec) { s.Producers.MaxInFlight = -1 },
		"batch of":            func(s *Spec) { s.Producers.BatchBytes = 1 << 40 },
		"groups":              func(s *Spec) { s.Consumers.Groups = -1 },
		"one member":          func(s *Spec) { s.Consumers.Members = 0 },
		"fetch sizes":         func(s *Spec) { s.Consumers.FetchBytes = -1 },
		"payload generator":   func(s *Spec) { s.Payload.Generator = "lorem" },
		"payload size 0":      func(s *Spec) { s.Payload.Size.Mean = 0 },
		"no range":            func(s *Spec) { s.Payload.Size = Size{Distribution: Uniform, Min: 5, Max: 4} },
		"mean size":           func(s *Spec) { s.Payload.Size = Size{Distribution: LogNormal, Min: 5, Max: 10, Mean: 50} },
		"size distribution":   func(s *Spec) { s.Payload.Size.Distribution = "gamma" },
		"no path":             func(s *Spec) { s.Payload = Payload{Generator: File} },
		"compressibility":     func(s *Spec) { s.Payload.Compressibility = 0.5 },
		"no phase sends":      func(s *Spec) { s.Phases = s.Phases[2:] },
		"needs a length":      func(s *Spec) { s.Phases[0].Len = 0 },
		"only the last phase": func(s *Spec) { s.Phases[0].Kind = Drain },
		"no known kind":       func(s *Spec) { s.Phases[0].Kind = 9 },
	} {
		s := small("kgo")
		s.Brokers = []string{"127.0.0.1:1"}
		change(&s)
		err := s.Validate()
		require.ErrorContains(t, err, want)
		_, err = Run(context.Background(), s)
		require.ErrorContains(t, err, want)
	}
	all := (&Spec{}).Validate()
	require.Greater(t, strings.Count(all.Error(), "\n"), 3, "every fault at once")
}

func TestUsage(t *testing.T) {
	m := newMeter()
	from := m.read()
	garbage := make([][]byte, 0, 1000)
	for range 1000 {
		garbage = append(garbage, make([]byte, 1000))
	}
	spin := time.Now()
	for time.Since(spin) < 20*time.Millisecond {
		garbage[0][0]++
	}
	u := m.read().since(from)
	// The runtime counts what its processors have handed in: not quite all.
	require.Greater(t, u.Allocs, int64(500))
	require.Greater(t, u.AllocB, int64(500*1000))
	require.Positive(t, u.CPU)
	require.Greater(t, u.RSS, int64(1<<20))
	require.GreaterOrEqual(t, u.Steal, 0.)
	require.LessOrEqual(t, u.Steal, 1.)
}

// TestWaiterIsNeverEarly, and does come back.
func TestWaiterIsNeverEarly(t *testing.T) {
	w, err := newWaiter()
	require.NoError(t, err)
	defer w.close()
	for _, d := range []time.Duration{-1, 0, 1, 10 * time.Microsecond, time.Millisecond, 7 * time.Millisecond} {
		for range 5 {
			began := time.Now()
			w.sleep(d)
			require.GreaterOrEqual(t, time.Since(began), d)
		}
	}
}
