package diskio

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"millrace/batching"
)

// Options is what Open is told about one log.
type Options struct {
	// Clean says that the log was closed by Close: nothing is scanned.
	Clean bool
	// RecoveryPoint is the offset below which all was on stable storage when
	// that was last written down (Synced); the scan starts in its segment.
	RecoveryPoint int64
	// Start is the first offset that readers may see, as last written down;
	// below the first segment's it has no effect. A log without segments
	// begins there.
	Start int64
	// Gaps says that offsets may be missing between batches, as they are where
	// the topic is or was compacted. Without it a hole in what is scanned is
	// taken for a loss, and the log is cut before it.
	Gaps bool
	// Clock gives the time for rolling by age; nil: time.Now.
	Clock func() time.Time
	// Logger hears of recovery and failures; nil: slog.Default.
	Logger *slog.Logger
}

// Log is one partition's log. Append, Truncate and the like may be called from
// any goroutine but act one after the other; the order of appends is the
// caller's to keep. Everything that reads runs beside them.
type Log struct {
	// immutable
	fs       FS
	dir      string
	gaps     bool
	now      func() time.Time
	log      *slog.Logger
	mode     appendMode
	path     readPath
	epochs   *Epochs
	recovery Recovery

	cfg atomic.Pointer[Config]

	// published to readers
	segs   atomic.Pointer[[]*segment] // ascending by base; empty once closed
	start  atomic.Int64
	end    atomic.Int64
	synced atomic.Int64
	failed atomic.Pointer[Error]

	// held during fsync; before mu. The rest is Sync's own
	syncMu     sync.Mutex
	syncing    []syncTask
	syncEnd    int64
	syncDir    bool
	syncParent bool

	// guarded by mu
	mu       sync.Mutex
	closed   bool
	dirty    []*segment       // have bytes that no fsync was asked for
	dirDirty bool             // names were made or removed in dir
	madeDir  bool             // dir itself was made
	batches  []batching.Batch // Append's, kept for its room
	vec      [][]byte         // the grouped append's, likewise
	flushing bool             // a background Sync is on its way
	flushers sync.WaitGroup
}

// Open opens the log in dir, which is made if missing, and recovers it: see
// Options.Clean and Log.Recovery. A log that cannot be read is an *Error.
func Open(fs FS, dir string, cfg Config, o Options) (*Log, error) {
	l := &Log{
		fs: fs, dir: dir, gaps: o.Gaps, now: o.Clock, log: o.Logger,
		mode: appendModes.get(cfg.AppendMode),
		path: readPaths.get(cfg.ReadPath),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	l.log = l.log.With("log", dir)
	l.cfg.Store(&cfg)
	l.segs.Store(&[]*segment{})
	if err := l.load(o); err != nil {
		l.releaseAll()
		return nil, err
	}
	return l, nil
}

// Configure changes the settings that a topic may override while the log is in
// use; they hold from the next append, roll or Retain on. append.mode and
// read.path stay as they were at Open.
func (l *Log) Configure(cfg Config) { l.cfg.Store(&cfg) }

// Dir is the log's directory.
func (l *Log) Dir() string { return l.dir }

// Start is the first offset that can be read.
func (l *Log) Start() int64 { return l.start.Load() }

// End is the offset that the next batch will get.
func (l *Log) End() int64 { return l.end.Load() }

// Synced is the offset below which everything is on stable storage.
func (l *Log) Synced() int64 { return l.synced.Load() }

// Failed is the disk's fault that stopped the log, nil while it works.
func (l *Log) Failed() error {
	if e := l.failed.Load(); e != nil {
		return e
	}
	return nil
}

// Epochs is the log's record of leader epochs.
func (l *Log) Epochs() *Epochs { return l.epochs }

// Recovery says what Open found.
func (l *Log) Recovery() Recovery { return l.recovery }

// Size is the bytes of all segments; indexes do not count.
func (l *Log) Size() int64 {
	var n int64
	for _, s := range *l.segs.Load() {
		_, size := s.end()
		n += size
	}
	return n
}

// Segments is the number of segment files.
func (l *Log) Segments() int { return len(*l.segs.Load()) }

// active is the segment that is appended to.
func (l *Log) active() *segment {
	segs := *l.segs.Load()
	return segs[len(segs)-1]
}

// setSegments publishes a new list; the old one stays as its readers know it.
func (l *Log) setSegments(segs []*segment) { l.segs.Store(&segs) }

// usableLocked is why nothing can be written any more, nil while it can.
func (l *Log) usableLocked() error {
	if l.closed {
		return ErrClosed
	}
	return l.Failed()
}

// fault makes an *Error about the log as it is.
func (l *Log) fault(op string, segment, offset int64, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Op: op, Dir: l.dir, Segment: segment, Offset: offset, Err: err}
}

