package batching

import (
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdCodec is RFC 8878.
type zstdCodec struct{}

var _ compression = zstdCodec{}

// The bounds of libzstd's levels, of which klauspost/compress makes four
// speeds: 1–2, 3–5, 6–9, 10 and up.
const (
	zstdMinLevel     = 1
	zstdMaxLevel     = 22
	zstdDefaultLevel = 3
)

func (zstdCodec) levels() (min, max int) { return zstdMinLevel, zstdMaxLevel }

// zstdWindow is how far back our matches reach. It sizes the tables that each
// encoder keeps and the memory a streaming consumer needs; 1 MiB is as much as
// a batch of Kafka's default greatest size has.
const zstdWindow = 1 << 20

// zstdEncoders are the encoders of each speed. One serves any number of
// goroutines, as many at a time as there are processors.
var zstdEncoders [zstd.SpeedBestCompression + 1]struct {
	once sync.Once
	z    *zstd.Encoder
}

func (zstdCodec) compress(dst, src []byte, level int) ([]byte, error) {
	if level == 0 {
		level = zstdDefaultLevel
	}
	speed := zstd.EncoderLevelFromZstd(level)
	e := &zstdEncoders[speed]
	e.once.Do(func() {
		var err error
		// No checksum of its own: the batch has one, and Java writes none.
		e.z, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderCRC(false),
			zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("BUG: zstd encoder: " + err.Error())
		}
	})
	return e.z.EncodeAll(src, dst), nil
}

// zstdDecoder serves any number of goroutines, as many at a time as there are
// processors. It fills the room it is given and never takes more.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("BUG: zstd decoder: " + err.Error())
	}
	return z
})

func (zstdCodec) decompress(dst, src []byte, limit int) ([]byte, error) {
	exact, bound, err := zstdSize(src)
	switch {
	case err != nil:
		return dst, corrupt(Zstd, err)
	case exact > bound:
		return dst, corrupt(Zstd, errZstdClaim)
	case exact > int64(limit):
		return dst, overLimit(Zstd, limit)
	case exact >= 0:
		return zstdInto(dst, src, int(exact), int(exact), limit)
	}
	// Java and librdkafka do not say what their frames hold. A usual ratio is
	// tried first, then four times as much each time it did not do: a third of
	// the work is wasted at worst, and memory follows what is really there.
	most := int(min(bound, int64(limit)))
	for room := min(most, max(4<<10, 8*len(src))); ; room = min(most, 4*room) {
		out, err := zstdInto(dst, src, room, int(bound), limit)
		if room == most || !errors.Is(err, ErrTooLarge) {
			return out, err
		}
	}
}

// zstdInto decodes src to the end of dst where that takes at most room bytes;
// else the error is ErrTooLarge. bound is what src can hold at most.
func zstdInto(dst, src []byte, room, bound, limit int) ([]byte, error) {
	// The library reports a block that finds no room as it does a corrupt
	// one. So there is room for one block too many, and it is the size that
	// came of it that tells.
	dst = slices.Grow(dst, min(room+zstdMaxBlock, bound)+zstdSlack)
	end := len(dst) + min(room+zstdMaxBlock, bound) + zstdSlack
	out, err := zstdDecoder().DecodeAll(src, dst[:len(dst):end])
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded) || len(out) > len(dst)+room:
		return dst, overLimit(Zstd, limit)
	case err != nil:
		return dst, corrupt(Zstd, err)
	}
	return out, nil
}

// zstdSlack lets the library copy in whole words at the end of the output.
const zstdSlack = 16

var (
	errZstdFrame = errors.New("a frame that ends too early")
	errZstdClaim = errors.New("a frame claims more bytes than its blocks can hold")
)

// zstdMaxBlock is the most that one block decodes to.
const zstdMaxBlock = 128 << 10

// zstdSize walks the frames' headers and their blocks' without decoding. exact
// is what the frames say they hold, -1 where one does not say; bound is what
// their blocks can hold at most, however little they take: a block of 4 bytes
// may stand for 128 KiB.
//
//	frame: header, blocks, [XXH64, its low 4 bytes]
//	block: 3 bytes little-endian (bit 0: the last one; 1–2: raw, run, compressed;
//	       3–23: size), data (a run's data is one byte, its size the output's)
func zstdSize(src []byte) (exact, bound int64, err error) {
	if len(src) == 0 {
		return 0, 0, errZstdFrame
	}
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, 0, err
		}
		if h.Skippable {
			skip := int64(h.HeaderSize) + int64(h.SkippableSize)
			if skip > int64(len(src)) {
				return 0, 0, errZstdFrame
			}
			src = src[skip:]
			continue
		}
		src = src[h.HeaderSize:]
		switch {
		case exact < 0 || !h.HasFCS:
			exact = -1
		case h.FrameContentSize > uint64(1<<62-exact):
			return 0, 0, errZstdClaim
		default:
			exact += int64(h.FrameContentSize)
		}
		for last := false; !last; {
			if len(src) < 3 {
				return 0, 0, errZstdFrame
			}
			word := uint32(src[0]) | uint32(src[1])<<8 | uint32(src[2])<<16
			last = word&1 != 0
			size := int64(word >> 3)
			data, out := size, size
			switch word >> 1 & 3 {
			case 1:
				data = 1
			case 2:
				out = zstdMaxBlock
				if data < 2 { // the headers of literals and of sequences
					return 0, 0, zstd.ErrBlockTooSmall
				}
			case 3:
				return 0, 0, zstd.ErrReservedBlockType
			}
			if out > zstdMaxBlock || data > int64(len(src))-3 {
				return 0, 0, errZstdFrame
			}
			bound += out
			src = src[3+data:]
		}
		if h.HasCheckSum {
			if len(src) < 4 {
				return 0, 0, errZstdFrame
			}
			src = src[4:]
		}
	}
	return exact, bound, nil
}
