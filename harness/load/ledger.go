package load

import (
	"sort"
	"sync"
)

// ledger keeps account of every record of a run.
//
// A stream is what one producer sends to one partition; its records are
// numbered from 0 in the order in which they are sent. A reading is one group's
// way through one partition. A record is told by (partition, producer, sequence
// number), which it carries with it (see stamp.go and lean.go).
//
//	stream   sent 0…next-1, and which of them were acknowledged
//	reading  per producer: which were seen, seen again, seen late, seen damaged
//
// Producers write streams, consumers write readings, and neither waits for the
// other: they are compared at the end. Sequence numbers are kept as ranges, so
// that a run of any length costs a few KiB where nothing goes wrong, and at
// most 1 MiB per set where everything does.
type ledger struct {
	parts    []partition
	streams  [][]*stream  // by partition, producer
	readings [][]*reading // by group, partition
	acks     bool         // producers ask for acknowledgements
}

// partition is a partition of the run; its place in ledger.parts is its number
// everywhere in this package.
type partition struct {
	topic string
	index int32
}

func newLedger(topics []Topic, producers, groups int, acks bool) *ledger {
	l := &ledger{acks: acks}
	for _, t := range topics {
		for i := range t.Partitions {
			l.parts = append(l.parts, partition{t.Name, int32(i)})
		}
	}
	for range l.parts {
		row := make([]*stream, producers)
		for p := range row {
			row[p] = &stream{high: -1}
			row[p].batches.passed = make([]int64, groups)
			row[p].batches.limit = max(maxBatches/(len(l.parts)*producers), 1024)
		}
		l.streams = append(l.streams, row)
	}
	for range groups {
		row := make([]*reading, len(l.parts))
		for i := range row {
			row[i] = &reading{from: make([]source, producers)}
		}
		l.readings = append(l.readings, row)
	}
	return l
}

// stream is what one producer sent to one partition.
type stream struct {
	mu      sync.Mutex
	next    int64    // sequence numbers given out
	acked   rangeSet // acknowledged
	failed  int64    // refused or given up
	high    int64    // highest acknowledged offset, -1: none known
	batches batchLog // lean: what each batch held
}

// take gives out n sequence numbers and answers the first.
func (s *stream) take(n int64) int64 {
	s.mu.Lock()
	seq := s.next
	s.next += n
	s.mu.Unlock()
	return seq
}

// untake gives the last n numbers back, which no one has seen.
func (s *stream) untake(n int64) {
	s.mu.Lock()
	s.next -= n
	s.mu.Unlock()
}

// log remembers a batch.
func (s *stream) log(b sentBatch) {
	s.mu.Lock()
	s.batches.push(b)
	s.mu.Unlock()
}

// find is the logged batch that holds seq, see batchLog.find.
func (s *stream) find(group int, seq int64) (sentBatch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches.find(group, seq)
}

// ack books n records from seq on as acknowledged; last is the offset of the
// last of them, -1 where the target does not say.
func (s *stream) ack(seq, n, last int64) {
	s.mu.Lock()
	s.acked.add(seq, seq+n)
	s.high = max(s.high, last)
	s.mu.Unlock()
}

func (s *stream) fail(n int64) {
	s.mu.Lock()
	s.failed += n
	s.mu.Unlock()
}

// reading is one group's way through one partition.
type reading struct {
	mu      sync.Mutex
	next    int64    // offset after the last record seen
	from    []source // by producer
	fresh   int64    // of this run, seen for the first time
	seen    int64    // of this run
	foreign int64
	damaged int64     // so damaged that they cannot be told
	first   []Example // damaged, at most maxExamples
}

// source is what a reading saw of one producer.
type source struct {
	set, again, late, bad rangeSet
	top                   int64 // one above the highest sequence number seen
	again1, late1, bad1   []Example
	gaps                  []gap
}

// gap is a jump in the sequence numbers and the offset of the record after it.
type gap struct {
	span
	offset int64
}

const maxExamples = 4 // of each kind, in each reading

