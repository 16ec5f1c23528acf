package batching

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipCodec is RFC 1952, as java.util.zip writes it.
type gzipCodec struct{}

var _ compression = gzipCodec{}

func (gzipCodec) levels() (min, max int) { return gzip.BestSpeed, gzip.BestCompression }

// appender is an io.Writer onto a slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// gzipWriter is a pooled encoder with the slice that it writes to.
type gzipWriter struct {
	z   *gzip.Writer
	out appender
}

// gzipWriters has a pool for each level; 0 is the default.
var gzipWriters [gzip.BestCompression + 1]sync.Pool

func (gzipCodec) compress(dst, src []byte, level int) ([]byte, error) {
	pool := &gzipWriters[level]
	w, _ := pool.Get().(*gzipWriter)
	if w == nil {
		if level == 0 {
			level = gzip.DefaultCompression
		}
		z, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			panic("BUG: gzip level " + err.Error())
		}
		w = &gzipWriter{z: z}
	}
	w.out.b = dst
	w.z.Reset(&w.out)
	_, err := w.z.Write(src)
	if err == nil {
		err = w.z.Close()
	}
	if err != nil {
		panic("BUG: gzip into memory: " + err.Error())
	}
	dst = w.out.b
	w.out.b = nil
	pool.Put(w)
	return dst, nil
}

// gzipReader is a pooled decoder with the bytes that it reads.
type gzipReader struct {
	z   gzip.Reader
	src bytes.Reader
	one [1]byte
}

var gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}

func (gzipCodec) decompress(dst, src []byte, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzipReader)
	defer func() {
		r.src.Reset(nil)
		gzipReaders.Put(r)
	}()
	r.src.Reset(src)
	if err := r.z.Reset(&r.src); err != nil {
		return dst, corrupt(Gzip, err)
	}
	// deflate expands by 1032 at most, but that is no reason to take so much:
	// the output grows with what really came, doubling.
	for have := 0; ; {
		room := limit - have
		if room == 0 {
			return r.expectEnd(dst, limit)
		}
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(room, max(512, 2*len(src), have)))
		}
		n, err := r.z.Read(dst[len(dst) : len(dst)+min(room, cap(dst)-len(dst))])
		dst = dst[:len(dst)+n]
		have += n
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, corrupt(Gzip, err)
		}
	}
}

// expectEnd is called with the limit reached: fine only if nothing follows.
func (r *gzipReader) expectEnd(dst []byte, limit int) ([]byte, error) {
	for range 2 {
		n, err := r.z.Read(r.one[:])
		if n > 0 {
			break
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, corrupt(Gzip, err)
		}
	}
	return dst, overLimit(Gzip, limit)
}
