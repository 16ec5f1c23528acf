package diskio

import (
	"errors"
	"io"
	"sort"
	"syscall"
)

// Read is a range of whole batches of one segment: from the batch that holds
// offset, about limit bytes, nothing at or past upTo. The first batch is given
// whole even if it is larger than limit, so that a reader always moves. Nil and
// nil: there is nothing between offset and upTo. ErrOutOfRange: offset is below
// Start or above End. The caller releases the Span. Read takes no lock and, at
// the tail, looks at no file.
//
// Compaction leaves batches without records. A span of nothing else is given
// only where nothing else is left: librdkafka takes such an answer for one that
// was cut off, kafka-go asks for the same again, and neither moves.
func (l *Log) Read(offset int64, limit int, upTo int64) (*Span, error) {
	sp, err := l.read(offset, limit, upTo)
	if sp == nil || err != nil || !sp.hollow() {
		return sp, err
	}
	for next := sp.NextOffset(); ; {
		after, err := l.read(next, limit, upTo)
		if after == nil || err != nil {
			return sp, nil // where the reader comes next; the error, too, is found there
		}
		if !after.hollow() {
			sp.Release()
			return after, nil
		}
		next = after.NextOffset()
		after.Release()
	}
}

func (l *Log) read(offset int64, limit int, upTo int64) (*Span, error) {
	for {
		segs := *l.segs.Load()
		if len(segs) == 0 {
			return nil, ErrClosed
		}
		if offset < l.start.Load() || offset > l.end.Load() {
			return nil, ErrOutOfRange
		}
		i := floorSegment(segs, offset)
		if i < 0 {
			return nil, ErrOutOfRange
		}
		for ; i < len(segs) && segs[i].base < upTo; i++ {
			s := segs[i]
			if !s.acquire() {
				break
			}
			sp, err := s.read(max(offset, s.base), limit, upTo)
			if sp == nil {
				s.release()
			}
			if err != nil && s.deleted.Load() {
				break
			}
			if err != nil {
				return nil, l.readFault(s, offset, err)
			}
			if sp != nil {
				return sp, nil
			}
		}
		if i == len(segs) || segs[i].base >= upTo {
			return nil, nil
		}
		// The segment went away under the list: whoever is changing it holds
		// mu until the new one is out.
		l.settle()
	}
}

// settle returns when whoever is changing the list of segments is through.
func (l *Log) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
}

// readFault is the error of a read that the disk refused, which stops the log,
// or of bytes that are no batches, which does not: other offsets may be good. Nor
// does a process that has no descriptor left.
func (l *Log) readFault(s *segment, offset int64, err error) error {
	if isBadBatch(err) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return l.fault("read", s.base, offset, err)
	}
	return l.fail("read", s.base, offset, err)
}

// floorSegment is the index of the last segment that starts at or below
// offset, -1 where there is none.
func floorSegment(segs []*segment, offset int64) int {
	// The tail is what is read most.
	if n := len(segs) - 1; n >= 0 && segs[n].base <= offset {
		return n
	}
	return sort.Search(len(segs), func(i int) bool { return segs[i].base > offset }) - 1
}

// place is a batch start in a segment, or the end of its last batch, and the
// offset that starts there.
type place struct {
	pos    int64
	offset int64
}

// read is the span from offset, nil where the segment has no such batch below
// upTo. It keeps the caller's reference if it returns a span.
func (s *segment) read(offset int64, limit int, upTo int64) (*Span, error) {
	next, size := s.end()
	if offset >= next {
		return nil, nil
	}
	f, err := s.open()
	if err != nil {
		return nil, err
	}
	from, err := s.locate(f, offset, place{size, next})
	if err != nil || from.pos == size {
		return nil, err
	}
	to := place{size, next}
	if upTo < next {
		if to, err = s.locate(f, upTo, to); err != nil || to.pos <= from.pos {
			return nil, err
		}
	}
	if to.pos-from.pos > int64(limit) {
		if to, err = s.floorAt(f, from, from.pos+int64(max(limit, 0)), place{size, next}); err != nil {
			return nil, err
		}
	}
	if to.offset <= offset {
		// A reader would ask for the same again, for ever.
		return nil, corrupt("offsets do not ascend at byte %d", to.pos)
	}
	if to.pos < size {
		s.hints.put(makeIndexEntry(uint32(to.offset-s.base), to.pos))
	}
	sp := spans.Get().(*Span)
	sp.seg, sp.file, sp.path = s, f, s.l.path
	sp.from, sp.to = from, to
	return sp, nil
}

