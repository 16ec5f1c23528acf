package diskio

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
)

// The files at the root of a data directory, named as Kafka names them.
const (
	lockFile      = ".lock"
	cleanFile     = ".kafka_cleanshutdown"
	metaFile      = "meta.properties"
	maxSmallFile  = 64 << 20 // of a checkpoint: about a million partitions
	maxNameLength = 249      // of a topic

	// PartitionMetadataFile holds a partition's topic id as text:
	//
	//	version: 0
	//	topic_id: AAAAAAAAAAAAAAAAAAAAAA    16 bytes in URL-safe base64
	PartitionMetadataFile = "partition.metadata"
)

// Checkpoint names a file of one offset per partition, as text:
//
//	0                   version
//	2                   entries
//	events 0 1042       topic, partition, offset
//	events 1 998
//
// Source: Kafka's OffsetCheckpointFile.
type Checkpoint string

// Kafka's checkpoints.
const (
	RecoveryPoints Checkpoint = "recovery-point-offset-checkpoint" // Log.Synced
	StartOffsets   Checkpoint = "log-start-offset-checkpoint"      // Log.Start, where it is not the first segment's
	HighWatermarks Checkpoint = "replication-offset-checkpoint"    // what all replicas have
	CleanerOffsets Checkpoint = "cleaner-offset-checkpoint"        // up to where compaction came
)

// Partition names one partition.
type Partition struct {
	Topic string
	Index int32
}

// DirName is the name of the partition's directory: topic-index.
func (p Partition) DirName() string { return p.Topic + "-" + strconv.Itoa(int(p.Index)) }

