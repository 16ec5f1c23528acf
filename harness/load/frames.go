package load

import (
	"encoding/binary"
	"fmt"
	"io"
)

// readAhead is the size of a frame from which on reading the frames that follow
// along with it costs more in moving them than it saves in calls.
const readAhead = 32 << 10

// frames reads length-prefixed frames.
type frames struct {
	src   io.Reader
	buf   []byte
	r, w  int // buf[r:w] is unread
	limit int
}

func newFrames(src io.Reader, size, limit int) *frames {
	return &frames{src: src, buf: make([]byte, size), limit: limit}
}

// buffered says whether next would answer without reading.
func (f *frames) buffered() bool {
	return f.w-f.r >= 4 && f.w-f.r >= 4+int(int32(binary.BigEndian.Uint32(f.buf[f.r:])))
}

// next is the next frame without its length, good until the next call. The
// buffer grows with what has arrived, not with what a length claims.
func (f *frames) next() ([]byte, error) {
	for {
		need := 4
		if f.w-f.r >= 4 {
			n := int64(int32(binary.BigEndian.Uint32(f.buf[f.r:])))
			if n < 0 || n > int64(f.limit) {
				return nil, fmt.Errorf("a frame of %d bytes is outside 0 to %d", n, f.limit)
			}
			if need = 4 + int(n); f.w-f.r >= need {
				frame := f.buf[f.r+4 : f.r+need]
				f.r += need
				return frame, nil
			}
		}
		if f.r > 0 && (f.r == f.w || f.r+need > len(f.buf)) {
			f.w = copy(f.buf, f.buf[f.r:f.w])
			f.r = 0
		}
		if f.w == len(f.buf) {
			f.buf = append(f.buf, make([]byte, len(f.buf))...)
		}
		// A large frame is read to its end and no further, so that the next one
		// begins at the front of the buffer and none has to be moved.
		end := len(f.buf)
		if need > readAhead {
			end = min(end, f.r+need)
		}
		n, err := f.src.Read(f.buf[f.w:end])
		f.w += n
		if n == 0 && err != nil {
			if err == io.EOF && f.w > f.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}
