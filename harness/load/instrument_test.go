package load

import (
	"context"
	"fmt"
	"sort"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// bubble runs a test in fake time: a second costs nothing, and what happens at
// the same moment happens at the same nanosecond, so that latencies can be
// computed and compared.
func bubble(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(time.Minute) // the target's long polls end
			f(t)
		})
	})
}

// same compares every percentile that matters with the true one.
func same(t *testing.T, truth []time.Duration, h *Histogram, what string) {
	t.Helper()
	sort.Slice(truth, func(i, j int) bool { return truth[i] < truth[j] })
	require.EqualValues(t, len(truth), h.Count(), what)
	for _, p := range []float64{1, 10, 50, 75, 90, 95, 99, 99.9, 100} {
		rank := int(p/100*float64(len(truth)) + 0.5)
		near(t, truth[max(rank, 1)-1], h.Percentile(p), fmt.Sprintf("%s p%v", what, p))
	}
	var sum time.Duration
	for _, v := range truth {
		sum += v
	}
	require.InEpsilon(t, float64(sum)/float64(len(truth)), h.Mean(), 0.001, what+" mean")
}

// oneByOne is a spec in which every record is a batch of its own, so that what
// happens to each can be computed.
func oneByOne(client string, rate float64, steady time.Duration) Spec {
	s := small(client)
	s.Topics = []Topic{{"events", 1}}
	s.Producers = Producers{Count: 1, Acks: AcksLeader, BatchBytes: 300, Retries: -1, MaxInFlight: 1 << 10, MaxBuffered: 1 << 20}
	s.Phases = []Phase{
		{Kind: Warmup, Len: 100 * time.Millisecond, Pacer: Constant(rate)},
		{Kind: Steady, Len: steady, Pacer: Constant(rate)},
		{Kind: Drain, Len: time.Minute},
	}
	return s
}

// TestStallIsSeenByAllWhoMetIt: a target that stands still for half a second
// delays every record intended in that time, and not only those that a client
// happened to send. That is the whole point of an open loop.
func TestStallIsSeenByAllWhoMetIt(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			target := newSynthetic(Topic{"events", 1})
			s := oneByOne(client, 1000, 4*time.Second)
			s.Brokers, s.env = []string{"synthetic:9092"}, target.env()
			now := time.Now()
			target.stalls = []stall{
				{now.Add(time.Second), now.Add(1500 * time.Millisecond)},
				{now.Add(2 * time.Second), now.Add(2030 * time.Millisecond)},
			}
			res, err := Run(context.Background(), s)
			require.NoError(t, err)
			require.Zero(t, res.Ledger.Violations())
			ph := res.Phases[1]
			var truth []time.Duration
			for i := range ph.Scheduled {
				at := res.Started.Add(ph.Start + ph.Phase.Pacer.At(i))
				var wait time.Duration
				for _, st := range target.stalls {
					if !at.Before(st.from) && at.Before(st.to) {
						wait = st.to.Sub(at)
					}
				}
				truth = append(truth, wait)
			}
			require.EqualValues(t, 4000, len(truth))
			same(t, truth, ph.Latency[Ack], "ack")
			same(t, truth, ph.Latency[EndToEnd], "e2e")
			require.InDelta(t, float64(500*time.Millisecond), float64(ph.Latency[Ack].Max()), float64(2*time.Millisecond))
			require.Zero(t, ph.Late, "the target's stall is not the generator's fault")
		})
	}
}

// TestOverload: a target that serves 1,000 requests a second is asked for 1,250.
// The queue grows, and so must the latencies, by the schedule and not by what
// was sent.
func TestOverload(t *testing.T) {
	bubble(t, "lean", func(t *testing.T) {
		target := newSynthetic(Topic{"events", 1})
		target.service = time.Millisecond
		s := oneByOne("lean", 1250, 4*time.Second)
		s.Brokers, s.env = []string{"synthetic:9092"}, target.env()
		res, err := Run(context.Background(), s)
		require.NoError(t, err)
		require.Zero(t, res.Ledger.Violations())
		// One server, first come first served.
		var truth []time.Duration
		var free time.Duration
		for k := range 2 {
			ph := res.Phases[k]
			for i := range ph.Scheduled {
				at := ph.Start + ph.Phase.Pacer.At(i)
				free = max(free, at) + target.service
				if k == 1 {
					truth = append(truth, free-at)
				}
			}
		}
		ph := res.Phases[1]
		same(t, truth, ph.Latency[Ack], "ack")
		same(t, truth, ph.Latency[EndToEnd], "e2e")
		require.Greater(t, ph.Latency[Ack].Max(), 900*time.Millisecond)
		require.InDelta(t, 4000, ph.Acked.Records, 10, "what was acknowledged in the phase is what the target can")
		require.True(t, res.Drained)
		near(t, res.Phases[2].Latency[Ack].Max(), 0, "nothing is intended in the drain")
		require.InDelta(t, float64(truth[len(truth)-1]), float64(res.DrainTime), float64(5*time.Millisecond))
	})
}

