package load_test

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/harness/load"
)

// agents serves n agents on loopback; stop ends one of them.
func agents(t *testing.T, n int, change func(i int, a *load.Agent)) (f load.Fleet, stop []func()) {
	t.Helper()
	f = load.Fleet{Version: "test"}
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		a := &load.Agent{Version: "test", Env: json.RawMessage(`{"cpus":2}`)}
		if change != nil {
			change(i, a)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var serving sync.WaitGroup
		serving.Go(func() { _ = a.Serve(ctx, l) })
		t.Cleanup(func() { cancel(); serving.Wait() })
		f.Agents = append(f.Agents, load.Remote{Addr: l.Addr().String(), Token: a.Token})
		stop = append(stop, cancel)
	}
	return f, stop
}

func shared(client, addr string) load.Spec {
	return load.Spec{
		Client: client, Brokers: []string{addr}, Topics: []load.Topic{{Name: "events", Partitions: 4}},
		Payload:   load.Payload{Generator: load.JSONEvents, Size: load.Size{Mean: 300}, PoolBytes: 128 << 10},
		Keys:      load.Keys{Distribution: load.Uniform, Count: 1000},
		Producers: load.Producers{Count: 3, Acks: load.AcksAll, Linger: 5 * time.Millisecond, BatchBytes: 16 << 10, Retries: -1},
		Consumers: load.Consumers{Groups: 1, Members: 4, MaxWait: 50 * time.Millisecond},
		Phases: []load.Phase{
			{Kind: load.Warmup, Len: 100 * time.Millisecond, Pacer: load.Constant(4000)},
			{Kind: load.Steady, Len: 500 * time.Millisecond, Pacer: load.Ramp{From: 2000, To: 18000, Over: 500 * time.Millisecond}},
			{Kind: load.Drain, Len: 20 * time.Second},
		},
		Seed: 42,
	}
}

// TestTwoAgents: what two agents do adds up to what one generator would have
// done, with every client and every way to read.
func TestTwoAgents(t *testing.T) {
	for _, client := range load.Clients() {
		for name, change := range map[string]func(*load.Spec){
			"direct":    func(*load.Spec) {},
			"fan-out":   func(s *load.Spec) { s.Consumers.Groups, s.Consumers.Members = 2, 1 },
			"no acks":   func(s *load.Spec) { s.Producers.Acks = load.AcksNone },
			"read back": func(s *load.Spec) { s.Consumers = load.Consumers{} },
			"group":     func(s *load.Spec) { s.Consumers.Protocol = load.Classic },
		} {
			if client == "lean" && name == "group" {
				continue // it has no group protocol
			}
			t.Run(client+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := shared(client, broker(t, "events"))
				change(&s)
				f, _ := agents(t, 2, nil)
				var entered []int
				var sampled int64
				s.OnPhase = func(k int) { entered = append(entered, k) }
				s.OnSample = func(one load.Sample) { sampled += one.Sent.Records }
				res, parts, err := load.RunOver(context.Background(), s, f)
				require.NoError(t, err)
				require.Equal(t, []int{0, 1, 2, 3}, entered)
				var sent, acked, consumed int64
				for k, ph := range res.Phases {
					require.Equal(t, ph.Scheduled, ph.Latency[load.ScheduleLag].Count(), "phase %d", k)
					sent, acked, consumed = sent+ph.Sent.Records, acked+ph.Acked.Records, consumed+ph.Consumed.Records
				}
				require.EqualValues(t, 400, res.Phases[0].Scheduled)
				require.EqualValues(t, 5000, res.Phases[1].Scheduled)
				require.EqualValues(t, 5400, sent)
				require.EqualValues(t, 5400, sampled, "the samples tell of every record")
				require.EqualValues(t, 5400, acked)
				l := res.Ledger
				require.EqualValues(t, 5400*s.Consumers.Groups, consumed-l.Redelivered)
				require.True(t, l.Checked, "%+v", l)
				require.Zero(t, l.Violations()+l.Unchecked+l.Foreign+l.Failed, "%+v", l)
				require.True(t, res.Drained)
				require.Equal(t, []int{2, 1}, []int{parts[0].Producers, parts[1].Producers})

				// Histograms: what all have is what each had.
				for m := range res.Phases[1].Latency {
					sum := load.NewHistogram()
					for _, p := range parts {
						sum.Merge(p.Result.Phases[1].Latency[m])
					}
					require.Equal(t, sum.HDR().Distribution(), res.Phases[1].Latency[m].HDR().Distribution())
				}
				if name == "fan-out" { // one member, on one agent, which has two of the three producers
					e2e := res.Phases[1].Latency[load.EndToEnd].Count()
					require.Positive(t, e2e)
					require.Less(t, e2e, 2*res.Phases[1].Scheduled)
				}
			})
		}
	}
}

