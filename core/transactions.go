package core

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/batching"
	"millrace/core/group"
	"millrace/core/meta"
	"millrace/core/txn"
)

// txns is the transaction coordinator: a lane for each partition of
// __transaction_state, which keeps the transactional ids whose hash it has. What
// a lane's machine writes goes to its partition, what it knows at a start comes
// from there, and what it decides is carried to the partitions of the transaction
// as markers. A partition whose disk fails ends its lane and no other.
//
// A request runs on a worker: a step under the lane's lock with its records
// appended, then without a lock the wait for the sync policy's promise, the
// markers, the wait for theirs, and the step that completes it. So EndTxn is
// answered when readers see what it did, and a client that goes on at once is not
// told CONCURRENT_TRANSACTIONS.
type txns struct {
	b     *Broker
	topic meta.ID
	lanes []*txnLane
	clock group.Clock

	quit    chan struct{} // closed when it ends
	loaded  chan struct{} // closed when it serves
	running sync.WaitGroup
}

// txnLane is the transactional ids of one partition.
//
// mu is taken after partition.mu of any partition but its own (a batch that
// begins a transaction asks whether it may), and before that of its own. Clients
// cannot write to its own, so there is no circle.
type txnLane struct {
	*statePartition

	mu      sync.Mutex
	status  txnStatus
	machine *txn.Machine
}

type txnStatus int8

const (
	txnLoading txnStatus = iota
	txnServing
	txnEnded // closed, or the partition cannot be read or written
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
	t := &txns{b: b, topic: topic.meta.ID, clock: group.ClockOf(b.now), quit: make(chan struct{}), loaded: make(chan struct{})}
	var budget txn.Budget
	for _, p := range topic.partitions {
		t.lanes = append(t.lanes, &txnLane{statePartition: newStatePartition(p), machine: txn.New(b.cfg.Txn, &budget)})
	}
	b.txns.Store(t)
	t.running.Add(1)
	go t.run()
}

// close ends the coordinator: what it has begun to carry out goes on until the
// next promise of the sync policy, and is taken up again at the next start.
func (t *txns) close() {
	for _, l := range t.lanes {
		l.end()
	}
	close(t.quit)
	t.running.Wait()
}

func (l *txnLane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = txnEnded
}

func (b *Broker) closeTxns() {
	b.changeMu.Lock()
	defer b.changeMu.Unlock()
	if t := b.txns.Swap(nil); t != nil {
		t.close()
	}
}

// lane is where an id's records lie; the hash is the same as for groups.
func (t *txns) lane(id string) *txnLane { return t.lanes[group.PartitionOf(id, len(t.lanes))] }

// epoch goes into every marker: it rises at each start, so that a marker of an
// earlier one cannot come after.
func (t *txns) epoch() int32 { return t.lanes[0].epoch }

// run loads, takes up what was decided, and then looks for what has timed out,
// until the coordinator ends.
func (t *txns) run() {
	defer t.running.Done()
	decided := t.load()
	for _, l := range t.lanes {
		l.mu.Lock()
		if l.status == txnLoading {
			l.status = txnServing
		}
		l.mu.Unlock()
	}
	close(t.loaded)
	for _, d := range decided {
		t.carryOut(d)
	}
	tick := make(chan struct{}, 1)
	alarm := t.clock.AfterFunc(t.b.cfg.Txn.AbortInterval, func() { tick <- struct{}{} })
	defer alarm.Stop()
	for {
		select {
		case <-t.quit:
			return
		case <-tick:
		}
		for _, l := range t.lanes {
			_ = t.step(l, func(m *txn.Machine, now int64) (txn.Effects, error) { return m.Tick(now), nil })
			if l.overgrown() {
				t.rewrite(l)
			}
		}
		alarm.Reset(t.b.cfg.Txn.AbortInterval)
	}
}

// rewrite appends to a lane's partition what is kept of every id in it, and then
// lets go of what lies before.
func (t *txns) rewrite(l *txnLane) {
	err := l.rewrite(func() (from int64, ok bool, err error) {
		err = t.step(l, func(m *txn.Machine, _ int64) (txn.Effects, error) {
			from = l.log.End()
			return txn.Effects{Records: m.Rewrite()}, nil
		})
		return from, true, err
	})
	if err != nil {
		t.b.log.Error("could not rewrite what is kept of transactions", "partition", l.name, "err", err)
	}
}

