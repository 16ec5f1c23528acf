package load

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxKeys bounds Keys.Count: each key costs about 40 bytes of memory.
const maxKeys = 1 << 22

// keySet is the different keys of a run and the partition of each, read-only
// during it.
type keySet struct {
	dist  string
	keys  []byte // keyLen each
	parts []int32
	// Vose's alias table for Zipf: a slot is taken with its own probability,
	// and otherwise its alias is.
	own   []float64
	alias []int32
}

const keyLen = 12

// newKeySet is nil where there are no keys.
func newKeySet(k Keys, partitions int) (*keySet, error) {
	switch k.Distribution {
	case "", NoKeys:
		return nil, nil
	case RoundRobin, Uniform, Zipf:
	default:
		return nil, fmt.Errorf("key distribution %q is none of %s, %s, %s, %s", k.Distribution, NoKeys, RoundRobin, Uniform, Zipf)
	}
	if k.Count < 1 || k.Count > maxKeys {
		return nil, fmt.Errorf("key count %d is outside 1 to %d", k.Count, maxKeys)
	}
	s := &keySet{dist: k.Distribution, parts: make([]int32, k.Count)}
	hash := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for i := range k.Count {
		s.keys = fmt.Appendf(s.keys, "key-%08d", i)
		s.parts[i] = int32(hash.Partition(&kgo.Record{Key: s.key(i)}, partitions))
	}
	if k.Distribution == Zipf {
		exp := k.Exponent
		if exp == 0 {
			exp = 1.1
		}
		weights := make([]float64, k.Count)
		for i := range weights {
			weights[i] = math.Pow(float64(i+1), -exp)
		}
		s.own, s.alias = aliasTable(weights)
	}
	return s, nil
}

func (s *keySet) key(i int) []byte { return s.keys[i*keyLen : (i+1)*keyLen : (i+1)*keyLen] }

// draw is the index of the key of the n-th event.
func (s *keySet) draw(rng *rand.Rand, n int64) int {
	switch s.dist {
	case RoundRobin:
		return int(n % int64(len(s.parts)))
	case Zipf:
		i := rng.IntN(len(s.own))
		if rng.Float64() < s.own[i] {
			return i
		}
		return int(s.alias[i])
	}
	return rng.IntN(len(s.parts))
}

// aliasTable prepares drawing an index with a probability proportional to its
// weight, in constant time (Vose 1991).
func aliasTable(weights []float64) (own []float64, alias []int32) {
	n := len(weights)
	own, alias = make([]float64, n), make([]int32, n)
	var sum float64
	for _, w := range weights {
		sum += w
	}
	var small, large []int32
	for i, w := range weights {
		own[i] = w * float64(n) / sum
		alias[i] = int32(i)
		if own[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		alias[s] = l
		own[l] -= 1 - own[s]
		if own[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // rounding left them just below or at 1
		own[i] = 1
	}
	return own, alias
}
