package limits

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"millrace/results"
)

// spare is what WarmUp leaves of the memory that is available: a machine whose
// last pages are taken stalls everything that runs on it.
const spare = 4 << 30

// Warmed is page cache that was touched. Memory that a virtual machine has not
// used for a while has gone back to the hypervisor and costs seconds of CPU for
// each GB to come again; what is held is not given back. The nil Warmed is
// empty.
type Warmed struct {
	f    *os.File
	size int64
}

// WarmUp touches n bytes of page cache, or as many as leave 4 GiB available, by
// reading a sparse file in dir, and holds them until Close. It takes 0.3 s for
// each GB that is warm already and 2 to 3 s for one that is not. The error says
// why it stopped early; what was warmed until then is held.
func WarmUp(ctx context.Context, dir string, n int64, progress func(done, total int64)) (*Warmed, error) {
	if room := available() - spare; n > room {
		n = max(0, room)
	}
	if n == 0 {
		return nil, fmt.Errorf("less than %s is available", results.FormatBytes(spare))
	}
	f, err := os.CreateTemp(dir, "millrace-warm-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // it lives as long as it is open, and no longer
	w := &Warmed{f: f, size: n}
	if err := f.Truncate(n); err != nil {
		w.Close()
		return nil, err
	}
	buf := make([]byte, mib)
	for off := int64(0); off < n; off += mib {
		if off%(1024*mib) == 0 && progress != nil {
			progress(off, n)
		}
		if ctx.Err() != nil || off%(256*mib) == 0 && available() < spare/2 {
			w.size = off
			_ = f.Truncate(off)
			if ctx.Err() != nil {
				return w, ctx.Err()
			}
			return w, fmt.Errorf("stopped at %s: others take the memory", results.FormatBytes(float64(off)))
		}
		if _, err := f.ReadAt(buf[:min(mib, n-off)], off); err != nil {
			return w, err
		}
	}
	return w, nil
}

// Size is the bytes that were touched.
func (w *Warmed) Size() int64 {
	if w == nil {
		return 0
	}
	return w.size
}

// Let frees n bytes of it: they are what the system takes next. One page of each
// keep stays: what is free then never makes a whole huge page, the least that a
// guest reports to its hypervisor as unused, and so stays warm however long it
// takes until it is used. The kernel takes from such pieces before it breaks up a
// whole one. What is not freed stays page cache that nobody needs, which the
// kernel gives to whoever asks once nothing is free.
func (w *Warmed) Let(n int64) {
	if w == nil {
		return
	}
	page := int64(os.Getpagesize())
	for off := max(0, w.size-n) / keep * keep; off < w.size; off += keep {
		err := unix.Fallocate(int(w.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off+page, keep-page)
		if err != nil { // the file system has no holes: free the end, for as long as it stays warm
			_ = w.f.Truncate(max(0, w.size-n))
			return
		}
	}
}

// keep is half of a huge page: whatever the alignment of memory, one page stays
// in each.
const keep = 1 << 20

// Close frees all.
func (w *Warmed) Close() {
	if w != nil {
		w.f.Close()
	}
}

// available is MemAvailable of /proc/meminfo in bytes; 0: unknown.
func available() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if text, ok := strings.CutPrefix(sc.Text(), "MemAvailable:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// touched is how much memory MemoryCost takes: 0.05 s where it is warm.
const touched = 128 << 20

// MemoryCost is the CPU seconds that 10^9 bytes of fresh memory cost in single
// pages, as page cache takes it: about 0.4 where the machine has the memory,
// 2 to 3 where a hypervisor must bring it first.
func MemoryCost() (float64, error) {
	m, err := unix.Mmap(-1, 0, touched, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 0, fmt.Errorf("mmap: %w", err)
	}
	defer func() { _ = unix.Munmap(m) }()
	_ = unix.Madvise(m, unix.MADV_NOHUGEPAGE)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadCPU()
	for i := 0; i < len(m); i += 4096 {
		m[i] = 1
	}
	return (threadCPU() - began).Seconds() / (touched / 1e9), nil
}
