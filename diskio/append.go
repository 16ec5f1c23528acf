package diskio

import (
	"fmt"
	"hash/fnv"
	"time"

	"millrace/batching"
)

// appendMode is an alternative of append.mode: how batches that follow each
// other reach a segment at pos. It returns how many bytes went out, fewer than
// all only with an error. vec is room it may use and gives back.
type appendMode interface {
	write(f File, batches []batching.Batch, pos int64, vec *[][]byte) (int64, error)
}

var appendModes = table[appendMode]{
	{"direct", "each batch its own write", direct{}},
	{AppendGrouped, "those that several producers send while one is written, in one writev", grouped{}},
}

type direct struct{}

func (direct) write(f File, batches []batching.Batch, pos int64, _ *[][]byte) (int64, error) {
	var done int64
	for _, b := range batches {
		n, err := f.WriteAt(b.Bytes(), pos+done)
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

type grouped struct{}

func (grouped) write(f File, batches []batching.Batch, pos int64, vec *[][]byte) (int64, error) {
	if len(batches) == 1 {
		n, err := f.WriteAt(batches[0].Bytes(), pos)
		return int64(n), err
	}
	v := (*vec)[:0]
	for _, b := range batches {
		v = append(v, b.Bytes())
	}
	n, err := f.WriteVec(v, pos)
	clear(v) // the bytes are the caller's again
	*vec = v
	return n, err
}

// appendLocked writes run after run, a run being the batches that go into one
// segment, and publishes the end once, after the last: a reader sees all of an
// append or none.
func (l *Log) appendLocked(batches []batching.Batch) error {
	if err := l.usableLocked(); err != nil {
		return err
	}
	next, limit := l.end.Load(), l.cfg.Load().SegmentBytes
	for _, b := range batches {
		if int64(b.Size()) > limit {
			return fmt.Errorf("%w: %d bytes, segment.bytes is %d", ErrTooLarge, b.Size(), limit)
		}
		if b.BaseOffset() < next || b.BaseOffset() > next && !l.gaps {
			panic(fmt.Sprintf("BUG: append of base offset %d to %s, which ends at %d", b.BaseOffset(), l.dir, next))
		}
		next = b.LastOffset() + 1
	}
	next = l.end.Load()
	for len(batches) > 0 {
		s := l.active()
		n := s.fitting(batches)
		if n == 0 {
			if err := l.rollLocked(batches[0].BaseOffset()); err != nil {
				return err
			}
			continue
		}
		if err := l.writeLocked(s, batches[:n]); err != nil {
			return err
		}
		next, batches = batches[n-1].LastOffset()+1, batches[n:]
	}
	l.end.Store(next)
	return nil
}

// fitting is how many of the batches the segment takes before it must be
// rolled. An empty segment takes at least one.
func (s *segment) fitting(batches []batching.Batch) int {
	cfg := s.l.cfg.Load()
	_, size := s.end()
	indexed := int64(s.index.n.Load()) // entries, were each batch to get one
	timed := int64(s.times.len())
	for i, b := range batches {
		if size == 0 {
			size += int64(b.Size())
			continue
		}
		// One entry of the time index is kept for the close.
		full := (indexed+int64(i)+1)*indexEntrySize > cfg.SegmentIndexBytes ||
			(timed+int64(i)+2)*timeEntrySize > cfg.SegmentIndexBytes
		if full || size+int64(b.Size()) > cfg.SegmentBytes ||
			b.LastOffset()-s.base > maxRelative ||
			i == 0 && s.age(b.MaxTimestamp()) > s.lifetime(cfg) {
			return i
		}
		size += int64(b.Size())
	}
	return len(batches)
}

// age is how long the segment has waited to be rolled: by the records' own
// clock where they have one, so that replaying old data does not pile days into
// one segment.
func (s *segment) age(ms int64) time.Duration {
	if s.firstMs >= 0 {
		d := ms - s.firstMs
		return time.Duration(min(max(d, 0), int64(forever/time.Millisecond))) * time.Millisecond
	}
	return s.l.now().Sub(s.created)
}

// lifetime is SegmentTime less this segment's own share of the jitter, which is
// the same whenever it is asked for.
func (s *segment) lifetime(cfg *Config) time.Duration {
	most := min(cfg.SegmentJitter, cfg.SegmentTime)
	if most <= 0 {
		return cfg.SegmentTime
	}
	h := fnv.New64a()
	fmt.Fprint(h, s.l.dir, s.base)
	return cfg.SegmentTime - time.Duration(h.Sum64()%uint64(most))
}

// writeLocked puts one run into a segment. A write that fails, also one that
// runs out of space halfway, fails the log: what did go out is cut off again
// as far as the disk lets us, and recovery would cut it too, or find a whole
// batch that was never answered.
func (l *Log) writeLocked(s *segment, batches []batching.Batch) error {
	_, pos := s.end()
	f, err := s.open()
	if err == nil {
		if _, err = l.mode.write(f, batches, pos, &l.vec); err != nil {
			_ = f.Truncate(pos)
		}
	}
	if err != nil {
		return l.fail("append", s.base, batches[0].BaseOffset(), err)
	}
	if pos == 0 {
		s.firstMs = batches[0].MaxTimestamp()
	}
	recent := s.recent.Load()
	for _, b := range batches {
		last := uint32(b.LastOffset() - s.base)
		due := s.rule.due(int64(b.Size()))
		if due {
			s.index.add(makeIndexEntry(last, pos))
		}
		s.times.observe(b.MaxTimestamp(), last, due)
		if recent != nil {
			recent.add(makeIndexEntry(uint32(b.BaseOffset()-s.base), pos))
		}
		l.epochs.observe(b.LeaderEpoch(), b.BaseOffset())
		pos += int64(b.Size())
	}
	if !s.dirty {
		s.dirty = true
		l.dirty = append(l.dirty, s)
	}
	s.stored = false
	s.setEnd(batches[len(batches)-1].LastOffset()+1, pos)
	return nil
}

// rollLocked begins a new segment at base. The old one is synced and its
// indexes are written behind the appender's back: until then it stays in
// l.dirty, and Synced below its end.
func (l *Log) rollLocked(base int64) error {
	s, err := l.newActive(base)
	if err != nil {
		return l.fail("roll", base, -1, err)
	}
	old := l.active()
	old.sealed = true
	if !old.dirty {
		old.dirty = true
		l.dirty = append(l.dirty, old)
	}
	old.recent.Store(nil)
	segs := *l.segs.Load()
	l.setSegments(append(segs[:len(segs):len(segs)], s))
	if !l.flushing {
		l.flushing = true
		l.flushers.Add(1)
		go l.flush()
	}
	return nil
}

// flush syncs what a roll has left behind. One at a time for each log.
func (l *Log) flush() {
	defer l.flushers.Done()
	l.mu.Lock()
	l.flushing = false
	l.mu.Unlock()
	_ = l.Sync() // has failed the log, and said so
}
