package load

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/batching"
)

// build puts a cut behind its header, as send does on the wire.
func build(t *testing.T, tp *template, n, producer int, seq, ts int64) batching.Batch {
	t.Helper()
	c := tp.cut(n)
	var head [batching.HeaderSize]byte
	crc := c.header(&head, tp.codec, producer, seq, ts)
	b, err := batching.View(append(head[:], c.records...))
	require.NoError(t, err)
	require.NoError(t, b.CheckCRC())
	require.Equal(t, crc, b.CRC())
	return b
}

// TestTemplates: whatever is sent of a template is a batch that holds the first
// of its records, in every codec.
func TestTemplates(t *testing.T) {
	p, err := newPool(Payload{Generator: JSONEvents, Size: Size{Distribution: Uniform, Min: 10, Max: 900}, PoolBytes: 300 << 10}, 3)
	require.NoError(t, err)
	for name, codec := range leanCodecs {
		list, err := newTemplates(p, nil, codec, 16<<10, 1)
		require.NoError(t, err)
		require.Greater(t, len(list), 10, name)
		value := 0
		rng := rand.New(rand.NewPCG(4, 4))
		for _, tp := range list {
			require.Equal(t, -1, tp.part)
			for _, n := range []int{1, 2, 1 + rng.IntN(tp.n), tp.n - 1, tp.n, tp.n + 5} {
				b := build(t, tp, n, 7, 1<<31+5, 1700000000123)
				require.Positive(t, b.Count())
				require.LessOrEqual(t, b.Count(), n)
				if codec == batching.None || n >= tp.n {
					require.Equal(t, min(n, tp.n), b.Count())
				} else {
					require.Greater(t, b.Count(), n-tp.n/cutSteps-2, "of %d", tp.n)
				}
				require.LessOrEqual(t, b.Count()*0+b.Size(), 17<<10)
				require.EqualValues(t, 7, b.ProducerEpoch())
				require.EqualValues(t, -1, b.ProducerID())
				require.EqualValues(t, 5, b.BaseSequence())
				require.EqualValues(t, 1700000000123, b.MaxTimestamp())
				sum, err := contentSum(b.Records(0))
				require.NoError(t, err)
				require.Equal(t, tp.sums[b.Count()-1], sum)
				i, size := value, 0
				for rec, err := range b.Records(0) {
					require.NoError(t, err)
					require.Nil(t, rec.Key)
					require.Equal(t, string(p.value(i)), string(rec.Value))
					require.EqualValues(t, 1700000000123, b.Timestamp(rec))
					size += len(rec.Value)
					i++
				}
				require.EqualValues(t, tp.bytes[b.Count()-1], size)
			}
			value += tp.n
		}
	}
}

// TestTemplatesFollowKeys: each template holds the keys of one partition, and
// partitions get what the keys give them.
func TestTemplatesFollowKeys(t *testing.T) {
	p, err := newPool(Payload{Generator: JSONEvents, Size: Size{Mean: 100}, PoolBytes: 2 << 20}, 3)
	require.NoError(t, err)
	keys, err := newKeySet(Keys{Distribution: Zipf, Count: 1000, Exponent: 1.2}, 5)
	require.NoError(t, err)
	partOf := map[string]int{}
	var want [5]float64
	share := zipfShare(1000, 1.2)
	for i := range 1000 {
		partOf[string(keys.key(i))] = int(keys.parts[i])
		want[keys.parts[i]] += share(i)
	}
	list, err := newTemplates(p, keys, batching.None, 8<<10, 1)
	require.NoError(t, err)
	var got [5]int
	total := 0
	for _, tp := range list {
		b := build(t, tp, tp.n, 0, 0, 0)
		for rec, err := range b.Records(0) {
			require.NoError(t, err)
			require.Equal(t, tp.part, partOf[string(rec.Key)])
		}
		got[tp.part] += tp.n
		total += tp.n
	}
	for part := range got {
		require.InDelta(t, want[part], float64(got[part])/float64(total), 0.03, "partition %d", part)
	}
}

// TestTemplatesOfFewValues: one value, or values larger than a batch, are
// batches too.
func TestTemplatesOfFewValues(t *testing.T) {
	p := &pool{}
	p.add([]byte("one"))
	list, err := newTemplates(p, nil, batching.LZ4, 64<<10, 1)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, 1, build(t, list[0], 1, 0, 0, 0).Count())
	for range 3 {
		p.add(make([]byte, 5000))
	}
	list, err = newTemplates(p, nil, batching.None, 4096, 1)
	require.NoError(t, err)
	require.Len(t, list, 3, "what is left over at the end is no full batch")
}

func TestCutSizes(t *testing.T) {
	require.Equal(t, []int{1}, cutSizes(1))
	require.Equal(t, []int{1, 2, 3}, cutSizes(3))
	require.Equal(t, []int{1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64}, cutSizes(64))
	for n := 1; n < 500; n++ {
		sizes := cutSizes(n)
		require.Equal(t, 1, sizes[0])
		require.Equal(t, n, sizes[len(sizes)-1])
		for i := 1; i < len(sizes); i++ {
			require.Less(t, sizes[i-1], sizes[i])
		}
	}
}

func TestUnwrap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		seq := rng.Int64N(1 << 40)
		top := max(0, seq+rng.Int64N(1<<30)-1<<29)
		require.Equal(t, seq, unwrap(int32(seq&seqMask), top), "seq %d top %d", seq, top)
	}
}
