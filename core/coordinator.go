package core

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/group"
	"millrace/core/meta"
)

// The topic that groups are kept in. It is made when the first client looks for
// a coordinator: 50 logs that most brokers of a laboratory never need.
const offsetsTopic = "__consumer_offsets"

// groups ties a group.Coordinator to the partitions of __consumer_offsets: what
// it writes goes there, what it knows at a start comes from there.
//
// Locks are taken in this order: changeMu, a lane of the coordinator,
// partition.mu. Answers leave from whichever goroutine the promise of the sync
// policy comes true on.
type groups struct {
	*group.Coordinator
	b     *Broker
	topic meta.ID
	parts []*offsetsPartition

	quit    chan struct{} // closed when loading has become pointless
	loading sync.WaitGroup
}

// offsetsPartition is where one lane of the coordinator writes. What is not the
// partition itself belongs to Append, of which there is one at a time.
type offsetsPartition struct {
	*partition
	builder *batching.Builder
	buf     []byte

	rewritten int64 // bytes of the last rewrite; the chores' own
}

var _ group.Log = (*groups)(nil)

// errNotKept is all that the coordinator has to know.
var errNotKept = errors.New("the records are not kept")

// coordinate brings the coordinator into line with a view: there is one while
// __consumer_offsets exists. changeMu is held, or nothing else runs yet.
func (b *Broker) coordinate(v *view) {
	now, topic := b.groups.Load(), v.byName[offsetsTopic]
	if now != nil && (topic == nil || topic.meta.ID != now.topic) {
		b.groups.Store(nil)
		now.close()
		now = nil
	}
	if now != nil || topic == nil {
		return
	}
	g := &groups{b: b, topic: topic.meta.ID, quit: make(chan struct{})}
	for _, p := range topic.partitions {
		g.parts = append(g.parts, &offsetsPartition{partition: p, builder: batching.NewBuilder(batching.Options{})})
	}
	g.Coordinator = group.New(b.cfg.Group, g, group.ClockOf(b.now), len(g.parts))
	var full []int32
	for i, p := range g.parts {
		if p.check(-1) == 0 && p.log.Start() == p.log.End() {
			g.Loaded(int32(i)) // a client of a new topic need not be told to wait
		} else {
			full = append(full, int32(i))
		}
	}
	b.groups.Store(g)
	g.loading.Add(1)
	go g.loadAll(full)
}

// close answers all that is parked. It waits for the loading, not for answers.
func (g *groups) close() {
	close(g.quit)
	g.Coordinator.Close()
	g.loading.Wait()
}

// closeGroups ends the coordinator when the broker stops.
func (b *Broker) closeGroups() {
	b.changeMu.Lock()
	defer b.changeMu.Unlock()
	if g := b.groups.Swap(nil); g != nil {
		g.close()
	}
}

// forgetOffsets drops what groups committed for a topic that is gone.
func (b *Broker) forgetOffsets(topic string) {
	if g := b.groups.Load(); g != nil {
		g.TopicDeleted(topic)
	}
}

// makeOffsetsTopic makes __consumer_offsets; it may be there already.
func (b *Broker) makeOffsetsTopic() error {
	return b.change(func(image *meta.Image) ([]meta.Record, error) {
		if image.Topic(offsetsTopic) != nil {
			return nil, nil
		}
		return []meta.Record{b.newOffsetsTopic()}, nil
	})
}

func (b *Broker) newOffsetsTopic() meta.TopicCreated {
	return meta.TopicCreated{
		Name: offsetsTopic, ID: meta.NewID(), Partitions: b.cfg.Group.Partitions, Node: b.node,
		Configs: map[string]string{
			"cleanup.policy":   "compact",
			"compression.type": CompressionProducer,
			"segment.bytes":    strconv.FormatInt(b.cfg.Group.SegmentBytes, 10),
		},
	}
}

// Append writes the records as one batch, or as several where one would be
// larger than consumers of the topic expect, or where some are part of a
// transaction.
func (g *groups) Append(partition int32, now time.Time, records []group.Record, done func(error)) {
	p := g.parts[partition]
	s := p.settings.Load()
	var last appended
	for len(records) > 0 {
		n, size := 0, int64(batching.HeaderSize)
		for n < len(records) && (n == 0 || records[n].Txn == records[0].Txn && size+recordSize(records[n]) <= s.MaxMessageBytes) {
			size += recordSize(records[n])
			n++
		}
		at, err := p.appendRecords(records[:n], s, now.UnixMilli())
		if err != nil {
			done(err)
			return
		}
		last, records = at, records[n:]
	}
	if last.held {
		p.advance(last.end)
		done(nil)
		return
	}
	settle := func(code int16) {
		if code != 0 {
			done(errNotKept)
			return
		}
		done(nil)
	}
	if waiting, code := p.await(ack{until: last.end, done: settle}); !waiting {
		settle(code)
	}
}

// recordSize is at least what a record takes in a batch.
func recordSize(r group.Record) int64 { return int64(len(r.Key)+len(r.Value)) + recordOverhead }

