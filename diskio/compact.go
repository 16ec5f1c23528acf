package diskio

import (
	"context"
	"crypto/sha256"
	"math"
	"slices"
	"sync"
	"time"

	"millrace/batching"
)

// CompactOptions is what Compact is told.
type CompactOptions struct {
	// From is the offset that the last Compaction came to (To): below it every
	// key stands once. 0 at first, and always right.
	From int64
	// UpTo is never reached: the last stable offset.
	UpTo int64
	// Now is the time that delete horizons count from.
	Now time.Time
	// MinLag is how old the newest record of a segment is before the segment
	// is touched; 0: any age.
	MinLag time.Duration
	// DeleteRetention is how long a tombstone stays readable from the first
	// compaction that met it on.
	DeleteRetention time.Duration
	// Buffer bounds the memory of the key map, in bytes; what does not fit is
	// left to the next pass.
	Buffer int64
	// Aborted is the transactions that were aborted, by marker offset.
	Aborted []AbortedRange
	// Keeps, where not nil, says of a batch that compaction could take out
	// whole whether its header is still needed to know where its producer
	// stands.
	Keeps func(producer int64, epoch int16, last int64) bool
	// Guard, where not nil, is held while files are replaced: it is the lock of
	// whoever writes files of his own beside the segments.
	Guard sync.Locker
}

// AbortedRange is the records of a producer from First up to its marker at Last.
type AbortedRange struct{ Producer, First, Last int64 }

// Compaction is what Compact did.
type Compaction struct {
	To            int64 // From of the next one
	More          bool  // the keys did not fit into the buffer: call again
	Segments      int   // read
	Written       int   // segments in their place
	BytesBefore   int64 // of the segments that were replaced
	BytesAfter    int64
	RecordsBefore int64
	RecordsAfter  int64
	// Spent is those of CompactOptions.Aborted of which neither a record nor the
	// marker is left: no reader has to be told of them any more.
	Spent []AbortedRange
}

// keySize is the most memory that a key takes in the map: 24 bytes, half of the
// room empty, and the old map beside the new one while it grows.
const keySize = 96

// keyHash stands for a key. It is cut from a hash that nobody can make collide:
// two keys with one hash would cost the older one its record.
type keyHash [16]byte

func hashKey(key []byte) keyHash {
	sum := sha256.Sum256(key)
	return keyHash(sum[:16])
}

// Backlog says how much there is to compact: the bytes of the segments below
// from, those that could be compacted now, and the time of the first batch
// among the latter, in ms since 1970, -1: none.
func (l *Log) Backlog(o CompactOptions) (clean, dirty int64, oldest int64, err error) {
	oldest = -1
	segs, err := l.cleanable(o)
	for _, s := range segs {
		next, size := s.end()
		if next <= o.From {
			clean += size
		} else {
			dirty += size
			if oldest < 0 && size > 0 && err == nil {
				oldest, err = s.firstTime()
			}
		}
		s.release()
	}
	return clean, dirty, oldest, err
}

// firstTime is the greatest timestamp of the segment's first batch.
func (s *segment) firstTime() (int64, error) {
	f, err := s.open()
	if err != nil {
		return -1, s.l.readFault(s, -1, err)
	}
	_, size := s.end()
	w := getWalker(f, size)
	defer putWalker(w)
	h, err := w.header(0)
	if err != nil {
		return -1, s.l.readFault(s, s.base, err)
	}
	return h.ms, nil
}

