package core

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/batching"
	"millrace/core/meta"
	"millrace/core/producers"
	"millrace/diskio"
)

// partition is one partition that this broker leads: its log, the order of its
// appends, what of it consumers may see, and who waits for more.
//
// An append goes: mu; duplicate or out of order?; offset and epoch set in the
// producer's own bytes; log.Append; remembered; mu released; then the sync
// policy. When its promise holds up to an offset, the visible end moves there,
// the producers waiting for it are answered and the fetches that now have
// enough are woken.
//
// Reads take no lock: the log is safe to read beside its appender, and visible
// is atomic.
type partition struct {
	// Immutable.
	b     *Broker
	name  string // topic-index
	topic string
	id    meta.ID
	index int32
	epoch int32 // leader epoch of this start

	// Set by open. nil: the log could not be opened, and state is offline.
	log     *diskio.Log
	promise *diskio.Promise

	settings atomic.Pointer[settings]
	state    atomic.Int32 // partitionState
	// visible is the high watermark: the offset below which consumers read.
	visible atomic.Int64

	mu        sync.Mutex // append order; taken before waitMu
	producers producers.Table
	txns      transactions
	unsnapped int64             // bytes appended since the producers were last written down
	one       [1]batching.Batch // what is handed to the log; a list made for each call would be an allocation
	group     groupAppend       // append.mode=grouped

	snapMu       sync.Mutex // held while snapshots are written; after mu or alone
	abortedSaved int64      // aborted transactions that ended below it are in files; guarded by snapMu

	waitMu   sync.Mutex
	waiting  *fetchPart  // fetches to be woken, a list
	sessions sessionList // of sessions, what has read everything
	// waiters says whether there are any, without the lock. It is raised before
	// a fetch looks at visible for the last time, and read after visible was
	// moved: one of the two sees the other.
	waiters atomic.Int32
	acks    []ack // producers to be answered when visible has come to their offset
}

type partitionState = int32

const (
	online  partitionState = iota
	offline                // the disk has failed
	gone                   // deleted, or the broker stops
)

// ack is a producer that waits for the sync policy: a request's partition, or,
// where w is nil, whoever done tells.
type ack struct {
	until int64 // the promise must hold below this offset
	done  func(code int16)
	w     *produce
	// The partition's place in w's response.
	topic, partition int
}

func (p *partition) offline() bool { return p.state.Load() == offline }

// check says whether this partition can serve a client that takes its leader
// epoch to be epoch (-1: does not say; what lies below is an epoch that was); 0:
// yes, otherwise Kafka's error code.
func (p *partition) check(epoch int32) int16 {
	switch p.state.Load() {
	case offline:
		return kerr.KafkaStorageError.Code
	case gone:
		return kerr.UnknownTopicOrPartition.Code
	}
	switch {
	case epoch == unknownLeaderEpoch || epoch == p.epoch:
		return 0
	case epoch < p.epoch:
		return kerr.FencedLeaderEpoch.Code
	}
	return kerr.UnknownLeaderEpoch.Code
}

// appended is where a batch lies.
type appended struct {
	base int64
	end  int64 // offset after the batch
	time int64 // log append time, -1 where the producer's timestamps stand
	news int64 // what advance is to be told of it: its bytes, 0 for a duplicate
	// held: the sync policy's promise holds already. Otherwise await it.
	held bool
	// joined is what has to be kept besides, where the batch has brought the
	// partition into its transaction; nil: nothing.
	joined *joined
	// unasked: it was refused before it came to the log.
	unasked bool
}

// source says on whose behalf a batch is appended.
type source struct {
	// txn is the transactional id of the request, nil: none; version that of
	// Produce.
	txn     []byte
	version int16
	// trusted: the broker itself, which has asked the coordinator before.
	trusted bool
}