// TestHistogramsTravel: whatever values several histograms hold, what is made of
// their texts equals the histogram of all the values.
func TestHistogramsTravel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		whole, sum := load.NewHistogram(), load.NewHistogram()
		for range 1 + rng.IntN(4) {
			part := load.NewHistogram()
			for range rng.IntN(2000) {
				v, n := rng.Int64N(1<<rng.IntN(45))-50, 1+rng.Int64N(3)
				part.Record(v, n)
				whole.Record(v, n)
			}
			text, err := json.Marshal(part)
			require.NoError(t, err)
			var back load.Histogram
			require.NoError(t, json.Unmarshal(text, &back))
			require.Equal(t, part.Count(), back.Count())
			sum.Merge(&back)
		}
		require.Equal(t, whole.Count(), sum.Count())
		require.Equal(t, whole.OutOfRange(), sum.OutOfRange())
		if whole.Count() > 0 {
			require.Equal(t, whole.HDR().Distribution(), sum.HDR().Distribution())
		}
	}
}

// FuzzHistogram: no text makes a histogram that its own text does not make again.
func FuzzHistogram(f *testing.F) {
	h := load.NewHistogram()
	h.Record(1000, 3)
	h.Record(1<<60, 1)
	text, _ := json.Marshal(h)
	f.Add(string(text))
	f.Add(`""`)
	f.Add(`"AAE="`)
	f.Fuzz(func(t *testing.T, text string) {
		var h load.Histogram
		if json.Unmarshal([]byte(text), &h) != nil || text == "null" || h.Count() == 0 && h.OutOfRange() == 0 {
			return
		}
		again, err := json.Marshal(&h)
		require.NoError(t, err)
		var back load.Histogram
		require.NoError(t, json.Unmarshal(again, &back))
		require.Equal(t, h.Count(), back.Count())
		require.Equal(t, h.OutOfRange(), back.OutOfRange())
	})
}

// TestAgentGone: an agent that dies in mid-run is named, and nothing is judged
// as if it had not.
func TestAgentGone(t *testing.T) {
	s := shared("kgo", broker(t, "events"))
	s.Phases[1].Len = 20 * time.Second
	f, stop := agents(t, 2, nil)
	s.OnSample = func(load.Sample) { stop[1]() }
	began := time.Now()
	res, parts, err := load.RunOver(context.Background(), s, f)
	require.ErrorContains(t, err, "agent "+f.Agents[1].Addr)
	require.NotNil(t, res)
	require.Less(t, time.Since(began), 15*time.Second, "nobody waits for the dead")
	require.False(t, res.Drained)
	require.False(t, res.Ledger.Checked)
	require.Zero(t, res.Ledger.Violations())
	require.Positive(t, res.Ledger.Unchecked)
	require.NoError(t, parts[0].Err)
	require.Error(t, parts[1].Err)
}

// TestAgentsStop: an interruption ends the agents too, with what was measured.
func TestAgentsStop(t *testing.T) {
	s := shared("kgo", broker(t, "events"))
	s.Phases[1].Len = time.Minute
	f, _ := agents(t, 2, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.OnSample = func(load.Sample) { cancel() }
	res, _, err := load.RunOver(ctx, s, f)
	require.NoError(t, err)
	require.True(t, res.Stopped)
	require.Positive(t, res.Phases[1].Sent.Records)
	require.Zero(t, res.Ledger.Violations())
	_, err = f.Hello(context.Background())
	require.NoError(t, err)
}

// TestAgentsRefuse: who may not take part is told why, by name.
func TestAgentsRefuse(t *testing.T) {
	f, _ := agents(t, 2, func(i int, a *load.Agent) {
		if i == 1 {
			a.Token = "secret"
		}
	})
	envs, err := f.Hello(context.Background())
	require.NoError(t, err)
	require.JSONEq(t, `{"cpus":2}`, string(envs[1]))
	wrong := f
	wrong.Version = "other"
	_, err = wrong.Hello(context.Background())
	require.ErrorContains(t, err, "agent "+f.Agents[0].Addr)
	require.ErrorContains(t, err, "other")
	f.Agents[1].Token = "guess"
	_, err = f.Hello(context.Background())
	require.ErrorContains(t, err, "agent "+f.Agents[1].Addr)
	require.ErrorContains(t, err, "token")
	_, _, err = load.RunOver(context.Background(), shared("kgo", broker(t, "events")), f)
	require.ErrorContains(t, err, "token")

	// What is no coordinator is hung up on.
	nc, err := net.Dial("tcp", f.Agents[0].Addr)
	require.NoError(t, err)
	defer nc.Close()
	_, err = io.WriteString(nc, "POST / HTTP/1.1\r\nHost: x\r\n\r\n{\"Do\":\"job\"}\n")
	require.NoError(t, err)
	answer, _ := io.ReadAll(nc)
	require.False(t, strings.Contains(string(answer), "hello"), "%s", answer)
}
