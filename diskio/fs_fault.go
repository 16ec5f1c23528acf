package diskio

import (
	"io"
	"os"
	"sync"
)

// FaultFS is another FS that fails on demand. Every method of the FS and of its
// files is one call, counted from 1.
type FaultFS struct {
	fs FS

	mu    sync.Mutex
	calls int64
	fault Fault
	trace []string
}

// Fault is what goes wrong.
type Fault struct {
	// Call is the number of the call that fails; 0: none.
	Call int64
	// Op, where set, makes Call count only calls of that name: open, rename,
	// remove, mkdir, readdir, syncdir, lock, read, write, sync, truncate, size,
	// close.
	Op string
	// Err is what it fails with, for instance syscall.ENOSPC.
	Err error
	// Short lets a failing write put down half of its bytes first.
	Short bool
	// Sticky makes every later call (of Op) fail too.
	Sticky bool
	// Lie makes the failing call do nothing and report success, as a disk does
	// that forgets its cache: for a checker's negative control.
	Lie bool
}

var _ FS = (*FaultFS)(nil)

// NewFault wraps fs; nothing fails until Set.
func NewFault(fs FS) *FaultFS { return &FaultFS{fs: fs} }

// Set arms a fault and starts the count anew.
func (f *FaultFS) Set(fault Fault) {
	f.mu.Lock()
	f.fault, f.calls, f.trace = fault, 0, nil
	f.mu.Unlock()
}

// Calls is the number of calls counted since Set, and the names of the first
// 10,000 of them.
func (f *FaultFS) Calls() (int64, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, f.trace
}

// hit counts a call and says what is to become of it.
func (f *FaultFS) hit(op string) (fails bool, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault.Op != "" && f.fault.Op != op {
		return false, f.fault
	}
	f.calls++
	if len(f.trace) < 10000 {
		f.trace = append(f.trace, op)
	}
	n := f.fault.Call
	return n > 0 && (f.calls == n || f.calls > n && f.fault.Sticky), f.fault
}

// do runs a call that has nothing to do halfway.
func (f *FaultFS) do(op string, call func() error) error {
	fails, fault := f.hit(op)
	switch {
	case !fails:
		return call()
	case fault.Lie:
		return nil
	}
	return &os.PathError{Op: op, Path: "fault", Err: fault.Err}
}

func (f *FaultFS) OpenFile(name string, flag int) (File, error) {
	var file File
	err := f.do("open", func() (err error) { file, err = f.fs.OpenFile(name, flag); return err })
	if err != nil {
		return nil, err
	}
	if file == nil { // a lie: there is no such thing for open
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrInvalid}
	}
	return &faultFile{f, file}, nil
}

func (f *FaultFS) Rename(from, to string) error {
	return f.do("rename", func() error { return f.fs.Rename(from, to) })
}

func (f *FaultFS) Remove(name string) error {
	return f.do("remove", func() error { return f.fs.Remove(name) })
}

func (f *FaultFS) MkdirAll(dir string) error {
	return f.do("mkdir", func() error { return f.fs.MkdirAll(dir) })
}

func (f *FaultFS) ReadDir(dir string) (out []Entry, err error) {
	err = f.do("readdir", func() (err error) { out, err = f.fs.ReadDir(dir); return err })
	return out, err
}

func (f *FaultFS) SyncDir(dir string) error {
	return f.do("syncdir", func() error { return f.fs.SyncDir(dir) })
}

func (f *FaultFS) Lock(name string) (c io.Closer, err error) {
	err = f.do("lock", func() (err error) { c, err = f.fs.Lock(name); return err })
	return c, err
}

type faultFile struct {
	f    *FaultFS
	file File
}

var _ File = (*faultFile)(nil)

func (x *faultFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = x.f.do("read", func() (err error) { n, err = x.file.ReadAt(p, off); return err })
	return n, err
}

func (x *faultFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := x.WriteVec([][]byte{p}, off)
	return int(n), err
}

func (x *faultFile) WriteVec(bufs [][]byte, off int64) (int64, error) {
	fails, fault := x.f.hit("write")
	var total int64
	for _, b := range bufs {
		total += int64(len(b))
	}
	switch {
	case !fails:
		return x.file.WriteVec(bufs, off)
	case fault.Lie:
		return total, nil
	}
	var done int64
	for half := total / 2; fault.Short && done < half; {
		b := bufs[0][:min(int64(len(bufs[0])), half-done)]
		n, err := x.file.WriteAt(b, off+done)
		done += int64(n)
		if err != nil {
			break
		}
		bufs = bufs[1:]
	}
	return done, &os.PathError{Op: "write", Path: "fault", Err: fault.Err}
}

func (x *faultFile) Sync() error { return x.f.do("sync", x.file.Sync) }

func (x *faultFile) Truncate(size int64) error {
	return x.f.do("truncate", func() error { return x.file.Truncate(size) })
}

func (x *faultFile) Size() (n int64, err error) {
	err = x.f.do("size", func() (err error) { n, err = x.file.Size(); return err })
	return n, err
}

// OS is nil, so that every byte passes here.
func (x *faultFile) OS() *os.File { return nil }

// Close closes the file whatever it says, so that a test leaks no descriptor.
func (x *faultFile) Close() error {
	err := x.file.Close()
	if ferr := x.f.do("close", func() error { return nil }); ferr != nil {
		return ferr
	}
	return err
}
