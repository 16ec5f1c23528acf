package load

// CRC-32C of two byte strings set together, from the CRCs of both: a lean batch
// changes in 40 of its bytes from one sending to the next, and its records,
// often 64 KiB, need not be read again for that.
//
// A CRC is a polynomial over GF(2) modulo the generator; appending L bytes
// multiplies what came before by x^(8L). As CRC-32C is reflected, bit 31 is the
// coefficient of x^0. What both CRCs are inverted by at begin and end cancels.

// castagnoliPoly is the generator, reflected, without x^32.
const castagnoliPoly = 0x82f63b78

// mulMod is a·b modulo the generator.
func mulMod(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		product ^= b & -(a >> 31)
		b = b>>1 ^ castagnoliPoly&-(b&1) // times x
	}
	return product
}

// crcShift is what a CRC is multiplied by where n bytes follow.
func crcShift(n int) uint32 {
	result, power := uint32(1<<31), uint32(1<<30) // 1, x
	for bits := uint64(n) * 8; bits > 0; bits >>= 1 {
		if bits&1 == 1 {
			result = mulMod(result, power)
		}
		power = mulMod(power, power)
	}
	return result
}

// crcJoin is the CRC of two strings; shift is crcShift of the length of the
// second.
func crcJoin(first, second, shift uint32) uint32 { return mulMod(first, shift) ^ second }
