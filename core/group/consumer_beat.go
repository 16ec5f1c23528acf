package group

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ConsumerGroupHeartbeat, versions 0 and 1: all that a member of a group of the
// type consumer says. Epoch 0 joins, -1 leaves, -2 leaves with the intent to come
// back (static members), any other is that of the last answer. What has not
// changed is null. 1 brings the regular expression, and has the client choose its
// member id; before, the coordinator gives one to a member that joins without.
func (s *shard) consumerHeartbeat(req *Request, body *kmsg.ConsumerGroupHeartbeatRequest) {
	r, err := s.consumerBeat(req, body)
	if err != nil {
		r = Refusal(body, codeOf(err)).(*kmsg.ConsumerGroupHeartbeatResponse)
		r.ErrorMessage = textOrNil(err.Error())
	}
	r.Version = body.Version
	s.reply(req, r)
}

// complaint is an error of Kafka's with words of our own.
type complaint struct {
	code *kerr.Error
	text string
}

func (c complaint) Error() string { return c.text }
func (c complaint) Unwrap() error { return c.code }

func complain(code *kerr.Error, format string, args ...any) error {
	return complaint{code, fmt.Sprintf(format, args...)}
}

func (s *shard) consumerBeat(req *Request, body *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	if err := s.checkConsumerBeat(req, body); err != nil {
		return nil, err
	}
	if body.MemberEpoch < 0 {
		return s.leaveConsumer(body)
	}
	joins, owned := body.MemberEpoch == 0, ownedOf(body.Topics)
	id := body.MemberID
	if id == "" {
		id = s.newID()
	}
	e, err := s.entry(body.Group, joins)
	if err != nil {
		return nil, err
	}
	m, err := s.consumerMember(e.c, id, body, owned)
	if err != nil {
		return nil, err
	}
	grows := int64(0)
	switch {
	case m == nil:
		grows = int64(memberOverhead+len(id)) + subscriptionBytes(body.SubscribedTopicNames)
	case body.SubscribedTopicNames != nil:
		grows = subscriptionBytes(body.SubscribedTopicNames) - subscriptionBytes(m.topics)
	}
	if !e.roomFor(s, grows) {
		return nil, complain(kerr.GroupMaxSizeReached, "the group would be larger than group.max.bytes")
	}

	// From here on nothing fails.
	e.enter(s)
	c := e.c
	var old partitionSet
	isNew := m == nil
	switch {
	case isNew:
		m = s.newSubscriber(c, id)
		m.instance = clonePtr(body.InstanceID)
		c.add(m)
	case m.id != id: // a static member in its next life
		m = s.replaceSubscriber(m, id)
	}
	old = m.owned
	bump := s.updateSubscriber(m, wish{
		instance: body.InstanceID, rack: body.RackID, assignor: body.ServerAssignor, regex: body.SubscribedTopicRegex,
		topics: body.SubscribedTopicNames, rebalance: body.RebalanceTimeoutMillis, clientID: req.ClientID, host: req.Host,
	}, isNew)
	s.advance(c, bump)
	s.reconcile(m, owned)
	s.heardOf(m)

	r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	r.MemberID, r.MemberEpoch = &m.id, m.epoch
	r.HeartbeatIntervalMillis = int32(s.groupDuration(c.g.id, HeartbeatIntervalConfig, s.cfg.Consumer.Heartbeat).Milliseconds())
	full := joins || body.SubscribedTopicRegex != nil ||
		body.RebalanceTimeoutMillis != -1 && body.SubscribedTopicNames != nil && body.Topics != nil
	if full || !m.owned.equal(old) {
		r.Assignment = &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: m.owned.toTopics()}
	}
	return r, nil
}