// cleanable is the segments from the first on that may be compacted, each with
// a reference that the caller gives up: not the active one, none that starts at
// or past UpTo, none from the first on that has a record younger than MinLag.
func (l *Log) cleanable(o CompactOptions) ([]*segment, error) {
	var out []*segment
	segs := *l.segs.Load()
	for _, s := range segs[:max(len(segs)-1, 0)] {
		if s.base >= o.UpTo || !s.acquire() {
			break
		}
		if o.MinLag > 0 {
			if err := s.loadTimes(); err != nil {
				s.release()
				releaseAll(out)
				return nil, l.readFault(s, -1, err)
			}
			if s.times.newest().ms > o.Now.Add(-o.MinLag).UnixMilli() {
				s.release()
				break
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func releaseAll(segs []*segment) {
	for _, s := range segs {
		s.release()
	}
}

// Compact rewrites the closed segments below UpTo so that of each key only the
// newest record stays. Offsets do not change; what was taken out leaves gaps,
// and a read into one goes on with the next batch. Tombstones stay until their
// delete horizon, which the first compaction that meets them sets. Small
// segments are joined up to segment.bytes. Appends and reads go on beside it,
// and spans that are out stay good. One call at a time; ctx ends it between two
// batches.
//
// An error before anything was replaced, a full disk say, leaves the log as it
// was; an *Error with Failed has stopped it.
//
// It goes in passes over the file, as Kafka's Cleaner does: one over what is
// new since From notes the last offset of each key; one over everything below
// its end copies what stays, group by group, a group becoming one segment; see
// swap.go for how that takes the old ones' place.
func (l *Log) Compact(ctx context.Context, o CompactOptions) (c Compaction, err error) {
	c.To = o.From
	// What is replaced is on stable storage with its indexes, and so is the
	// name of the active segment, which holds the log's end.
	if err := l.Sync(); err != nil {
		return c, err
	}
	segs, err := l.cleanable(o)
	if err != nil || len(segs) == 0 {
		return c, err
	}
	defer func() { releaseAll(segs) }()
	p := &compactor{l: l, o: o, ctx: ctx, open: map[int64]bool{}, aborted: map[int64][]AbortedRange{}, markers: map[int64]bool{}}
	first := segs[0].base
	for _, a := range o.Aborted {
		p.aborted[a.Producer] = append(p.aborted[a.Producer], a)
	}
	if err := p.mapKeys(segs); err != nil {
		return c, err
	}
	for len(segs) > 0 && segs[0].base < p.end {
		n := p.group(segs)
		if err := p.rewrite(segs[:n], &c); err != nil {
			return c, err
		}
		releaseAll(segs[:n])
		segs = segs[n:]
	}
	c.To, c.More = max(p.end, o.From), p.full
	for _, a := range o.Aborted {
		if a.Last >= first && a.Last < p.end && !p.markers[a.Last] {
			c.Spent = append(c.Spent, a)
		}
	}
	return c, nil
}

// compactor is one Compact.
type compactor struct {
	l       *Log
	o       CompactOptions
	ctx     context.Context
	aborted map[int64][]AbortedRange
	keys    map[keyHash]int64 // last offset of each key in [From, end)
	end     int64             // what lies at or past it is copied as it is
	full    bool              // keys ended before the segments did
	buf     []byte            // a batch as it was
	out     []byte            // a batch as it stays

	// Of the copying pass: producers with records since their last marker, and
	// the markers of aborted transactions that stay.
	open    map[int64]bool
	markers map[int64]bool
}

// isAborted says whether a batch belongs to a transaction that was aborted.
func (p *compactor) isAborted(b batching.Batch) bool {
	if !b.IsTransactional() || b.IsControl() {
		return false
	}
	list := p.aborted[b.ProducerID()]
	i, _ := slices.BinarySearchFunc(list, b.BaseOffset(), func(a AbortedRange, offset int64) int {
		if a.Last < offset {
			return -1
		}
		return 1
	})
	return i < len(list) && list[i].First <= b.BaseOffset()
}

// each gives every batch of a segment to f, checked. The bytes hold until f
// returns.
func (p *compactor) each(s *segment, from int64, f func(header, batching.Batch) error) error {
	file, err := s.open()
	if err != nil {
		return err
	}
	next, size := s.end()
	at := place{offset: s.base}
	if from > s.base {
		if at, err = s.locate(file, from, place{size, next}); err != nil {
			return err
		}
	}
	return s.eachHeader(file, at.pos, size, func(h header) error {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if int64(cap(p.buf)) < h.size {
			p.buf = make([]byte, h.size) // the file has as much
		}
		b := p.buf[:h.size]
		if n, err := file.ReadAt(b, h.pos); n < len(b) {
			return err
		}
		batch, err := batching.View(b)
		if err == nil {
			err = batch.CheckCRC()
		}
		if err == nil {
			err = f(h, batch)
		}
		return err
	})
}

// errFull ends the mapping: no more keys fit.
var errFull = errorString("key map is full")

type errorString string

func (e errorString) Error() string { return string(e) }

// mapKeys reads what is new, as far as its keys fit into the buffer, but at
// least a batch.
func (p *compactor) mapKeys(segs []*segment) error {
	limit := int(min(max(p.o.Buffer/keySize, 1), math.MaxInt32))
	p.keys = map[keyHash]int64{}
	p.end = max(p.o.From, segs[0].base)
	last, _ := segs[len(segs)-1].end()
	if p.o.From > last {
		p.o.From, p.end = 0, segs[0].base // speaks of another log
	}
	for _, s := range segs {
		next, _ := s.end()
		if next <= p.o.From {
			continue
		}
		err := p.each(s, p.o.From, func(h header, b batching.Batch) error {
			if h.last >= p.o.UpTo {
				return errFull
			}
			if h.last < p.o.From {
				return nil
			}
			if len(p.keys) > 0 && len(p.keys)+b.Count() > limit {
				p.full = true
				return errFull
			}
			p.end = h.next()
			if b.IsControl() || p.isAborted(b) {
				return nil
			}
			for r, err := range b.Records(0) {
				if err != nil {
					return err
				}
				if r.Key != nil {
					p.keys[hashKey(r.Key)] = b.Offset(r)
				}
			}
			return nil
		})
		if err == errFull {
			return nil
		}
		if err != nil {
			return p.fault(s, err)
		}
		p.end = min(next, p.o.UpTo)
	}
	return nil
}

// fault is an error of reading or writing, that leaves the log as it is.
func (p *compactor) fault(s *segment, err error) error {
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	return p.l.fault("compact", s.base, -1, err)
}

// group is how many of the segments become one.
func (p *compactor) group(segs []*segment) int {
	cfg, base := p.l.cfg.Load(), segs[0].base
	var size, indexed, timed int64
	for i, s := range segs {
		next, bytes := s.end()
		size += bytes
		if i > 0 && (s.base >= p.end || size > cfg.SegmentBytes || next-1-base > maxRelative) {
			return i
		}
		_ = s.loadTimes() // prepare tells of a fault
		timed += int64(s.times.len()) + 1
		indexed += bytes / max(cfg.IndexIntervalBytes, batching.HeaderSize)
		if i > 0 && max(timed*timeEntrySize, indexed*indexEntrySize) > cfg.SegmentIndexBytes {
			return i
		}
	}
	return len(segs)
}

// verdict is what becomes of a batch, from its header alone.
type verdict int

const (
	copyBatch verdict = iota
	filterBatch
	markHorizon // a marker that nobody needs: it goes after its horizon
	emptyBatch  // no record stays
)

func (p *compactor) judge(h header, b batching.Batch) verdict {
	if h.last >= p.end {
		return copyBatch
	}
	if b.IsControl() {
		_, isMarker, err := b.Marker()
		open := p.open[b.ProducerID()]
		delete(p.open, b.ProducerID())
		switch {
		case b.Count() == 0:
			return emptyBatch
		case err != nil || !isMarker || open:
			p.markers[b.BaseOffset()] = true
			return copyBatch
		}
		horizon, ok := b.DeleteHorizon()
		if ok && p.o.Now.UnixMilli() >= horizon {
			return emptyBatch
		}
		p.markers[b.BaseOffset()] = true
		if ok {
			return copyBatch
		}
		return markHorizon
	}
	if b.IsTransactional() {
		p.open[b.ProducerID()] = true
		if p.isAborted(b) {
			return emptyBatch
		}
	}
	return filterBatch
}

// stays says whether a record of a batch below end does.
func (p *compactor) stays(b batching.Batch, r batching.Record) bool {
	if r.Key == nil {
		return false
	}
	if last, ok := p.keys[hashKey(r.Key)]; ok && last > b.Offset(r) {
		return false
	}
	if r.Value != nil {
		return true
	}
	horizon, ok := b.DeleteHorizon()
	return !ok || p.o.Now.UnixMilli() < horizon
}
