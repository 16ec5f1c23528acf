//go:build !race

package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/batching"
	"millrace/core/wire"
	"millrace/diskio"
)

// These benchmarks grow one thing at a time and report what a batch, or its
// delivery, costs then. Flat is the aim: what rises with the number is shared
// work that somebody does per batch.
//
//	go test ./core -run '^$' -bench Scale -benchmem

// scaleBroker keeps its data in memory, so that ten thousand partitions cost no
// descriptors.
func scaleBroker(b *testing.B, partitions int32) *Broker {
	broker := start(b, onMemory(b, diskio.NewMem(), diskio.SyncPageCache))
	for made := int32(0); made < partitions; made += 2000 {
		createTopic(b, dial(b, broker), fmt.Sprintf("t%d", made/2000), min(2000, partitions-made))
	}
	return broker
}

// scaleTopic is the topic and index of partition n of a scaleBroker.
func scaleTopic(n int) (string, int32) { return fmt.Sprintf("t%d", n/2000), int32(n % 2000) }

// produceInto is one request with a batch for each of partitions.
func produceInto(b *testing.B, broker *Broker, batch []byte, partitions ...int) *lean {
	req := wire.ProduceRequest{Acks: 1, TimeoutMillis: 1000}
	last := ""
	var topic *wire.ProduceTopic
	for _, n := range partitions {
		name, index := scaleTopic(n)
		if name != last {
			topic, last = req.AddTopic(), name
			topic.Name = []byte(name)
		}
		p := topic.AddPartition()
		p.Index, p.Records = index, batch
	}
	return newLean(b, broker, wire.Header{Key: wire.KeyProduce, Version: 9}, req.Append(nil, 9))
}

// send and read are the halves of round.
func (l *lean) send(t testing.TB) {
	if _, err := l.conn.Write(l.frame); err != nil {
		t.Fatal(err)
	}
}

func (l *lean) read(t testing.TB) []byte {
	if _, err := io.ReadFull(l.conn, l.answer[:4]); err != nil {
		t.Fatal(err)
	}
	n := binary.BigEndian.Uint32(l.answer)
	if _, err := io.ReadFull(l.conn, l.answer[:n]); err != nil {
		t.Fatal(err)
	}
	return l.answer[:n]
}

// perBatch reports what each of n batches took.
func perBatch(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/batch")
}

func small(b *testing.B) []byte { return oneBatch(b, batching.Options{}, string(make([]byte, 1000))) }

// BenchmarkScalePartitions: one connection, one request, many partitions.
func BenchmarkScalePartitions(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			broker := scaleBroker(b, int32(n))
			var all []int
			for i := range n {
				all = append(all, i)
			}
			l := produceInto(b, broker, small(b), all...)
			b.ReportAllocs()
			for b.Loop() {
				l.round(b)
			}
			perBatch(b, n)
		})
	}
}

// BenchmarkScaleConnections: many connections, each with a batch for the one
// partition.
func BenchmarkScaleConnections(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("connections=%d", n), func(b *testing.B) {
			broker := scaleBroker(b, 1)
			var ls []*lean
			for range n {
				ls = append(ls, produceInto(b, broker, small(b), 0))
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, l := range ls {
					l.send(b)
				}
				for _, l := range ls {
					l.read(b)
				}
			}
			perBatch(b, n)
		})
	}
}

// BenchmarkScaleIdle: one connection works, many do nothing.
func BenchmarkScaleIdle(b *testing.B) {
	for _, n := range []int{0, 1000, 8000} {
		b.Run(fmt.Sprintf("idle=%d", n), func(b *testing.B) {
			broker := scaleBroker(b, 1)
			for range n {
				c, err := net.Dial("tcp", broker.Addr())
				require.NoError(b, err)
				defer c.Close()
			}
			l := produceInto(b, broker, small(b), 0)
			b.ReportAllocs()
			for b.Loop() {
				l.round(b)
			}
			perBatch(b, 1)
		})
	}
}

// BenchmarkScaleTopics: one partition of many is written to and read from.
func BenchmarkScaleTopics(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			broker := scaleBroker(b, int32(n))
			produce := produceInto(b, broker, small(b), n/2)
			name, index := scaleTopic(n / 2)
			fetch := newTail(b, broker, name, index, 0)
			b.ReportAllocs()
			for b.Loop() {
				produce.round(b)
				fetch.send(b)
				fetch.read(b)
				fetch.next(1)
			}
			perBatch(b, 1)
		})
	}
}

