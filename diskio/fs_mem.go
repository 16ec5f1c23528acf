package diskio

import (
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
)

// MemFS is a file system in memory that knows, besides what a program sees,
// what a loss of power would leave: bytes that were synced, under names whose
// directory was. CrashClone shows it.
type MemFS struct {
	mu     sync.Mutex
	names  map[string]*memNode        // path → file or directory
	stable map[string]*memNode        // what SyncDir has put down; directories are stable at once
	kids   map[string]map[string]bool // directory → paths in it, of either map; some are in neither any more
	locks  map[string]bool
	moved  [][2]string // renames since their directory was synced: from, to
}

// memNode is a file or a directory.
type memNode struct {
	dir  bool
	data []byte
	// synced is data as of the last Sync; bytes in [lo, hi) may differ since.
	synced []byte
	lo, hi int
}

var _ FS = (*MemFS)(nil)

// NewMem is an empty file system.
func NewMem() *MemFS {
	return &MemFS{names: map[string]*memNode{}, stable: map[string]*memNode{}, kids: map[string]map[string]bool{}, locks: map[string]bool{}}
}

// Crash says what else a loss of power leaves beside what was synced.
type Crash struct {
	// Seed makes the choice repeatable.
	Seed uint64
	// Survives is the chance that a page written since the last Sync, a change
	// of length, or a change of a directory is found on the disk; 0: only what
	// was synced. Pages survive one by one, as kernels write them: in no order.
	Survives float64
}

// crashPage is what survives as a whole: a sector, the least that a disk writes.
const crashPage = 512

// CrashClone is the file system that a machine would find when power had gone
// out now. The original goes on unharmed. Locks are gone.
func (m *MemFS) CrashClone(c Crash) *MemFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	rng := rand.New(rand.NewPCG(c.Seed, 0))
	out := NewMem()
	clones := map[*memNode]*memNode{}
	fate := m.fates()
	drawn := map[string]bool{}
	for _, path := range sortedKeys(m.names, m.stable) {
		n := m.stable[path]
		survives, known := drawn[fate(path)]
		if !known && n != m.names[path] {
			survives = rng.Float64() < c.Survives
			drawn[fate(path)] = survives
		}
		if now := m.names[path]; n != now && survives {
			n = now
		}
		if n == nil {
			continue
		}
		if clones[n] == nil {
			clones[n] = n.crash(rng, c.Survives)
		}
		out.put(path, clones[n])
		out.stable[path] = clones[n]
	}
	return out
}

// fates says which names' changes reach the disk together: those that renames
// have tied to each other. A file system with a journal writes both names of a
// rename at once; one that could lose a file's old name and not have the new is
// none that a log could be kept on.
func (m *MemFS) fates() func(path string) string {
	parent := map[string]string{}
	root := func(p string) string {
		for parent[p] != "" {
			p = parent[p]
		}
		return p
	}
	for _, r := range m.moved {
		if a, b := root(r[0]), root(r[1]); a != b {
			parent[a] = b
		}
	}
	return root
}

func sortedKeys(maps ...map[string]*memNode) []string {
	seen := map[string]bool{}
	var keys []string
	for _, m := range maps {
		for k := range m {
			if !seen[k] {
				seen[k] = true
				keys = append(keys, k)
			}
		}
	}
	sort.Strings(keys)
	return keys
}

func (n *memNode) crash(rng *rand.Rand, survives float64) *memNode {
	if n.dir {
		return &memNode{dir: true}
	}
	data := append([]byte(nil), n.synced...)
	if survives > 0 && n.lo < n.hi || len(n.data) != len(n.synced) {
		// The length may be anything between the two: it is written on its own.
		a, b := len(n.synced), len(n.data)
		if rng.Float64() < survives {
			lo, hi := min(a, b), max(a, b)
			size := lo + rng.IntN(hi-lo+1)
			data = append(data, make([]byte, max(size-len(data), 0))...)[:size]
		}
		for at := n.lo / crashPage * crashPage; at < min(n.hi, len(data)); at += crashPage {
			if rng.Float64() < survives {
				end := min(at+crashPage, len(data), len(n.data))
				if at < end {
					copy(data[at:end], n.data[at:end])
				}
			}
		}
	}
	return &memNode{data: data, synced: append([]byte(nil), data...)}
}

// put names a file or directory. The lock is held.
func (m *MemFS) put(path string, n *memNode) {
	m.names[path] = n
	dir := filepath.Dir(path)
	if dir == path {
		return // the root, and "." of relative names, are in no directory
	}
	if m.kids[dir] == nil {
		m.kids[dir] = map[string]bool{}
	}
	m.kids[dir][path] = true
}

