package load

import (
	"bytes"
	"math/rand/v2"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// near says that a histogram's answer is as close to the truth as promised.
func near(t testing.TB, want, got time.Duration, what string) {
	t.Helper()
	require.InDelta(t, float64(want), float64(got), max(float64(HistogramLowest), float64(want)*0.001), what)
}

func TestHistogramPrecision(t *testing.T) {
	h := NewHistogram()
	rng := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 50000 {
		v := time.Duration(rng.ExpFloat64() * float64(3*time.Millisecond) * rng.ExpFloat64())
		all = append(all, v)
		h.Record(int64(v), 1)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	for _, p := range []float64{10, 50, 90, 99, 99.9, 99.99} {
		near(t, all[int(p/100*float64(len(all))+0.5)-1], h.Percentile(p), "percentile")
	}
	near(t, all[len(all)-1], h.Max(), "max")
	near(t, all[0], h.Min(), "min")
	require.Zero(t, h.OutOfRange())
}

func TestHistogramCountsWhatIsOutOfRange(t *testing.T) {
	h := NewHistogram()
	h.Record(int64(2*time.Hour), 3)
	h.Record(-5, 1)
	h.Record(int64(HistogramHighest), 1)
	require.EqualValues(t, 5, h.Count())
	require.EqualValues(t, 4, h.OutOfRange())
	near(t, time.Hour, h.Percentile(100), "the end of the range")
	o := NewHistogram()
	o.Merge(h)
	o.Merge(nil)
	require.EqualValues(t, 5, o.Count())
	require.EqualValues(t, 4, o.OutOfRange())
	require.Zero(t, NewHistogram().Percentile(99))
}

func TestHistogramLog(t *testing.T) {
	a, b := NewHistogram(), NewHistogram()
	a.Record(1500, 7)
	b.Record(int64(3*time.Second), 2)
	started := time.UnixMilli(1_700_000_000_123)
	var out bytes.Buffer
	require.NoError(t, WriteLog(&out, started, []LogEntry{
		{"ack/steady", 3 * time.Second, 15 * time.Second, a},
		{"e2e/steady", 3 * time.Second, 15 * time.Second, b},
	}))
	r := hdrhistogram.NewHistogramLogReader(&out)
	h, err := r.NextIntervalHistogram()
	require.NoError(t, err)
	require.Equal(t, "ack/steady", h.Tag())
	require.EqualValues(t, 7, h.TotalCount())
	h, err = r.NextIntervalHistogram()
	require.NoError(t, err)
	require.Equal(t, "e2e/steady", h.Tag())
	near(t, 3*time.Second, time.Duration(h.Max()), "max")
	h, err = r.NextIntervalHistogram()
	require.NoError(t, err)
	require.Nil(t, h)
	require.Error(t, WriteLog(&out, started, []LogEntry{{Tag: "a b", Histogram: a}}))
}

// TestRecorderLosesNothing: what several goroutines recorded while a collector
// ran is all there, each value in the phase it belongs to.
func TestRecorderLosesNothing(t *testing.T) {
	r := newRecorder([]time.Duration{0, time.Second})
	require.Equal(t, 0, r.phaseAt(-1))
	require.Equal(t, 0, r.phaseAt(int64(time.Second)-1))
	require.Equal(t, 1, r.phaseAt(int64(time.Second)))
	const each, workers = 20000, 4
	var wg sync.WaitGroup
	for range workers {
		s := r.shard()
		wg.Go(func() {
			for i := range int64(each) {
				s.Lock()
				s.recordLocked(int(i%2), Ack, i, 1)
				s.recordLocked(int(i%2), EndToEnd, i, 2)
				s.tally.acked.add(Count{1, 10})
				s.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var sum, values int64
	take := func(phase int) {
		c, l := r.collect(phase)
		sum += c.acked.Records
		values += l[Ack].Count()
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		take(0)
	}
	take(1)
	require.EqualValues(t, each*workers, sum)
	require.EqualValues(t, each*workers, values)
	require.EqualValues(t, each*workers, r.phase[0].acked.Records+r.phase[1].acked.Records)
	for phase := range 2 {
		l := r.latency(phase)
		require.EqualValues(t, each*workers/2, l[Ack].Count())
		require.EqualValues(t, each*workers, l[EndToEnd].Count())
		require.Zero(t, l[Service].Count())
		near(t, each-2+time.Duration(phase), l[Ack].Max(), "max")
	}
}

// TestRecordingDoesNotAllocate: not even across a collect, once it has begun.
func TestRecordingDoesNotAllocate(t *testing.T) {
	r := newRecorder([]time.Duration{0})
	s := r.shard()
	start := time.Now()
	record := func() {
		s.Lock()
		s.recordLocked(0, Ack, int64(time.Since(start)), 1)
		for m := range numMetrics {
			s.recordLocked(0, m, 12345, 1)
		}
		s.Unlock()
	}
	for range 3 {
		record()
		r.collect(0)
	}
	require.Zero(t, testing.AllocsPerRun(100, record))
}

// BenchmarkRecord is the cost of one record: all five values. share is the
// number of records that are acknowledged and seen together; their intended
// starts differ, what they share is counted once.
func BenchmarkRecord(b *testing.B) {
	b.Run("share=1", func(b *testing.B) {
		s := newRecorder([]time.Duration{0}).shard()
		b.ReportAllocs()
		for i := range int64(b.N) {
			v := 100_000 + i&0xffff
			s.Lock()
			for m := range numMetrics {
				s.recordLocked(0, m, v, 1)
			}
			s.Unlock()
		}
	})
	b.Run("share=64", func(b *testing.B) {
		s := newRecorder([]time.Duration{0}).shard()
		b.ReportAllocs()
		for i := int64(0); i < int64(b.N); i += 64 {
			v := 100_000 + i&0xffff
			s.Lock()
			s.recordLocked(0, ScheduleLag, v, 64)
			s.recordLocked(0, SendBlock, v, 64)
			s.recordLocked(0, Service, v, 64)
			for k := range int64(64) {
				s.recordLocked(0, Ack, v+k*300, 1)
				s.recordLocked(0, EndToEnd, v+k*300, 1)
			}
			s.Unlock()
		}
	})
	// What each client does for a record from hand-over to consumer: its five
	// values, the locks around them, and the looks at the clock.
	b.Run("client=lean/batch=64", func(b *testing.B) {
		r := newRecorder([]time.Duration{0})
		send, ack, seen := r.shard(), r.shard(), r.shard()
		start := time.Now()
		now := func() int64 { return int64(time.Since(start)) }
		b.ReportAllocs()
		for i := int64(0); i < int64(b.N); i += 64 {
			at := now()
			send.Lock()
			send.recordLocked(0, ScheduleLag, now()-at, 64)
			send.Unlock()
			block := now() - at
			send.Lock()
			send.recordLocked(0, SendBlock, block, 64)
			send.Unlock()
			ack.Lock()
			ack.recordLocked(0, Service, now()-at, 64)
			for k := range int64(64) {
				ack.recordLocked(0, Ack, block+k*300, 1)
			}
			ack.Unlock()
			_ = now() // a poll reads the clock once
			seen.Lock()
			for k := range int64(64) {
				seen.recordLocked(0, EndToEnd, block+k*300, 1)
			}
			seen.Unlock()
		}
	})
	b.Run("client=kgo", func(b *testing.B) {
		r := newRecorder([]time.Duration{0})
		send, ack, seen := r.shard(), r.shard(), r.shard()
		start := time.Now()
		now := func() int64 { return int64(time.Since(start)) }
		b.ReportAllocs()
		// A paced producer with room in kgo's buffer; see kgoProducer.hand.
		p := kgoProducer{r: &run{start: start, ledger: &ledger{acks: true}}}
		var sent, block int64
		at := now()
		for i := int64(0); i < int64(b.N); i++ {
			if i%glancing == 0 {
				sent, at = at, now()
				block = (at - sent) / glancing
			}
			if i%kgoBatch == 0 { // hand-overs are recorded together, and so is what a poll returns
				p.answers.Add(1)
				send.Lock()
				send.tally.sent.Records += kgoBatch
				send.Unlock()
				seen.Lock()
				seen.tally.consumed.Records += kgoBatch
				seen.Unlock()
			}
			send.recordLocked(0, ScheduleLag, at-sent, 1)
			send.recordLocked(0, SendBlock, block, 1)
			ack.Lock()
			done := p.toldAtLocked()
			ack.recordLocked(0, Ack, done-sent, 1)
			ack.recordLocked(0, Service, done-at, 1)
			ack.Unlock()
			seen.recordLocked(0, EndToEnd, done-sent, 1)
		}
	})
	b.Run("clock", func(b *testing.B) {
		from := time.Now()
		var sum time.Duration
		for range b.N {
			sum += time.Since(from)
		}
		_ = sum
	})
}

// TestPromisesShareALook: promises of one answer, and a few at a time, share a
// look at the clock; none has one from before its own answer.
func TestPromisesShareALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := kgoProducer{r: &run{start: time.Now(), ledger: &ledger{acks: true}}}
		tell := func() int64 { time.Sleep(time.Microsecond); return p.toldAtLocked() }
		first := tell()
		for range glancing - 1 {
			require.Equal(t, first, tell())
		}
		second := tell()
		require.Equal(t, first+glancing*int64(time.Microsecond), second)
		require.Equal(t, second, tell())
		time.Sleep(time.Second)
		p.OnBrokerRead(kgo.BrokerMetadata{}, 0, 0, 0, 0, nil)
		require.Greater(t, tell(), second+int64(time.Second))
		p.r.ledger.acks = false // nothing is read: each looks for itself
		require.NotEqual(t, tell(), tell())
	})
}
