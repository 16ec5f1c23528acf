package load

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sequence is what one kgo producer sends, record after record: a function of
// the spec alone, whatever the target does.
type sequence struct {
	s     *Spec
	pool  *pool
	keys  *keySet
	parts int

	rng    *rand.Rand
	events int64
	part   int // where unkeyed records go
	filled int // bytes in it
}

func newSequence(s *Spec, p *pool, k *keySet, producer int) *sequence {
	q := &sequence{s: s, pool: p, keys: k, rng: rand.New(rand.NewPCG(s.Seed, uint64(producer)))}
	for _, t := range s.Topics {
		q.parts += t.Partitions
	}
	q.part = q.rng.IntN(q.parts)
	q.events = int64(producer) * int64(p.len()/s.Producers.Count)
	return q
}

// next is the place of the next record's value in the pool, its key, and the
// partition it goes to.
func (q *sequence) next() (value int, key []byte, part int) {
	value = int(q.events % int64(q.pool.len()))
	if q.keys != nil {
		k := q.keys.draw(q.rng, q.events)
		key = q.keys.key(k)
		q.part = q.s.keyed(int(q.keys.parts[k]), q.events)
	} else if q.filled += len(q.pool.value(value)); q.filled > q.s.Producers.BatchBytes {
		q.part, q.filled = q.rng.IntN(q.parts), 0
	}
	q.events++
	return value, key, q.part
}

// keyed is the partition of a keyed record: events go to the topics in turn, and
// within a topic where the key says.
func (s *Spec) keyed(part int, event int64) int {
	return int(event%int64(len(s.Topics)))*s.Topics[0].Partitions + part
}

// headers are those of every record, with room for one more. They say nothing;
// they are there to be carried.
func (q *sequence) headers() []kgo.RecordHeader {
	list := make([]kgo.RecordHeader, 0, q.s.Payload.Headers+1)
	for i := range q.s.Payload.Headers {
		list = append(list, kgo.RecordHeader{Key: headerKey(i), Value: headerValue(i, q.s.Payload.HeaderBytes)})
	}
	return list
}

func headerKey(i int) string { return fmt.Sprintf("h%d", i) }

// headerValue is n letters, another beginning for each header.
func headerValue(i, n int) []byte {
	v := make([]byte, n)
	for k := range v {
		v[k] = 'a' + byte((i+k)%26)
	}
	return v
}

// Preview is what a spec will send, worked out without sending it.
type Preview struct {
	Values ValueStats
	// Fingerprint is the same for every run that sends the same records at the
	// same intended times: it is taken over the schedule, the values, and the
	// keys and partitions of the first records of each producer.
	Fingerprint string
}

// previewRecords is how many records of each producer a fingerprint covers.
const previewRecords = 10_000

// Foresee is the preview of a spec. It takes the time of making the payload.
func Foresee(s Spec) (Preview, error) {
	s = s.filled()
	pool, err := newPool(s.values(), s.Seed)
	if err != nil {
		return Preview{}, err
	}
	keys, err := newKeySet(s.Keys, s.Topics[0].Partitions)
	if err != nil {
		return Preview{}, err
	}
	h := sha256.New()
	put := func(n int64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	for i := range s.Producers.Count {
		q := newSequence(&s, pool, keys, i)
		for range previewRecords {
			v, key, part := q.next()
			put(int64(part))
			put(int64(pool.sums[v]))
			h.Write(key)
		}
	}
	for k, shares := range shares(s.Phases, s.Producers.Count) {
		put(int64(s.Phases[k].Len))
		for _, pace := range shares {
			if pace == nil {
				continue
			}
			n := pace.Count(s.Phases[k].Len - 1)
			put(n)
			for i := int64(0); i < n; i += max(1, n/1000) {
				put(int64(pace.At(i) / time.Microsecond))
			}
		}
	}
	return Preview{Values: pool.stats(), Fingerprint: hex.EncodeToString(h.Sum(nil)[:8])}, nil
}

// RatioOf is uncompressed / compressed size of the bytes, as ValueStats has it.
func RatioOf(b []byte) float64 {
	p := pool{}
	p.add(b)
	return p.ratio()
}
