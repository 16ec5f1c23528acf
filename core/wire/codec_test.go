package wire

import (
	"fmt"
	"math/rand"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// encode appends m, with the records of a fetch response set in where it asks
// for them.
func encode(m message, version int16) []byte {
	body := m.Append(nil, version)
	resp, ok := m.(*FetchResponse)
	if !ok {
		return body
	}
	var whole []byte
	from := 0
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			whole = append(whole, body[from:p.RecordsAt]...)
			whole = append(whole, p.Records...)
			from = p.RecordsAt
		}
	}
	return append(whole, body[from:]...)
}

// settle checks and then zeroes what depends on where a message lay; nothing is
// checked where body is nil.
func settle(t testing.TB, m message, body []byte) {
	at := func(records []byte, at int) {
		if body == nil {
			return
		}
		require.Equal(t, string(records), string(body[at:at+len(records)]))
	}
	switch m := m.(type) {
	case *ProduceRequest:
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				at(p.Records, p.RecordsAt)
				p.RecordsAt = 0
			}
		}
	case *FetchResponse:
		for i := range m.Topics {
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				at(p.Records, p.RecordsAt)
				p.RecordsAt, p.spare = 0, nil
			}
		}
	}
}

func eachVersion(t *testing.T, f func(t *testing.T, h hot, version int16)) {
	for _, h := range hots {
		for v := h.min; v <= h.max; v++ {
			t.Run(fmt.Sprintf("%s/v%d", h.name, v), func(t *testing.T) { f(t, h, v) })
		}
	}
}

// TestAgainstKmsg takes random messages through both implementations, in both
// directions: the same bytes, and from them the same fields.
func TestAgainstKmsg(t *testing.T) {
	rng := newRand(t)
	eachVersion(t, func(t *testing.T, h hot, v int16) {
		reused := h.new()
		for range 100 {
			m := h.random(rng, v)
			want := toKmsg(m, v)
			body := encode(m, v)
			require.Equal(t, want.AppendTo(nil), body, "the bytes kmsg writes")

			got := toKmsg(h.new(), v)
			require.NoError(t, got.ReadFrom(body))
			require.Equal(t, want.AppendTo(nil), got.AppendTo(nil), "what kmsg reads in ours")

			fresh := h.new()
			require.NoError(t, fresh.Decode(v, body))
			settle(t, fresh, body)
			require.NoError(t, reused.Decode(v, body))
			require.Equal(t, body, encode(reused, v), "a reused structure is as good as a new one")
			settle(t, m, nil)
			require.Equal(t, m, fresh, "what we read in ours")
		}
	})
}

// TestUnknownTags puts tags nobody knows, and known ones before their time,
// everywhere kmsg can put them.
func TestUnknownTags(t *testing.T) {
	rng := newRand(t)
	for _, h := range hots {
		for v := h.min; v <= h.max; v++ {
			if !Flexible(h.key, v) {
				continue
			}
			for range 20 {
				k := toKmsg(h.random(rng, v), v)
				plain := k.AppendTo(nil)
				forget(k, v)
				require.Equal(t, plain, k.AppendTo(nil), "the random messages have nothing to forget")
				addTags(k, rng)
				tagged := k.AppendTo(nil)
				require.Greater(t, len(tagged), len(plain))
				m := h.new()
				require.NoError(t, m.Decode(v, tagged))
				require.Equal(t, plain, encode(m, v), "%s v%d", h.name, v)
			}
		}
	}
}

// TestTruncated cuts messages at every byte.
func TestTruncated(t *testing.T) {
	rng := newRand(t)
	eachVersion(t, func(t *testing.T, h hot, v int16) {
		for range 3 {
			body := encode(h.random(rng, v), v)
			m := h.new()
			require.NoError(t, m.Decode(v, append(body, "left over"...)), "Kafka ignores what is left over")
			for n := range body {
				err := m.Decode(v, body[:n:n])
				require.ErrorIs(t, err, ErrTruncated, "first %d of %d bytes", n, len(body))
				var e *Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, h.key, e.Key)
				require.Equal(t, v, e.Version)
				require.NotEmpty(t, e.Field)
				require.LessOrEqual(t, e.At, n)
				require.Greater(t, e.Need, e.Have)
			}
		}
	})
}

