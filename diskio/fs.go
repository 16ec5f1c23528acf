package diskio

import (
	"io"
	"io/fs"
	"os"
)

// FS is the file system a log lies on. Names are paths as the os package takes
// them. Errors wrap the system's own (syscall.ENOSPC, fs.ErrNotExist).
type FS interface {
	// OpenFile opens a file to read and write. flag is os.O_RDWR or
	// os.O_RDONLY, with os.O_CREATE, os.O_EXCL and os.O_TRUNC as wanted.
	OpenFile(name string, flag int) (File, error)
	// Rename moves a file, over an existing one.
	Rename(from, to string) error
	// Remove deletes a file or an empty directory. A file that is open lives
	// on until it is closed.
	Remove(name string) error
	// MkdirAll makes a directory and those above it.
	MkdirAll(dir string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(dir string) ([]Entry, error)
	// SyncDir puts the directory's entries on stable storage: what was made,
	// renamed or removed in it.
	SyncDir(dir string) error
	// Lock takes the file as this process's alone until the Closer is closed.
	// The error of a lock that another holds is an *ErrLocked.
	Lock(name string) (io.Closer, error)
}

// Entry is one name in a directory.
type Entry struct {
	Name string
	Size int64
	Dir  bool
}

// File is an open file. ReadAt may run beside everything else; of the methods
// that write, one at a time may run, but for Sync.
type File interface {
	io.ReaderAt
	io.WriterAt
	// WriteVec writes bufs one after the other at off and returns how many
	// bytes went out, fewer than all only with an error. It does not keep bufs.
	WriteVec(bufs [][]byte, off int64) (int64, error)
	// Sync puts the file's bytes and size on stable storage.
	Sync() error
	// Truncate cuts the file, or lengthens it with zeros, and gives back
	// blocks reserved past the end.
	Truncate(size int64) error
	// Size is the length in bytes.
	Size() (int64, error)
	// OS is the operating system's file, nil where there is none. Whoever
	// uses its descriptor keeps the File open meanwhile.
	OS() *os.File
	Close() error
}

// ErrLocked says that another process holds a lock.
type ErrLocked struct {
	Path string
	PID  int // 0: unknown
}

func (e *ErrLocked) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = "process " + itoa(int64(e.PID))
	}
	return "diskio: " + e.Path + " is locked by " + who + "; stop it, or use another data directory"
}

// readFile is the whole of a small file, at most limit bytes of it.
func readFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, corrupt("%s has %d bytes, expected at most %d", name, size, limit)
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF && int64(n) == size {
		err = nil
	}
	return b[:n], err
}

// writeFileAtomic replaces a file as a whole: whoever opens it, also after a
// loss of power, sees the old bytes or the new.
func writeFileAtomic(fsys FS, dir, name string, b []byte) error {
	tmp := join(dir, name+".tmp")
	if err := writeFileSync(fsys, tmp, b); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, join(dir, name)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// writeFileSync writes a file and puts it on stable storage; its name is not,
// until SyncDir.
func writeFileSync(fsys FS, name string, b []byte) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// removeAll deletes dir and the files in it; logs have no subdirectories.
func removeAll(fsys FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := fsys.Remove(join(dir, e.Name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return fsys.Remove(dir)
}

func notExist(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }
