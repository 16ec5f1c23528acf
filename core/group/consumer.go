package group

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The states of a group of the type consumer (KIP-848) besides Empty and Stable.
const (
	Assigning   State = "Assigning"
	Reconciling State = "Reconciling"
)

// consumerGroup is what makes a group one of the type consumer, whose partitions
// the coordinator assigns itself.
//
// Three epochs move one after the other. The group's grows when its members, what
// they subscribe to, or the topics change. The target assignment is computed for
// an epoch of the group, at the next heartbeat of any member. Each member then
// moves there at its own heartbeats: first it gives up what is another's by the
// target, in its old epoch, and only then gets what is its own and nobody's any
// more, in the new one. So no partition ever has two owners.
type consumerGroup struct {
	g *group

	epoch    int32
	assigned int32 // epoch of the target assignment
	hash     int64 // of the topics subscribed to, as of epoch

	members map[string]*subscriber
	static  map[string]*subscriber
	// owners: who has a partition, or has not yet said that it gave it up.
	owners  map[partitionOf]*subscriber
	regexes map[string]*expression

	// seen is what hash and regexes were last compared with.
	seen      Metadata
	refreshed time.Time // when the regexes were last resolved
}

// subscriber is a member of a consumerGroup.
type subscriber struct {
	c        *consumerGroup
	id       string
	instance *string
	rack     *string
	clientID string
	host     string

	topics    []string // by name: sorted, without repeats
	regex     *string
	assignor  *string // what it would have; nil: it has no wish
	rebalance time.Duration
	classic   *classicSide // nil: it speaks the consumer protocol

	epoch    int32
	previous int32 // the epoch before, in which it may still speak
	state    memberState
	owned    partitionSet // assigned to it, as far as it has been told
	revoking partitionSet // to be given up before it moves on
	target   partitionSet

	charged int64 // what the budget was charged for it

	timer          timer // its session
	rebalanceTimer timer // ends the wait for it to revoke
	joinTimer      timer // ends the wait for a classic member to join again
	syncTimer      timer // ends the wait for a classic member to sync
}

// classicSide is what a member brought that speaks the classic protocol.
type classicSide struct {
	session   time.Duration
	protocols []protocol // most preferred first
}

// memberState is how far a member is on its way, by Kafka's numbers.
type memberState int8

const (
	memberStable memberState = iota
	memberRevoking
	memberWaiting             // for partitions that others still own
	memberUnknown memberState = 127
)

// leftForNow is the epoch of a static member that has gone and means to come back.
const leftForNow = -2

func newConsumerGroup(g *group) *consumerGroup {
	return &consumerGroup{
		g: g, members: map[string]*subscriber{}, static: map[string]*subscriber{},
		owners: map[partitionOf]*subscriber{}, regexes: map[string]*expression{},
	}
}

func (c *consumerGroup) state() State {
	switch {
	case len(c.members) == 0:
		return Empty
	case c.epoch > c.assigned:
		return Assigning
	}
	for _, m := range c.members {
		if !m.reconciled() {
			return Reconciling
		}
	}
	return Stable
}

// reconciled: the member has all that the target gives it.
func (m *subscriber) reconciled() bool {
	return m.state == memberStable && m.epoch == m.c.assigned
}

func (c *consumerGroup) sorted() []*subscriber {
	return slices.SortedFunc(maps.Values(c.members), func(a, b *subscriber) int { return strings.Compare(a.id, b.id) })
}

// newSubscriber is ready to be added: its timers know what they end.
func (s *shard) newSubscriber(c *consumerGroup, id string) *subscriber {
	m := &subscriber{c: c, id: strings.Clone(id)}
	m.timer.fire = func() { s.fence(m) }
	m.rebalanceTimer.fire = func() { s.fence(m) }
	m.joinTimer.fire = func() { s.fence(m) }
	m.syncTimer.fire = func() { s.fence(m) }
	return m
}

func (c *consumerGroup) add(m *subscriber) {
	c.members[m.id] = m
	if m.instance != nil {
		c.static[*m.instance] = m
	}
	m.claim()
	c.charge(m)
}

// remove takes m out of the group; its partitions are free.
func (c *consumerGroup) remove(m *subscriber) {
	m.stopTimers()
	m.release()
	delete(c.members, m.id)
	if m.instance != nil && c.static[*m.instance] == m {
		delete(c.static, *m.instance)
	}
	c.g.grow(-m.charged)
	m.charged = 0
}

func (m *subscriber) stopTimers() {
	ts := &m.c.g.s.timers
	for _, t := range []*timer{&m.timer, &m.rebalanceTimer, &m.joinTimer, &m.syncTimer} {
		ts.stop(t)
	}
}

// claim makes m the owner of what it has; release gives that back.
func (m *subscriber) claim() {
	for _, set := range []partitionSet{m.owned, m.revoking} {
		for p := range set.each {
			m.c.owners[p] = m
		}
	}
}

func (m *subscriber) release() {
	for _, set := range []partitionSet{m.owned, m.revoking} {
		for p := range set.each {
			if m.c.owners[p] == m {
				delete(m.c.owners, p)
			}
		}
	}
}

// charge brings the budget in line with what m takes now.
func (c *consumerGroup) charge(m *subscriber) {
	n := m.size()
	c.g.grow(n - m.charged)
	m.charged = n
}

func (m *subscriber) size() int64 {
	n := memberOverhead + len(m.id) + len(m.clientID) + len(m.host) + len(textOf(m.instance)) + len(textOf(m.rack)) +
		len(textOf(m.regex)) + len(textOf(m.assignor)) + 24*(m.owned.len()+m.revoking.len()) + 4*m.target.len()
	for _, t := range m.topics {
		n += 16 + len(t)
	}
	if m.classic != nil {
		n += int(protocolBytes(m.classic.protocols))
	}
	return int64(n)
}

// subscriptionBytes is what a subscription takes, before it is taken.
func subscriptionBytes(topics []string) (n int64) {
	for _, t := range topics {
		n += int64(16 + len(t))
	}
	return n
}

// subscribed are the topics that any member reads, by name.
func (c *consumerGroup) subscribed() map[string]struct{} {
	all := map[string]struct{}{}
	for _, m := range c.members {
		for t := range m.reads {
			all[t] = struct{}{}
		}
	}
	return all
}

// reads yields the names of the topics that m subscribes to: some may come twice.
func (m *subscriber) reads(yield func(string) bool) {
	for _, t := range m.topics {
		if !yield(t) {
			return
		}
	}
	if m.regex == nil || m.c.regexes[*m.regex] == nil {
		return
	}
	for _, t := range m.c.regexes[*m.regex].topics {
		if !yield(t) {
			return
		}
	}
}

// assignorName is what most of those members want that have a wish.
func (c *consumerGroup) assignorName() string {
	votes := map[string]int{}
	for _, m := range c.members {
		if m.assignor != nil {
			votes[*m.assignor]++
		}
	}
	best := ""
	for _, name := range slices.Sorted(maps.Keys(votes)) {
		if best == "" || votes[name] > votes[best] {
			best = name
		}
	}
	if best == "" {
		return c.g.s.cfg.assignors()[0]
	}
	return best
}

// textsOf copies, sorts, and takes out repeats.
func textsOf(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, strings.Clone(n))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// toTopics is a set as a heartbeat's answer tells it.
func (ps partitionSet) toTopics() []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic {
	out := make([]kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic, 0, len(ps))
	for _, t := range ps.topics() {
		out = append(out, kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{TopicID: t, Partitions: ps[t]})
	}
	return out
}