// recordOverhead is the most that lengths and deltas of a record take.
const recordOverhead = 32

func (p *offsetsPartition) appendRecords(records []group.Record, s *settings, now int64) (at appended, err error) {
	builder := p.builder
	if t := records[0].Txn; t != nil {
		builder = batching.NewBuilder(batching.Options{Transactional: true})
		builder.SetProducer(t.Producer, t.Epoch, -1)
	}
	builder.Reset()
	for _, r := range records {
		if err := builder.Append(now, r.Key, r.Value, nil); err != nil {
			return at, fmt.Errorf("a record of %s: %w", p.name, err)
		}
	}
	if p.buf, err = builder.Build(p.buf[:0]); err != nil {
		return at, fmt.Errorf("a batch of %s: %w", p.name, err)
	}
	batch, err := batching.View(p.buf)
	if err != nil {
		panic("BUG: a batch just built: " + err.Error())
	}
	at, code := p.append(batch, s, now, source{trusted: true})
	if cap(p.buf) > keepRecompressed {
		p.buf, p.builder = nil, batching.NewBuilder(batching.Options{})
	}
	if code != 0 {
		return at, errNotKept
	}
	return at, nil
}

// loadAll reads what partitions hold, some at a time.
func (g *groups) loadAll(full []int32) {
	defer g.loading.Done()
	began, slots := time.Now(), make(chan struct{}, g.b.cfg.RecoveryThreads)
	var wait sync.WaitGroup
	for _, i := range full {
		slots <- struct{}{}
		wait.Add(1)
		go func() {
			defer func() { <-slots; wait.Done() }()
			g.load(i)
		}()
	}
	wait.Wait()
	if took := time.Since(began); took > time.Second {
		g.b.log.Info("groups loaded", "partitions", len(full), "took", took.Round(time.Millisecond))
	}
}

var errPointless = errors.New("nobody needs it any more")

// load reads one partition. A record that no coordinator writes is passed over;
// a log that cannot be read leaves its groups without a coordinator.
func (g *groups) load(i int32) {
	p := g.parts[i]
	if p.check(-1) != 0 {
		g.LoadFailed(i)
		return
	}
	passed := 0
	err := p.log.Scan(p.log.Start(), p.log.End(), func(batch batching.Batch) error {
		select {
		case <-g.quit:
			return errPointless
		default:
		}
		if batch.IsControl() {
			m, ok, err := batch.Marker()
			if ok && err == nil {
				g.LoadEnd(i, m.ProducerID, m.Commit)
			}
			return err
		}
		for r, err := range batch.Records(0) {
			if err != nil {
				return err
			}
			if batch.IsTransactional() {
				err = g.LoadTxn(i, batch.ProducerID(), r.Key, r.Value)
			} else {
				err = g.Load(i, r.Key, r.Value)
			}
			if err != nil {
				if passed == 0 {
					p.b.log.Warn("passing over a record that no coordinator writes", "partition", p.name, "offset", batch.Offset(r), "err", err)
				}
				passed++
			}
		}
		return nil
	})
	switch {
	case err == nil:
		g.Loaded(i)
	case !errors.Is(err, errPointless):
		p.b.log.Error("groups have no coordinator: their partition cannot be read", "partition", p.name, "err", err)
		fallthrough
	default:
		g.LoadFailed(i)
	}
}

// tidy keeps the partitions from growing without bound: where one holds more
// than a segment beyond twice what is true now, that is written anew at its end
// and all before it let go. Called by the chores.
func (g *groups) tidy() {
	for i, p := range g.parts {
		if p.check(-1) != 0 || p.log.Size() <= p.settings.Load().disk.SegmentBytes+2*p.rewritten {
			continue
		}
		if err := g.rewrite(int32(i)); err != nil {
			g.b.log.Error("could not rewrite what is kept of groups", "partition", p.name, "err", err)
		}
	}
}

func (g *groups) rewrite(i int32) error {
	p := g.parts[i]
	from, size := p.log.End(), p.log.Size()
	kept := make(chan error, 1)
	if !g.Rewrite(i, func(err error) { kept <- err }) {
		return nil
	}
	select {
	case err := <-kept:
		if err != nil {
			return err
		}
	case <-g.quit:
		return nil
	}
	p.rewritten = p.log.Size() - size
	// What replaces the old has to be as safe as the old was.
	if err := p.log.Sync(); err != nil {
		p.fail("sync", err)
		return err
	}
	p.mu.Lock()
	err := p.log.AdvanceStart(from)
	p.mu.Unlock()
	if err == nil {
		err = g.b.saveStarts()
	}
	if err == nil {
		p.retain()
	}
	return err
}

// refuseGroup is the answer to a request for a group while there is no
// coordinator: the client looks for one, which makes it.
func refuseGroup(req kmsg.Request) kmsg.Response {
	if req.Key() == int16(kmsg.ListGroups) {
		return req.ResponseKind() // there are none
	}
	return group.Refusal(req, kerr.NotCoordinator.Code)
}
