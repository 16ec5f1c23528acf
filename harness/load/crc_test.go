package load

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCRCJoin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 1<<17)
	for i := range buf {
		buf[i] = byte(rng.Uint32())
	}
	for range 200 {
		n := rng.IntN(len(buf))
		cut := rng.IntN(n + 1)
		a, b := crc32.Checksum(buf[:cut], castagnoli), crc32.Checksum(buf[cut:n], castagnoli)
		require.Equal(t, crc32.Checksum(buf[:n], castagnoli), crcJoin(a, b, crcShift(n-cut)))
	}
}

func BenchmarkCRC(b *testing.B) {
	buf := make([]byte, 64<<10)
	b.Run("of=64KiB", func(b *testing.B) {
		b.SetBytes(int64(len(buf)))
		for range b.N {
			crc32.Checksum(buf, castagnoli)
		}
	})
	b.Run("of=join", func(b *testing.B) {
		shift := crcShift(len(buf))
		for i := range b.N {
			crcJoin(uint32(i), 1, shift)
		}
	})
}
