package batching

import (
	"encoding/binary"
	"math"
)

// Options are what all batches of a Builder have in common. The zero Options
// make uncompressed batches with the producer's timestamps.
type Options struct {
	Codec Codec
	// Level is the codec's compression level; 0: its default. See
	// Codec.Levels.
	Level         int
	Transactional bool
	TimestampType TimestampType
}

// Builder makes record batches, one after the other, in memory that it keeps:
// once warm, Append allocates nothing. It is not safe for concurrent use.
type Builder struct {
	opts     Options
	id       int64
	epoch    int16
	sequence int32

	// Of the batch under construction.
	records   []byte // in the clear
	count     int32
	base, max int64 // timestamps
}

// NewBuilder makes an empty Builder without a producer id. A codec or level
// that does not exist is the error of each Build.
func NewBuilder(o Options) *Builder {
	return &Builder{opts: o, id: noProducerID, epoch: noProducerEpoch, sequence: noSequence}
}

// SetProducer makes the next batches those of an idempotent producer; sequence
// is that of the next Build's first record and moves on with each Build. An id
// of -1 undoes it.
func (b *Builder) SetProducer(id int64, epoch int16, sequence int32) {
	if id < 0 {
		id, epoch, sequence = noProducerID, noProducerEpoch, noSequence
	}
	b.id, b.epoch, b.sequence = id, epoch, sequence
}

// Sequence is that of the next Build's first record; -1: none.
func (b *Builder) Sequence() int32 { return b.sequence }

// Count is the number of records appended since the last Build.
func (b *Builder) Count() int { return int(b.count) }

// Len is the size in bytes that the batch would have uncompressed.
func (b *Builder) Len() int { return HeaderSize + len(b.records) }

// RecordSize is what Append of the same record would add to Len.
func (b *Builder) RecordSize(timestamp int64, key, value []byte, headers []Header) int {
	body := b.bodySize(timestamp, key, value, headers)
	return varintSize(int64(body)) + body
}

func (b *Builder) bodySize(timestamp int64, key, value []byte, headers []Header) int {
	return recordBody(b.delta(timestamp), int64(b.count), key, value, headers)
}

// delta is what a record stores of its timestamp: the first one is the base.
func (b *Builder) delta(timestamp int64) int64 {
	if b.count == 0 {
		return 0
	}
	return timestamp - b.base
}

// Append adds a record: its time in ms since 1970, key and value (nil: null)
// and headers. It copies all of them. The only error is an *Error of kind
// ErrTooLarge, where the batch would pass what its length field can say; the
// record is not in it then.
func (b *Builder) Append(timestamp int64, key, value []byte, headers []Header) error {
	body := b.bodySize(timestamp, key, value, headers)
	if err := checkRoom(len(b.records), varintSize(int64(body))+body); err != nil {
		return err
	}
	delta := b.delta(timestamp)
	if b.count == 0 {
		b.base, b.max = timestamp, timestamp
	}
	b.max = max(b.max, timestamp)

	b.records = appendRecord(b.records, delta, int64(b.count), key, value, headers)
	b.count++
	return nil
}

// checkRoom says whether a batch with so many bytes of records has room for more.
func checkRoom(records, more int) error {
	if total := int64(records) + int64(more); total > math.MaxInt32-HeaderSize {
		return fault(ErrTooLarge, "records", HeaderSize, total, "at most 2147483586 bytes")
	}
	return nil
}

// appendBytes writes a length and the bytes; nil is null.
func appendBytes(dst, v []byte) []byte {
	if v == nil {
		return append(dst, 1) // -1
	}
	dst = appendVarint(dst, int64(len(v)))
	return append(dst, v...)
}

func bytesSize(v []byte) int {
	if v == nil {
		return 1
	}
	return varintSize(int64(len(v))) + len(v)
}

