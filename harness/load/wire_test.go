package load_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/batching"
	"millrace/harness/load"
)

// million is a spec of n records that are due within a second, by one producer,
// so that the order of its records is the order of the log.
func million(client, addr string, n int) load.Spec {
	return load.Spec{
		Client: client, Brokers: []string{addr}, Topics: []load.Topic{{Name: "events", Partitions: 4}},
		Payload:   load.Payload{Generator: load.Random, Size: load.Size{Mean: 24}, PoolBytes: 1 << 20},
		Producers: load.Producers{Count: 1, Acks: load.AcksAll, Linger: 5 * time.Millisecond, BatchBytes: 16 << 10, Retries: -1, MaxInFlight: 4},
		Consumers: load.Consumers{Groups: 1, Members: 1, MaxWait: 50 * time.Millisecond},
		Phases: []load.Phase{
			{Kind: load.Steady, Len: time.Second, Pacer: load.Constant(float64(n))},
			{Kind: load.Drain, Len: time.Minute},
		},
		Seed: 7,
	}
}

// damage is what a wire or a broker does to one record, or to one batch, after a
// number of records has passed.
type damage struct {
	name  string
	after int
	// One of them. produced changes the records of a batch before the broker has
	// them, as their producer would, sent its bytes, as a wire would; twice sends a whole request again, fetched changes what a client is
	// answered, and says whether it could.
	produced func([]batching.Record) []batching.Record
	sent     func(raw []byte)
	twice    bool
	fetched  func(records []byte) ([]byte, bool)

	n      int   // records in what was hit; 0: nothing yet
	offset int64 // of it, where the broker's answer was changed
	part   int32
}

var damages = []damage{
	{name: "one record lost", produced: func(r []batching.Record) []batching.Record { return append(r[:3:3], r[4:]...) }},
	{name: "one record doubled", produced: func(r []batching.Record) []batching.Record { return append(append(r[:4:4], r[3]), r[4:]...) }},
	{name: "two records exchanged", produced: func(r []batching.Record) []batching.Record { r[3], r[4] = r[4], r[3]; return r }},
	{name: "one bit before it was stored", produced: func(r []batching.Record) []batching.Record {
		r[3].Value = bytes.Clone(r[3].Value)
		r[3].Value[5] ^= 0x10
		return r
	}},
	{name: "one bit on the wire", fetched: func(records []byte) ([]byte, bool) {
		b, err := batching.View(records)
		if err == nil {
			b.Payload()[len(b.Payload())/2] ^= 0x10
		}
		return records, err == nil
	}},
	{name: "one request doubled", twice: true},
	{name: "one bit on the way to the broker", sent: func(raw []byte) { raw[len(raw)/2] ^= 0x10 }},
	{name: "one batch lost on the wire", fetched: func(records []byte) ([]byte, bool) {
		b, err := batching.View(records)
		if err != nil || len(records) < b.Size()+batching.HeaderSize {
			return records, false
		}
		return records[b.Size():], true
	}},
	{name: "two batches exchanged on the wire", fetched: func(records []byte) ([]byte, bool) {
		a, err := batching.View(records)
		if err != nil {
			return records, false
		}
		b, err := batching.View(records[a.Size():])
		if err != nil {
			return records, false
		}
		a, b = view(bytes.Clone(a.Bytes())), view(bytes.Clone(b.Bytes()))
		b.SetBaseOffset(a.BaseOffset())
		a.SetBaseOffset(b.NextOffset())
		return append(append(append([]byte{}, b.Bytes()...), a.Bytes()...), records[a.Size()+b.Size():]...), true
	}},
}

func view(raw []byte) batching.Batch {
	b, err := batching.View(raw)
	if err != nil {
		panic(err)
	}
	return b
}

