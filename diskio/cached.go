package diskio

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// noCachestat is set when the kernel (before 6.5), or a sandbox, has no
// cachestat(2). Spans then count as cached: to be wrong costs the loop a wait,
// as it does on every broker that does not ask.
var noCachestat atomic.Bool

// Cached says whether the whole span is in the page cache, so that to send it
// waits for no disk. It costs a system call.
func (sp *Span) Cached() bool {
	f := sp.file.os
	if f == nil || noCachestat.Load() {
		return true
	}
	defer runtime.KeepAlive(f)
	page := int64(pageSize)
	rng := unix.CachestatRange{Off: uint64(sp.from.pos), Len: uint64(sp.Len())}
	var st unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &rng, &st, 0); err != nil {
		noCachestat.Store(true)
		return true
	}
	pages := (sp.to.pos-1)/page - sp.from.pos/page + 1
	return int64(st.Cache) >= pages
}

var pageSize = unix.Getpagesize()

var loadBuffers = sync.Pool{New: func() any { b := make([]byte, scanBuffer); return &b }}

// Load reads the span into the page cache. It blocks for as long as the disk
// takes: call it from a goroutine that may.
func (sp *Span) Load() error {
	b := loadBuffers.Get().(*[]byte)
	defer loadBuffers.Put(b)
	for off := int64(0); off < sp.Len(); {
		n, err := sp.ReadAt(*b, off)
		if err != nil && err != io.EOF {
			return sp.seg.l.readFault(sp.seg, sp.FirstOffset(), err)
		}
		off += int64(n)
	}
	return nil
}
