package diskio

import (
	"os"
	"sync"

	"millrace/batching"
)

// Span is a range of whole batches in one segment, from Log.Read. It holds the
// segment's file: deletion, Truncate and Close leave it readable until Release.
// Its methods may be called from one goroutine at a time, and none after
// Release. It satisfies netio's Part.
type Span struct {
	seg      *segment
	file     *segmentFile
	path     readPath
	from, to place
}

// spans keeps released spans, so that a fetch answer costs no allocation.
var spans = sync.Pool{New: func() any { return new(Span) }}

// readPath is an alternative of read.path: how a span offers its bytes. One
// that offers neither a file nor memory is copied through ReadAt.
type readPath interface {
	// file is the span as a range of an open file.
	file(*Span) (f *os.File, off int64, ok bool)
	// bytes is the span in memory, good until Release; nil: it is not.
	bytes(*Span) []byte
}

var readPaths = table[readPath]{
	{"sendfile", "from the page cache to the socket, in the kernel", sendfile{}},
	{"copy", "pread into a buffer, write", copied{}},
	{"mmap", "write from a mapping of the segment", mapped{}},
}

// Len is the bytes of the span, more than 0.
func (sp *Span) Len() int64 { return sp.to.pos - sp.from.pos }

// FirstOffset is the base offset of the first batch. It is at or below the
// offset that was asked for, except where that was compacted away.
func (sp *Span) FirstOffset() int64 { return sp.from.offset }

// NextOffset is where to go on reading.
func (sp *Span) NextOffset() int64 { return sp.to.offset }

// File offers the span as a range of a file; ok is false where read.path or the
// file system has another way. The file stays open until Release.
func (sp *Span) File() (f *os.File, off int64, ok bool) { return sp.path.file(sp) }

// Bytes is the span in memory, nil where it is not. They may not be written to.
func (sp *Span) Bytes() []byte { return sp.path.bytes(sp) }

// hollow says whether no batch of the span has a record, which only a segment
// that was compacted may have. Such a batch is a header alone.
func (sp *Span) hollow() bool {
	if sp.seg.whole || sp.Len()%batching.HeaderSize != 0 {
		return false
	}
	w := getWalker(sp.file, sp.to.pos)
	defer putWalker(w)
	for pos := sp.from.pos; pos < sp.to.pos; pos += batching.HeaderSize {
		if h, err := w.header(pos); err != nil || h.size != batching.HeaderSize {
			return false
		}
	}
	return true
}

// ReadAt reads bytes [off, off+len(p)) of the span.
func (sp *Span) ReadAt(p []byte, off int64) (int, error) {
	return readWithin(sp.file, p, sp.from.pos, sp.Len(), off)
}

// Release gives the span back. Exactly once.
func (sp *Span) Release() {
	s := sp.seg
	if s == nil {
		panic("BUG: span released twice")
	}
	*sp = Span{}
	spans.Put(sp)
	s.release()
}
