package diskio

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"

	"millrace/batching"
)

// header is what the log itself wants to know of a batch; its records stay
// unread. The places of the fields are drawn in package batching.
type header struct {
	pos   int64 // where the batch starts in its segment
	size  int64 // whole, in bytes
	base  int64 // first offset
	last  int64 // last offset
	epoch int32
	crc   uint32
	ms    int64 // greatest timestamp
	count int32
}

func (h header) next() int64 { return h.last + 1 }

// parseHeader reads the first 61 bytes of a batch. It believes nothing but what
// it checks: the length may still reach beyond the file.
func parseHeader(b []byte, pos int64) (header, error) {
	size, err := batching.PeekSize(b)
	if err != nil {
		return header{}, err
	}
	h := header{
		pos:   pos,
		size:  int64(size),
		base:  int64(binary.BigEndian.Uint64(b)),
		epoch: int32(binary.BigEndian.Uint32(b[12:])),
		crc:   binary.BigEndian.Uint32(b[17:]),
		ms:    int64(binary.BigEndian.Uint64(b[35:])),
		count: int32(binary.BigEndian.Uint32(b[57:])),
	}
	if h.count == 0 {
		h.ms = -1 // what compaction emptied has no record of that time any more
	}
	delta := int32(binary.BigEndian.Uint32(b[23:]))
	h.last = h.base + int64(delta)
	switch {
	case h.base < 0:
		return h, corrupt("base offset %d", h.base)
	case delta < 0 || h.last < h.base:
		return h, corrupt("last offset delta %d at base offset %d", delta, h.base)
	case h.count < 0 || int64(h.count) > int64(delta)+1:
		return h, corrupt("%d records in %d offsets", h.count, int64(delta)+1)
	}
	return h, nil
}

// window is a stretch of a file held in a buffer of fixed size, through which
// any number of bytes can be looked at: what a batch says of its length never
// decides how much memory is taken.
type window struct {
	f   io.ReaderAt
	end int64 // the file is read up to here
	buf []byte
	at  int64 // where buf[0] lies in the file
	n   int   // bytes of buf that are filled
}

const (
	walkBuffer = 4 << 10   // headers of a few batches; one page
	scanBuffer = 256 << 10 // everything, in order
)

// walkers serves Read: a window is larger than a stack should carry.
var walkers = sync.Pool{New: func() any { return &window{buf: make([]byte, walkBuffer)} }}

func getWalker(f io.ReaderAt, end int64) *window {
	w := walkers.Get().(*window)
	w.f, w.end, w.at, w.n = f, end, 0, 0
	return w
}

func putWalker(w *window) {
	w.f = nil
	walkers.Put(w)
}

func newScanner(f io.ReaderAt, end int64) *window {
	return &window{f: f, end: end, buf: make([]byte, min(max(end, batching.HeaderSize), scanBuffer))}
}

// peek is n bytes at pos, fewer where the file ends before; good until the
// next call. n is at most the buffer.
func (w *window) peek(pos int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(w.end-pos, 0)))
	if pos < w.at || pos+int64(n) > w.at+int64(w.n) {
		want := min(int64(len(w.buf)), w.end-pos)
		got, err := w.f.ReadAt(w.buf[:want], pos)
		w.at, w.n = pos, got
		if err != nil && err != io.EOF {
			w.n = 0
			return nil, err
		}
		n = min(n, got)
	}
	return w.buf[pos-w.at:][:n], nil
}

// header is the batch at pos, which lies within the file as a whole. io.EOF:
// the file ends there.
func (w *window) header(pos int64) (header, error) {
	if pos >= w.end {
		return header{}, io.EOF
	}
	b, err := w.peek(pos, batching.HeaderSize)
	if err != nil {
		return header{}, err
	}
	if len(b) < batching.HeaderSize {
		return header{}, corrupt("%d bytes are left, a batch has at least %d", len(b), batching.HeaderSize)
	}
	h, err := parseHeader(b, pos)
	if err != nil {
		return h, err
	}
	if h.size > w.end-pos {
		return h, corrupt("a batch of %d bytes, but only %d are left", h.size, w.end-pos)
	}
	return h, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcFrom is where the bytes start that the checksum covers.
const crcFrom = 21

// check reads the whole batch and compares its checksum.
func (w *window) check(h header) error {
	var sum uint32
	for pos, end := h.pos+crcFrom, h.pos+h.size; pos < end; {
		b, err := w.peek(pos, int(min(end-pos, int64(len(w.buf)))))
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return corrupt("the file ended inside a batch")
		}
		sum = crc32.Update(sum, castagnoli, b)
		pos += int64(len(b))
	}
	if sum != h.crc {
		return corrupt("checksum %08x of the batch at base offset %d, stored is %08x", sum, h.base, h.crc)
	}
	return nil
}

// indexRule decides which batches get an entry.
type indexRule struct {
	interval int64
	since    int64 // bytes since the last entry
}

// due says whether the next batch, of size bytes, gets one.
func (r *indexRule) due(size int64) bool {
	due := r.since > r.interval
	if due {
		r.since = 0
	}
	r.since += size
	return due
}

// survey is what a walk over a segment found.
type survey struct {
	size    int64 // bytes of whole, good batches
	next    int64 // offset after them
	batches int64
	records int64
	first   header // of the walk
	index   []indexEntry
	times   []timeEntry
	max     timeEntry
	rule    indexRule
	fault   error // what ended it before the end of the file; about bytes, not the disk
}

// surveySegment walks a segment from its first byte and builds its indexes. deep
// reads everything and compares checksums. each, where not nil, sees every good
// batch. The error is the disk's.
func surveySegment(w *window, base, interval int64, deep bool, each func(header) error) (survey, error) {
	s := survey{next: base, max: timeEntry{ms: -1}, rule: indexRule{interval: interval}}
	return s.walk(w, base, deep, each)
}

// walk goes on from s.size.
func (s survey) walk(w *window, base int64, deep bool, each func(header) error) (survey, error) {
	for {
		h, err := w.header(s.size)
		if err == io.EOF {
			return s, nil
		}
		if err == nil {
			err = s.fits(h, base)
		}
		if err == nil && deep {
			err = w.check(h)
		}
		if err == nil && each != nil {
			err = each(h)
		}
		if isBadBatch(err) {
			s.fault = err
			return s, nil
		}
		if err != nil {
			return s, err
		}
		s.add(h, base)
	}
}

func (s *survey) fits(h header, base int64) error {
	switch {
	case h.base < s.next:
		return corrupt("base offset %d, expected at least %d", h.base, s.next)
	case h.last-base > maxRelative:
		return corrupt("offset %d is too far from the segment's base", h.last)
	}
	return nil
}

func (s *survey) add(h header, base int64) {
	if s.batches == 0 {
		s.first = h
	}
	rel := uint32(h.last - base)
	if h.ms > s.max.ms {
		s.max = timeEntry{h.ms, rel}
	}
	if s.rule.due(h.size) {
		s.index = append(s.index, makeIndexEntry(rel, h.pos))
		s.times = addTimeEntry(s.times, s.max)
	}
	s.size += h.size
	s.next = h.next()
	s.batches++
	s.records += int64(h.count)
}
