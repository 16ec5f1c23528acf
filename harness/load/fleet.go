package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Remote is an agent elsewhere.
type Remote struct {
	Addr  string // HOST:PORT
	Token string
}

// Fleet is the agents that carry a run out together.
type Fleet struct {
	Agents  []Remote
	Version string        // of this program; agents of another refuse
	Ceiling time.Duration // how long each takes its generator's own ceiling; 0: not at all
}

// AgentResult is one agent's part.
type AgentResult struct {
	Addr               string
	Producers, Members int            // dealt to it; members of each group
	Ceiling            *CeilingResult // nil: not taken
	Result             *Result        // without ledger; nil: it handed none in
	Err                error          // why it failed; nil: it did not
}

// Hello asks each agent who it is, and answers what each says of its machine, in
// JSON. The error names the first that cannot take part.
func (f Fleet) Hello(ctx context.Context) ([][]byte, error) {
	out := make([][]byte, len(f.Agents))
	for i, a := range f.Agents {
		l, err := f.dial(ctx, a, order{Do: doHello})
		if err != nil {
			return nil, err
		}
		var w word
		err = l.receive(&w, maxOrder)
		l.nc.Close()
		switch {
		case err != nil:
			return nil, fmt.Errorf("agent %s: %s", a.Addr, silentOr(err))
		case w.Is == isError:
			return nil, fmt.Errorf("agent %s: %s", a.Addr, w.Error)
		case w.Is != isHello || w.Version != f.Version:
			return nil, fmt.Errorf("agent %s: it is millrace %s and this is %s: use the same build on every machine", a.Addr, w.Version, f.Version)
		}
		out[i] = w.Env
	}
	return out, nil
}

func (f Fleet) dial(ctx context.Context, a Remote, o order) (*link, error) {
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", a.Addr)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w (start it there: millrace agent --listen %s)", a.Addr, err, a.Addr)
	}
	l := newLink(nc)
	o.Version, o.Token = f.Version, a.Token
	if err := l.send(o); err != nil {
		nc.Close()
		return nil, fmt.Errorf("agent %s: %w", a.Addr, err)
	}
	return l, nil
}

// silentOr says what a broken connection to an agent means.
func silentOr(err error) string {
	if errors.Is(err, errLate) {
		return err.Error()
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Sprintf("it has said nothing for %v", silence)
	}
	return fmt.Sprintf("the connection to it ended (%v): see what it printed there", err)
}

// crewman is an agent at work.
type crewman struct {
	*link
	AgentResult
	ready, flushed bool
	last           status
	ticks          []status // those that other agents have not come to yet
	samples        []Sample
	streams        []streamSnapshot
	readings       []readingSnapshot
	index          []int
}

// done says that nothing more is to come.
func (c *crewman) done() bool { return c.Result != nil || c.Err != nil }

// fleet is a run over agents under way. All of it is one goroutine's, but for the
// ledger, which guards itself.
type fleet struct {
	r     *run
	f     Fleet
	crew  []*crewman
	words chan heard
	over  chan struct{} // closed when nobody listens to words any more

	phase   int
	cut     int64 // ns at which the sending was ended early; 0: it was not
	stopped bool
	lagMax  []int64 // by phase
	lag     int64
	err     error // the first that ends the run

	drained chan bool // from who waits for the readers; nil: nobody does yet
	waiting sync.WaitGroup
	seenAll bool
	at      int64 // ns at which everything was seen
}

type heard struct {
	from *crewman
	word word
	err  error
}

