package wire

import "encoding/binary"

// The writing half of the primitives; see reader for the reading half. All of
// them append to dst and return it.

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendUvarint(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// uvarintLen is the number of bytes appendUvarint writes.
func uvarintLen(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// appendNullableString writes nil as null.
func appendNullableString(dst []byte, flex bool, s []byte) []byte {
	switch {
	case flex && s == nil:
		return append(dst, 0)
	case flex:
		dst = appendUvarint(dst, uint32(len(s))+1)
	case s == nil:
		return appendInt16(dst, -1)
	default:
		dst = appendInt16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

// appendString writes nil as the empty string.
func appendString(dst []byte, flex bool, s []byte) []byte {
	if flex {
		dst = appendUvarint(dst, uint32(len(s))+1)
	} else {
		dst = appendInt16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

// appendBytesLen writes the length before n bytes; n < 0: null.
func appendBytesLen(dst []byte, flex bool, n int) []byte {
	if flex {
		return appendUvarint(dst, uint32(n+1))
	}
	return appendInt32(dst, int32(n))
}

// appendArrayLen writes the length before n elements; n < 0: null.
func appendArrayLen(dst []byte, flex bool, n int) []byte { return appendBytesLen(dst, flex, n) }

// appendNoTags ends a structure that has no tagged fields.
func appendNoTags(dst []byte, flex bool) []byte {
	if flex {
		return append(dst, 0)
	}
	return dst
}

// appendTag starts a tagged field of size bytes.
func appendTag(dst []byte, number uint32, size int) []byte {
	return appendUvarint(appendUvarint(dst, number), uint32(size))
}

// appendTopic writes what a topic goes by: its name to v12, its id from v13,
// in Produce as in Fetch.
func appendTopic(dst []byte, version int16, flex bool, name []byte, id *[16]byte) []byte {
	if version <= 12 {
		return appendString(dst, flex, name)
	}
	return append(dst, id[:]...)
}

// count is the number of tags that are to be written.
func count(tags ...bool) (n byte) {
	for _, t := range tags {
		if t {
			n++
		}
	}
	return n
}
