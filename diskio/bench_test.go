package diskio

import (
	"fmt"
	"sync"
	"testing"

	"millrace/batching"
)

// big is a Config whose segments do not roll within a test of allocations.
func big(mode, path string) Config {
	cfg := Defaults()
	cfg.AppendMode, cfg.ReadPath = mode, path
	return cfg
}

func benchBatch(b *testing.B, size int) batching.Batch {
	return testBatch(b, 0, max(size/1024, 1), min(size, 1024)-14, 1)
}

func BenchmarkAppend(b *testing.B) {
	for _, mode := range appendModes.names() {
		for _, size := range []int{1 << 10, 16 << 10, 64 << 10, 1 << 20} {
			for _, group := range []int{1, 16} {
				b.Run(fmt.Sprintf("append.mode=%s/batch=%s/group=%d", mode, kib(size), group), func(b *testing.B) {
					cfg := big(mode, "copy")
					cfg.RetentionBytes, cfg.SegmentBytes = 0, 256<<20
					l := openLog(b, OS(), join(b.TempDir(), "a-0"), cfg, Options{})
					batches := make([]batching.Batch, group)
					for i := range batches {
						batches[i] = benchBatch(b, size)
					}
					b.SetBytes(int64(group * batches[0].Size()))
					b.ReportAllocs()
					for b.Loop() {
						next := l.End()
						for _, x := range batches {
							x.SetBaseOffset(next)
							next = x.NextOffset()
						}
						if err := l.Append(batches...); err != nil {
							b.Fatal(err)
						}
						if l.Size() > 512<<20 {
							// Bounded disk, and page cache that stays warm.
							b.StopTimer()
							if err := l.Reset(l.End()); err != nil {
								b.Fatal(err)
							}
							b.StartTimer()
						}
					}
					b.StopTimer()
					_ = l.Remove()
				})
			}
		}
	}
}

func kib(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

func benchLog(b *testing.B, path string, size int) *Log {
	l := openLog(b, OS(), join(b.TempDir(), "a-0"), big("direct", path), Options{})
	b.Cleanup(func() { _ = l.Remove() })
	x := benchBatch(b, size)
	for l.Size() < 64<<20 {
		x.SetBaseOffset(l.End())
		if err := l.Append(x); err != nil {
			b.Fatal(err)
		}
	}
	return l
}

// BenchmarkRead is finding a span and giving it back, not moving its bytes:
// that is netio's.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, path := range readPaths.names() {
			for _, where := range []string{"tail", "catchup"} {
				b.Run(fmt.Sprintf("read.path=%s/batch=%s/at=%s", path, kib(size), where), func(b *testing.B) {
					l := benchLog(b, path, size)
					end := l.End()
					at := end - 1
					b.ReportAllocs()
					for b.Loop() {
						sp, err := l.Read(at, 1<<20, end)
						if err != nil {
							b.Fatal(err)
						}
						_, _, _ = sp.File()
						_ = sp.Bytes()
						if where == "catchup" {
							if at = sp.NextOffset(); at == end {
								at = 0
							}
						}
						sp.Release()
					}
				})
			}
		}
	}
}

// BenchmarkCopy moves the bytes as a copying connection does.
func BenchmarkCopy(b *testing.B) {
	for _, path := range readPaths.names() {
		b.Run("read.path="+path, func(b *testing.B) {
			l := benchLog(b, path, 64<<10)
			buf := make([]byte, 1<<20)
			at := int64(0)
			b.SetBytes(1 << 20)
			for b.Loop() {
				sp, err := l.Read(at, 1<<20, l.End())
				if err != nil {
					b.Fatal(err)
				}
				if mem := sp.Bytes(); mem != nil {
					copy(buf, mem)
				} else if _, err := sp.ReadAt(buf[:min(sp.Len(), 1<<20)], 0); err != nil {
					b.Fatal(err)
				}
				if at = sp.NextOffset(); at == l.End() {
					at = 0
				}
				sp.Release()
			}
		})
	}
}

func BenchmarkIndexLookup(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 18} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			var x offsetIndex
			for i := range n {
				x.add(makeIndexEntry(uint32(i*7+1), int64(i*4096)))
			}
			i := uint32(0)
			for b.Loop() {
				i = i*1664525 + 1013904223
				e, _ := x.loaded()
				_ = floorRel(e, i%uint32(n*7))
			}
		})
	}
}

// BenchmarkSync is appends of 64 KiB from many producers that each wait for
// their promise.
func BenchmarkSync(b *testing.B) {
	for _, policy := range syncPolicies.names() {
		for _, producers := range []int{1, 16} {
			b.Run(fmt.Sprintf("sync.policy=%s/waiting=%d", policy, producers), func(b *testing.B) {
				cfg := Defaults()
				cfg.SyncPolicy = policy
				l := openLog(b, OS(), join(b.TempDir(), "a-0"), cfg, Options{})
				s := NewSyncer(cfg)
				var mu sync.Mutex
				held := sync.NewCond(&mu)
				var upTo int64
				p := s.Attach(l, func(to int64, err error) {
					mu.Lock()
					upTo = max(upTo, to)
					held.Broadcast()
					mu.Unlock()
				})
				x := benchBatch(b, 64<<10)
				var order sync.Mutex
				put := func() {
					order.Lock()
					x.SetBaseOffset(l.End())
					if err := l.Append(x); err != nil {
						panic(err)
					}
					end := l.End()
					ok := p.Appended(end)
					order.Unlock()
					mu.Lock()
					for !ok && upTo < end {
						held.Wait()
					}
					mu.Unlock()
				}
				b.SetBytes(int64(x.Size()))
				left := make(chan struct{}, producers)
				var wg sync.WaitGroup
				for range producers {
					wg.Add(1)
					go func() {
						defer wg.Done()
						for range left {
							put()
						}
					}()
				}
				for b.Loop() {
					left <- struct{}{}
				}
				close(left)
				wg.Wait()
				s.Close()
				_ = l.Remove()
			})
		}
	}
}
