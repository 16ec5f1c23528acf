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

// zstdDecoder serves any number of goroutines. It sets no limit: it is asked
// only where the frames can be seen not to pass it.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	return newZstdDecoder(zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)))
})

func newZstdDecoder(opts ...zstd.DOption) *zstd.Decoder {
	z, err := zstd.NewReader(nil, opts...)
	if err != nil {
		panic("BUG: zstd decoder: " + err.Error())
	}
	return z
}

func (zstdCodec) decompress(dst, src []byte, limit int) ([]byte, error) {
	exact, bound, err := zstdSize(src)
	switch {
	case err != nil:
		return dst, corrupt(Zstd, err)
	case exact > bound:
		return dst, corrupt(Zstd, errZstdClaim)
	case exact > int64(limit):
		return dst, overLimit(Zstd, limit)
	}
	z := zstdDecoder()
	if exact < 0 && bound > int64(limit) {
		// The frames do not say what they hold and may hold too much. Rare:
		// a bomb, or a stream flushed into many small blocks.
		z = newZstdDecoder(zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(max(limit, zstdMinMemory))))
		defer z.Close()
	}
	before := len(dst)
	// The library decodes fastest into room that is there. What the frames
	// promise is held to what their blocks can be; where they do not say, the
	// usual ratios are a guess that it corrects.
	room := exact
	if exact < 0 {
		room = min(bound, int64(limit), max(zstdMaxBlock, 8*int64(len(src))))
	}
	out, err := z.DecodeAll(src, slices.Grow(dst, int(room)+zstdSlack))
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || (err == nil && len(out)-before > limit) {
		return dst, overLimit(Zstd, limit)
	}
	if err != nil {
		return dst, corrupt(Zstd, err)
	}
	return out, nil
}

// zstdMinMemory is the least limit a decoder is given: it also bounds the
// window that a frame may ask for, and 8 MiB is what the RFC wants every
// decoder to support. What comes out is held to the caller's limit all the
// same.
const zstdMinMemory = 8 << 20

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
