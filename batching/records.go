package batching

import (
	"iter"
	"sync"
)

// Record is one record. Key, Value and Headers point into the batch or, where
// it is compressed, into memory of the iteration; see Batch.Records for how
// long they hold. A nil Key or Value is Kafka's null, which is not the same as
// an empty one.
type Record struct {
	// OffsetDelta and TimestampDelta count from the batch's BaseOffset and
	// BaseTimestamp; Batch.Offset and Batch.Timestamp add them up.
	OffsetDelta    int32
	TimestampDelta int64
	Key, Value     []byte
	Headers        []Header
}

// Header is one header of a record. A key is never null; a nil Value is null.
type Header struct {
	Key, Value []byte
}

// Offset is the record's place in the log.
func (b Batch) Offset(r Record) int64 { return b.BaseOffset() + int64(r.OffsetDelta) }

// Timestamp is the record's time in ms since 1970.
func (b Batch) Timestamp(r Record) int64 {
	if b.TimestampType() == LogAppendTime {
		return b.MaxTimestamp()
	}
	return b.BaseTimestamp() + r.TimestampDelta
}

// Records iterates over the records in order. Each is checked before it is
// given out; the first fault is given out as the error of the last turn, with
// an empty Record. So is anything that is left over after the last record.
//
// The records of an uncompressed batch are slices of the batch: Key and Value
// hold as long as it does. A compressed batch is decompressed first, into
// pooled memory of at most limit bytes (0: DefaultLimit): Key and Value hold
// until the loop ends. Headers, the slice itself, holds until the next turn, in
// either case. Steady use allocates nothing.
//
// Errors are *Error, of kind ErrRecords, ErrCodec, ErrCorrupt (data that the
// codec cannot decode) or ErrTooLarge (more than limit).
func (b Batch) Records(limit int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) { b.each(limit, yield) }
}

func (b Batch) each(limit int, yield func(Record, error) bool) {
	s := getScratch()
	defer s.put()
	records, err := b.records(s, limit)
	if err != nil {
		yield(Record{}, err)
		return
	}
	c := cursor{b: records, left: b.Count(), headers: s.headers[:0]}
	var r Record
	for {
		more, err := c.next(&r)
		if err != nil {
			yield(Record{}, err)
			break
		}
		if !more || !yield(r, nil) {
			break
		}
	}
	s.headers = c.headers
}

// records is the batch's records in the clear: its own bytes, or s's.
func (b Batch) records(s *scratch, limit int) ([]byte, error) {
	if b.Codec() == None {
		return b.Payload(), nil
	}
	out, err := b.Codec().Decompress(s.buf[:0], b.Payload(), limit)
	if err != nil {
		return nil, err
	}
	s.buf = out
	return out, nil
}

// scratch is the memory of one iteration.
type scratch struct {
	buf     []byte
	buf2    []byte // Filter's
	headers []Header
}

// What a scratch may keep while it lies in the pool. One enormous batch should
// not hold its memory for the rest of the process's life.
const (
	keepBuf     = 4 << 20
	keepHeaders = 1 << 10
)

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) put() {
	if cap(s.buf) > keepBuf {
		s.buf = nil
	}
	if cap(s.buf2) > keepBuf {
		s.buf2 = nil
	}
	if cap(s.headers) > keepHeaders {
		s.headers = nil
	}
	// Or a pooled header would keep some caller's batch reachable.
	clear(s.headers[:cap(s.headers)])
	scratches.Put(s)
}

// cursor reads records in the clear, one after the other.
type cursor struct {
	b       []byte
	at      int // where the next record starts
	index   int // of the next record
	left    int // records that the batch says are still to come
	headers []Header
}

// next reads one record into r. more is false at the end.
func (c *cursor) next(r *Record) (more bool, err error) {
	if c.left == 0 {
		if c.at != len(c.b) {
			return false, c.fault("bytes after the last record", c.at, int64(len(c.b)-c.at), "none")
		}
		return false, nil
	}
	b, start := c.b, c.at
	length, at := readVarint(b, start)
	if at < 0 {
		return false, c.fault("length", start, int64(len(b)-start), "a varint")
	}
	if length < minRecordSize-1 || int64(length) > int64(len(b)-at) {
		return false, c.fault("length", start, int64(length), "what its fields take, within the records")
	}
	// From here on nothing may reach past the record's own end.
	b = b[:at+int(length)]
	at++ // attributes: unused

	field := at
	if r.TimestampDelta, at = readVarlong(b, at); at < 0 {
		return false, c.fault("timestampDelta", field, int64(len(b)-field), "a varlong")
	}
	field = at
	if r.OffsetDelta, at = readVarint(b, at); at < 0 {
		return false, c.fault("offsetDelta", field, int64(len(b)-field), "a varint")
	}
	field = at
	if r.Key, at = readBytes(b, at); at < 0 {
		return false, c.fault("keyLength", field, int64(len(b)-field), "a varint from -1 to what is left")
	}
	field = at
	if r.Value, at = readBytes(b, at); at < 0 {
		return false, c.fault("valueLength", field, int64(len(b)-field), "a varint from -1 to what is left")
	}
	if at, err = c.readHeaders(b, at); err != nil {
		return false, err
	}
	r.Headers = c.headers
	if at != len(b) {
		return false, c.fault("bytes after the record's last field", at, int64(len(b)-at), "none")
	}
	c.at = at
	c.index++
	c.left--
	return true, nil
}

// readHeaders reads headerCount and the headers into c.headers.
func (c *cursor) readHeaders(b []byte, at int) (int, error) {
	c.headers = c.headers[:0]
	field := at
	count, at := readVarint(b, at)
	// A header takes at least the two bytes of its lengths.
	if at < 0 || count < 0 || int64(count) > int64(len(b)-at)/2 {
		return 0, c.fault("headerCount", field, int64(count), "0 to what the bytes left can hold")
	}
	for range count {
		var h Header
		field = at
		if h.Key, at = readBytes(b, at); at < 0 || h.Key == nil {
			return 0, c.fault("header keyLength", field, int64(len(b)-field), "a varint from 0 to what is left")
		}
		field = at
		if h.Value, at = readBytes(b, at); at < 0 {
			return 0, c.fault("header valueLength", field, int64(len(b)-field), "a varint from -1 to what is left")
		}
		c.headers = append(c.headers, h)
	}
	return at, nil
}

func (c *cursor) fault(field string, at int, got int64, want string) *Error {
	return &Error{Kind: ErrRecords, Field: field, Record: c.index, At: at, Got: got, Want: want}
}

// readBytes reads a length and that many bytes; -1 is null, which is nil. next
// is -1 where that does not fit into b.
func readBytes(b []byte, at int) (v []byte, next int) {
	n, at := readVarint(b, at)
	if at < 0 || n < -1 || int64(n) > int64(len(b)-at) {
		return nil, -1
	}
	if n == -1 {
		return nil, at
	}
	end := at + int(n)
	return b[at:end:end], end
}
