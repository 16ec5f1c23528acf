package wire

import "encoding/binary"

// reader is a bounds-checked cursor over one message. Its first error sticks:
// every later read answers zero, so that a decoder reads straight through and
// looks at err once, and in the condition of its loops.
type reader struct {
	src      []byte
	off      int
	err      *Error
	flex     bool
	response bool
	key      int16
	version  int16

	elements int // of all arrays so far
	ntags    int // so far
}

// A message may not have more array elements, nor more tagged fields, than
// this, however many bytes back them: a structure in memory is several times
// its smallest encoding. No broker of this kind has as many partitions, and no
// client sends tags in bulk.
const (
	maxElements = 1 << 18
	maxTags     = 1 << 10
)

func (r *reader) left() int { return len(r.src) - r.off }

func (r *reader) fail(e Error) {
	if r.err != nil {
		return
	}
	e.Key, e.Version, e.Response = r.key, r.version, r.response
	r.err = &e
	r.off = len(r.src)
}

func (r *reader) truncated(field string, at, need int) {
	r.fail(Error{Kind: ErrTruncated, Field: field, At: at, Need: need, Have: len(r.src) - r.off})
}

func (r *reader) malformed(field string, at int, why string) {
	r.fail(Error{Kind: ErrMalformed, Field: field, At: at, Why: why})
}

// failure is r.err as an error, without the trap of a typed nil.
func (r *reader) failure() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// take is the next n bytes; nil after an error. Its capacity ends with it, so
// that appending to a field can never overwrite its neighbour.
func (r *reader) take(n int, field string) []byte {
	if uint(n) > uint(r.left()) {
		r.truncated(field, r.off, n)
		return nil
	}
	b := r.src[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

func (r *reader) int8(field string) int8 {
	if b := r.take(1, field); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *reader) int16(field string) int16 {
	if b := r.take(2, field); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32(field string) int32 {
	if b := r.take(4, field); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64(field string) int64 {
	if b := r.take(8, field); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) uuid(field string) (id [16]byte) {
	copy(id[:], r.take(16, field))
	return id
}

// uvarint reads an unsigned varint of at most 32 bits.
func (r *reader) uvarint(field string) uint32 {
	if r.off < len(r.src) && r.src[r.off] < 0x80 { // the common case: one byte
		r.off++
		return uint32(r.src[r.off-1])
	}
	var v uint64
	for i := 0; i < 5; i++ {
		if r.off+i >= len(r.src) {
			r.truncated(field, r.off, i+1)
			return 0
		}
		c := r.src[r.off+i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if v > 1<<32-1 {
				break
			}
			r.off += i + 1
			return uint32(v)
		}
	}
	r.malformed(field, r.off, "a varint of more than 32 bits")
	return 0
}

// compact is a length in the flexible form; negative: null.
func (r *reader) compact(field string) int { return int(r.uvarint(field)) - 1 }

// nullableString is nil for null. An empty string is not nil.
func (r *reader) nullableString(field string) []byte {
	at := r.off
	var n int
	if r.flex {
		n = r.compact(field)
	} else {
		n = int(r.int16(field))
	}
	if n < 0 || r.err != nil {
		return nil
	}
	if n > 1<<15-1 {
		r.malformed(field, at, "a string longer than 32767 bytes")
		return nil
	}
	return r.take(n, field)
}

func (r *reader) string(field string) []byte {
	at := r.off
	b := r.nullableString(field)
	if b == nil {
		r.malformed(field, at, "null where a string must be")
	}
	return b
}

// nullableBytes is nil for null. Empty bytes are not nil.
func (r *reader) nullableBytes(field string) []byte {
	var n int
	if r.flex {
		n = r.compact(field)
	} else {
		n = int(r.int32(field))
	}
	if n < 0 || r.err != nil {
		return nil
	}
	return r.take(n, field)
}

// nullableArray is the number of elements that follow; negative: null. The
// claim is refused unless the bytes left could hold that many of at least min
// bytes each.
func (r *reader) nullableArray(field string, min int) int {
	at := r.off
	var n int
	if r.flex {
		n = r.compact(field)
	} else {
		n = int(r.int32(field))
	}
	if r.err != nil {
		return 0
	}
	if n > r.left()/min {
		r.truncated(field, at, n*min)
		return 0
	}
	if r.elements += max(n, 0); r.elements > maxElements {
		r.malformed(field, at, "more than 262144 array elements in one message")
		return 0
	}
	return n
}

func (r *reader) array(field string, min int) int {
	at := r.off
	n := r.nullableArray(field, min)
	if n < 0 {
		r.malformed(field, at, "null where an array must be")
		return 0
	}
	return n
}

// tags starts the tagged fields of a structure, and says how many there are:
// none where the message is not flexible.
func (r *reader) tags(field string) int {
	if !r.flex {
		return 0
	}
	at := r.off
	n := int(r.uvarint(field))
	if n > r.left()/2 { // a tag is at least its number and its size
		r.truncated(field, at, n*2)
		return 0
	}
	if r.ntags += n; r.ntags > maxTags {
		r.malformed(field, at, "more than 1024 tagged fields in one message")
		return 0
	}
	return n
}

// tag reads one tagged field's number and steps over its value, which it hands
// out as a reader of its own.
func (r *reader) tag(field string) (number uint32, value reader) {
	number = r.uvarint(field)
	size := r.uvarint(field)
	value = *r
	r.take(int(size), field)
	if r.err != nil {
		return number, *r
	}
	value.src = r.src[:r.off]
	return number, value
}

// adopt takes over the counts and the error of a tag's value.
func (r *reader) adopt(value *reader) {
	r.elements, r.ntags = value.elements, value.ntags
	if value.err != nil && r.err == nil {
		r.err = value.err
		r.off = len(r.src)
	}
}

// skipTags steps over tagged fields nobody here asks for.
func (r *reader) skipTags(field string) {
	for n := r.tags(field); n > 0 && r.err == nil; n-- {
		r.tag(field)
	}
}

// topic reads what a topic goes by; see appendTopic.
func (r *reader) topic(version int16, nameField, idField string) (name []byte, id [16]byte) {
	if version <= 12 {
		return r.string(nameField), id
	}
	return nil, r.uuid(idField)
}
