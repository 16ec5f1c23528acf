package diskio

import (
	"errors"
	"os"

	"millrace/batching"
)

// loadIndex brings a closed segment's offset index into memory. One that is
// missing or cannot be right is built again from the batches.
func (s *segment) loadIndex() ([]indexEntry, error) {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	if e, ok := s.index.loaded(); ok {
		return e, nil
	}
	_, size := s.end()
	entries, err := s.readIndex(size)
	if isRebuildable(err) {
		entries, err = s.rebuildLocked(err)
	}
	if err != nil {
		return nil, err
	}
	s.index.set(entries)
	return entries, nil
}

func (s *segment) readIndex(size int64) ([]indexEntry, error) {
	b, err := readFile(s.l.fs, s.path(indexSuffix), size/batching.HeaderSize*indexEntrySize)
	if err != nil {
		return nil, err
	}
	return decodeIndex(b, size)
}

// loadTimes does the same for the time index.
func (s *segment) loadTimes() error {
	if s.times.ready() {
		return nil
	}
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	if s.times.ready() {
		return nil
	}
	next, size := s.end()
	entries, err := s.readTimes(next, size)
	if isRebuildable(err) {
		_, err = s.rebuildLocked(err)
		return err
	}
	if err != nil {
		return err
	}
	newest := timeEntry{ms: -1}
	if n := len(entries); n > 0 {
		newest = entries[n-1]
	}
	s.times.reset(entries, newest)
	return nil
}

func (s *segment) readTimes(next, size int64) ([]timeEntry, error) {
	b, err := readFile(s.l.fs, s.path(timeSuffix), size/batching.HeaderSize*timeEntrySize)
	if err != nil {
		return nil, err
	}
	return decodeTimeIndex(b, uint32(next-s.base))
}

func (x *timeIndex) ready() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.loaded
}

// isRebuildable says that an index can be made again: it is not there, or it is
// there and wrong.
func isRebuildable(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrCorrupt)
}

// rebuildLocked makes both indexes of a closed segment from its batches, in
// memory and on disk.
func (s *segment) rebuildLocked(why error) ([]indexEntry, error) {
	f, err := s.openLocked()
	if err != nil {
		return nil, err
	}
	_, size := s.end()
	sv, err := surveySegment(newScanner(f, size), s.base, s.l.cfg.Load().IndexIntervalBytes, false, nil)
	if err != nil {
		return nil, err
	}
	if sv.fault != nil {
		return nil, s.batchFault(sv.size, sv.fault)
	}
	s.l.log.Warn("rebuilt the indexes of a segment", "file", s.path(logSuffix), "entries", len(sv.index), "why", why)
	s.times.reset(sv.times, sv.max)
	// Without the files the next look rebuilds them again: slower, not wrong.
	err = writeFileSync(s.l.fs, s.path(indexSuffix), encodeIndex(sv.index))
	if err == nil {
		err = writeFileSync(s.l.fs, s.path(timeSuffix), s.times.final())
	}
	if err != nil {
		s.l.log.Warn("cannot write rebuilt indexes", "file", s.path(logSuffix), "err", err)
	}
	return sv.index, nil
}
