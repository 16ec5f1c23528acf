package load

import "sort"

// maxRanges bounds a rangeSet to 1 MiB. A run without faults needs one range;
// each fault adds about one.
const maxRanges = 1 << 16

// span is the sequence numbers lo … hi-1.
type span struct{ lo, hi int64 }

// rangeSet is a set of sequence numbers, kept as ranges: what arrives in order
// costs no memory at all.
type rangeSet struct {
	spans   []span // ascending, not touching one another
	n       int64  // members
	refused int64  // members that would have needed one range too many
}

// add puts lo … hi-1 in, and answers how many of them were not in yet.
func (s *rangeSet) add(lo, hi int64) int64 {
	if k := len(s.spans); k > 0 && s.spans[k-1].hi == lo { // in order
		s.spans[k-1].hi = hi
		s.n += hi - lo
		return hi - lo
	}
	// spans[i:j] touch or overlap the new one.
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].hi >= lo })
	j := i
	fresh := hi - lo
	merged := span{lo, hi}
	for ; j < len(s.spans) && s.spans[j].lo <= hi; j++ {
		o := s.spans[j]
		if overlap := min(o.hi, hi) - max(o.lo, lo); overlap > 0 {
			fresh -= overlap
		}
		merged.lo, merged.hi = min(merged.lo, o.lo), max(merged.hi, o.hi)
	}
	switch {
	case j > i:
		s.spans[i] = merged
		s.spans = append(s.spans[:i+1], s.spans[j:]...)
	case len(s.spans) >= maxRanges:
		s.refused += fresh
		return fresh
	default:
		s.spans = append(s.spans, span{})
		copy(s.spans[i+1:], s.spans[i:])
		s.spans[i] = merged
	}
	s.n += fresh
	return fresh
}

// full says that members are missing, for want of room.
func (s *rangeSet) full() bool { return s.refused > 0 }

func (s *rangeSet) has(v int64) bool {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].hi > v })
	return i < len(s.spans) && s.spans[i].lo <= v
}

// without calls f, ascending, for each range of s that is not in o.
func (s *rangeSet) without(o *rangeSet, f func(span)) {
	j := 0
	for _, r := range s.spans {
		for j < len(o.spans) && o.spans[j].hi <= r.lo {
			j++
		}
		at := r.lo
		for k := j; k < len(o.spans) && o.spans[k].lo < r.hi; k++ {
			if at < o.spans[k].lo {
				f(span{at, o.spans[k].lo})
			}
			at = max(at, o.spans[k].hi)
		}
		if at < r.hi {
			f(span{at, r.hi})
		}
	}
}

// common is the number of members that both have.
func (s *rangeSet) common(o *rangeSet) int64 {
	n := s.n
	s.without(o, func(r span) { n -= r.hi - r.lo })
	return n
}

// shared is the members that both have.
func (s *rangeSet) shared(o *rangeSet) *rangeSet {
	out := &rangeSet{refused: s.refused}
	i, j := 0, 0
	for i < len(s.spans) && j < len(o.spans) {
		a, b := s.spans[i], o.spans[j]
		if lo, hi := max(a.lo, b.lo), min(a.hi, b.hi); lo < hi {
			out.spans = append(out.spans, span{lo, hi})
			out.n += hi - lo
		}
		if a.hi < b.hi {
			i++
		} else {
			j++
		}
	}
	return out
}