// checkConsumerBeat finds what is wrong whatever the group is.
func (s *shard) checkConsumerBeat(req *Request, body *kmsg.ConsumerGroupHeartbeatRequest) error {
	bad := func(format string, args ...any) error { return complain(kerr.InvalidRequest, format, args...) }
	empty := func(p *string) bool { return p != nil && *p == "" }
	joins, forNow := body.MemberEpoch == 0, body.MemberEpoch == leftForNow
	switch {
	case !s.cfg.servesConsumerProtocol():
		return complain(kerr.UnsupportedVersion, "group.coordinator.rebalance.protocols has no consumer")
	case body.Group == "":
		return bad("the group has no id")
	case body.MemberID == "" && (body.Version >= 1 || !joins):
		return bad("the member has no id")
	case empty(body.InstanceID):
		return bad("group.instance.id is empty")
	case empty(body.RackID):
		return bad("the rack is empty")
	case body.MemberEpoch < leftForNow:
		return bad("%d is no member epoch", body.MemberEpoch)
	case forNow && body.InstanceID == nil:
		return bad("only a static member can leave for now")
	case joins && body.RebalanceTimeoutMillis == -1:
		return bad("a member that joins has to tell its rebalance timeout")
	case joins && (body.Topics == nil || len(body.Topics) > 0):
		return bad("a member that joins must own no partitions, and has to say so")
	case joins && body.SubscribedTopicNames == nil && body.SubscribedTopicRegex == nil:
		return bad("a member that joins has to subscribe, if to nothing")
	case body.ServerAssignor != nil && !slices.Contains(s.cfg.assignors(), *body.ServerAssignor):
		return complain(kerr.UnsupportedAssignor, "there is no assignor %q; group.consumer.assignors has %s", *body.ServerAssignor, s.cfg.Consumer.Assignors)
	}
	for _, t := range slices.Concat(body.SubscribedTopicNames, []string{
		body.Group, body.MemberID, req.ClientID, req.Host,
		textOf(body.InstanceID), textOf(body.RackID), textOf(body.SubscribedTopicRegex),
	}) {
		if !fits(t) {
			return bad("a name of %d bytes is too long", len(t))
		}
	}
	if body.SubscribedTopicRegex != nil {
		if _, err := compile(*body.SubscribedTopicRegex); err != nil {
			return complain(kerr.InvalidRegularExpression, "%v", err)
		}
	}
	return nil
}

// ownedOf is what the member says that it owns; nil: it says nothing.
func ownedOf(topics []kmsg.ConsumerGroupHeartbeatRequestTopic) partitionSet {
	if topics == nil {
		return nil
	}
	out := partitionSet{}
	for _, t := range topics {
		if len(t.Partitions) > 0 {
			out[t.TopicID] = normal(slices.Concat(out[t.TopicID], t.Partitions))
		}
	}
	return out
}

// entry is the group that a heartbeat goes to, and what has to be done before it
// is one of the type consumer.
type entry struct {
	id string
	g  *group // nil: it has to be made
	c  *consumerGroup
	// turn: g is classic, and to become c.
	turn bool
}

// entry finds the group; nothing is changed before enter.
func (s *shard) entry(id string, joins bool) (*entry, error) {
	g := s.groups[id]
	switch {
	case g != nil && g.consumer != nil:
		return &entry{id: id, g: g, c: g.consumer}, nil
	case g == nil && !joins:
		return nil, complain(kerr.GroupIDNotFound, "there is no group %s", id)
	case g == nil && !s.budget.roomForGroup():
		return nil, kerr.PolicyViolation
	case g == nil:
		return &entry{id: id, c: newConsumerGroup(nil)}, nil
	case !joins:
		return nil, complain(kerr.GroupIDNotFound, "group %s is a classic one", id)
	case g.state == Empty:
		return &entry{id: id, g: g, c: newConsumerGroup(g), turn: true}, nil
	}
	c, err := s.asConsumerGroup(g)
	if err != nil {
		return nil, complain(kerr.GroupIDNotFound, "group %s is a classic one and cannot be upgraded: %v", id, err)
	}
	return &entry{id: id, g: g, c: c, turn: true}, nil
}

func (e *entry) roomFor(s *shard, n int64) bool {
	if e.g == nil {
		return n <= s.cfg.MaxGroupBytes && s.budget.roomForBytes(n)
	}
	return e.g.roomFor(n)
}

func (e *entry) enter(s *shard) {
	switch {
	case e.g == nil:
		e.g = s.create(e.id, s.now.UnixMilli())
		e.c.g = e.g
		e.g.consumer = e.c
	case e.turn:
		s.upgrade(e.g, e.c)
	}
}

