package quota

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var kafkas = Config{Samples: 11, Window: time.Second}

func named(s string) Name { return Name{Given: true, Text: s} }

var byDefault = Name{Given: true, Default: true}

func only(limit float64) map[Kind]float64 { return map[Kind]float64{Produce: limit} }

// TestTheMostSpecificRuleHolds adds Kafka's levels from the weakest on: each
// takes over from the one before.
func TestTheMostSpecificRuleHolds(t *testing.T) {
	levels := []struct {
		rule Rule
		of   entity
	}{
		{Rule{Client: byDefault}, entity{"-", "=c"}},
		{Rule{Client: named("c")}, entity{"-", "=c"}},
		{Rule{User: byDefault}, entity{"=u", "-"}},
		{Rule{User: byDefault, Client: byDefault}, entity{"=u", "=c"}},
		{Rule{User: byDefault, Client: named("c")}, entity{"=u", "=c"}},
		{Rule{User: named("u")}, entity{"=u", "-"}},
		{Rule{User: named("u"), Client: byDefault}, entity{"=u", "=c"}},
		{Rule{User: named("u"), Client: named("c")}, entity{"=u", "=c"}},
	}
	var rules []Rule
	for i, l := range levels {
		l.rule.Limits = only(float64(i + 1))
		rules = append(rules, l.rule)
		limit, of, ok := NewTable(rules).find(Produce, "u", "c")
		require.True(t, ok)
		require.Equal(t, float64(i+1), limit)
		require.Equal(t, l.of, of)
	}
	table := NewTable(rules)
	limit, _, _ := table.find(Produce, "v", "d")
	require.Equal(t, 4.0, limit, "the default of both")
	_, _, ok := table.find(Fetch, "u", "c")
	require.False(t, ok, "another kind")
	limit, _, _ = NewTable([]Rule{{Client: named("*"), Limits: only(7)}, {Client: byDefault, Limits: only(9)}}).find(Produce, "", "x")
	require.Equal(t, 9.0, limit, "a client that is called * is not the default")
}

// TestThrottleFollowsKafka holds waits against Kafka's formula, worked by hand:
// rate = sum / max(elapsed, 10 s), wait = (rate-limit)/limit * elapsed.
func TestThrottleFollowsKafka(t *testing.T) {
	b := NewBook(kafkas)
	b.Use(NewTable([]Rule{{Client: byDefault, Limits: only(100)}}))
	at := time.Unix(1000, 0)
	charge := func(n float64) time.Duration { return b.Charge(Produce, "u", "c", n, at) }
	require.Zero(t, charge(1000), "ten seconds' worth at once")
	require.Equal(t, time.Second, charge(100), "1100 over 10 s is 110/s")
	require.Zero(t, b.Charge(Produce, "u", "d", 1000, at), "another client has its own")
	at = at.Add(time.Second)
	// 1100 over 1 s and nine windows more: exactly the limit over what is missing.
	require.Equal(t, time.Second, charge(0))
	at = at.Add(10 * time.Second)
	require.Zero(t, charge(100), "the first second is forgotten")
}

// TestRateHolds lets a client send as fast as it may, waiting as long as it is
// told: what it gets through is its limit, as long as one use is within what is measured.
func TestRateHolds(t *testing.T) {
	for _, size := range []float64{1, 17, 90, 500, 900} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			const limit = 100.0
			b := NewBook(kafkas)
			b.Use(NewTable([]Rule{{Client: named("c"), Limits: only(limit)}}))
			began := time.Unix(1000, 0)
			at, sent := began, 0.0
			measured, from := 0.0, time.Time{}
			for at.Sub(began) < 300*time.Second {
				wait := b.Charge(Produce, "u", "c", size, at)
				sent += size
				at = at.Add(wait + time.Millisecond)
				if from.IsZero() && at.Sub(began) > 60*time.Second { // the burst at the start is behind
					measured, from = sent, at
				}
			}
			got := (sent - measured) / at.Sub(from).Seconds()
			require.InEpsilon(t, limit, got, 0.15)
		})
	}
}

func TestReturn(t *testing.T) {
	b := NewBook(kafkas)
	b.Use(NewTable([]Rule{{Client: named("c"), Limits: map[Kind]float64{Fetch: 10}}}))
	at := time.Unix(1000, 0)
	require.Positive(t, b.Charge(Fetch, "", "c", 500, at))
	require.False(t, b.Return(Fetch, "", "c", 500, at), "nothing else counts")
	require.Zero(t, b.Charge(Fetch, "", "c", 10, at))
	require.Positive(t, b.Charge(Fetch, "", "c", 500, at))
	require.True(t, b.Return(Fetch, "", "c", 500, at))
	most, ok := b.Most(Fetch, "", "c")
	require.True(t, ok)
	require.Equal(t, 100.0, most)
	_, ok = b.Most(Fetch, "", "d")
	require.False(t, ok)
}

// TestRequestTimeIsBounded: Kafka does not hold one slow request against a
// client for longer than a window.
func TestRequestTimeIsBounded(t *testing.T) {
	b := NewBook(kafkas)
	b.Use(NewTable([]Rule{{Client: named("c"), Limits: map[Kind]float64{Request: 1}}}))
	require.Equal(t, time.Second, b.Charge(Request, "", "c", 1e6, time.Unix(1000, 0)))
}

func TestAccountsAreBounded(t *testing.T) {
	b := NewBook(kafkas)
	b.Use(NewTable([]Rule{{Client: byDefault, Limits: only(1)}}))
	at := time.Unix(1000, 0)
	for i := range 3 * maxAccounts {
		b.Charge(Produce, "", fmt.Sprint(i), 1, at)
		require.LessOrEqual(t, len(b.rates), maxAccounts)
	}
}
