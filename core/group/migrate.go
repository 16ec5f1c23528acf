package group

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A group changes its type while its members stay: from classic to consumer when
// the first member joins that speaks the newer protocol, and back when the last of
// these leaves. In between, its classic members are served as consumer_classic.go
// has it. group.consumer.migration.policy says which way is open. A group without
// members becomes what its next member speaks.

// asConsumerGroup is what a classic group with members would be as one of the type
// consumer: its generation is the epoch, its assignment both target and owned.
// Nothing is changed.
func (s *shard) asConsumerGroup(g *group) (*consumerGroup, error) {
	switch {
	case !s.cfg.upgrades():
		return nil, errors.New("group.consumer.migration.policy does not let it")
	case g.protocolType != consumerProtocol:
		return nil, fmt.Errorf("its members are of the type %q", g.protocolType)
	case len(g.members) > s.cfg.Consumer.MaxMembers:
		return nil, errors.New("it has more members than group.consumer.max.size")
	}
	c := newConsumerGroup(g)
	c.epoch, c.assigned = g.generation, g.generation
	has := g.lastAssignments()
	for _, old := range g.members {
		name := g.protocol
		if name == "" {
			name = old.protocols[0].name
		}
		var sub kmsg.ConsumerMemberMetadata
		if err := sub.ReadFrom(old.metadata(name)); err != nil {
			return nil, fmt.Errorf("the subscription of %s: %w", old.id, err)
		}
		owned, err := s.readAssignment(has[old.id])
		if err != nil {
			return nil, fmt.Errorf("the assignment of %s: %w", old.id, err)
		}
		m := s.newSubscriber(c, old.id)
		m.instance, m.rack, m.clientID, m.host = old.instance, sub.Rack, old.clientID, old.host
		m.topics, m.rebalance = textsOf(sub.Topics), old.rebalance
		m.classic = &classicSide{session: old.session, protocols: old.protocols}
		m.epoch, m.previous, m.owned, m.target = g.generation, g.generation, owned, owned
		for p := range owned.each {
			if c.owners[p] != nil {
				return nil, errors.New("its leader gave a partition to two members")
			}
			c.owners[p] = m
		}
		c.members[m.id] = m
		if m.instance != nil {
			c.static[*m.instance] = m
		}
	}
	c.hash, c.seen = hashOf(s.metadata, c.subscribed()), s.metadata
	return c, nil
}

// lastAssignments is what the members were given last, by id. While the group
// rebalances that is what they may still own, though it was taken from them.
func (g *group) lastAssignments() map[string][]byte {
	out := map[string][]byte{}
	v := kmsg.NewGroupMetadataValue()
	if g.state != Stable && g.kept != nil && v.ReadFrom(g.kept) == nil {
		for _, m := range v.Members {
			out[m.MemberID] = m.Assignment
		}
	}
	for _, m := range g.members {
		if len(m.assignment) > 0 || g.state == Stable {
			out[m.id] = m.assignment
		}
	}
	return out
}

// readAssignment reads what a classic leader assigned. Topics that are gone are
// left out.
func (s *shard) readAssignment(b []byte) (partitionSet, error) {
	out := partitionSet{}
	if len(b) == 0 {
		return out, nil
	}
	var a kmsg.ConsumerMemberAssignment
	if err := a.ReadFrom(b); err != nil {
		return nil, err
	}
	if len(a.UserData) > 0 {
		return nil, errors.New("its assignor keeps data of its own in it")
	}
	for _, t := range a.Topics {
		if known, ok := s.metadata.TopicNamed(t.Topic); ok && len(t.Partitions) > 0 {
			out[known.ID] = normal(slices.Concat(out[known.ID], t.Partitions))
		}
	}
	return out, nil
}

// writeAssignment is the other way, in the version of the member's subscription.
func (s *shard) writeAssignment(set partitionSet, version int16) []byte {
	a := kmsg.ConsumerMemberAssignment{Version: max(min(version, 3), 0)}
	for _, id := range set.topics() {
		if t, ok := s.metadata.TopicOf(id); ok {
			a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: t.Name, Partitions: set[id]})
		}
	}
	return a.AppendTo(nil)
}

// version is that of the subscription which the member prefers.
func (c *classicSide) version() int16 {
	r := reader{b: c.protocols[0].metadata}
	return r.int16()
}

