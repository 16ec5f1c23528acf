package load

import (
	"sync"
	"time"
)

// recorder keeps what happened. Each goroutine that records has a shard of its
// own; a collector takes the shards' contents about once a second.
//
// Two questions have two answers. *How much* happened is counted when it
// happens, so that a rate is of the time it is said of. *How long* it took
// belongs to the phase in which the record was intended to start, wherever it
// ended: a record of the steady phase that is acknowledged during the drain is
// one of the steady phase's slow records.
type recorder struct {
	starts []int64 // of each phase, ns

	mu     sync.Mutex
	shards []*shard // guarded by mu

	// Owned by the collector.
	totals   []Latency // by phase
	interval Latency
	count    tally   // since the last collect
	phase    []tally // by phase
}

// tally is what is counted when it happens.
type tally struct {
	sent, acked, consumed Count
	wire                  int64
	errors, reconnects    int64
	late                  int64
}

func (t *tally) add(o tally) {
	t.sent.add(o.sent)
	t.acked.add(o.acked)
	t.consumed.add(o.consumed)
	t.wire += o.wire
	t.errors += o.errors
	t.reconnects += o.reconnects
	t.late += o.late
}

func (c *Count) add(o Count) {
	c.Records += o.Records
	c.Bytes += o.Bytes
}

// shard is one goroutine's share of the recorder. Its owner holds the lock for
// as long as it records, normally for a batch; only the collector competes.
type shard struct {
	sync.Mutex
	tally tally
	now   []Latency    // by phase; nil where nothing was recorded since the last collect
	free  []*Histogram // empty, for the next nil
}

func newRecorder(starts []time.Duration) *recorder {
	r := &recorder{totals: make([]Latency, len(starts)), phase: make([]tally, len(starts))}
	for _, s := range starts {
		r.starts = append(r.starts, int64(s))
	}
	for m := range numMetrics {
		r.interval[m] = NewHistogram()
	}
	return r
}

func (r *recorder) shard() *shard {
	s := &shard{now: make([]Latency, len(r.starts))}
	r.mu.Lock()
	r.shards = append(r.shards, s)
	r.mu.Unlock()
	return s
}

// phaseAt is the phase in which a record was intended to start.
func (r *recorder) phaseAt(ns int64) int {
	for k := len(r.starts) - 1; k > 0; k-- {
		if r.starts[k] <= ns {
			return k
		}
	}
	return 0
}

// recordLocked counts n values of v ns for the records of a phase. In a steady
// state it does not allocate: the collector hands the histograms back.
func (s *shard) recordLocked(phase int, m Metric, v, n int64) {
	h := s.now[phase][m]
	if h == nil {
		h = s.emptyLocked()
		s.now[phase][m] = h
	}
	h.Record(v, n)
}

// arrival says when consecutive records of one producer were intended to start.
type arrival struct {
	phase int
	at    int64 // ns of all of them; -1: as pace says
	begin int64 // ns of the phase
	pace  Pacer
	event int64 // the first
}

// recordEach counts now minus the intended start of each of n records.
func (s *shard) recordEach(m Metric, now, n int64, a arrival) {
	if a.at >= 0 {
		s.recordLocked(a.phase, m, now-a.at, n)
		return
	}
	for i := range n {
		s.recordLocked(a.phase, m, now-a.begin-int64(a.pace.At(a.event+i)), 1)
	}
}

func (s *shard) emptyLocked() *Histogram {
	if n := len(s.free); n > 0 {
		h := s.free[n-1]
		s.free = s.free[:n-1]
		return h
	}
	return NewHistogram()
}

// collect takes what the shards hold into the totals, books what was counted
// on the phase in which it was, and answers the interval since the last
// collect. The histograms are valid until the next.
func (r *recorder) collect(phase int) (tally, Latency) {
	for _, h := range r.interval {
		h.reset()
	}
	r.count = tally{}
	r.mu.Lock()
	shards := r.shards
	r.mu.Unlock()
	taken := make([]Latency, len(r.starts))
	var empty []*Histogram
	for _, s := range shards {
		s.Lock()
		r.count.add(s.tally)
		s.tally = tally{}
		copy(taken, s.now)
		clear(s.now)
		s.Unlock()

		empty = empty[:0]
		for k := range taken {
			for m, h := range taken[k] {
				if h == nil {
					continue
				}
				if r.totals[k][m] == nil {
					r.totals[k][m] = NewHistogram()
				}
				r.totals[k][m].Merge(h)
				r.interval[m].Merge(h)
				h.reset()
				empty = append(empty, h)
			}
		}
		s.Lock()
		s.free = append(s.free, empty...)
		s.Unlock()
	}
	r.phase[phase].add(r.count)
	return r.count, r.interval
}

// latency is a phase's totals, empty histograms where nothing was recorded.
func (r *recorder) latency(phase int) Latency {
	l := r.totals[phase]
	for m := range l {
		if l[m] == nil {
			l[m] = NewHistogram()
		}
	}
	return l
}

// phaseStarts are the begins of consecutive phases, and their end.
func phaseStarts(phases []Phase) (starts []time.Duration, end time.Duration) {
	for _, p := range phases {
		starts = append(starts, end)
		end += p.Len
	}
	return starts, end
}

// acknowledged is how many records were acknowledged, all phases.
func (r *recorder) acknowledged() (n int64) {
	for _, t := range r.phase {
		n += t.acked.Records
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shards {
		s.Lock()
		n += s.tally.acked.Records
		s.Unlock()
	}
	return n
}
