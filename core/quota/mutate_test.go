package quota

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMutationsFollowKafka holds the bucket against KIP-599, worked by hand: full
// at limit × samples × window = 5 × 11 = 55, overdrawn once, refused until it is at 0.
func TestMutationsFollowKafka(t *testing.T) {
	b := NewBook(kafkas)
	b.Use(NewTable([]Rule{{Client: byDefault, Limits: map[Kind]float64{Mutate: 5}}}))
	at := time.Unix(1000, 0)
	type told struct {
		wait time.Duration
		ok   bool
	}
	ask := func(n float64, strict bool) told {
		wait, ok := b.Mutate("u", "c", n, strict, at)
		return told{wait, ok}
	}
	require.Equal(t, told{0, true}, ask(50, true))
	require.Equal(t, told{0, true}, ask(25, true), "5 left: it may be overdrawn, and is not waited for")
	require.Equal(t, told{4 * time.Second, false}, ask(1, true), "-20 at 5 a second")
	require.Equal(t, told{4 * time.Second, false}, ask(1, true), "what is refused costs nothing")
	require.Equal(t, told{5 * time.Second, true}, ask(5, false), "an old client is let, and waits")
	wait, ok := b.Mutate("u", "d", 1, true, at)
	require.True(t, ok && wait == 0, "another client has its own")
	at = at.Add(4 * time.Second)
	require.Equal(t, told{time.Second, false}, ask(1, true))
	at = at.Add(time.Second)
	require.Equal(t, told{0, true}, ask(1, true), "at 0 it is taken")
	at = at.Add(time.Hour)
	require.Equal(t, told{0, true}, ask(55, true), "it was full")
	require.Equal(t, told{0, true}, ask(1, true))
	require.Equal(t, told{200 * time.Millisecond, false}, ask(1, true), "and no fuller than that")
	b.Use(NewTable(nil))
	require.Equal(t, told{0, true}, ask(1000, true), "nobody is limited")
}

func TestMutationsHaveTheirOwnWindow(t *testing.T) {
	cfg := kafkas
	cfg.Mutations = &Config{Samples: 2, Window: 3 * time.Second}
	b := NewBook(cfg)
	b.Use(NewTable([]Rule{{Client: byDefault, Limits: map[Kind]float64{Mutate: 1}}}))
	at := time.Unix(1000, 0)
	_, ok := b.Mutate("", "c", 7, true, at)
	require.True(t, ok)
	wait, ok := b.Mutate("", "c", 1, true, at)
	require.False(t, ok)
	require.Equal(t, time.Second, wait, "6 were in it")
}

// TestConnectionsFollowKafka: an address may open limit × 10 s at once, then as many
// as the rate allows; one too many is not counted, and waits a window at most.
func TestConnectionsFollowKafka(t *testing.T) {
	b := NewBook(kafkas)
	limit := func(n float64) map[Kind]float64 { return map[Kind]float64{Connect: n} }
	b.Use(NewTable([]Rule{{Address: byDefault, Limits: limit(2)}, {Address: named("10.0.0.9"), Limits: limit(1)}, {Client: named("10.0.0.1"), Limits: limit(100)}}))
	at := time.Unix(1000, 0)
	for i := range 20 {
		require.Zero(t, b.Connect("10.0.0.1", at), i)
	}
	// 21 over 10 s: (2.1-2)/2 × 10 s.
	require.Equal(t, 500*time.Millisecond, b.Connect("10.0.0.1", at))
	require.Equal(t, 500*time.Millisecond, b.Connect("10.0.0.1", at), "what is refused is not counted")
	for i := range 10 {
		require.Zero(t, b.Connect("10.0.0.9", at), i)
	}
	require.Equal(t, time.Second, b.Connect("10.0.0.9", at), "its own limit; a window at most")
	require.Zero(t, b.Connect("10.0.0.2", at), "another address")
	opened := 0
	began := at
	for at.Sub(began) < 100*time.Second {
		at = at.Add(100 * time.Millisecond)
		if b.Connect("10.0.0.9", at) == 0 {
			opened++
		}
	}
	require.InDelta(t, 100, opened, 12)
	b.Use(NewTable(nil))
	require.Zero(t, b.Connect("10.0.0.9", at))
}

func TestBucketsAreBounded(t *testing.T) {
	b := NewBook(kafkas)
	b.Use(NewTable([]Rule{{Client: byDefault, Limits: map[Kind]float64{Mutate: 1}}, {Address: byDefault, Limits: map[Kind]float64{Connect: 1}}}))
	at := time.Unix(1000, 0)
	for i := range 2*maxAccounts + 10 {
		b.Mutate("", fmt.Sprint(i), 100, true, at)
		b.Connect(fmt.Sprint(i), at)
		require.LessOrEqual(t, len(b.buckets), maxAccounts)
		require.LessOrEqual(t, len(b.rates), maxAccounts)
	}
}
