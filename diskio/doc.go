// Package diskio keeps one partition's records on disk: a log of record
// batches, cut into segments, in the files and formats of Kafka, so that
// Kafka's own tools can read a directory that was closed cleanly.
//
// The nouns. A Log is one partition's directory; it has one appender, and
// readers beside it that take no lock. A segment is a file of batches back to
// back, named by its first offset, with an offset index and a time index next
// to it; segments are private to the Log. A Span is a range of whole batches in
// one segment that was handed out for reading: it holds a reference, so that
// nothing can pull the file away, and it satisfies what netio asks of a part of
// a reply. A Syncer keeps the promise of sync.policy for many logs. A Dir is
// the root under which the logs of a broker lie: its lock, its checkpoints. An
// FS is the operating system's files, or files in memory that can lose power,
// or files that fail on demand.
//
//	<dir>/<topic>-<partition>/
//	    00000000000000000000.log        batches, see package batching
//	    00000000000000000000.index      offset index, see index.go
//	    00000000000000000000.timeindex  time index, see timeindex.go
//	    leader-epoch-checkpoint         see epochs.go
//	    partition.metadata              see dir.go
//
// # What is promised
//
// Offsets between Start and End are readable, contiguous and never change,
// but for Truncate, and for the gaps that Compact leaves. What is below Synced survives the loss of power. After a
// kill or a loss of power, Open cuts the log at the last whole batch in an
// unbroken sequence; what is cut was never below Synced unless the disk lied,
// and Recovery says so either way.
//
// A disk that fails once has failed: the Log keeps the first *Error, refuses
// every later append with it, and still serves what it has. A failed fsync is
// never tried again, because the kernel may have thrown the pages away and
// would report success.
//
// # Locks
//
// CompactOptions.Guard before Log.syncMu before Log.mu before a segment's loading lock. Append takes mu
// only; the fsync itself runs under syncMu without mu, so that appends go on
// beside it. Read takes neither: it sees the list of segments and each
// segment's end through atomics, and a segment's file through its reference
// count.
package diskio
