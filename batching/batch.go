package batching

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"
)

const (
	// HeaderSize is the bytes of a batch before its records.
	HeaderSize = 61
	// LogOverhead is the bytes of baseOffset and batchLength: what batchLength
	// does not count.
	LogOverhead = 12
	// peekSize is how many bytes it takes to see the magic.
	peekSize = 17
	// minRecordSize is the smallest record: its length, attributes, two
	// deltas, null key, null value, no headers, a byte each.
	minRecordSize = 7
)

// Where the fields lie; the package's drawing has their types.
const (
	atBaseOffset      = 0
	atBatchLength     = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
)

// Bits of attributes.
const (
	codecMask        = 0x07
	logAppendTimeBit = 0x08
	transactionalBit = 0x10
	controlBit       = 0x20
	deleteHorizonBit = 0x40
)

const currentMagic = 2

// What stands where there is none.
const (
	noTimestamp     = -1
	noProducerID    = -1
	noProducerEpoch = -1
	noSequence      = -1
)

// castagnoli is the polynomial of CRC-32C; hash/crc32 runs it on the
// processor's own instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// TimestampType says who set the timestamps of a batch.
type TimestampType int8

const (
	// CreateTime: the producer; each record has its own.
	CreateTime TimestampType = iota
	// LogAppendTime: the broker; maxTimestamp holds for every record.
	LogAppendTime
)

func (t TimestampType) String() string {
	switch t {
	case CreateTime:
		return "CreateTime"
	case LogAppendTime:
		return "LogAppendTime"
	}
	return "TimestampType(" + strconv.Itoa(int(t)) + ")"
}

// Batch is a view over the bytes of one v2 record batch. It is a small value,
// made by View, that points into the caller's bytes and is good for as long as
// they are; its setters write to them. A Batch from View has been checked for
// structure only: CheckCRC says whether the bytes are those that the producer
// sent, and the records are checked as they are read.
//
// The zero Batch holds nothing; only Bytes and Size may be asked of it.
type Batch struct{ raw []byte }

// PeekSize is the whole size in bytes of the batch that starts at b, from its
// first 12 bytes. Where b shows the magic as well (17 bytes), an old or unknown
// format is reported. The batch need not be all there. Errors are *Error, of
// kind ErrTruncated, ErrCorrupt, ErrMagic or ErrOldFormat.
func PeekSize(b []byte) (int, error) {
	if len(b) < LogOverhead {
		return 0, fault(ErrTruncated, "batch", 0, int64(len(b)), "at least 12 bytes")
	}
	if len(b) >= peekSize && b[atMagic] != currentMagic {
		return 0, magicFault(int8(b[atMagic]))
	}
	length := int64(int32(binary.BigEndian.Uint32(b[atBatchLength:])))
	if length < HeaderSize-LogOverhead {
		return 0, fault(ErrCorrupt, "batchLength", atBatchLength, length, "at least 49")
	}
	if length > math.MaxInt32-LogOverhead {
		return 0, fault(ErrCorrupt, "batchLength", atBatchLength, length, "at most 2147483635")
	}
	return int(length) + LogOverhead, nil
}

// PeekTransactional says whether the batch that starts at b claims to be part
// of a transaction; false where b is too short to tell.
func PeekTransactional(b []byte) bool {
	return len(b) >= HeaderSize && Batch{b}.IsTransactional()
}

func magicFault(magic int8) *Error {
	kind := ErrMagic
	if magic == 0 || magic == 1 {
		kind = ErrOldFormat
	}
	return fault(kind, "magic", atMagic, int64(magic), "2")
}

// View is the first batch in b, which may be longer: Size says where the next
// one starts. It checks the magic, that batchLength is possible and within b,
// and that the counts can be true; not the CRC. It neither copies nor
// allocates, except for the *Error: of kind ErrTruncated, ErrCorrupt, ErrMagic,
// ErrOldFormat or ErrRecords.
func View(b []byte) (Batch, error) {
	v, err := frame(b)
	if err != nil {
		return Batch{}, err
	}
	if err := v.checkCounts(); err != nil {
		return Batch{}, err
	}
	return v, nil
}

// frame is the first batch in b, of which only magic and size are known to be
// right.
func frame(b []byte) (Batch, error) {
	size, err := PeekSize(b)
	if err != nil {
		return Batch{}, err
	}
	if size > len(b) {
		return Batch{}, fault(ErrTruncated, "batch", 0, int64(len(b)), strconv.Itoa(size)+" bytes")
	}
	return Batch{b[:size:size]}, nil
}

func (b Batch) checkCounts() error {
	count, delta := b.Count(), b.LastOffsetDelta()
	if delta < 0 {
		return fault(ErrRecords, "lastOffsetDelta", atLastOffsetDelta, int64(delta), "at least 0")
	}
	// Compaction takes records out and leaves lastOffsetDelta, so there may
	// be fewer records than offsets, down to none.
	if count < 0 || int64(count) > int64(delta)+1 {
		return fault(ErrRecords, "recordCount", atCount, int64(count), "0 to lastOffsetDelta+1")
	}
	if b.Codec() == None && count > len(b.Payload())/minRecordSize {
		return fault(ErrRecords, "recordCount", atCount, int64(count), "no more than the bytes can hold")
	}
	return nil
}