// append gives a checked batch its offsets and writes it. code 0: it is in the
// log, or was before. now is wall time in milliseconds.
func (p *partition) append(batch batching.Batch, s *settings, now int64, from source) (at appended, code int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if code := p.check(-1); code != 0 {
		return at, code
	}
	at, pb, write, code := p.admitLocked(batch, s, now, from, p.log.End())
	if !write {
		return at, code
	}
	p.one[0] = batch
	err := p.log.Append(p.one[:]...)
	p.one[0] = batching.Batch{}
	if err != nil {
		p.fail("append", err)
		return at, kerr.KafkaStorageError.Code
	}
	p.wroteLocked(batch, &at, pb, now)
	return at, 0
}

// admitLocked decides on a batch for a partition that is online and gives it its
// place at base. write: it is to be written there, and then told to wroteLocked;
// otherwise it was before, or code is why not.
func (p *partition) admitLocked(batch batching.Batch, s *settings, now int64, from source, base int64) (at appended, pb producers.Batch, write bool, code int16) {
	at.time = -1
	// segment.bytes may have become smaller since the batch was checked, and the
	// log's refusal would count as the disk's.
	if int64(batch.Size()) > p.settings.Load().disk.SegmentBytes {
		return at, pb, false, kerr.RecordListTooLarge.Code
	}
	if batch.ProducerID() >= 0 {
		pb = producers.Batch{
			Producer: batch.ProducerID(), Epoch: batch.ProducerEpoch(),
			FirstSequence: batch.BaseSequence(), LastSequence: batch.LastSequence(),
			OffsetDelta: batch.LastOffsetDelta(), Transactional: batch.IsTransactional(),
		}
		dup, isDup, err := p.producers.Check(pb)
		switch {
		case err == producers.ErrEpoch:
			at.unasked = pb.Transactional // Kafka asks the coordinator first
			return at, pb, false, kerr.InvalidProducerEpoch.Code
		case err == producers.ErrState:
			return at, pb, false, kerr.InvalidTxnState.Code
		case err != nil:
			return at, pb, false, kerr.OutOfOrderSequenceNumber.Code
		case isDup:
			p.b.counters.duplicates.Add(1)
			if s.TimestampType == TimestampAppend {
				at.time = dup.Timestamp
			}
			at.base, at.end = dup.FirstOffset(), dup.LastOffset+1
			at.held = p.visible.Load() >= at.end
			if pb.Transactional && from.version >= firstJoining {
				// The record of the first time may still be on its way.
				at.joined = p.b.joinedBefore(from)
			}
			return at, pb, false, 0
		}
		if pb.Transactional {
			var code int16
			if at.joined, code = p.mayWrite(pb, from); code != 0 {
				at.unasked = true
				return at, pb, false, code
			}
			// In version 2 each transaction begins with an epoch of its own, and so
			// at 0: what came before this batch was lost (KIP-890).
			if from.version >= firstJoining && pb.FirstSequence > 0 && !p.producers.Knows(pb.Producer) {
				return at, pb, false, kerr.OutOfOrderSequenceNumber.Code
			}
		}
	}
	at.base, at.end = base, base+int64(batch.LastOffsetDelta())+1
	batch.SetBaseOffset(base)
	batch.SetLeaderEpoch(p.epoch)
	if s.TimestampType == TimestampAppend {
		batch.SetLogAppendTime(now)
		at.time = now
	}
	return at, pb, true, 0
}

// wroteLocked notes a batch that lies in the log as admitLocked had it.
func (p *partition) wroteLocked(batch batching.Batch, at *appended, pb producers.Batch, now int64) {
	if batch.ProducerID() >= 0 {
		pb.LastOffset, pb.Timestamp = batch.LastOffset(), batch.MaxTimestamp()
		p.remember(pb, now)
	}
	at.news = int64(batch.Size())
	p.unsnapped += at.news
	at.held = p.promise.Appended(at.end)
}

// promised is told by the sync worker how far the policy's promise holds.
func (p *partition) promised(upTo int64, err error) {
	if err != nil {
		p.fail("sync", err)
		return
	}
	p.advance(upTo, untold)
}

// untold stands for a number of bytes that is not known: enough for everyone.
const untold = math.MaxInt64

