package diskio

import (
	"io"

	"millrace/batching"
)

// found is a record that was looked up by time; offset -1: none.
type found struct {
	offset int64
	ms     int64 // its timestamp
	epoch  int32 // leader epoch of its batch
}

var notFound = found{-1, -1, -1}

// OffsetForTime is the first record at or above Start whose timestamp is at
// least ms; offset, ts and epoch are -1 where there is none. The caller compares
// with what its reader may see. It reads one batch.
func (l *Log) OffsetForTime(ms int64) (offset, ts int64, epoch int32, err error) {
	r := notFound
	err = l.eachSegment(func(s *segment) (done bool, err error) {
		r, err = s.findTime(ms, l.start.Load())
		return r.offset >= 0, err
	})
	if err != nil {
		r = notFound
	}
	return r.offset, r.ms, r.epoch, err
}

// MaxTimestamp is the first record at or above Start that has the greatest
// timestamp, all of it -1 where there is none.
func (l *Log) MaxTimestamp() (offset, ts int64, epoch int32, err error) {
	newest := int64(-1)
	err = l.eachSegment(func(s *segment) (bool, error) {
		ms, err := s.newestFrom(l.start.Load())
		newest = max(newest, ms)
		return false, err
	})
	if err != nil || newest < 0 {
		return -1, -1, -1, err
	}
	return l.OffsetForTime(newest)
}

// eachSegment calls f with each segment, and a reference on it, until f is done.
// Where one went away meanwhile it starts again, with what took its place.
func (l *Log) eachSegment(f func(*segment) (done bool, err error)) error {
again:
	segs := *l.segs.Load()
	if len(segs) == 0 {
		return ErrClosed
	}
	for _, s := range segs {
		if !s.acquire() {
			l.settle()
			goto again
		}
		done, err := f(s)
		s.release()
		if err != nil && s.deleted.Load() {
			goto again
		}
		if err != nil {
			return l.readFault(s, -1, err)
		}
		if done {
			break
		}
	}
	return nil
}

// newestFrom is the greatest timestamp of the records at or above start, -1
// where there is none. The time index knows it, but for the one segment that
// start lies in.
func (s *segment) newestFrom(start int64) (int64, error) {
	next, size := s.end()
	if start >= next {
		return -1, nil
	}
	if err := s.loadTimes(); err != nil {
		return -1, err
	}
	newest := s.times.newest()
	if start <= s.base {
		return newest.ms, nil
	}
	f, err := s.open()
	if err != nil {
		return -1, err
	}
	at, err := s.locate(f, start, place{size, next})
	if err != nil {
		return -1, err
	}
	ms := int64(-1)
	err = s.eachHeader(f, at.pos, size, func(h header) error {
		if h.base >= start {
			ms = max(ms, h.ms)
			return nil
		}
		return s.eachRecord(f, h, func(offset, ts int64) bool {
			if offset >= start {
				ms = max(ms, ts)
			}
			return true
		})
	})
	return ms, err
}

// findTime looks for the record in one segment, at or above start.
func (s *segment) findTime(ms, start int64) (found, error) {
	next, size := s.end()
	if start >= next {
		return notFound, nil
	}
	if err := s.loadTimes(); err != nil || s.times.newest().ms < ms {
		return notFound, err
	}
	f, err := s.open()
	if err != nil {
		return notFound, err
	}
	// No batch up to the entry below ms can hold the record.
	at, err := s.locate(f, max(s.base+int64(s.times.floor(ms)), start), place{size, next})
	if err != nil {
		return notFound, err
	}
	r := notFound
	err = s.eachHeader(f, at.pos, size, func(h header) error {
		if h.ms < ms || h.last < start {
			return nil
		}
		err := s.eachRecord(f, h, func(offset, ts int64) bool {
			if offset >= start && ts >= ms {
				r = found{offset, ts, h.epoch}
			}
			return r.offset < 0
		})
		if err == nil && r.offset >= 0 {
			err = io.EOF
		}
		return err
	})
	if err == io.EOF {
		err = nil
	}
	return r, err
}

// eachHeader walks the batches in [pos, end).
func (s *segment) eachHeader(f *segmentFile, pos, end int64, each func(header) error) error {
	w := getWalker(f, end)
	defer putWalker(w)
	for {
		h, err := w.header(pos)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return s.batchFault(pos, err)
		}
		if err := each(h); err != nil {
			return err
		}
		pos += h.size
	}
}

// eachRecord decodes a batch, until each says false. The memory it takes is the
// batch's size, which the file has as a whole.
func (s *segment) eachRecord(f *segmentFile, h header, each func(offset, ms int64) bool) error {
	b := make([]byte, h.size)
	if n, err := f.ReadAt(b, h.pos); n < len(b) {
		return err
	}
	batch, err := batching.View(b)
	if err != nil {
		return s.batchFault(h.pos, err)
	}
	for r, err := range batch.Records(0) {
		if err != nil {
			return s.batchFault(h.pos, err)
		}
		if !each(batch.Offset(r), batch.Timestamp(r)) {
			break
		}
	}
	return nil
}

// Scan gives every batch from the one that holds offset up to upTo to fn, in
// order: to rebuild what is known of producers, say. The batch's bytes are good
// until fn returns. An error of fn ends the scan and is returned.
func (l *Log) Scan(offset, upTo int64, fn func(batching.Batch) error) error {
	var buf []byte
	for offset < upTo {
		sp, err := l.Read(offset, scanBuffer, upTo)
		if sp == nil || err != nil {
			return err
		}
		if int64(cap(buf)) < sp.Len() {
			buf = make([]byte, sp.Len())
		}
		buf = buf[:sp.Len()]
		_, err = sp.ReadAt(buf, 0)
		next, first, s := sp.NextOffset(), sp.FirstOffset(), sp.seg
		sp.Release()
		if err != nil {
			return l.readFault(s, first, err)
		}
		for b := buf; len(b) > 0; {
			batch, err := batching.View(b)
			if err != nil {
				return l.readFault(s, first, err)
			}
			if err := fn(batch); err != nil {
				return err
			}
			b = b[batch.Size():]
		}
		offset = next
	}
	return nil
}
