package load

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// steady is a spec of 3 s at 5,000 records a second from two producers.
func steady(client string, target *synthetic) Spec {
	s := small(client)
	s.Topics = target.topics
	s.Producers.Linger = 5 * time.Millisecond
	s.Phases = []Phase{{Kind: Steady, Len: 3 * time.Second, Pacer: Constant(5000)}, {Kind: Drain, Len: 10 * time.Second}}
	s.Brokers, s.env = []string{"synthetic:9092"}, target.env()
	return s
}

// TestBrokerKilled: the target dies and comes back. The schedule stands, what
// was due meanwhile is sent late and says so, what was on its way is
// unacknowledged, and nothing that was acknowledged is missing.
func TestBrokerKilled(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			target := newSynthetic(Topic{"events", 2})
			target.service = 2 * time.Millisecond // something is always on its way
			s := steady(client, target)
			s.Producers.Retries = -1
			time.AfterFunc(time.Second, target.kill)
			time.AfterFunc(2*time.Second, target.revive)
			res, err := Run(context.Background(), s)
			require.NoError(t, err)
			require.False(t, res.Stopped)
			require.Zero(t, res.Unsent)
			ph := res.Phases[0]
			require.EqualValues(t, 15000, ph.Scheduled)
			require.EqualValues(t, 15000, ph.Latency[ScheduleLag].Count(), "no arrival is dropped")
			l := res.Ledger
			require.EqualValues(t, 15000, l.Sent)
			require.EqualValues(t, l.Acknowledged, ph.Latency[Ack].Count())
			require.Zero(t, l.Lost+l.Corrupt+l.Unchecked, "%+v", l)
			require.Greater(t, ph.Latency[Ack].Max(), 900*time.Millisecond)
			require.Greater(t, ph.Latency[Ack].Percentile(85), 100*time.Millisecond, "all who were due meanwhile waited")
			if client == "lean" { // it sends nothing twice
				require.Positive(t, l.Failed)
				require.Less(t, l.Failed, int64(2000))
				require.EqualValues(t, l.Failed, ph.Errors+res.Phases[1].Errors)
				require.Positive(t, ph.Reconnects)
				require.Zero(t, l.Violations(), "%+v", l)
			}
		})
	}
}

// TestBrokerGone: the target dies for good. The run gives up when it was told
// to, and says what it knows.
func TestBrokerGone(t *testing.T) {
	for _, client := range Clients() {
		for _, c := range []struct {
			name string
			give time.Duration
			want time.Duration // of the whole run, at most
		}{{"give up", time.Second, 4 * time.Second}, {"no limit", 0, 16 * time.Second}} {
			bubble(t, client+"/"+c.name, func(t *testing.T) {
				target := newSynthetic(Topic{"events", 2})
				target.service = 2 * time.Millisecond
				s := steady(client, target)
				s.GiveUp = c.give
				time.AfterFunc(time.Second, target.kill)
				began := time.Now()
				res, err := Run(context.Background(), s)
				require.LessOrEqual(t, time.Since(began), c.want)
				if c.give > 0 {
					require.ErrorIs(t, err, ErrTargetGone)
				} else {
					require.NoError(t, err)
				}
				require.False(t, res.Stopped)
				l := res.Ledger
				require.Positive(t, l.Failed)
				require.True(t, client == "kgo" || !res.Drained && res.Unsent > 0)
				require.Greater(t, l.Acknowledged, int64(4000))
				require.Zero(t, l.Violations(), "nobody could be asked: %+v", l)
				require.EqualValues(t, l.Acknowledged-l.Unchecked, l.Seen)
				var due int64
				for _, ph := range res.Phases {
					due += ph.Scheduled
				}
				var handed int64
				for _, ph := range res.Phases {
					handed += ph.Sent.Records
				}
				require.Equal(t, due, handed+res.Unsent)
			})
		}
	}
}

// TestCancelled: a run that is stopped ends at once and keeps what it measured.
func TestCancelled(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			target := newSynthetic(Topic{"events", 2})
			s := steady(client, target)
			ctx, cancel := context.WithCancel(context.Background())
			var samples []Sample
			s.OnSample = func(x Sample) { samples = append(samples, x) }
			time.AfterFunc(1500*time.Millisecond, cancel)
			began := time.Now()
			res, err := Run(ctx, s)
			require.NoError(t, err)
			require.True(t, res.Stopped)
			require.LessOrEqual(t, time.Since(began), 1500*time.Millisecond+2*grace)
			require.Len(t, res.Phases, 2)
			ph := res.Phases[0]
			require.InDelta(t, float64(1450*time.Millisecond), float64(ph.Len), float64(20*time.Millisecond))
			require.InDelta(t, 1.45*5000, ph.Scheduled, 100)
			require.Equal(t, res.Ledger.Sent, ph.Latency[ScheduleLag].Count())
			require.Zero(t, res.Ledger.Violations())
			require.GreaterOrEqual(t, len(samples), 2)
			var sent int64
			for _, x := range samples {
				sent += x.Sent.Records
			}
			require.Equal(t, ph.Sent.Records+res.Phases[1].Sent.Records, sent)
		})
	}
}