// advance moves the visible end to where the sync policy's promise holds, and
// tells all who wait for it. bytes is the size of what the caller has appended:
// a fetch that waits for more than one byte counts them rather than read again
// at each append. Whatever becomes visible must therefore be told of by someone,
// though it may be told of twice, or before all below it is visible. Called from
// the loop that appended or from the sync worker, without locks.
func (p *partition) advance(to, bytes int64) {
	from := p.visible.Load()
	for from < to && !p.visible.CompareAndSwap(from, to) {
		from = p.visible.Load()
	}
	if p.txns.pending.Load() > 0 {
		p.mu.Lock()
		p.txns.settle(p.visible.Load())
		p.mu.Unlock()
	}
	if p.waiters.Load() == 0 {
		return
	}
	p.tell(0, bytes)
}

// tell settles the acks that visible has reached, or all with an error, and
// wakes the fetches that now may have enough.
func (p *partition) tell(code int16, bytes int64) {
	p.waitMu.Lock()
	visible := p.visible.Load()
	n := 0
	var due []ack
	for _, a := range p.acks {
		if code != 0 || a.until <= visible {
			due = append(due, a)
		} else {
			p.acks[n] = a
			n++
		}
	}
	clear(p.acks[n:])
	p.acks = p.acks[:n]
	for part := p.waiting; part != nil; part = part.next {
		part.owner.credit(bytes)
	}
	for sp := p.sessions.first; sp != nil; {
		next := sp.next
		sp.mark(bytes) // which may take it out
		sp = next
	}
	p.waiters.Add(int32(-len(due)))
	p.waitMu.Unlock()
	for _, a := range due {
		if a.w == nil {
			a.done(code)
			continue
		}
		a.w.settle(a.topic, a.partition, code)
	}
}

// await answers a producer when the promise holds below until. False: it holds
// already, or never will; the code says which.
func (p *partition) await(a ack) (waiting bool, code int16) {
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	p.waiters.Add(1)
	code = p.check(-1)
	if code != 0 || p.visible.Load() >= a.until {
		p.waiters.Add(-1)
		return false, code
	}
	p.acks = append(p.acks, a)
	return true, 0
}

// wait links a fetch; false: something has changed since it read.
func (p *partition) wait(part *fetchPart) bool {
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	p.waiters.Add(1)
	part.prev, part.next = nil, p.waiting
	if p.waiting != nil {
		p.waiting.prev = part
	}
	p.waiting = part
	return p.unchanged(part)
}

// unchanged: a reader would see what part saw. waiters was raised before.
func (p *partition) unchanged(part *fetchPart) bool {
	high := p.visible.Load()
	return high == part.high && p.bound(part.owner.committed, high) == part.bound && p.state.Load() == online
}

// startMoved tells sessions, whose clients are to know the log start.
func (p *partition) startMoved() {
	if p.waiters.Load() > 0 {
		p.tell(0, untold)
	}
}

func (p *partition) unwait(part *fetchPart) {
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	if part.prev != nil {
		part.prev.next = part.next
	} else {
		p.waiting = part.next
	}
	if part.next != nil {
		part.next.prev = part.prev
	}
	part.prev, part.next = nil, nil
	p.waiters.Add(-1)
}

// fail takes the partition offline: the disk has refused, and what it holds of
// the last append is unknown.
func (p *partition) fail(doing string, err error) {
	if !p.state.CompareAndSwap(online, offline) {
		return
	}
	p.b.counters.offline.Add(1)
	p.b.log.Error("partition is offline: its disk failed; mend the disk and start the broker again",
		"partition", p.name, "doing", doing, "err", err)
	p.tell(kerr.KafkaStorageError.Code, untold)
}

// readFault is the code for a read that failed.
func (p *partition) readFault(offset int64, err error) int16 {
	if errors.Is(err, diskio.ErrOutOfRange) {
		return kerr.OffsetOutOfRange.Code // the log start has passed it just now
	}
	if code := p.check(-1); code != 0 {
		return code
	}
	p.b.log.Error("reading a partition", "partition", p.name, "offset", offset, "err", err)
	return kerr.KafkaStorageError.Code
}
