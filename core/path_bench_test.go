//go:build !race

package core

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/batching"
	"millrace/core/wire"
	"millrace/diskio"
	"millrace/internal/knob"
	"millrace/netio"
)

// stages are the way of a produced batch, each with all that come before it:
// what a stage adds is the difference. The last is the broker itself.
var stages = []string{"receive", "crc", "append", "reply"}

func sizeName(n int) string { return knob.FormatBytes(int64(n)) }

// BenchmarkProducePath sends batches without waiting, at most 16 unanswered, and
// counts the time until all have gone their way.
func BenchmarkProducePath(b *testing.B) {
	for _, stage := range stages {
		for _, size := range []int{16 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("stage=%s/batch=%s", stage, sizeName(size)), func(b *testing.B) {
				batch := sized(b, size)
				req := wire.ProduceRequest{Acks: 1, TimeoutMillis: 1000}
				rt := req.AddTopic()
				rt.Name = []byte("t")
				rt.AddPartition().Records = batch
				frame := rawRequest(nil, wire.Header{Key: wire.KeyProduce, Version: 9}, req.Append(nil, 9))
				b.SetBytes(int64(len(batch)))
				b.ReportAllocs()
				if stage == "reply" {
					br := start(b, testConfig(b))
					createTopic(b, dial(b, br), "t", 1)
					answered(b, br.Addr(), frame)
					return
				}
				unanswered(b, stage, frame)
			})
		}
	}
}

// answered keeps 16 requests on the way until all are answered.
func answered(b *testing.B, addr string, frame []byte) {
	c := connect(b, addr)
	room := make(chan struct{}, 16)
	b.ResetTimer()
	go func() {
		for range b.N {
			room <- struct{}{}
			if _, err := c.Write(frame); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 4<<10)
	for range b.N {
		if _, err := io.ReadFull(c, buf[:4]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf[:binary.BigEndian.Uint32(buf)]); err != nil {
			b.Fatal(err)
		}
		<-room
	}
}

func connect(b *testing.B, addr string) net.Conn {
	c, err := net.Dial("tcp", addr)
	require.NoError(b, err)
	b.Cleanup(func() { c.Close() })
	require.NoError(b, c.SetDeadline(time.Now().Add(2*time.Minute)))
	return c
}

// way is a handler that does the first stages with each request and answers
// none.
type way struct {
	check, append bool
	log           *diskio.Log
	req           wire.ProduceRequest
	done          atomic.Int64
	fault         atomic.Pointer[error]
}

func (w *way) Serve(f *netio.Frame) {
	if err := w.step(f.Bytes()); err != nil {
		fault := err // so that err itself stays on the stack
		w.fault.CompareAndSwap(nil, &fault)
	}
	f.Drop()
	w.done.Add(1)
}
func (w *way) Resume(*netio.Frame) {}
func (w *way) Closed(*netio.Conn)  {}

func (w *way) step(frame []byte) error {
	if !w.check {
		return nil
	}
	h, body, err := wire.ParseHeader(frame)
	if err != nil {
		return err
	}
	if err := w.req.Decode(h.Version, body); err != nil {
		return err
	}
	batch, err := batching.View(w.req.Topics[0].Partitions[0].Records)
	if err != nil {
		return err
	}
	if err := batch.CheckCRC(); err != nil || !w.append {
		return err
	}
	batch.SetBaseOffset(w.log.End())
	if err := w.log.Append(batch); err != nil {
		return err
	}
	if w.log.Size() > 512<<20 { // bounded disk, and page cache that stays warm
		return w.log.Reset(w.log.End())
	}
	return nil
}

func unanswered(b *testing.B, stage string, frame []byte) {
	w := &way{check: stage != "receive", append: stage == "append"}
	if w.append {
		log, err := diskio.Open(diskio.OS(), filepath.Join(b.TempDir(), "t-0"), diskio.Defaults(), diskio.Options{})
		require.NoError(b, err)
		w.log = log
		b.Cleanup(func() { _ = log.Remove() })
	}
	s, err := netio.Listen("127.0.0.1:0", netio.Defaults(), w)
	require.NoError(b, err)
	b.Cleanup(func() { _ = s.Stop(context.Background()) })
	c := connect(b, s.Addr().String())
	b.ResetTimer()
	for range b.N {
		if _, err := c.Write(frame); err != nil {
			b.Fatal(err)
		}
	}
	for w.done.Load() < int64(b.N) {
		if err := w.fault.Load(); err != nil {
			b.Fatal(*err)
		}
		time.Sleep(10 * time.Microsecond)
	}
}

// BenchmarkFetchPath reads answers of a size from the page cache, four asked for
// in advance, by each read path.
func BenchmarkFetchPath(b *testing.B) {
	for _, path := range []string{"sendfile", "copy", "mmap"} {
		for _, size := range []int{64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("read.path=%s/answer=%s", path, sizeName(size)), func(b *testing.B) {
				cfg := testConfig(b)
				cfg.Disk.ReadPath = path
				br := start(b, cfg)
				createTopic(b, dial(b, br), "t", 1)
				produce := leanProduce(b, br, "t", sized(b, 64<<10))
				for range 2 * size / (64 << 10) {
					produce.round(b)
				}
				fetch := leanFetch(b, br, "t", int32(size))
				whole := int64(len(fetch.round(b)) + 4)
				require.GreaterOrEqual(b, whole, int64(size/2))
				b.SetBytes(whole)
				b.ReportAllocs()
				b.ResetTimer()
				for n := range b.N + 4 {
					if n < b.N {
						if _, err := fetch.conn.Write(fetch.frame); err != nil {
							b.Fatal(err)
						}
					}
					if n < 4 {
						continue
					}
					for left := whole; left > 0; {
						k, err := fetch.conn.Read(fetch.answer[:min(left, int64(len(fetch.answer)))])
						if err != nil {
							b.Fatal(err)
						}
						left -= int64(k)
					}
				}
			})
		}
	}
}
