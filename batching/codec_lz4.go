package batching

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// lz4Codec is the LZ4 frame format, little-endian:
//
//	04 22 4D 18
//	FLG    version 01 in bits 7–6, 5 blocks independent, 4 block checksums,
//	       3 content size, 2 content checksum, 0 dictionary id
//	BD     bits 6–4: greatest block, 4: 64 KiB, 5: 256 KiB, 6: 1 MiB, 7: 4 MiB
//	       [content size uint64] [dictionary id uint32]
//	HC     second byte of XXH32 of FLG to here
//	blocks: size uint32, its top bit set where the block is stored as it is;
//	       data; [XXH32 of the data]
//	00 00 00 00
//	       [XXH32 of the whole output]
//
// Source: the LZ4 Frame Format Description, and Kafka's
// Lz4BlockInputStream and Lz4BlockOutputStream for what of it is in use.
//
// The blocks are decoded by pierrec/lz4; the frame is read here, because the
// library's own reader takes a buffer of the greatest block for a frame that
// only claims to need one (4 MiB for fifteen bytes), and copies through it.
type lz4Codec struct{}

var _ compression = lz4Codec{}

const (
	lz4Magic = 0x184D2204

	lz4Version         = 1 << 6
	lz4VersionMask     = 3 << 6
	lz4Independent     = 1 << 5
	lz4BlockChecksum   = 1 << 4
	lz4ContentSize     = 1 << 3
	lz4ContentChecksum = 1 << 2
	lz4Reserved        = 1 << 1
	lz4DictionaryID    = 1 << 0

	lz4Stored = 1 << 31 // in a block's size: the data is not compressed

	// lz4Block is what Kafka's own producer puts into a block. A reader's
	// buffer stays small, and it is the fastest: 512 KiB makes JSON 5 %
	// smaller and takes 40 % longer (BenchmarkCompress's payload).
	lz4Block   = 64 << 10
	lz4BlockBD = 4 << 4

	// lz4Window is how far back a match may reach into earlier blocks.
	lz4Window = 64 << 10

	// lz4MaxLevel is Kafka's greatest. The library's search has nine depths;
	// levels past 9 are as 9.
	lz4MaxLevel = 17
)

func (lz4Codec) levels() (min, max int) { return 1, lz4MaxLevel }

var (
	errLZ4Frame    = errors.New("no LZ4 frame of version 1")
	errLZ4Header   = errors.New("header checksum mismatch")
	errLZ4Block    = errors.New("a block that cannot be decoded")
	errLZ4Checksum = errors.New("checksum mismatch")
	errLZ4Size     = errors.New("content size mismatch")
	errLZ4Trailing = errors.New("bytes after the frame")
)

// lz4Encoder is the hash tables of either search. They are large, so they are
// pooled, and the thorough search's are made only where it is asked for.
type lz4Encoder struct {
	fast lz4.Compressor
	hc   *lz4.CompressorHC
}

var lz4Encoders = sync.Pool{New: func() any { return new(lz4Encoder) }}

func (e *lz4Encoder) block(src, dst []byte, level int) (int, error) {
	if level == 0 {
		return e.fast.CompressBlock(src, dst)
	}
	if e.hc == nil {
		e.hc = new(lz4.CompressorHC)
	}
	// The library's levels are search depths: Level1 is 512, each next twice
	// the one before.
	e.hc.Level = lz4.Level1 << (min(level, 9) - 1)
	return e.hc.CompressBlock(src, dst)
}

func (lz4Codec) compress(dst, src []byte, level int) ([]byte, error) {
	e := lz4Encoders.Get().(*lz4Encoder)
	defer lz4Encoders.Put(e)
	const flg, bd = lz4Version | lz4Independent, lz4BlockBD
	dst = binary.LittleEndian.AppendUint32(dst, lz4Magic)
	dst = append(dst, flg, bd, lz4HeaderCheck([]byte{flg, bd}))
	for len(src) > 0 {
		block := src[:min(len(src), lz4Block)]
		src = src[len(block):]
		at := len(dst) + 4
		dst = slices.Grow(dst, 4+lz4.CompressBlockBound(len(block)))
		n, err := e.block(block, dst[at:cap(dst)], level)
		size := uint32(n)
		if err != nil || n == 0 || n >= len(block) {
			n = copy(dst[at:cap(dst)], block)
			size = uint32(n) | lz4Stored
		}
		dst = dst[:at+n]
		binary.LittleEndian.PutUint32(dst[at-4:], size)
	}
	return append(dst, 0, 0, 0, 0), nil
}

func lz4HeaderCheck(descriptor []byte) byte { return byte(xxh32(descriptor) >> 8) }

// lz4Frame is what a frame's header says.
type lz4Frame struct {
	flg         byte
	blockMax    int
	contentSize uint64 // where flg has lz4ContentSize
}