// inflict lets the proxy do each of the damages, one after the other.
func inflict(t *testing.T, p *proxy, list []*damage) {
	var produced, fetched int
	p.produced = func(_ string, part int32, raw []byte) []byte {
		b := view(raw)
		produced += b.Count()
		for _, d := range list {
			if d.n > 0 || d.produced == nil && d.sent == nil || produced < d.after || b.Count() < 8 {
				continue
			}
			d.n, d.part = b.Count(), part
			if d.sent != nil {
				raw = bytes.Clone(raw)
				d.sent(raw)
				return raw
			}
			out, err := rebuilt(raw, d.produced)
			if err != nil {
				t.Error(err)
			}
			return out
		}
		return nil
	}
	p.repeat = func(records int) bool {
		for _, d := range list {
			if d.twice && d.n == 0 && produced >= d.after {
				d.n = records
				return true
			}
		}
		return false
	}
	p.fetched = func(_ string, part int32, records []byte) []byte {
		b, err := batching.View(records)
		if err != nil {
			return records // cut short: it comes whole the next time
		}
		for rest := records; ; {
			b, err := batching.View(rest)
			if err != nil {
				break
			}
			fetched, rest = fetched+b.Count(), rest[b.Size():]
		}
		for _, d := range list {
			if d.n > 0 || d.fetched == nil || fetched < d.after {
				continue
			}
			n, offset := b.Count(), b.BaseOffset()
			out, ok := d.fetched(records)
			if ok {
				d.n, d.offset, d.part = n, offset, part
				return out
			}
		}
		return records
	}
}

// TestMillionThroughSockets: of a million records that go through real sockets to
// a real broker and back, what happens to one is found, counted and named; and
// nothing is found where the same proxy leaves all alone.
//
// A kgo client tells records apart, the lean client batches: what happens to a
// record is to it a batch that is not what was sent.
func TestMillionThroughSockets(t *testing.T) {
	type counts struct{ Lost, Duplicated, Reordered, Corrupt int64 }
	for _, c := range []struct {
		client string
		n      int
		want   func(size map[string]int64) counts
		errors func(size map[string]int64) int64
	}{
		{"kgo", 1_000_000, func(n map[string]int64) counts {
			return counts{
				Lost:       1 + n["one batch lost on the wire"],
				Duplicated: 1 + n["one request doubled"],
				Reordered:  1 + n["two batches exchanged on the wire"],
				Corrupt:    2, // what is refused counts as one
			}
		}, func(map[string]int64) int64 { return 2 }},
		{"lean", 2_000_000, func(n map[string]int64) counts {
			return counts{
				Lost:       1 + n["one batch lost on the wire"],
				Duplicated: 1 + n["one request doubled"],
				Reordered:  n["two batches exchanged on the wire"],
				Corrupt: n["one record lost"] - 1 + n["one record doubled"] + 1 + n["two records exchanged"] +
					n["one bit before it was stored"] + n["one bit on the wire"],
			}
		}, func(n map[string]int64) int64 {
			return n["one record lost"] - 1 + n["one record doubled"] + 1 + n["two records exchanged"] +
				n["one bit before it was stored"] + n["one bit on the wire"]
		}},
	} {
		t.Run(c.client+"/control", func(t *testing.T) {
			addr := broker(t, "events")
			p := newProxy(t, addr)
			inflict(t, p, nil)
			s := million(c.client, addr, c.n/10)
			s.Through(p.addr)
			res, err := load.Run(context.Background(), s)
			require.NoError(t, err)
			require.True(t, res.Drained)
			require.EqualValues(t, c.n/10, res.Ledger.Acknowledged)
			require.Equal(t, load.LedgerReport{Checked: true, Sent: int64(c.n / 10), Acknowledged: int64(c.n / 10), Seen: int64(c.n / 10)}, res.Ledger)
			require.Empty(t, res.Complaints)
		})
		t.Run(c.client+"/damaged", func(t *testing.T) {
			addr := broker(t, "events")
			p := newProxy(t, addr)
			var list []*damage
			for i, d := range damages {
				d.after = c.n * (i + 1) / 12
				list = append(list, &d)
			}
			inflict(t, p, list)
			s := million(c.client, addr, c.n)
			s.Through(p.addr)
			s.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
			res, err := load.Run(context.Background(), s)
			require.NoError(t, err)
			size := map[string]int64{}
			for _, d := range list {
				require.Positive(t, d.n, "%s did not come about", d.name)
				size[d.name] = int64(d.n)
			}
			l := res.Ledger
			require.EqualValues(t, c.n, l.Sent)
			// The broker refuses it; kgo then gives up what waits behind it too.
			require.GreaterOrEqual(t, l.Failed, size["one bit on the way to the broker"])
			require.Equal(t, l.Sent, l.Acknowledged+l.Failed)
			require.Equal(t, c.want(size), counts{l.Lost, l.Duplicated, l.Reordered, l.Corrupt}, "%+v\n%v", l, size)
			var errors int64
			for _, ph := range res.Phases {
				errors += ph.Errors
			}
			require.Equal(t, c.errors(size)+l.Failed, errors)
			flipped := list[4]
			var said []string
			for _, c := range res.Complaints {
				said = append(said, c.Error)
			}
			require.Contains(t, strings.Join(said, "\n"), "CORRUPT_MESSAGE")
			require.Contains(t, strings.Join(said, "\n"), fmt.Sprintf("topic events partition %d offset %d: ", flipped.part, flipped.offset))
		})
	}
}