// Build appends the finished batch, of base offset 0 and no leader epoch, to
// dst and returns it; the Builder is empty then and its sequence has moved on.
// Without records it appends nothing. After an error (ErrCodec, ErrTooLarge)
// the Builder is as it was.
func (b *Builder) Build(dst []byte) ([]byte, error) {
	if b.count == 0 {
		return dst, nil
	}
	h := header{
		attributes: int16(b.opts.Codec) & codecMask, lastOffsetDelta: b.count - 1, count: b.count,
		baseTimestamp: b.base, maxTimestamp: b.max,
		producerID: b.id, producerEpoch: b.epoch, baseSequence: b.sequence,
	}
	if b.opts.Transactional {
		h.attributes |= transactionalBit
	}
	if b.opts.TimestampType == LogAppendTime {
		h.attributes |= logAppendTimeBit
	}
	out, err := b.opts.Codec.Compress(h.append(dst), b.records, b.opts.Level)
	if err != nil {
		return dst, err
	}
	if err := finish(out[len(dst):]); err != nil {
		return dst, err
	}
	if b.sequence >= 0 {
		b.sequence = addSequence(b.sequence, b.count)
	}
	b.Reset()
	return out, nil
}

// Reset forgets the records appended since the last Build.
func (b *Builder) Reset() { b.records, b.count = b.records[:0], 0 }

// header is the fields of a batch that are not computed from its bytes.
type header struct {
	attributes      int16
	lastOffsetDelta int32
	baseTimestamp   int64
	maxTimestamp    int64
	producerID      int64
	producerEpoch   int16
	baseSequence    int32
	count           int32
}

// append writes the header, with base offset 0, no leader epoch, and length
// and CRC yet to be filled in by finish.
func (h header) append(dst []byte) []byte {
	be := binary.BigEndian
	dst = be.AppendUint64(dst, 0)              // baseOffset
	dst = be.AppendUint32(dst, 0)              // batchLength
	dst = be.AppendUint32(dst, math.MaxUint32) // partitionLeaderEpoch: -1
	dst = append(dst, currentMagic)
	dst = be.AppendUint32(dst, 0) // crc
	dst = be.AppendUint16(dst, uint16(h.attributes))
	dst = be.AppendUint32(dst, uint32(h.lastOffsetDelta))
	dst = be.AppendUint64(dst, uint64(h.baseTimestamp))
	dst = be.AppendUint64(dst, uint64(h.maxTimestamp))
	dst = be.AppendUint64(dst, uint64(h.producerID))
	dst = be.AppendUint16(dst, uint16(h.producerEpoch))
	dst = be.AppendUint32(dst, uint32(h.baseSequence))
	return be.AppendUint32(dst, uint32(h.count))
}

// finish gives a batch its length and checksum.
func finish(batch []byte) error {
	if len(batch) > math.MaxInt32 {
		return fault(ErrTooLarge, "batch", 0, int64(len(batch)), "at most 2147483647 bytes")
	}
	binary.BigEndian.PutUint32(batch[atBatchLength:], uint32(len(batch)-LogOverhead))
	Batch{batch}.seal()
	return nil
}

// Recompress appends the same batch under another codec to dst and returns it:
// what a topic whose compression.type is not "producer" does to a batch that
// comes in another. limit bounds the decompressed records (0: DefaultLimit).
// Every field but the codec, the length and the CRC stays as it is. Errors are
// those of Codec.Decompress and Codec.Compress.
func (b Batch) Recompress(dst []byte, c Codec, level, limit int) ([]byte, error) {
	s := getScratch()
	defer s.put()
	records, err := b.records(s, limit)
	if err != nil {
		return dst, err
	}
	out := append(dst, b.raw[:HeaderSize]...)
	Batch{out[len(dst):]}.setAttributes(b.Attributes()&^codecMask | int16(c)&codecMask)
	if out, err = c.Compress(out, records, level); err != nil {
		return dst, err
	}
	if err := finish(out[len(dst):]); err != nil {
		return dst, err
	}
	return out, nil
}
