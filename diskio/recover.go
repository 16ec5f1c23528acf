package diskio

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"time"
)

// Recovery is what Open found and did.
type Recovery struct {
	// Clean says that nothing had to be scanned.
	Clean bool `json:"clean"`
	// Segments, Batches, Records and Bytes were read and checked.
	Segments int   `json:"segments"`
	Batches  int64 `json:"batches"`
	Records  int64 `json:"records"`
	Bytes    int64 `json:"bytes"`
	// Cut is what was thrown away, each with its reason.
	Cut []Cut `json:"cut,omitempty"`
	// Stray names files that do not belong here; they were left alone.
	Stray []string `json:"stray,omitempty"`
	// Removed names left-overs that were deleted: half-written files, indexes
	// without a segment, files that a broker had marked for deletion.
	Removed []string `json:"removed,omitempty"`
	// Missing is the number of offsets below Options.RecoveryPoint that are
	// gone though they had been on stable storage: the disk's doing, or a hand's.
	Missing int64 `json:"missing,omitempty"`
	// Took is the time of the scan.
	Took time.Duration `json:"took"`
}

// Cut is a segment's bytes from Position on, thrown away in recovery.
type Cut struct {
	File     string `json:"file"`
	Position int64  `json:"position"`
	Bytes    int64  `json:"bytes"`
	Offset   int64  `json:"offset"` // the log ends here now
	Reason   string `json:"reason"`
}

func (c Cut) String() string {
	return fmt.Sprintf("%s: cut %d bytes at byte %d, offset %d: %s", c.File, c.Bytes, c.Position, c.Offset, c.Reason)
}

// load reads the directory and publishes the log.
func (l *Log) load(o Options) error {
	began := time.Now()
	entries, err := l.fs.ReadDir(l.dir)
	if os.IsNotExist(err) {
		l.madeDir = true
		err = l.fs.MkdirAll(l.dir)
	}
	if err != nil {
		return l.fault("open", -1, -1, err)
	}
	if err = l.finishSwaps(entries); err == nil {
		entries, err = l.fs.ReadDir(l.dir)
	}
	if err != nil {
		return l.fault("open", -1, -1, err)
	}
	segs, err := l.sift(entries)
	if err != nil {
		return l.fault("open", -1, -1, err)
	}
	if l.epochs, err = openEpochs(l.fs, l.dir); err != nil {
		if !isBadBatch(err) {
			return l.fault("open", -1, -1, err)
		}
		l.log.Warn("leader-epoch-checkpoint cannot be read; it is built again from what is scanned", "err", err)
	}
	l.recovery.Clean = o.Clean
	if len(segs) > 0 {
		segs, err = l.recover(segs, o)
	}
	if err == nil && len(segs) > 0 {
		// What readers were told is gone stays gone: offsets below Start are
		// not given out again, even if the records above them were lost.
		if end, _ := segs[len(segs)-1].end(); end < o.Start {
			l.recovery.Missing = max(o.RecoveryPoint-end, 0)
			l.dirty = l.dirty[:0]
			err = l.unlink(segs)
			segs = nil
		}
	}
	if err == nil && len(segs) == 0 {
		var s *segment
		if s, err = l.newActive(max(o.Start, 0)); err == nil {
			segs = append(segs, s)
		}
	}
	l.setSegments(segs)
	if err != nil {
		return l.fault("open", -1, -1, err)
	}
	l.publish(o)
	l.recovery.Took = time.Since(began)
	l.report()
	return nil
}

func (l *Log) publish(o Options) {
	segs := *l.segs.Load()
	active := segs[len(segs)-1]
	for _, s := range segs[:len(segs)-1] {
		s.sealed = true
	}
	end, _ := active.end()
	l.end.Store(end)
	l.start.Store(min(max(o.Start, segs[0].base), end))
	l.epochs.truncateStart(l.start.Load())
	if o.Clean && len(l.recovery.Cut) == 0 {
		l.synced.Store(end)
		return
	}
	l.recovery.Missing = max(l.recovery.Missing, o.RecoveryPoint-end, 0)
	l.synced.Store(min(max(o.RecoveryPoint, segs[0].base), end))
	l.epochs.truncateEnd(end)
}

