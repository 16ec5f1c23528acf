package diskio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"millrace/batching"
)

// visitor is told what lies in a directory, in order.
type visitor interface {
	segment(path string, size int64) error
	// batch is called for each batch whose bytes are as they were written; the
	// batch is good until it returns.
	batch(pos int64, b batching.Batch) error
	// fault is something wrong in the file at byte pos; -1: in no one place.
	fault(path string, pos int64, err error) error
	// done ends a segment.
	done() error
}

// inspectLimit bounds what the records of one batch may decompress to.
const inspectLimit = 256 << 20

// inspect walks dir: a partition's directory, or one that holds some. It only
// reads. The error is that a file could not be read, or the visitor's.
func inspect(fs FS, dir string, v visitor) (partitions int, err error) {
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	if hasSegments(entries) {
		return 1, inspectPartition(fs, dir, entries, v)
	}
	for _, e := range entries {
		if _, ok := ParseDirName(e.Name); !ok || !e.Dir {
			continue
		}
		sub := join(dir, e.Name)
		below, err := fs.ReadDir(sub)
		if err != nil {
			return partitions, err
		}
		partitions++
		if err := inspectPartition(fs, sub, below, v); err != nil {
			return partitions, err
		}
	}
	if partitions == 0 {
		return 0, fmt.Errorf("%s is no partition's directory (no NNN.log in it) and holds none (TOPIC-N)", dir)
	}
	return partitions, nil
}

func hasSegments(entries []Entry) bool {
	for _, e := range entries {
		if _, suffix, ok := parseSegmentName(e.Name); ok && suffix == logSuffix {
			return true
		}
	}
	return false
}

func inspectPartition(fs FS, dir string, entries []Entry, v visitor) error {
	var bases []int64
	sizes := map[string]int64{}
	for _, e := range entries {
		sizes[e.Name] = e.Size
		if base, suffix, ok := parseSegmentName(e.Name); ok && suffix == logSuffix {
			bases = append(bases, base)
		}
	}
	sort.Slice(bases, func(i, j int) bool { return bases[i] < bases[j] })
	next := int64(-1)
	for i, base := range bases {
		x := inspector{fs: fs, dir: dir, base: base, v: v, last: i == len(bases)-1}
		x.path = x.file(logSuffix)
		if base < next {
			if err := v.fault(x.path, 0, corrupt("starts at offset %d, the segment before it ends at %d", base, next)); err != nil {
				return err
			}
		}
		if err := x.run(sizes[logName(base)]); err != nil {
			return err
		}
		next = max(next, x.next)
	}
	_, err := openEpochs(fs, dir)
	if errors.Is(err, ErrCorrupt) {
		return v.fault(join(dir, epochsFile), -1, err)
	}
	return err
}

// inspector walks one segment.
type inspector struct {
	fs   FS
	dir  string
	path string
	base int64
	last bool // the last segment, whose indexes are on disk only after a clean stop
	v    visitor

	next   int64
	starts map[int64]header // by last offset: what index entries must agree with
	maxima []timeEntry      // each batch that had the greatest timestamp so far
	buf    []byte
}

func (x *inspector) file(suffix string) string { return join(x.dir, segmentName(x.base, suffix)) }

