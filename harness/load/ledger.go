package load

import (
	"fmt"
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
	audit    []*reading   // by partition: everything, once more, after the drain
	acks     bool         // producers ask for acknowledgements
	// mapped says that what is read lies elsewhere than what is written (see
	// Transform): offsets of the two cannot be compared.
	mapped bool
	// inputs are what the workers of a Transform read, by partition: how far, and
	// what came damaged. nil: there is none.
	inputs []*reading
	// audited says that the audit has read what there is.
	audited bool
	// committed says that readers leave out what was aborted.
	committed bool
}

// partition is a partition of the run; its place in ledger.parts is its number
// everywhere in this package.
type partition struct {
	topic string
	index int32
}

func newLedger(topics []Topic, producers, groups int, acks bool) *ledger {
	l := &ledger{acks: acks}
	l.parts = partitionsOf(topics)
	for range l.parts {
		row := make([]*stream, producers)
		for p := range row {
			row[p] = &stream{high: -1}
			row[p].batches.passed = make([]int64, groups)
			row[p].batches.limit = max(maxBatches/(len(l.parts)*producers), 1024)
		}
		l.streams = append(l.streams, row)
	}
	newReadings := func() []*reading {
		row := make([]*reading, len(l.parts))
		for i := range row {
			row[i] = &reading{from: make([]source, producers)}
		}
		return row
	}
	for range groups {
		l.readings = append(l.readings, newReadings())
	}
	l.audit = newReadings()
	return l
}

// partitionsOf numbers the partitions of topics, in the order of both.
func partitionsOf(topics []Topic) (parts []partition) {
	for _, t := range topics {
		for i := range t.Partitions {
			parts = append(parts, partition{t.Name, int32(i)})
		}
	}
	return parts
}

// retain keeps what the batch logs hold also until the audit has read it.
func (l *ledger) retain() {
	for _, row := range l.streams {
		for _, s := range row {
			s.batches.passed = append(s.batches.passed, 0)
		}
	}
}

// of is a group's readings; the audit's is the one after the last.
func (l *ledger) of(group int) []*reading {
	if group == len(l.readings) {
		return l.audit
	}
	return l.readings[group]
}

// stream is what one producer sent to one partition.
type stream struct {
	mu      sync.Mutex
	next    int64    // sequence numbers given out
	acked   rangeSet // acknowledged
	aborted rangeSet // sent in a transaction that was aborted
	failed  int64    // refused or given up
	high    int64    // highest acknowledged offset, -1: none known
	highSeq int64    // of the record at high
	offsets int64    // the sum of the offsets acknowledged; it may wrap around
	silent  bool     // some were acknowledged without an offset
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
	if last > s.high {
		s.high, s.highSeq = last, seq+n-1
	}
	s.offsets += sumTo(last, n)
	s.silent = s.silent || last < 0
	s.mu.Unlock()
}

// sumTo is the sum of n consecutive offsets up to last.
func sumTo(last, n int64) int64 { return n*last - n*(n-1)/2 }

// abort books n records from seq on as sent in vain, by intent.
func (s *stream) abort(seq, n int64) {
	s.mu.Lock()
	s.aborted.add(seq, seq+n)
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
	handed  int64    // again at the same offset, to the group's next member
	shared  bool     // by members that take over from one another
	foreign int64
	damaged int64     // so damaged that they cannot be told
	first   []Example // damaged, at most maxExamples
	refused int64     // one above the offset of the last batch that was refused
}

// source is what a reading saw of one producer.
type source struct {
	set, again, late, bad rangeSet
	top                   int64 // one above the highest sequence number seen
	topAt                 int64 // the offset of the record below top
	offsets               int64 // the sum of the offsets of set; it may wrap around
	again1, late1, bad1   []Example
	blurred               bool // offsets may hold some twice
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
	before := r.next
	r.passLocked(offset + n)
	r.seen += n
	s := &r.from[producer]
	if seq >= s.top { // nothing is seen again, nothing late
		if seq > s.top && len(s.gaps) < maxExamples {
			s.gaps = append(s.gaps, gap{span{s.top, seq}, offset})
		}
		s.set.add(seq, seq+n)
		s.top, s.topAt = seq+n, offset+n-1
		s.offsets += sumTo(offset+n-1, n)
		r.fresh += n
		return
	}
	for i := range n {
		at := Example{Producer: producer, Sequence: seq + i, Offset: offset + i}
		if s.set.add(at.Sequence, at.Sequence+1) == 0 {
			if r.shared && at.Offset < before {
				r.handed++
				continue
			}
			s.again.add(at.Sequence, at.Sequence+1)
			note(&s.again1, at)
			continue
		}
		r.fresh++
		s.offsets += at.Offset
		if at.Sequence < s.top && !(r.shared && at.Offset < before) {
			s.late.add(at.Sequence, at.Sequence+1)
			note(&s.late1, at)
		}
		if at.Sequence >= s.top {
			s.top, s.topAt = at.Sequence+1, at.Offset
		}
	}
}

