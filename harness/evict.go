package harness

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"millrace/results"
)

// eviction is what leaving the page cache came to.
type eviction struct{ bytes, stayed int64 }

func (e eviction) String() string {
	return fmt.Sprintf("%s of the target's files left the page cache; %s stayed, being mapped or written",
		results.FormatBytes(float64(e.bytes-e.stayed)), results.FormatBytes(float64(e.stayed)))
}

// evict makes what lies in dir leave the page cache: it is written to the disk
// first, as only clean pages can go. Nothing else on the machine is touched.
func evict(dir string) (e eviction, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // gone meanwhile: a segment that was deleted
		}
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || info.Size() == 0 {
			return err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		e.bytes += info.Size()
		e.stayed += resident(f, info.Size())
		return nil
	})
	return e, err
}

// resident is how many bytes of a file are in the page cache.
func resident(f *os.File, size int64) (n int64) {
	m, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0
	}
	defer func() { _ = unix.Munmap(m) }()
	page := int64(os.Getpagesize())
	vec := make([]byte, (size+page-1)/page)
	if mincore(m, vec) != nil {
		return 0
	}
	for _, v := range vec {
		n += int64(v&1) * page
	}
	return min(n, size)
}

// mincore says of each page of m whether it is in memory, in the lowest bit.
func mincore(m, vec []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
