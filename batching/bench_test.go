package batching

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// jsonEvent is one event as services log them: fields that repeat, numbers and
// ids that do not.
func jsonEvent(r *rand.Rand, dst []byte) []byte {
	return fmt.Appendf(dst, `{"ts":"2025-11-22T17:%02d:%02d.%03dZ","level":"%s","service":"checkout","user":"u%06d","path":"/cart/%d","ms":%d,"ip":"10.%d.%d.%d","trace":"%016x"}`,
		r.IntN(60), r.IntN(60), r.IntN(1000), []string{"info", "warn", "error"}[r.IntN(3)], r.IntN(100000), r.IntN(5000), r.IntN(900),
		r.IntN(256), r.IntN(256), r.IntN(256), r.Uint64())
}

// jsonBuilder is a Builder with about size bytes of JSON events appended.
func jsonBuilder(t testing.TB, c Codec, size int) *Builder {
	r := rand.New(rand.NewPCG(1, 2))
	b := NewBuilder(Options{Codec: c})
	for i := int64(0); b.Len() < size; i++ {
		require.NoError(t, b.Append(1_700_000_000_000+i, fmt.Appendf(nil, "u%06d", r.IntN(100000)), jsonEvent(r, nil), nil))
	}
	return b
}

func jsonBatch(t testing.TB, c Codec, size int) []byte {
	raw, err := jsonBuilder(t, c, size).Build(nil)
	require.NoError(t, err)
	return raw
}

var benchSizes = []struct {
	name string
	n    int
}{{"16KiB", 16 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}}

func BenchmarkCRC(b *testing.B) {
	for _, s := range benchSizes {
		raw := jsonBatch(b, None, s.n)
		b.Run("size="+s.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				must(Batch{raw}.CheckCRC())
			}
		})
	}
}

func BenchmarkView(b *testing.B) {
	raw := jsonBatch(b, None, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		v, err := View(raw)
		must(err)
		v.SetBaseOffset(v.NextOffset())
		v.SetLeaderEpoch(3)
	}
}

func BenchmarkCheck(b *testing.B) {
	for d := range Depths() {
		for _, c := range Codecs() {
			if Depth(d) != DepthRecords && c != None {
				continue // looks into no payload
			}
			for _, s := range benchSizes {
				b.Run(fmt.Sprintf("depth=%v/codec=%v/size=%s", Depth(d), c, s.name), func(b *testing.B) {
					raw := jsonBatch(b, c, s.n)
					p := &Policy{Depth: Depth(d)}
					b.ReportAllocs()
					b.SetBytes(int64(s.n))
					for b.Loop() {
						_, err := p.Check(raw)
						must(err)
					}
				})
			}
		}
	}
}

func BenchmarkRecords(b *testing.B) {
	for _, c := range Codecs() {
		b.Run(fmt.Sprintf("codec=%v/size=64KiB", c), func(b *testing.B) {
			v := Batch{jsonBatch(b, c, 64<<10)}
			b.ReportAllocs()
			b.SetBytes(64 << 10)
			n := 0
			for b.Loop() {
				for r, err := range v.Records(0) {
					must(err)
					n += len(r.Value)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*v.Count()), "ns/record")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var values [][]byte
	for range 1000 {
		values = append(values, jsonEvent(r, nil))
	}
	for _, c := range Codecs() {
		b.Run(fmt.Sprintf("codec=%v/size=64KiB", c), func(b *testing.B) {
			builder := NewBuilder(Options{Codec: c})
			var dst []byte
			records := 0
			b.ReportAllocs()
			b.SetBytes(64 << 10)
			for b.Loop() {
				for i := 0; builder.Len() < 64<<10; i++ {
					must(builder.Append(int64(i), values[i][:16], values[i], nil))
					records++
				}
				var err error
				dst, err = builder.Build(dst[:0])
				must(err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	eachCodec(b, func(b *testing.B, c Codec, payload []byte) {
		var dst []byte
		for b.Loop() {
			var err error
			dst, err = c.Compress(dst[:0], payload, 0)
			must(err)
		}
		b.ReportMetric(float64(len(payload))/float64(len(dst)), "ratio")
	})
}

func BenchmarkDecompress(b *testing.B) {
	eachCodec(b, func(b *testing.B, c Codec, payload []byte) {
		src, err := c.Compress(nil, payload, 0)
		must(err)
		var dst []byte
		for b.Loop() {
			dst, err = c.Decompress(dst[:0], src, 0)
			must(err)
		}
	})
}

func eachCodec(b *testing.B, run func(b *testing.B, c Codec, payload []byte)) {
	for _, c := range Codecs()[1:] {
		for _, s := range benchSizes {
			b.Run(fmt.Sprintf("codec=%v/size=%s", c, s.name), func(b *testing.B) {
				payload := Batch{jsonBatch(b, None, s.n)}.Payload()
				b.ReportAllocs()
				b.SetBytes(int64(len(payload)))
				run(b, c, payload)
			})
		}
	}
}
