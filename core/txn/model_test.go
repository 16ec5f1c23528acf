package txn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TestModel runs random producers, takeovers, timeouts and crashes against the
// plain rule of transactions: of each, a reader of committed records sees all or
// nothing; all, where its producer was told that it is committed; nothing, where
// it was told of an abort or that it is fenced before it committed. And in the
// end nothing is left undecided, and no epoch was given out twice.
func TestModel(t *testing.T) {
	began := time.Now()
	for run := 0; run < 300 && time.Since(began) < 5*time.Second; run++ {
		seed := uint64(began.UnixNano()) + uint64(run)
		w := newWorld(t, seed)
		for range 400 {
			w.step()
		}
		w.judge()
	}
}

// world is the machine, the partitions it sends markers to, and the clients.
type world struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand
	s    *script
	// parts are the logs as a reader sees them: what is open by producer, and
	// what is committed.
	parts   map[Partition]*modelLog
	clients []*client
	given   map[string]*client // "pid/epoch" that were given out
	all     []*attempt
	told    map[string][]Partition // markers still to be written, by id
}

type modelLog struct {
	epochs    map[int64]int16
	open      map[int64][]string
	committed map[string]int
}

// client is one instance that uses an id; several use the same.
type client struct {
	id       string
	producer int64
	epoch    int16
	ready    bool
	v2       bool // partitions are added with the first write, every end raises the epoch
	txn      *attempt
}

// attempt is one transaction as its producer knows it.
type attempt struct {
	name   string
	added  []Partition
	wrote  []string
	ending bool   // was asked to commit; the answer may never have come
	fate   string // "", "committed", "aborted"
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), s: newScript(Defaults()),
		parts: map[Partition]*modelLog{}, given: map[string]*client{}, told: map[string][]Partition{}}
	for i := range int32(3) {
		w.parts[Partition{"t", i}] = &modelLog{map[int64]int16{}, map[int64][]string{}, map[string]int{}}
	}
	for i := range 5 {
		w.clients = append(w.clients, &client{id: fmt.Sprint("id", i%2), v2: w.rng.IntN(2) == 0})
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

// keep carries a step's effects to the log; false: the broker died before they
// were kept, so nobody hears of the step.
func (w *world) keep(fx Effects) bool {
	if len(fx.Records) > 0 && w.rng.IntN(25) == 0 {
		w.restart()
		return false
	}
	w.s.log = append(w.s.log, fx.Records...)
	w.decided(fx.Decisions)
	return true
}

func (w *world) decided(ds []Decision) {
	for _, d := range ds {
		if len(d.Partitions) == 0 && d.Commit {
			w.fail("a commit of nothing: %v", d)
		}
		w.s.due[d.ID] = d
		w.told[d.ID] = slices.Clone(d.Partitions)
	}
}

func (w *world) restart() {
	w.s.m, w.s.due, w.told = New(w.s.cfg, new(Budget)), map[string]Decision{}, map[string][]Partition{}
	for _, r := range w.s.log {
		require.NoError(w.t, w.s.m.Load(r.Key, r.Value))
	}
	w.decided(w.s.m.Loaded())
}

func (w *world) step() {
	w.s.now += w.rng.Int64N(50)
	c := w.clients[w.rng.IntN(len(w.clients))]
	switch n := w.rng.IntN(100); {
	case n < 8:
		w.init(c, w.rng.IntN(3) == 0)
	case n < 30:
		w.add(c)
	case n < 55:
		w.write(c)
	case n < 68:
		w.end(c, w.rng.IntN(4) > 0)
	case n < 92:
		w.carryOut()
	case n < 95:
		w.restart()
	case n < 96:
		w.s.now += 60_000
		w.keep(w.s.m.Tick(w.s.now))
	default:
		// As if very many had been: the next takeover finds the epochs used up.
		if tx := w.s.m.txns[c.id]; tx != nil && tx.state == CompleteCommit && w.rng.IntN(4) == 0 {
			tx.epoch = max(tx.epoch, lastEpoch-1)
		}
	}
}

func (w *world) init(c *client, goesOn bool) {
	r := InitRequest{ID: c.id, Timeout: 30_000, Producer: noProducer, Epoch: noEpoch, NewID: -1}
	if goesOn = goesOn && c.ready; goesOn {
		r.Producer, r.Epoch = c.producer, c.epoch
	}
	producer, epoch, fx, err := w.s.m.Init(w.s.now, r)
	if errors.Is(err, ErrNeedsID) {
		r.NewID = w.s.nextID
		w.s.nextID++
		producer, epoch, fx, err = w.s.m.Init(w.s.now, r)
	}
	kept := w.keep(fx)
	if err == nil && kept {
		w.give(c, producer, epoch)
		if c.txn != nil && !c.txn.ending {
			c.txn.fate = "aborted" // it had begun, and has a successor
		}
		c.producer, c.epoch, c.ready, c.txn = producer, epoch, true, nil
	} else if errors.Is(err, kerr.ProducerFenced) {
		w.fenced(c)
	}
}

// give notes an id and epoch that a client gets. An EndTxn of version 2 whose
// answer was lost gives what InitProducerId gives then, to the same client.
func (w *world) give(c *client, producer int64, epoch int16) {
	pair := fmt.Sprintf("%d/%d", producer, epoch)
	if to := w.given[pair]; to != nil && to != c {
		w.fail("%s was given out twice", pair)
	}
	w.given[pair] = c
}

// fenced: the client is told that another has its id.
func (w *world) fenced(c *client) {
	if c.txn != nil && !c.txn.ending {
		c.txn.fate = "aborted"
	}
	c.ready, c.txn = false, nil
}

func (w *world) add(c *client) {
	if !c.ready || c.txn != nil && c.txn.ending {
		return
	}
	p := Partition{"t", w.rng.Int32N(3)}
	fx, err := w.s.m.Add(w.s.now, c.id, c.producer, c.epoch, []Partition{p})
	switch kept := w.keep(fx); {
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerIDMapping):
		w.fenced(c)
	case err == nil && kept:
		if c.txn == nil {
			c.txn = &attempt{name: fmt.Sprintf("%s-%d", c.id, len(w.all))}
			w.all = append(w.all, c.txn)
		}
		c.txn.added = append(c.txn.added, p)
	}
}

