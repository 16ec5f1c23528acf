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
	cfg := l.cfg.Load()
	if err := l.loadAges(cfg, now); err != nil {
		return 0, err
	}
	l.forgetIdle()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return 0, err
	}
	segs := *l.segs.Load()
	n := l.expiredLocked(segs, cfg, now, upTo)
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

// loadAges brings in the time indexes of the segments that are too old and of
// the first that is not, without holding up appends.
func (l *Log) loadAges(cfg *Config, now time.Time) error {
	if cfg.RetentionTime < 0 {
		return nil
	}
	for _, s := range *l.segs.Load() {
		if err := s.loadTimes(); err != nil {
			return l.readFault(s, -1, err)
		}
		if !s.expired(cfg, now) {
			break
		}
	}
	return nil
}

// expired says that the segment's newest record is too old. Where the time index
// was not loaded it is not.
func (s *segment) expired(cfg *Config, now time.Time) bool {
	newest := s.times.newest().ms
	return cfg.RetentionTime >= 0 && newest >= 0 && now.UnixMilli()-newest > cfg.RetentionTime.Milliseconds()
}

// forgetIdle drops the indexes of closed segments that no one has looked into
// since the last time, so that a consumer which once read everything does not
// leave all indexes in memory. They are on disk. Needs syncMu.
func (l *Log) forgetIdle() {
	segs := *l.segs.Load()
	for _, s := range segs[:max(len(segs)-1, 0)] {
		if s.stored && !s.used.Swap(false) {
			s.index.entries.Store(nil)
			s.times.unload()
		}
	}
}

// expiredLocked is how many of the segments, from the oldest on, can go. All of
// them: the active one has to be rolled.
func (l *Log) expiredLocked(segs []*segment, cfg *Config, now time.Time, upTo int64) int {
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
		large := cfg.RetentionBytes >= 0 && total-size >= cfg.RetentionBytes
		below := next <= l.start.Load() && i+1 < len(segs)
		if !s.expired(cfg, now) && !large && !below {
			return i
		}
		total -= size
	}
	return len(segs)
}
