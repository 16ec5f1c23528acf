package load

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"millrace/batching"
)

// outline reads answers to Fetch (of fetchVersion), and of each record batch in
// them its header alone: the records stay in the kernel, which drops them, so
// that a reader costs next to nothing beside a target that sends gigabytes. A
// frame is as long as the one that was sent; where its records belong there is
// whatever lay there before. Only one answer may be on its way.
type outline struct {
	src   io.Reader
	skip  func(n int) (int, error) // drops up to n bytes, at least one
	buf   []byte
	w     int // buf[:w] has arrived, or was dropped
	limit int
}

// outlineAhead is what is read at once where a header is wanted: what surrounds
// a partition's records, and the header of its first batch.
const outlineAhead = 256

func newOutline(nc net.Conn, limit int) *outline {
	return &outline{src: nc, skip: skipper(nc), buf: make([]byte, 64<<10), limit: limit}
}

// next is the next frame without its length, good until the next call.
func (o *outline) next() ([]byte, error) {
	o.w = 0
	if err := o.need(4, outlineAhead); err != nil {
		return nil, err
	}
	n := int64(int32(binary.BigEndian.Uint32(o.buf)))
	if n < 0 || n > int64(o.limit) {
		return nil, fmt.Errorf("a frame of %d bytes is outside 0 to %d", n, o.limit)
	}
	end := 4 + int(n)
	if o.w > end {
		return nil, fmt.Errorf("%d bytes came behind the answer to the only request", o.w-end)
	}
	// What is no answer to Fetch is read to its end, for the decoder to refuse.
	err := o.follow(end)
	if err == nil {
		err = o.need(end, 0)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return o.buf[4:end:end], nil
}

// follow goes from one partition's records to the next, up to end or to what
// cannot be.
func (o *outline) follow(end int) error {
	at := 4 + 4 + 4 + 2 + 4 // length, correlation id, throttle, error code, session id
	take := func(size int) (b []byte, err error) {
		if size > end-at {
			return nil, nil
		}
		if err = o.need(at+size, min(outlineAhead, end-at-size)); err == nil {
			b = o.buf[at : at+size]
			at += size
		}
		return b, err
	}
	number := func() (n int, err error) {
		b, err := take(4)
		if b == nil {
			return 0, err
		}
		return int(int32(binary.BigEndian.Uint32(b))), nil
	}
	topics, err := number()
	for ; topics > 0 && err == nil; topics-- {
		name, err := take(2)
		if name == nil {
			return err
		}
		if name, err = take(int(binary.BigEndian.Uint16(name))); name == nil {
			return err
		}
		parts, err := number()
		for ; parts > 0 && err == nil; parts-- {
			// index, error code, high watermark, last stable offset, log start
			if b, err := take(4 + 2 + 8 + 8 + 8); b == nil {
				return err
			}
			aborted, err := number()
			if err != nil {
				return err
			}
			if b, err := take(16*max(aborted, 0) + 4); b == nil { // and the preferred replica
				return err
			}
			records, err := number()
			if err != nil || records > end-at {
				return err
			}
			if at, err = o.batches(at, at+max(records, 0)); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	return err
}

// batches reads the headers of the batches in buf[at:end], and answers end.
func (o *outline) batches(at, end int) (int, error) {
	for end-at > batching.HeaderSize {
		if err := o.need(at+batching.HeaderSize, 0); err != nil {
			return end, err
		}
		size, err := batching.PeekSize(o.buf[at:o.w])
		if err != nil || size > end-at {
			break // its reader says what is wrong; or it is cut short, as the last may be
		}
		at += size
		if err := o.drop(at); err != nil {
			return end, err
		}
	}
	return end, o.drop(end)
}

// need reads until buf[:to] is there, and up to ahead bytes more.
func (o *outline) need(to, ahead int) error {
	for o.w < to {
		most := min(to+ahead, o.w+64<<10)
		o.room(most)
		n, err := o.src.Read(o.buf[o.w:most])
		o.w += n
		if n == 0 && err != nil {
			if err == io.EOF && o.w > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// drop leaves out what has not been read below to.
func (o *outline) drop(to int) error {
	for o.w < to {
		n, err := o.skip(to - o.w)
		if err != nil {
			return err
		}
		o.w += n
		o.room(o.w)
	}
	o.room(to)
	return nil
}

// room makes buf at least size long. It grows with what has arrived, not with
// what a length claims.
func (o *outline) room(size int) {
	for size > len(o.buf) {
		o.buf = append(o.buf, make([]byte, len(o.buf))...)
	}
}

// skipRead drops bytes by reading them.
func skipRead(src io.Reader) func(n int) (int, error) {
	var sink [64 << 10]byte
	return func(n int) (int, error) { return io.ReadAtLeast(src, sink[:min(n, len(sink))], 1) }
}
