package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// run is a spec on its way. What is here is fixed before the load begins, apart
// from the parts that guard themselves.
type run struct {
	spec   Spec
	client client
	phases []Phase // with the drain at the end
	id     uint32
	parts  []partition // where producers write
	// sources is where consumers read: parts, or the outputs of the transform.
	sources []partition
	begin   []int64   // end of each source before the run
	inputs  []int64   // and of each of parts, where there is a transform
	shares  [][]Pacer // by phase, producer
	pool    *pool
	keys    *keySet
	rec     *recorder
	ledger  *ledger
	log     *slog.Logger
	ctl     *control

	// Of the lean client.
	prefixes      []prefix // by partition
	templates     []*template
	templatesOnce sync.Once
	templatesErr  error
	leads         atomic.Pointer[[]leader] // by partition
	refreshed     atomic.Int64             // ns at which that was last asked for

	start time.Time // time 0; set once everything is connected

	// soft ends the sending, hard ends everything.
	soft, hard         context.Context
	stopSoft, stopHard context.CancelFunc

	readBack atomic.Bool // nothing is measured any more, only read for the ledger

	complaining sync.Mutex
	complaints  []Complaint // guarded by complaining
	complained  int64       // guarded by complaining
}

// now is nanoseconds since the start.
func (r *run) now() int64 { return int64(time.Since(r.start)) }

// arrival is of records that a producer sends from an event on.
func (r *run) arrival(phase, producer int, event, at int64) arrival {
	return arrival{phase: phase, at: at, begin: r.rec.starts[phase], pace: r.shares[phase][producer], event: event}
}

// leaderOf is where a partition's records go.
func (r *run) leaderOf(part int) leader { return (*r.leads.Load())[part] }

// refreshLeaders asks anew where the partitions are, not more often than twice
// a second and without waiting for the answer.
func (r *run) refreshLeaders() {
	last, now := r.refreshed.Load(), r.now()
	if now-last < int64(500*time.Millisecond) || !r.refreshed.CompareAndSwap(last, now) {
		return
	}
	go func() {
		if leads, err := r.ctl.leaders(r.hard); err == nil {
			r.leads.Store(&leads)
		}
	}()
}

// rejected says that the target refused a request for a partition.
func (r *run) rejected(what string, part int, code int16) {
	err := kerr.ErrorForCode(code)
	r.complain(what, fmt.Errorf("topic %s partition %d: %w", r.parts[part].topic, r.parts[part].index, err))
	if errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.UnknownTopicOrPartition) {
		r.refreshLeaders()
	}
}

// dialTimeout bounds the opening of one connection.
const dialTimeout = 2 * time.Second

// dial opens a connection to the target, with the congestion control that the
// spec asks for.
func (r *run) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if r.spec.env.dial != nil {
		return r.spec.env.dial(ctx, network, addr)
	}
	d := net.Dialer{Timeout: dialTimeout, Control: congestionControl(r.spec.Congestion)}
	return d.DialContext(ctx, network, addr)
}

// complain keeps an error for the result, and logs the first few of a run and
// then every thousandth. What an error cost is counted elsewhere.
func (r *run) complain(what string, err error) {
	if err == nil || r.hard.Err() != nil {
		return
	}
	r.complaining.Lock()
	r.complained++
	n := r.complained
	r.complaints = addComplaint(r.complaints, Complaint{what, err.Error(), 1})
	r.complaining.Unlock()
	if n <= 5 || n%1000 == 0 {
		r.log.Warn(what, "error", err, "errors so far", n)
	}
}

// addComplaint counts it with those of the same text, or keeps it where there is
// room.
func addComplaint(list []Complaint, c Complaint) []Complaint {
	for i := range list {
		if list[i].What == c.What && list[i].Error == c.Error {
			list[i].Count += c.Count
			return list
		}
	}
	if len(list) < maxComplaints {
		list = append(list, c)
	}
	return list
}

// damaged counts n damaged records that a reader came upon, and says where. The
// caller holds the shard's lock.
func (r *run) damaged(s *shard, at partition, offset, n int64, why string) {
	s.tally.errors += n
	r.complain("consume", fmt.Errorf("topic %s partition %d offset %d: %s", at.topic, at.index, offset, why))
}

