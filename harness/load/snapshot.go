package load

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// What parts of a run tell one another about their figures, in JSON.

// A histogram travels without loss: base64 of uvarints, first the number out of
// range, then for each place in use its distance from the one before (from -1)
// and its count.

// MarshalJSON keeps every place and its count.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(h.out))
	last := -1
	for at := h.lo; at <= h.hi; at++ {
		if n := h.counts[at]; n > 0 {
			b = binary.AppendUvarint(b, uint64(at-last))
			b = binary.AppendUvarint(b, uint64(n))
			last = at
		}
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(b))
}

var errHistogram = errors.New("not a histogram")

// UnmarshalJSON takes what MarshalJSON made.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var b []byte // as base64
	if err := json.Unmarshal(text, &b); err != nil {
		return fmt.Errorf("%w: %w", errHistogram, err)
	}
	next := func() (v int64, ok bool) {
		u, n := binary.Uvarint(b)
		if n <= 0 || u > math.MaxInt64 {
			return 0, false
		}
		b = b[n:]
		return int64(u), true
	}
	out, ok := next()
	if !ok {
		return errHistogram
	}
	*h = *NewHistogram()
	at := -1
	for len(b) > 0 {
		step, ok1 := next()
		n, ok2 := next()
		if !ok1 || !ok2 || step < 1 || step > int64(places) || at+int(step) >= places || n < 1 || n > math.MaxInt64-h.total {
			return errHistogram
		}
		at += int(step)
		h.counts[at] = n
		h.total += n
		h.lo, h.hi = min(h.lo, at), at
	}
	if h.out = out; out > h.total {
		return errHistogram
	}
	return nil
}

// rangeSnapshot is a rangeSet: lo and hi of each span in turn, each as the
// distance from what came before.
type rangeSnapshot struct {
	Spans   []int64 `json:",omitempty"`
	Refused int64   `json:",omitempty"`
}

func (s *rangeSet) snapshot() (out rangeSnapshot) {
	at := int64(0)
	for _, r := range s.spans {
		out.Spans = append(out.Spans, r.lo-at, r.hi-r.lo)
		at = r.hi
	}
	out.Refused = s.refused
	return out
}

// set is the rangeSet; an error for what is none.
func (s rangeSnapshot) set() (out rangeSet, err error) {
	if len(s.Spans)%2 != 0 || len(s.Spans) > 2*maxRanges || s.Refused < 0 {
		return out, errors.New("not a set of ranges")
	}
	at := int64(0)
	for i := 0; i < len(s.Spans); i += 2 {
		gap, n := s.Spans[i], s.Spans[i+1]
		if gap < 0 || gap == 0 && i > 0 || n <= 0 || gap > math.MaxInt64-at || n > math.MaxInt64-at-gap {
			return out, errors.New("not a set of ranges")
		}
		out.spans = append(out.spans, span{at + gap, at + gap + n})
		out.n += n
		at += gap + n
	}
	out.refused = s.Refused
	return out, nil
}

// union adds what another set holds.
func (s *rangeSet) union(o *rangeSet) {
	for _, r := range o.spans {
		s.add(r.lo, r.hi)
	}
	s.refused += o.refused
}

// streamSnapshot is a stream that was used.
type streamSnapshot struct {
	Part, Producer int
	Next, High     int64
	HighSeq        int64         `json:",omitempty"`
	Offsets        int64         `json:",omitempty"`
	Silent         bool          `json:",omitempty"`
	Failed         int64         `json:",omitempty"`
	Acked          rangeSnapshot `json:",omitzero"`
	Aborted        rangeSnapshot `json:",omitzero"`
}

// readingSnapshot is a reading that saw something.
type readingSnapshot struct {
	Group, Part     int
	Next            int64
	Seen            int64
	Handed          int64            `json:",omitempty"`
	Foreign         int64            `json:",omitempty"`
	Damaged         int64            `json:",omitempty"`
	DamagedExamples []Example        `json:",omitempty"`
	From            []sourceSnapshot `json:",omitempty"`
}

type sourceSnapshot struct {
	Producer                              int
	Top, TopAt, Offsets                   int64
	Blurred                               bool          `json:",omitempty"`
	Set                                   rangeSnapshot `json:",omitzero"`
	Again, Late, Bad                      rangeSnapshot `json:",omitzero"`
	AgainExamples, LateExamples, BadExams []Example     `json:",omitempty"`
	Gaps                                  [][3]int64    `json:",omitempty"`
}

// streamSnapshots is what was sent.
func (l *ledger) streamSnapshots() (list []streamSnapshot) {
	for p, row := range l.streams {
		for i, s := range row {
			s.mu.Lock()
			if s.next > 0 {
				list = append(list, streamSnapshot{p, i, s.next, s.high, s.highSeq, s.offsets, s.silent, s.failed, s.acked.snapshot(), s.aborted.snapshot()})
			}
			s.mu.Unlock()
		}
	}
	return list
}

