package core

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"millrace/diskio"
)

// abortedTxn is a transaction that was aborted: a read_committed reader drops
// its producer's records from first up to the marker at last.
type abortedTxn struct {
	producer    int64
	first, last int64
	stable      int64 // last stable offset right after it: every later entry begins there or after
}

// The file is Kafka's transaction index: NNN.txnindex beside the segment that
// holds the markers, entries by marker offset, all big-endian.
//
//	version             int16  0
//	producer id         int64
//	first offset        int64
//	last offset         int64  of the marker
//	last stable offset  int64
const (
	abortedSize   = 2 + 8 + 8 + 8 + 8
	abortedSuffix = ".txnindex"
	maxAborted    = 1 << 30 // bytes of one file that make sense
)

func (a abortedTxn) append(dst []byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint16(dst, 0)
	dst = be.AppendUint64(dst, uint64(a.producer))
	dst = be.AppendUint64(dst, uint64(a.first))
	dst = be.AppendUint64(dst, uint64(a.last))
	return be.AppendUint64(dst, uint64(a.stable))
}

// parseAborted reads a file. Its entries are in order, or it is damaged.
func parseAborted(b []byte) ([]abortedTxn, error) {
	if len(b)%abortedSize != 0 {
		return nil, fmt.Errorf("transaction index: %d bytes are no whole number of entries", len(b))
	}
	be := binary.BigEndian
	out := make([]abortedTxn, 0, len(b)/abortedSize)
	last := int64(-1)
	for ; len(b) > 0; b = b[abortedSize:] {
		if v := be.Uint16(b); v != 0 {
			return nil, fmt.Errorf("transaction index: version %d, want 0", v)
		}
		a := abortedTxn{
			producer: int64(be.Uint64(b[2:])), first: int64(be.Uint64(b[10:])),
			last: int64(be.Uint64(b[18:])), stable: int64(be.Uint64(b[26:])),
		}
		if a.producer < 0 || a.first < 0 || a.last <= a.first || a.last <= last {
			return nil, fmt.Errorf("transaction index: an entry of producer %d from %d to %d, after one to %d", a.producer, a.first, a.last, last)
		}
		last = a.last
		out = append(out, a)
	}
	return out, nil
}

// abortedIndex is the aborted transactions of a partition, by marker offset. It
// is changed under partition.mu and read without a lock: the list only grows at
// its end, and is cut at its front by taking a shorter slice of it.
type abortedIndex struct{ list atomic.Pointer[[]abortedTxn] }

func (x *abortedIndex) all() []abortedTxn {
	if l := x.list.Load(); l != nil {
		return *l
	}
	return nil
}

func (x *abortedIndex) add(a abortedTxn) {
	l := append(x.all(), a)
	x.list.Store(&l)
}

// trim forgets what ended below start.
func (x *abortedIndex) trim(start int64) {
	l := x.all()
	n := 0
	for n < len(l) && l[n].last < start {
		n++
	}
	if n == 0 {
		return
	}
	l = l[n:]
	if cap(l) > 64 && len(l) < cap(l)/2 {
		l = slices.Clone(l) // lets go of the front's memory
	}
	x.list.Store(&l)
}

// remove forgets transactions of which nothing is left, wherever they lie.
func (x *abortedIndex) remove(spent []diskio.AbortedRange) {
	gone := make(map[int64]bool, len(spent))
	for _, a := range spent {
		gone[a.Last] = true
	}
	l := slices.DeleteFunc(slices.Clone(x.all()), func(a abortedTxn) bool { return gone[a.last] })
	x.list.Store(&l)
}

// forgetAborted takes transactions of which compaction has left nothing out of
// the index and its files.
func (p *partition) forgetAborted(spent []diskio.AbortedRange) error {
	if len(spent) == 0 {
		return nil
	}
	p.mu.Lock()
	p.txns.aborted.remove(spent)
	list := p.txns.aborted.all()
	p.mu.Unlock()
	p.snapMu.Lock()
	defer p.snapMu.Unlock()
	if p.state.Load() == gone {
		return nil // the directory may be another topic's by now
	}
	bases, err := p.segmentBases()
	if err != nil {
		return err
	}
	for i, base := range bases {
		end := p.abortedSaved // beyond it nothing is in files yet
		if i+1 < len(bases) {
			end = min(end, bases[i+1])
		}
		var text []byte
		for _, a := range list {
			if a.last >= base && a.last < end {
				text = a.append(text)
			}
		}
		dir := p.b.dir.file(p.name)
		if len(text) > 0 {
			err = p.b.dir.write(dir, abortedName(base), text)
		} else if err = p.b.fs.Remove(dir + "/" + abortedName(base)); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overlapping calls f for every entry that has records in [from, to).
func (x *abortedIndex) overlapping(from, to int64, f func(abortedTxn)) {
	l := x.all()
	at, _ := slices.BinarySearchFunc(l, from, func(a abortedTxn, from int64) int {
		if a.last < from {
			return -1
		}
		return 1
	})
	for _, a := range l[at:] {
		if a.first < to {
			f(a)
		}
		if a.stable >= to {
			return
		}
	}
}

// segmentBases lists the first offsets of the partition's segments, ascending.
func (p *partition) segmentBases() ([]int64, error) {
	entries, err := p.b.fs.ReadDir(p.b.dir.file(p.name))
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range entries {
		if text, ok := strings.CutSuffix(e.Name, ".log"); ok && len(text) == 20 {
			if base, err := strconv.ParseInt(text, 10, 64); err == nil {
				out = append(out, base)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

func abortedName(base int64) string { return fmt.Sprintf("%020d%s", base, abortedSuffix) }

// saveAborted writes the transaction indexes of the segments that have entries
// at or after p.abortedSaved, with those before below in them. It is called before a
// snapshot of the producers at below is written: what the snapshot has behind it
// is then in the files, and what comes after it is read from the log.
func (p *partition) saveAborted(list []abortedTxn, below int64) error {
	if len(list) == 0 || list[len(list)-1].last < p.abortedSaved {
		return nil
	}
	bases, err := p.segmentBases()
	if err != nil {
		return err
	}
	for i, base := range bases {
		end := below
		if i+1 < len(bases) {
			end = min(end, bases[i+1])
		}
		var text []byte
		fresh := false
		for _, a := range list {
			if a.last >= base && a.last < end {
				text = a.append(text)
				fresh = fresh || a.last >= p.abortedSaved
			}
		}
		if fresh {
			if err := p.b.dir.write(p.b.dir.file(p.name), abortedName(base), text); err != nil {
				return err
			}
		}
	}
	p.abortedSaved = below
	return nil
}

// loadAborted reads what the files have below an offset. An error says that the
// log has to be read instead.
func (p *partition) loadAborted(below int64) error {
	p.txns.aborted.list.Store(nil)
	bases, err := p.segmentBases()
	if err != nil {
		return err
	}
	last := int64(-1)
	for _, base := range bases {
		name := p.b.dir.file(p.name) + "/" + abortedName(base)
		text, err := p.b.dir.read(name, maxAborted)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		list, err := parseAborted(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, a := range list {
			switch {
			case a.last >= below:
			case a.last < base || a.last <= last:
				return fmt.Errorf("%s: an entry that ends at %d is not of this segment", name, a.last)
			default:
				last = a.last
				p.txns.aborted.add(a)
			}
		}
	}
	p.abortedSaved = below
	return nil
}