// upgrade makes g of the type consumer. Who waits for a rebalance is told that
// there is another one.
func (s *shard) upgrade(g *group, c *consumerGroup) {
	for _, m := range g.members {
		if m.join != nil {
			s.refuseJoin(m.join, m.id, kerr.RebalanceInProgress)
		}
		if m.sync != nil {
			s.refuseSync(m.sync, kerr.RebalanceInProgress)
		}
		m.join, m.sync = nil, nil
	}
	if g.kept != nil {
		s.emit(groupTombstone(g.id))
	}
	s.shed(g)
	g.consumer, c.g = c, g
	if len(c.members) == 0 {
		return
	}
	for _, m := range c.sorted() {
		c.charge(m)
		s.heardOf(m)
	}
	for _, r := range c.records() {
		s.emit(r)
	}
}

// shed takes from g all that is of a classic group; what is left are its offsets.
// Nothing may be parked.
func (s *shard) shed(g *group) {
	s.timers.stop(&g.joinTimer)
	s.timers.stop(&g.syncTimer)
	for _, m := range slices.Clone(g.members) {
		g.remove(m)
	}
	for _, id := range sortedKeys(g.pending) {
		g.dropPending(id)
	}
	g.state, g.previous, g.since = Empty, Dead, s.now.UnixMilli()
	g.protocolType, g.protocol, g.generation, g.leader, g.awaiting = "", "", 0, "", 0
	g.topics, g.kept, g.newMember, g.delay, g.delayLeft = nil, nil, false, 0, 0
}

// shedConsumer takes from g all that is of a group of the type consumer.
func (s *shard) shedConsumer(g *group) {
	for _, m := range g.consumer.sorted() {
		g.consumer.remove(m)
	}
	for text, e := range g.consumer.regexes {
		g.grow(-e.size(text))
	}
	g.consumer = nil
}

// mayDowngrade: what is left of the group without those that go is classic members
// only, and policy and size let it be a classic group.
func (s *shard) mayDowngrade(c *consumerGroup, gone []*subscriber) bool {
	left, spoke := len(c.members)-len(gone), false
	for _, m := range c.members {
		switch goes := slices.Contains(gone, m); {
		case m.classic == nil && !goes:
			return false
		case m.classic == nil:
			spoke = true
		}
	}
	return spoke && left > 0 && s.cfg.downgrades() && left <= s.cfg.MaxMembers && c.agrees()
}

// agrees: its classic members have a protocol in common.
func (c *consumerGroup) agrees() bool {
	n, support := c.classicSupport()
	for _, count := range support {
		if count == n {
			return true
		}
	}
	return false
}

// downgrade makes the group a classic one of the members that stay. If a member has
// left they are to rebalance; if joiner has taken the place of one, and all have
// what they are to have, there is no need to.
//
// What they have is their assignment. Kafka takes the target, which another member
// may still own: should the group be upgraded again before they have rejoined, it
// would have two owners.
func (s *shard) downgrade(c *consumerGroup, gone []*subscriber, joiner *subscriber) {
	g := c.g
	for _, r := range c.tombstones() {
		s.emit(r)
	}
	stay := c.sorted()
	stay = slices.DeleteFunc(stay, func(m *subscriber) bool { return slices.Contains(gone, m) })
	epoch, settled := c.epoch, c.state() == Stable
	s.shedConsumer(g)
	g.state, g.previous, g.since = Stable, Empty, s.now.UnixMilli()
	g.protocolType, g.generation = consumerProtocol, epoch
	for _, old := range stay {
		m := &member{
			g: g, id: old.id, instance: old.instance, clientID: old.clientID, host: old.host,
			session: old.classic.session, rebalance: old.rebalance, protocols: old.classic.protocols,
			assignment: s.writeAssignment(old.owned.plus(old.revoking), old.classic.version()),
		}
		g.add(m)
		g.grow(m.size())
		s.heard(m)
	}
	g.protocol = g.choose()
	g.learnTopics()
	s.writeDown(g)
	if joiner == nil || !settled {
		s.rebalance(g)
	}
}

// toClassic makes a group of the type consumer that has no members a classic one.
func (s *shard) toClassic(g *group) {
	for _, r := range g.consumer.tombstones() {
		s.emit(r)
	}
	s.shedConsumer(g)
	g.state, g.previous, g.since = Empty, Dead, s.now.UnixMilli()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// rebalanceTimeoutOf is how long a classic member may take.
func rebalanceTimeoutOf(body *kmsg.JoinGroupRequest) int32 {
	_, d := timeouts(body)
	return int32(d / time.Millisecond)
}
