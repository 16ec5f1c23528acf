package load

import "math/rand/v2"

// SampleEvents is about n bytes of made-up JSON events of 1 KiB each, one a
// line: what JSONEvents puts into records, for whoever wants to compress or
// count it without sending it.
func SampleEvents(n int) []byte {
	events := newJSONEvents(rand.New(rand.NewPCG(1, 0x6576656e7473))) // "events"
	var out []byte
	for len(out) < n {
		out = append(events.append(out, 1<<10), '\n')
	}
	return out
}
