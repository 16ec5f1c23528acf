package batching

import "encoding/binary"

// Kept says what Filter leaves of a batch.
type Kept struct {
	// Record says whether a record stays.
	Record func(Record) bool
	// Horizon, where it is 0 or more and the batch has none yet, is set as the
	// batch's delete horizon, in ms since 1970.
	Horizon int64
	// Limit bounds the decompressed records; 0: DefaultLimit.
	Limit int
}

// Filter appends the batch with only the records that keep wants to dst and
// returns it: what compaction does to a batch. Offsets stay as they are: base
// offset and last offset delta, and so the sequence numbers, speak of the batch
// as it was produced. A batch none of whose records stay is still a batch, of
// count 0. The codec is the batch's own.
//
// The greatest timestamp is that of the records that stay; an empty batch keeps
// the one it had. A delete horizon takes the place of baseTimestamp, which the
// records' deltas count from then. Errors are those of Records and of
// Codec.Compress. Source: Kafka's MemoryRecords.filterTo.
func (b Batch) Filter(dst []byte, keep Kept) ([]byte, error) {
	base, attributes := b.BaseTimestamp(), b.Attributes()
	if _, has := b.DeleteHorizon(); !has && keep.Horizon >= 0 {
		base, attributes = keep.Horizon, attributes|deleteHorizonBit
	}
	s := getScratch()
	defer s.put()
	records, count, newest := s.buf2[:0], 0, int64(noTimestamp)
	for r, err := range b.Records(keep.Limit) {
		if err != nil {
			return dst, err
		}
		if !keep.Record(r) {
			continue
		}
		ms := b.Timestamp(r)
		records = appendRecord(records, ms-base, int64(r.OffsetDelta), r.Key, r.Value, r.Headers)
		count, newest = count+1, max(newest, ms)
	}
	s.buf2 = records
	if err := checkRoom(len(records), 0); err != nil {
		return dst, err
	}
	start := len(dst)
	out := append(dst, b.raw[:HeaderSize]...)
	h := Batch{out[start:]}
	if count == 0 {
		attributes &^= codecMask // there is nothing to compress, and empty data is not valid in every codec
	} else if b.TimestampType() == CreateTime {
		h.setMaxTimestamp(newest)
	}
	h.setAttributes(attributes)
	binary.BigEndian.PutUint64(h.raw[atBaseTimestamp:], uint64(base))
	binary.BigEndian.PutUint32(h.raw[atCount:], uint32(count))
	var err error
	if out, err = Codec(attributes&codecMask).Compress(out, records, 0); err != nil {
		return dst, err
	}
	if err := finish(out[start:]); err != nil {
		return dst, err
	}
	return out, nil
}

// appendRecord writes one record.
func appendRecord(dst []byte, timestampDelta, offsetDelta int64, key, value []byte, headers []Header) []byte {
	dst = appendVarint(dst, int64(recordBody(timestampDelta, offsetDelta, key, value, headers)))
	dst = append(dst, 0) // attributes
	dst = appendVarint(dst, timestampDelta)
	dst = appendVarint(dst, offsetDelta)
	dst = appendBytes(dst, key)
	dst = appendBytes(dst, value)
	dst = appendVarint(dst, int64(len(headers)))
	for i := range headers {
		dst = appendVarint(dst, int64(len(headers[i].Key)))
		dst = append(dst, headers[i].Key...)
		dst = appendBytes(dst, headers[i].Value)
	}
	return dst
}

// recordBody is the bytes of a record after its length.
func recordBody(timestampDelta, offsetDelta int64, key, value []byte, headers []Header) int {
	n := 1 + varintSize(timestampDelta) + varintSize(offsetDelta) +
		bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for i := range headers {
		n += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) + bytesSize(headers[i].Value)
	}
	return n
}
