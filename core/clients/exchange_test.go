package clients_test

import (
	"bytes"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// record is what all clients mean by one. A nil Key, Value or header value is
// null; empty is empty.
type record struct {
	Offset  int64
	Time    int64 // milliseconds; 0: whatever the client set
	Key     []byte
	Value   []byte
	Headers []header
}

type header struct {
	Key   string
	Value []byte
}

func (r record) String() string {
	show := func(b []byte) string {
		switch {
		case b == nil:
			return "null"
		case len(b) > 40:
			return fmt.Sprintf("%q… (%d bytes)", b[:40], len(b))
		}
		return fmt.Sprintf("%q", b)
	}
	s := fmt.Sprintf("%d @%d %s = %s", r.Offset, r.Time, show(r.Key), show(r.Value))
	for _, h := range r.Headers {
		s += fmt.Sprintf(" %s: %s", h.Key, show(h.Value))
	}
	return s
}

// client is one Kafka client.
type client struct {
	name   string
	codecs []string // that it can write
	// write appends records to partition 0 of a topic in the given codec, waits
	// until all are acknowledged by all replicas, and answers what it wrote:
	// corpus, or as much of it as the client can express.
	write func(t *testing.T, addr, topic, codec string) []record
	// read reads n records of partition 0 from an offset on; nil where the
	// client cannot read without a consumer group.
	read func(t *testing.T, addr, topic string, from int64, n int) []record
	// reads are the codecs that it can read; nil: all.
	reads []string
	// emptyIsNull says that the client reads empty and null alike.
	emptyIsNull bool
}

// clients is the table: joining it enrols a client.
var clients = []client{franz, kcat, sarama, kafkaGo}

var allCodecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// corpus is every shape of record that has ever made trouble. It is text
// throughout, because kcat prints what it reads as JSON.
func corpus() []record {
	const t0 = 1_700_000_000_000
	large := bytes.Repeat([]byte("0123456789abcdef, and so on. "), 900_000/29)
	rs := []record{
		{Key: []byte("key"), Value: []byte("value")},
		{Key: nil, Value: []byte("no key")},
		{Key: []byte("no value"), Value: nil},
		{Key: nil, Value: nil},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("headers"), Value: []byte("v"), Headers: []header{
			{"a", []byte("1")}, {"a", []byte("2")}, {"empty", []byte{}}, {"", []byte("no name")},
		}},
		{Key: []byte("schlüssel"), Value: []byte("ein Größeres, 語")},
		{Key: []byte("large"), Value: large},
	}
	for i := range 200 {
		rs = append(rs, record{Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "value %d, followed by more of the same", i)})
	}
	for i := range rs {
		rs[i].Time = t0 + int64(i)*1000
	}
	return rs
}

// same compares records one by one, so that a failure names the one that
// differs.
func same(t *testing.T, want, got []record, emptyIsNull bool) {
	t.Helper()
	require.Equal(t, len(want), len(got), "number of records")
	for i := range want {
		w, g := want[i], got[i]
		if emptyIsNull {
			w, g = blurred(w), blurred(g)
		}
		if w.Time == 0 {
			g.Time = 0
		}
		if w.String() != g.String() || !bytes.Equal(w.Value, g.Value) {
			t.Fatalf("record %d:\nwrote %v\nread  %v", i, w, g)
		}
	}
}

// blurred is r with null where it has empty.
func blurred(r record) record {
	blur := func(b []byte) []byte { return append([]byte(nil), b...) }
	r.Key, r.Value, r.Headers = blur(r.Key), blur(r.Value), append([]header(nil), r.Headers...)
	for i := range r.Headers {
		r.Headers[i].Value = blur(r.Headers[i].Value)
	}
	return r
}

// TestExchange lets every client read what every client wrote.
func TestExchange(t *testing.T) {
	for _, w := range clients {
		for _, codec := range w.codecs {
			t.Run(w.name+"/"+codec, func(t *testing.T) {
				t.Parallel()
				exchange(t, shared(t), w, codec)
			})
		}
	}
}

// exchange lets w write in a codec, and every client read it.
func exchange(t *testing.T, addr string, w client, codec string) {
	topic := topicName(t)
	createTopic(t, addr, topic, 1)
	before := time.Now().UnixMilli()
	wrote := w.write(t, addr, topic, codec)
	require.NotEmpty(t, wrote)
	for i := range wrote {
		wrote[i].Offset = int64(i)
	}
	require.Contains(t, storedCodecs(t, addr, topic), codec, "the codec that was asked for")
	middle := len(wrote) / 2
	for _, r := range clients {
		if r.read == nil || r.reads != nil && !slices.Contains(r.reads, codec) {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			got := r.read(t, addr, topic, 0, len(wrote))
			same(t, wrote, got, r.emptyIsNull)
			for i := range got {
				if wrote[i].Time == 0 {
					require.InDelta(t, before, got[i].Time, float64(patience.Milliseconds()), "a time of its own")
				}
			}
			same(t, wrote[middle:], r.read(t, addr, topic, int64(middle), len(wrote)-middle), r.emptyIsNull)
		})
	}
}

// variants are brokers set up in another way: what clients see is the same.
var variants = []string{
	"net.engine=goroutine", "buffer.pool=classes", "buffer.pool=none",
	"read.path=copy", "read.path=mmap", "cold.read=inline",
	"append.mode=grouped", "sync.policy=group", "sync.policy=each", "sync.policy=interval",
	"validate.depth=crc", "validate.depth=none", "segment.bytes=1MiB", "compression.type=uncompressed",
}

// TestVariants gives each variant the exchange of one writer, which differs
// from variant to variant.
func TestVariants(t *testing.T) {
	tried := variants
	if testing.Short() {
		tried = variants[:1] // the other engine: where concurrency differs most
	}
	for i, set := range tried {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			b := own(t, t.TempDir(), "--set", set)
			w := clients[i%len(clients)]
			codec := w.codecs[i%len(w.codecs)]
			if set == "compression.type=uncompressed" {
				codec = "none"
			}
			exchange(t, b.addr, w, codec)
			require.NoError(t, b.end(syscall.SIGTERM))
		})
	}
}