// TestRefusedForEver: franz-go refuses a batch whose CRC is wrong, and asks for it
// again and again: it counts once for each group that met it, what lies behind it
// is unchecked, and nobody calls it lost.
func TestRefusedForEver(t *testing.T) {
	addr := broker(t, "events")
	p := newProxy(t, addr)
	bad, times := int64(-1), 0
	p.fetched = func(_ string, part int32, records []byte) []byte {
		if part != 1 {
			return records
		}
		for rest := records; len(rest) > 0; { // it may lie behind others
			b, err := batching.View(rest)
			if err != nil {
				break
			}
			rest = rest[b.Size():]
			if bad < 0 && b.BaseOffset() >= 200 {
				bad = b.BaseOffset()
			}
			if b.BaseOffset() == bad {
				times++
				b.Payload()[len(b.Payload())/2] ^= 1
			}
		}
		return records
	}
	s := million("kgo", addr, 4000)
	s.Consumers.Groups, s.Phases[1].Len = 2, 3*time.Second
	s.Through(p.addr)
	res, err := load.Run(context.Background(), s)
	require.NoError(t, err)
	require.Greater(t, times, 10, "it was asked for again")
	require.False(t, res.Drained)
	l := res.Ledger
	require.EqualValues(t, 2, l.Corrupt, "%+v", l)
	require.EqualValues(t, 2, l.Violations())
	require.Positive(t, l.Unchecked)
	require.EqualValues(t, 2, res.Phases[0].Errors+res.Phases[1].Errors)
	for _, e := range l.Examples {
		require.EqualValues(t, bad, e.Offset)
		require.Contains(t, e.Why, "does not match calculated crc")
	}
}

// TestDiscard: a reader that takes headers alone counts every record, times it and
// keeps account of it, and does not see what is wrong with one; the reading at the
// end does.
func TestDiscard(t *testing.T) {
	for name, flips := range map[string]bool{"whole": false, "damaged": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := broker(t, "events")
			p := newProxy(t, addr)
			bad, records := int64(-1), 0
			p.fetched = func(_ string, part int32, raw []byte) []byte {
				for rest := raw; flips && part == 1 && len(rest) > 0; {
					b, err := batching.View(rest)
					if err != nil {
						break
					}
					rest = rest[b.Size():]
					if bad < 0 && b.BaseOffset() >= 200 {
						bad, records = b.BaseOffset(), b.Count()
					}
					if b.BaseOffset() == bad {
						b.Payload()[len(b.Payload())/2] ^= 1
					}
				}
				return raw
			}
			s := million("lean", addr, 20_000)
			s.Consumers.Discard, s.Consumers.Groups, s.Retain = true, 2, true
			live := -1
			s.Verify = func() bool { live = records; return true }
			s.Through(p.addr)
			res, err := load.Run(context.Background(), s)
			require.NoError(t, err)
			require.True(t, res.Drained)
			require.Equal(t, records, live, "it was read live")
			require.EqualValues(t, 20_000, res.Phases[0].Scheduled)
			require.EqualValues(t, 40_000, res.Phases[0].Latency[load.EndToEnd].Count()+res.Phases[1].Latency[load.EndToEnd].Count())
			require.True(t, res.Ledger.Verified)
			require.EqualValues(t, records, res.Ledger.Corrupt, "%+v", res.Ledger)
			require.EqualValues(t, records, res.Ledger.Violations())
			require.Equal(t, flips, records > 0)
		})
	}
	s := million("kgo", "127.0.0.1:1", 1)
	s.Consumers.Discard = true
	require.ErrorContains(t, s.Validate(), "the kgo client decodes every record: it cannot discard them (lean can)")
	s.Client, s.Consumers.Records = "lean", true
	require.ErrorContains(t, s.Validate(), "records that are discarded cannot be decoded")
}

