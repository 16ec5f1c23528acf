package load

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAgentsCatchFaults: what a target loses, doubles or damages is found also
// where another agent reads it than the one that sent it.
func TestAgentsCatchFaults(t *testing.T) {
	for _, client := range Clients() {
		for _, fault := range []string{"none", "lose", "double", "damage-crc"} {
			if client == "kgo" && fault == "damage-crc" {
				continue // franz-go itself refuses such a batch, for ever
			}
			t.Run(client+"/"+fault, func(t *testing.T) {
				t.Parallel()
				target := newSynthetic(Topic{"events", 2})
				target.fault, target.every, target.last = fault, 20, 100
				if fault == "none" {
					target.every = 0
				}
				s := small(client)
				s.Topics, s.Brokers, s.env = target.topics, []string{"synthetic:9092"}, target.env()
				s.Producers.Linger = 2 * time.Millisecond
				s.Consumers.Groups, s.Consumers.Members = 2, 2
				s.Phases = []Phase{{Kind: Steady, Len: 500 * time.Millisecond, Pacer: Constant(8000)}, {Kind: Drain, Len: 20 * time.Second}}
				f := Fleet{Version: "test"}
				for range 2 {
					l, err := net.Listen("tcp", "127.0.0.1:0")
					require.NoError(t, err)
					a := &Agent{Version: "test", env: target.env()}
					ctx, cancel := context.WithCancel(context.Background())
					done := make(chan struct{})
					go func() { _ = a.Serve(ctx, l); close(done) }()
					t.Cleanup(func() { cancel(); <-done })
					f.Agents = append(f.Agents, Remote{Addr: l.Addr().String()})
				}
				res, _, err := RunOver(context.Background(), s, f)
				require.NoError(t, err)
				l, both := res.Ledger, 2*target.faulted
				want := map[string][4]int64{"none": {}, "lose": {both}, "double": {0, both}, "damage-crc": {0, 0, 0, both}}[fault]
				require.Equal(t, want, [4]int64{l.Lost, l.Duplicated, l.Reordered, l.Corrupt}, "%+v", l)
				require.Equal(t, fault != "none", target.faulted > 0)
				require.True(t, l.Checked)
				require.EqualValues(t, 4000, l.Acknowledged)
				require.Zero(t, l.Unchecked+l.Failed+l.Unacked+l.Foreign, "%+v", l)
			})
		}
	}
}

// TestOneReadingOfTwo: a partition that two members read one after the other is
// one account: what both saw was handed on, what neither saw is lost.
func TestOneReadingOfTwo(t *testing.T) {
	l := newLedger([]Topic{{"events", 1}}, 2, 1, true)
	s := l.streams[0][1]
	s.ack(s.take(100), 100, 99)
	snapshot := func(spans ...int64) []readingSnapshot {
		r := &reading{from: make([]source, 2), shared: true}
		for i := 0; i < len(spans); i += 2 {
			r.saw(1, spans[i], spans[i+1]-spans[i], spans[i])
		}
		text, err := json.Marshal([]readingSnapshot{r.snapshot(0, 0)})
		require.NoError(t, err)
		var back []readingSnapshot
		require.NoError(t, json.Unmarshal(text, &back))
		return back
	}
	l.readings[0][0].shared = true
	require.NoError(t, l.addReadings(snapshot(0, 60)))
	require.NoError(t, l.addReadings(snapshot(50, 90, 93, 100)))
	rep := l.report([]int64{100})
	require.Equal(t, [5]int64{3, 0, 0, 10, 100}, [5]int64{rep.Lost, rep.Duplicated, rep.Reordered, rep.Redelivered, rep.Acknowledged}, "%+v", rep)
	require.Error(t, l.addReadings([]readingSnapshot{{Group: 1}}))
	require.Error(t, l.addStreams([]streamSnapshot{{Producer: 2}}))
	require.Error(t, l.addStreams([]streamSnapshot{{Acked: rangeSnapshot{Spans: []int64{5, 0}}}}))
}

// TestJobsTravel: the schedule that arrives is the one that was sent.
func TestJobsTravel(t *testing.T) {
	s := small("kgo")
	s.Brokers = []string{"127.0.0.1:1"}
	paces := []Pacer{Constant(100), Ramp{1, 50, time.Second}, Sine{100, 20, time.Second}, nil,
		NewSequence(Stretch{Constant(5), time.Second}, Stretch{Ramp{5, 9, time.Second}, time.Second})}
	s.Phases = nil
	for _, p := range paces {
		s.Phases = append(s.Phases, Phase{Kind: Steady, Len: time.Second, Pacer: p, Producers: 1})
	}
	r, err := newRun(s)
	require.NoError(t, err)
	r.begin = make([]int64, 3)
	raw, err := newJob(r, 1, 2, time.Second)
	require.NoError(t, err)
	var j job
	require.NoError(t, json.Unmarshal(raw, &j))
	back, err := j.spec()
	require.NoError(t, err)
	for i, p := range paces {
		require.Equal(t, p, back.Phases[i].Pacer)
		require.Equal(t, 1, back.Phases[i].Producers)
	}
	require.Equal(t, r.spec.Producers, back.Producers)
	require.Equal(t, r.spec.Payload, back.Payload)
	require.Equal(t, r.spec.Consumers, back.Consumers)
	j.Begin = nil
	_, err = j.spec()
	require.ErrorContains(t, err, "offsets")
}
