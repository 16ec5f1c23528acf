package core

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/batching"
	"millrace/core/group"
	"millrace/core/meta"
	"millrace/core/producers"
	"millrace/core/txn"
)

// The topic that transactions are kept in. It is made when the first client
// looks for a coordinator.
const txnTopic = "__transaction_state"

// txns ties a txn.Machine to the partitions of __transaction_state: what it
// writes goes there, what it knows at a start comes from there, and what it
// decides is carried to the partitions of the transaction as markers.
//
// A request runs on a worker: a step under mu with its records appended, then
// without a lock the wait for the sync policy's promise, the markers, the wait
// for theirs, and the step that completes it. So EndTxn is answered when readers
// see what it did, and a client that goes on at once is not told
// CONCURRENT_TRANSACTIONS.
//
// mu is taken after partition.mu of any partition but its own (a batch that
// begins a transaction asks whether it may), and before that of its own. Clients
// cannot write to its own, so there is no circle.
type txns struct {
	b     *Broker
	topic meta.ID
	parts []*partition

	quit    chan struct{} // closed when it ends
	loaded  chan struct{} // closed when it serves
	running sync.WaitGroup

	mu      sync.Mutex
	status  txnStatus
	machine *txn.Machine
	builder *batching.Builder
}

type txnStatus int8

const (
	txnLoading txnStatus = iota
	txnServing
	txnEnded // closed, or its partitions cannot be read
)

// coordinateTxns brings the coordinator into line with a view, as coordinate
// does that of groups. changeMu is held, or nothing else runs yet.
func (b *Broker) coordinateTxns(v *view) {
	now, topic := b.txns.Load(), v.byName[txnTopic]
	if now != nil && (topic == nil || topic.meta.ID != now.topic) {
		b.txns.Store(nil)
		now.close()
		now = nil
	}
	if now != nil || topic == nil {
		return
	}
	t := &txns{
		b: b, topic: topic.meta.ID, parts: topic.partitions, machine: txn.New(b.cfg.Txn),
		quit: make(chan struct{}), loaded: make(chan struct{}), builder: batching.NewBuilder(batching.Options{}),
	}
	b.txns.Store(t)
	t.running.Add(1)
	go t.run()
}

// close ends the coordinator: what it has begun to carry out goes on until the
// next promise of the sync policy, and is taken up again at the next start.
func (t *txns) close() {
	t.mu.Lock()
	t.status = txnEnded
	t.mu.Unlock()
	close(t.quit)
	t.running.Wait()
}

func (b *Broker) closeTxns() {
	b.changeMu.Lock()
	defer b.changeMu.Unlock()
	if t := b.txns.Swap(nil); t != nil {
		t.close()
	}
}

// makeTxnTopic makes __transaction_state; it may be there already.
func (b *Broker) makeTxnTopic() error {
	return b.change(func(image *meta.Image) ([]meta.Record, error) {
		if image.Topic(txnTopic) != nil {
			return nil, nil
		}
		return []meta.Record{b.newTxnTopic()}, nil
	})
}

func (b *Broker) newTxnTopic() meta.TopicCreated {
	return meta.TopicCreated{
		Name: txnTopic, ID: meta.NewID(), Partitions: b.cfg.Txn.Partitions, Node: b.node,
		Configs: map[string]string{
			"cleanup.policy": "compact", "compression.type": "uncompressed",
			"segment.bytes": strconv.Itoa(txnSegment),
		},
	}
}

// txnSegment is how much of a partition of __transaction_state goes at a time,
// once later records say all that it does.
const txnSegment = 16 << 20

// partition is where an id's records lie; the hash is the same as for groups.
func (t *txns) partition(id string) *partition {
	return t.parts[group.PartitionOf(id, len(t.parts))]
}

// epoch goes into every marker: it rises at each start, so that a marker of an
// earlier one cannot come after.
func (t *txns) epoch() int32 { return t.parts[0].epoch }

// run loads, takes up what was decided, and then looks for what has timed out,
// until the coordinator ends.
func (t *txns) run() {
	defer t.running.Done()
	decided, err := t.load()
	if err != nil {
		if !errors.Is(err, errPointless) {
			t.b.log.Error("transactions have no coordinator: its topic cannot be read", "err", err)
		}
		t.mu.Lock()
		t.status = txnEnded
		t.mu.Unlock()
		close(t.loaded)
		return
	}
	t.mu.Lock()
	if t.status == txnLoading {
		t.status = txnServing
	}
	t.mu.Unlock()
	close(t.loaded)
	for _, d := range decided {
		t.carryOut(d)
	}
	rewritten := make([]int64, len(t.parts)) // bytes that the last rewrite took
	tick := time.NewTicker(t.b.cfg.Txn.AbortInterval)
	defer tick.Stop()
	for {
		select {
		case <-t.quit:
			return
		case <-tick.C:
		}
		_ = t.step(func(now int64) (txn.Effects, error) { return t.machine.Tick(now), nil })
		for i, p := range t.parts {
			if p.check(-1) == 0 && p.log.Size() > p.settings.Load().disk.SegmentBytes+2*rewritten[i] {
				rewritten[i] = t.rewrite(p)
			}
		}
	}
}

