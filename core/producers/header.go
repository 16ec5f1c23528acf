package producers

import "encoding/binary"

// Bits of a batch's attributes.
const (
	transactional = 0x10
	control       = 0x20
)

// HeaderSize is how much of a batch FromHeader looks at.
const HeaderSize = 61

// IsControl says whether a header is that of a control batch.
func IsControl(h []byte) bool { return h[22]&control != 0 }

// FromHeader reads a stored batch's share of the table from its first
// HeaderSize bytes, whose fields are drawn in package batching. ok is false for
// a batch that no idempotent producer wrote, and for a broker's markers.
func FromHeader(h []byte) (b Batch, ok bool) {
	be := binary.BigEndian
	_ = h[HeaderSize-1]
	b = Batch{
		Producer:      int64(be.Uint64(h[43:])),
		Epoch:         int16(be.Uint16(h[51:])),
		FirstSequence: int32(be.Uint32(h[53:])),
		OffsetDelta:   int32(be.Uint32(h[23:])),
		Timestamp:     int64(be.Uint64(h[35:])),
		Transactional: h[22]&transactional != 0,
	}
	b.LastOffset = int64(be.Uint64(h)) + int64(b.OffsetDelta)
	if b.Producer < 0 || b.FirstSequence < 0 && !b.Transactional || b.OffsetDelta < 0 || h[22]&control != 0 {
		return Batch{}, false
	}
	if b.LastSequence = -1; b.FirstSequence < 0 {
		return b, true
	}
	b.LastSequence = int32((int64(b.FirstSequence) + int64(b.OffsetDelta)) & (1<<31 - 1))
	return b, true
}
