package load_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/core"
	"millrace/harness/load"
)

// broker is our own, in this process.
func broker(t *testing.T, topics ...string) string {
	cfg := core.Defaults()
	require.NoError(t, core.Knobs(&cfg).Apply(map[string]string{"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "100",
		"group.consumer.session.timeout.ms": "1s", "group.consumer.min.session.timeout.ms": "1s",
		"group.consumer.heartbeat.interval.ms": "100ms", "group.consumer.min.heartbeat.interval.ms": "100ms"}))
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := core.Start(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Stop(context.Background())) })
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	for _, topic := range topics {
		_, err = kadm.NewClient(cl).CreateTopic(context.Background(), 4, 1, nil, topic)
		require.NoError(t, err)
	}
	return b.Addr()
}

func groupSpec(addr string) load.Spec {
	return load.Spec{
		Client: "kgo", Brokers: []string{addr}, Topics: []load.Topic{{Name: "in", Partitions: 4}}, Seed: 7,
		Payload:   load.Payload{Generator: load.JSONEvents, Size: load.Size{Mean: 200}, PoolBytes: 128 << 10, Headers: 2, HeaderBytes: 8},
		Producers: load.Producers{Count: 2, Acks: load.AcksAll, Idempotent: true, Linger: 2 * time.Millisecond, BatchBytes: 16 << 10, Retries: -1},
		Consumers: load.Consumers{Groups: 1, Members: 2, Protocol: load.Classic, MaxWait: 50 * time.Millisecond, SessionTimeout: time.Second, Commit: 100 * time.Millisecond},
		Phases: []load.Phase{
			{Kind: load.Steady, Len: time.Second, Pacer: load.Constant(2000)},
			{Kind: load.Drain, Len: 30 * time.Second},
		},
	}
}

func clean(t *testing.T, res *load.Result, acked int64) {
	t.Helper()
	l := res.Ledger
	require.True(t, res.Drained, "%+v %v", l, res.Events)
	require.True(t, l.Checked)
	require.EqualValues(t, acked, l.Acknowledged)
	require.Zero(t, l.Violations()+l.Unchecked+l.Foreign+l.Unacked, "%+v", l)
}

// TestGroupMembersComeAndGo: members join, leave in order, and vanish; sockets of
// producers are cut. Every record is seen, and what is seen twice is seen at the
// same offset.
func TestGroupMembersComeAndGo(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{load.Classic, load.ServerSide} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			comeAndGo(t, protocol)
		})
	}
}

func comeAndGo(t *testing.T, protocol string) {
	s := groupSpec(broker(t, "in"))
	s.Consumers.Protocol = protocol
	s.Phases[0].Len = 2 * time.Second
	s.Timeline = []load.Action{
		{At: 300 * time.Millisecond, Do: load.Join, Count: 2},
		{At: 900 * time.Millisecond, Do: load.Leave, Count: 1},
		{At: 1000 * time.Millisecond, Do: load.Cut, Count: 2},
		{At: 1300 * time.Millisecond, Do: load.Vanish, Count: 1},
	}
	res, err := load.Run(context.Background(), s)
	require.NoError(t, err)
	clean(t, res, 4000)
	require.EqualValues(t, 4000, res.Ledger.Seen-res.Ledger.Redelivered)
	require.Len(t, res.Events, 4)
}

// TestHold: a group that stops reading falls behind, and catches up.
func TestHold(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{load.Direct, load.Classic} {
		s := groupSpec(broker(t, "in"))
		s.Consumers.Groups, s.Consumers.Protocol = 2, protocol
		s.Timeline = []load.Action{{At: 200 * time.Millisecond, Do: load.Hold, Group: 1, For: 500 * time.Millisecond}}
		released := 0
		s.OnRelease = func() { released++ }
		res, err := load.Run(context.Background(), s)
		require.NoError(t, err)
		clean(t, res, 2000)
		require.Equal(t, 1, released)
		require.Greater(t, res.Phases[0].LagMax, int64(500), "%v", res.Events)
		last := res.Events[len(res.Events)-1].What
		require.True(t, strings.HasPrefix(last, "group 1 had caught up after"), last)
	}
}

