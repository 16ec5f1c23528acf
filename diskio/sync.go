package diskio

import "path/filepath"

// syncTask is one segment's share of a Sync, with a reference on it.
type syncTask struct {
	s      *segment
	size   int64
	sealed bool
}

// Sync puts everything that was appended before it on stable storage and moves
// Synced. Appends go on beside it. After an error the log has failed, and what
// lies above Synced may be lost, whatever a later fsync says.
func (l *Log) Sync() error { return l.sync(false) }

// syncAgain is Sync that calls fsync also where nothing came since the last.
func (l *Log) syncAgain() error { return l.sync(true) }

func (l *Log) sync(again bool) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	if err := l.usableLocked(); err != nil {
		l.mu.Unlock()
		return err
	}
	if s := l.active(); again && !s.dirty {
		s.dirty = true
		l.dirty = append(l.dirty, s)
	}
	l.takeDirtyLocked()
	l.mu.Unlock()
	return l.syncTaken()
}

// takeDirtyLocked moves what is to be synced from dirty to syncing. Needs
// syncMu and mu; what it leaves needs syncMu only.
func (l *Log) takeDirtyLocked() {
	l.syncing = l.syncing[:0]
	for _, s := range l.dirty {
		s.dirty = false
		if !s.acquire() {
			panic("BUG: dirty segment without a reference")
		}
		_, size := s.end()
		l.syncing = append(l.syncing, syncTask{s, size, s.sealed})
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	l.syncEnd = l.end.Load()
	l.syncDir, l.dirDirty = l.dirDirty, false
	l.syncParent, l.madeDir = l.madeDir, false
}

func (l *Log) syncTaken() error {
	var err error
	for _, t := range l.syncing {
		if err == nil {
			err = l.syncSegment(t)
		}
		t.s.release()
	}
	clear(l.syncing)
	if err != nil {
		return err
	}
	if l.syncDir {
		err = l.fs.SyncDir(l.dir)
	}
	if err == nil && l.syncParent {
		err = l.fs.SyncDir(filepath.Dir(l.dir))
	}
	if err != nil {
		return l.fail("sync", -1, l.synced.Load(), err)
	}
	if err := l.epochs.store(); err != nil {
		return l.fail("checkpoint", -1, -1, err)
	}
	l.synced.Store(l.syncEnd)
	return nil
}

func (l *Log) syncSegment(t syncTask) error {
	f, err := t.s.open()
	if err == nil && t.sealed && l.cfg.Load().Preallocate {
		err = f.Truncate(t.size) // gives back what was reserved and not used
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return l.fail("sync", t.s.base, l.synced.Load(), err)
	}
	if t.sealed && !t.s.stored {
		if err := t.s.store(t.size); err != nil {
			return l.fail("index", t.s.base, -1, err)
		}
		l.syncDir = true
	}
	return nil
}

// store writes the index files of a segment of size bytes. Needs syncMu; the
// files' names still need a SyncDir.
func (s *segment) store(size int64) error {
	entries, err := s.entries()
	if err != nil {
		return err
	}
	if err := s.loadTimes(); err != nil {
		return err
	}
	if err := writeFileSync(s.l.fs, s.path(indexSuffix), encodeIndex(cutIndex(entries, size))); err != nil {
		return err
	}
	if err := writeFileSync(s.l.fs, s.path(timeSuffix), s.times.final()); err != nil {
		return err
	}
	s.stored = true
	return nil
}
