package netio

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
)

// maxPooled is the largest buffer that is kept for reuse. A request near
// Kafka's default record batch limit of 1 MiB fits with room; what is larger is
// rare, and a pool full of 100 MiB buffers would never shrink.
const maxPooled = 4 << 20

// PoolStats counts what a pool did.
type PoolStats struct {
	Gets    atomic.Int64
	Puts    atomic.Int64
	Allocs  atomic.Int64 // Gets that had to allocate
	Dropped atomic.Int64 // Puts too large to keep
}

// pools are the alternatives of buffer.pool. Joining the table enrols one in
// the knob, the conformance suite and the benchmarks.
var pools = []struct {
	name string
	make func(*PoolStats) Pool
}{
	{"bytebufferpool", func(st *PoolStats) Pool { return &calibratedPool{stats: st} }},
	{"classes", func(st *PoolStats) Pool { return &classPool{stats: st} }},
	{"none", func(st *PoolStats) Pool { return heapPool{stats: st} }},
}

func poolNames() []string {
	var names []string
	for _, p := range pools {
		names = append(names, p.name)
	}
	return names
}

func newPool(name string, st *PoolStats) Pool {
	for _, p := range pools {
		if p.name == name {
			return p.make(st)
		}
	}
	return nil
}

var (
	_ Pool = &calibratedPool{}
	_ Pool = &classPool{}
	_ Pool = heapPool{}
)

// calibratedPool is valyala's bytebufferpool, which learns the sizes in use
// from what comes back. Its pool hands out any buffer it has, so there is one
// for each of four ranges of size: a heartbeat must not hold a buffer that a
// produce request has grown.
type calibratedPool struct {
	stats *PoolStats
	bands [4]bytebufferpool.Pool
}

func (p *calibratedPool) band(n int) *bytebufferpool.Pool {
	switch {
	case n <= 4<<10:
		return &p.bands[0]
	case n <= 64<<10:
		return &p.bands[1]
	case n <= 512<<10:
		return &p.bands[2]
	}
	return &p.bands[3]
}

func (p *calibratedPool) Get(n int) *Buffer {
	p.stats.Gets.Add(1)
	if n > maxPooled {
		p.stats.Allocs.Add(1)
		return &Buffer{B: make([]byte, n)}
	}
	b := p.band(n).Get()
	if cap(b.B) < n {
		p.stats.Allocs.Add(1)
		b.B = make([]byte, n)
	}
	b.B = b.B[:n]
	return b
}

func (p *calibratedPool) Put(b *Buffer) {
	if b == nil {
		return
	}
	p.stats.Puts.Add(1)
	if cap(b.B) > maxPooled {
		p.stats.Dropped.Add(1)
		return
	}
	// The pool learns from len, and what will be asked for is a capacity.
	b.B = b.B[:cap(b.B)]
	p.band(cap(b.B)).Put(b)
}

// classPool keeps a sync.Pool for each size class. There are four classes to a
// doubling, so that a buffer is at most a quarter larger than asked:
//
//	256 320 384 448 512 640 768 896 1024 … 4 MiB
type classPool struct {
	stats   *PoolStats
	classes [classCount]sync.Pool
}

const (
	minClassBits = 8
	maxClassBits = 22 // maxPooled
	classCount   = (maxClassBits-minClassBits)*4 + 1
)

// classSize is the capacity of buffers of class i.
func classSize(i int) int {
	return (4 + i%4) << (minClassBits - 2 + i/4)
}

// classFor is the smallest class whose buffers hold n bytes; n <= maxPooled.
func classFor(n int) int {
	if n <= 1<<minClassBits {
		return 0
	}
	// The doubling (1<<e, 1<<(e+1)] that n lies in, then the quarter of it.
	e := bits.Len(uint(n-1)) - 1
	quarter := (n - 1 - 1<<e) >> (e - 2)
	return (e-minClassBits)*4 + quarter + 1
}

func (p *classPool) Get(n int) *Buffer {
	p.stats.Gets.Add(1)
	if n > maxPooled {
		p.stats.Allocs.Add(1)
		return &Buffer{B: make([]byte, n)}
	}
	i := classFor(n)
	if b, _ := p.classes[i].Get().(*Buffer); b != nil {
		b.B = b.B[:n]
		return b
	}
	p.stats.Allocs.Add(1)
	return &Buffer{B: make([]byte, n, classSize(i))}
}

func (p *classPool) Put(b *Buffer) {
	if b == nil {
		return
	}
	p.stats.Puts.Add(1)
	c := cap(b.B)
	if c > maxPooled || c < 1<<minClassBits {
		p.stats.Dropped.Add(1)
		return
	}
	i := classFor(c)
	if classSize(i) > c { // grown by append to between two classes
		i--
	}
	p.classes[i].Put(b)
}

// heapPool allocates each buffer and leaves it to the garbage collector.
type heapPool struct{ stats *PoolStats }

func (p heapPool) Get(n int) *Buffer {
	p.stats.Gets.Add(1)
	p.stats.Allocs.Add(1)
	return &Buffer{B: make([]byte, n)}
}

func (p heapPool) Put(b *Buffer) {
	if b != nil {
		p.stats.Puts.Add(1)
		p.stats.Dropped.Add(1)
	}
}