// TestPhaseStrength: a phase's own number of producers and members.
func TestPhaseStrength(t *testing.T) {
	t.Parallel()
	s := groupSpec(broker(t, "in"))
	s.Phases = []load.Phase{
		{Kind: load.RampUp, Len: 300 * time.Millisecond, Pacer: load.Ramp{From: 100, To: 2000, Over: 300 * time.Millisecond}, Producers: 1},
		{Kind: load.Steady, Len: 300 * time.Millisecond, Pacer: load.Constant(2000), Members: 3},
		{Kind: load.Burst, Len: 300 * time.Millisecond, Pacer: load.Constant(5000), Members: 1},
		{Kind: load.Drain, Len: 30 * time.Second},
	}
	res, err := load.Run(context.Background(), s)
	require.NoError(t, err)
	clean(t, res, 315+600+1500)
}

// TestTransactions: what was aborted is seen by nobody who reads committed
// records, and all the rest by everybody.
func TestTransactions(t *testing.T) {
	t.Parallel()
	s := groupSpec(broker(t, "in"))
	s.Producers.Transaction = load.Transaction{Records: 50, Abort: 0.3}
	s.Consumers.Committed = true
	s.Verify = func() bool { return true }
	res, err := load.Run(context.Background(), s)
	require.NoError(t, err)
	l := res.Ledger
	require.Positive(t, l.Aborted)
	require.Zero(t, l.Aborted%50)
	require.True(t, l.Verified)
	clean(t, res, 2000-l.Aborted)
	require.EqualValues(t, l.Acknowledged, res.Phases[0].Latency[load.Ack].Count())

	// The negative control: who reads all sees what was aborted.
	s = groupSpec(s.Brokers[0])
	s.Producers.Transaction = load.Transaction{Records: 50, Abort: 0.3}
	res, err = load.Run(context.Background(), s)
	require.NoError(t, err)
	require.Positive(t, res.Ledger.Aborted)
	require.Equal(t, res.Ledger.Aborted, res.Ledger.Unacked)
	require.Zero(t, res.Ledger.Violations())
}

// TestTransform: consume-transform-produce, with workers that abort some of
// their transactions, shows each record once to who reads the output.
func TestTransform(t *testing.T) {
	t.Parallel()
	s := groupSpec(broker(t, "in", "out"))
	s.Transform = load.Transform{Workers: 2, Outputs: []load.Topic{{Name: "out", Partitions: 4}}, Interval: 50 * time.Millisecond, Abort: 0.2}
	s.Consumers.Committed, s.Consumers.Protocol = true, load.Direct
	s.Verify = func() bool { return true }
	res, err := load.Run(context.Background(), s)
	require.NoError(t, err)
	clean(t, res, 2000)
	require.EqualValues(t, 4000, res.Ledger.Seen)
	require.EqualValues(t, 2000, res.Phases[0].Latency[load.EndToEnd].Count())

	// The negative control: who reads all sees records twice.
	s.Consumers.Committed = false
	_, err = load.Run(context.Background(), s)
	require.ErrorContains(t, err, "committed records only")
}

// TestHeaders: both clients send the headers that are asked for.
func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, client := range load.Clients() {
		s := groupSpec(broker(t, "in"))
		s.Client, s.Consumers, s.Producers.Idempotent = client, load.Consumers{}, false
		s.Phases[0].Len = 100 * time.Millisecond
		res, err := load.Run(context.Background(), s)
		require.NoError(t, err)
		clean(t, res, 200)
		cl, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...), kgo.ConsumeTopics("in"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		require.NoError(t, err)
		defer cl.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		rec := cl.PollFetches(ctx).Records()[0]
		require.Equal(t, []kgo.RecordHeader{{Key: "h0", Value: []byte("abcdefgh")}, {Key: "h1", Value: []byte("bcdefghi")}}, rec.Headers[:2], client)
	}
}