// ParseDirName takes a directory's name apart; ok is false where it is no
// partition's (Kafka's own -delete, -future and -stray are none either).
func ParseDirName(name string) (p Partition, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 || i > maxNameLength {
		return Partition{}, false
	}
	n, err := strconv.ParseUint(name[i+1:], 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != name[i+1:] {
		return Partition{}, false
	}
	return Partition{name[:i], int32(n)}, true
}

// Dir is the root of a data directory, held by this process alone. It is not
// safe for concurrent use, but for Offsets and SetOffsets of different
// checkpoints.
type Dir struct {
	fs    FS
	path  string
	lock  io.Closer
	clean bool
	metas map[string]string
}

// OpenDir makes the directory if it is missing, locks it (an *ErrLocked names
// the process that was first), and takes away the mark of a clean shutdown, so
// that a crash from now on is seen as one.
func OpenDir(fs FS, path string) (*Dir, error) {
	if err := fs.MkdirAll(path); err != nil {
		return nil, fmt.Errorf("diskio: data directory: %w", err)
	}
	lock, err := fs.Lock(join(path, lockFile))
	if err != nil {
		return nil, err
	}
	d := &Dir{fs: fs, path: path, lock: lock}
	if err := d.open(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("diskio: data directory: %w", err)
	}
	return d, nil
}

func (d *Dir) open() error {
	b, err := readFile(d.fs, join(d.path, metaFile), 1<<20)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	d.metas = parseProperties(b)
	err = d.fs.Remove(join(d.path, cleanFile))
	if os.IsNotExist(err) {
		return nil
	}
	d.clean = err == nil
	if err == nil {
		err = d.fs.SyncDir(d.path)
	}
	return err
}

// Path is where the directory lies.
func (d *Dir) Path() string { return d.path }

// Clean says that the directory was left by MarkClean, or by Kafka's clean
// shutdown.
func (d *Dir) Clean() bool { return d.clean }

// MarkClean says that every log was closed without an error.
func (d *Dir) MarkClean() error {
	if err := writeFileSync(d.fs, join(d.path, cleanFile), []byte(`{"version":0,"brokerEpoch":-1}`)); err != nil {
		return err
	}
	return d.fs.SyncDir(d.path)
}

// Close gives up the lock.
func (d *Dir) Close() error { return d.lock.Close() }

// Meta is a value of meta.properties, "" where it is not set: cluster.id,
// node.id, directory.id, version.
func (d *Dir) Meta(key string) string { return d.metas[key] }

// SetMeta changes values of meta.properties and writes the file.
func (d *Dir) SetMeta(values map[string]string) error {
	for k, v := range values {
		if strings.ContainsAny(k+v, "=\n\r") {
			return fmt.Errorf("diskio: %s: %q=%q cannot be written", metaFile, k, v)
		}
		d.metas[k] = v
	}
	keys := make([]string, 0, len(d.metas))
	for k := range d.metas {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var b []byte
	for _, k := range keys {
		b = fmt.Appendf(b, "%s=%s\n", k, d.metas[k])
	}
	return writeFileAtomic(d.fs, d.path, metaFile, b)
}

// parseProperties reads key=value lines; # begins a comment. Java escapes
// colons and the like in values; broker and cluster ids have none.
func parseProperties(b []byte) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		k, v, ok := strings.Cut(line, "=")
		if ok && !strings.HasPrefix(line, "#") {
			m[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return m
}

// Partitions lists the partitions that have a directory, and the directories
// that are no partition's.
func (d *Dir) Partitions() (parts []Partition, others []string, err error) {
	entries, err := d.fs.ReadDir(d.path)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !e.Dir {
			continue
		}
		if p, ok := ParseDirName(e.Name); ok {
			parts = append(parts, p)
		} else {
			others = append(others, e.Name)
		}
	}
	return parts, others, nil
}

// LogDir is the directory of p's log.
func (d *Dir) LogDir(p Partition) string { return join(d.path, p.DirName()) }

// Offsets reads a checkpoint; a missing one is empty.
func (d *Dir) Offsets(c Checkpoint) (map[Partition]int64, error) {
	m := map[Partition]int64{}
	b, err := readFile(d.fs, join(d.path, string(c)), maxSmallFile)
	if os.IsNotExist(err) {
		return m, nil
	}
	if err == nil {
		err = parseCheckpoint(b, func(line string) error {
			f := strings.Fields(line)
			if len(f) != 3 {
				return corrupt("line %q is no topic, partition and offset", line)
			}
			part, err1 := strconv.ParseInt(f[1], 10, 32)
			offset, err2 := strconv.ParseInt(f[2], 10, 64)
			if err1 != nil || err2 != nil || part < 0 || offset < 0 {
				return corrupt("line %q is no topic, partition and offset", line)
			}
			m[Partition{f[0], int32(part)}] = offset
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("diskio: %s: %w", join(d.path, string(c)), err)
	}
	return m, nil
}

// SetOffsets replaces a checkpoint as a whole; it is on stable storage when
// SetOffsets returns.
func (d *Dir) SetOffsets(c Checkpoint, offsets map[Partition]int64) error {
	parts := make([]Partition, 0, len(offsets))
	for p := range offsets {
		parts = append(parts, p)
	}
	sort.Slice(parts, func(i, j int) bool {
		if parts[i].Topic != parts[j].Topic {
			return parts[i].Topic < parts[j].Topic
		}
		return parts[i].Index < parts[j].Index
	})
	b := fmt.Appendf(nil, "0\n%d\n", len(parts))
	for _, p := range parts {
		b = fmt.Appendf(b, "%s %d %d\n", p.Topic, p.Index, offsets[p])
	}
	return writeFileAtomic(d.fs, d.path, string(c), b)
}

// TopicID is a topic's id.
type TopicID [16]byte

// String is Kafka's text form.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// WritePartitionMetadata puts a partition's topic id into its directory.
func WritePartitionMetadata(fs FS, dir string, id TopicID) error {
	return writeFileAtomic(fs, dir, PartitionMetadataFile, fmt.Appendf(nil, "version: 0\ntopic_id: %s\n", id))
}

// ReadPartitionMetadata reads it back; the error is os.ErrNotExist where there
// is none.
func ReadPartitionMetadata(fs FS, dir string) (id TopicID, err error) {
	b, err := readFile(fs, join(dir, PartitionMetadataFile), 4096)
	if err != nil {
		return id, err
	}
	_, text, ok := bytes.Cut(b, []byte("topic_id:"))
	if ok {
		var raw []byte
		if raw, err = base64.RawURLEncoding.DecodeString(string(bytes.TrimSpace(text))); err == nil && len(raw) == len(id) {
			return TopicID(raw), nil
		}
	}
	return id, corrupt("%s: %q", join(dir, PartitionMetadataFile), b)
}
