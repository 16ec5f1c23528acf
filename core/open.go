package core

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"millrace/batching"
	"millrace/core/producers"
	"millrace/diskio"
)

// open recovers the partition's log and what is remembered of its producers.
func (p *partition) open() error {
	b, s := p.b, p.settings.Load()
	log, err := diskio.Open(b.fs, b.dir.file(p.name), s.disk, b.dir.options(p))
	if err != nil {
		return err
	}
	if r := log.Recovery(); len(r.Cut) > 0 || r.Missing > 0 {
		b.log.Warn("recovery cut a partition's tail", "partition", p.name, "end", log.End(), "cut", r.Cut, "missing", r.Missing)
	}
	if err := errors.Join(b.dir.claim(p), p.loadProducers(log)); err != nil {
		return errors.Join(err, log.Close())
	}
	log.Epochs().Assign(p.epoch, log.End())
	p.log = log
	p.promise = b.syncer.Attach(log, p.promised)
	p.visible.Store(log.End())
	return nil
}

// close syncs and closes the log, and writes down its producers. When it
// returns nil, the next start need not scan it.
func (p *partition) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.state.Swap(gone)
	switch {
	case p.log == nil && p.b.dir.clean:
		return nil // it is as a clean stop has left it
	case p.log == nil:
		return fmt.Errorf("partition %s is offline", p.name)
	}
	p.promise.Detach()
	err := p.log.Close()
	if was == offline {
		return errors.Join(fmt.Errorf("partition %s is offline", p.name), err)
	}
	if err == nil {
		err = p.saveProducers()
	}
	return err
}

// snapshotName is Kafka's: the offset up to which the file speaks.
func snapshotName(offset int64) string { return fmt.Sprintf("%020d.snapshot", offset) }

// maxSnapshot bounds what is read of a snapshot: all that a table can hold.
const maxSnapshot = 64 + 64*producers.Limit

// saveProducers writes the snapshot at the log's end, and removes older ones.
func (p *partition) saveProducers() error {
	dir := p.b.dir.file(p.name)
	old, err := p.snapshots()
	if err != nil {
		return err
	}
	keep := ""
	p.snapMu.Lock()
	defer p.snapMu.Unlock()
	if err := p.saveAborted(p.txns.aborted.all(), p.log.End()); err != nil {
		return err
	}
	if p.producers.Len() > 0 {
		keep = snapshotName(p.log.End())
		if err := p.b.dir.write(dir, keep, p.producers.AppendSnapshot(nil)); err != nil {
			return err
		}
	}
	for _, offset := range old {
		if name := snapshotName(offset); name != keep {
			if err := p.b.fs.Remove(dir + "/" + name); err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshots lists the offsets of the snapshots there are, ascending.
func (p *partition) snapshots() ([]int64, error) {
	entries, err := p.b.fs.ReadDir(p.b.dir.file(p.name))
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range entries {
		if text, ok := strings.CutSuffix(e.Name, ".snapshot"); ok && len(text) == 20 {
			if offset, err := strconv.ParseInt(text, 10, 64); err == nil {
				out = append(out, offset)
			}
		}
	}
	return out, nil
}

// loadProducers reads the newest snapshot that the log reaches, and the headers
// of the batches after it. A snapshot beyond the end speaks of what recovery has
// cut; one that is damaged is as good as none.
func (p *partition) loadProducers(log *diskio.Log) error {
	offsets, err := p.snapshots()
	if err != nil {
		return err
	}
	first, now := log.Start(), p.b.now().UnixMilli()
	from := first
	for i := len(offsets) - 1; i >= 0; i-- {
		if offsets[i] > log.End() {
			continue
		}
		name := p.b.dir.file(p.name) + "/" + snapshotName(offsets[i])
		text, err := p.b.dir.read(name, maxSnapshot)
		if err == nil {
			err = p.loadAborted(offsets[i])
		}
		if err == nil {
			err = p.producers.Load(text, now)
		}
		if err == nil {
			from = max(from, offsets[i])
			break
		}
		p.b.log.Warn("skipping a producer snapshot", "file", name, "err", err)
	}
	if from == first {
		p.txns.aborted.list.Store(nil)
		p.abortedSaved = 0
	}
	p.txns.reset(p.producers.OpenTxns())
	return eachHeader(log, from, func(h []byte) { p.recall(h, now) })
}

// eachHeader calls f with the first 61 bytes of every batch from the one that
// holds offset on, and with the whole of it where it is a small control batch.
// Records are not read where batches are large.
func eachHeader(log *diskio.Log, offset int64, f func(h []byte)) error {
	buf := make([]byte, headerWindow)
	for end := log.End(); offset < end; {
		span, err := log.Read(offset, headerRead, end)
		if err != nil {
			return err
		}
		if span == nil {
			return nil
		}
		err = headersOf(span, buf, f)
		offset = span.NextOffset()
		span.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	headerRead   = 64 << 20 // bytes of log looked at by one span
	headerWindow = 16 << 10 // bytes read at a time
	maxMarker    = 4 << 10  // bytes of a control batch that are looked at
)

func headersOf(span *diskio.Span, buf []byte, f func(h []byte)) error {
	var have []byte // unread bytes of the span, from at on
	for at := int64(0); at < span.Len(); {
		if len(have) < producers.HeaderSize {
			n := min(int64(len(buf)), span.Len()-at)
			if n < producers.HeaderSize {
				return fmt.Errorf("%w: %d bytes are left of a batch", diskio.ErrCorrupt, n)
			}
			if _, err := span.ReadAt(buf[:n], at); err != nil && err != io.EOF {
				return err
			}
			have = buf[:n]
		}
		size, err := batching.PeekSize(have)
		if err != nil {
			return err
		}
		h := have[:producers.HeaderSize]
		if producers.IsControl(h) && size <= maxMarker {
			h = make([]byte, size)
			if _, err := span.ReadAt(h, at); err != nil && err != io.EOF {
				return err
			}
		}
		f(h)
		at += int64(size)
		have = have[min(size, len(have)):]
	}
	return nil
}

// epochAt is the epoch that wrote offset, -1 where that is not known.
func (p *partition) epochAt(offset int64) int32 { return p.log.Epochs().At(offset) }

// epochEnd answers OffsetForLeaderEpoch.
func (p *partition) epochEnd(epoch int32) (int32, int64) {
	return p.log.Epochs().EndFor(epoch, p.log.End())
}

// maxTimestamp is the visible record with the greatest timestamp.
func (p *partition) maxTimestamp(visible int64) (offset, ts int64, epoch int32, err error) {
	return visibleOnly(visible)(p.log.MaxTimestamp())
}

// offsetForTime is the first visible record at or after a time.
func (p *partition) offsetForTime(ms, visible int64) (offset, ts int64, epoch int32, err error) {
	return visibleOnly(visible)(p.log.OffsetForTime(ms))
}

// visibleOnly turns a record that consumers cannot see yet into none.
func visibleOnly(visible int64) func(offset, ts int64, epoch int32, err error) (int64, int64, int32, error) {
	return func(offset, ts int64, epoch int32, err error) (int64, int64, int32, error) {
		if err != nil || offset >= visible {
			return unknownOffset, unknownTimestamp, unknownLeaderEpoch, err
		}
		return offset, ts, epoch, nil
	}
}

// configure gives the partition and its log their topic's new settings, both
// between two appends.
func (p *partition) configure(s *settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings.Store(s)
	if p.log != nil {
		p.log.Configure(s.disk)
	}
}
