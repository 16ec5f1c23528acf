package group

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Log is where the records go: the partitions of __consumer_offsets.
type Log interface {
	// Append adds records, stamped with now, to partition as one batch, and
	// calls done exactly once: with nil when they are kept as the sync policy
	// promises, with an error when they are not and the partition takes no
	// more. done may be called before Append returns or later from any
	// goroutine. Calls for one partition do not overlap. The records are the
	// callee's.
	Append(partition int32, now time.Time, records []Record, done func(error))
}

// Coordinator runs the groups of a number of partitions of __consumer_offsets.
// All methods are safe for concurrent use.
type Coordinator struct {
	cfg    Config
	log    Log
	clock  Clock
	budget *budget
	shards []*lane

	metadata atomic.Pointer[Metadata]
}

// SetMetadata says what topics there are from now on, and how groups are set.
func (c *Coordinator) SetMetadata(m Metadata) { c.metadata.Store(&m) }

// lane is a shard with its lock, its timer, and the queue of its replies.
type lane struct {
	c         *Coordinator
	partition int32

	mu     sync.Mutex // before queue.mu
	shard  *shard
	status status
	gone   []string // topics deleted while loading
	alarm  Alarm
	rings  time.Time // when alarm is set for; zero: it is not

	queue queue
}

type status int8

const (
	loading status = iota
	running
	failed // the log has
	closed
)

// New makes a coordinator of the given number of partitions, all of which are
// loading: until Loaded, their requests get COORDINATOR_LOAD_IN_PROGRESS.
func New(cfg Config, log Log, clock Clock, partitions int) *Coordinator {
	c := &Coordinator{cfg: cfg, log: log, clock: clock, budget: cfg.budget(), shards: make([]*lane, partitions)}
	for i := range c.shards {
		l := &lane{c: c, partition: int32(i), shard: newShard(&c.cfg, c.budget, uuid.NewString)}
		c.shards[i] = l
	}
	return c
}

// Partition is the partition of __consumer_offsets that keeps a group: Java's
// hash of its id, as every Kafka client and tool expects it.
func (c *Coordinator) Partition(group string) int32 {
	return PartitionOf(group, len(c.shards))
}

// PartitionOf is the partition, of so many, that Java's hash of an id falls on.
func PartitionOf(group string, partitions int) int32 {
	var h int32
	for _, r := range group {
		if r > 0xFFFF {
			hi, lo := utf16.EncodeRune(r)
			h = (h*31+int32(hi))*31 + int32(lo)
			continue
		}
		h = h*31 + r
	}
	switch {
	case h == -h: // 0, or the least number, which has no positive
		h = 0
	case h < 0:
		h = -h
	}
	return h % int32(partitions)
}

// Load folds one record of a partition that is being loaded, in log order. An
// error names a record that no coordinator writes; it may be passed over.
func (c *Coordinator) Load(partition int32, key, value []byte) error {
	l := c.shards[partition]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != loading {
		return fmt.Errorf("partition %d of __consumer_offsets is not being loaded", partition)
	}
	return l.shard.load(key, value)
}

// Loaded ends the loading of a partition: its groups are served from now on,
// and sessions begin.
func (c *Coordinator) Loaded(partition int32) {
	l := c.shards[partition]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == loading {
		l.status = running
		now := l.moment()
		l.carryOut(now, l.shard.loaded(now))
		for _, topic := range l.gone {
			l.carryOut(now, l.shard.topicDeleted(now, topic))
		}
		l.gone = nil
	}
}

// LoadFailed says that a partition could not be read: its groups get
// NOT_COORDINATOR.
func (c *Coordinator) LoadFailed(partition int32) { c.shards[partition].stop(failed) }

// Serving says that the groups of a partition are being served, so that
// FindCoordinator can send their clients here.
func (c *Coordinator) Serving(partition int32) bool {
	l := c.shards[partition]
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status == running
}

// Rewrite appends to a partition records that say all that those before them
// say, so that the log up to where they begin can go once done has been called
// with nil. False: the partition is not being served, or has offsets in open
// transactions, and nothing is appended.
//
// Kafka compacts by key; that keeps offsets where they are, and costs a pass
// over the log. What is kept of groups is in memory anyway.
func (c *Coordinator) Rewrite(partition int32, done func(error)) bool {
	l := c.shards[partition]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != running || len(l.shard.held) > 0 {
		return false
	}
	fx := l.shard.rewrite()
	if len(fx.records) == 0 {
		done(nil) // nothing is all there is to say
		return true
	}
	l.carryOutThen(l.moment(), fx, done)
	return true
}

// TopicDeleted forgets what any group committed for a topic that is gone.
func (c *Coordinator) TopicDeleted(topic string) {
	for _, l := range c.shards {
		l.mu.Lock()
		switch l.status {
		case loading:
			l.gone = append(l.gone, topic)
		case running:
			now := l.moment()
			l.carryOut(now, l.shard.topicDeleted(now, topic))
		}
		l.mu.Unlock()
	}
}

