package diskio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"sync"
)

// How a compacted segment takes the place of those it was made from, so that a
// crash at any point leaves the old ones or the new one. The names are Kafka's;
// either broker can finish what the other began.
//
//		NNN.log.cleaned    in the making; without meaning after a crash
//		NNN.log.swap       whole and synced: it stands for every segment that starts
//		                   within its offsets, whether those are still there or not
//		NNN.log            in place
//
//	 1. The new bytes are written and synced under .cleaned.
//	 2. Rename to .swap, sync the directory: from here on there is no way back.
//	 3. The old segments but the first, and all their indexes, are deleted; sync
//	    the directory, so that none can come back beside what replaced it.
//	 4. Rename to .log, over the first; sync the directory.
//	 5. The indexes are written, each renamed into place whole.
//
// A transaction index goes before its segment at each step, and is not deleted
// before: its entries are in no batch. Open goes on from step 3; indexes that
// are missing are built again when they are needed.
//
// Rejected: to publish the new segment and delete the old ones in the
// background, as Kafka does. Readers here hold references, not time.
const (
	cleanedSuffix = ".cleaned"
	swapSuffix    = ".swap"
	txnSuffix     = ".txnindex"
)

// swap puts w in the place of the group, unless the group is no longer part of
// the log: then it leaves what is there. An error with Failed: the log stopped
// halfway, and the next Open ends it.
func (l *Log) swap(group []*segment, w *cleaned, guard sync.Locker) error {
	if guard != nil {
		guard.Lock()
		defer guard.Unlock()
	}
	// Whoever deletes, truncates or syncs segments holds syncMu; an append adds
	// to the end of the list only.
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	err := l.usableLocked()
	i := l.findGroup(group)
	l.mu.Unlock()
	if err != nil || i < 0 {
		w.changed = false
		return err
	}
	// Readers that hold an old segment must find all of it in memory or open:
	// its names will soon be another's. While syncMu is held
	// nothing drops an index again.
	for _, s := range group {
		if _, err := s.open(); err != nil {
			return err
		}
		if _, err := s.entries(); err != nil {
			return err
		}
		if err := s.loadTimes(); err != nil {
			return err
		}
	}
	if err := l.prepareTxnIndex(group); err != nil {
		return err
	}
	base := group[0].base
	if err := l.commitSwap(base); err != nil {
		return l.fail("compact", base, -1, err)
	}
	var old []int64
	for _, s := range group[1:] {
		old = append(old, s.base)
	}
	if err := l.finishSwap(base, old); err != nil {
		return l.fail("compact", base, -1, err)
	}
	n := newSegment(l, base)
	n.sealed, n.stored = true, true
	next, _ := group[len(group)-1].end()
	n.setEnd(next, w.sv.size)
	n.index.set(w.sv.index)
	n.times.reset(w.sv.times, w.sv.max)
	if err := n.storeAtomic(); err != nil {
		return l.fail("compact", base, -1, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	segs := *l.segs.Load()
	list := append(segs[:i:i], n)
	l.setSegments(append(list, segs[i+len(group):]...))
	for _, s := range group {
		s.deleted.Store(true)
		l.forget(s)
		s.release()
	}
	return nil
}

// findGroup is where the group stands in the list, -1 where it is no longer
// there as it was.
func (l *Log) findGroup(group []*segment) int {
	segs := *l.segs.Load()
	i := sort.Search(len(segs), func(i int) bool { return segs[i].base >= group[0].base })
	if i+len(group) >= len(segs) { // the active one is never part of it
		return -1
	}
	for j, s := range group {
		if segs[i+j] != s || !s.sealed {
			return -1
		}
	}
	return i
}

// prepareTxnIndex joins the transaction indexes of a group.
func (l *Log) prepareTxnIndex(group []*segment) error {
	var all []byte
	for _, s := range group {
		b, err := readFile(l.fs, s.path(txnSuffix), maxSegmentBytes)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		all = append(all, b...)
	}
	if len(all) == 0 {
		return nil
	}
	return writeFileSync(l.fs, group[0].path(txnSuffix+cleanedSuffix), all)
}

func (l *Log) commitSwap(base int64) error {
	for _, suffix := range []string{txnSuffix, logSuffix} {
		name := join(l.dir, segmentName(base, suffix))
		err := l.fs.Rename(name+cleanedSuffix, name+swapSuffix)
		if os.IsNotExist(err) && suffix == txnSuffix {
			continue
		}
		if err == nil {
			err = l.fs.SyncDir(l.dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finishSwap does steps 3 and 4; any part of them may have been done. old is
// the segments besides base that the new one stands for.
func (l *Log) finishSwap(base int64, old []int64) error {
	remove := func(base int64, suffixes ...string) error {
		for _, suffix := range suffixes {
			if err := l.fs.Remove(join(l.dir, segmentName(base, suffix))); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		return nil
	}
	txn := join(l.dir, segmentName(base, txnSuffix))
	if err := l.fs.Rename(txn+swapSuffix, txn); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	if err := remove(base, indexSuffix, timeSuffix); err != nil {
		return err
	}
	for _, base := range old {
		if err := remove(base, indexSuffix, timeSuffix, txnSuffix, logSuffix); err != nil {
			return err
		}
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	log := join(l.dir, logName(base))
	if err := l.fs.Rename(log+swapSuffix, log); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

// storeAtomic writes the index files of a segment that recovery will not scan:
// each is there as a whole or not at all.
func (s *segment) storeAtomic() error {
	entries, _ := s.index.loaded()
	if err := writeFileAtomic(s.l.fs, s.l.dir, segmentName(s.base, indexSuffix), encodeIndex(entries)); err != nil {
		return err
	}
	return writeFileAtomic(s.l.fs, s.l.dir, segmentName(s.base, timeSuffix), s.times.final())
}

// discard takes away what was in the making.
func (l *Log) discard(base int64) error {
	for _, suffix := range []string{txnSuffix, logSuffix} {
		err := l.fs.Remove(join(l.dir, segmentName(base, suffix+cleanedSuffix)))
		if err != nil && !os.IsNotExist(err) {
			return l.fail("compact", base, -1, err)
		}
	}
	return nil
}

// finishSwaps ends what a crash has interrupted, before the directory is
// sorted: a .swap is put in its place, unless a .cleaned at or below its base
// says that Kafka was still renaming what one segment had been split into.
func (l *Log) finishSwaps(entries []Entry) error {
	var swaps, logs []int64
	cleaned := int64(-1)
	for _, e := range entries {
		base, suffix, ok := parseSegmentName(e.Name)
		switch {
		case !ok || e.Dir:
		case suffix == logSuffix:
			logs = append(logs, base)
		case suffix == logSuffix+swapSuffix:
			swaps = append(swaps, base)
		case strings.HasSuffix(suffix, cleanedSuffix) && (cleaned < 0 || base < cleaned):
			cleaned = base
		}
	}
	for _, base := range swaps {
		if cleaned >= 0 && base >= cleaned {
			continue // sift deletes it
		}
		next, err := l.swapEnd(base)
		if err != nil {
			return err
		}
		var old []int64
		for _, b := range logs {
			if b > base && b < next {
				old = append(old, b)
			}
		}
		if err := l.finishSwap(base, old); err != nil {
			return err
		}
		l.log.Info("finished a compaction that was interrupted", "segment", logName(base), "replaced", len(old))
	}
	return nil
}

// swapEnd is the offset after what a .swap holds. It was synced before it got
// its name: if it is not whole, the disk has lied, and what it stands for may be
// gone.
func (l *Log) swapEnd(base int64) (int64, error) {
	name := segmentName(base, logSuffix+swapSuffix)
	f, err := l.fs.OpenFile(join(l.dir, name), os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	size, err := f.Size()
	var sv survey
	if err == nil {
		sv, err = surveySegment(newScanner(f, size), base, 0, true, nil)
	}
	if err == nil && sv.fault != nil {
		err = fmt.Errorf("%s, which compaction had synced: %w", name, sv.fault)
	}
	if err := errors.Join(err, f.Close()); err != nil && err != io.EOF {
		return 0, err
	}
	return sv.next, nil
}
