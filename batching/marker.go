package batching

import "encoding/binary"

// Marker ends a transaction in one partition: a control batch of one record,
// whose key and value are
//
//	key    version int16 (0) · type int16 (0: abort, 1: commit)
//	value  version int16 (0) · coordinatorEpoch int32
//
// Source: Kafka's ControlRecordType and EndTransactionMarker.
type Marker struct {
	Commit           bool
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	Timestamp        int64 // ms since 1970
}

const (
	markerKeySize   = 4
	markerValueSize = 6
	markerAbort     = 0
	markerCommit    = 1
)

// AppendMarker appends m's batch, of base offset 0 and no leader epoch, to dst.
func AppendMarker(dst []byte, m Marker) []byte {
	var key [markerKeySize]byte
	var value [markerValueSize]byte
	if m.Commit {
		binary.BigEndian.PutUint16(key[2:], markerCommit)
	}
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))

	start := len(dst)
	dst = header{
		attributes: transactionalBit | controlBit, count: 1,
		baseTimestamp: m.Timestamp, maxTimestamp: m.Timestamp,
		producerID: m.ProducerID, producerEpoch: m.ProducerEpoch, baseSequence: noSequence,
	}.append(dst)
	dst = append(dst, 2*(4+1+markerKeySize+1+markerValueSize+1-1)) // length
	dst = append(dst, 0, 0, 0)                                     // attributes, both deltas
	dst = appendBytes(dst, key[:])
	dst = appendBytes(dst, value[:])
	dst = append(dst, 0) // headerCount
	if err := finish(dst[start:]); err != nil {
		panic("BUG: " + err.Error())
	}
	return dst
}

// Marker reads the marker of a control batch. ok is false where the batch is no
// control batch, or a control batch of another type (a raft group's, say).
// Errors are those of Records, and ErrRecords where key or value are too short.
func (b Batch) Marker() (m Marker, ok bool, err error) {
	if !b.IsControl() {
		return Marker{}, false, nil
	}
	for r, err := range b.Records(0) {
		if err != nil {
			return Marker{}, false, err
		}
		if len(r.Key) < markerKeySize {
			return Marker{}, false, &Error{Kind: ErrRecords, Field: "control record key", At: 0, Got: int64(len(r.Key)), Want: "at least 4 bytes"}
		}
		kind := binary.BigEndian.Uint16(r.Key[2:])
		if kind != markerAbort && kind != markerCommit {
			return Marker{}, false, nil
		}
		if len(r.Value) < markerValueSize {
			return Marker{}, false, &Error{Kind: ErrRecords, Field: "control record value", At: 0, Got: int64(len(r.Value)), Want: "at least 6 bytes"}
		}
		return Marker{
			Commit:     kind == markerCommit,
			ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(),
			CoordinatorEpoch: int32(binary.BigEndian.Uint32(r.Value[2:])),
			Timestamp:        b.Timestamp(r),
		}, true, nil
	}
	return Marker{}, false, nil // compaction took the record out
}