// TestStallThroughSockets: while a proxy lets no answer pass, every record that was
// intended then waits until it does, on any machine: percentile by percentile the
// latencies are at least those that the stall's schedule makes. How much more they
// are is the machine's affair: a backlog of 300 ms has to be sent and read by
// clients that must wait for a CPU where others have it, and on one with five
// runnable processes for two CPUs the longest was 395 ms. What the same stalls cost
// where nothing else takes time is exact: TestStallIsSeenByAllWhoMetIt.
func TestStallThroughSockets(t *testing.T) {
	const stall = 300 * time.Millisecond
	for _, client := range load.Clients() {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			addr := broker(t, "events")
			p := newProxy(t, addr)
			s := million(client, addr, 5000)
			s.Through(p.addr)
			s.OnPhase = func(k int) {
				if k == 0 {
					from := time.Now().Add(300 * time.Millisecond)
					p.stallTo.Store(from.Add(stall).UnixNano())
					p.stallFrom.Store(from.UnixNano())
				}
			}
			res, err := load.Run(context.Background(), s)
			require.NoError(t, err)
			require.Zero(t, res.Ledger.Violations())
			ph := res.Phases[0]
			require.EqualValues(t, 5000, ph.Scheduled)
			var floor []time.Duration
			for i := range ph.Scheduled {
				at := res.Started.Add(ph.Start + ph.Phase.Pacer.At(i)).UnixNano()
				wait := time.Duration(0)
				if p.stallFrom.Load() <= at && at < p.stallTo.Load() {
					wait = time.Duration(p.stallTo.Load() - at)
				}
				floor = append(floor, wait)
			}
			slices.Sort(floor)
			require.InDelta(t, 5000*stall.Seconds(), 5000-sort.Search(5000, func(i int) bool { return floor[i] > 0 }), 2)
			for _, m := range []load.Metric{load.Ack, load.EndToEnd} {
				h := ph.Latency[m]
				require.EqualValues(t, 5000, h.Count())
				for _, q := range []float64{50, 75, 90, 95, 99, 99.9, 100} {
					least := floor[int(q/100*5000+0.5)-1]
					require.GreaterOrEqual(t, h.Percentile(q), least-least/500-time.Millisecond, "%v p%v", m, q)
				}
			}
		})
	}
}

// TestFlipIsSeenByEveryReader: whoever reads (members of groups of either kind, the
// workers of a transform, the readers of its outputs, those who read back or verify
// after the load) counts a batch that came damaged, and names it, though it came
// whole the next time.
func TestFlipIsSeenByEveryReader(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *load.Spec)
		topics []string
	}{
		"classic":  {func(*load.Spec) {}, []string{"in"}},
		"consumer": {func(s *load.Spec) { s.Consumers.Protocol = load.ServerSide }, []string{"in"}},
		"transform": {func(s *load.Spec) {
			s.Transform = load.Transform{Workers: 1, Outputs: []load.Topic{{Name: "out", Partitions: 4}}, Interval: 50 * time.Millisecond}
			s.Consumers.Committed, s.Consumers.Protocol = true, load.Direct
		}, []string{"in", "out"}},
		"read back":      {func(s *load.Spec) { s.Consumers = load.Consumers{} }, []string{"in"}},
		"lean read back": {func(s *load.Spec) { s.Client, s.Consumers, s.Producers.Idempotent = "lean", load.Consumers{}, false }, []string{"in"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := broker(t, "in", "out")
			p := newProxy(t, addr)
			flips := map[string]int{} // by topic
			records := 0
			flipped := map[string]bool{}
			p.fetched = func(topic string, part int32, raw []byte) []byte {
				b, err := batching.View(raw)
				if err != nil || b.IsControl() || flips[topic] == 3 {
					return raw
				}
				at := fmt.Sprintf("%s-%d-%d", topic, part, b.BaseOffset())
				if flipped[at] {
					return raw
				}
				flipped[at] = true
				flips[topic]++
				records += b.Count()
				b.Payload()[len(b.Payload())/2] ^= 1
				return raw
			}
			s := groupSpec(addr)
			c.change(&s)
			s.Through(p.addr)
			res, err := load.Run(context.Background(), s)
			require.NoError(t, err)
			require.Len(t, flips, len(c.topics))
			want := 0
			for _, n := range flips {
				want += n
			}
			if s.Client == "lean" {
				want = records
			}
			l := res.Ledger
			require.EqualValues(t, want, l.Corrupt, "%+v", l)
			require.EqualValues(t, want, l.Violations())
			require.True(t, res.Drained, "it came whole the next time")
			var errors int64
			for _, ph := range res.Phases {
				errors += ph.Errors
			}
			require.EqualValues(t, want, errors)
			said := fmt.Sprint(res.Complaints)
			for _, topic := range c.topics {
				require.Regexp(t, "topic "+topic+" partition [0-3] offset [0-9]+: ", said)
			}
		})
	}
}
