package diskio

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// mapped offers a piece of a mapping of the segment, which is made on the first
// read and lasts as long as the segment's file is open. A segment that still
// grows is mapped to the size it may reach: pages beyond the end of a file may
// be mapped, only not touched, and a span never reaches beyond what is written.
// Truncate never shortens a file that a span holds (see Log.Truncate), since
// touching what was cut off would be SIGBUS.
//
// Where no mapping can be had (vm.max_map_count, a file system in memory), the
// span is copied.
type mapped struct{}

var _ readPath = mapped{}

func (mapped) file(*Span) (*os.File, int64, bool) { return nil, 0, false }

func (mapped) bytes(sp *Span) []byte {
	m := sp.seg.mapping(sp.file, sp.to.pos)
	if m == nil {
		return nil
	}
	return m.mem[sp.from.pos:sp.to.pos:sp.to.pos]
}

type mapping struct{ mem []byte }

func (m *mapping) unmap() { _ = unix.Munmap(m.mem) }

// mapping is the segment's, at least size bytes of it, or nil.
func (s *segment) mapping(f *segmentFile, size int64) *mapping {
	if m := s.mapped.Load(); m != nil && int64(len(m.mem)) >= size {
		return m
	}
	if f.os == nil {
		return nil
	}
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	if m := s.mapped.Load(); m != nil || s.mapFailed {
		if m != nil && int64(len(m.mem)) < size {
			return nil // segment.bytes was lowered below this segment's size
		}
		return m
	}
	_, have := s.end()
	defer runtime.KeepAlive(f.os)
	mem, err := unix.Mmap(int(f.os.Fd()), 0, int(max(have, s.l.cfg.Load().SegmentBytes)), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		s.mapFailed = true
		s.l.log.Warn("cannot map a segment; its spans are copied", "file", s.path(logSuffix), "err", err)
		return nil
	}
	m := &mapping{mem}
	s.mapped.Store(m)
	return m
}
