package diskio

import (
	"encoding/binary"
	"sort"
	"sync"
)

// The time index of a segment, in its file NNN.timeindex, big-endian:
//
//	timestamp        int64  greatest timestamp so far, in ms since 1970
//	relative offset  int32  last offset of the first batch that has it, minus the segment's base
//
// An entry is added together with one of the offset index, but only when the
// timestamp has grown; and once more when the segment is closed, so that the
// last entry holds the segment's greatest timestamp.
// Source: Kafka's TimeIndex and LogSegment.
const timeEntrySize = 12

// timeEntry is a timestamp and where it stands. None: ms is -1.
type timeEntry struct {
	ms  int64
	rel uint32
}

// timeIndex is used by the appender at each entry, and by those who look up a
// time or age, so a mutex does.
type timeIndex struct {
	mu      sync.Mutex
	entries []timeEntry
	max     timeEntry // of the batches so far, in the index or not yet
	loaded  bool      // entries are in memory
}

func (x *timeIndex) reset(entries []timeEntry, max timeEntry) {
	x.mu.Lock()
	x.entries, x.max, x.loaded = entries, max, true
	x.mu.Unlock()
}

// observe takes in a batch; index says that it got an entry in the offset
// index.
func (x *timeIndex) observe(ms int64, rel uint32, index bool) {
	x.mu.Lock()
	x.observeLocked(ms, rel, index)
	x.mu.Unlock()
}

func (x *timeIndex) observeLocked(ms int64, rel uint32, index bool) {
	if ms > x.max.ms {
		x.max = timeEntry{ms, rel}
	}
	if index {
		x.entries = addTimeEntry(x.entries, x.max)
	}
}

func addTimeEntry(entries []timeEntry, e timeEntry) []timeEntry {
	if e.ms < 0 || len(entries) > 0 && e.ms <= entries[len(entries)-1].ms {
		return entries
	}
	return append(entries, e)
}

// unload gives the entries up; the greatest timestamp stays known.
func (x *timeIndex) unload() {
	x.mu.Lock()
	x.entries, x.loaded = nil, false
	x.mu.Unlock()
}

// len is the number of entries.
func (x *timeIndex) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.entries)
}

// newest is the greatest timestamp and its offset.
func (x *timeIndex) newest() timeEntry {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.max
}

// floor is the offset of the greatest entry below ms, 0 where there is none:
// no batch before it has a timestamp of ms or more.
func (x *timeIndex) floor(ms int64) uint32 {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].ms >= ms })
	if n == 0 {
		return 0
	}
	return x.entries[n-1].rel
}

// final is the file's bytes of a segment that is closed.
func (x *timeIndex) final() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return encodeTimeIndex(addTimeEntry(x.entries[:len(x.entries):len(x.entries)], x.max))
}

func encodeTimeIndex(entries []timeEntry) []byte {
	b := make([]byte, 0, len(entries)*timeEntrySize)
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.ms))
		b = binary.BigEndian.AppendUint32(b, e.rel)
	}
	return b
}

// decodeTimeIndex checks the file's bytes; next is the relative offset after
// the segment's last batch.
func decodeTimeIndex(b []byte, next uint32) ([]timeEntry, error) {
	if len(b)%timeEntrySize != 0 {
		return nil, corrupt("time index of %d bytes, not a multiple of %d", len(b), timeEntrySize)
	}
	entries := make([]timeEntry, len(b)/timeEntrySize)
	for i := range entries {
		at := b[i*timeEntrySize:]
		e := timeEntry{int64(binary.BigEndian.Uint64(at)), binary.BigEndian.Uint32(at[8:])}
		switch {
		case e.ms < 0:
			return nil, corrupt("time index entry %d has timestamp %d", i, e.ms)
		case e.rel >= next:
			return nil, corrupt("time index entry %d points past the segment's last offset", i)
		case i > 0 && (e.ms <= entries[i-1].ms || e.rel <= entries[i-1].rel):
			return nil, corrupt("time index entry %d does not ascend", i)
		}
		entries[i] = e
	}
	return entries, nil
}