// Bytes is the whole batch, the caller's own bytes.
func (b Batch) Bytes() []byte { return b.raw }

// Size is the whole batch in bytes.
func (b Batch) Size() int { return len(b.raw) }

// Payload is the records as they lie in the batch: compressed where Codec is
// not None.
func (b Batch) Payload() []byte { return b.raw[HeaderSize:] }

// BaseOffset is the offset of the first record.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b.raw[atBaseOffset:])) }

// LastOffsetDelta is what to add to BaseOffset for the last record's offset.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b.raw[atLastOffsetDelta:]))
}

// LastOffset is the offset of the last record, also where compaction took it
// out.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset after the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b.raw[atLeaderEpoch:])) }

// Magic is the format's version, 2.
func (b Batch) Magic() int8 { return int8(b.raw[atMagic]) }

// CRC is the stored checksum.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b.raw[atCRC:]) }

// Attributes are the flags, as they are stored.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b.raw[atAttributes:])) }

// Codec is how the records are compressed. It may be one that does not exist
// (5 to 7): reading the records will say so.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & codecMask) }

// TimestampType says who set the timestamps.
func (b Batch) TimestampType() TimestampType {
	if b.Attributes()&logAppendTimeBit != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional says that the batch is part of a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&transactionalBit != 0 }

// IsControl says that the batch holds a broker's markers instead of a
// producer's records.
func (b Batch) IsControl() bool { return b.Attributes()&controlBit != 0 }

// DeleteHorizon is the time in ms since 1970 from which compaction may drop the
// batch's tombstones and markers; ok is false where none is set. It is stored
// in baseTimestamp.
func (b Batch) DeleteHorizon() (ms int64, ok bool) {
	return b.BaseTimestamp(), b.Attributes()&deleteHorizonBit != 0
}

// BaseTimestamp is what record deltas count from, in ms since 1970.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b.raw[atBaseTimestamp:])) }

// MaxTimestamp is the greatest timestamp of the records, in ms since 1970, as
// the producer or the broker stored it; -1: none.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b.raw[atMaxTimestamp:])) }

// ProducerID is the idempotent producer's id; -1: none.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b.raw[atProducerID:])) }

// ProducerEpoch is the incarnation of that producer; -1: none.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b.raw[atProducerEpoch:])) }

// BaseSequence is the producer's sequence number of the first record; -1: none.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b.raw[atBaseSequence:])) }

// LastSequence is the sequence number of the last record; -1: none. After
// 2147483647 comes 0.
func (b Batch) LastSequence() int32 {
	if b.BaseSequence() < 0 {
		return noSequence
	}
	return addSequence(b.BaseSequence(), b.LastOffsetDelta())
}

// addSequence steps a sequence number on; it wraps to 0 after the greatest
// int32.
func addSequence(s, by int32) int32 {
	return int32((int64(s) + int64(by)) & math.MaxInt32)
}

// Count is the number of records.
func (b Batch) Count() int { return int(int32(binary.BigEndian.Uint32(b.raw[atCount:]))) }

// CheckCRC compares the stored checksum with the bytes. The error is an *Error
// of kind ErrCRC.
func (b Batch) CheckCRC() error {
	if sum := b.sum(); sum != b.CRC() {
		return fault(ErrCRC, "crc", atCRC, int64(b.CRC()), strconv.FormatUint(uint64(sum), 10))
	}
	return nil
}

func (b Batch) sum() uint32 { return crc32.Checksum(b.raw[atAttributes:], castagnoli) }

// SetBaseOffset gives the batch its place in the log. The CRC does not cover
// it.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b.raw[atBaseOffset:], uint64(offset))
}

// SetLeaderEpoch says which leader appended the batch. The CRC does not cover
// it.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b.raw[atLeaderEpoch:], uint32(epoch))
}

// SetLogAppendTime gives every record the broker's time, in ms since 1970, and
// the batch a new CRC.
func (b Batch) SetLogAppendTime(ms int64) {
	b.setAttributes(b.Attributes() | logAppendTimeBit)
	b.setMaxTimestamp(ms)
	b.seal()
}

func (b Batch) setAttributes(a int16) {
	binary.BigEndian.PutUint16(b.raw[atAttributes:], uint16(a))
}

func (b Batch) setMaxTimestamp(ms int64) {
	binary.BigEndian.PutUint64(b.raw[atMaxTimestamp:], uint64(ms))
}

// seal stores the checksum of the bytes as they are now.
func (b Batch) seal() { binary.BigEndian.PutUint32(b.raw[atCRC:], b.sum()) }
