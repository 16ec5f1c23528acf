package load

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// What an Action does. Groups and members need a group protocol for Join, Leave
// and Vanish.
const (
	Join   = "join"   // Count members more in Group
	Leave  = "leave"  // the last Count members of Group take their leave
	Vanish = "vanish" // the last Count members of Group are gone without a word: their sockets are reset
	Hold   = "hold"   // Group reads nothing for For, and then has to catch up
	Cut    = "cut"    // the sockets of Count producers are reset; they connect again
)

// Actions names them.
func Actions() []string { return []string{Join, Leave, Vanish, Hold, Cut} }

// Action is something that clients do at a moment of the run.
type Action struct {
	At    time.Duration // since the start of the run
	Do    string        // one of Actions
	Group int           // -1: every group
	Count int
	For   time.Duration // Hold
}

func (a Action) String() string {
	switch a.Do {
	case Hold:
		return fmt.Sprintf("%s stopped reading for %v", groupName(a.Group), a.For)
	case Cut:
		return fmt.Sprintf("the sockets of %d producers were reset", a.Count)
	}
	return fmt.Sprintf("%s: %s of %d", groupName(a.Group), a.Do, a.Count)
}

func groupName(g int) string {
	if g < 0 {
		return "every group"
	}
	return fmt.Sprintf("group %d", g)
}

// crew is the members of one group.
type crew struct {
	r     *run
	group int
	gate  gate // shut until the run has begun
	wg    sync.WaitGroup

	assigned assignment

	mu      sync.Mutex
	members []*member // guarded by mu
	total   int       // members ever; guarded by mu
	over    bool      // nobody joins any more; guarded by mu
}

// member is one consumer at work.
type member struct {
	leave  context.CancelFunc
	vanish func() // nil: it cannot
}

// join starts n members of a group protocol.
func (c *crew) join(n int) error {
	for range n {
		c.mu.Lock()
		id := c.total
		c.total++
		c.mu.Unlock()
		k, err := newKgoMember(c, id)
		if err != nil {
			return err
		}
		c.start(k, k.vanish)
	}
	return nil
}

func (c *crew) start(k consumer, vanish func()) {
	ctx, cancel := context.WithCancel(c.r.hard)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		cancel()
		return
	}
	c.members = append(c.members, &member{cancel, vanish})
	c.wg.Go(func() { k.run(ctx) })
}

// part lets the last n members go.
func (c *crew) part(n int, vanish bool) {
	c.mu.Lock()
	n = min(n, len(c.members))
	going := slices.Clone(c.members[len(c.members)-n:])
	c.members = c.members[:len(c.members)-n]
	c.mu.Unlock()
	for _, m := range going {
		if vanish && m.vanish != nil {
			m.vanish()
		}
		m.leave()
	}
}

// become makes the group n members strong.
func (c *crew) become(n int) error {
	c.mu.Lock()
	have := len(c.members)
	c.mu.Unlock()
	if n < have {
		c.part(have-n, false)
		return nil
	}
	return c.join(n - have)
}

// stop ends every member and waits until they have.
func (c *crew) stop() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.gate.open()
	c.part(1<<30, false)
	c.wg.Wait()
}

// assignment counts the partitions that the members of a group have.
type assignment struct {
	mu    sync.Mutex
	parts int
	turns int // changes so far
}

func (a *assignment) add(n int) {
	a.mu.Lock()
	a.parts += n
	a.turns++
	a.mu.Unlock()
}

// joinTime bounds the forming of a group. Kafka waits 3 s for company by
// default.
const joinTime = 30 * time.Second

// await waits until the members have n partitions; false: they did not get them
// within joinTime, or ctx ended.
func (a *assignment) await(ctx context.Context, n int) bool {
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	for {
		a.mu.Lock()
		have := a.parts
		a.mu.Unlock()
		if have >= n {
			return true
		}
		if !sleepUntil(ctx, time.Now().Add(5*time.Millisecond)) {
			return false
		}
	}
}