// saw books n records that were read from offset on, whole and with the
// sequence numbers from seq on.
func (r *reading) saw(producer int, seq, n, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = offset + n
	r.seen += n
	s := &r.from[producer]
	if seq >= s.top { // nothing is seen again, nothing late
		if seq > s.top && len(s.gaps) < maxExamples {
			s.gaps = append(s.gaps, gap{span{s.top, seq}, offset})
		}
		s.set.add(seq, seq+n)
		s.top = seq + n
		r.fresh += n
		return
	}
	for i := range n {
		at := Example{Producer: producer, Sequence: seq + i, Offset: offset + i}
		if s.set.add(at.Sequence, at.Sequence+1) == 0 {
			s.again.add(at.Sequence, at.Sequence+1)
			note(&s.again1, at)
			continue
		}
		r.fresh++
		if at.Sequence < s.top {
			s.late.add(at.Sequence, at.Sequence+1)
			note(&s.late1, at)
		}
		s.top = max(s.top, at.Sequence+1)
	}
}

// sawDamaged books n damaged records. Their identity is believed where known
// is set: they count as damaged, and not as lost too.
func (r *reading) sawDamaged(known bool, producer int, seq, n, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = offset + n
	at := Example{Producer: producer, Sequence: seq, Offset: offset}
	if !known {
		r.damaged += n
		at.Producer, at.Sequence = -1, -1
		note(&r.first, at)
		return
	}
	r.seen += n
	s := &r.from[producer]
	r.fresh += s.set.add(seq, seq+n)
	s.bad.add(seq, seq+n)
	s.top = max(s.top, seq+n)
	note(&s.bad1, at)
}

// sawForeign books n records that are not of this run.
func (r *reading) sawForeign(n, offset int64) {
	r.mu.Lock()
	r.next = offset + n
	r.foreign += n
	r.mu.Unlock()
}

// plausible says whether a damaged record's sequence number is the one that
// was due, so that its identity can be believed.
func (r *reading) plausible(producer int, seq int64) bool {
	if producer < 0 || producer >= len(r.from) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from[producer].top == seq
}

// position is the offset after the last record seen.
func (r *reading) position() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// topOf is one above the highest sequence number seen of a producer.
func (r *reading) topOf(producer int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from[producer].top
}

func note(list *[]Example, e Example) {
	if len(*list) < maxExamples {
		*list = append(*list, e)
	}
}

// open is the number of records sent and neither acknowledged nor failed.
func (l *ledger) open() (n int64) {
	for _, row := range l.streams {
		for _, s := range row {
			s.mu.Lock()
			n += s.next - s.acked.n - s.acked.refused - s.failed
			s.mu.Unlock()
		}
	}
	return n
}

func (l *ledger) ackedRecords() (n int64) {
	for _, row := range l.streams {
		for _, s := range row {
			s.mu.Lock()
			n += s.acked.n + s.acked.refused
			s.mu.Unlock()
		}
	}
	return n
}

func (l *ledger) sent() (n int64) {
	for _, row := range l.streams {
		for _, s := range row {
			s.mu.Lock()
			n += s.next
			s.mu.Unlock()
		}
	}
	return n
}

// lag is how many acknowledged records the slowest group has not seen.
func (l *ledger) lag() int64 {
	// Counted before what was seen, so that a lag is never made up.
	return l.behind(l.ackedRecords())
}

// behind is how many of n records the slowest group has not seen.
func (l *ledger) behind(n int64) (worst int64) {
	for _, group := range l.readings {
		var seen int64
		for _, r := range group {
			r.mu.Lock()
			seen += r.fresh
			r.mu.Unlock()
		}
		worst = max(worst, n-seen)
	}
	return worst
}

// caughtUp says that every group has read past everything acknowledged, or
// where nothing is ever acknowledged, as many records as were sent.
func (l *ledger) caughtUp() bool {
	if !l.acks {
		return l.behind(l.sent()) == 0
	}
	for p, row := range l.streams {
		high := int64(-1)
		for _, s := range row {
			s.mu.Lock()
			high = max(high, s.high)
			s.mu.Unlock()
		}
		for _, group := range l.readings {
			r := group[p]
			r.mu.Lock()
			behind := r.next <= high
			r.mu.Unlock()
			if behind {
				return false
			}
		}
	}
	return true
}

// passed says that every group has read up to the given ends.
func (l *ledger) passed(ends []int64) bool {
	for _, group := range l.readings {
		for p, r := range group {
			r.mu.Lock()
			behind := r.next < ends[p]
			r.mu.Unlock()
			if behind {
				return false
			}
		}
	}
	return true
}

