package diskio

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OS is the operating system's file system.
func OS() FS { return osFS{} }

type osFS struct{}

var _ FS = osFS{}

func (osFS) OpenFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(name string) error     { return os.Remove(name) }
func (osFS) MkdirAll(dir string) error    { return os.MkdirAll(dir, 0o755) }

func (osFS) ReadDir(dir string) ([]Entry, error) {
	des, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, 0, len(des))
	for _, de := range des {
		info, err := de.Info()
		if os.IsNotExist(err) {
			continue // removed between the listing and the look
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Entry{Name: de.Name(), Size: info.Size(), Dir: de.IsDir()})
	}
	return out, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Lock is flock(2): the kernel drops it when the process ends, however it
// ends. The holder's pid is written into the file for whoever comes second.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &os.PathError{Op: "flock", Path: name, Err: err}
		}
		b := make([]byte, 20)
		n, _ := f.ReadAt(b, 0)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
		return nil, &ErrLocked{Path: name, PID: pid}
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// osFile is an *os.File with the calls that the os package lacks.
type osFile struct {
	*os.File
	iovs []unix.Iovec // WriteVec's, so that it allocates once; one writer at a time
}

func (f *osFile) OS() *os.File { return f.File }

// Sync is fdatasync(2): bytes and length, not the time of modification, which
// would cost a second write of the inode.
func (f *osFile) Sync() error {
	defer runtime.KeepAlive(f.File)
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

func (f *osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// maxIovecs is IOV_MAX of Linux.
const maxIovecs = 1024

// WriteVec is pwritev(2), called directly: the wrapper in x/sys builds a new
// vector on each call.
func (f *osFile) WriteVec(bufs [][]byte, off int64) (int64, error) {
	defer runtime.KeepAlive(f.File)
	var done int64
	skip := 0 // bytes of bufs[0] that are already out
	for len(bufs) > 0 {
		f.iovs = f.iovs[:0]
		for i, b := range bufs {
			if i == maxIovecs {
				break
			}
			if i == 0 {
				b = b[skip:]
			}
			if len(b) == 0 {
				continue
			}
			v := unix.Iovec{Base: unsafe.SliceData(b)}
			v.SetLen(len(b))
			f.iovs = append(f.iovs, v)
		}
		if len(f.iovs) == 0 {
			break
		}
		// On 64-bit systems the offset goes in one register; the second is
		// for systems that need two.
		n, _, errno := unix.Syscall6(unix.SYS_PWRITEV, f.Fd(), uintptr(unsafe.Pointer(&f.iovs[0])),
			uintptr(len(f.iovs)), uintptr(off+done), 0, 0)
		runtime.KeepAlive(bufs)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return done, &os.PathError{Op: "pwritev", Path: f.Name(), Err: errno}
		case n == 0:
			return done, &os.PathError{Op: "pwritev", Path: f.Name(), Err: io.ErrShortWrite}
		}
		done += int64(n)
		for skip += int(n); len(bufs) > 0 && skip >= len(bufs[0]); bufs = bufs[1:] {
			skip -= len(bufs[0])
		}
	}
	clear(f.iovs) // keep no reference to the caller's bytes
	return done, nil
}

// reserve takes blocks for size bytes without changing the file's length, so
// that a reader and a crash see what was written and no zeros. A file system
// that cannot is no reason to stop.
func reserve(f File, size int64) error {
	of := f.OS()
	if of == nil {
		return nil
	}
	defer runtime.KeepAlive(of)
	err := unix.Fallocate(int(of.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}
