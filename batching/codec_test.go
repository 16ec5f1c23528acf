package batching_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/batching"
)

// compressing are the codecs that do.
func compressing() []batching.Codec { return batching.Codecs()[1:] }

func compressed(t testing.TB, c batching.Codec, src []byte, level int) []byte {
	t.Helper()
	out, err := c.Compress(nil, src, level)
	require.NoError(t, err)
	return out
}

// noise is n bytes that no codec makes smaller.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestCodecsRoundTrip(t *testing.T) {
	payloads := map[string][]byte{"one byte": {7}, "lines": logLines(3000), "zeros": make([]byte, 300_000), "noise": noise(200_000),
		"one block": logLines(3000)[:64<<10], "one block and a byte": logLines(3000)[:64<<10+1]}
	for _, c := range batching.Codecs() {
		_, max := c.Levels()
		for _, level := range []int{0, 1, 4, 7, 9, 10, max} {
			if level > max {
				continue
			}
			for name, src := range payloads {
				out := compressed(t, c, src, level)
				got, err := c.Decompress([]byte("before"), out, len(src))
				require.NoError(t, err, "%v level %d, %s", c, level, name)
				require.Equal(t, "before", string(got[:6]))
				require.True(t, bytes.Equal(src, got[6:]), "%v level %d, %s", c, level, name)

				got, err = kgo.DefaultDecompressor().Decompress(out, kgo.CompressionCodecType(c))
				require.NoError(t, err, "franz-go: %v level %d, %s", c, level, name)
				require.True(t, bytes.Equal(src, got), "franz-go: %v level %d, %s", c, level, name)
			}
		}
	}
}

func TestCodecLevels(t *testing.T) {
	lines := logLines(2000)
	for _, c := range []batching.Codec{batching.Gzip, batching.LZ4, batching.Zstd} {
		min, max := c.Levels()
		require.Less(t, len(compressed(t, c, lines, max)), len(compressed(t, c, lines, min)), "%v: a higher level packs tighter", c)
		for _, level := range []int{min - 2, max + 1} {
			_, err := c.Compress(nil, lines, level)
			require.ErrorIs(t, err, batching.ErrCodec, "%v level %d", c, level)
		}
	}
	_, err := batching.Snappy.Compress(nil, lines, 1)
	require.ErrorContains(t, err, "snappy has no levels, only 0")
	_, err = batching.Gzip.Compress(nil, lines, 10)
	require.ErrorContains(t, err, "gzip has no level 10, only 0 (default) and 1 to 9")
}

