package load

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// fake is a broker of franz-go's own making: an independent reader of what we
// send.
func fake(t testing.TB, topics ...Topic) []string {
	t.Helper()
	opts := []kfake.Opt{kfake.NumBrokers(1)}
	for _, tp := range topics {
		opts = append(opts, kfake.SeedTopics(int32(tp.Partitions), tp.Name))
	}
	c, err := kfake.NewCluster(opts...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

// small is a spec that takes about a second.
func small(client string) Spec {
	return Spec{
		Client: client,
		Topics: []Topic{{"events", 3}},
		Payload: Payload{
			Generator: JSONEvents, Size: Size{Mean: 200}, PoolBytes: 128 << 10,
		},
		Producers: Producers{Count: 2, Acks: AcksLeader, Linger: time.Millisecond, BatchBytes: 16 << 10, Retries: -1},
		Consumers: Consumers{Groups: 1, Members: 1, MaxWait: 50 * time.Millisecond},
		Phases: []Phase{
			{Kind: Warmup, Len: 200 * time.Millisecond, Pacer: Constant(2000)},
			{Kind: Steady, Len: 500 * time.Millisecond, Pacer: Constant(10000)},
			{Kind: Drain, Len: 20 * time.Second},
		},
		Seed: 42,
	}
}

// whole checks what must hold of every run in which nothing went wrong.
func whole(t *testing.T, s Spec, res *Result) {
	t.Helper()
	require.True(t, res.Drained, "%+v", res.Ledger)
	require.False(t, res.Stopped)
	require.Zero(t, res.Unsent)
	require.Len(t, res.Phases, len(s.Phases))
	groups := int64(max(s.Consumers.Groups, 1))
	var sent, acked, consumed, scheduled int64
	for i, ph := range res.Phases {
		require.Zero(t, ph.Errors)
		sent, acked, consumed, scheduled = sent+ph.Sent.Records, acked+ph.Acked.Records, consumed+ph.Consumed.Records, scheduled+ph.Scheduled
		for m, h := range ph.Latency {
			require.Zero(t, h.OutOfRange(), "phase %d %v", i, Metric(m))
			want := ph.Scheduled
			if Metric(m) == EndToEnd {
				want *= int64(s.Consumers.Groups)
			}
			require.Equal(t, want, h.Count(), "phase %d %v", i, Metric(m))
		}
	}
	require.Equal(t, scheduled, sent)
	require.Equal(t, sent, acked)
	require.Equal(t, sent*int64(s.Consumers.Groups), consumed)
	l := res.Ledger
	require.Empty(t, l.Examples)
	require.Equal(t, LedgerReport{Checked: true, Sent: sent, Acknowledged: sent, Seen: sent * groups}, l)
	require.Positive(t, sent)
}

func TestRunAgainstFake(t *testing.T) {
	for _, client := range Clients() {
		for _, c := range []struct {
			name   string
			change func(*Spec)
		}{
			{"plain", func(*Spec) {}},
			{"keys and lz4", func(s *Spec) {
				s.Keys = Keys{Distribution: Zipf, Count: 100}
				s.Producers.Compression, s.Producers.Linger = "lz4", 50*time.Millisecond
			}},
			{"two topics, fan-out", func(s *Spec) {
				s.Topics = []Topic{{"events", 2}, {"others", 3}}
				s.Consumers.Groups, s.Consumers.Members = 2, 2
			}},
			{"read back after", func(s *Spec) { s.Consumers.Groups = 0 }},
			{"closed loop", func(s *Spec) {
				s.Phases = []Phase{{Kind: Steady, Len: 200 * time.Millisecond}, {Kind: Drain, Len: 20 * time.Second}}
			}},
			{"spinning, reno", func(s *Spec) { s.Spin, s.Congestion = 20*time.Microsecond, "reno" }},
			{"huge values", func(s *Spec) {
				s.Payload.Size, s.Payload.PoolBytes = Size{Mean: MaxValue}, 4<<20
				s.Phases[0].Pacer, s.Phases[1].Pacer = Constant(10), Constant(20)
			}},
			{"random with pause", func(s *Spec) {
				s.Payload = Payload{Generator: Random, Size: Size{Distribution: Uniform, Min: 1, Max: 5000}, Compressibility: 3, PoolBytes: 1 << 20}
				s.Phases[0].Kind, s.Phases[0].Pacer = Pause, nil
				s.Phases[1].Pacer = Ramp{0, 10000, time.Second}
			}},
		} {
			t.Run(client+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := small(client)
				c.change(&s)
				s.Brokers = fake(t, s.Topics...)
				s.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
				var phases []int
				s.OnPhase = func(p int) { phases = append(phases, p) }
				res, err := Run(context.Background(), s)
				require.NoError(t, err)
				whole(t, s, res)
				for i, p := range phases {
					require.Equal(t, i, p)
				}
				require.Len(t, phases, len(s.Phases)+1)
			})
		}
	}
}
