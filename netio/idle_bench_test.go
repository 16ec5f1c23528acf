package netio

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkIdle is the memory of this process that a connection holds which has
// sent one request and waits: heap and stacks, without the kernel's buffers. An
// op is a connection; the client's ends are bare descriptors.
func BenchmarkIdle(bb *testing.B) {
	for _, e := range engines {
		bb.Run("engine="+e.name, func(bb *testing.B) {
			b := newBench(bb, e.name, "classes")
			b.serveBare(ack)
			n := min(bb.N, 4000) // of the descriptors that a process has by default, with both ends
			var limit unix.Rlimit
			if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
				n = min(n, int(limit.Cur-200)/3)
			}
			var buf [12]byte
			round := func(c *rawClient) {
				c.write(frame(make([]byte, 100)))
				c.read(buf[:], len(buf))
			}
			round(b.rawDial())
			before := memoryHeld()
			clients := make([]*rawClient, n)
			for i := range clients {
				clients[i] = b.rawDial()
				round(clients[i])
			}
			after := memoryHeld()
			bb.ReportMetric(float64(after-before)/float64(n), "B/conn")
			bb.ReportMetric(0, "ns/op")
		})
	}
}

// memoryHeld is what the heap and the stacks hold once what is free is given up.
func memoryHeld() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
