package core

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"millrace/core/meta"
	"millrace/diskio"
)

// dataDir is the broker's log directory: whose it is, how it was left, and the
// checkpoints of its partitions. Names and formats are Kafka's; diskio.Dir has
// them.
type dataDir struct {
	fs        diskio.FS
	path      string
	clusterID string
	clean     bool // how the last broker left it
	log       *slog.Logger

	mu  sync.Mutex // Dir is not safe for concurrent use
	dir *diskio.Dir
	// Recovery points and log starts, as read at the start, of topics that have
	// been there ever since. Written under changeMu and mu, read under either.
	points map[diskio.Partition]int64
	starts map[diskio.Partition]int64
}

// openDataDir makes, locks and reads the directory.
func openDataDir(fs diskio.FS, path string, node int, log *slog.Logger) (*dataDir, error) {
	if fs == nil {
		fs = diskio.OS()
		if abs, err := filepath.Abs(path); err == nil {
			path = abs // told by DescribeLogDirs, and good wherever the process goes
		}
	}
	dir, err := diskio.OpenDir(fs, path)
	var locked *diskio.ErrLocked
	if errors.As(err, &locked) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use %s as the data directory: %w; mend that or choose another", path, err)
	}
	d := &dataDir{fs: fs, path: path, clean: dir.Clean(), log: log, dir: dir}
	if err := d.load(node); err != nil {
		d.unlock()
		return nil, err
	}
	return d, nil
}

func (d *dataDir) load(node int) (err error) {
	if owner := d.dir.Meta("node.id"); owner != "" && owner != strconv.Itoa(node) {
		return fmt.Errorf("data directory %s belongs to node.id %s, not %d: give the broker that id, or another directory", d.path, owner, node)
	}
	d.clusterID = d.dir.Meta("cluster.id")
	if d.clusterID == "" {
		d.clusterID = meta.NewID().String()
		if err := d.dir.SetMeta(map[string]string{
			"version": "1", "node.id": strconv.Itoa(node),
			"cluster.id": d.clusterID, "directory.id": meta.NewID().String(),
		}); err != nil {
			return fmt.Errorf("data directory %s cannot be written to: %w", d.path, err)
		}
	}
	if d.points, err = d.dir.Offsets(diskio.RecoveryPoints); err == nil {
		d.starts, err = d.dir.Offsets(diskio.StartOffsets)
	}
	return err
}

func (d *dataDir) unlock() { _ = d.dir.Close() }

func (d *dataDir) markClean() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dir.MarkClean()
}

// file is a path in the directory.
func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// space is the size of the directory's file system and what is free of it; -1
// where that cannot be known.
func (d *dataDir) space() (total, usable int64) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.path, &s); err != nil {
		return -1, -1
	}
	return int64(s.Blocks) * s.Bsize, int64(s.Bavail) * s.Bsize
}

func (p *partition) key() diskio.Partition { return diskio.Partition{Topic: p.topic, Index: p.index} }

// options tells diskio how the partition's log was left.
func (d *dataDir) options(p *partition) diskio.Options {
	return diskio.Options{
		Clean: d.clean, RecoveryPoint: d.points[p.key()], Start: d.starts[p.key()],
		Gaps: p.settings.Load().compact, Clock: p.b.now, Logger: d.log,
	}
}

// claim writes the topic's id into the partition's directory, or finds it
// there.
func (d *dataDir) claim(p *partition) error {
	dir := d.file(p.name)
	id, err := diskio.ReadPartitionMetadata(d.fs, dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return diskio.WritePartitionMetadata(d.fs, dir, diskio.TopicID(p.id))
	case err != nil:
		return err
	case id != diskio.TopicID(p.id):
		return fmt.Errorf("%s holds topic id %s, not %s", dir, id, p.id)
	}
	return nil
}

// maxFileName is the longest name that Linux file systems take. A topic's own is
// at most 249 long, so that "-12345" fits behind it, but no more.
const maxFileName = 255

const (
	deletedSuffix = "-delete" // a deleted topic's partition; its files are on their way out
	straySuffix   = "-stray"  // a partition that the metadata does not know
)

// sweep puts aside the directories of partitions that the metadata does not
// know, so that they are in nobody's way, and removes those that were deleted.
// What the checkpoints say of either is forgotten; stale says that there was
// any, and that they have to be written anew before a topic is made.
func (d *dataDir) sweep(image *meta.Image) (stale bool, err error) {
	parts, others, err := d.dir.Partitions()
	if err != nil {
		return false, fmt.Errorf("data directory: %w", err)
	}
	before := len(d.points) + len(d.starts)
	for _, p := range parts {
		name := p.DirName()
		id, err := diskio.ReadPartitionMetadata(d.fs, d.file(name))
		t := image.Topic(p.Topic)
		known := t != nil && int(p.Index) < len(t.Partitions)
		if known && (err != nil || meta.ID(id) == t.ID) {
			continue
		}
		d.forget(p)
		aside := d.aside(name, straySuffix)
		d.log.Warn("putting a partition aside that the metadata does not know", "directory", d.file(name), "as", aside)
		if err := d.fs.Rename(d.file(name), aside); err != nil {
			return false, fmt.Errorf("data directory: %w", err)
		}
	}
	for _, name := range others {
		if strings.HasSuffix(name, deletedSuffix) {
			d.removeAll(d.file(name))
		}
	}
	for _, known := range []map[diskio.Partition]int64{d.points, d.starts} {
		for p := range known {
			if t := image.Topic(p.Topic); t == nil || int(p.Index) >= len(t.Partitions) {
				d.forget(p)
			}
		}
	}
	return len(d.points)+len(d.starts) < before, nil
}