func (l *Log) report() {
	r := &l.recovery
	for _, c := range r.Cut {
		l.log.Warn("recovery cut the log", "file", c.File, "position", c.Position, "bytes", c.Bytes, "offset", c.Offset, "reason", c.Reason)
	}
	if r.Missing > 0 {
		l.log.Error("the log ends before its recovery point: records that had been synced are gone", "end", l.End(), "missing", r.Missing)
	}
	if len(r.Stray) > 0 {
		l.log.Warn("files that do not belong to the log", "files", r.Stray)
	}
}

// sift sorts the directory into segments, left-overs, which are deleted, and
// strangers, which are named.
func (l *Log) sift(entries []Entry) ([]*segment, error) {
	var segs []*segment
	has := map[int64]bool{}
	for _, e := range entries {
		base, suffix, ok := parseSegmentName(e.Name)
		if !ok || suffix != logSuffix || e.Dir {
			continue
		}
		if e.Size > maxSegmentBytes {
			return nil, corrupt("%s has %d bytes, a segment has at most %d", e.Name, e.Size, maxSegmentBytes)
		}
		s := newSegment(l, base)
		// For now it ends where the next one starts; recover knows better.
		s.tail.Store(packTail(0, e.Size))
		segs, has[base] = append(segs, s), true
	}
	for _, e := range entries {
		switch l.kind(e, has) {
		case leftOver:
			if err := l.fs.Remove(join(l.dir, e.Name)); err != nil {
				return nil, err
			}
			l.dirDirty = true
			l.recovery.Removed = append(l.recovery.Removed, e.Name)
		case stranger:
			l.recovery.Stray = append(l.recovery.Stray, e.Name)
		}
	}
	sort.Slice(segs, func(i, j int) bool { return segs[i].base < segs[j].base })
	return segs, nil
}

type fileKind int

const (
	ours fileKind = iota
	leftOver
	stranger
)

func (l *Log) kind(e Entry, has map[int64]bool) fileKind {
	if e.Dir {
		return stranger
	}
	switch e.Name {
	case epochsFile, PartitionMetadataFile:
		return ours
	case epochsFile + ".tmp", PartitionMetadataFile + ".tmp":
		return leftOver
	}
	base, suffix, ok := parseSegmentName(e.Name)
	if !ok {
		return stranger
	}
	switch suffix {
	case logSuffix:
		return ours
	case indexSuffix, timeSuffix, txnSuffix:
		if has[base] {
			return ours
		}
		return leftOver
	case ".snapshot":
		return ours // of producer state at an offset, which need not start a segment
	}
	switch {
	case strings.HasSuffix(suffix, ".deleted"), strings.HasSuffix(suffix, ".tmp"),
		strings.HasSuffix(suffix, cleanedSuffix), strings.HasSuffix(suffix, swapSuffix):
		return leftOver
	}
	return stranger
}

// recover finds the end of every segment. Clean: a segment ends where the next
// one starts, and only the last one's tail is walked, by its headers. Else the
// same holds below the recovery point, and from its segment on everything is
// read and checked, up to the first fault; what comes after it is thrown away.
func (l *Log) recover(segs []*segment, o Options) ([]*segment, error) {
	from := len(segs) - 1
	if !o.Clean {
		// The segment that ends at the recovery point may have been rolled right
		// after that was written down, with its indexes still to be written.
		from = max(floorSegment(segs, o.RecoveryPoint-1), 0)
	}
	for i, s := range segs[:from] {
		next := segs[i+1].base
		if next-s.base > maxRelative+1 {
			return segs, corrupt("segment %s is followed by one that starts at %d", logName(s.base), next)
		}
		_, size := s.end()
		s.setEnd(next, size)
		s.stored = true
	}
	if o.Clean {
		ok, err := l.openTail(segs[from])
		if ok || err != nil {
			return segs, err
		}
		l.log.Warn("the last segment is not as a clean stop leaves it; it is checked whole", "file", segs[from].path(logSuffix))
	}
	for i := from; i < len(segs); i++ {
		s := segs[i]
		if i > from {
			if why := l.gapBefore(segs[i-1], s, o); why != "" {
				return l.dropFrom(segs, i, why)
			}
		}
		cut, err := l.scan(s, i == len(segs)-1)
		if err != nil {
			return segs, err
		}
		if cut {
			next, _ := s.end()
			return l.dropFrom(segs, i+1, fmt.Sprintf("it follows a segment that was cut at offset %d", next))
		}
	}
	return segs, nil
}

