package diskio

import (
	"errors"
	"os"
)

// Truncate cuts the log's end back to offset to, or to the start of the batch
// that holds it. Spans that are out keep what they have. At or above End it
// does nothing; below the first segment it is Reset. The cut is on stable
// storage when Truncate returns: else what is appended next could be found, after
// a loss of power, in front of what had been cut, and nothing would tell the two
// apart. Synced may be lower than before: whoever writes recovery points down
// does so again.
func (l *Log) Truncate(to int64) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	to = max(to, 0)
	if to >= l.end.Load() {
		return nil
	}
	segs := *l.segs.Load()
	i := floorSegment(segs, to)
	if i < 0 {
		return l.resetLocked(to)
	}
	if err := l.truncateLocked(segs, i, to); err != nil {
		return l.fail("truncate", segs[i].base, to, err)
	}
	return nil
}

func (l *Log) truncateLocked(segs []*segment, i int, to int64) error {
	s := segs[i]
	f, err := s.open()
	if err != nil {
		return err
	}
	next, size := s.end()
	at, err := s.locate(f, to, place{size, next})
	if err != nil {
		return err
	}
	sv, err := surveySegment(&window{f: f, end: at.pos, buf: make([]byte, walkBuffer)}, s.base, l.cfg.Load().IndexIntervalBytes, false, nil)
	if err != nil || sv.fault != nil {
		return errors.Join(err, sv.fault)
	}
	end := min(to, at.offset)

	l.end.Store(end)
	l.synced.Store(min(l.synced.Load(), end))
	l.start.Store(min(l.start.Load(), end))
	l.epochs.truncateEnd(end)
	// The later segments go first: were the cut on disk without that, recovery
	// could not tell a hole from compaction.
	if i+1 < len(segs) {
		l.setSegments(segs[: i+1 : i+1])
		if err := l.unlinkLocked(segs[i+1:]); err != nil {
			return err
		}
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
	}
	cut, err := s.cut(f, at.pos, end)
	if err != nil {
		return err
	}
	cut.index.set(sv.index)
	cut.times.reset(sv.times, sv.max)
	cut.rule.since = sv.rule.since
	cut.setEnd(end, at.pos)
	if sv.batches > 0 {
		cut.firstMs = sv.first.ms
	}
	cut.begin(l.now())
	l.forget(s)
	cut.dirty = true
	l.dirty = append(l.dirty, cut)
	l.setSegments(append(segs[:i:i], cut))
	return nil
}

// cut makes the segment that holds the first size bytes of s, up to offset end. Where no span is
// out it takes over the file and shortens it. A span that is out must find its
// bytes in place, not those that are appended next, nor, in a mapping, the end
// of the file: so the file is left to it, and the new segment is a copy.
func (s *segment) cut(f *segmentFile, size, end int64) (*segment, error) {
	if s.refs.CompareAndSwap(1, 0) {
		err := f.Truncate(size)
		if err == nil {
			s.setEnd(end, size)
			err = f.Sync()
		}
		if err != nil {
			s.refs.Store(1) // the list still holds s, and no one else can
			return nil, err
		}
		c := newSegment(s.l, s.base)
		c.setFile(f.File)
		s.file.Store(nil)
		s.closeFile()
		return c, nil
	}
	tmp := s.path(logSuffix) + ".tmp"
	to, err := s.l.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	err = copyFile(to, f, size)
	if err == nil {
		err = to.Sync()
	}
	if err == nil {
		err = s.l.fs.Rename(tmp, s.path(logSuffix))
	}
	if err == nil {
		err = s.l.fs.SyncDir(s.l.dir)
	}
	if err != nil {
		to.Close()
		return nil, err
	}
	c := newSegment(s.l, s.base)
	c.setFile(to)
	s.release()
	return c, nil
}

func copyFile(to, from File, size int64) error {
	buf := make([]byte, scanBuffer)
	for pos := int64(0); pos < size; {
		b := buf[:min(size-pos, int64(len(buf)))]
		if n, err := from.ReadAt(b, pos); n < len(b) {
			return err
		}
		if _, err := to.WriteAt(b, pos); err != nil {
			return err
		}
		pos += int64(len(b))
	}
	return nil
}

// forget takes s off the list of what is to be synced.
func (l *Log) forget(s *segment) {
	for i, d := range l.dirty {
		if d == s {
			l.dirty = append(l.dirty[:i], l.dirty[i+1:]...)
			return
		}
	}
}

// Reset throws everything away and begins again, empty, at offset.
func (l *Log) Reset(offset int64) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	return l.resetLocked(offset)
}

func (l *Log) resetLocked(offset int64) error {
	// The new segment may have the name of an old one, so the old go first.
	old := *l.segs.Load()
	err := l.unlinkLocked(old)
	var s *segment
	if err == nil {
		s, err = l.newActive(offset)
	}
	if err != nil {
		// Readers would look for what is gone; there is nothing left to serve.
		l.setSegments(nil)
		l.closed = true
		return l.fail("truncate", -1, offset, err)
	}
	l.epochs.truncateEnd(0)
	l.start.Store(offset)
	l.synced.Store(offset)
	l.setSegments([]*segment{s})
	l.end.Store(offset)
	return nil
}

// unlinkLocked deletes segments. Readers that still know them and have no file
// open yet find them marked, wait for mu, and look again.
func (l *Log) unlinkLocked(segs []*segment) error {
	for _, s := range segs {
		s.deleted.Store(true)
		l.forget(s)
	}
	if len(segs) > 0 {
		l.dirDirty = true
	}
	return l.unlink(segs)
}

// AdvanceStart moves Start up to offset: what lies before it can no longer be
// read, and Retain deletes the segments that lie before it whole. The caller
// writes Start down.
func (l *Log) AdvanceStart(to int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	if to > l.end.Load() {
		return ErrOutOfRange
	}
	if to > l.start.Load() {
		l.start.Store(to)
		l.epochs.truncateStart(to)
	}
	return nil
}