// lies are lengths that nothing backs, in each of the forms a length takes.
var lies = [][]byte{
	{0x7f, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0, 0x0f, 0xff, 0xff},
	{0x7f, 0xff}, {0x80, 0},
	{0xff, 0xff, 0xff, 0xff, 0x07}, {0xff, 0xff, 0xff, 0xff, 0x0f}, {0x80, 0x80, 0x80, 0x80, 0x10}, {0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, {0xff, 0xff, 0x03},
}

// allocated is the memory f takes, in bytes, given back or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestLies overwrites every position with every lie: no panic, and no memory
// but what the bytes that came can justify.
func TestLies(t *testing.T) {
	rng := newRand(t)
	eachVersion(t, func(t *testing.T, h hot, v int16) {
		body := encode(h.random(rng, v), v)
		for len(body) < 100 {
			body = encode(h.random(rng, v), v)
		}
		refused := 0
		// Memory is taken over all lies at one position: measuring is dear.
		step := 1
		if testing.Short() {
			step = 7
		}
		for at := rng.Intn(step); at < len(body); at += step {
			budget := uint64(0)
			took := allocated(func() {
				for _, lie := range lies {
					lying := append(append(append([]byte(nil), body[:at]...), lie...), body[min(at+len(lie), len(body)):]...)
					budget += uint64(cap(lying)) + uint64(64*len(lying)) + 2048
					if h.new().Decode(v, lying) != nil {
						refused++
					}
				}
			})
			require.Less(t, took, budget, "at %d", at)
		}
		require.NotZero(t, refused)
	})
}

// TestElementBound sends a message all of whose bytes are tiny elements.
func TestElementBound(t *testing.T) {
	many := &FetchRequest{Topics: make([]FetchTopic, maxElements+1)}
	body := many.Append(nil, 4)
	var e *Error
	took := allocated(func() { require.ErrorAs(t, new(FetchRequest).Decode(4, body), &e) })
	require.Equal(t, ErrMalformed, e.Kind)
	require.Equal(t, "topics", e.Field)
	require.Less(t, took, uint64(1<<16), "refused before anything was made")

	most := &FetchRequest{Topics: many.Topics[:maxElements]}
	r := new(FetchRequest)
	require.NoError(t, r.Decode(4, most.Append(nil, 4)))
	require.Len(t, r.Topics, maxElements)
	r.Reset()
	require.Zero(t, cap(r.Topics), "a monstrous message leaves no memory behind")
}

func TestVersionBounds(t *testing.T) {
	for _, h := range hots {
		for _, v := range []int16{-1, h.min - 1, h.max + 1} {
			require.ErrorIs(t, h.new().Decode(v, make([]byte, 100)), ErrVersion)
			require.Panics(t, func() { h.new().Append(nil, v) })
		}
	}
}

// TestNull refuses null where Kafka has none.
func TestNull(t *testing.T) {
	name := (&FetchRequest{Topics: []FetchTopic{{}}}).Append(nil, 4)
	at := 4 + 4 + 4 + 4 + 1 + 4
	name[at], name[at+1] = 0xff, 0xff
	err := new(FetchRequest).Decode(4, name)
	require.EqualError(t, err, "Fetch v4 request: topics.name at byte 21: null where a string must be")
	require.ErrorIs(t, err, ErrMalformed)

	topics := new(FetchRequest).Append(nil, 12)
	topics[4+4+4+4+1+4+4] = 0
	require.EqualError(t, new(FetchRequest).Decode(12, topics), "Fetch v12 request: topics at byte 25: null where an array must be")
}

// TestAllocs: in a steady state no codec allocates.
func TestAllocs(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	eachVersion(t, func(t *testing.T, h hot, v int16) {
		m := h.random(rng, v)
		body := encode(m, v)
		decoded := h.new()
		dst := make([]byte, 0, 2*len(body))
		require.Zero(t, testing.AllocsPerRun(10, func() {
			if decoded.Decode(v, body) != nil {
				panic("refused")
			}
			dst = decoded.Append(dst[:0], v)
		}))
	})
}