// gapBefore says why s cannot follow prev, "" where it can.
func (l *Log) gapBefore(prev, s *segment, o Options) string {
	end, _ := prev.end()
	switch {
	case s.base < end:
		return fmt.Sprintf("it starts at offset %d, before the end %d of the segment before it", s.base, end)
	case s.base > end && s.base > o.RecoveryPoint && !o.Gaps:
		return fmt.Sprintf("offsets %d to %d are missing before it", end, s.base-1)
	}
	return ""
}

// openTail reads the last segment of a log that was closed: its indexes, then
// the headers of the batches after the last entry. ok is false where it is not
// as Close leaves it.
func (l *Log) openTail(s *segment) (ok bool, err error) {
	_, size := s.end()
	f, err := s.open()
	if err != nil {
		return false, err
	}
	entries, err := s.readIndex(size)
	if err != nil {
		return false, ignoreRebuildable(err)
	}
	sv := survey{next: s.base, max: timeEntry{ms: -1}}
	if n := len(entries); n > 0 {
		sv.size = entries[n-1].pos()
		if n > 1 {
			sv.next = s.base + int64(entries[n-2].rel()) + 1
		}
	}
	w := newScanner(f, size)
	sv, err = sv.walk(w, s.base, false, nil)
	if err != nil || sv.fault != nil {
		return false, err
	}
	times, err := s.readTimes(sv.next, size)
	if err != nil {
		return false, ignoreRebuildable(err)
	}
	newest := sv.max
	if n := len(times); n > 0 && times[n-1].ms >= newest.ms {
		newest = times[n-1]
	}
	s.index.set(entries)
	s.times.reset(times, newest)
	s.setEnd(sv.next, sv.size)
	if h, err := w.header(0); err == nil {
		s.firstMs = h.ms
	}
	s.begin(l.now())
	s.stored = true
	return true, nil
}

func ignoreRebuildable(err error) error {
	if isRebuildable(err) {
		return nil
	}
	return err
}

// scan checks a whole segment, builds its indexes in memory, and cuts it at the
// first fault.
func (l *Log) scan(s *segment, active bool) (cut bool, err error) {
	_, size := s.end()
	f, err := s.open()
	if err != nil {
		return false, err
	}
	sv, err := surveySegment(newScanner(f, size), s.base, l.cfg.Load().IndexIntervalBytes, true, func(h header) error {
		l.epochs.observe(h.epoch, h.base)
		return nil
	})
	if err != nil {
		return false, err
	}
	s.index.set(sv.index)
	s.times.reset(sv.times, sv.max)
	s.setEnd(sv.next, sv.size)
	if sv.batches > 0 {
		s.firstMs = sv.first.ms
	}
	r := &l.recovery
	r.Clean = false
	r.Segments++
	r.Batches += sv.batches
	r.Records += sv.records
	r.Bytes += sv.size
	s.dirty = true
	l.dirty = append(l.dirty, s)
	if sv.fault != nil {
		r.Cut = append(r.Cut, Cut{s.path(logSuffix), sv.size, size - sv.size, sv.next, sv.fault.Error()})
		// On stable storage before anything is written there: see Truncate.
		if err := f.Truncate(sv.size); err != nil {
			return true, err
		}
		if err := f.Sync(); err != nil {
			return true, err
		}
	}
	if active || sv.fault != nil {
		s.begin(l.now())
		s.rule.since = 0
	}
	return sv.fault != nil, nil
}

// dropFrom deletes segs[i:].
func (l *Log) dropFrom(segs []*segment, i int, why string) ([]*segment, error) {
	end, _ := segs[i-1].end()
	for _, s := range segs[i:] {
		_, size := s.end()
		l.recovery.Cut = append(l.recovery.Cut, Cut{s.path(logSuffix), 0, size, end, why})
	}
	if i == len(segs) {
		return segs, nil
	}
	segs[i-1].begin(l.now())
	if err := l.unlink(segs[i:]); err != nil {
		return segs[:i], err
	}
	return segs[:i], l.fs.SyncDir(l.dir)
}

// unlink deletes the files of segments that are in no list any more, and gives
// up the list's reference.
func (l *Log) unlink(segs []*segment) error {
	var first error
	for _, s := range segs {
		for _, suffix := range []string{logSuffix, indexSuffix, timeSuffix, txnSuffix} {
			if err := l.fs.Remove(s.path(suffix)); err != nil && !os.IsNotExist(err) && first == nil {
				first = l.fault("delete", s.base, -1, err)
			}
		}
		s.release()
	}
	return first
}
