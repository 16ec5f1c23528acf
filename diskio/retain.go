package diskio

import "time"

// Retain deletes the oldest segments that are too old (retention.ms, by the
// newest timestamp in them), too many (retention.bytes) or below Start, as long
// as they lie below upTo, and returns how many. The active segment is rolled
// when its turn comes too, so that a topic that nobody writes to empties. Spans
// that are out stay good.
//
// A segment none of whose records has a timestamp does not age.
func (l *Log) Retain(now time.Time, upTo int64) (deleted int, err error) {
	// Sync writes indexes; it must not do so for what is being deleted.
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := l.loadAges(); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return 0, err
	}
	segs := *l.segs.Load()
	n := l.expiredLocked(segs, now, upTo)
	if n == 0 {
		return 0, nil
	}
	if n == len(segs) {
		if err := l.rollLocked(l.end.Load()); err != nil {
			return 0, err
		}
		segs = *l.segs.Load()
	}
	first := segs[n].base
	l.start.Store(max(l.start.Load(), first))
	l.synced.Store(max(l.synced.Load(), first))
	l.epochs.truncateStart(l.start.Load())
	l.setSegments(segs[n:len(segs):len(segs)])
	if err := l.unlinkLocked(segs[:n]); err != nil {
		return 0, l.fail("delete", segs[0].base, -1, err)
	}
	return n, nil
}

// loadAges brings in the time index of each segment that has to be judged by
// age, without holding up appends: those are few, the oldest come first.
func (l *Log) loadAges() error {
	if l.cfg.RetentionMs < 0 {
		return nil
	}
	for _, s := range *l.segs.Load() {
		if err := s.loadTimes(); err != nil {
			return l.readFault(s, -1, err)
		}
	}
	return nil
}

// expiredLocked is how many of the segments, from the oldest on, can go. All of
// them: the active one has to be rolled.
func (l *Log) expiredLocked(segs []*segment, now time.Time, upTo int64) int {
	var total int64
	for _, s := range segs {
		_, size := s.end()
		total += size
	}
	for i, s := range segs {
		next, size := s.end()
		if i+1 < len(segs) {
			next = segs[i+1].base
		}
		if next > upTo || size == 0 && i+1 == len(segs) {
			return i
		}
		newest := s.times.newest().ms
		old := l.cfg.RetentionMs >= 0 && newest >= 0 && now.UnixMilli()-newest > l.cfg.RetentionMs.Milliseconds()
		large := l.cfg.RetentionBytes >= 0 && total-size >= l.cfg.RetentionBytes
		below := next <= l.start.Load() && i+1 < len(segs)
		if !old && !large && !below {
			return i
		}
		total -= size
	}
	return len(segs)
}
