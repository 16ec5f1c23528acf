package diskio

import (
	"io"

	"millrace/batching"
)

// Found is a record that was looked up by time.
type Found struct {
	Offset    int64
	Timestamp int64 // ms since 1970
	Epoch     int32 // leader epoch of its batch
}

// OffsetForTime is the first record at or above Start whose timestamp is at
// least ms; offset, ts and epoch are -1 where there is none. The caller compares
// with what its reader may see. It reads one batch.
func (l *Log) OffsetForTime(ms int64) (offset, ts int64, epoch int32, err error) {
	return l.find(ms, func(s *segment) bool { return s.times.newest().ms >= ms })
}

// MaxTimestamp is the first record that has the greatest timestamp in the log,
// all of it -1 where there is none.
func (l *Log) MaxTimestamp() (offset, ts int64, epoch int32, err error) {
	newest := int64(-1)
	for _, s := range *l.segs.Load() {
		if err := s.loadTimes(); err != nil {
			return -1, -1, -1, l.readFault(s, -1, err)
		}
		newest = max(newest, s.times.newest().ms)
	}
	if newest < 0 {
		return -1, -1, -1, nil
	}
	return l.OffsetForTime(newest)
}

func (l *Log) find(ms int64, may func(*segment) bool) (offset, ts int64, epoch int32, err error) {
	segs := *l.segs.Load()
	if len(segs) == 0 {
		return -1, -1, -1, ErrClosed
	}
	for _, s := range segs {
		if !s.acquire() {
			continue // deleted while we look: no longer part of the log
		}
		f, err := s.findTime(ms, l.start.Load(), may)
		s.release()
		if err != nil && !s.deleted.Load() {
			return -1, -1, -1, l.readFault(s, -1, err)
		}
		if err == nil && f.Offset >= 0 {
			return f.Offset, f.Timestamp, f.Epoch, nil
		}
	}
	return -1, -1, -1, nil
}

// findTime looks for the record in one segment, at or above start.
func (s *segment) findTime(ms, start int64, may func(*segment) bool) (Found, error) {
	none := Found{-1, -1, -1}
	next, size := s.end()
	if start >= next || size == 0 {
		return none, nil
	}
	if err := s.loadTimes(); err != nil || !may(s) {
		return none, err
	}
	f, err := s.open()
	if err != nil {
		return none, err
	}
	// No batch up to the entry below ms can hold the record.
	at, err := s.locate(f, max(s.base+int64(s.times.floor(ms)), start), place{size, next})
	if err != nil {
		return none, err
	}
	w := getWalker(f, size)
	defer putWalker(w)
	for pos := at.pos; ; {
		h, err := w.header(pos)
		if err == io.EOF {
			return none, nil
		}
		if err != nil {
			return none, s.batchFault(pos, err)
		}
		if h.ms >= ms && h.last >= start {
			if found, err := s.findRecord(f, h, ms, start); err != nil || found.Offset >= 0 {
				return found, err
			}
		}
		pos += h.size
	}
}

// findRecord looks into a batch. The memory it takes is the batch's size, which
// the file has as a whole.
func (s *segment) findRecord(f *segmentFile, h header, ms, start int64) (Found, error) {
	none := Found{-1, -1, -1}
	b := make([]byte, h.size)
	if _, err := f.ReadAt(b, h.pos); err != nil && err != io.EOF {
		return none, err
	}
	batch, err := batching.View(b)
	if err != nil {
		return none, s.batchFault(h.pos, err)
	}
	for r, err := range batch.Records(0) {
		if err != nil {
			return none, s.batchFault(h.pos, err)
		}
		if o, ts := batch.Offset(r), batch.Timestamp(r); o >= start && ts >= ms {
			return Found{o, ts, h.epoch}, nil
		}
	}
	return none, nil
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