// readingSnapshots is what was read.
func (l *ledger) readingSnapshots(begin []int64) (list []readingSnapshot) {
	for g, group := range l.readings {
		for p, r := range group {
			r.mu.Lock()
			if r.next > begin[p] || r.damaged > 0 {
				list = append(list, r.snapshot(g, p))
			}
			r.mu.Unlock()
		}
	}
	return list
}

func (r *reading) snapshot(group, part int) readingSnapshot {
	out := readingSnapshot{Group: group, Part: part, Next: r.next, Seen: r.seen, Handed: r.handed,
		Foreign: r.foreign, Damaged: r.damaged, DamagedExamples: r.first}
	for i := range r.from {
		s := &r.from[i]
		if s.top == 0 {
			continue
		}
		o := sourceSnapshot{Producer: i, Top: s.top, TopAt: s.topAt, Offsets: s.offsets, Blurred: s.blurred, Set: s.set.snapshot(), Again: s.again.snapshot(), Late: s.late.snapshot(),
			Bad: s.bad.snapshot(), AgainExamples: s.again1, LateExamples: s.late1, BadExams: s.bad1}
		for _, g := range s.gaps {
			o.Gaps = append(o.Gaps, [3]int64{g.lo, g.hi, g.offset})
		}
		out.From = append(out.From, o)
	}
	return out
}

// addStreams takes over what a part sent. A producer is of one part only.
func (l *ledger) addStreams(list []streamSnapshot) error {
	for _, o := range list {
		if o.Part < 0 || o.Part >= len(l.parts) || o.Producer < 0 || o.Producer >= len(l.streams[o.Part]) {
			return fmt.Errorf("an account of producer %d in partition %d, which the run does not have", o.Producer, o.Part)
		}
		acked, err1 := o.Acked.set()
		aborted, err2 := o.Aborted.set()
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		s := l.streams[o.Part][o.Producer]
		s.mu.Lock()
		s.next, s.failed, s.acked, s.aborted = o.Next, o.Failed, acked, aborted
		s.high, s.highSeq, s.offsets, s.silent = o.High, o.HighSeq, o.Offsets, o.Silent
		s.mu.Unlock()
	}
	return nil
}

// addReadings takes over what a part read. A partition that a group's members of
// several parts have read, one after another, is one reading in the end: what two
// of them saw was read again by whoever took over.
func (l *ledger) addReadings(list []readingSnapshot) error {
	for _, o := range list {
		if o.Group < 0 || o.Group >= len(l.readings) || o.Part < 0 || o.Part >= len(l.parts) {
			return fmt.Errorf("an account of group %d in partition %d, which the run does not have", o.Group, o.Part)
		}
		r := l.readings[o.Group][o.Part]
		r.mu.Lock()
		err := r.addLocked(o)
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) addLocked(o readingSnapshot) error {
	r.next = max(r.next, o.Next)
	r.seen += o.Seen
	r.handed += o.Handed
	r.foreign += o.Foreign
	r.damaged += o.Damaged
	r.first = some(r.first, o.DamagedExamples)
	for _, f := range o.From {
		if f.Producer < 0 || f.Producer >= len(r.from) {
			return fmt.Errorf("an account of what was read of producer %d, which the run does not have", f.Producer)
		}
		set, err1 := f.Set.set()
		again, err2 := f.Again.set()
		late, err3 := f.Late.set()
		bad, err4 := f.Bad.set()
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return err
		}
		s := &r.from[f.Producer]
		before := s.set.n
		both := s.set.shared(&set)
		s.set.union(&set)
		r.fresh += s.set.n - before
		if r.shared {
			r.handed += both.n
		} else {
			s.again.union(both)
		}
		s.offsets += f.Offsets
		s.blurred = s.blurred || f.Blurred || both.n > 0
		s.again.union(&again)
		s.late.union(&late)
		s.bad.union(&bad)
		if f.Top > s.top {
			s.top, s.topAt = f.Top, f.TopAt
		}
		s.again1, s.late1, s.bad1 = some(s.again1, f.AgainExamples), some(s.late1, f.LateExamples), some(s.bad1, f.BadExams)
		for _, g := range f.Gaps {
			if len(s.gaps) < maxExamples {
				s.gaps = append(s.gaps, gap{span{g[0], g[1]}, g[2]})
			}
		}
	}
	return nil
}

func some(list, more []Example) []Example {
	list = append(list[:len(list):len(list)], more...)
	return list[:min(len(list), maxExamples)]
}