// sawDamaged books n damaged records. Their identity is believed where known
// is set: they count as damaged, and not as lost too.
func (r *reading) sawDamaged(known bool, producer int, seq, n, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passLocked(offset + n)
	at := Example{Producer: producer, Sequence: seq, Offset: offset}
	if !known {
		r.damaged += n
		at.Producer, at.Sequence = -1, -1
		note(&r.first, at)
		return
	}
	r.seen += n
	s := &r.from[producer]
	fresh := s.set.add(seq, seq+n)
	r.fresh += fresh
	s.offsets += sumTo(offset+fresh-1, fresh)
	s.bad.add(seq, seq+n)
	if seq+n > s.top {
		s.top, s.topAt = seq+n, offset+n-1
	}
	note(&s.bad1, at)
}

// refuse books a batch that came so damaged that the client would not take it,
// and asks for it again: one damaged record, as nobody knows how many it holds.
// That it comes whole the next time does not undo it. false: it was refused at
// this offset before.
func (r *reading) refuse(why string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == r.next+1 {
		return false
	}
	r.refused = r.next + 1
	r.damaged++
	note(&r.first, Example{Producer: -1, Sequence: -1, Offset: r.next, Why: why})
	return true
}

// sawForeign books n records that are not of this run.
func (r *reading) sawForeign(n, offset int64) {
	r.mu.Lock()
	r.passLocked(offset + n)
	r.foreign += n
	r.mu.Unlock()
}

// pass notes that everything below next was read and held nothing more.
func (r *reading) pass(next int64) {
	r.mu.Lock()
	r.passLocked(next)
	r.mu.Unlock()
}

// passLocked: a member that takes over begins below where the last one was, and
// the group does not fall back with it.
func (r *reading) passLocked(next int64) {
	if !r.shared || next > r.next {
		r.next = next
	}
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
			n += s.next - s.acked.n - s.acked.refused - s.aborted.n - s.aborted.refused - s.failed
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

// behindOf is how many of n records a group has not seen.
func (l *ledger) behindOf(group int, n int64) int64 {
	for _, r := range l.readings[group] {
		r.mu.Lock()
		n -= r.fresh
		r.mu.Unlock()
	}
	return n
}

// caughtUp says that every group has read past everything acknowledged, or
// where nothing is ever acknowledged, as many records as were sent.
func (l *ledger) caughtUp() bool {
	switch {
	case !l.acks:
		return l.behind(l.sent()) == 0
	case l.mapped:
		for _, group := range l.readings {
			if !l.complete(group) {
				return false
			}
		}
		return true
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
			if behind && !(l.misplacedIn(p, r) && l.completeIn(p, r)) {
				return false
			}
		}
	}
	return true
}

// misplacedIn says that records of some stream were acknowledged at other offsets
// than they were read at, so that offsets say nothing of what is still to come.
func (l *ledger) misplacedIn(p int, r *reading) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range l.streams[p] {
		s.mu.Lock()
		bad := s.misplaced(&r.from[i])
		s.mu.Unlock()
		if bad {
			return true
		}
	}
	return false
}

// misplaced says that records were acknowledged at other offsets than they were
// read at. Where exactly what was acknowledged was read, once, the sums of both
// are compared; else only the record that was acknowledged at the highest offset
// is. The caller holds both locks.
func (s *stream) misplaced(src *source) bool {
	switch {
	case s.high < 0 || s.acked.full() || src.set.full():
		return false
	case src.top == s.highSeq+1 && src.topAt != s.high:
		return true
	case s.silent || src.blurred || src.set.n != s.acked.n || src.set.common(&s.acked) != s.acked.n:
		return false
	}
	return src.offsets != s.offsets
}

// complete says that the readings hold everything acknowledged.
func (l *ledger) complete(group []*reading) bool {
	for p := range l.streams {
		if !l.completeIn(p, group[p]) {
			return false
		}
	}
	return true
}

func (l *ledger) completeIn(p int, r *reading) bool {
	for i, s := range l.streams[p] {
		r.mu.Lock()
		s.mu.Lock()
		ok := r.from[i].set.common(&s.acked) == s.acked.n
		s.mu.Unlock()
		r.mu.Unlock()
		if !ok {
			return false
		}
	}
	return true
}