// TestFaultsAreCaught: each kind of fault, one batch in 20, is counted as what
// it is, and nothing else is.
func TestFaultsAreCaught(t *testing.T) {
	for _, client := range Clients() {
		for _, fault := range []string{"none", "lose", "double", "swap", "damage", "damage-crc", "misplace"} {
			if client == "kgo" && fault == "damage-crc" {
				continue // see TestRefusedForEver
			}
			bubble(t, client+"/"+fault, func(t *testing.T) {
				target := newSynthetic(Topic{"events", 2})
				target.fault, target.every, target.last = fault, 20, 200
				if fault == "none" {
					target.every = 0
				}
				s := small(client)
				s.Topics = target.topics
				s.Consumers.Groups = 2
				if fault == "swap" { // batches of different producers have no order
					s.Producers.Count = 1
				}
				s.Producers.Linger = 10 * time.Millisecond
				s.Phases = []Phase{{Kind: Steady, Len: 3 * time.Second, Pacer: Constant(4000)}, {Kind: Drain, Len: time.Minute}}
				s.Brokers, s.env = []string{"synthetic:9092"}, target.env()
				res, err := Run(context.Background(), s)
				require.NoError(t, err)
				l := res.Ledger
				both := 2 * target.faulted
				damaged := both
				if client == "kgo" { // tells which record of the batch it was
					damaged = 2 * 10
				}
				want := map[string][4]int64{
					"none": {}, "lose": {both}, "double": {0, both}, "swap": {0, 0, both}, "damage": {0, 0, 0, damaged}, "damage-crc": {0, 0, 0, damaged},
				}[fault]
				require.Equal(t, want, [4]int64{l.Lost, l.Duplicated, l.Reordered, l.Corrupt}, "%+v", l)
				switch fault {
				case "misplace": // each stream, for each group
					require.Positive(t, l.Misplaced, "%+v", l)
					require.True(t, res.Drained)
				default:
					require.Zero(t, l.Misplaced)
				}
				require.True(t, l.Checked)
				require.Zero(t, l.Unchecked+l.Failed+l.Unacked+l.Foreign)
				if fault == "none" {
					require.Empty(t, l.Examples)
					return
				}
				require.Greater(t, target.batches, 250, "a swapped batch needs one after it")
				require.NotEmpty(t, l.Examples)
				kind := map[string]string{"lose": "lost", "double": "duplicated", "swap": "reordered", "damage": "corrupt", "damage-crc": "corrupt", "misplace": "misplaced"}[fault]
				for _, e := range l.Examples {
					require.Equal(t, kind, e.Kind)
					if kind != "misplaced" { // of which only the sum may be known
						require.GreaterOrEqual(t, e.Offset, int64(0))
					}
				}
			})
		}
	}
}

// TestRefusedIsSoonTriedAgain: what a target refuses once, and takes when asked
// again, is late by the client's back-off and not by seconds.
func TestRefusedIsSoonTriedAgain(t *testing.T) {
	bubble(t, "kgo", func(t *testing.T) {
		target := newSynthetic(Topic{"events", 2})
		target.refuse = 40
		s := small("kgo")
		s.Topics, s.Producers.Linger = target.topics, 10*time.Millisecond
		s.Phases = []Phase{{Kind: Steady, Len: 10 * time.Second, Pacer: Constant(1000)}, {Kind: Drain, Len: time.Minute}}
		s.Brokers, s.env = []string{"synthetic:9092"}, target.env()
		res, err := Run(context.Background(), s)
		require.NoError(t, err)
		require.Greater(t, target.produced, 400)
		require.Zero(t, res.Ledger.Violations()+res.Ledger.Failed, "%+v", res.Ledger)
		require.Less(t, res.Phases[0].Latency[Ack].Max(), time.Second)
	})
}

// TestThrottleIsTold: a target that has clients wait by a quota is not slow, and
// the result says so, once.
func TestThrottleIsTold(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			target := newSynthetic(Topic{"events", 2})
			target.throttle = 100
			s := small(client)
			s.Topics, s.Producers.Linger = target.topics, 10*time.Millisecond
			s.Phases = []Phase{{Kind: Steady, Len: 2 * time.Second, Pacer: Constant(1000)}, {Kind: Drain, Len: time.Minute}}
			s.Brokers, s.env = []string{"synthetic:9092"}, target.env()
			res, err := Run(context.Background(), s)
			require.NoError(t, err)
			require.Len(t, res.Complaints, 1)
			require.Equal(t, "throttle", res.Complaints[0].What)
			require.Greater(t, res.Complaints[0].Count, int64(5))
		})
	}
}