// consumerMember finds who speaks; nil: a new member. One with another id than
// asked for is a static member that is to be replaced.
func (s *shard) consumerMember(c *consumerGroup, id string, body *kmsg.ConsumerGroupHeartbeatRequest, owned partitionSet) (*subscriber, error) {
	joins := body.MemberEpoch == 0
	if len(c.members) >= s.cfg.Consumer.MaxMembers && c.members[id] == nil {
		return nil, complain(kerr.GroupMaxSizeReached, "the group has %d members, and may not have more", len(c.members))
	}
	m := c.members[id]
	if body.InstanceID != nil {
		old := c.static[*body.InstanceID]
		switch {
		case joins && old != nil && old.classic == nil && old.epoch != leftForNow:
			return nil, complain(kerr.UnreleasedInstanceID, "group.instance.id %s is member %s", *body.InstanceID, old.id)
		case joins && old != nil:
			return old, nil
		case joins:
			return m, nil
		case old == nil:
			return nil, complain(kerr.UnknownMemberID, "group.instance.id %s is not known", *body.InstanceID)
		case old.id != id:
			return nil, complain(kerr.FencedInstanceID, "group.instance.id %s is member %s now", *body.InstanceID, old.id)
		}
		m = old
	}
	switch {
	case m == nil && joins:
		return nil, nil
	case m == nil:
		return nil, complain(kerr.UnknownMemberID, "member %s is not in the group", id)
	}
	return m, m.checkEpoch(body.MemberEpoch, owned)
}

// checkEpoch: a member speaks in its epoch, or in the one before if the answer
// that moved it may have got lost.
func (m *subscriber) checkEpoch(epoch int32, owned partitionSet) error {
	lost := epoch == m.previous && owned != nil && owned.minus(m.owned).len() == 0
	switch {
	case epoch == m.epoch && m.state == memberUnknown && (owned == nil || owned.len() > 0),
		epoch > m.epoch, epoch < m.epoch && !lost:
		return complain(kerr.FencedMemberEpoch, "member %s is in epoch %d, not %d: it has to give up its partitions and join again", m.id, m.epoch, epoch)
	}
	return nil
}

// wish is what a member asks for; nil, and -1 for the timeout: as before.
type wish struct {
	instance, rack, assignor, regex *string
	topics                          []string
	rebalance                       int32
	clientID, host                  string
	classic                         *classicSide
}

// updateSubscriber gives m what it asks for. True: what it subscribes to is
// another.
func (s *shard) updateSubscriber(m *subscriber, w wish, isNew bool) (resubscribed bool) {
	changed := isNew
	text := func(have **string, want *string) {
		if want != nil && (*have == nil || **have != *want) {
			*have, changed = clonePtr(want), true
		}
	}
	if w.instance != nil && (m.instance == nil || *m.instance != *w.instance) {
		if m.instance != nil {
			delete(m.c.static, *m.instance)
		}
		m.instance, changed = clonePtr(w.instance), true
		m.c.static[*m.instance] = m
	}
	text(&m.rack, w.rack)
	text(&m.assignor, w.assignor)
	if d := time.Duration(w.rebalance) * time.Millisecond; w.rebalance != -1 && d != m.rebalance {
		m.rebalance, changed = d, true
	}
	if m.clientID != w.clientID || m.host != w.host {
		m.clientID, m.host, changed = strings.Clone(w.clientID), strings.Clone(w.host), true
	}
	if !m.classic.equal(w.classic) {
		m.classic, changed = w.classic, true
		for _, t := range []*timer{&m.joinTimer, &m.syncTimer} {
			s.timers.stop(t)
		}
	}
	if topics := textsOf(w.topics); w.topics != nil && !slices.Equal(topics, m.topics) {
		m.topics, changed, resubscribed = topics, true, true
	}
	if w.regex != nil && *w.regex != textOf(m.regex) {
		m.regex, changed, resubscribed = textOrNil(strings.Clone(*w.regex)), true, true
	}
	if changed {
		s.emit(memberRecord(m))
	}
	if resubscribed {
		s.resolveNew(m.c)
	}
	m.c.charge(m)
	return resubscribed
}

func (c *classicSide) equal(other *classicSide) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.session == other.session && slices.EqualFunc(c.protocols, other.protocols, func(a, b protocol) bool {
		return a.name == b.name && string(a.metadata) == string(b.metadata)
	})
}

