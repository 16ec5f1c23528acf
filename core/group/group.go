package group

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// State is a classic group's state, by Kafka's names.
type State string

// The states. A group that is unknown is described as Dead.
const (
	Empty               State = "Empty"
	PreparingRebalance  State = "PreparingRebalance"
	CompletingRebalance State = "CompletingRebalance"
	Stable              State = "Stable"
	Dead                State = "Dead"
)

// consumerProtocol is the protocol type whose subscriptions the coordinator can
// read; others (connect, schema registry) are opaque.
const consumerProtocol = "consumer"

// group is one group. Owned by its shard.
type group struct {
	s  *shard
	id string

	state    State
	previous State
	since    int64 // ms since the epoch when state was entered; -1: not known

	protocolType string // "": nobody ever joined
	protocol     string // chosen for this generation; "": none
	generation   int32
	leader       string // member id; "": none

	members  []*member // in the order in which they joined
	byID     map[string]*member
	static   map[string]string   // group.instance.id → member id
	pending  map[string]*pending // given a member id, have not joined with it yet
	support  map[string]int      // protocol → members that support it
	awaiting int                 // parked joins

	// topics is what a Stable consumer group reads; nil where the coordinator
	// cannot know.
	topics map[string]struct{}

	// The first rebalance of an empty group is put off while new members keep
	// coming, for at most the rebalance timeout.
	newMember bool
	delay     time.Duration // of the put-off under way
	delayLeft time.Duration

	// consumer makes the group one of the type consumer; all above is then as in
	// an Empty group that nobody ever joined. nil: the group is a classic one.
	consumer *consumerGroup

	// kept is the value of a classic group's last record; nil: there is none.
	kept []byte

	joinTimer timer // ends PreparingRebalance
	syncTimer timer // ends CompletingRebalance

	offsets     topicOffsets
	offsetBytes int64
	bytes       int64 // members and offsets; what the budget was charged
}

// member is one consumer of a group.
type member struct {
	g        *group
	id       string
	instance *string
	clientID string
	host     string

	session   time.Duration
	rebalance time.Duration
	protocols []protocol // most preferred first
	// assignment is never nil and never changed in place, since replies that
	// are on their way hold it.
	assignment []byte

	join *Request // parked JoinGroup
	sync *Request // parked SyncGroup
	// fresh: has never been answered, so cannot send heartbeats.
	fresh bool
	// owesSync: its SyncGroup of this generation has not come.
	owesSync bool
	timer    timer
}

type protocol struct {
	name     string
	metadata []byte
}

// pending is a member id that was handed out with MEMBER_ID_REQUIRED.
type pending struct {
	timer timer
	size  int64
}

// Rough cost of a struct and its place in the maps, so that what a peer can make
// us keep is counted even where its strings are empty.
const (
	groupOverhead   = 1024
	memberOverhead  = 512
	pendingOverhead = 256
	offsetOverhead  = 128
)

func (m *member) size() int64 {
	n := memberOverhead + len(m.id) + len(m.clientID) + len(m.host) + len(m.assignment)
	if m.instance != nil {
		n += len(*m.instance)
	}
	return int64(n) + protocolBytes(m.protocols)
}

func protocolBytes(ps []protocol) (n int64) {
	for _, p := range ps {
		n += int64(64 + len(p.name) + len(p.metadata))
	}
	return n
}

func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.name == protocol {
			return p.metadata
		}
	}
	return []byte{}
}

// sameProtocols: the member asks for what it asked for before, in the same
// order of preference.
func (m *member) sameProtocols(asked []kmsg.JoinGroupRequestProtocol) bool {
	return slices.EqualFunc(m.protocols, asked, func(p protocol, a kmsg.JoinGroupRequestProtocol) bool {
		return p.name == a.Name && bytes.Equal(p.metadata, a.Metadata)
	})
}

// alive: the member needs no heartbeat now, since it is parked with us.
func (m *member) alive() bool { return !m.fresh && (m.join != nil || m.sync != nil) }

// protocolsOf copies, since the request's memory goes back when it is answered.
// Of a name given twice the first counts.
func protocolsOf(asked []kmsg.JoinGroupRequestProtocol) []protocol {
	ps := make([]protocol, 0, len(asked))
	for _, a := range asked {
		if !slices.ContainsFunc(ps, func(p protocol) bool { return p.name == a.Name }) {
			ps = append(ps, protocol{strings.Clone(a.Name), cloneBytes(a.Metadata)})
		}
	}
	return ps
}

