package txn

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
)

// State is a transactional id's, numbered as in Kafka's records.
type State int8

// The states; the package doc draws how they follow each other.
const (
	Empty State = iota
	Ongoing
	PrepareCommit
	PrepareAbort
	CompleteCommit
	CompleteAbort
	Dead
	PrepareEpochFence
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

func (s State) String() string { return stateNames[s] }

// ParseState finds a state by its name.
func ParseState(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(i), i >= 0
}

const (
	noProducer = -1
	noEpoch    = -1
	// lastEpoch is the greatest epoch that is given out; the one above is for
	// fencing whoever has it.
	lastEpoch = math.MaxInt16 - 1
)

// Partition is a partition of a topic.
type Partition struct {
	Topic string
	Index int32
}

func comparePartitions(a, b Partition) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Index, b.Index))
}

// Decision is a transaction that has been decided: a marker of this producer
// goes to every partition, then Machine.Complete is due.
type Decision struct {
	ID         string
	Producer   int64
	Epoch      int16
	Commit     bool
	Partitions []Partition // sorted
}

// Effects is what a step asks for: each record appended to the partition of its
// id, and when all are kept, each decision carried out.
type Effects struct {
	Records   []Record
	Decisions []Decision
}

// ErrNeedsID says that Init has to be called again with a producer id never
// given out before.
var ErrNeedsID = errors.New("a new producer id is needed")

// transaction is what is kept of a transactional id.
type transaction struct {
	id       string
	producer int64
	previous int64 // the producer id before the last rotation, noProducer
	next     int64 // the one to come when the transaction is complete, noProducer
	epoch    int16 // noEpoch: none given out yet
	last     int16 // the epoch before, where its holder raised it; noEpoch
	bumped   bool  // ended as version 2 does last, which raised the epoch
	timeout  int32 // ms
	state    State
	parts    map[Partition]struct{}
	started  int64 // ms; -1: no transaction
	updated  int64 // ms
}

func (t *transaction) partitions() []Partition {
	out := make([]Partition, 0, len(t.parts))
	for p := range t.parts {
		out = append(out, p)
	}
	slices.SortFunc(out, comparePartitions)
	return out
}

func (t *transaction) decision() Decision {
	return Decision{t.id, t.producer, t.epoch, t.state == PrepareCommit, t.partitions()}
}

// deciding: the outcome is written down and the markers are on their way.
func (t *transaction) deciding() bool { return t.state == PrepareCommit || t.state == PrepareAbort }

// Machine is a set of transactional ids. Calls must not overlap. Errors are Kafka's
// (kerr), but for ErrNeedsID; a step that answers one has no effects unless it
// says so.
type Machine struct {
	cfg    Config
	txns   map[string]*transaction
	budget *Budget
	fx     Effects
}

// Budget counts the memory of all machines that share it, against
// transactions.max.bytes. The zero value is ready.
type Budget struct{ bytes atomic.Int64 }

// New makes a machine without ids.
func New(cfg Config, budget *Budget) *Machine {
	return &Machine{cfg: cfg, txns: map[string]*transaction{}, budget: budget}
}

// What one id and one partition cost, about.
const (
	idCost        = 256
	partitionCost = 96
)

func costOf(p Partition) int64 { return int64(partitionCost + len(p.Topic)) }

func (m *Machine) create(id string) *transaction {
	t := &transaction{id: strings.Clone(id), producer: noProducer, previous: noProducer, next: noProducer, epoch: noEpoch, last: noEpoch, started: -1}
	m.txns[t.id] = t
	m.budget.bytes.Add(int64(idCost + len(id)))
	return t
}

func (m *Machine) forget(t *transaction) {
	m.clear(t)
	m.budget.bytes.Add(-int64(idCost + len(t.id)))
	delete(m.txns, t.id)
}

func (m *Machine) clear(t *transaction) {
	for p := range t.parts {
		m.budget.bytes.Add(-costOf(p))
	}
	t.parts = nil
}

func (m *Machine) add(t *transaction, p Partition) {
	if t.parts == nil {
		t.parts = map[Partition]struct{}{}
	}
	if _, ok := t.parts[p]; !ok {
		p.Topic = strings.Clone(p.Topic)
		t.parts[p] = struct{}{}
		m.budget.bytes.Add(costOf(p))
	}
}

// write notes t as it is now.
func (m *Machine) write(t *transaction, now int64) {
	t.updated = now
	m.fx.Records = append(m.fx.Records, recordOf(t))
}

func (m *Machine) take() Effects {
	fx := m.fx
	m.fx = Effects{}
	return fx
}

// Add puts partitions into the transaction, which begins with the first.
func (m *Machine) Add(now int64, id string, producer int64, epoch int16, parts []Partition) (Effects, error) {
	t, err := m.find(id, producer, epoch)
	if err != nil {
		return Effects{}, err
	}
	if t.deciding() {
		return Effects{}, kerr.ConcurrentTransactions
	}
	fresh := t.state != Ongoing
	var cost int64
	for _, p := range parts {
		if _, ok := t.parts[p]; !ok {
			fresh = true
			cost += costOf(p)
		}
	}
	if !fresh {
		return Effects{}, nil
	}
	if m.budget.bytes.Load()+cost > m.cfg.MaxBytes {
		return Effects{}, kerr.PolicyViolation
	}
	if t.state != Ongoing {
		m.clear(t)
		t.state, t.started = Ongoing, now
	}
	for _, p := range parts {
		m.add(t, p)
	}
	m.write(t, now)
	return m.take(), nil
}

// find is the id's transaction, if this producer is the one that has it.
func (m *Machine) find(id string, producer int64, epoch int16) (*transaction, error) {
	if id == "" {
		return nil, kerr.InvalidRequest
	}
	t := m.txns[id]
	switch {
	case t == nil || t.producer != producer:
		return nil, kerr.InvalidProducerIDMapping
	case t.epoch != epoch:
		return nil, kerr.ProducerFenced
	}
	return t, nil
}

// Verify says whether a partition is part of the producer's transaction: nil,
// INVALID_TXN_STATE where it is not, CONCURRENT_TRANSACTIONS where the
// transaction is being ended.
func (m *Machine) Verify(id string, producer int64, epoch int16, p Partition) error {
	t, err := m.find(id, producer, epoch)
	if err != nil {
		return err
	}
	if t.deciding() {
		return kerr.ConcurrentTransactions
	}
	if _, ok := t.parts[p]; !ok || t.state != Ongoing {
		return kerr.InvalidTxnState
	}
	return nil
}

// Tick aborts the transactions that are past their timeout and forgets the ids
// past their expiration.
func (m *Machine) Tick(now int64) Effects {
	var due []*transaction
	for _, t := range m.txns {
		if t.state == Ongoing && now-t.started > int64(t.timeout) || m.expired(t, now) {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *transaction) int { return strings.Compare(a.id, b.id) })
	for _, t := range due {
		if t.state == Ongoing {
			m.fence(t, now)
			continue
		}
		m.fx.Records = append(m.fx.Records, tombstone(t.id))
		m.forget(t)
	}
	return m.take()
}

func (m *Machine) expired(t *transaction, now int64) bool {
	return !t.deciding() && t.state != Ongoing && now-t.updated > m.cfg.Expiration.Milliseconds()
}