// advance brings the group, and then its target assignment, to the next epoch if
// there is cause: bump, or that topics have changed.
func (s *shard) advance(c *consumerGroup, bump bool) {
	bump = bump || c.epoch == 0
	if bump || c.seen != s.metadata {
		s.refresh(c)
		if hash := hashOf(s.metadata, c.subscribed()); hash != c.hash {
			c.hash, bump = hash, true
		}
	}
	if bump {
		s.bump(c)
	}
	if c.epoch > c.assigned {
		s.retarget(c)
	}
}

func (s *shard) bump(c *consumerGroup) {
	c.epoch++
	s.emit(epochRecord(c))
}

// heardOf restarts the session of m.
func (s *shard) heardOf(m *subscriber) {
	d := s.groupDuration(m.c.g.id, SessionTimeoutConfig, s.cfg.Consumer.Session)
	if m.classic != nil {
		d = m.classic.session
	}
	s.timers.set(&m.timer, s.now.Add(d))
}

func (s *shard) leaveConsumer(body *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	g := s.groups[body.Group]
	switch {
	case g == nil:
		return nil, complain(kerr.GroupIDNotFound, "there is no group %s", body.Group)
	case g.consumer == nil:
		return nil, complain(kerr.GroupIDNotFound, "group %s is a classic one", body.Group)
	}
	m, err := g.consumer.find(body.MemberID, body.InstanceID)
	if err != nil {
		return nil, err
	}
	r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	id := m.id
	r.MemberID, r.MemberEpoch = &id, body.MemberEpoch
	if body.MemberEpoch == leftForNow {
		// Its place is kept until its session ends. What it was to give up it has.
		m.release()
		m.epoch, m.revoking = leftForNow, nil
		m.claim()
		m.c.charge(m)
		s.timers.stop(&m.rebalanceTimer)
		s.emit(currentRecord(m))
		return r, nil
	}
	s.fence(m)
	return r, nil
}

// find is the member of this id; with an instance, the one that bears it.
func (c *consumerGroup) find(id string, instance *string) (*subscriber, error) {
	m := c.members[id]
	if instance != nil {
		if m = c.static[*instance]; m != nil && m.id != id {
			return nil, complain(kerr.FencedInstanceID, "group.instance.id %s is member %s now", *instance, m.id)
		}
	}
	if m == nil {
		return nil, complain(kerr.UnknownMemberID, "member %s is not in the group", id)
	}
	return m, nil
}

// replaceSubscriber gives a static member's place, and what it had, to its next
// incarnation.
func (s *shard) replaceSubscriber(old *subscriber, id string) *subscriber {
	c := old.c
	m := s.newSubscriber(c, id)
	m.instance, m.rack, m.clientID, m.host = old.instance, old.rack, old.clientID, old.host
	m.topics, m.regex, m.assignor, m.rebalance, m.classic = old.topics, old.regex, old.assignor, old.rebalance, old.classic
	m.state, m.owned, m.revoking, m.target = old.state, old.owned, old.revoking, old.target
	s.buryMember(old)
	c.remove(old)
	c.add(m)
	s.emit(memberRecord(m))
	s.emit(targetRecord(m))
	s.emit(currentRecord(m))
	return m
}

// buryMember emits that a member is no more.
func (s *shard) buryMember(m *subscriber) {
	for _, kind := range []int16{keyCurrent, keyTarget, keyMember} {
		s.emit(Record{Key: memberKey(kind, m.c.g.id, m.id)})
	}
}

// fence takes a member out of its group: it has left, or is not heard of any
// more. What it had goes to others at their next heartbeats.
func (s *shard) fence(m *subscriber) { s.fenceAll(m.c, []*subscriber{m}) }

func (s *shard) fenceAll(c *consumerGroup, gone []*subscriber) {
	if s.mayDowngrade(c, gone) {
		s.downgrade(c, gone, nil)
		return
	}
	for _, m := range gone {
		s.buryMember(m)
		c.remove(m)
	}
	s.dropUnused(c)
	c.hash = hashOf(s.metadata, c.subscribed())
	s.bump(c)
}
