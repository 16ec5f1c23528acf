package batching

import (
	"encoding/binary"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
)

// lz4Header is the header of a frame with 64 KiB blocks; size is the content
// size where flg has one.
func lz4Header(flg, bd byte, size uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	b = append(b, flg, bd)
	if flg&lz4ContentSize != 0 {
		b = binary.LittleEndian.AppendUint64(b, size)
	}
	return append(b, lz4HeaderCheck(b[4:]))
}

func lz4BlockOf(data []byte, stored uint32) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))|stored), data...)
}

func TestLZ4FrameRefuses(t *testing.T) {
	const plain = lz4Version | lz4Independent
	end := []byte{0, 0, 0, 0}
	one := lz4BlockOf([]byte("x"), lz4Stored)
	long := make([]byte, lz4Block+1)
	packed := make([]byte, lz4.CompressBlockBound(len(long)))
	n, err := new(lz4.Compressor).CompressBlock(long, packed)
	require.NoError(t, err)
	frame := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	out, err := LZ4.Decompress(nil, frame(lz4Header(plain|lz4ContentSize, lz4BlockBD, 2), one, one, end), 2)
	require.NoError(t, err)
	require.Equal(t, "xx", string(out))

	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"content larger":        {frame(lz4Header(plain|lz4ContentSize, lz4BlockBD, 3), one, one, end), errLZ4Size},
		"content size cut":      {lz4Header(plain|lz4ContentSize, lz4BlockBD, 3)[:10], errLZ4Frame},
		"stored block too long": {frame(lz4Header(plain, lz4BlockBD, 0), lz4BlockOf(long, lz4Stored), end), errLZ4Block},
		"block decodes to more": {frame(lz4Header(plain, lz4BlockBD, 0), lz4BlockOf(packed[:n], 0), end), errLZ4Block},
		"distance too far":      {frame(lz4Header(plain, lz4BlockBD, 0), lz4BlockOf([]byte{0x10, 'x', 9, 0, 0x50, 1, 2, 3, 4, 5}, 0), end), errLZ4Block},
		"end mark cut":          {frame(lz4Header(plain, lz4BlockBD, 0), one, end[:2]), errLZ4Block},
		"no end mark":           {frame(lz4Header(plain, lz4BlockBD, 0), one), errLZ4Block},
		"no content checksum":   {frame(lz4Header(plain|lz4ContentChecksum, lz4BlockBD, 0), one, end), errLZ4Checksum},
		"bad block checksum":    {frame(lz4Header(plain|lz4BlockChecksum, lz4BlockBD, 0), one, end, end), errLZ4Checksum},
		"bytes after it":        {frame(lz4Header(plain, lz4BlockBD, 0), one, end, end), errLZ4Trailing},
		"dictionary":            {frame(lz4Header(plain|lz4DictionaryID, lz4BlockBD, 0), one, end), errLZ4Frame},
		"reserved bit":          {frame(lz4Header(plain|lz4Reserved, lz4BlockBD, 0), one, end), errLZ4Frame},
		"version 2":             {frame(lz4Header(2<<6|lz4Independent, lz4BlockBD, 0), one, end), errLZ4Frame},
		"blocks of 1 KiB":       {frame(lz4Header(plain, 1<<4, 0), one, end), errLZ4Frame},
		"old frame":             {[]byte{0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0}, errLZ4Frame},
		"header checksum":       {frame(patched(lz4Header(plain, lz4BlockBD, 0), 6, 0), one, end), errLZ4Header},
		"nothing":               {nil, errLZ4Frame},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LZ4.Decompress(nil, c.data, 0)
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestXXH32(t *testing.T) {
	// Of the xxHash project's own vectors, and through the frames of other
	// makers, whose checksums the goldens hold.
	for in, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff,
		"Nobody inspects the spammish repetition": 0xe2293b2f} {
		require.Equal(t, want, xxh32([]byte(in)), in)
	}
}
