package diskio

import (
	"errors"
	"os"

	"millrace/batching"
)

// cleaned is the segment that a group becomes, on its way.
type cleaned struct {
	p       *compactor
	base    int64
	file    File
	sv      survey // of what is written
	pending []byte // written so far only here
	changed bool
	last    []byte // the header of the batch that was taken out after all that is written; nil: none

	before, after int64 // records
}

// rewrite makes one segment out of a group, and puts it in their place where it
// differs from what is there.
func (p *compactor) rewrite(group []*segment, c *Compaction) error {
	s := group[0]
	file, err := p.l.fs.OpenFile(s.path(logSuffix+cleanedSuffix), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return p.fault(s, err)
	}
	w := &cleaned{p: p, base: s.base, file: file, changed: len(group) > 1,
		sv: survey{next: s.base, max: timeEntry{ms: -1}, rule: indexRule{interval: p.l.cfg.Load().IndexIntervalBytes}}}
	err = w.fill(group)
	var before int64
	for _, s := range group {
		_, size := s.end()
		before += size
	}
	if err == nil && w.changed {
		if err = file.Sync(); err == nil {
			err = p.l.swap(group, w, p.o.Guard)
		}
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	c.Segments += len(group)
	if err == nil && w.changed {
		c.Written++
		c.BytesBefore += before
		c.BytesAfter += w.sv.size
		c.RecordsBefore += w.before
		c.RecordsAfter += w.after
		return nil
	}
	// Failed, not needed, or passed over because the segments went away. What
	// was swapped is no longer under this name.
	if rerr := p.l.discard(s.base); err == nil {
		err = rerr
	}
	if err != nil {
		return p.fault(s, err)
	}
	return nil
}

func (w *cleaned) fill(group []*segment) error {
	for _, s := range group {
		if err := w.p.each(s, 0, w.take); err != nil {
			return err
		}
	}
	if w.last != nil {
		// The segment must say by itself how far it reaches: recovery finds the
		// old ones that it stands for by that, and what follows it does not look
		// like a loss.
		if err := w.write(w.last); err != nil {
			return err
		}
	}
	return w.flush()
}

// take writes what stays of a batch.
func (w *cleaned) take(h header, b batching.Batch) error {
	p := w.p
	w.before += int64(b.Count())
	verdict := p.judge(h, b)
	if verdict == copyBatch {
		w.after += int64(b.Count())
		return w.write(b.Bytes())
	}
	horizon, kept := int64(-1), 0
	if verdict == markHorizon {
		horizon, kept = p.horizon(), b.Count()
	}
	if verdict == filterBatch {
		_, has := b.DeleteHorizon()
		for r, err := range b.Records(0) {
			if err != nil {
				return err
			}
			if p.stays(b, r) {
				kept++
				if r.Value == nil && !has {
					horizon = p.horizon()
				}
			}
		}
	}
	w.after += int64(kept)
	if kept > 0 && kept == b.Count() && horizon < 0 {
		return w.write(b.Bytes())
	}
	var err error
	p.out, err = b.Filter(p.out[:0], batching.Kept{Horizon: horizon, Record: func(r batching.Record) bool {
		return verdict == markHorizon || verdict == filterBatch && p.stays(b, r)
	}})
	if err != nil {
		return err
	}
	if kept == 0 {
		if p.o.Keeps == nil || b.ProducerID() < 0 || !p.o.Keeps(b.ProducerID(), b.ProducerEpoch(), b.LastOffset()) {
			w.last = append(w.last[:0], p.out...)
			w.changed = w.changed || b.Count() > 0
			return nil
		}
		if b.Count() == 0 {
			return w.write(b.Bytes())
		}
	}
	w.changed = true
	return w.write(p.out)
}

// horizon is the delete horizon of what this compaction meets first.
func (p *compactor) horizon() int64 { return p.o.Now.Add(p.o.DeleteRetention).UnixMilli() }

// write appends a batch. An empty one that was put by before it is not needed.
func (w *cleaned) write(b []byte) error {
	h, err := parseHeader(b, w.sv.size)
	if err == nil {
		err = w.sv.fits(h, w.base)
	}
	if err == nil && w.sv.size+h.size > maxSegmentBytes {
		err = errors.New("compaction made a segment larger than a segment may be")
	}
	if err != nil {
		return err
	}
	if w.last != nil && h.base > lastOf(w.last) {
		w.changed, w.last = true, nil // no longer the last
	}
	w.pending = append(w.pending, b...)
	w.sv.add(h, w.base)
	if len(w.pending) >= scanBuffer {
		return w.flush()
	}
	return nil
}

func lastOf(b []byte) int64 {
	h, _ := parseHeader(b, 0)
	return h.last
}

func (w *cleaned) flush() error {
	_, err := w.file.WriteAt(w.pending, w.sv.size-int64(len(w.pending)))
	w.pending = w.pending[:0]
	return err
}
