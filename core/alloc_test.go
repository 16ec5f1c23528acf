//go:build !race

// The race detector makes sync.Pool forget at random, so there is nothing to
// count under it.

package core

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/wire"
	"millrace/internal/knob"
)

// lean sends one prepared request after the other and reads the answers into
// memory that it keeps, so that what a run allocates is the broker's.
type lean struct {
	conn   net.Conn
	frame  []byte
	answer []byte
}

func newLean(t testing.TB, b *Broker, h wire.Header, body []byte) *lean {
	c, err := net.DialTimeout("tcp", b.Addr(), patience)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return &lean{conn: c, frame: rawRequest(nil, h, body), answer: make([]byte, 4<<20)}
}

// round sends the request and answers the response without its length.
func (l *lean) round(t testing.TB) []byte {
	if _, err := l.conn.Write(l.frame); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(l.conn, l.answer[:4]); err != nil {
		t.Fatal(err)
	}
	n := binary.BigEndian.Uint32(l.answer)
	if _, err := io.ReadFull(l.conn, l.answer[:n]); err != nil {
		t.Fatal(err)
	}
	return l.answer[:n]
}

func leanProduce(t testing.TB, b *Broker, topic string, batch []byte) *lean {
	req := wire.ProduceRequest{Acks: 1, TimeoutMillis: 1000}
	rt := req.AddTopic()
	rt.Name = []byte(topic)
	rt.AddPartition().Records = batch
	return newLean(t, b, wire.Header{Key: wire.KeyProduce, Version: 9}, req.Append(nil, 9))
}

func leanFetch(t testing.TB, b *Broker, topic string, maxBytes int32) *lean {
	var req wire.FetchRequest
	req.Reset()
	req.MinBytes, req.MaxBytes = 1, maxBytes
	rt := req.AddTopic()
	rt.Name = []byte(topic)
	rp := rt.AddPartition()
	rp.MaxBytes = maxBytes
	return newLean(t, b, wire.Header{Key: wire.KeyFetch, Version: 12}, req.Append(nil, 12))
}

// TestSteadyStateAllocatesNothing: one produced batch and one fetch answer, from
// socket to socket. The bound leaves room for what happens now and then: a pool
// that the collector has emptied, an index that grows.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, depth := range batching.Depths() {
		t.Run(depth, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.ValidateDepth = depth
			b := start(t, cfg)
			createTopic(t, dial(t, b), "t", 1)
			produce := leanProduce(t, b, "t", sized(t, 16<<10))
			fetch := leanFetch(t, b, "t", 64<<10)
			for range 200 {
				produce.round(t)
				fetch.round(t)
			}
			require.Zero(t, b.Counters().Rejected)
			require.Less(t, testing.AllocsPerRun(500, func() { produce.round(t) }), 1.0, "a produced batch")
			require.Less(t, testing.AllocsPerRun(500, func() { fetch.round(t) }), 1.0, "a fetch answer")
		})
	}
}

// TestWaitingAllocatesNothing: a fetch that waits at the tail, and the append
// that wakes it.
func TestWaitingAllocatesNothing(t *testing.T) {
	b := start(t, testConfig(t))
	createTopic(t, dial(t, b), "t", 1)
	produce := leanProduce(t, b, "t", oneBatch(t, batching.Options{}, "one record"))
	const consumers = 20
	var tails []*tail
	for range consumers {
		tails = append(tails, newTail(t, b, "t", 0, 0))
	}
	round := func() {
		for _, l := range tails {
			l.send(t)
		}
		for b.counters.parked.Load() < consumers {
			runtime.Gosched()
		}
		produce.round(t)
		for _, l := range tails {
			l.read(t)
			l.next(1)
		}
	}
	for range 50 {
		round()
	}
	require.Less(t, testing.AllocsPerRun(100, round), 2.0, "for %d answers", consumers)
}

// TestMetadataAllocatesNothing once it was asked for, however many partitions.
func TestMetadataAllocatesNothing(t *testing.T) {
	b := start(t, testConfig(t))
	createTopic(t, dial(t, b), "t", 300)
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(12)
	l := newLean(t, b, wire.Header{Key: int16(kmsg.Metadata), Version: 12}, req.AppendTo(nil))
	for range 10 {
		l.round(t)
	}
	require.Less(t, testing.AllocsPerRun(200, func() { l.round(t) }), 1.0)
}

// BenchmarkProduce and BenchmarkFetch are one connection that waits for each
// answer: what a request costs, not what a broker can take.
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10} {
		b.Run("batch="+knob.FormatBytes(int64(size)), func(b *testing.B) {
			broker := start(b, testConfig(b))
			createTopic(b, dial(b, broker), "t", 1)
			l := leanProduce(b, broker, "t", oneBatch(b, batching.Options{}, string(make([]byte, size))))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				l.round(b)
			}
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	for _, size := range []int32{16 << 10, 64 << 10, 1 << 20} {
		b.Run("bytes="+knob.FormatBytes(int64(size)), func(b *testing.B) {
			broker := start(b, testConfig(b))
			p := dial(b, broker)
			createTopic(b, p, "t", 1)
			for range 128 {
				produceBatch(p, "t", oneBatch(b, batching.Options{}, string(make([]byte, 16<<10-200))))
			}
			l := leanFetch(b, broker, "t", size)
			b.SetBytes(int64(len(l.round(b))))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				l.round(b)
			}
		})
	}
}
