package diskio

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	logSuffix   = ".log"
	indexSuffix = ".index"
	timeSuffix  = ".timeindex"
)

func join(dir, name string) string { return filepath.Join(dir, name) }
func itoa(n int64) string          { return strconv.FormatInt(n, 10) }

// logName is the file of the segment that starts at base: 20 digits.
func logName(base int64) string { return segmentName(base, logSuffix) }

func segmentName(base int64, suffix string) string { return fmt.Sprintf("%020d%s", base, suffix) }

// parseSegmentName takes a name apart; ok is false where it is no segment's.
func parseSegmentName(name string) (base int64, suffix string, ok bool) {
	digits, suffix, found := strings.Cut(name, ".")
	if !found || len(digits) != 20 {
		return 0, "", false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, "", false
	}
	return int64(n), "." + suffix, true
}

// segment is one file of batches and its indexes.
//
// Its life: the list of a Log holds one reference, each Span and each call that
// is reading holds one. The file is closed, and the mapping given up, with the
// last one. A count of zero is final: who finds it looks at the list again.
// Deleting a segment therefore unlinks its files at once, where Kafka renames
// them and waits a minute: here a reader's reference, not a delay, is what keeps
// the bytes alive, and the kernel keeps an unlinked file until it is closed.
type segment struct {
	// immutable
	l     *Log
	base  int64
	whole bool // begun here: the first batch is at base, which compaction may change for others

	// atomic: the appender writes, anyone reads
	refs    atomic.Int32
	tail    atomic.Uint64 // next offset and size, see packTail
	file    atomic.Pointer[segmentFile]
	recent  atomic.Pointer[recentBatches] // nil where the segment was not appended to
	mapped  atomic.Pointer[mapping]
	deleted atomic.Bool // its files are being unlinked
	used    atomic.Bool // the index was looked into since Retain last asked
	hints   placeHints
	index   offsetIndex
	times   timeIndex

	// guarded by loadMu: what is fetched from disk on first use
	loadMu    sync.Mutex
	mapFailed bool

	// guarded by l.mu
	rule    indexRule
	created time.Time
	firstMs int64 // greatest timestamp of the first batch; -1: none
	dirty   bool  // in l.dirty: has bytes that no fsync was asked for
	sealed  bool  // no more appends
	stored  bool  // its index files on disk are whole; once sealed, guarded by l.syncMu instead
}

// segmentFile is a File with its operating system's file at hand.
type segmentFile struct {
	File
	os *os.File
}

func newSegment(l *Log, base int64) *segment {
	s := &segment{l: l, base: base, firstMs: -1}
	s.refs.Store(1)
	s.tail.Store(packTail(0, 0))
	s.times.max.ms = -1
	return s
}

// packTail puts the offset after the segment's last batch, relative to its
// base, and the size in one word, so that a reader never sees one without the
// other. The offset is at most 2^31, the size below it.
func packTail(next, size int64) uint64 { return uint64(next)<<32 | uint64(size) }

func unpackTail(t uint64) (next, size int64) { return int64(t >> 32), int64(uint32(t)) }

// end is the offset after the last batch, and the size.
func (s *segment) end() (next, size int64) {
	next, size = unpackTail(s.tail.Load())
	return s.base + next, size
}

func (s *segment) setEnd(next, size int64) { s.tail.Store(packTail(next-s.base, size)) }

func (s *segment) path(suffix string) string { return join(s.l.dir, segmentName(s.base, suffix)) }

// acquire takes a reference, unless the last one is gone.
func (s *segment) acquire() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *segment) release() {
	switch n := s.refs.Add(-1); {
	case n == 0:
		s.closeFile()
	case n < 0:
		panic("BUG: segment released more often than taken")
	}
}

func (s *segment) closeFile() {
	if m := s.mapped.Swap(nil); m != nil {
		m.unmap()
	}
	if f := s.file.Swap(nil); f != nil {
		if err := f.Close(); err != nil {
			s.l.log.Warn("closing a segment", "file", s.path(logSuffix), "err", err)
		}
	}
}

// open is the segment's file, opened on first use: a broker with many closed
// segments holds descriptors for those that are read. Call with a reference.
func (s *segment) open() (*segmentFile, error) {
	if f := s.file.Load(); f != nil {
		return f, nil
	}
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	return s.openLocked()
}

func (s *segment) openLocked() (*segmentFile, error) {
	if f := s.file.Load(); f != nil {
		return f, nil
	}
	f, err := s.l.fs.OpenFile(s.path(logSuffix), os.O_RDWR)
	if err != nil {
		return nil, err
	}
	return s.setFile(f), nil
}

func (s *segment) setFile(f File) *segmentFile {
	sf := &segmentFile{f, f.OS()}
	s.file.Store(sf)
	return sf
}

// placeHints is where the last spans ended: whoever reads on finds the place of
// its next batch there. Which consumer's hint lies where is by chance, and one
// may push out another; what it finds is true as long as the segment lives.
type placeHints [4]atomic.Uint64

func (h *placeHints) slot(rel uint32) *atomic.Uint64 {
	return &h[(rel*2654435761)>>30] // Knuth's multiplier spreads neighbours
}

func (h *placeHints) put(e indexEntry) { h.slot(e.rel()).Store(uint64(e)) }

// get is the batch that starts with offset rel; rel is above 0, as is then the
// position of the batch.
func (h *placeHints) get(rel uint32) (e indexEntry, ok bool) {
	e = indexEntry(h.slot(rel).Load())
	return e, e.rel() == rel && e.pos() > 0
}

// recentBatches is where the last batches start, so that a reader at the tail,
// the common one, needs neither the index nor the file to find its place. The
// appender overwrites the oldest while readers search: they look at n again
// afterwards.
type recentBatches struct {
	n  atomic.Int64 // batches ever added
	at [recentCount]atomic.Uint64
}

// recentCount: at 64 KiB a batch, consumers up to 4 MiB behind the end are
// served, for half a kilobyte per partition.
const recentCount = 64

func (r *recentBatches) add(e indexEntry) {
	n := r.n.Load()
	r.at[n%recentCount].Store(uint64(e))
	r.n.Store(n + 1)
}

// floor is the newest remembered batch of those that come first and for which
// before holds. ok is false where it may be one that is no longer remembered.
func (r *recentBatches) floor(before func(indexEntry) bool) (e indexEntry, ok bool) {
	n := r.n.Load()
	// The slot of the oldest may be in the making.
	first := max(n-recentCount+1, 0)
	lo, hi := first, n
	for lo < hi {
		m := int64(uint64(lo+hi) >> 1)
		if before(indexEntry(r.at[m%recentCount].Load())) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == first {
		return 0, false
	}
	e = indexEntry(r.at[(lo-1)%recentCount].Load())
	return e, r.n.Load()-first < recentCount
}