// locate is the first batch that ends after offset, end where there is none.
func (s *segment) locate(f *segmentFile, offset int64, end place) (place, error) {
	if offset <= s.base {
		return s.first(f, end)
	}
	if r := s.recent.Load(); r != nil {
		if e, ok := r.floor(func(e indexEntry) bool { return int64(e.rel()) <= offset-s.base }); ok {
			return place{e.pos(), s.base + int64(e.rel())}, nil
		}
	}
	if e, ok := s.hints.get(uint32(offset - s.base)); ok {
		return place{e.pos(), offset}, nil
	}
	entries, err := s.entries()
	if err != nil {
		return place{}, err
	}
	w := getWalker(f, end.pos)
	defer putWalker(w)
	for pos := floorRel(entries, uint32(offset-s.base)); ; {
		h, err := w.header(pos)
		if err == io.EOF {
			return end, nil
		}
		if err != nil {
			return place{}, s.batchFault(pos, err)
		}
		if h.last >= offset {
			return place{pos, h.base}, nil
		}
		pos += h.size
	}
}

// first is the segment's first batch, which need not start at base where
// compaction took the ones before it.
func (s *segment) first(f *segmentFile, end place) (place, error) {
	if end.pos == 0 {
		return end, nil
	}
	if s.whole {
		return place{0, s.base}, nil
	}
	w := getWalker(f, end.pos)
	defer putWalker(w)
	h, err := w.header(0)
	if err != nil {
		return place{}, s.batchFault(0, err)
	}
	return place{0, h.base}, nil
}

// floorAt is the last batch start at or below pos, but at least the end of the
// batch at from.
func (s *segment) floorAt(f *segmentFile, from place, pos int64, end place) (place, error) {
	if pos >= end.pos {
		return end, nil
	}
	if r := s.recent.Load(); r != nil {
		if e, ok := r.floor(func(e indexEntry) bool { return e.pos() <= pos }); ok && e.pos() > from.pos {
			return place{e.pos(), s.base + int64(e.rel())}, nil
		}
	}
	entries, err := s.entries()
	if err != nil {
		return place{}, err
	}
	start := max(from.pos, floorPos(entries, pos))
	w := getWalker(f, end.pos)
	defer putWalker(w)
	for {
		h, err := w.header(start)
		if err == io.EOF {
			return end, nil
		}
		if err != nil {
			return place{}, s.batchFault(start, err)
		}
		if start+h.size > pos && start > from.pos {
			return place{start, h.base}, nil
		}
		if start += h.size; start > pos {
			// Only the batch at from can get here: it is larger than what was
			// asked for.
			return s.placeAt(w, start, end)
		}
	}
}

// placeAt is the batch start at pos, with the offset it begins with.
func (s *segment) placeAt(w *window, pos int64, end place) (place, error) {
	h, err := w.header(pos)
	if err == io.EOF {
		return end, nil
	}
	if err != nil {
		return place{}, s.batchFault(pos, err)
	}
	return place{pos, h.base}, nil
}

// batchFault says where in the segment bad bytes were met.
func (s *segment) batchFault(pos int64, err error) error {
	if !isBadBatch(err) {
		return err
	}
	return corrupt("batch at byte %d: %v", pos, err)
}

// entries is the offset index; it is read, or rebuilt, when a closed segment is
// first looked into.
func (s *segment) entries() ([]indexEntry, error) {
	if !s.used.Load() {
		s.used.Store(true)
	}
	if e, ok := s.index.loaded(); ok {
		return e, nil
	}
	return s.loadIndex()
}