// report compares what was acknowledged with what was seen. ends is the end of
// each partition when the reading stopped, nil where the target could not be
// asked: what a reading never reached is unchecked, what it passed is lost.
func (l *ledger) report(ends []int64) LedgerReport {
	var rep LedgerReport
	for p, row := range l.streams {
		for _, s := range row {
			s.mu.Lock()
			rep.Sent += s.next
			rep.Acknowledged += s.acked.n + s.acked.refused
			s.mu.Unlock()
		}
		for g, group := range l.readings {
			end := int64(-1)
			if ends != nil {
				end = ends[p]
			}
			l.compare(&rep, p, g, group[p], end)
		}
		if ends != nil {
			l.vanished(&rep, p, ends[p])
		}
	}
	if l.acks {
		rep.Failed = rep.Sent - rep.Acknowledged
	}
	rep.Checked = len(l.readings) > 0 && (rep.Acknowledged == 0 || rep.Unchecked < rep.Acknowledged*int64(len(l.readings)))
	if len(l.readings) == 0 {
		rep.Unchecked = rep.Acknowledged
	}
	sort.SliceStable(rep.Examples, func(i, j int) bool {
		a, b := rep.Examples[i], rep.Examples[j]
		return a.Kind < b.Kind || a.Kind == b.Kind && a.Offset < b.Offset
	})
	return rep
}

// vanished counts as lost what was acknowledged, and read, and is no longer in a
// log that now ends before it: what a broker forgot when it died. Offsets are
// counted, as only they are left to tell these records by.
func (l *ledger) vanished(rep *LedgerReport, p int, end int64) {
	high, read := int64(-1), int64(0)
	for _, s := range l.streams[p] {
		s.mu.Lock()
		high = max(high, s.high)
		s.mu.Unlock()
	}
	for _, group := range l.readings {
		group[p].mu.Lock()
		read = max(read, group[p].next)
		group[p].mu.Unlock()
	}
	gone := min(read, high+1) - end
	if gone <= 0 {
		return
	}
	rep.Lost += gone
	if countKind(rep.Examples, "lost") < maxExamples {
		rep.Examples = append(rep.Examples, Example{Kind: "lost", Topic: l.parts[p].topic, Partition: int(l.parts[p].index), Producer: -1, Sequence: -1, Offset: end})
	}
}

// compare adds one group's account of one partition.
func (l *ledger) compare(rep *LedgerReport, p, g int, r *reading, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep.Seen += r.seen
	rep.Foreign += r.foreign
	rep.Corrupt += r.damaged
	add := func(kind string, list []Example, acked *rangeSet) {
		for _, e := range list {
			if acked == nil || acked.has(e.Sequence) {
				e.Kind, e.Group, e.Topic, e.Partition = kind, g, l.parts[p].topic, int(l.parts[p].index)
				if countKind(rep.Examples, kind) < maxExamples {
					rep.Examples = append(rep.Examples, e)
				}
			}
		}
	}
	add("corrupt", r.first, nil)
	for producer, s := range l.streams[p] {
		src := &r.from[producer]
		s.mu.Lock()
		reached := end >= 0 && r.next >= end || r.next > s.high && s.high >= 0
		sure := !s.acked.full() && !src.set.full()
		rep.Unchecked += s.acked.refused
		s.acked.without(&src.set, func(miss span) {
			below := max(0, min(miss.hi, src.top)-miss.lo)
			if reached {
				below = miss.hi - miss.lo
			}
			if !sure {
				below = 0
			}
			rep.Unchecked += miss.hi - miss.lo - below
			if below > 0 {
				rep.Lost += below
				add("lost", []Example{{Producer: producer, Sequence: miss.lo, Offset: src.after(miss.lo)}}, nil)
			}
		})
		rep.Unacked += src.set.n - src.set.common(&s.acked)
		rep.Duplicated += src.again.common(&s.acked)
		rep.Reordered += src.late.common(&s.acked)
		rep.Corrupt += src.bad.n
		add("duplicated", src.again1, &s.acked)
		add("reordered", src.late1, &s.acked)
		add("corrupt", src.bad1, nil)
		s.mu.Unlock()
	}
}

// after is the offset of the record read after the gap that holds seq.
func (s *source) after(seq int64) int64 {
	for _, g := range s.gaps {
		if g.lo <= seq && seq < g.hi {
			return g.offset
		}
	}
	return -1
}

func countKind(list []Example, kind string) (n int) {
	for _, e := range list {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