func (x *inspector) run(size int64) error {
	f, err := x.fs.OpenFile(x.path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := x.v.segment(x.path, size); err != nil {
		return err
	}
	x.next, x.starts = x.base, map[int64]header{}
	bad, err := x.batches(f, size)
	if err != nil {
		return err
	}
	if !bad { // else everything after the fault would be one too
		if err := x.indexes(size); err != nil {
			return err
		}
	}
	return x.v.done()
}

// batches walks the segment up to its first fault.
func (x *inspector) batches(f File, size int64) (bad bool, err error) {
	w := newScanner(f, size)
	s := survey{next: x.base}
	newest := int64(-1)
	for {
		h, err := w.header(s.size)
		if err == io.EOF {
			return false, nil
		}
		if err == nil {
			err = s.fits(h, x.base)
		}
		if err == nil {
			err = w.check(h)
		}
		var b batching.Batch
		if err == nil {
			b, err = x.whole(f, h)
		}
		if err == nil {
			err = countRecords(b)
		}
		if isBadBatch(err) {
			return true, x.v.fault(x.path, s.size, err)
		}
		if err != nil {
			return false, err
		}
		if err := x.v.batch(h.pos, b); err != nil {
			return false, err
		}
		if x.starts[h.last] = h; h.ms > newest {
			newest = h.ms
			x.maxima = append(x.maxima, timeEntry{h.ms, uint32(h.last - x.base)})
		}
		s.add(h, x.base)
		x.next = s.next
	}
}

// whole reads a batch, which the file is known to hold.
func (x *inspector) whole(f File, h header) (batching.Batch, error) {
	if int64(cap(x.buf)) < h.size {
		x.buf = make([]byte, h.size)
	}
	x.buf = x.buf[:h.size]
	if n, err := f.ReadAt(x.buf, h.pos); n < len(x.buf) {
		return batching.Batch{}, err
	}
	return batching.View(x.buf)
}

// countRecords decodes every record.
func countRecords(b batching.Batch) error {
	if b.IsControl() {
		return nil
	}
	for _, err := range b.Records(inspectLimit) {
		if err != nil {
			return err
		}
	}
	return nil
}

// indexes compares both with the batches.
func (x *inspector) indexes(size int64) error {
	b, err := readFile(x.fs, x.file(indexSuffix), size)
	if x.absent(err) {
		return nil
	}
	var entries []indexEntry
	if err == nil {
		entries, err = decodeIndex(b, size)
	}
	for i, e := range entries {
		if h, ok := x.starts[x.base+int64(e.rel())]; !ok || h.pos != e.pos() {
			err = corrupt("entry %d says that the batch at byte %d of the segment ends with offset %d; it does not", i, e.pos(), x.base+int64(e.rel()))
			if err := x.v.fault(x.file(indexSuffix), int64(i)*indexEntrySize, err); err != nil {
				return err
			}
			err = nil
			break
		}
	}
	if err := x.report(indexSuffix, err); err != nil {
		return err
	}
	return x.timeIndex(size)
}

// absent says that an index is rightly missing: of a segment that was open.
func (x *inspector) absent(err error) bool { return os.IsNotExist(err) && x.last }

func (x *inspector) report(suffix string, err error) error {
	if isRebuildable(err) {
		return x.v.fault(x.file(suffix), -1, err)
	}
	return err
}

func (x *inspector) timeIndex(size int64) error {
	b, err := readFile(x.fs, x.file(timeSuffix), size)
	if x.absent(err) {
		return nil
	}
	var entries []timeEntry
	if err == nil {
		entries, err = decodeTimeIndex(b, uint32(x.next-x.base))
	}
	if err := x.report(timeSuffix, err); err != nil || len(entries) == 0 {
		return err
	}
	known := map[timeEntry]bool{}
	for _, m := range x.maxima {
		known[m] = true
	}
	for i, e := range entries {
		if !known[e] {
			return x.v.fault(x.file(timeSuffix), int64(i)*timeEntrySize,
				corrupt("entry %d says that timestamp %d was first reached at offset %d; it was not", i, e.ms, x.base+int64(e.rel)))
		}
	}
	return nil
}

// shorten is path from the partition's directory on.
func shorten(path string) string {
	return join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
}

// clip cuts s to n characters.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// placeOf names a fault's file and byte.
func placeOf(path string, pos int64) string {
	if pos < 0 {
		return path
	}
	return fmt.Sprintf("%s: byte %d", path, pos)
}

// oneLine keeps what records hold from moving the terminal's cursor.
func oneLine(b []byte) string { return strings.Trim(fmt.Sprintf("%q", b), `"`) }
