// Package batching is Kafka's record batch, format v2: a checked view over its
// bytes (Batch), what a broker asks of a produced one (Policy), a maker of
// batches (Builder), its records (Record and the iterator over them), the
// marker that ends a transaction (Marker), and its codecs (Codec).
//
// A batch on the wire and in a segment file, all integers big-endian:
//
//	 0 baseOffset            int64   may be rewritten: outside the CRC
//	 8 batchLength           int32   bytes that follow this field
//	12 partitionLeaderEpoch  int32   may be rewritten: outside the CRC
//	16 magic                 int8    2
//	17 crc                   uint32  CRC-32C of byte 21 to the end
//	21 attributes            int16   0–2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//	23 lastOffsetDelta       int32
//	27 baseTimestamp         int64
//	35 maxTimestamp          int64
//	43 producerId            int64   -1: none
//	51 producerEpoch         int16
//	53 baseSequence          int32
//	57 recordCount           int32
//	61 records               compressed as one block where a codec is set
//
// A record; varint and varlong are zig-zag, base 128, low group first, in at
// most 5 and 10 bytes:
//
//	length          varint   bytes that follow this field
//	attributes      int8     unused
//	timestampDelta  varlong  from baseTimestamp
//	offsetDelta     varint   from baseOffset
//	keyLength       varint   -1: null
//	key
//	valueLength     varint   -1: null
//	value
//	headerCount     varint
//	headers         keyLength varint, key, valueLength varint (-1: null), value
//
// Source: Kafka's DefaultRecordBatch and DefaultRecord, and the "Record Batch"
// section of its documentation.
//
// Two rules hold everywhere. Nothing is copied that can be pointed at: a view
// and the records of an uncompressed batch are slices of the caller's bytes.
// And no length is believed: memory is taken for bytes that arrived, for output
// that a decoder really made, or for what the bytes received can at most
// expand to, and for no more than the limit that the caller gave.
package batching