// TestCurtailed: the sending ends when it is told to, and the drain takes its
// time all the same.
func TestCurtailed(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			target := newSynthetic(Topic{"events", 2})
			s := steady(client, target)
			enough := make(chan struct{})
			s.Curtail = enough
			now := time.Now()
			target.stalls = []stall{{now.Add(900 * time.Millisecond), now.Add(4 * time.Second)}}
			time.AfterFunc(time.Second, func() { close(enough) })
			res, err := Run(context.Background(), s)
			require.NoError(t, err)
			require.False(t, res.Stopped)
			require.InDelta(t, float64(time.Second), float64(res.Phases[0].Len), float64(100*time.Millisecond))
			require.InDelta(t, 5000, res.Phases[0].Scheduled, 500)
			require.Greater(t, res.DrainTime, 2900*time.Millisecond)
			require.Zero(t, res.Ledger.Violations()+res.Ledger.Unchecked+res.Ledger.Failed)
			require.Equal(t, res.Phases[0].Scheduled, res.Ledger.Seen+res.Unsent)
		})
	}
}

// TestLogCutBelowItsAcknowledgements: a target that forgets its tail has lost
// it, and the run does not wait for it.
func TestLogCutBelowItsAcknowledgements(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			target := newSynthetic(Topic{"events", 1})
			s := steady(client, target)
			s.Consumers.Groups = 0
			// All is acknowledged by the time the tail is cut.
			s.Phases[0].Pacer = NewSequence(Stretch{Constant(5000), 2 * time.Second}, Stretch{Constant(0), 0})
			var cut int64
			s.OnPhase = func(p int) {
				if p != 1 {
					return
				}
				target.mu.Lock()
				defer target.mu.Unlock()
				l := target.logs[partition{"events", 0}]
				last := l.batches[len(l.batches)-1]
				l.batches = l.batches[:len(l.batches)-1]
				cut = int64(last[60]) | int64(last[59])<<8
				l.end -= cut
			}
			res, err := Run(context.Background(), s)
			require.NoError(t, err)
			require.False(t, res.Drained)
			require.Less(t, res.DrainTime, 5*time.Second)
			require.EqualValues(t, cut, res.Ledger.Lost, "%+v", res.Ledger)
			require.EqualValues(t, cut, res.Ledger.Violations())
		})
	}
}

// TestUnacknowledged: with acks=0 nothing is promised, and all the same it is
// read back.
func TestUnacknowledged(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			target := newSynthetic(Topic{"events", 2})
			target.fault, target.every, target.last = "lose", 10, 1000
			s := steady(client, target)
			s.Producers.Acks = AcksNone
			s.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
			res, err := Run(context.Background(), s)
			require.NoError(t, err)
			l := res.Ledger
			require.Zero(t, l.Violations())
			require.EqualValues(t, 15000, l.Sent)
			require.Zero(t, l.Acknowledged+l.Failed)
			require.Positive(t, target.faulted)
			require.EqualValues(t, 15000-target.faulted, l.Seen)
			require.EqualValues(t, l.Seen, l.Unacked)
			require.EqualValues(t, 15000, res.Phases[0].Latency[Ack].Count())
			require.Less(t, res.DrainTime, 5*time.Second)
		})
	}
}

// TestNothingThere: a run against nothing, or without its topic, does not begin.
func TestNothingThere(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			target := newSynthetic(Topic{"events", 2})
			s := steady(client, target)
			s.Topics = []Topic{{"others", 2}}
			_, err := Run(context.Background(), s)
			require.ErrorContains(t, err, "others")
			s.Topics = []Topic{{"events", 3}}
			_, err = Run(context.Background(), s)
			require.ErrorContains(t, err, "needs partition 2")
			target.kill()
			began := time.Now()
			_, err = Run(context.Background(), s)
			require.ErrorContains(t, err, "refused")
			require.LessOrEqual(t, time.Since(began), 2*askTimeout)
		})
	}
}
