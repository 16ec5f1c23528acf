package load

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"

	"github.com/pierrec/lz4/v4"
)

// MaxValue bounds a value in bytes. It leaves room for a key and for headers
// below the 1,000,012 bytes that franz-go allows a batch by default, which is
// below Kafka's own default for max.message.bytes.
const MaxValue = 960 << 10

const defaultPool = 32 << 20

// leanPool is the same for the lean client, which sends the values as they lie:
// what a CPU's cache holds is sent half as fast again as what it does not.
const leanPool = 8 << 20

// values is the payload with its pool's size filled in.
func (s *Spec) values() Payload {
	p := s.Payload
	if p.PoolBytes == 0 && s.Client == "lean" && s.Keys.none() {
		p.PoolBytes = int64(max(leanPool, 16*s.Producers.BatchBytes))
	}
	return p
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pool is the values of a run, made before it begins and read-only during it.
// Producers walk through it round and round, each from its own place.
type pool struct {
	bytes []byte
	ends  []int    // end of each value in bytes
	sums  []uint32 // CRC-32C of each value
	cut   int64    // file lines cut at MaxValue
}

func (p *pool) len() int { return len(p.ends) }

func (p *pool) value(i int) []byte {
	from := 0
	if i > 0 {
		from = p.ends[i-1]
	}
	return p.bytes[from:p.ends[i]:p.ends[i]]
}

func (p *pool) add(v []byte) {
	p.bytes = append(p.bytes, v...)
	p.ends = append(p.ends, len(p.bytes))
	p.sums = append(p.sums, crc32.Checksum(v, castagnoli))
}

// newPool makes the values that the payload describes.
func newPool(p Payload, seed uint64) (*pool, error) {
	limit := p.PoolBytes
	if limit == 0 {
		limit = defaultPool
	}
	rng := rand.New(rand.NewPCG(seed, 0x7061796c6f6164)) // "payload"
	var next func(dst []byte, size int) []byte
	switch p.Generator {
	case File:
		return filePool(p.Path, limit)
	case JSONEvents:
		next = newJSONEvents(rng).append
	case Random:
		next = randomValue(rng, max(1, p.Compressibility))
	default:
		return nil, fmt.Errorf("payload generator %q is none of %s, %s, %s", p.Generator, JSONEvents, Random, File)
	}
	out := &pool{bytes: make([]byte, 0, limit)}
	var v []byte
	for {
		size := p.Size.draw(rng)
		if out.len() > 0 && int64(len(out.bytes)+size) > limit || out.len() == 1<<20 {
			return out, nil
		}
		v = next(v[:0], size)
		out.add(v)
	}
}

// draw is one size, at most MaxValue.
func (s Size) draw(rng *rand.Rand) int {
	n := s.Mean
	switch s.Distribution {
	case Uniform:
		n = s.Min + rng.IntN(s.Max-s.Min+1)
	case LogNormal:
		// sigma 0.5: the 99th percentile is about 2.8 times the mean, as of
		// application logs. mu is set so that the mean before cutting is Mean.
		const sigma = 0.5
		n = int(math.Exp(math.Log(float64(s.Mean)) - sigma*sigma/2 + sigma*rng.NormFloat64()))
		n = min(max(n, s.Min), s.Max)
	case Weighted:
		var sum float64
		for _, w := range s.Weights {
			sum += w.Share
		}
		at := rng.Float64() * sum
		for _, w := range s.Weights {
			if n = w.Bytes; at < w.Share {
				break
			}
			at -= w.Share
		}
	}
	return min(max(n, 0), MaxValue)
}

// randomValue makes values whose first part is random and whose rest repeats,
// in chunks, so that a codec with a 64 KiB window finds about the ratio.
func randomValue(rng *rand.Rand, ratio float64) func(dst []byte, size int) []byte {
	// One chunk costs a codec its random bytes and about this much for saying
	// where the literals and the match are (lz4: token, lengths, distance).
	const perMatch = 6
	const chunk = 1 << 10
	return func(dst []byte, size int) []byte {
		for size > 0 {
			n := min(size, chunk)
			random := n
			if ratio > 1 {
				random = max(min(int(float64(n)/ratio)-perMatch, n), 4)
				random = min(random, n)
			}
			for range random {
				dst = append(dst, byte(rng.Uint32()>>13))
			}
			for range n - random {
				dst = append(dst, '.')
			}
			size -= n
		}
		return dst
	}
}

// filePool reads the lines of a file, each a value without its LF or CRLF.
// Blank lines are no records. What is beyond limit bytes is not read.
func filePool(path string, limit int64) (*pool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("payload file: %w", err)
	}
	defer f.Close()
	p, err := readLines(f, limit)
	if err != nil {
		return nil, fmt.Errorf("payload file %s: %w", path, err)
	}
	return p, nil
}

var errNoLines = errors.New("it holds no line that is not blank")

func readLines(src io.Reader, limit int64) (*pool, error) {
	r := bufio.NewReaderSize(src, 64<<10)
	p := &pool{}
	var line []byte
	cut := false
	for {
		part, err := r.ReadSlice('\n')
		if room := MaxValue + 2 - len(line); len(part) > room { // 2: CR and LF
			part, cut = part[:room], true
		}
		line = append(line, part...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		line = trimEnd(line)
		if len(line) > MaxValue {
			line, cut = line[:MaxValue], true
		}
		if p.len() > 0 && int64(len(p.bytes)+len(line)) > limit {
			return p, nil
		}
		if len(line) > 0 {
			p.add(line)
			if cut {
				p.cut++
			}
		}
		line, cut = line[:0], false
		if err == io.EOF {
			if p.len() == 0 {
				return nil, errNoLines
			}
			return p, nil
		}
	}
}

// trimEnd takes one LF or CRLF off; a CR at the very end of a file is kept.
func trimEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
	}
	return line
}

// longest is the size of the longest value.
func (p *pool) longest() (n int) {
	for i := range p.ends {
		n = max(n, len(p.value(i)))
	}
	return n
}

// stats describes the pool.
func (p *pool) stats() ValueStats {
	return ValueStats{
		Pool:      p.len(),
		PoolBytes: int64(len(p.bytes)),
		MeanBytes: float64(len(p.bytes)) / float64(p.len()),
		Ratio:     p.ratio(),
		Cut:       p.cut,
	}
}

// ratio is taken over the first 4 MiB, in blocks of the size of a usual batch.
func (p *pool) ratio() float64 {
	const block = 64 << 10
	var c lz4.Compressor
	dst := make([]byte, lz4.CompressBlockBound(block))
	in, out := 0, 0
	for rest := p.bytes[:min(len(p.bytes), 4<<20)]; len(rest) > 0; {
		b := rest[:min(len(rest), block)]
		rest = rest[len(b):]
		n, err := c.CompressBlock(b, dst)
		if err != nil || n == 0 { // 0: incompressible
			n = len(b)
		}
		in, out = in+len(b), out+n
	}
	if out == 0 {
		return 1
	}
	return float64(in) / float64(out)
}

// SamplePayload is about n bytes of a payload's values, one after the other.
func SamplePayload(p Payload, seed uint64, n int) ([]byte, error) {
	p.PoolBytes = int64(n)
	pool, err := newPool(p, seed)
	if err != nil {
		return nil, err
	}
	return pool.bytes, nil
}
