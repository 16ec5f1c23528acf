package batching

import (
	"errors"
	"fmt"
)

// The kinds of fault in a batch, for errors.Is. The number is the Kafka error
// code that a broker answers a producer with; one kind has one code.
var (
	// ErrTruncated: the bytes end before the batch does. At the end of a
	// segment this is a torn tail. CORRUPT_MESSAGE (2).
	ErrTruncated = errors.New("truncated")
	// ErrCorrupt: a header field that cannot be, or data that its codec cannot
	// decode. CORRUPT_MESSAGE (2).
	ErrCorrupt = errors.New("corrupt")
	// ErrMagic: the magic byte is not 2. CORRUPT_MESSAGE (2), unless it is
	// ErrOldFormat, which is an ErrMagic too.
	ErrMagic = errors.New("not a v2 record batch")
	// ErrOldFormat: a message set of format v0 or v1, which Kafka dropped in
	// 4.0. UNSUPPORTED_FOR_MESSAGE_FORMAT (43).
	ErrOldFormat = fmt.Errorf("message format v0 or v1, %w", ErrMagic)
	// ErrCRC: the checksum does not match. CORRUPT_MESSAGE (2).
	ErrCRC = errors.New("checksum mismatch")
	// ErrTooLarge: over max.message.bytes, over the decompression limit, or
	// over what the format can hold. MESSAGE_TOO_LARGE (10).
	ErrTooLarge = errors.New("too large")
	// ErrRecords: records that break the format or the producer's rules.
	// INVALID_RECORD (87).
	ErrRecords = errors.New("invalid records")
	// ErrTimestamp: a timestamp outside the topic's bounds, or of a type that
	// only a broker may set. INVALID_TIMESTAMP (32).
	ErrTimestamp = errors.New("invalid timestamp")
	// ErrCodec: a codec that does not exist, or that the request's version may
	// not carry. UNSUPPORTED_COMPRESSION_TYPE (76).
	ErrCodec = errors.New("unsupported codec")
)

// Error says what is wrong with a batch and where.
type Error struct {
	// Kind is one of the Err values; errors.Is finds it.
	Kind error
	// Field is named as in the package's drawing, or says what was looked at.
	Field string
	// Record is the index of the record, -1 where the fault is the batch's.
	Record int
	// At is the byte where the field starts: in the batch or, where Record is
	// not -1, in the decompressed records.
	At int
	// Got is what was found, Want what would have been right.
	Got  int64
	Want string
	// Err is what a codec said, or nil.
	Err error
}

func (e *Error) Error() string {
	where := e.Field
	if e.Record >= 0 {
		where = fmt.Sprintf("record %d: %s", e.Record, e.Field)
	}
	if e.Err != nil {
		return fmt.Sprintf("batch: %v: %s at byte %d: %v", e.Kind, where, e.At, e.Err)
	}
	return fmt.Sprintf("batch: %v: %s at byte %d is %d, want %s", e.Kind, where, e.At, e.Got, e.Want)
}

// Unwrap gives errors.Is and errors.As the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err != nil {
		return []error{e.Kind, e.Err}
	}
	return []error{e.Kind}
}

// fault is an Error about a field of the batch itself.
func fault(kind error, field string, at int, got int64, want string) *Error {
	return &Error{Kind: kind, Field: field, Record: -1, At: at, Got: got, Want: want}
}
