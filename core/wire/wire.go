// Package wire is Kafka's protocol as bytes: request and response headers, the
// two messages of the hot path (Produce and Fetch) hand-written in both
// directions, and a guard in front of kmsg for every other request. It does no
// I/O and keeps nothing between calls.
//
// The nouns. A Header opens every request; the body that follows it is decoded
// by key and version. ProduceRequest, ProduceResponse, FetchRequest and
// FetchResponse are reusable structures: Decode fills one from a body, Append
// writes one, and in a steady state neither allocates. Decoded byte slices are
// slices of the input, never copies: they live as long as the input does. An
// Error says in which message, at which byte and in which field the bytes
// stopped making sense.
//
// A message on the wire, after its 4-byte length:
//
//	request                            response
//	api key         int16              correlation id  int32
//	api version     int16              tags            (header v1)
//	correlation id  int32              body
//	client id       int16 string, -1 null
//	tags            (header v2)
//	body
//
// From some version on, different for each API, a message is flexible: header
// v2 and v1, lengths as unsigned varints of length+1 (0: null), and tags at the
// end of each structure. The client id stays an int16 string for ever,
// SaslHandshake never became flexible, and the response to ApiVersions always
// has header v0, because its sender does not know yet what the other side
// understands.
//
// Bytes left over after a body are ignored, as Kafka ignores them. A claimed
// length is believed only as far as bytes are there to back it.
//
// Source: Kafka's protocol guide, and its message definitions in
// clients/src/main/resources/common/message.
package wire

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The keys of the APIs that this package treats by name.
const (
	KeyProduce     int16 = 0
	KeyFetch       int16 = 1
	KeyApiVersions int16 = 18
)

// The versions that the hand-written codecs speak.
const (
	ProduceMin, ProduceMax int16 = 3, 13
	FetchMin, FetchMax     int16 = 4, 18
)

// What flexibleFrom says of an API that has no flexible version, and of a key
// that no API has. Both are above any version.
const (
	never   int32 = 1 << 15
	unknown int32 = 1 << 16
)

// flexibleFrom holds the first flexible version by API key.
var flexibleFrom = func() (from [kmsg.MaxKey + 1]int32) {
	for key := range from {
		r := kmsg.RequestForKey(int16(key))
		if r == nil {
			from[key] = unknown
			continue
		}
		from[key] = never
		for v := int16(0); v <= r.MaxVersion(); v++ {
			if r.SetVersion(v); r.IsFlexible() {
				from[key] = int32(v)
				break
			}
		}
	}
	return from
}()

// known says whether Kafka has the API at all.
func known(key int16) bool {
	return key >= 0 && int(key) < len(flexibleFrom) && flexibleFrom[key] != unknown
}

// Flexible says whether a message is encoded in the flexible form. An unknown
// key is never flexible.
func Flexible(key, version int16) bool {
	return known(key) && int32(version) >= flexibleFrom[key]
}

// mustSpeak panics where a caller asks for a version that no Append writes: the
// version was negotiated, so it is our own fault.
func mustSpeak(key, version, min, max int16) {
	if version < min || version > max {
		panic(fmt.Sprintf("BUG: %s v%d is not spoken here", kmsg.NameForKey(key), version))
	}
}