// load reads what the partitions hold and answers what is to be carried out. A
// lane whose partition cannot be read ends.
func (t *txns) load() []txn.Decision {
	t.b.loadEach("transactions", len(t.lanes), func(i int) {
		l := t.lanes[i]
		err := l.load(t.quit)
		if err == nil {
			return
		}
		l.end()
		if !errors.Is(err, errPointless) {
			t.b.log.Error("transactional ids have no coordinator: their partition cannot be read", "partition", l.name, "err", err)
		}
	})
	complete := true
	var decided []txn.Decision
	for _, l := range t.lanes {
		l.mu.Lock()
		if l.status == txnLoading {
			decided = append(decided, l.machine.Loaded()...)
		} else {
			complete = false
		}
		l.mu.Unlock()
	}
	if complete {
		// Otherwise what is not known may be known to a lane that cannot be read.
		t.abortStrays()
	}
	return decided
}

func (l *txnLane) load(quit <-chan struct{}) error {
	passed := 0
	return l.scan(quit, func(batch batching.Batch) error {
		if batch.IsControl() {
			return nil
		}
		for r, err := range batch.Records(0) {
			if err != nil {
				return err
			}
			if err := l.machine.Load(r.Key, r.Value); err != nil {
				l.passOver(&passed, batch.Offset(r), err)
			}
		}
		return nil
	})
}

// serving is nil, or why requests cannot be served. It waits a little for the
// loading, which is short as a rule, since not every client comes again gladly.
func (t *txns) serving() error {
	select {
	case <-t.loaded:
		return nil
	default:
	}
	patience := make(chan struct{})
	defer t.clock.AfterFunc(loadPatience, func() { close(patience) }).Stop()
	select {
	case <-t.loaded:
		return nil
	case <-patience:
		return kerr.CoordinatorLoadInProgress
	}
}

const loadPatience = 500 * time.Millisecond

// step does a step of a lane's machine, and with no lock held what follows from
// it. The error is the step's, a *kerr.Error; or NOT_COORDINATOR where its
// records could not be kept.
func (t *txns) step(l *txnLane, do func(m *txn.Machine, now int64) (txn.Effects, error)) error {
	if err := t.serving(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.status != txnServing {
		l.mu.Unlock()
		return kerr.NotCoordinator
	}
	fx, err := do(l.machine, t.b.now().UnixMilli())
	at, written := l.append(fx.Records)
	if len(fx.Decisions) > 0 {
		t.running.Add(1) // under mu, and so before close waits
		defer t.running.Done()
	}
	l.mu.Unlock()
	if !written || at.end > 0 && l.hold(at) != 0 {
		return kerr.NotCoordinator
	}
	for _, d := range fx.Decisions {
		t.carryOut(d)
	}
	return err
}

// append writes the records of a step; at.end 0: there were none. mu is held.
func (l *txnLane) append(records []txn.Record) (at appended, ok bool) {
	now := l.b.now().UnixMilli()
	for len(records) > 0 {
		n, size := 0, int64(batching.HeaderSize)
		for n < len(records) && (n == 0 || size+stateSize(records[n].Key, records[n].Value) <= txnBatch) {
			size += stateSize(records[n].Key, records[n].Value)
			n++
		}
		var err error
		at, err = l.write(nil, now, func(b *batching.Builder) error {
			for _, r := range records[:n] {
				if err := b.Append(now, r.Key, r.Value, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			// The machine is ahead of its log, and the log takes no more.
			l.status = txnEnded
			l.b.log.Error("transactional ids have no coordinator any more: their partition takes no records; mend the disk and start the broker again", "partition", l.name, "err", err)
			return at, false
		}
		records = records[n:]
	}
	return at, true
}

// txnBatch bounds the batches of __transaction_state. A step of many records is
// a tick's or a rewrite.
const txnBatch = 1 << 20

// list tells of every transactional id, sorted.
func (t *txns) list() (all []txn.Description, err error) {
	for _, l := range t.lanes {
		err := t.step(l, func(m *txn.Machine, _ int64) (txn.Effects, error) {
			all = append(all, m.List()...)
			return txn.Effects{}, nil
		})
		if err == kerr.CoordinatorLoadInProgress {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b txn.Description) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}
