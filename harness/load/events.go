package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// jsonEvents makes JSON log events of web services: a few services on a few dozen
// hosts, skewed as real ones are (most requests succeed, a few paths are hot,
// durations have a long tail), with identifiers that do not compress.
type jsonEvents struct {
	rng   *rand.Rand
	clock time.Time
	hosts []string
	paths []string
}

func newJSONEvents(rng *rand.Rand) *jsonEvents {
	e := &jsonEvents{rng: rng, clock: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)}
	for range 40 {
		e.hosts = append(e.hosts, fmt.Sprintf("ip-10-%d-%d-%d", rng.IntN(4), rng.IntN(256), rng.IntN(256)))
	}
	for _, r := range resources {
		e.paths = append(e.paths, "/api/v1/"+r, "/api/v1/"+r+"/search", "/api/v2/"+r)
	}
	return e
}

var (
	services  = []string{"checkout", "catalog", "search", "payments", "identity", "shipping", "recommendations", "inventory"}
	resources = []string{"orders", "carts", "products", "users", "sessions", "invoices", "shipments", "reviews"}
	levels    = []string{"info", "info", "info", "info", "info", "info", "info", "debug", "warn", "error"}
	methods   = []string{"GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE"}
	statuses  = []int{200, 200, 200, 200, 200, 200, 200, 201, 204, 301, 304, 400, 401, 404, 429, 500, 503}
	agents    = []string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
		"okhttp/4.12.0", "Go-http-client/2.0", "python-requests/2.32.3",
	}
	words = []string{
		"request", "completed", "upstream", "cache", "miss", "hit", "retry", "timeout", "after", "connection",
		"pool", "acquired", "released", "token", "validated", "for", "tenant", "region", "shard", "replica",
		"lookup", "returned", "rows", "payload", "decoded", "queue", "depth", "worker", "finished", "batch",
		"authorized", "session", "refreshed", "rate", "limit", "remaining", "circuit", "closed", "backoff", "scheduled",
	}
)

// skew draws an index below n, small ones more often.
func (e *jsonEvents) skew(n int) int {
	f := e.rng.Float64()
	return int(f * f * float64(n))
}

// append adds one event of exactly size bytes. Below about 60 bytes there is no
// room for an object and it is a JSON number or string.
func (e *jsonEvents) append(dst []byte, size int) []byte {
	e.clock = e.clock.Add(time.Duration(e.rng.ExpFloat64() * float64(400*time.Microsecond)))
	from := len(dst)
	if size < 60 {
		return e.tiny(dst, size)
	}
	dst = append(dst, `{"ts":"`...)
	dst = e.clock.AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(dst, '"')
	// Fields in order of importance, as many as fit beside a message.
	var field []byte
	for i := range 12 {
		field = e.field(field[:0], i)
		if len(dst)-from+len(field)+len(`,"msg":"x"}`) > size {
			break
		}
		dst = append(dst, field...)
	}
	dst = append(dst, `,"msg":"`...)
	end := from + size - len(`"}`)
	for len(dst) < end {
		dst = e.phrase(dst)
	}
	return append(dst[:end], `"}`...)
}

func (e *jsonEvents) field(b []byte, i int) []byte {
	str := func(key, val string) []byte {
		b = append(append(append(b, `,"`...), key...), `":"`...)
		return append(append(b, val...), '"')
	}
	num := func(key string, val int64) []byte {
		b = append(append(append(b, `,"`...), key...), `":`...)
		return strconv.AppendInt(b, val, 10)
	}
	switch i {
	case 0:
		return str("level", levels[e.rng.IntN(len(levels))])
	case 1:
		return str("service", services[e.skew(len(services))])
	case 2:
		return num("status", int64(statuses[e.rng.IntN(len(statuses))]))
	case 3:
		b = append(b, `,"duration_ms":`...)
		return strconv.AppendFloat(b, 0.2+e.rng.ExpFloat64()*8*e.rng.ExpFloat64(), 'f', 3, 64)
	case 4:
		return str("host", e.hosts[e.skew(len(e.hosts))])
	case 5:
		return str("method", methods[e.rng.IntN(len(methods))])
	case 6:
		b = append(b, `,"path":"`...)
		b = append(b, e.paths[e.skew(len(e.paths))]...)
		if e.rng.IntN(3) == 0 {
			b = strconv.AppendInt(append(b, '/'), int64(e.rng.IntN(1e6)), 10)
		}
		return append(b, '"')
	case 7:
		return append(e.hex(append(b, `,"trace_id":"`...), 2), '"')
	case 8:
		return append(e.hex(append(b, `,"span_id":"`...), 1), '"')
	case 9:
		return num("user_id", int64(e.skew(5e6)))
	case 10:
		return num("bytes", int64(e.rng.ExpFloat64()*5000))
	default:
		return str("user_agent", agents[e.skew(len(agents))])
	}
}

// phrase adds a few words, and now and then a number or an identifier.
func (e *jsonEvents) phrase(b []byte) []byte {
	switch r := e.rng.IntN(20); {
	case r == 0:
		b = e.hex(append(b, "id="...), 1)
	case r < 4:
		b = strconv.AppendInt(append(b, "n="...), int64(e.rng.ExpFloat64()*900), 10)
	default:
		// Runs of words as log formats have them: the same phrase again and again.
		w := e.skew(len(words))
		for k := range 3 {
			b = append(append(b, words[(w+k)%len(words)]...), ' ')
		}
		return b
	}
	return append(b, ' ')
}

func (e *jsonEvents) hex(b []byte, words int) []byte {
	for range words {
		const digits = "0123456789abcdef"
		for v, k := e.rng.Uint64(), 0; k < 16; k++ {
			b = append(b, digits[v&15])
			v >>= 4
		}
	}
	return b
}

func (e *jsonEvents) tiny(dst []byte, size int) []byte {
	if size < 3 {
		for range size {
			dst = append(dst, '1'+byte(e.rng.IntN(9)))
		}
		return dst
	}
	end := len(dst) + size - 1
	dst = append(dst, '"')
	for len(dst) < end {
		dst = e.phrase(dst)
	}
	return append(dst[:end], '"')
}