func TestCodecNames(t *testing.T) {
	for _, c := range batching.Codecs() {
		got, err := batching.ParseCodec(c.String())
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	got, err := batching.ParseCodec("uncompressed")
	require.NoError(t, err)
	require.Equal(t, batching.None, got)
	_, err = batching.ParseCodec("brotli")
	require.ErrorIs(t, err, batching.ErrCodec)
	require.ErrorContains(t, err, `"brotli": want none, gzip, snappy, lz4 or zstd`)
	require.Equal(t, "Codec(5)", batching.Codec(5).String())
	_, err = batching.Codec(5).Compress(nil, nil, 0)
	require.ErrorIs(t, err, batching.ErrCodec)
	_, err = batching.Codec(-1).Decompress(nil, nil, 0)
	require.ErrorIs(t, err, batching.ErrCodec)
}

// allocated is the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// bombs are small inputs that decode to size bytes of zeros.
func bombs(t testing.TB, size int) map[string]struct {
	codec batching.Codec
	data  []byte
} {
	type bomb = struct {
		codec batching.Codec
		data  []byte
	}
	zeros := make([]byte, size)
	all := map[string]bomb{}
	for _, c := range compressing() {
		all[c.String()] = bomb{c, compressed(t, c, zeros, 0)}
	}
	all["snappy raw"] = bomb{batching.Snappy, rawSnappy(zeros)}
	all["zstd of unsaid size"] = bomb{batching.Zstd, zstdStream(t, zeros, size)}
	all["zstd of many frames"] = bomb{batching.Zstd, bytes.Repeat(compressed(t, batching.Zstd, zeros[:size/16], 0), 16)}
	return all
}

func TestBombsMeetTheLimit(t *testing.T) {
	const size, limit = 32 << 20, 1 << 20
	for name, b := range bombs(t, size) {
		t.Run(name, func(t *testing.T) {
			require.Less(t, len(b.data), size/15, "no bomb")
			decode := func(limit int) error {
				_, err := b.codec.Decompress(nil, b.data, limit)
				return err
			}
			require.ErrorIs(t, decode(limit), batching.ErrTooLarge) // also warms the pools
			// The library's tables, and twice the limit at most while growing
			// up to it.
			var err error
			took := allocated(func() { err = decode(limit) })
			require.ErrorIs(t, err, batching.ErrTooLarge)
			if !batching.RaceDetector {
				require.Less(t, took, uint64(3*limit), "allocated")
			}

			require.ErrorIs(t, decode(size-1), batching.ErrTooLarge, "one byte below its size")
			require.NoError(t, decode(size), "exactly its size")
		})
	}
}

// zstdStream is src as a writer makes it that does not know the size before,
// flushed after every chunk bytes.
func zstdStream(t testing.TB, src []byte, chunk int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	require.NoError(t, err)
	for len(src) > 0 {
		n := min(chunk, len(src))
		_, err = z.Write(src[:n])
		require.NoError(t, err)
		require.NoError(t, z.Flush())
		src = src[n:]
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// A stream of small blocks could hold far more than the limit, for what its
// headers say, and does not.
func TestZstdOfManySmallBlocks(t *testing.T) {
	src := logLines(400)
	for _, chunk := range []int{1, 100, 5000} {
		got, err := batching.Zstd.Decompress(nil, zstdStream(t, src, chunk), len(src))
		require.NoError(t, err)
		require.Equal(t, src, got)
		_, err = batching.Zstd.Decompress(nil, zstdStream(t, src, chunk), len(src)-1)
		require.ErrorIs(t, err, batching.ErrTooLarge)
	}
}

// rawSnappy is src as one block without framing: our own framed blocks are of
// up to 64 KiB, so it is made of literal and copy elements by hand.
func rawSnappy(zeros []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(len(zeros)))
	out = append(out, 0, 0) // a literal of one byte
	for left := len(zeros) - 1; left > 0; {
		n := min(left, 64)
		out = append(out, byte(n-1)<<2|2, 1, 0) // copy n bytes from 1 back
		left -= n
	}
	return out
}

// What a few bytes claim costs nothing before more of them come.
func TestClaimsAreNotBelieved(t *testing.T) {
	xerial := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	lz4 := compressed(t, batching.LZ4, []byte("x"), 0)
	for name, c := range map[string]struct {
		codec batching.Codec
		data  []byte
	}{
		"snappy of 4 GiB":      {batching.Snappy, binary.AppendUvarint(nil, 1<<32-1)},
		"snappy of 60 MiB":     {batching.Snappy, binary.AppendUvarint(nil, 60<<20)},
		"xerial of 2 GiB":      {batching.Snappy, append(xerial[:len(xerial):len(xerial)], 0x7f, 0xff, 0xff, 0xff)},
		"xerial of -1":         {batching.Snappy, append(xerial[:len(xerial):len(xerial)], 0xff, 0xff, 0xff, 0xff)},
		"xerial of 60 MiB":     {batching.Snappy, append(xerial[:len(xerial):len(xerial)], 0, 0, 0, 4, 0x80, 0x80, 0x80, 0x1e)},
		"xerial cut":           {batching.Snappy, xerial[:12]},
		"lz4 block of 4 MiB":   {batching.LZ4, append(lz4[:7:7], 0, 0, 0x40, 0)},
		"lz4 stored 2 GiB":     {batching.LZ4, append(lz4[:7:7], 0xff, 0xff, 0xff, 0xff)},
		"zstd of 60 MiB":       {batching.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0xc0, 3, 0x01, 0, 0}},
		"zstd of 2^63":         {batching.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x01, 0, 0}},
		"zstd, window 2 GiB":   {batching.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 0x14, 0, 0}},
		"zstd, reserved block": {batching.Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 0x07, 0, 0}},
		"zstd skipping 4 GiB":  {batching.Zstd, []byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff}},
		"gzip without data":    {batching.Gzip, compressed(t, batching.Gzip, []byte("x"), 0)[:10]},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.codec.Decompress(nil, c.data, 0) // warms the pools
			require.ErrorIs(t, err, batching.ErrCorrupt)
			took := allocated(func() { _, err = c.codec.Decompress(nil, c.data, 0) })
			require.ErrorIs(t, err, batching.ErrCorrupt)
			require.Less(t, took, uint64(64<<10), "allocated")
		})
	}
}

// Damage anywhere is an error or, where the format has no checksum, other
// bytes; never a panic, and never an early end taken for the whole.
func TestDamagedDataIsRefused(t *testing.T) {
	src := logLines(40)
	for _, c := range compressing() {
		whole := compressed(t, c, src, 0)
		for n := range whole {
			got, err := c.Decompress(nil, whole[:n], 0)
			if err == nil {
				// A framed Snappy ends where its data does; the batch's own
				// length and count tell.
				require.Equal(t, batching.Snappy, c, "cut at %d", n)
				require.Less(t, len(got), len(src))
				continue
			}
			require.ErrorIs(t, err, batching.ErrCorrupt, "%v cut at %d", c, n)
		}
		for at := range whole {
			damaged := bytes.Clone(whole)
			damaged[at] ^= 0x55
			if _, err := c.Decompress(nil, damaged, 1<<20); err != nil {
				require.True(t, isAny(err, batching.ErrCorrupt, batching.ErrTooLarge), "%v at %d: %v", c, at, err)
			}
		}
		_, err := c.Decompress(nil, append(bytes.Clone(whole), "trailing"...), 0)
		require.ErrorIs(t, err, batching.ErrCorrupt, "%v with bytes after it", c)
	}
}

func TestLZ4FramesOfTheToolItself(t *testing.T) {
	want := logLines(2500)
	for _, name := range []string{"linked-blocks-all-checksums.lz4", "linked-blocks-no-checksums.lz4"} {
		raw, err := os.ReadFile(filepath.Join("testdata/lz4", name))
		require.NoError(t, err)
		got, err := batching.LZ4.Decompress([]byte("before"), raw, len(want))
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(want, got[6:]), name)
		_, err = batching.LZ4.Decompress(nil, raw, len(want)-1)
		require.ErrorIs(t, err, batching.ErrTooLarge, name)
	}
	raw, err := os.ReadFile("testdata/lz4/linked-blocks-all-checksums.lz4")
	require.NoError(t, err)
	// The last byte is of the content's checksum, the ones at 8 of its size,
	// 14 is the header's checksum.
	for at, says := range map[int]string{len(raw) - 1: "checksum mismatch", 8: "header checksum mismatch", 14: "header checksum mismatch"} {
		damaged := bytes.Clone(raw)
		damaged[at]++
		_, err = batching.LZ4.Decompress(nil, damaged, 0)
		require.ErrorContains(t, err, says, fmt.Sprint(at))
	}
}
