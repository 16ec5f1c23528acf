package core

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"millrace/batching"
	"millrace/core/meta"
)

// A coordinator keeps its state in an internal topic of its own: every change is
// a record there, and a start reads them back. What the coordinators have in
// common is here: making the topic, writing to a partition of it, reading one,
// and writing one anew so that it does not grow without bound. What a record
// means is theirs.

// stateTopic is an internal topic as it is made. None is made before the first
// client looks for its coordinator: 50 logs that most brokers of a laboratory
// never need.
type stateTopic struct {
	name         string
	partitions   int
	segmentBytes int64
	compression  string
}

// The topics that groups and transactions are kept in.
const (
	offsetsTopic = "__consumer_offsets"
	txnTopic     = "__transaction_state"
)

// stateTopics are all there are.
func (b *Broker) stateTopics() []stateTopic {
	return []stateTopic{
		{offsetsTopic, b.cfg.Group.Partitions, b.cfg.Group.SegmentBytes, CompressionProducer},
		{txnTopic, b.cfg.Txn.Partitions, txnSegment, "uncompressed"},
	}
}

// txnSegment is how much of a partition of __transaction_state goes at a time,
// once later records say all that it does.
const txnSegment = 16 << 20

// newStateTopic is the record that makes an internal topic.
func (b *Broker) newStateTopic(name string) meta.TopicCreated {
	for _, t := range b.stateTopics() {
		if t.name == name {
			return meta.TopicCreated{
				Name: t.name, ID: meta.NewID(), Partitions: t.partitions, Node: b.node,
				Configs: map[string]string{
					"cleanup.policy":   "compact",
					"compression.type": t.compression,
					"segment.bytes":    strconv.FormatInt(t.segmentBytes, 10),
				},
			}
		}
	}
	panic("BUG: no internal topic: " + name)
}

// makeStateTopic makes an internal topic; it may be there already.
func (b *Broker) makeStateTopic(name string) error {
	return b.change(func(image *meta.Image) ([]meta.Record, error) {
		if image.Topic(name) != nil {
			return nil, nil
		}
		return []meta.Record{b.newStateTopic(name)}, nil
	})
}

// statePartition is a partition of an internal topic. What is not the partition
// itself belongs to write, of which there is one at a time.
type statePartition struct {
	*partition
	builder *batching.Builder
	buf     []byte

	rewritten int64 // bytes of the last rewrite; rewrite's own
}

func newStatePartition(p *partition) *statePartition {
	return &statePartition{partition: p, builder: batching.NewBuilder(batching.Options{})}
}

// errNotKept is all that a coordinator has to know.
var errNotKept = errors.New("the records are not kept")

// producedBy is the producer that a batch of an internal topic is part of the
// transaction of.
type producedBy struct {
	producer int64
	epoch    int16
}

// stateSize is at least what a record takes in a batch: 32 bytes are the most
// that its lengths and deltas do.
func stateSize(key, value []byte) int64 { return int64(len(key)+len(value)) + 32 }

// write appends as one batch the records that fill adds, which are part of
// whose transaction; nil: of none. What it answers is kept when whenKept says so.
func (p *statePartition) write(whose *producedBy, now int64, fill func(*batching.Builder) error) (at appended, err error) {
	builder := p.builder
	if whose != nil {
		builder = batching.NewBuilder(batching.Options{Transactional: true})
		builder.SetProducer(whose.producer, whose.epoch, -1)
	}
	builder.Reset()
	if err := fill(builder); err != nil {
		return at, fmt.Errorf("a record of %s: %w", p.name, err)
	}
	if p.buf, err = builder.Build(p.buf[:0]); err != nil {
		return at, fmt.Errorf("a batch of %s: %w", p.name, err)
	}
	batch, err := batching.View(p.buf)
	if err != nil {
		panic("BUG: a batch just built: " + err.Error())
	}
	at, code := p.append(batch, p.settings.Load(), now, source{trusted: true})
	if cap(p.buf) > keepRecompressed {
		p.buf, p.builder = nil, batching.NewBuilder(batching.Options{})
	}
	if code != 0 {
		return at, errNotKept
	}
	return at, nil
}

// whenKept calls done when the sync policy's promise holds for what was
// appended, or never will.
func (p *partition) whenKept(at appended, done func(code int16)) {
	if at.held {
		p.advance(at.end, untold)
		done(0)
		return
	}
	if waiting, code := p.await(ack{until: at.end, done: done}); !waiting {
		done(code)
	}
}

func keptError(code int16) error {
	if code != 0 {
		return errNotKept
	}
	return nil
}

// hold waits until the sync policy's promise holds for what was appended; 0: it
// does.
func (p *partition) hold(at appended) int16 {
	told := make(chan int16, 1)
	p.whenKept(at, func(code int16) { told <- code })
	return <-told
}

// errPointless ends a reading whose outcome nobody needs any more.
var errPointless = errors.New("nobody needs it any more")

// scan gives every batch of the partition to f, until quit.
func (p *statePartition) scan(quit <-chan struct{}, f func(batching.Batch) error) error {
	if p.check(-1) != 0 {
		return fmt.Errorf("%s is offline", p.name)
	}
	return p.log.Scan(p.log.Start(), p.log.End(), func(batch batching.Batch) error {
		select {
		case <-quit:
			return errPointless
		default:
			return f(batch)
		}
	})
}

// passOver says of a record that no coordinator writes that it is not believed:
// once for a partition, as there may be many.
func (p *statePartition) passOver(passed *int, offset int64, err error) {
	if *passed == 0 {
		p.b.log.Warn("passing over a record that no coordinator writes", "partition", p.name, "offset", offset, "err", err)
	}
	*passed++
}

// loadEach calls load for each number below n, recovery.threads of them at a
// time.
func (b *Broker) loadEach(what string, n int, load func(i int)) {
	began, slots := time.Now(), make(chan struct{}, b.cfg.RecoveryThreads)
	var wait sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wait.Add(1)
		go func() {
			defer func() { <-slots; wait.Done() }()
			load(i)
		}()
	}
	wait.Wait()
	if took := time.Since(began); took > time.Second {
		b.log.Info(what+" loaded", "partitions", n, "took", took.Round(time.Millisecond))
	}
}

// overgrown: it holds more than a segment beyond twice what is true now.
func (p *statePartition) overgrown() bool {
	return p.check(-1) == 0 && p.log.Size() > p.settings.Load().disk.SegmentBytes+2*p.rewritten
}

// rewrite replaces what the partition holds by what is true now: again appends
// that at its end and waits until it is kept, or answers false where there is
// nothing to do. What lies before is let go. from is where the end was when
// everything that again writes was still to come.
func (p *statePartition) rewrite(again func() (from int64, ok bool, err error)) error {
	size := p.log.Size()
	from, ok, err := again()
	if err != nil || !ok {
		return err
	}
	p.rewritten = p.log.Size() - size
	// What replaces the old has to be as safe as the old was.
	if err := p.log.Sync(); err != nil {
		p.fail("sync", err)
		return err
	}
	p.mu.Lock()
	err = p.log.AdvanceStart(from)
	p.mu.Unlock()
	if err == nil {
		err = p.b.saveStarts()
	}
	if err == nil {
		p.retain()
	}
	return err
}