// forget drops what the checkpoints said of a partition. They go by names: the
// next topic of that name would begin where the old one did, and what it holds
// below would be taken for deleted.
func (d *dataDir) forget(p diskio.Partition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.points, p)
	delete(d.starts, p)
}

// aside is a name for a directory that is no partition's any more, and that no
// other has.
func (d *dataDir) aside(name, suffix string) string {
	id := "." + strings.ReplaceAll(meta.NewID().String(), "-", "_") + suffix
	return d.file(name[:min(len(name), maxFileName-len(id))] + id)
}

// removeAll deletes a partition's directory; one that will not go is left for
// the next start.
func (d *dataDir) removeAll(dir string) {
	entries, err := d.fs.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	for _, e := range entries {
		err = errors.Join(err, d.fs.Remove(filepath.Join(dir, e.Name)))
	}
	if err = errors.Join(err, d.fs.Remove(dir)); err != nil {
		d.log.Warn("a deleted partition's files are still there", "directory", dir, "err", oneLine(err))
	}
}

// read is the whole of a small file.
func (d *dataDir) read(name string, limit int64) ([]byte, error) {
	f, err := d.fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d make sense", name, size, limit)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); err != nil && (err != io.EOF || int64(n) < size) {
		return nil, err
	}
	return b, nil
}

// write replaces a file as a whole.
func (d *dataDir) write(dir, name string, b []byte) error {
	tmp := filepath.Join(dir, name+".tmp")
	f, err := d.fs.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.Rename(tmp, filepath.Join(dir, name)); err != nil {
		return err
	}
	return d.fs.SyncDir(dir)
}

// saveCheckpoints writes down how far each log is on stable storage and where
// it starts.
func (b *Broker) saveCheckpoints() error {
	return errors.Join(b.savePoints(), b.saveStarts())
}

func (b *Broker) savePoints() error {
	b.dir.mu.Lock()
	defer b.dir.mu.Unlock()
	points := map[diskio.Partition]int64{}
	for _, p := range b.view.Load().all() {
		if p.log != nil {
			points[p.key()] = p.log.Synced()
		} else if at, ok := b.dir.points[p.key()]; ok {
			points[p.key()] = at
		}
	}
	return b.dir.dir.SetOffsets(diskio.RecoveryPoints, points)
}

// saveStarts writes down where each log starts, where that is not where its
// first segment does.
func (b *Broker) saveStarts() error {
	b.dir.mu.Lock()
	defer b.dir.mu.Unlock()
	starts := map[diskio.Partition]int64{}
	for _, p := range b.view.Load().all() {
		if p.log != nil {
			if at := p.log.Start(); at > 0 {
				starts[p.key()] = at
			}
		} else if at, ok := b.dir.starts[p.key()]; ok {
			starts[p.key()] = at
		}
	}
	return b.dir.dir.SetOffsets(diskio.StartOffsets, starts)
}

// closePartitions closes every log, some at a time.
func (b *Broker) closePartitions() error {
	slots := make(chan struct{}, b.cfg.RecoveryThreads)
	var (
		mu   sync.Mutex
		errs []error
		wait sync.WaitGroup
	)
	view := b.view.Load()
	if view == nil {
		return nil
	}
	for _, p := range view.all() {
		slots <- struct{}{}
		wait.Add(1)
		go func() {
			defer func() { <-slots; wait.Done() }()
			if err := p.close(); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		}()
	}
	wait.Wait()
	return errors.Join(errs...)
}

// removeTopic ends the partitions of a deleted topic. Their directories are
// renamed at once, so that a topic of the same name can have its own, and
// removed in the background.
func (b *Broker) removeTopic(t *topic) {
	for _, p := range t.partitions {
		p.remove()
		b.dir.forget(p.key())
	}
}

func (p *partition) remove() {
	p.mu.Lock()
	p.state.Store(gone) // appends that wait for mu find it so
	p.mu.Unlock()
	// Without mu: both end in other people's code, or wait for it, that takes mu.
	p.tell(p.check(-1), untold)
	if p.log != nil {
		p.promise.Detach()
	}
	trash := p.b.dir.aside(p.name, deletedSuffix)
	if err := p.putAside(trash); err != nil {
		p.b.log.Error("deleting a partition's directory", "partition", p.name, "err", err)
		return
	}
	if p.log != nil {
		// The log lets go of its files; its directory is no longer there.
		if err := p.log.Remove(); err != nil {
			p.b.log.Error("deleting a partition", "partition", p.name, "err", err)
		}
	}
	p.b.removals.Add(1)
	go func() {
		defer p.b.removals.Done()
		p.b.dir.removeAll(trash)
	}()
}

// putAside renames the partition's directory, so that whoever writes snapshots
// into it has either done so or finds the partition gone. One that could never
// be opened may have none.
func (p *partition) putAside(as string) error {
	p.snapMu.Lock()
	defer p.snapMu.Unlock()
	err := p.b.fs.Rename(p.b.dir.file(p.name), as)
	if p.log == nil && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
