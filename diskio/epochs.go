package diskio

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"sort"
	"sync"
	"sync/atomic"
)

// epochsFile holds a log's leader epochs as text:
//
//	0                   version
//	2                   entries
//	0 0                 epoch, first offset that it may have written
//	3 1042
//
// Source: Kafka's LeaderEpochCheckpointFile.
const epochsFile = "leader-epoch-checkpoint"

// Epoch is a leader's term and the offset at which it began to write.
type Epoch struct {
	Epoch int32
	Start int64
}

// Epochs is a log's record of which leader wrote from which offset on: what a
// follower, or a client that saw an older leader, needs to find where their
// histories part. The log notes the epoch of each batch that it appends; a new
// leader may Assign its own before its first. Safe for concurrent use.
//
// The file is written by Sync and Close. What is assigned in between lies in
// batches above Synced, where recovery finds it again.
type Epochs struct {
	fs  FS
	dir string

	latest atomic.Int32 // -1: none; for the appender's look at each batch

	mu      sync.Mutex
	entries []Epoch // both ascend
	dirty   bool
}

func openEpochs(fs FS, dir string) (*Epochs, error) {
	e := &Epochs{fs: fs, dir: dir}
	e.latest.Store(-1)
	b, err := readFile(fs, join(dir, epochsFile), 16<<20)
	if os.IsNotExist(err) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	entries, err := parseEpochs(b)
	if err != nil {
		return e, err
	}
	e.entries = entries
	e.noteLocked()
	return e, nil
}

func parseEpochs(b []byte) ([]Epoch, error) {
	var out []Epoch
	err := parseCheckpoint(b, func(line string) error {
		var e Epoch
		if n, err := fmt.Sscanf(line, "%d %d", &e.Epoch, &e.Start); n != 2 || err != nil {
			return corrupt("line %q is no epoch and offset", line)
		}
		if n := len(out); e.Epoch < 0 || e.Start < 0 || n > 0 && (e.Epoch <= out[n-1].Epoch || e.Start < out[n-1].Start) {
			return corrupt("line %q does not ascend", line)
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// parseCheckpoint reads the text form that Kafka's checkpoints share: a
// version, the number of entries, and an entry a line.
func parseCheckpoint(b []byte, entry func(line string) error) error {
	sc := bufio.NewScanner(bytes.NewReader(b))
	var version, count int
	if !sc.Scan() {
		return nil // Kafka makes some of them empty, to be filled later
	}
	if n, err := fmt.Sscanf(sc.Text(), "%d", &version); n != 1 || err != nil || version != 0 {
		return corrupt("checkpoint version %q, expected 0", sc.Text())
	}
	if !sc.Scan() {
		return corrupt("checkpoint has no count")
	}
	if n, err := fmt.Sscanf(sc.Text(), "%d", &count); n != 1 || err != nil || count < 0 {
		return corrupt("checkpoint count %q", sc.Text())
	}
	got := 0
	for ; sc.Scan(); got++ {
		if err := entry(sc.Text()); err != nil {
			return err
		}
	}
	if sc.Err() != nil || got != count {
		return corrupt("checkpoint has %d entries, says %d", got, count)
	}
	return nil
}

// noteLocked brings latest up to date.
func (e *Epochs) noteLocked() {
	if n := len(e.entries); n > 0 {
		e.latest.Store(e.entries[n-1].Epoch)
	} else {
		e.latest.Store(-1)
	}
}

// observe takes in a batch's epoch.
func (e *Epochs) observe(epoch int32, base int64) {
	if epoch > e.latest.Load() {
		e.Assign(epoch, base)
	}
}

// Assign says that epoch writes from start on. An epoch that is not newer than
// the latest changes nothing. Entries that start at or after start are
// replaced: nothing was written under them.
func (e *Epochs) Assign(epoch int32, start int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.entries); n > 0 && epoch <= e.entries[n-1].Epoch || epoch < 0 {
		return
	}
	e.cutLocked(start)
	e.entries = append(e.entries, Epoch{epoch, start})
	e.dirty = true
	e.noteLocked()
}

// cutLocked drops the entries that start at or after offset.
func (e *Epochs) cutLocked(offset int64) {
	n := sort.Search(len(e.entries), func(i int) bool { return e.entries[i].Start >= offset })
	if n < len(e.entries) {
		e.entries = e.entries[:n]
		e.dirty = true
	}
}

// Latest is the newest epoch, -1 where there is none.
func (e *Epochs) Latest() int32 { return e.latest.Load() }

// All is a copy of the entries, oldest first.
func (e *Epochs) All() []Epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Epoch(nil), e.entries...)
}

// EndFor answers OffsetForLeaderEpoch: the largest known epoch at or below the
// one asked for, and the offset at which the next one began; logEnd for the
// latest. Both are -1 where nothing is known of it: the epoch is newer than all,
// or -1, or there is none at all. For an epoch older than all, the answer is that
// epoch itself and the first known start.
func (e *Epochs) EndFor(epoch int32, logEnd int64) (int32, int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.entries)
	if epoch == -1 || n == 0 || epoch > e.entries[n-1].Epoch {
		return -1, -1
	}
	if epoch == e.entries[n-1].Epoch {
		return epoch, logEnd
	}
	i := sort.Search(n, func(i int) bool { return e.entries[i].Epoch > epoch })
	if i == 0 {
		return epoch, e.entries[0].Start
	}
	return e.entries[i-1].Epoch, e.entries[i].Start
}

// At is the epoch that wrote offset, -1 where it is not known.
func (e *Epochs) At(offset int64) int32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := sort.Search(len(e.entries), func(i int) bool { return e.entries[i].Start > offset })
	if i == 0 {
		return -1
	}
	return e.entries[i-1].Epoch
}

// truncateEnd forgets epochs that began at or after end; a log that ends there
// has nothing of theirs.
func (e *Epochs) truncateEnd(end int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cutLocked(end)
	e.noteLocked()
}

// truncateStart forgets epochs all of whose offsets lie below start; the one
// that wrote start begins there now.
func (e *Epochs) truncateStart(start int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := sort.Search(len(e.entries), func(i int) bool { return e.entries[i].Start > start })
	if i == 0 || i == 1 && e.entries[0].Start == start {
		return
	}
	e.entries = append([]Epoch(nil), e.entries[i-1:]...)
	e.entries[0].Start = start
	e.dirty = true
}

// store writes the file if there is something new.
func (e *Epochs) store() error {
	e.mu.Lock()
	if !e.dirty {
		e.mu.Unlock()
		return nil
	}
	b := fmt.Appendf(nil, "0\n%d\n", len(e.entries))
	for _, x := range e.entries {
		b = fmt.Appendf(b, "%d %d\n", x.Epoch, x.Start)
	}
	e.dirty = false
	e.mu.Unlock()
	return writeFileAtomic(e.fs, e.dir, epochsFile, b)
}