// grow charges the budget with n more bytes of this group, or gives them back.
func (g *group) grow(n int64) {
	g.bytes += n
	g.s.budget.bytes.Add(n)
}

func (g *group) roomFor(n int64) bool {
	return n <= 0 || g.bytes+n <= g.s.cfg.MaxGroupBytes && g.s.budget.roomForBytes(n)
}

func (g *group) enter(s State) {
	g.previous, g.state, g.since = g.state, s, g.s.now.UnixMilli()
}

// add makes m a member. Its size is the caller's to charge.
func (g *group) add(m *member) {
	g.members = append(g.members, m)
	g.byID[m.id] = m
	if m.instance != nil {
		g.static[*m.instance] = m.id
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.count(m.protocols, 1)
	m.timer.fire = func() { g.s.expire(m) }
}

// remove takes m out; whatever was parked on it must have been answered.
func (g *group) remove(m *member) {
	g.s.timers.stop(&m.timer)
	g.members = slices.Delete(g.members, slices.Index(g.members, m), slices.Index(g.members, m)+1)
	delete(g.byID, m.id)
	if m.instance != nil {
		delete(g.static, *m.instance)
	}
	g.count(m.protocols, -1)
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
	g.grow(-m.size())
}

func (g *group) count(ps []protocol, by int) {
	for _, p := range ps {
		if g.support[p.name] += by; g.support[p.name] == 0 {
			delete(g.support, p.name)
		}
	}
}

// update gives m what its newest JoinGroup asks for.
func (g *group) update(m *member, req *kmsg.JoinGroupRequest) {
	g.grow(-m.size())
	g.count(m.protocols, -1)
	m.protocols = protocolsOf(req.Protocols)
	g.count(m.protocols, 1)
	m.session, m.rebalance = timeouts(req)
	g.grow(m.size())
}

func (g *group) dropPending(id string) {
	if p := g.pending[id]; p != nil {
		g.s.timers.stop(&p.timer)
		g.grow(-p.size)
		delete(g.pending, id)
	}
}

// empty: the group has no members.
func (g *group) empty() bool {
	if g.consumer != nil {
		return len(g.consumer.members) == 0
	}
	return g.state == Empty
}

// accepts: the group could have such a member beside those it has.
func (g *group) accepts(protocolType string, asked []kmsg.JoinGroupRequestProtocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(asked) > 0
	}
	return protocolType == g.protocolType && slices.ContainsFunc(asked, func(a kmsg.JoinGroupRequestProtocol) bool {
		return g.support[a.Name] == len(g.members)
	})
}

// choose elects the protocol: each member votes for its most preferred among
// those that all support. Between equals the one voted for first wins.
func (g *group) choose() string {
	votes := map[string]int{}
	var order []string
	for _, m := range g.members {
		for _, p := range m.protocols {
			if g.support[p.name] == len(g.members) {
				if votes[p.name]++; votes[p.name] == 1 {
					order = append(order, p.name)
				}
				break
			}
		}
	}
	best := ""
	for _, name := range order {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// longestRebalance is how long the slowest member may take to join.
func (g *group) longestRebalance() (d time.Duration) {
	for _, m := range g.members {
		d = max(d, m.rebalance)
	}
	return d
}

func (g *group) allJoined() bool { return g.awaiting == len(g.members) && len(g.pending) == 0 }

// allSynced: nobody's SyncGroup of this generation is missing.
func (g *group) allSynced() bool {
	return !slices.ContainsFunc(g.members, func(m *member) bool { return m.owesSync })
}

// learnTopics reads the topics that the members subscribe to.
func (g *group) learnTopics() {
	g.topics = nil
	if g.protocolType != consumerProtocol {
		return
	}
	topics := map[string]struct{}{}
	for _, m := range g.members {
		ts, ok := subscribedTopics(m.metadata(g.protocol))
		if !ok {
			return
		}
		for _, t := range ts {
			topics[t] = struct{}{}
		}
	}
	g.topics = topics
}

// subscribes: a member may be reading topic.
func (g *group) subscribes(topic string) bool {
	if g.consumer != nil {
		_, ok := g.consumer.subscribed()[topic]
		return ok
	}
	if g.topics == nil {
		return g.protocolType == consumerProtocol
	}
	_, ok := g.topics[topic]
	return ok
}
