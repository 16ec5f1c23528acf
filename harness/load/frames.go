package load

import (
	"encoding/binary"
	"fmt"
	"io"
)

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
		n, err := f.src.Read(f.buf[f.w:])
		f.w += n
		if n == 0 && err != nil {
			if err == io.EOF && f.w > f.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}
