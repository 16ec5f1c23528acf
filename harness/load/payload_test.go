package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

func TestJSONEventsAreJSONOfTheirSize(t *testing.T) {
	e := newJSONEvents(rand.New(rand.NewPCG(1, 1)))
	for _, size := range []int{0, 1, 2, 3, 20, 59, 60, 100, 300, 1024, 5000} {
		for range 50 {
			v := e.append(nil, size)
			require.Len(t, v, size)
			require.True(t, size == 0 || json.Valid(v), "%s", v)
		}
	}
}

// TestCompressibility measures what the generators promise, with the codecs
// that clients use, in blocks the size of a batch.
func TestCompressibility(t *testing.T) {
	for _, c := range []struct {
		name     string
		p        Payload
		lz4      float64
		within   float64
		zstdOver float64 // zstd must find at least so much
	}{
		{"json 1 KiB", Payload{Generator: JSONEvents, Size: Size{Mean: 1024}}, 4, 0.6, 4},
		{"json 300 B", Payload{Generator: JSONEvents, Size: Size{Mean: 300}}, 3, 1, 3},
		{"random 1:1", Payload{Generator: Random, Size: Size{Mean: 1024}}, 1, 0.02, 0.98},
		{"random 2:1", Payload{Generator: Random, Size: Size{Mean: 1024}, Compressibility: 2}, 2, 0.1, 1.9},
		{"random 4:1", Payload{Generator: Random, Size: Size{Mean: 1024}, Compressibility: 4}, 4, 0.2, 3.8},
		{"random 10:1", Payload{Generator: Random, Size: Size{Mean: 4000}, Compressibility: 10}, 10, 0.8, 9},
		{"random 4:1 of 100 B", Payload{Generator: Random, Size: Size{Mean: 100}, Compressibility: 4}, 4, 0.5, 3.6},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.p.PoolBytes = 1 << 20
			p, err := newPool(c.p, 7)
			require.NoError(t, err)
			require.InDelta(t, c.lz4, p.ratio(), c.within)
			enc, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
			out := 0
			for b := p.bytes; len(b) > 0; {
				n := min(len(b), 64<<10)
				out += len(enc.EncodeAll(b[:n], nil))
				b = b[n:]
			}
			require.Greater(t, float64(len(p.bytes))/float64(out), c.zstdOver)
			t.Logf("lz4 %.2f zstd %.2f", p.ratio(), float64(len(p.bytes))/float64(out))
		})
	}
}

func TestPoolIsDecidedByTheSeed(t *testing.T) {
	p := Payload{Generator: JSONEvents, Size: Size{Distribution: LogNormal, Mean: 500, Min: 100, Max: 4000}, PoolBytes: 200 << 10}
	a, err := newPool(p, 1)
	require.NoError(t, err)
	b, err := newPool(p, 1)
	require.NoError(t, err)
	c, err := newPool(p, 2)
	require.NoError(t, err)
	require.Equal(t, a.bytes, b.bytes)
	require.NotEqual(t, a.bytes, c.bytes)
	require.InDelta(t, 500, a.stats().MeanBytes, 60)
	seen := map[string]bool{}
	for i := range a.len() {
		require.False(t, seen[string(a.value(i))], "value %d is there twice", i)
		seen[string(a.value(i))] = true
		require.GreaterOrEqual(t, len(a.value(i)), 100)
		require.LessOrEqual(t, len(a.value(i)), 4000)
	}
}

func TestUniformSizes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	s := Size{Distribution: Uniform, Min: 10, Max: 19}
	var count [30]int
	for range 10000 {
		count[s.draw(rng)]++
	}
	for n, c := range count {
		if n >= 10 && n <= 19 {
			require.InDelta(t, 1000, c, 150, "size %d", n)
		} else {
			require.Zero(t, c, "size %d", n)
		}
	}
}