func (m *MemFS) OpenFile(name string, flag int) (File, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	switch {
	case n != nil && n.dir:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case n != nil && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case n == nil && (flag&os.O_CREATE == 0 || m.names[filepath.Dir(name)] == nil):
		return nil, notExist(name)
	case n == nil:
		n = &memNode{}
		m.put(name, n)
	case flag&os.O_TRUNC != 0:
		n.resize(0)
	}
	return &memFile{m: m, n: n}, nil
}

func (m *MemFS) Rename(from, to string) error {
	from, to = filepath.Clean(from), filepath.Clean(to)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[from]
	if n == nil {
		return notExist(from)
	}
	if n.dir {
		m.renameDirLocked(from, to)
		return nil
	}
	delete(m.names, from)
	m.put(to, n)
	m.moved = append(m.moved, [2]string{from, to})
	return nil
}

// renameDirLocked moves a directory and all that lies in it, on the disk at
// once: directories are stable here.
func (m *MemFS) renameDirLocked(from, to string) {
	renamed := func(path string) string {
		if path == from {
			return to
		}
		if rest, ok := strings.CutPrefix(path, from+"/"); ok {
			return filepath.Join(to, rest)
		}
		return path
	}
	for _, names := range []map[string]*memNode{m.names, m.stable} {
		for _, path := range sortedKeys(names) {
			if now := renamed(path); now != path {
				names[now] = names[path]
				delete(names, path)
			}
		}
	}
	for i := range m.moved {
		m.moved[i] = [2]string{renamed(m.moved[i][0]), renamed(m.moved[i][1])}
	}
}

func (m *MemFS) Remove(name string) error {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		return notExist(name)
	}
	if n.dir {
		for p := range m.kids[name] {
			if m.names[p] != nil {
				return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
			}
		}
		delete(m.stable, name)
	}
	delete(m.names, name)
	return nil
}

func (m *MemFS) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for dir = filepath.Clean(dir); m.names[dir] == nil; dir = filepath.Dir(dir) {
		n := &memNode{dir: true}
		m.put(dir, n)
		m.stable[dir] = n
	}
	return nil
}

func (m *MemFS) ReadDir(dir string) ([]Entry, error) {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.names[dir]; n == nil || !n.dir {
		return nil, notExist(dir)
	}
	var out []Entry
	for p := range m.kids[dir] {
		if n := m.names[p]; n != nil {
			out = append(out, Entry{Name: filepath.Base(p), Size: int64(len(n.data)), Dir: n.dir})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

func (m *MemFS) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.kids[dir] {
		if n := m.names[p]; n != nil {
			m.stable[p] = n
		} else {
			delete(m.stable, p)
			delete(m.kids[dir], p)
		}
	}
	m.moved = slices.DeleteFunc(m.moved, func(r [2]string) bool { return filepath.Dir(r[1]) == dir })
	return nil
}

func (m *MemFS) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, &ErrLocked{Path: name, PID: os.Getpid()}
	}
	m.locks[name] = true
	return memLock{m, name}, nil
}

type memLock struct {
	m    *MemFS
	name string
}

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

func (n *memNode) touch(lo, hi int) {
	if n.lo >= n.hi {
		n.lo, n.hi = lo, hi
	}
	n.lo, n.hi = min(n.lo, lo), max(n.hi, hi)
}

func (n *memNode) resize(size int) {
	old := len(n.data)
	if size > cap(n.data) {
		n.data = append(make([]byte, 0, max(size, 2*cap(n.data))), n.data...)
	}
	n.data = n.data[:size]
	if size > old {
		clear(n.data[old:])
	}
	n.touch(min(size, old), max(size, old))
}

// memFile is an open memNode.
type memFile struct {
	m *MemFS
	n *memNode
}

var _ File = (*memFile)(nil)

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	end := int(off) + len(p)
	if end > len(f.n.data) {
		f.n.resize(end)
	}
	copy(f.n.data[off:], p)
	f.n.touch(int(off), end)
	return len(p), nil
}

func (f *memFile) WriteVec(bufs [][]byte, off int64) (int64, error) {
	var done int64
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+done)
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	n := f.n
	n.synced = append(n.synced, make([]byte, max(len(n.data)-len(n.synced), 0))...)[:len(n.data)]
	if lo, hi := min(n.lo, len(n.data)), min(n.hi, len(n.data)); lo < hi {
		copy(n.synced[lo:hi], n.data[lo:hi])
	}
	n.lo, n.hi = 0, 0
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.resize(int(size))
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), nil
}

func (f *memFile) OS() *os.File { return nil }
func (f *memFile) Close() error { return nil }