// gate lets readers through while it is open. The zero value is open.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // nil: open; closed when it opens
}

func (g *gate) close() {
	g.mu.Lock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
	g.mu.Unlock()
}

func (g *gate) open() {
	g.mu.Lock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
	g.mu.Unlock()
}

// pass waits until the gate is open or ctx ends.
func (g *gate) pass(ctx context.Context) {
	if g == nil {
		return
	}
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut == nil {
		return
	}
	select {
	case <-shut:
	case <-ctx.Done():
	}
}

// timeline carries out the spec's actions, each in its time, until ctx ends.
func (r *run) timeline(ctx context.Context, crews []*crew, drivers []*driver) (events []Event, back []CatchUp) {
	list := slices.Clone(r.spec.Timeline)
	for k, ph := range r.phases {
		if ph.Members > 0 {
			list = append(list, Action{At: time.Duration(r.rec.starts[k]), Do: become, Group: -1, Count: ph.Members})
		}
	}
	slices.SortStableFunc(list, func(a, b Action) int { return int(a.At - b.At) })
	var holding sync.WaitGroup
	var mu sync.Mutex
	note := func(format string, args ...any) {
		mu.Lock()
		events = append(events, Event{time.Duration(r.now()), fmt.Sprintf(format, args...)})
		mu.Unlock()
	}
	for _, a := range list {
		if !sleepUntil(ctx, r.start.Add(a.At)) {
			holding.Wait()
			return events, back
		}
		if a.Do == Cut {
			r.cut(drivers, a.Count)
			note("%v", a)
			continue
		}
		if a.Do != become {
			note("%v", a)
		}
		for g, c := range crews {
			if a.Group >= 0 && a.Group != g {
				continue
			}
			switch a.Do {
			case Hold:
				holding.Go(func() {
					if took, ok := r.hold(ctx, c, a.For, note); ok {
						mu.Lock()
						back = append(back, took)
						mu.Unlock()
					}
				})
			case Join:
				r.complain("join", c.join(a.Count))
			case Leave, Vanish:
				c.part(a.Count, a.Do == Vanish)
			case become:
				r.complain("join", c.become(a.Count))
			}
		}
	}
	holding.Wait()
	return events, back
}

// become is a phase's number of members.
const become = "become"

// sleepUntil is false where ctx ended first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(at)):
		return ctx.Err() == nil
	}
}

// caughtUpShare is the part of a backlog below which a group has caught up.
const caughtUpShare = 0.01

// hold keeps a group from reading, and says how long it took to catch up; false:
// it did not.
func (r *run) hold(ctx context.Context, c *crew, d time.Duration, note func(string, ...any)) (CatchUp, bool) {
	lag := func() int64 { return r.ledger.behindOf(c.group, r.ledger.ackedRecords()) }
	before := lag()
	c.gate.close()
	held := sleepUntil(ctx, time.Now().Add(d))
	if r.spec.OnRelease != nil && held {
		r.spec.OnRelease()
	}
	backlog := lag()
	c.gate.open()
	if !held {
		return CatchUp{}, false
	}
	began := time.Now()
	note("group %d reads again, %d records behind", c.group, backlog)
	for limit := max(2*before, int64(float64(backlog)*caughtUpShare)); lag() > limit; {
		// The run may end because this group has read the last of it.
		if !sleepUntil(ctx, time.Now().Add(5*time.Millisecond)) && lag() > limit {
			note("group %d had not caught up when the run ended", c.group)
			return CatchUp{}, false
		}
	}
	took := time.Since(began)
	note("group %d had caught up after %v (%.0f records/s)", c.group, took.Round(time.Millisecond), float64(backlog)/took.Seconds())
	return CatchUp{c.group, backlog, took}, true
}

// cut resets the sockets of n producers.
func (r *run) cut(drivers []*driver, n int) {
	for _, d := range drivers[:min(n, len(drivers))] {
		if k, ok := d.p.(interface{ cut() }); ok {
			k.cut()
		}
	}
}