const (
	// leadIn lets consumers begin their first fetch before the first record.
	leadIn = 50 * time.Millisecond
	// grace is how long a stopped run waits for answers on their way.
	grace = 500 * time.Millisecond
	// quiet is how long nothing may come where nobody can say what is missing.
	quiet = time.Second
)

// Run carries the spec out. Where ctx ends or the target fails for good, it
// returns soon, with what was measured until then; the result is nil only where
// the run could not begin. A cancelled ctx is no error: Result.Stopped says it.
func Run(ctx context.Context, s Spec) (*Result, error) {
	r, err := newRun(s)
	if err != nil {
		return nil, err
	}
	defer r.stopHard()
	if r.ctl, err = newControl(r); err != nil {
		return nil, err
	}
	defer r.ctl.close()
	leads, err := r.ctl.leaders(ctx)
	if err != nil {
		return nil, err
	}
	r.leads.Store(&leads)
	if s.part != nil {
		r.begin = s.part.begin
	} else if r.begin, err = r.ctl.ends(ctx, r.sources); err != nil {
		return nil, err
	}
	if s.Transform.Workers > 0 {
		if r.inputs, err = r.ctl.ends(ctx, r.parts); err != nil {
			return nil, err
		}
	}
	for g := range len(r.ledger.readings) + 1 {
		for p, reading := range r.ledger.of(g) {
			reading.next = r.begin[p]
		}
	}
	drivers, err := r.connect(ctx)
	defer func() {
		for _, d := range drivers {
			d.p.close()
			if d.wait != nil {
				d.wait.close()
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	return r.carryOut(ctx, drivers)
}

func newRun(s Spec) (*run, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	r := &run{spec: s.filled(), client: clientOf(s.Client), log: s.Logger}
	r.phases = r.spec.Phases
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	// Two runs over one topic must differ, also with the same seed.
	r.id = rand.Uint32()
	if s.part != nil {
		r.id = s.part.run
	}
	var err error
	if r.pool, err = newPool(s.values(), s.Seed); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if r.keys, err = newKeySet(s.Keys, s.Topics[0].Partitions); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	groups := s.Consumers.Groups
	if groups == 0 && !s.SkipReadBack {
		groups = 1
	}
	r.ledger = newLedger(s.Topics, s.Producers.Count, groups, s.Producers.Acks != AcksNone)
	r.parts = r.ledger.parts
	r.sources = r.parts
	if s.Transform.Workers > 0 {
		r.ledger.mapped = true
		for range r.parts {
			r.ledger.inputs = append(r.ledger.inputs, &reading{})
		}
		r.sources = partitionsOf(s.Transform.Outputs)
	}
	r.ledger.committed = s.Consumers.Committed
	if s.Retain {
		r.ledger.retain()
	}
	for _, group := range r.ledger.readings {
		for _, reading := range group {
			reading.shared = r.spec.Consumers.grouped() && s.Consumers.Groups > 0
		}
	}
	r.forgetElsewhere()
	for _, p := range r.parts {
		r.prefixes = append(r.prefixes, newPrefix(p, s.Producers.Acks))
	}
	starts, _ := phaseStarts(r.phases)
	r.rec = newRecorder(starts)
	r.shares = shares(r.phases, s.Producers.Count)
	r.hard, r.stopHard = context.WithCancel(context.Background())
	r.soft, r.stopSoft = context.WithCancel(r.hard)
	return r, nil
}

// connect makes the producers.
func (r *run) connect(ctx context.Context) (drivers []*driver, err error) {
	for i := range r.spec.Producers.Count {
		if !r.mine(i) {
			continue
		}
		p, err := r.client.producer(ctx, r, i)
		if err != nil {
			return drivers, err
		}
		d := &driver{r: r, p: p, index: i, sleep: r.spec.env.sleep}
		drivers = append(drivers, d)
		if d.sleep == nil {
			if d.wait, err = newWaiter(); err != nil {
				return drivers, fmt.Errorf("load: %w", err)
			}
			d.sleep = d.wait.sleep
		}
	}
	return drivers, nil
}

// consume starts the groups, each with its members.
func (r *run) consume(ctx context.Context) (crews []*crew, err error) {
	c := r.spec.Consumers
	for g := range c.Groups {
		w := &crew{r: r, group: g}
		w.gate.close()
		crews = append(crews, w)
		if !c.grouped() {
			err = r.dealOut(w, c.Members, true)
		} else if r.spec.part != nil {
			err = w.join(r.share(c.Members))
		} else if err = r.beginGroup(ctx, r.groupID(g), r.sources, r.begin); err == nil {
			err = w.join(c.Members)
		}
		if err != nil {
			return crews, err
		}
	}
	for _, w := range crews {
		if c.grouped() && r.spec.part == nil && !w.assigned.await(ctx, len(r.sources)) {
			return crews, fmt.Errorf("load: %s was not given its partitions within %v", groupName(w.group), joinTime)
		}
	}
	return crews, nil
}

// dealOut starts members of the crew's group that share the partitions for
// good.
func (r *run) dealOut(w *crew, members int, live bool) error {
	for m := range members {
		var parts []int
		for p := m; p < len(r.sources); p += members {
			parts = append(parts, p)
		}
		if len(parts) == 0 || !r.mine(m) {
			continue
		}
		c, err := r.client.consumer(r, w.group, parts, live, &w.gate)
		if err != nil {
			return err
		}
		w.start(c, nil)
	}
	return nil
}

// carryOut runs the phases and puts the result together.
func (r *run) carryOut(ctx context.Context, drivers []*driver) (*Result, error) {
	crews, err := r.consume(ctx)
	stopConsumers := func() {
		for _, c := range crews {
			c.stop()
		}
	}
	defer stopConsumers()
	if err != nil {
		return nil, err
	}
	workers, err := r.transform(ctx)
	defer workers.stop()
	if err != nil {
		return nil, err
	}
	if p := r.spec.part; p != nil {
		if err := p.ready(r, crews); err != nil {
			return nil, err
		}
	}
	r.start = time.Now().Add(leadIn)
	for _, c := range crews {
		c.gate.open()
	}
	workers.gate.open()
	var producing, acting sync.WaitGroup
	for _, d := range drivers {
		producing.Go(func() { d.run(r.soft) })
	}
	var events []Event
	var back []CatchUp
	live := crews // the reader of the leftovers, added below, is not the timeline's
	acting.Go(func() { events, back = r.timeline(r.soft, live, drivers) })
	w := newWatch(r, drivers)
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { w.run(ctx, over) })

	// The drivers return when everything is sent, or when the run is stopped.
	producing.Wait()
	<-w.draining
	r.flush(drivers)
	at := r.now()
	groups := r.spec.Consumers.Groups
	if groups == 0 && len(r.ledger.readings) > 0 && r.hard.Err() == nil {
		r.readBack.Store(true)
		back := &crew{r: r}
		crews = append(crews, back)
		r.complain("consume", r.dealOut(back, 1, false))
	}
	var drained bool
	if p := r.spec.part; p != nil {
		p.flushed(r)
		drained = r.awaitFinish(r.hard)
	} else {
		drained = r.awaitConsumers()
	}
	if groups > 0 {
		at = r.now()
	}
	r.stopSoft()
	acting.Wait()
	workers.stop()
	stopConsumers()
	if r.spec.Verify != nil && groups > 0 && r.hard.Err() == nil && r.spec.Verify() {
		r.verify()
	}
	close(over)
	watching.Wait()
	r.stopHard()

	res := w.result()
	res.Events, res.CatchUps = events, back
	r.complaining.Lock()
	res.Complaints = r.complaints
	r.complaining.Unlock()
	res.Drained = drained && !w.stopped && res.Unsent == 0
	res.DrainTime = time.Duration(at) - w.drainBegin()
	if r.spec.part != nil { // the ledger of all parts is somebody else's
		return res, w.err
	}
	var ends []int64
	if len(r.ledger.readings) > 0 {
		ask, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if ends, err = r.ctl.ends(ask, r.sources); err != nil {
			r.log.Warn("the ledger cannot be completed", "error", err)
		}
	}
	if r.spec.Consumers.grouped() && !w.stopped {
		r.endGroups(groups)
	}
	res.Ledger = r.ledger.report(ends)
	return res, w.err
}

// verify reads everything once more, as nobody's group.
func (r *run) verify() {
	r.readBack.Store(true)
	w := &crew{r: r, group: len(r.ledger.readings)}
	defer w.stop()
	if err := r.dealOut(w, 1, false); err != nil {
		r.complain("verify", err)
		return
	}
	audit := [][]*reading{r.ledger.audit}
	at, since := int64(-1), r.now()
	for r.hard.Err() == nil {
		ends, err := r.ctl.ends(r.hard, r.sources)
		if err == nil && (passed(audit, ends) || r.ledger.complete(r.ledger.audit)) {
			r.ledger.audited = true
			return
		}
		var seen int64
		for _, p := range r.ledger.audit {
			seen += p.position()
		}
		// A log may end with records that nobody is shown: a transaction without
		// an end, or its marker.
		if seen != at {
			at, since = seen, r.now()
		} else if err == nil && r.now()-since > int64(verifyQuiet) {
			r.ledger.audited = true
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// verifyQuiet is how long the reader of a verification may find nothing new
// before that counts as the end.
const verifyQuiet = 3 * time.Second

// flush waits for the answers to everything that was sent.
func (r *run) flush(drivers []*driver) {
	var flushing sync.WaitGroup
	for _, d := range drivers {
		flushing.Go(func() { d.p.flush(r.hard) })
	}
	flushing.Wait()
}

// awaitConsumers returns when every group has seen all there is, or when it
// will see no more of it. It says whether all was seen.
func (r *run) awaitConsumers() bool {
	last, since, asked := int64(-1), r.now(), r.now()
	for r.hard.Err() == nil {
		began := time.Now()
		if r.ledger.caughtUp() {
			return true
		}
		// Looking costs something where there are many partitions.
		time.Sleep(max(2*time.Millisecond, 10*time.Since(began)))
		now := r.now()
		if missing := r.ledger.behind(r.ledger.sent()); missing != last {
			last, since, asked = missing, now, now
		}
		if !r.ledger.acks && now-since > int64(quiet) {
			return false
		}
		// A log that ends below what it acknowledged is never read further, but
		// for one that somebody else still writes.
		if !r.ledger.mapped && now-asked > int64(quiet/2) {
			if ends, err := r.ctl.ends(r.hard, r.sources); err == nil && passed(r.ledger.readings, ends) {
				return false
			}
			asked = r.now()
		}
	}
	return false
}

// CeilingResult is what a client reaches against a Sink.
type CeilingResult struct {
	Rate   float64 // records/s
	Bytes  float64 // of keys and values a second
	CPUNs  float64 // CPU time of this process per record
	Shared bool    // the sink ran in this process, and its cost is part of CPUNs
}

// Ceiling is what the spec's client, payload and batch settings reach in closed
// loop against a Sink in this process, over d. It costs d and a little.
func Ceiling(ctx context.Context, s Spec, d time.Duration) (CeilingResult, error) {
	sink, err := NewSink(s.Topics)
	if err != nil {
		return CeilingResult{}, err
	}
	defer sink.Close()
	c, err := CeilingAgainst(ctx, s, sink.Addr(), d)
	c.Shared = true
	return c, err
}

// CeilingAgainst is the same against a Sink elsewhere, which serves the topics.
func CeilingAgainst(ctx context.Context, s Spec, addr string, d time.Duration) (c CeilingResult, err error) {
	s.Brokers = []string{addr}
	s.Consumers = Consumers{}
	s.SkipReadBack = true
	s.OnPhase, s.OnSample, s.GiveUp = nil, nil, 0
	s.Timeline, s.Verify, s.Retain, s.Transform, s.Producers.Transaction = nil, nil, false, Transform{}, Transaction{}
	s.Phases = []Phase{{Kind: Warmup, Len: d / 4}, {Kind: Steady, Len: d - d/4}, {Kind: Drain, Len: time.Second}}
	res, err := Run(ctx, s)
	if err != nil {
		return c, err
	}
	if res.Stopped {
		return c, ctx.Err()
	}
	steady := res.Phases[1]
	c.Rate = float64(steady.Acked.Records) / steady.Len.Seconds()
	c.Bytes = float64(steady.Acked.Bytes) / steady.Len.Seconds()
	if steady.Acked.Records > 0 {
		c.CPUNs = float64(steady.Usage.CPU) / float64(steady.Acked.Records)
	}
	return c, nil
}