func TestFileLines(t *testing.T) {
	lines := func(text string, limit int64) []string {
		p, err := readLines(strings.NewReader(text), limit)
		require.NoError(t, err)
		var out []string
		for i := range p.len() {
			out = append(out, string(p.value(i)))
		}
		return out
	}
	require.Equal(t, []string{"a", "b b", "c\r", "\xff\x00"}, lines("a\r\n\nb b\n\r\nc\r\r\n\xff\x00", 1<<20))
	require.Equal(t, []string{"x\r"}, lines("x\r", 1<<20))
	require.Equal(t, []string{"0123456789"}, lines("0123456789\n0\n", 5), "the first line is kept whatever the limit")

	huge := strings.Repeat("y", MaxValue)
	p, err := readLines(strings.NewReader(huge+"\r\n"+huge+"z\nshort\n"+huge+strings.Repeat("w", 3*MaxValue)), 1<<30)
	require.NoError(t, err)
	require.Equal(t, 4, p.len())
	require.Len(t, p.value(0), MaxValue)
	require.Len(t, p.value(1), MaxValue)
	require.Equal(t, "short", string(p.value(2)))
	require.EqualValues(t, 2, p.stats().Cut)

	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n\r\n\n"), 0o600))
	_, err = newPool(Payload{Generator: File, Path: empty}, 1)
	require.ErrorIs(t, err, errNoLines)
	require.ErrorContains(t, err, empty)
	_, err = newPool(Payload{Generator: File, Path: filepath.Join(dir, "none")}, 1)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = newPool(Payload{Generator: File, Path: dir}, 1)
	require.Error(t, err)
	_, err = newPool(Payload{Generator: "xml"}, 1)
	require.ErrorContains(t, err, "xml")
}

// FuzzFileLines: whatever the file holds, the values put together again are
// its lines.
func FuzzFileLines(f *testing.F) {
	f.Add([]byte("a\r\nb\n\nc"))
	f.Add(bytes.Repeat([]byte("0123456789abcdef"), 5000))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := readLines(bytes.NewReader(text), 1<<30)
		var want [][]byte
		for _, l := range bytes.SplitAfter(text, []byte("\n")) {
			if l = trimEnd(l); len(l) > 0 {
				want = append(want, l)
			}
		}
		if len(want) == 0 {
			require.ErrorIs(t, err, errNoLines)
			return
		}
		require.NoError(t, err)
		require.Equal(t, len(want), p.len())
		for i := range want {
			require.Equal(t, string(want[i]), string(p.value(i)))
		}
	})
}

func TestKeyDistributions(t *testing.T) {
	const draws, count = 200000, 50
	for _, c := range []struct {
		keys Keys
		want func(k int) float64 // share of key k
	}{
		{Keys{Distribution: Uniform, Count: count}, func(int) float64 { return 1. / count }},
		{Keys{Distribution: RoundRobin, Count: count}, func(int) float64 { return 1. / count }},
		{Keys{Distribution: Zipf, Count: count, Exponent: 1.1}, zipfShare(count, 1.1)},
		{Keys{Distribution: Zipf, Count: count, Exponent: 0.7}, zipfShare(count, 0.7)},
	} {
		s, err := newKeySet(c.keys, 4)
		require.NoError(t, err)
		rng := rand.New(rand.NewPCG(5, 6))
		got := make([]int, count)
		for i := range int64(draws) {
			got[s.draw(rng, i)]++
		}
		for k := range got {
			want := c.want(k) * draws
			require.InDelta(t, want, got[k], 6*math.Sqrt(want), "%+v key %d", c.keys, k)
		}
	}
}

func zipfShare(n int, exp float64) func(int) float64 {
	var sum float64
	for i := range n {
		sum += math.Pow(float64(i+1), -exp)
	}
	return func(k int) float64 { return math.Pow(float64(k+1), -exp) / sum }
}

func TestKeysSpreadOverPartitions(t *testing.T) {
	s, err := newKeySet(Keys{Distribution: Uniform, Count: 1000}, 4)
	require.NoError(t, err)
	var parts [4]int
	different := map[string]bool{}
	for i := range 1000 {
		parts[s.parts[i]]++
		different[string(s.key(i))] = true
	}
	require.Len(t, different, 1000)
	for _, n := range parts {
		require.InDelta(t, 250, n, 80)
	}
	none, err := newKeySet(Keys{}, 4)
	require.NoError(t, err)
	require.Nil(t, none)
	_, err = newKeySet(Keys{Distribution: "hot"}, 4)
	require.ErrorContains(t, err, "hot")
	_, err = newKeySet(Keys{Distribution: Zipf}, 4)
	require.ErrorContains(t, err, "count")
}

func BenchmarkPool(b *testing.B) {
	for _, g := range []string{JSONEvents, Random} {
		b.Run(fmt.Sprintf("generator=%s/size=1KiB", g), func(b *testing.B) {
			b.SetBytes(1 << 20)
			for range b.N {
				if _, err := newPool(Payload{Generator: g, Size: Size{Mean: 1024}, Compressibility: 4, PoolBytes: 1 << 20}, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
