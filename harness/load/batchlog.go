package load

import (
	"sort"
)

// maxBatches bounds what all batch logs of a run hold: 4 million batches of 48
// bytes. That is 80 s of 64 KiB batches at 3 GB/s read by nobody; where
// consumers keep up, a log holds what is in flight.
const maxBatches = 4 << 20

// sentBatch is what a lean producer remembers of a batch until every group has
// read it.
type sentBatch struct {
	seq      int64  // of its first record
	event    int64  // number of its first record in its producer's share of the phase
	intended int64  // closed loop: ns at which all of it was intended to start; -1: by the schedule
	n, bytes int32  // records, and of their keys and values
	crc      uint32 // of the batch as sent
	content  uint32 // of keys and values, see contentSum
	phase    int32
}

// batchLog is a queue of sentBatches, ascending by seq. It is guarded by its
// stream's lock.
type batchLog struct {
	list   []sentBatch
	head   int     // list[:head] is done with
	passed []int64 // by group: everything below was read
	limit  int
	forgot int64 // batches that were dropped before they were read
}

func (b *batchLog) push(s sentBatch) {
	if len(b.passed) == 0 {
		return // nobody will ask
	}
	if len(b.list)-b.head >= b.limit {
		b.head++
		b.forgot++
	}
	if b.head > 1024 && b.head*2 > len(b.list) {
		b.list = b.list[:copy(b.list, b.list[b.head:])]
		b.head = 0
	}
	b.list = append(b.list, s)
}

// find is the batch that holds seq, for a group; what lies before it is done
// with for the group. ok is false for one that was never sent or is forgotten.
func (b *batchLog) find(group int, seq int64) (s sentBatch, ok bool) {
	live := b.list[b.head:]
	if len(live) == 0 || seq < live[0].seq {
		return s, false
	}
	i := 0
	if seq >= live[0].seq+int64(live[0].n) {
		i = sort.Search(len(live), func(i int) bool { return live[i].seq > seq }) - 1
	}
	s = live[i]
	if seq >= s.seq+int64(s.n) {
		return s, false
	}
	if group >= len(b.passed) { // a reader for whom nothing is kept
		return s, true
	}
	b.passed[group] = max(b.passed[group], s.seq+int64(s.n))
	low := b.passed[0]
	for _, p := range b.passed {
		low = min(low, p)
	}
	for b.head < len(b.list) && b.list[b.head].seq+int64(b.list[b.head].n) <= low {
		b.head++
	}
	return s, true
}