// RunOver carries the spec out by agents: producer i and member i of each group
// are those of agent i mod n, all begin on one word, and each keeps the time by
// its own clock. The result is of all of them together: counts add up, histograms
// are merged without loss, and one ledger judges what all acknowledged and read.
//
// End-to-end latency is that of records whose producer and consumer are on one
// agent; the others count as consumed. With a group protocol partitions may move
// from agent to agent, so the coordinator reads everything once more at the end.
// Transforms, a timeline of the clients, and groups that change their size are
// refused.
func RunOver(ctx context.Context, s Spec, f Fleet) (*Result, []AgentResult, error) {
	if err := f.Suits(&s); err != nil {
		return nil, nil, err
	}
	s.Retain = false
	r, err := newRun(s)
	if err != nil {
		return nil, nil, err
	}
	defer r.stopHard()
	if r.ctl, err = newControl(r); err != nil {
		return nil, nil, err
	}
	defer r.ctl.close()
	leads, err := r.ctl.leaders(ctx)
	if err != nil {
		return nil, nil, err
	}
	r.leads.Store(&leads)
	if r.begin, err = r.ctl.ends(ctx, r.sources); err != nil {
		return nil, nil, err
	}
	r.beginReading()
	if c := r.spec.Consumers; c.grouped() {
		for g := range c.Groups {
			if err := r.beginGroup(ctx, r.groupID(g), r.sources, r.begin); err != nil {
				return nil, nil, err
			}
		}
	}
	fl := &fleet{r: r, f: f, words: make(chan heard), over: make(chan struct{}), lagMax: make([]int64, len(r.phases))}
	var listening sync.WaitGroup
	defer listening.Wait()
	defer close(fl.over)
	defer func() {
		for _, c := range fl.crew {
			c.nc.Close()
		}
	}()
	if err := fl.muster(ctx, &listening); err != nil {
		return nil, fl.parts(), err
	}
	if err := fl.prepare(ctx); err != nil {
		return nil, fl.parts(), err
	}
	fl.carryOut(ctx)
	res := fl.result()
	return res, fl.parts(), fl.err
}

// Suits says why the agents cannot carry a spec out; nil: they can.
func (f Fleet) Suits(s *Spec) error {
	n := len(f.Agents)
	switch {
	case n == 0 || n > MaxAgents:
		return fmt.Errorf("load: %d agents are outside 1 to %d", n, MaxAgents)
	case s.Transform.Workers > 0:
		return errors.New("agents cannot share a transform among them: run it without --agent")
	case len(s.Timeline) > 0:
		return errors.New("agents cannot carry out a timeline of the clients (join, leave, vanish, lag, cut): run it without --agent")
	case s.Producers.Count < n && (s.Consumers.Groups == 0 || s.Consumers.Members < n):
		return fmt.Errorf("%d agents share %d producers and %d members of each group, so that one would have nothing to do: raise producers.count or leave out an agent",
			n, s.Producers.Count, s.Consumers.Members)
	}
	for _, ph := range s.Phases {
		if ph.Members > 0 {
			return errors.New("agents cannot change the number of a group's members: run it without --agent")
		}
	}
	return nil
}

// beginReading puts every reading where the run begins, with nothing read.
func (r *run) beginReading() {
	shared := r.spec.Consumers.grouped() && r.spec.Consumers.Groups > 0
	for g := range len(r.ledger.readings) + 1 {
		row := r.ledger.of(g)
		for p := range row {
			row[p] = &reading{next: r.begin[p], from: make([]source, r.spec.Producers.Count), shared: shared && g < len(r.ledger.readings)}
		}
	}
}

// muster gives each agent its job.
func (f *fleet) muster(ctx context.Context, listening *sync.WaitGroup) error {
	n := len(f.f.Agents)
	for i, a := range f.f.Agents {
		raw, err := newJob(f.r, i, n, f.f.Ceiling)
		if err != nil {
			return err
		}
		l, err := f.f.dial(ctx, a, order{Do: doJob, Job: raw})
		if err != nil {
			return err
		}
		own := &run{spec: Spec{part: &part{index: i, of: n}}}
		c := &crewman{link: l, AgentResult: AgentResult{Addr: a.Addr, Producers: own.share(f.r.spec.Producers.Count)}}
		if f.r.spec.Consumers.Groups > 0 {
			c.Members = own.share(f.r.spec.Consumers.Members)
		}
		f.crew = append(f.crew, c)
		listening.Go(func() { f.hear(c) })
	}
	return nil
}

