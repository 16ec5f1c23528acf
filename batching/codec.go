package batching

import (
	"fmt"
	"slices"
)

// Codec is how the records of a batch are compressed. Its values are those of
// the attributes' low three bits.
type Codec int8

// The codecs.
const (
	None Codec = iota
	Gzip
	Snappy // decodes the raw block and the framing of snappy-java; writes the latter
	LZ4    // the frame format
	Zstd
)

// DefaultLimit bounds the decompressed records of one batch where the caller
// names no limit: 64 MiB, which a batch of Kafka's default greatest size
// (1 MiB) reaches only at a ratio of 64.
const DefaultLimit = 64 << 20

// compression is one alternative; codecs joins them.
type compression interface {
	// compress appends the compressed src to dst. level is 0 or within levels.
	compress(dst, src []byte, level int) ([]byte, error)
	// decompress appends at most limit bytes to dst, and takes no more memory
	// than what it puts there or what src can at most expand to.
	decompress(dst, src []byte, limit int) ([]byte, error)
	// levels are the bounds of level; 0, 0: the codec has none.
	levels() (min, max int)
}

// codecs has every codec at its number.
var codecs = [...]struct {
	name string
	compression
}{
	None:   {"none", identity{}},
	Gzip:   {"gzip", gzipCodec{}},
	Snappy: {"snappy", snappyCodec{}},
	LZ4:    {"lz4", lz4Codec{}},
	Zstd:   {"zstd", zstdCodec{}},
}

// Codecs lists every codec, None first.
func Codecs() []Codec {
	all := make([]Codec, len(codecs))
	for i := range all {
		all[i] = Codec(i)
	}
	return all
}

// ParseCodec reads a codec's name as producers write it (none, gzip, snappy,
// lz4, zstd); uncompressed, the topic setting's word, is None too.
func ParseCodec(name string) (Codec, error) {
	if name == "uncompressed" {
		return None, nil
	}
	i := slices.IndexFunc(codecs[:], func(c struct {
		name string
		compression
	}) bool {
		return c.name == name
	})
	if i < 0 {
		return None, fmt.Errorf("%w %q: want none, gzip, snappy, lz4 or zstd", ErrCodec, name)
	}
	return Codec(i), nil
}

func (c Codec) known() bool { return c >= 0 && int(c) < len(codecs) }

func (c Codec) String() string {
	if !c.known() {
		return fmt.Sprintf("Codec(%d)", int8(c))
	}
	return codecs[c].name
}

// Levels are the least and greatest compression level; both are 0 where the
// codec has none.
func (c Codec) Levels() (min, max int) {
	if !c.known() {
		return 0, 0
	}
	return codecs[c].levels()
}

// Compress appends the compressed src to dst and returns it. level 0 is the
// codec's default, any other must be within Levels. Safe for concurrent use.
func (c Codec) Compress(dst, src []byte, level int) ([]byte, error) {
	if !c.known() {
		return dst, codecFault(c)
	}
	if min, max := c.Levels(); level != 0 && (level < min || level > max) {
		if max == 0 {
			return dst, fmt.Errorf("%w: %v has no levels, only 0", ErrCodec, c)
		}
		return dst, fmt.Errorf("%w: %v has no level %d, only 0 (default) and %d to %d", ErrCodec, c, level, min, max)
	}
	return codecs[c].compress(dst, src, level)
}

// Decompress appends the decompressed src to dst and returns it. It appends at
// most limit bytes (0: DefaultLimit); more is an error of kind ErrTooLarge,
// data that cannot be decoded one of kind ErrCorrupt. After an error dst's
// bytes are unchanged up to its length. Safe for concurrent use.
func (c Codec) Decompress(dst, src []byte, limit int) ([]byte, error) {
	if !c.known() {
		return dst, codecFault(c)
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	out, err := codecs[c].decompress(dst, src, limit)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func codecFault(c Codec) *Error {
	return fault(ErrCodec, "attributes", atAttributes, int64(c), "a codec from 0 to 4")
}

// corrupt is the fault of data that a codec cannot decode.
func corrupt(c Codec, cause error) *Error {
	return &Error{Kind: ErrCorrupt, Field: c.String() + " data", Record: -1, At: HeaderSize, Err: cause}
}

// overLimit is the fault of data that decodes to more than limit bytes.
func overLimit(c Codec, limit int) *Error {
	return &Error{Kind: ErrTooLarge, Field: c.String() + " data", Record: -1, At: HeaderSize,
		Err: fmt.Errorf("decodes to more than the limit of %d bytes", limit)}
}

// identity is the codec None.
type identity struct{}

func (identity) compress(dst, src []byte, _ int) ([]byte, error) { return append(dst, src...), nil }

func (identity) decompress(dst, src []byte, limit int) ([]byte, error) {
	if len(src) > limit {
		return dst, overLimit(None, limit)
	}
	return append(dst, src...), nil
}

func (identity) levels() (min, max int) { return 0, 0 }
