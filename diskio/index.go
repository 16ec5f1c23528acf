package diskio

import (
	"encoding/binary"
	"sort"
	"sync/atomic"
)

// The offset index of a segment, in its file NNN.index, big-endian:
//
//	relative offset  int32  last offset of a batch, minus the segment's base
//	position         int32  where that batch starts in the segment
//
// Both ascend. A batch has an entry when more than index.interval.bytes came
// since the last batch that has one; the first has none. So the greatest entry
// at or below an offset is at most an interval and a batch away from it.
// Source: Kafka's OffsetIndex and LogSegment.append.
//
// In memory, entries lie in one array per segment; the file is written when the
// segment is closed, and read when a closed segment is first looked into. Kafka
// maps the file instead. A mapping of a growing file turns a full disk into
// SIGBUS, which ends a Go process, and costs two mappings and a preallocated
// 10 MiB per partition; and nothing is lost without it, because the index of a
// segment that was open in a crash is rebuilt from its batches in any case.
const indexEntrySize = 8

// indexEntry is an entry as it lies in the file, as one word: the relative
// offset above the position.
type indexEntry uint64

func makeIndexEntry(rel uint32, pos int64) indexEntry {
	return indexEntry(uint64(rel)<<32 | uint64(uint32(pos)))
}

func (e indexEntry) rel() uint32 { return uint32(e >> 32) }
func (e indexEntry) pos() int64  { return int64(uint32(e)) }

// offsetIndex is searched by readers while the appender adds to it, without a
// lock: an entry is written before n admits it, and an array that is full is
// replaced by a larger copy, never changed. A reader takes n first: any array
// it finds afterwards has that many entries.
type offsetIndex struct {
	n       atomic.Int64
	entries atomic.Pointer[[]indexEntry] // its length is the room; nil: not loaded
}

// add appends an entry. Appender only.
func (x *offsetIndex) add(e indexEntry) {
	n := int(x.n.Load())
	p := x.entries.Load()
	if p == nil || n == len(*p) {
		grown := make([]indexEntry, max(64, 2*n))
		if p != nil {
			copy(grown, *p)
		}
		p = &grown
		x.entries.Store(p)
	}
	(*p)[n] = e
	x.n.Store(int64(n) + 1)
}

// set replaces everything. Only while no one else can see the index, or to load
// an index that was not in memory.
func (x *offsetIndex) set(entries []indexEntry) {
	x.n.Store(0)
	x.entries.Store(&entries)
	x.n.Store(int64(len(entries)))
}

// loaded is the entries admitted so far; ok is false where they are not in
// memory.
func (x *offsetIndex) loaded() (entries []indexEntry, ok bool) {
	n := x.n.Load()
	p := x.entries.Load()
	if p == nil {
		return nil, false
	}
	return (*p)[:n], true
}

// floorRel is the position of the greatest entry at or below rel, 0 where
// there is none: a batch start at or before the batch that holds rel.
func floorRel(entries []indexEntry, rel uint32) int64 {
	lo, hi := 0, len(entries) // entries[:lo] are at or below rel
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if entries[m].rel() <= rel {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 {
		return 0
	}
	return entries[lo-1].pos()
}

// floorPos is the greatest batch start in the index at or below pos.
func floorPos(entries []indexEntry, pos int64) int64 {
	lo, hi := 0, len(entries)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if entries[m].pos() <= pos {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 {
		return 0
	}
	return entries[lo-1].pos()
}

// encodeIndex is the file's bytes.
func encodeIndex(entries []indexEntry) []byte {
	b := make([]byte, 0, len(entries)*indexEntrySize)
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e))
	}
	return b
}

// decodeIndex checks the file's bytes against the size of the segment that they
// index. Entries past what a broker that was killed had written are zeros (Kafka
// preallocates), and make the index corrupt, as does everything that does not
// ascend: it is rebuilt then.
func decodeIndex(b []byte, segmentSize int64) ([]indexEntry, error) {
	if len(b)%indexEntrySize != 0 {
		return nil, corrupt("offset index of %d bytes, not a multiple of %d", len(b), indexEntrySize)
	}
	entries := make([]indexEntry, len(b)/indexEntrySize)
	for i := range entries {
		e := indexEntry(binary.BigEndian.Uint64(b[i*indexEntrySize:]))
		if err := checkIndexEntry(entries[:i], e, segmentSize); err != nil {
			return nil, err
		}
		entries[i] = e
	}
	return entries, nil
}

func checkIndexEntry(before []indexEntry, e indexEntry, segmentSize int64) error {
	i := len(before)
	switch {
	case e.rel() > maxRelative:
		return corrupt("offset index entry %d has a negative offset", i)
	case e.pos() >= segmentSize:
		return corrupt("offset index entry %d points to byte %d of %d", i, e.pos(), segmentSize)
	case e.pos() == 0:
		// The first batch never has one.
		return corrupt("offset index entry %d points to byte 0", i)
	case i > 0 && (e.rel() <= before[i-1].rel() || e.pos() <= before[i-1].pos()):
		return corrupt("offset index entry %d does not ascend", i)
	}
	return nil
}

// cutIndex keeps the entries of the first size bytes.
func cutIndex(entries []indexEntry, size int64) []indexEntry {
	n := sort.Search(len(entries), func(i int) bool { return entries[i].pos() >= size })
	return entries[:n]
}

// maxRelative is the greatest offset relative to a segment's base that an
// index can hold.
const maxRelative = 1<<31 - 1