// rewrite appends to one of its partitions what is kept of every id in it, and
// then lets go of what lies before, as the group coordinator does. It answers how
// many bytes that took.
func (t *txns) rewrite(p *partition) (size int64) {
	from, before := p.log.End(), p.log.Size()
	err := t.step(func(int64) (txn.Effects, error) {
		from = p.log.End()
		return txn.Effects{Records: t.machine.Rewrite(func(id string) bool { return t.partition(id) == p })}, nil
	})
	if err != nil {
		return 0
	}
	size = p.log.Size() - before
	// What replaces the old has to be as safe as the old was.
	if err := p.log.Sync(); err != nil {
		p.fail("sync", err)
		return size
	}
	p.mu.Lock()
	err = p.log.AdvanceStart(from)
	p.mu.Unlock()
	if err == nil {
		err = t.b.saveStarts()
	}
	if err != nil {
		t.b.log.Error("could not rewrite what is kept of transactions", "partition", p.name, "err", err)
		return size
	}
	p.retain()
	return size
}

// load reads what the partitions hold, and ends the transactions in other
// partitions that the coordinator does not know of: a loss of power may have
// taken its records and left theirs, and their readers would wait for ever.
func (t *txns) load() ([]txn.Decision, error) {
	for _, p := range t.parts {
		if p.check(-1) != 0 {
			return nil, fmt.Errorf("%s is offline", p.name)
		}
		err := p.log.Scan(p.log.Start(), p.log.End(), func(batch batching.Batch) error {
			select {
			case <-t.quit:
				return errPointless
			default:
			}
			if batch.IsControl() {
				return nil
			}
			for r, err := range batch.Records(0) {
				if err != nil {
					return err
				}
				if err := t.machine.Load(r.Key, r.Value); err != nil {
					t.b.log.Warn("passing over a record that no coordinator writes", "partition", p.name, "offset", batch.Offset(r), "err", err)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, p := range t.b.view.Load().all() {
		if p.check(-1) != 0 {
			continue
		}
		p.mu.Lock()
		open := p.producers.OpenTxns()
		p.mu.Unlock()
		for _, o := range open {
			if t.machine.Has(o.Producer, txn.Partition{Topic: p.topic, Index: p.index}) {
				continue
			}
			t.b.log.Warn("aborting a transaction that no coordinator knows of", "partition", p.name, "producer", o.Producer, "from", o.First)
			m := producers.Marker{Producer: o.Producer, Epoch: o.Epoch, Coordinator: t.epoch()}
			if g := t.b.groups.Load(); g != nil && p.id == g.topic {
				t.markGroup(g, p, m)()
				continue
			}
			t.mark(p, m)()
		}
	}
	return t.machine.Loaded(), nil
}

// serving is nil, or why requests cannot be served. It waits a little for the
// loading, which is short as a rule, since not every client comes again gladly.
func (t *txns) serving() error {
	select {
	case <-t.loaded:
		return nil
	case <-time.After(loadPatience):
		return kerr.CoordinatorLoadInProgress
	}
}

const loadPatience = 500 * time.Millisecond

// step does a step of the machine, and with no lock held what follows from it.
// The error is the step's, a *kerr.Error; or NOT_COORDINATOR where its records
// could not be kept.
func (t *txns) step(do func(now int64) (txn.Effects, error)) error {
	if err := t.serving(); err != nil {
		return err
	}
	t.mu.Lock()
	if t.status != txnServing {
		t.mu.Unlock()
		return kerr.NotCoordinator
	}
	fx, err := do(t.b.now().UnixMilli())
	kept := t.append(fx.Records)
	if len(fx.Decisions) > 0 {
		t.running.Add(1) // under mu, and so before close waits
		defer t.running.Done()
	}
	t.mu.Unlock()
	if !kept() {
		return kerr.NotCoordinator
	}
	for _, d := range fx.Decisions {
		t.carryOut(d)
	}
	return err
}

// append writes the records of a step; kept waits for the sync policy's promise.
// mu is held.
func (t *txns) append(records []txn.Record) (kept func() bool) {
	now := t.b.now().UnixMilli()
	var waits []func() int16
	failed := false
	for _, r := range records {
		p := t.partition(r.ID)
		t.builder.Reset()
		if err := t.builder.Append(now, r.Key, r.Value, nil); err != nil {
			panic("BUG: a record of " + p.name + ": " + err.Error())
		}
		raw, err := t.builder.Build(nil)
		if err != nil {
			panic("BUG: a batch of " + p.name + ": " + err.Error())
		}
		batch, err := batching.View(raw)
		if err != nil {
			panic("BUG: a batch just built: " + err.Error())
		}
		at, code := p.append(batch, p.settings.Load(), now, source{trusted: true})
		if code != 0 {
			failed = true
			continue
		}
		waits = append(waits, func() int16 { return p.hold(at) })
	}
	if failed {
		// The machine is ahead of its log, and the log takes no more.
		t.status = txnEnded
		t.b.log.Error("transactions have no coordinator any more: its topic takes no records; mend the disk and start the broker again")
	}
	return func() bool {
		for _, wait := range waits {
			failed = wait() != 0 || failed
		}
		return !failed
	}
}

// whenKept calls done when the sync policy's promise holds for what was
// appended, or never will.
func (p *partition) whenKept(at appended, done func(code int16)) {
	if at.held {
		p.advance(at.end)
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

// carryOut writes a decision's markers, all before the first is waited for, and
// completes it. Where a partition's disk has failed it stays decided, and is
// taken up again at the next start.
func (t *txns) carryOut(d txn.Decision) {
	m := producers.Marker{Producer: d.Producer, Epoch: d.Epoch, Coordinator: t.epoch(), Commit: d.Commit}
	view := t.b.view.Load()
	waits := make([]func() int16, 0, len(d.Partitions))
	for _, at := range d.Partitions {
		topic := view.byName[at.Topic]
		if topic == nil || topic.partition(at.Index) == nil {
			continue // deleted, and nobody waits for it
		}
		p := topic.partition(at.Index)
		if g := t.b.groups.Load(); g != nil && p.id == g.topic {
			waits = append(waits, t.markGroup(g, p, m))
			continue
		}
		waits = append(waits, t.mark(p, m))
	}
	for _, wait := range waits {
		switch code := wait(); code {
		case 0, kerr.UnknownTopicOrPartition.Code:
		case kerr.InvalidProducerEpoch.Code, kerr.TransactionCoordinatorFenced.Code:
			t.b.log.Warn("a partition has seen a newer epoch than the transaction that ends", "id", d.ID, "producer", d.Producer, "epoch", d.Epoch)
		default:
			t.b.log.Error("a transaction stays undecided: a partition takes no marker", "id", d.ID, "err", kerr.ErrorForCode(code))
			return
		}
	}
	t.mu.Lock()
	kept := t.append(t.machine.Complete(t.b.now().UnixMilli(), d).Records)
	t.mu.Unlock()
	kept()
}

// mark writes one marker; wait answers when its promise holds, with Kafka's
// error code.
func (t *txns) mark(p *partition, m producers.Marker) (wait func() int16) {
	at, code := p.appendMarker(m, t.b.now().UnixMilli())
	if code != 0 {
		return func() int16 { return code }
	}
	return func() int16 { return p.hold(at) }
}

// markGroup is mark where groups keep their offsets: those of the transaction
// count from the marker on, or are dropped.
func (t *txns) markGroup(g *groups, p *partition, m producers.Marker) (wait func() int16) {
	g.loading.Wait() // or the marker could be missed
	told := make(chan int16, 1)
	g.EndTxn(p.index, m.Producer, m.Commit, func() func(func(error)) {
		at, code := p.appendMarker(m, t.b.now().UnixMilli())
		if code != 0 {
			told <- code
			return nil
		}
		return func(done func(error)) { p.whenKept(at, func(code int16) { done(keptError(code)); told <- code }) }
	})
	return func() int16 { return <-told }
}

// verifyTxn asks the transaction coordinator whether a partition is part of a
// producer's transaction; 0: yes, otherwise Kafka's error code for Produce.
func (b *Broker) verifyTxn(from source, producer int64, epoch int16, at place) int16 {
	t := b.txns.Load()
	if t == nil || from.txn == nil {
		return kerr.InvalidTxnState.Code
	}
	switch err := t.verify(string(from.txn), producer, epoch, at); err {
	case nil:
		return 0
	case kerr.ProducerFenced:
		return kerr.InvalidProducerEpoch.Code
	case kerr.InvalidTxnState:
		if from.version >= firstAbortable {
			return kerr.TransactionAbortable.Code
		}
		return kerr.InvalidTxnState.Code
	case kerr.InvalidProducerIDMapping:
		return kerr.InvalidProducerIDMapping.Code
	}
	return kerr.NotEnoughReplicas.Code // which every client tries again
}

// firstAbortable is the version of Produce from which a client knows
// TRANSACTION_ABORTABLE.
const firstAbortable = 11

func (t *txns) verify(id string, producer int64, epoch int16, at place) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status != txnServing {
		return kerr.NotCoordinator
	}
	return t.machine.Verify(id, producer, epoch, txn.Partition{Topic: at.topic, Index: at.partition})
}