// fail stops the log for good. The first fault is the one that is kept.
func (l *Log) fail(op string, segment, offset int64, err error) error {
	e := *l.fault(op, segment, offset, err)
	e.Failed = true
	if l.failed.CompareAndSwap(nil, &e) {
		l.log.Error("the disk failed; the log takes no more appends", "op", e.Op, "segment", segment, "offset", offset, "err", e.Err)
	}
	return l.failed.Load()
}

// Close syncs everything, writes the indexes, and lets go of the files; spans
// that are still out keep theirs until they are released. It returns nil only
// if the log may be opened with Clean next time.
func (l *Log) Close() error {
	err := l.Sync()
	l.syncMu.Lock()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.syncMu.Unlock()
		return nil
	}
	if err == nil {
		err = l.sealActiveLocked()
	}
	l.closed = true
	l.releaseAll()
	l.mu.Unlock()
	l.syncMu.Unlock()
	l.flushers.Wait()
	return err
}

// sealActiveLocked writes what the active segment needs so that no one has to
// scan it.
func (l *Log) sealActiveLocked() error {
	// An append may have come since the Sync before.
	l.takeDirtyLocked()
	if err := l.syncTaken(); err != nil {
		return err
	}
	s := l.active()
	if s.stored {
		return nil
	}
	_, size := s.end()
	err := s.store(size)
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return l.fail("index", s.base, -1, err)
	}
	return nil
}

func (l *Log) releaseAll() {
	segs := *l.segs.Load()
	l.setSegments(nil)
	for _, s := range segs {
		s.release()
	}
}

// Remove closes the log and deletes its directory. Spans that are out stay
// good.
func (l *Log) Remove() error {
	l.syncMu.Lock()
	l.mu.Lock()
	l.closed = true
	l.releaseAll()
	l.mu.Unlock()
	l.syncMu.Unlock()
	l.flushers.Wait()
	if err := removeAll(l.fs, l.dir); err != nil {
		return l.fault("delete", -1, -1, err)
	}
	return nil
}

// newActive makes the file of a segment and returns it, not yet in the list.
func (l *Log) newActive(base int64) (*segment, error) {
	s := newSegment(l, base)
	s.whole = !l.gaps
	// A file of that name can only be left over from a crash before it was in
	// any list.
	f, err := l.fs.OpenFile(s.path(logSuffix), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	s.setFile(f)
	if cfg := l.cfg.Load(); cfg.Preallocate {
		if err := reserve(f, cfg.SegmentBytes); err != nil {
			s.release()
			return nil, err
		}
	}
	s.begin(l.now())
	l.dirDirty = true
	return s, nil
}

// begin readies a segment for appends. Its indexes are in memory.
func (s *segment) begin(now time.Time) {
	s.created = now
	if !s.l.gaps {
		s.recent.Store(&recentBatches{})
	}
	if _, ok := s.index.loaded(); !ok {
		s.index.set(nil)
	}
	s.times.mu.Lock()
	s.times.loaded = true
	s.times.mu.Unlock()
	s.rule.interval = s.l.cfg.Load().IndexIntervalBytes
}

// Append writes batches whose offsets are set; the first must start at End.
// When it returns nil they are in the page cache and readable; what they are
// beyond that, sync.policy says through a Syncer. The batches are the caller's
// again. On an *Error the log has failed: none of them can be read, but some
// may be found by the next recovery, as with any append that was not answered.
// ErrTooLarge is about one batch and leaves the log as it was.
func (l *Log) Append(batches ...batching.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A copy, so that the caller's list need not live on the heap.
	l.batches = append(l.batches[:0], batches...)
	err := l.appendLocked(l.batches)
	clear(l.batches)
	return err
}