// passed says that each of the groups has read up to the given ends.
func passed(groups [][]*reading, ends []int64) bool {
	for _, group := range groups {
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
	rep := LedgerReport{Verified: l.audited}
	for p, row := range l.streams {
		for _, s := range row {
			s.mu.Lock()
			rep.Sent += s.next
			rep.Acknowledged += s.acked.n + s.acked.refused
			rep.Aborted += s.aborted.n + s.aborted.refused
			s.mu.Unlock()
		}
		for g, group := range l.readings {
			end := int64(-1)
			if ends != nil {
				end = ends[p]
			}
			l.compare(&rep, p, g, group[p], end)
		}
		switch {
		case l.audited:
			end := int64(-1)
			if ends != nil {
				end = ends[p]
			}
			l.compare(&rep, p, -1, l.audit[p], end)
		case ends != nil && !l.mapped:
			l.vanished(&rep, p, ends[p])
		}
	}
	for p, r := range l.inputs {
		r.mu.Lock()
		rep.Corrupt += r.damaged
		for _, e := range r.first {
			rep.addExample("corrupt", l.parts[p], 0, e)
		}
		r.mu.Unlock()
	}
	if l.acks {
		rep.Failed = rep.Sent - rep.Acknowledged - rep.Aborted
	}
	readers := int64(len(l.readings))
	if l.audited {
		readers++
	}
	rep.Checked = len(l.readings) > 0 && (rep.Acknowledged == 0 || rep.Unchecked < rep.Acknowledged*readers)
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
	high, read, acked, misplaced := int64(-1), int64(0), int64(0), false
	for _, s := range l.streams[p] {
		s.mu.Lock()
		high = max(high, s.high)
		acked += s.acked.n + s.acked.refused
		s.mu.Unlock()
	}
	for _, group := range l.readings {
		misplaced = misplaced || l.misplacedIn(p, group[p])
	}
	for _, group := range l.readings {
		group[p].mu.Lock()
		read = max(read, group[p].next)
		group[p].mu.Unlock()
	}
	// Where others write to the topic, offsets count their records too.
	gone := min(read, high+1, end+acked) - end
	if gone <= 0 || misplaced {
		return
	}
	rep.Lost += gone
	if countKind(rep.Examples, "lost") < maxExamples {
		rep.Examples = append(rep.Examples, Example{Kind: "lost", Topic: l.parts[p].topic, Partition: int(l.parts[p].index), Producer: -1, Sequence: -1, Offset: end})
	}
}

// compare adds one group's account of one partition. Where there was an audit,
// what the log no longer holds is its finding, and a group's only what it missed
// of the rest, so that nothing is counted twice.
func (l *ledger) compare(rep *LedgerReport, p, g int, r *reading, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep.Seen += r.seen
	rep.Foreign += r.foreign
	rep.Redelivered += r.handed
	rep.Corrupt += r.damaged
	add := func(kind string, list []Example, acked *rangeSet) {
		for _, e := range list {
			if acked == nil || acked.has(e.Sequence) {
				rep.addExample(kind, l.parts[p], g, e)
			}
		}
	}
	add("corrupt", r.first, nil)
	for producer, s := range l.streams[p] {
		src, before := &r.from[producer], rep.Violations()
		s.mu.Lock()
		reached := end >= 0 && r.next >= end || !l.mapped && r.next > s.high && s.high >= 0
		sure := !s.acked.full() && !src.set.full()
		rep.Unchecked += s.acked.refused
		due := &s.acked
		if g >= 0 && l.audited {
			due = s.acked.shared(&l.audit[p].from[producer].set)
		}
		due.without(&src.set, func(miss span) {
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
		seen := src.set.common(&s.aborted)
		if rep.Unacked += src.set.n - src.set.common(&s.acked); l.committed {
			rep.AbortedSeen += seen
			rep.Unacked -= seen
		}
		rep.Duplicated += src.again.common(&s.acked)
		rep.Reordered += src.late.common(&s.acked)
		rep.Corrupt += src.bad.n
		// Whoever loses, doubles or reorders shifts offsets too: that is told already.
		if !l.mapped && rep.Violations() == before && s.misplaced(src) {
			rep.Misplaced++
			e := Example{Producer: producer, Sequence: -1, Offset: -1}
			if src.top == s.highSeq+1 && src.topAt != s.high {
				e.Sequence, e.Offset, e.Why = s.highSeq, s.high, fmt.Sprintf("acknowledged there, read at offset %d", src.topAt)
			}
			add("misplaced", []Example{e}, nil)
		}
		add("duplicated", src.again1, &s.acked)
		add("reordered", src.late1, &s.acked)
		add("corrupt", src.bad1, nil)
		s.mu.Unlock()
	}
}

// addExample keeps an example of a partition, as found by a group, where there
// is room.
func (rep *LedgerReport) addExample(kind string, at partition, group int, e Example) {
	if countKind(rep.Examples, kind) < maxExamples {
		e.Kind, e.Group, e.Topic, e.Partition = kind, group, at.topic, int(at.index)
		rep.Examples = append(rep.Examples, e)
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