// tail is a consumer that reads one batch of one record after the other.
type tail struct {
	*lean
	at     int // of the offset in the frame
	offset int64
}

func newTail(t testing.TB, broker *Broker, topic string, index int32, offset int64) *tail {
	const marker = 0x1122334455667788
	var req wire.FetchRequest
	req.Reset()
	req.MinBytes, req.MaxBytes, req.MaxWaitMillis = 1, 1<<20, 60_000
	rt := req.AddTopic()
	rt.Name = []byte(topic)
	rp := rt.AddPartition()
	rp.Index, rp.Offset, rp.MaxBytes = index, marker, 1<<20
	l := &tail{lean: newLean(t, broker, wire.Header{Key: wire.KeyFetch, Version: 12}, req.Append(nil, 12)), offset: offset}
	l.at = bytes.Index(l.frame, binary.BigEndian.AppendUint64(nil, marker))
	l.next(0)
	return l
}

// next moves on by so many records.
func (l *tail) next(by int64) {
	l.offset += by
	binary.BigEndian.PutUint64(l.frame[l.at:], uint64(l.offset))
}

// BenchmarkScaleTail: many consumers wait at one tail. Per batch and consumer.
func BenchmarkScaleTail(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("consumers=%d", n), func(b *testing.B) {
			broker := scaleBroker(b, 1)
			produce := produceInto(b, broker, small(b), 0)
			var tails []*tail
			for range n {
				tails = append(tails, newTail(b, broker, "t0", 0, 0))
			}
			signals := &broker.server.Stats().Signals
			before := signals.Load()
			b.ReportAllocs()
			for b.Loop() {
				for _, l := range tails {
					l.send(b)
				}
				for broker.counters.parked.Load() < int64(n) {
					runtime.Gosched() // all are to wait: what is measured is the wake-up
				}
				produce.round(b)
				for _, l := range tails {
					l.read(b)
					l.next(1)
				}
			}
			perBatch(b, n)
			b.ReportMetric(float64(signals.Load()-before)/float64(b.N), "signals/append")
		})
	}
}

// BenchmarkScaleSlowReaders: one consumer reads 64 KiB at a time while others
// have asked for megabytes and do not read.
func BenchmarkScaleSlowReaders(b *testing.B) {
	for _, n := range []int{0, 10, 100} {
		b.Run(fmt.Sprintf("slow=%d", n), func(b *testing.B) {
			broker := start(b, testConfig(b))
			createTopic(b, dial(b, broker), "t", 1)
			produce := leanProduce(b, broker, "t", oneBatch(b, batching.Options{}, string(make([]byte, 64<<10))))
			for range 64 {
				produce.round(b)
			}
			for range n {
				slow := leanFetch(b, broker, "t", 4<<20)
				for range 8 {
					slow.send(b)
				}
			}
			fetch := leanFetch(b, broker, "t", 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				fetch.round(b)
			}
			perBatch(b, 1)
		})
	}
}

// BenchmarkScaleBesideLarge: small batches of one connection, alone and while
// another sends 1 MiB batches as fast as they are taken.
func BenchmarkScaleBesideLarge(b *testing.B) {
	for _, n := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("large=%d", n), func(b *testing.B) {
			cfg := testConfig(b)
			cfg.Disk.SegmentBytes = 64 << 20
			broker := start(b, cfg)
			createTopic(b, dial(b, broker), "t", 2)
			createTopic(b, dial(b, broker), "large", 1)
			stop := make(chan struct{})
			done := make(chan struct{}, n)
			for range n {
				l := leanProduce(b, broker, "large", oneBatch(b, batching.Options{}, string(make([]byte, 1<<20-200))))
				go func() {
					defer func() { done <- struct{}{} }()
					for {
						select {
						case <-stop:
							return
						default:
							l.round(b)
						}
					}
				}()
			}
			l := leanProduce(b, broker, "t", small(b))
			b.ReportAllocs()
			for b.Loop() {
				l.round(b)
			}
			perBatch(b, 1)
			close(stop)
			for range n {
				<-done
			}
		})
	}
}
