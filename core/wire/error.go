package wire

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What can be wrong with a message; see Error.Unwrap.
var (
	// ErrTruncated: a field needs more bytes than are left.
	ErrTruncated = errors.New("truncated")
	// ErrMalformed: the bytes are there and mean nothing.
	ErrMalformed = errors.New("malformed")
	// ErrUnknownKey: no such API.
	ErrUnknownKey = errors.New("unknown API key")
	// ErrVersion: the API is known, the version is not spoken here.
	ErrVersion = errors.New("unsupported version")
)

// Error is a message that could not be decoded.
type Error struct {
	// Kind is one of the package's Err values.
	Kind error
	// Key and Version of the message; Version is meaningless where the header
	// itself was cut short.
	Key, Version int16
	// Response is set where the message is a response.
	Response bool
	// Field is the path of the field, such as topics.partitions.records.
	Field string
	// At is the byte the decoder had come to, counted from the start of what
	// the decoder was given.
	At int
	// Need and Have are the bytes a truncated field asks for and the bytes
	// that are left.
	Need, Have int
	// Why says what is malformed.
	Why string
}

func (e *Error) Unwrap() error { return e.Kind }

func (e *Error) Error() string {
	what := "request"
	if e.Response {
		what = "response"
	}
	name := fmt.Sprintf("%s v%d %s", kmsg.NameForKey(e.Key), e.Version, what)
	switch e.Kind {
	case ErrUnknownKey:
		return fmt.Sprintf("unknown API key %d", e.Key)
	case ErrVersion:
		return name + ": unsupported version"
	case ErrTruncated:
		return fmt.Sprintf("%s: %s at byte %d needs %d bytes, %d are left", name, e.Field, e.At, e.Need, e.Have)
	}
	return fmt.Sprintf("%s: %s at byte %d: %s", name, e.Field, e.At, e.Why)
}
