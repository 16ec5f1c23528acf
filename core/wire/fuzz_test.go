package wire

import (
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fuzzHot feeds one of the four messages arbitrary bytes. Nothing may panic;
// where kmsg accepts the same bytes, both must have read the same; and what was
// read, written again, must read the same again.
func fuzzHot(f *testing.F, h hot) {
	rng := rand.New(rand.NewSource(1))
	for v := h.min; v <= h.max; v++ {
		for range 3 {
			f.Add(v, encode(h.random(rng, v), v))
		}
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		m := h.new()
		if m.Decode(version, body) != nil {
			return
		}
		settle(t, m, body)
		written := encode(m, version)
		again := h.new()
		require.NoError(t, again.Decode(version, written))
		require.Equal(t, written, encode(again, version))

		theirs := toKmsg(h.new(), version)
		if theirs.ReadFrom(body) != nil {
			return
		}
		forget(theirs, version)
		require.Equal(t, theirs.AppendTo(nil), written)
	})
}

func FuzzProduceRequest(f *testing.F)  { fuzzHot(f, hots[0]) }
func FuzzProduceResponse(f *testing.F) { fuzzHot(f, hots[1]) }
func FuzzFetchRequest(f *testing.F)    { fuzzHot(f, hots[2]) }
func FuzzFetchResponse(f *testing.F)   { fuzzHot(f, hots[3]) }

func FuzzHeader(f *testing.F) {
	f.Add(AppendRequestHeader(nil, Header{Key: 1, Version: 12, CorrelationID: 7, ClientID: []byte("c")}))
	f.Add(AppendRequestHeader(nil, Header{Key: 17, Version: 1}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, body, err := ParseHeader(frame)
		if err != nil {
			return
		}
		again, rest, err := ParseHeader(append(AppendRequestHeader(nil, h), body...))
		require.NoError(t, err)
		require.Equal(t, h, again)
		require.Equal(t, string(body), string(rest))
	})
}

func FuzzDecodeKmsg(f *testing.F) {
	rng := rand.New(rand.NewSource(1))
	eachGuarded(func(key, v int16) { f.Add(key, v, randomKmsg(rng, key, v).AppendTo(nil)) })
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		req, err := DecodeKmsg(key, version, body)
		if err != nil {
			var e *Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Error())
			return
		}
		written := req.AppendTo(nil)
		again := kmsg.RequestForKey(key)
		again.SetVersion(version)
		require.NoError(t, again.ReadFrom(written))
		require.Equal(t, written, again.AppendTo(nil))
	})
}
