package producers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

// The snapshot file is Kafka's (NNN….snapshot beside the segments, NNN the
// offset up to which it speaks), all big-endian:
//
//	version            int16   1
//	crc                uint32  CRC-32C from the count to the end
//	count              int32
//	count times:
//	  producer id      int64
//	  epoch            int16
//	  last sequence    int32   -1: no batch in this epoch
//	  last offset      int64
//	  offset delta     int32   last offset - first offset of the last batch
//	  timestamp        int64   milliseconds
//	  coordinator epoch int32  -1: no transaction
//	  first txn offset int64   -1: no open transaction
//
// It holds only the last batch of each producer, so the window of five starts
// again at one after a load.
const (
	snapshotVersion = 1
	snapshotHeader  = 2 + 4 + 4
	snapshotEntry   = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrSnapshot says that a snapshot is damaged; the log holds the same facts.
var ErrSnapshot = errors.New("producer snapshot is damaged")

// AppendSnapshot appends the table in the snapshot's format, by producer id.
func (t *Table) AppendSnapshot(dst []byte) []byte {
	ids := make([]int64, 0, len(t.entries))
	for id := range t.entries {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	be := binary.BigEndian
	at := len(dst)
	dst = be.AppendUint16(dst, snapshotVersion)
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint32(dst, uint32(len(ids)))
	for _, id := range ids {
		e := t.entries[id]
		p := placed{lastSequence: -1, lastOffset: -1, timestamp: -1}
		if last := e.last(); last != nil {
			p = *last
		}
		dst = be.AppendUint64(dst, uint64(id))
		dst = be.AppendUint16(dst, uint16(e.epoch))
		dst = be.AppendUint32(dst, uint32(p.lastSequence))
		dst = be.AppendUint64(dst, uint64(p.lastOffset))
		dst = be.AppendUint32(dst, uint32(p.offsetDelta))
		dst = be.AppendUint64(dst, uint64(p.timestamp))
		dst = be.AppendUint32(dst, uint32(e.coordinator-1))
		first := int64(-1)
		if e.open {
			first = e.first
		}
		dst = be.AppendUint64(dst, uint64(first))
	}
	be.PutUint32(dst[at+2:], crc32.Checksum(dst[at+6:], castagnoli))
	return dst
}

// Load replaces the table by a snapshot's. now is wall time in milliseconds:
// producers count as seen then, so that a broker that was down long does not
// forget all of them at once.
func (t *Table) Load(b []byte, now int64) error {
	be := binary.BigEndian
	if len(b) < snapshotHeader {
		return fmt.Errorf("%w: %d bytes", ErrSnapshot, len(b))
	}
	if v := be.Uint16(b); v != snapshotVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrSnapshot, v, snapshotVersion)
	}
	if want, got := be.Uint32(b[2:]), crc32.Checksum(b[6:], castagnoli); want != got {
		return fmt.Errorf("%w: crc %08x, want %08x", ErrSnapshot, got, want)
	}
	count := int64(be.Uint32(b[6:]))
	if rest := int64(len(b) - snapshotHeader); count*snapshotEntry != rest {
		return fmt.Errorf("%w: %d entries in %d bytes", ErrSnapshot, count, rest)
	}
	t.entries = make(map[int64]*entry, count)
	for b = b[snapshotHeader:]; len(b) > 0; b = b[snapshotEntry:] {
		e := &entry{epoch: int16(be.Uint16(b[8:])), seen: now}
		last := int32(be.Uint32(b[10:]))
		delta := int32(be.Uint32(b[22:]))
		if last >= 0 && delta >= 0 {
			e.n = 1
			e.batches[0] = placed{
				firstSequence: backward(last, delta),
				lastSequence:  last,
				offsetDelta:   delta,
				lastOffset:    int64(be.Uint64(b[14:])),
				timestamp:     int64(be.Uint64(b[26:])),
			}
		}
		if c := int32(be.Uint32(b[34:])); c >= 0 && c < math.MaxInt32 {
			e.coordinator = c + 1
		}
		if first := int64(be.Uint64(b[38:])); first >= 0 {
			e.open, e.first = true, first
		}
		t.entries[int64(be.Uint64(b))] = e
	}
	return nil
}

// backward is the sequence number n before s.
func backward(s, n int32) int32 {
	if n <= s {
		return s - n
	}
	return math.MaxInt32 - (n - s - 1)
}
