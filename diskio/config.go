package diskio

import (
	"time"

	"millrace/internal/knob"
)

// Config is the settings of a log. A topic may override those that Kafka lets
// a topic override.
type Config struct {
	SegmentBytes       int64         // roll before a segment would grow past it
	SegmentTime        time.Duration // roll when the segment's first batch is older
	SegmentJitter      time.Duration // most that is taken off SegmentTime
	SegmentIndexBytes  int64         // roll when an index has as many bytes
	IndexIntervalBytes int64         // an index entry when more bytes came since the last
	Preallocate        bool          // take a segment's blocks when it is begun

	AppendMode   string        // direct, grouped
	ReadPath     string        // sendfile, copy, mmap
	ColdRead     string        // inline, prefetch
	SyncPolicy   string        // page-cache, interval, group, each
	SyncInterval time.Duration // of the policy interval
	SyncWorkers  int           // goroutines that call fsync, for one Syncer

	RetentionTime  time.Duration // delete segments whose newest record is older; -1: never
	RetentionBytes int64         // delete the oldest segments beyond this size; -1: never
}

// The values of the enumerated knobs that code outside this package asks for.
const (
	AppendGrouped = "grouped"

	ColdInline   = "inline"
	ColdPrefetch = "prefetch"

	SyncPageCache = "page-cache"
	SyncInterval  = "interval"
	SyncGroup     = "group"
	SyncEach      = "each"
)

// maxSegmentBytes is Kafka's limit: positions in an index are int32.
const maxSegmentBytes = 1<<31 - 1

// minSegmentBytes is far below what is sensible, so that a test can roll at
// every batch. Kafka allowed 14 bytes until 4.0.
const minSegmentBytes = 128

const forever = time.Duration(1<<63 - 1)

// Defaults is Kafka's own where Kafka has the setting.
func Defaults() Config {
	return Config{
		SegmentBytes:       1 << 30,
		SegmentTime:        7 * 24 * time.Hour,
		SegmentIndexBytes:  10 << 20,
		IndexIntervalBytes: 4096,

		AppendMode:   appendModes[0].name,
		ReadPath:     readPaths[0].name,
		ColdRead:     ColdPrefetch,
		SyncPolicy:   SyncPageCache,
		SyncInterval: time.Second,
		SyncWorkers:  4,

		RetentionTime:  7 * 24 * time.Hour,
		RetentionBytes: -1,
	}
}

// Register declares the knobs over c; the values c holds are the defaults.
func (c *Config) Register(s *knob.Set) {
	s.Bytes(&c.SegmentBytes, "segment.bytes", "size at which a segment is closed and the next begun",
		knob.Range(minSegmentBytes, maxSegmentBytes), knob.PerTopic(), knob.Kafka("log.segment.bytes"))
	s.Duration(&c.SegmentTime, "segment.ms", "age at which a segment that is not full is closed",
		knob.Within(time.Millisecond, forever), knob.PerTopic(), knob.Kafka("log.roll.ms"))
	s.Duration(&c.SegmentJitter, "segment.jitter.ms", "most by which segment.ms is shortened, otherwise for each segment, so that not all are closed at once",
		knob.Within(0, forever), knob.PerTopic(), knob.Kafka("log.roll.jitter.ms"))
	s.Bytes(&c.SegmentIndexBytes, "segment.index.bytes", "size at which an index is full and its segment closed",
		knob.Range(24, maxSegmentBytes), knob.PerTopic(), knob.Kafka("log.index.size.max.bytes"))
	s.Bytes(&c.IndexIntervalBytes, "index.interval.bytes", "bytes of batches between two entries of the offset index",
		knob.Range(0, maxSegmentBytes), knob.PerTopic(), knob.Kafka("log.index.interval.bytes"))
	s.Bool(&c.Preallocate, "segment.prealloc", "reserve a segment's blocks when it is begun",
		knob.PerTopic(), knob.Kafka("log.preallocate"), knob.Topic("preallocate"))
	s.Enum(&c.AppendMode, "append.mode", appendModes.names(), "how batches reach the file: "+appendModes.doc())
	s.Enum(&c.ReadPath, "read.path", readPaths.names(), "how record bytes reach a socket: "+readPaths.doc())
	s.Enum(&c.ColdRead, "cold.read", []string{ColdInline, ColdPrefetch},
		"a range outside the page cache: inline (read where it is asked for), prefetch (read in by a worker first)")
	s.Enum(&c.SyncPolicy, "sync.policy", syncPolicies.names(), "when an append counts as done: "+syncPolicies.doc())
	s.Duration(&c.SyncInterval, "sync.interval", "time between two rounds of fsync; used by sync.policy=interval",
		knob.Within(time.Millisecond, time.Hour))
	s.Int(&c.SyncWorkers, "sync.workers", "goroutines that call fsync; used by sync.policy=group and each", knob.Range(1, 256))
	s.Duration(&c.RetentionTime, "retention.ms", "age at which a closed segment is deleted; -1: never",
		knob.Within(-1, forever), knob.PerTopic(), knob.Kafka("log.retention.ms"))
	s.Bytes(&c.RetentionBytes, "retention.bytes", "size of a partition beyond which its oldest segments are deleted; -1: never",
		knob.Range(-1, 1<<62), knob.PerTopic(), knob.Kafka("log.retention.bytes"))
}

// table is the alternatives of one knob; the first is the default. Joining it
// enrols an alternative in the knob, the conformance suite and the benchmarks.
type table[T any] []alternative[T]

type alternative[T any] struct {
	name, doc string
	impl      T
}

func (t table[T]) names() []string {
	var names []string
	for _, a := range t {
		names = append(names, a.name)
	}
	return names
}

func (t table[T]) doc() string {
	var doc string
	for i, a := range t {
		if i > 0 {
			doc += ", "
		}
		doc += a.name + " (" + a.doc + ")"
	}
	return doc
}

// get is the named alternative. A name that is not in the table got past the
// knob that was declared from it.
func (t table[T]) get(name string) T {
	for _, a := range t {
		if a.name == name {
			return a.impl
		}
	}
	panic("BUG: no alternative " + name)
}