// Close answers everything that is parked, and every later request, with
// NOT_COORDINATOR, and stops all timers.
func (c *Coordinator) Close() {
	for _, l := range c.shards {
		l.stop(closed)
	}
}

// moment is now, of which the shard is told what topics there are. Called with mu
// held.
func (l *lane) moment() time.Time {
	if m := l.c.metadata.Load(); m != nil {
		l.shard.metadata = *m
	}
	return l.c.clock.Now()
}

// serve is one request whose groups all live in this lane.
func (l *lane) serve(req *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.status {
	case running:
		if req.Admit != nil {
			if code := req.Admit(); code != 0 {
				req.Answer(Refusal(req.Body, code))
				return
			}
		}
		now := l.moment()
		l.carryOut(now, l.shard.step(now, req))
	case loading:
		code := kerr.CoordinatorLoadInProgress.Code
		if _, ok := req.Body.(*kmsg.HeartbeatRequest); ok {
			code = 0 // the member cannot be judged yet, and need not worry
		}
		req.Answer(Refusal(req.Body, code))
	default:
		req.Answer(Refusal(req.Body, kerr.NotCoordinator.Code))
	}
}

// carryOut appends the records and queues the replies. Called with mu held.
func (l *lane) carryOut(now time.Time, fx effects) { l.carryOutThen(now, fx, func(error) {}) }

// carryOutThen calls then when the records are kept, or are not.
func (l *lane) carryOutThen(now time.Time, fx effects, then func(error)) {
	var ticket uint64
	if len(fx.records) > 0 {
		ticket = l.queue.issue()
	}
	l.queue.add(fx.replies)
	if ticket > 0 {
		l.c.log.Append(l.partition, now, fx.records, func(err error) {
			then(err)
			if err != nil {
				// stop needs mu, which the goroutine that calls us may hold.
				l.queue.fail()
				go l.stop(failed)
				return
			}
			l.queue.kept(ticket)
		})
	}
	l.wind(now)
}

// wind sets the alarm for the shard's next deadline, if that is sooner than
// what it is set for. Called with mu held.
func (l *lane) wind(now time.Time) {
	at, ok := l.shard.next()
	if !ok || !l.rings.IsZero() && !at.Before(l.rings) {
		return // a deadline that has moved back is found out when it rings
	}
	l.rings = at
	if l.alarm == nil {
		l.alarm = l.c.clock.AfterFunc(at.Sub(now), l.ring)
		return
	}
	l.alarm.Reset(at.Sub(now))
}

func (l *lane) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != running {
		return
	}
	l.rings = time.Time{}
	now := l.moment()
	l.carryOut(now, l.shard.tick(now))
}

// stop ends the lane and answers all that waits.
func (l *lane) stop(why status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status >= failed {
		return
	}
	l.status = why
	if l.alarm != nil {
		l.alarm.Stop()
	}
	l.queue.add(l.shard.fail(kerr.NotCoordinator.Code).replies)
	l.queue.fail()
}

// queue holds a lane's replies, in the order of their steps, until the records
// of their own and all earlier steps are kept.
type queue struct {
	mu     sync.Mutex
	issued uint64 // tickets: one for each append
	done   uint64 // appends up to here are kept
	failed bool
	waits  []waiting
}

type waiting struct {
	after uint64
	reply
}

func (q *queue) issue() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.issued++
	return q.issued
}

// add queues replies behind every append issued so far; those that wait for
// nothing are sent.
func (q *queue) add(replies []reply) {
	q.mu.Lock()
	for _, r := range replies {
		q.waits = append(q.waits, waiting{q.issued, r})
	}
	q.release()
}

// kept says that append ticket, and so all before it, is kept.
func (q *queue) kept(ticket uint64) {
	q.mu.Lock()
	q.done = max(q.done, ticket)
	q.release()
}

// fail refuses all that waits for an append, now and from now on.
func (q *queue) fail() {
	q.mu.Lock()
	q.failed = true
	q.release()
}

// release sends what may leave. Called with mu held, which it gives up.
func (q *queue) release() {
	n := 0
	for n < len(q.waits) && (q.waits[n].after <= q.done || q.failed) {
		n++
	}
	if n == 0 {
		q.mu.Unlock()
		return
	}
	ready, done, broken := q.waits[:n], q.done, q.failed
	q.waits = append([]waiting(nil), q.waits[n:]...)
	q.mu.Unlock()
	for _, w := range ready {
		if broken && w.after > done {
			w.body = Refusal(w.to.Body, kerr.NotCoordinator.Code)
		}
		w.to.Answer(w.body)
	}
}
