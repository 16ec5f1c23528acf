package batching

import "math/bits"

// Zig-zag varints, as the package's drawing has them. The readers return the
// position after the number, or -1 where the bytes end or the number is longer
// than its type allows.

func readVarint(b []byte, at int) (v int32, next int) {
	if at < len(b) && b[at] < 0x80 { // nearly all of them: one byte
		u := uint32(b[at])
		return int32(u>>1) ^ -int32(u&1), at + 1
	}
	var u uint32
	for shift := 0; shift < 35; shift += 7 {
		if at >= len(b) {
			return 0, -1
		}
		c := b[at]
		at++
		if shift == 28 && c > 0x0f { // bits past the 32nd
			return 0, -1
		}
		u |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return int32(u>>1) ^ -int32(u&1), at
		}
	}
	return 0, -1
}

func readVarlong(b []byte, at int) (v int64, next int) {
	if at < len(b) && b[at] < 0x80 {
		u := uint64(b[at])
		return int64(u>>1) ^ -int64(u&1), at + 1
	}
	var u uint64
	for shift := 0; shift < 70; shift += 7 {
		if at >= len(b) {
			return 0, -1
		}
		c := b[at]
		at++
		if shift == 63 && c > 0x01 { // bits past the 64th
			return 0, -1
		}
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), at
		}
	}
	return 0, -1
}

// appendVarint writes a varint and, an int32 being an int64 that fits, a
// varlong too.
func appendVarint(dst []byte, v int64) []byte {
	u := uint64(v<<1) ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// varintSize is the number of bytes that appendVarint writes.
func varintSize(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	return (bits.Len64(u|1) + 6) / 7
}
