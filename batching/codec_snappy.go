package batching

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/klauspost/compress/s2"
)

// snappyCodec is Snappy in the two forms that Kafka clients produce. A raw
// block:
//
//	length of the output, uvarint · elements
//
// and the framing of snappy-java (xerial), its integers big-endian:
//
//	82 'S' 'N' 'A' 'P' 'P' 'Y' 00 · version int32 · least compatible version int32
//	then, until the end: size int32 · a raw block of that size
//
// librdkafka, franz-go and sarama produce the first, Java and kafka-go the
// second. Every consumer takes the second, because it is what Java producers
// write; so that is what we write. It costs 16 bytes a batch and 4 a block, and
// lets a reader decode into memory of one block.
type snappyCodec struct{}

var _ compression = snappyCodec{}

func (snappyCodec) levels() (min, max int) { return 0, 0 }

// xerialHeader is magic, version 1, least compatible version 1.
const xerialHeader = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"

// xerialMagic is the length of the header's first field.
const xerialMagic = 8

// snappyBlock is how much goes into one block: snappy-java's own default, so
// that its readers never need a larger buffer than they have.
const snappyBlock = 32 << 10

// snappyExpansion bounds what a byte of a block can decode to: the densest
// element takes 3 bytes and makes 64. A block that claims more is corrupt, and
// no memory is taken for it.
const snappyExpansion = 22

var (
	errSnappyLength = errors.New("a block claims more bytes than it can hold")
	errXerialChunk  = errors.New("a block reaches past the data")
)

func (snappyCodec) compress(dst, src []byte, _ int) ([]byte, error) {
	dst = append(dst, xerialHeader...)
	for len(src) > 0 {
		n := min(len(src), snappyBlock)
		at := len(dst) + 4
		dst = slices.Grow(dst, 4+s2.MaxEncodedLen(n))
		block := s2.EncodeSnappy(dst[at:cap(dst)], src[:n])
		dst = dst[:at+len(block)]
		binary.BigEndian.PutUint32(dst[at-4:], uint32(len(block)))
		src = src[n:]
	}
	return dst, nil
}

func (snappyCodec) decompress(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < xerialMagic || string(src[:xerialMagic]) != xerialHeader[:xerialMagic] {
		return appendSnappy(dst, src, limit, limit)
	}
	if len(src) < len(xerialHeader) {
		return dst, corrupt(Snappy, errXerialChunk)
	}
	src = src[len(xerialHeader):]
	var err error
	for room := limit; len(src) > 0; {
		if len(src) < 4 {
			return dst, corrupt(Snappy, errXerialChunk)
		}
		size := int64(int32(binary.BigEndian.Uint32(src)))
		src = src[4:]
		if size < 0 || size > int64(len(src)) {
			return dst, corrupt(Snappy, errXerialChunk)
		}
		before := len(dst)
		if dst, err = appendSnappy(dst, src[:size], room, limit); err != nil {
			return dst, err
		}
		room -= len(dst) - before
		src = src[size:]
	}
	return dst, nil
}

// appendSnappy decodes one block of at most room bytes; limit is what an error
// should speak of.
func appendSnappy(dst, block []byte, room, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(block)
	if err != nil {
		return dst, corrupt(Snappy, err)
	}
	if n/snappyExpansion > len(block) {
		return dst, corrupt(Snappy, errSnappyLength)
	}
	if n > room {
		return dst, overLimit(Snappy, limit)
	}
	dst = slices.Grow(dst, n)
	end := len(dst) + n
	if _, err := s2.Decode(dst[len(dst):end:end], block); err != nil {
		return dst, corrupt(Snappy, err)
	}
	return dst[:end], nil
}