// hear passes on what an agent says until there is no more.
func (f *fleet) hear(c *crewman) {
	for {
		h := heard{from: c}
		h.err = c.receive(&h.word, maxReport)
		select {
		case f.words <- h:
		case <-f.over:
			return
		}
		if h.err != nil || h.word.Is == isError || h.word.Is == isResult {
			return
		}
	}
}

// tell gives every agent that is still at work an order.
func (f *fleet) tell(do string) {
	for _, c := range f.crew {
		if !c.done() {
			_ = c.send(order{Do: do}) // hear sees what is wrong with it
		}
	}
}

// all says that something holds of every agent.
func (f *fleet) all(is func(*crewman) bool) bool {
	for _, c := range f.crew {
		if !is(c) {
			return false
		}
	}
	return true
}

// prepare waits until every agent is connected and every group has formed.
func (f *fleet) prepare(ctx context.Context) error {
	ping := time.NewTicker(time.Second)
	defer ping.Stop()
	late := time.After(2*joinTime + f.f.Ceiling)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ping.C:
			f.tell(doPing)
		case <-late:
			for _, c := range f.crew {
				if !c.ready {
					return fmt.Errorf("agent %s was not ready within %v", c.Addr, 2*joinTime)
				}
			}
			return fmt.Errorf("the groups' members were not given all partitions within %v", 2*joinTime)
		case h := <-f.words:
			f.take(h)
			if h.from.Err != nil {
				return h.from.Err
			}
		}
		if f.all(func(c *crewman) bool { return c.ready }) && f.formed() {
			f.r.start = time.Now().Add(leadIn)
			f.tell(doStart)
			return nil
		}
	}
}

// formed says that the groups have every partition.
func (f *fleet) formed() bool {
	c := f.r.spec.Consumers
	if !c.grouped() {
		return true
	}
	for g := range c.Groups {
		n := 0
		for _, c := range f.crew {
			if g < len(c.last.Assigned) {
				n += c.last.Assigned[g]
			}
		}
		if n < len(f.r.sources) {
			return false
		}
	}
	return true
}

// take books what an agent said.
func (f *fleet) take(h heard) {
	c, w := h.from, h.word
	fail := func(format string, args ...any) {
		c.Err = fmt.Errorf("agent %s: "+format, append([]any{c.Addr}, args...)...)
	}
	switch {
	case h.err != nil:
		fail("%s", silentOr(h.err))
	case w.Is == isError:
		fail("%s", w.Error)
	case w.Is == isReady:
		c.ready, c.Ceiling = true, w.Ceiling
	case w.Is == isStatus && w.Status != nil:
		c.last = *w.Status
		if c.last.Tick > 0 {
			c.ticks = append(c.ticks, c.last)
		}
	case w.Is == isSample && w.Sample != nil && w.Sample.Phase >= 0 && w.Sample.Phase < len(f.r.phases):
		c.samples = append(c.samples, *w.Sample)
	case w.Is == isFlushed:
		c.flushed = true
		if err := f.r.ledger.addStreams(w.Streams); err != nil {
			fail("%v", err)
		}
	case w.Is == isResult && w.Result != nil && len(w.Index) == len(w.Result.Phases):
		for i, k := range w.Index {
			if k < 0 || k >= len(f.r.phases) {
				fail("a result of phase %d, which the run does not have", k)
				return
			}
			w.Result.Phases[i].Phase = f.r.phases[k]
		}
		c.Result, c.index, c.streams, c.readings = w.Result, w.Index, w.Streams, w.Readings
		switch {
		case w.Gone:
			f.err = errors.Join(f.err, ErrTargetGone)
		case w.Error != "":
			fail("%s", w.Error)
		}
	}
}
