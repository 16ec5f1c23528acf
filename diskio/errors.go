package diskio

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"millrace/batching"
)

// What a Log may answer besides *Error, for errors.Is.
var (
	// ErrOutOfRange: the offset is below Start or above End.
	ErrOutOfRange = errors.New("offset out of range")
	// ErrClosed: the log was closed or removed.
	ErrClosed = errors.New("log is closed")
	// ErrTooLarge: a batch is larger than segment.bytes; nothing was written,
	// and the log goes on.
	ErrTooLarge = errors.New("batch is larger than a segment may be")
	// ErrCorrupt: bytes on disk that cannot be what was written.
	ErrCorrupt = errors.New("corrupt")
)

// Error is the disk's fault: an operation that the file system refused, or
// bytes that are not what was written. It says where.
type Error struct {
	Op      string // append, read, sync, roll, open, truncate, delete, index, checkpoint
	Dir     string // the log's directory
	Segment int64  // base offset of the segment; -1 where no segment is meant
	Offset  int64  // offset that the operation was about; -1 where none is
	Failed  bool   // the log takes no more appends
	Err     error
}

func (e *Error) Error() string {
	where := e.Dir
	if e.Segment >= 0 {
		where = filepath.Join(e.Dir, logName(e.Segment))
	}
	s := fmt.Sprintf("diskio: %s: %s", e.Op, where)
	if e.Offset >= 0 {
		s += fmt.Sprintf(" at offset %d", e.Offset)
	}
	s += ": " + e.Err.Error()
	if e.Failed {
		s += "; the log takes no more appends: " + e.remedy()
	}
	return s
}

// remedy says what an operator can do.
func (e *Error) remedy() string {
	switch {
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		return "free space on its volume, then restart the broker"
	case errors.Is(e.Err, syscall.EROFS):
		return "its volume went read-only; look at the kernel's log, mend it, then restart the broker"
	case errors.Is(e.Err, syscall.EMFILE), errors.Is(e.Err, syscall.ENFILE):
		return "raise the limit of open files (ulimit -n), then restart the broker"
	}
	return "look at the disk and the kernel's log, then restart the broker"
}

// Unwrap gives errors.Is the cause.
func (e *Error) Unwrap() error { return e.Err }

// corrupt is an ErrCorrupt that says what was found.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// isBadBatch says that err is about bytes and not about reaching them.
func isBadBatch(err error) bool {
	var be *batching.Error
	return errors.Is(err, ErrCorrupt) || errors.As(err, &be)
}