// readLZ4Header takes a frame's header off src.
func readLZ4Header(src []byte) (f lz4Frame, rest []byte, err error) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic {
		return f, nil, errLZ4Frame
	}
	f.flg = src[4]
	bd := src[5]
	code := int(bd >> 4)
	// A dictionary would be one that the reader has to know already; Kafka
	// has no way to name it.
	if f.flg&lz4VersionMask != lz4Version || f.flg&(lz4Reserved|lz4DictionaryID) != 0 || bd&0x8f != 0 || code < 4 {
		return f, nil, errLZ4Frame
	}
	f.blockMax = 1 << (8 + 2*code)
	end := 6
	if f.flg&lz4ContentSize != 0 {
		end += 8
		if len(src) < end+1 {
			return f, nil, errLZ4Frame
		}
		f.contentSize = binary.LittleEndian.Uint64(src[6:])
	}
	if lz4HeaderCheck(src[4:end]) != src[end] {
		return f, nil, errLZ4Header
	}
	return f, src[end+1:], nil
}

func (lz4Codec) decompress(dst, src []byte, limit int) ([]byte, error) {
	f, blocks, err := readLZ4Header(src)
	if err != nil {
		return dst, corrupt(LZ4, err)
	}
	size, err := f.size(blocks)
	switch {
	case err != nil:
		return dst, corrupt(LZ4, err)
	case size > limit:
		return dst, overLimit(LZ4, limit)
	}
	out, err := f.decode(slices.Grow(dst, size), blocks, size)
	if err != nil {
		return dst, corrupt(LZ4, err)
	}
	return out, nil
}

// next takes a block with its checksum off src. A nil block is the end mark.
func (f lz4Frame) next(src []byte) (block []byte, stored bool, rest []byte, err error) {
	if len(src) < 4 {
		return nil, false, nil, errLZ4Block
	}
	word := binary.LittleEndian.Uint32(src)
	src = src[4:]
	if word == 0 {
		return nil, false, src, nil
	}
	size := int64(word &^ lz4Stored)
	if size > int64(f.blockMax) || size > int64(len(src)) {
		return nil, false, nil, errLZ4Block
	}
	block, src = src[:size], src[size:]
	if f.flg&lz4BlockChecksum != 0 {
		if src, err = takeLZ4Checksum(src, block); err != nil {
			return nil, false, nil, err
		}
	}
	return block, word&lz4Stored != 0, src, nil
}

// size is what the blocks decode to, found without decoding them.
func (f lz4Frame) size(src []byte) (size int, err error) {
	for {
		block, stored, rest, err := f.next(src)
		if err != nil {
			return 0, err
		}
		if block == nil {
			return size, nil
		}
		n := len(block)
		if !stored {
			if n = lz4DecodedSize(block); n < 0 || n > f.blockMax {
				return 0, errLZ4Block
			}
		}
		size += n
		src = rest
	}
}

// decode appends the blocks' output, size bytes for which dst has room.
func (f lz4Frame) decode(dst, src []byte, size int) ([]byte, error) {
	start, end := len(dst), len(dst)+size
	for {
		block, stored, rest, err := f.next(src)
		if err != nil {
			return nil, err
		}
		src = rest
		if block == nil {
			break
		}
		if stored {
			dst = append(dst, block...)
			continue
		}
		var window []byte
		if f.flg&lz4Independent == 0 {
			window = dst[max(start, len(dst)-lz4Window):]
		}
		n, err := lz4.UncompressBlockWithDict(block, dst[len(dst):end:end], window)
		if err != nil {
			return nil, errLZ4Block
		}
		dst = dst[:len(dst)+n]
	}
	return dst, f.checkEnd(dst[start:], src, size)
}

// checkEnd checks what follows the end mark against the output.
func (f lz4Frame) checkEnd(out, src []byte, size int) (err error) {
	if f.flg&lz4ContentChecksum != 0 {
		if src, err = takeLZ4Checksum(src, out); err != nil {
			return err
		}
	}
	if len(out) != size || (f.flg&lz4ContentSize != 0 && f.contentSize != uint64(size)) {
		return errLZ4Size
	}
	if len(src) > 0 {
		return errLZ4Trailing
	}
	return nil
}

// takeLZ4Checksum takes the XXH32 of data off src.
func takeLZ4Checksum(src, data []byte) ([]byte, error) {
	if len(src) < 4 || binary.LittleEndian.Uint32(src) != xxh32(data) {
		return nil, errLZ4Checksum
	}
	return src[4:], nil
}

// lz4DecodedSize walks a block's sequences and adds up what they decode to; -1
// where they do not end with the block. A sequence is a token (literal length
// in its high half, match length - 4 in its low one, 15: bytes of further
// length follow), the literals, a 2-byte distance. So memory is taken once and
// for exactly what comes, and a limit that is passed is told from corruption,
// which the decoder itself reports alike.
func lz4DecodedSize(b []byte) int {
	size := 0
	for at := 0; at < len(b); {
		token := b[at]
		at++
		literals := int(token >> 4)
		if literals == 15 {
			var more int
			if more, at = lz4Length(b, at); at < 0 {
				return -1
			}
			literals += more
		}
		if literals > len(b)-at {
			return -1
		}
		at += literals
		size += literals
		if at == len(b) { // the last sequence has no match
			return size
		}
		if at += 2; at > len(b) {
			return -1
		}
		match := int(token&15) + 4
		if token&15 == 15 {
			var more int
			if more, at = lz4Length(b, at); at < 0 {
				return -1
			}
			match += more
		}
		size += match
	}
	return -1
}

func lz4Length(b []byte, at int) (n, next int) {
	for at < len(b) {
		c := int(b[at])
		at++
		n += c
		if c != 255 {
			return n, at
		}
	}
	return 0, -1
}