// write is what a partition does with a batch.
func (w *world) write(c *client) {
	if !c.ready || c.txn == nil || c.txn.ending {
		if c.ready && c.v2 && c.txn == nil {
			w.writeFirst(c)
		}
		return
	}
	p := c.txn.added[w.rng.IntN(len(c.txn.added))]
	if w.rng.IntN(10) == 0 {
		p = Partition{"t", w.rng.Int32N(3)} // perhaps one that it has not added
	}
	log := w.parts[p]
	if c.epoch < log.epochs[c.producer] {
		w.fenced(c)
		return
	}
	if len(log.open[c.producer]) == 0 {
		err := w.s.m.Verify(c.id, c.producer, c.epoch, p)
		if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerIDMapping) {
			w.fenced(c)
		}
		if err != nil {
			return
		}
		if !slices.Contains(c.txn.added, p) {
			w.fail("a partition that was not added is let in")
		}
	}
	value := fmt.Sprintf("%s/%d", c.txn.name, len(c.txn.wrote))
	log.epochs[c.producer] = c.epoch
	log.open[c.producer] = append(log.open[c.producer], value)
	c.txn.wrote = append(c.txn.wrote, value)
}

// writeFirst is a batch of version 2, which brings its partition into the
// transaction.
func (w *world) writeFirst(c *client) {
	if w.add(c); c.txn != nil {
		w.write(c)
	}
}

func (w *world) end(c *client, commit bool) {
	if !c.ready || c.txn == nil {
		return
	}
	commit = commit || c.txn.ending // what was asked for is asked for again
	r := EndRequest{ID: c.id, Producer: c.producer, Epoch: c.epoch, Commit: commit, Bump: c.v2, NewID: -1}
	producer, epoch, fx, err := w.s.m.End(w.s.now, r)
	if errors.Is(err, ErrNeedsID) {
		r.NewID = w.s.nextID
		w.s.nextID++
		producer, epoch, fx, err = w.s.m.End(w.s.now, r)
	}
	c.txn.ending = commit
	kept := w.keep(fx)
	if err == nil && kept && c.v2 {
		w.give(c, producer, epoch)
		c.producer, c.epoch = producer, epoch
	}
	switch {
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerIDMapping):
		w.fenced(c) // if it was asked before, the answer may have been lost: all or nothing
	case err == nil && kept && commit:
		c.txn.fate, c.txn = "committed", nil
	case err == nil && kept:
		c.txn.fate, c.txn = "aborted", nil
	}
}

// carryOut writes one marker, or completes what has them all.
func (w *world) carryOut() {
	for id, left := range w.told {
		d := w.s.due[id]
		if len(left) == 0 {
			delete(w.told, id)
			delete(w.s.due, id)
			w.keep(w.s.m.Complete(w.s.now, d))
			return
		}
		log := w.parts[left[0]]
		if d.Epoch < log.epochs[d.Producer] {
			w.fail("a marker of epoch %d comes after one of epoch %d", d.Epoch, log.epochs[d.Producer])
		}
		log.epochs[d.Producer] = d.Epoch
		for _, v := range log.open[d.Producer] {
			if d.Commit {
				log.committed[v]++
			}
		}
		delete(log.open, d.Producer)
		w.told[id] = left[1:]
		return
	}
}

func (w *world) judge() {
	// Whatever is open comes to its end by the timeout.
	for range 100 {
		w.s.now += 60_000
		fx := w.s.m.Tick(w.s.now)
		w.s.log = append(w.s.log, fx.Records...)
		w.decided(fx.Decisions)
		for range 10 {
			w.carryOut()
		}
	}
	seen := map[string]int{}
	for p, log := range w.parts {
		if len(log.open) > 0 {
			w.fail("%v has a transaction that nobody ends: %v", p, log.open)
		}
		for v, n := range log.committed {
			if n != 1 {
				w.fail("%s is there %d times", v, n)
			}
			name, _, _ := strings.Cut(v, "/")
			seen[name]++
		}
	}
	for _, a := range w.all {
		n := seen[a.name]
		switch {
		case n != 0 && n != len(a.wrote):
			w.fail("%s: %d of %d records are committed", a.name, n, len(a.wrote))
		case a.fate == "committed" && n != len(a.wrote):
			w.fail("%s was committed, and %d of %d records are there", a.name, n, len(a.wrote))
		case a.fate == "aborted" && n != 0:
			w.fail("%s was aborted, and is there", a.name)
		}
	}
}
