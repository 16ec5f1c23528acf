package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Classic members of a group of the type consumer speak JoinGroup, SyncGroup,
// Heartbeat and LeaveGroup as ever, and are assigned to by the coordinator all the
// same. A join is a heartbeat that tells all, and is answered at once; the
// generation is the member's epoch; nobody is the leader. The sync fetches what
// the member owns. REBALANCE_IN_PROGRESS sends it to join again: when the group
// has moved on, when it has something to give up, and when what it waits for has
// become free.

func (s *shard) joinConsumer(req *Request, body *kmsg.JoinGroupRequest, g *group) {
	c, id := g.consumer, body.MemberID
	if id == "" {
		id = req.ClientID + "-" + s.newID()
	}
	if len(c.members) >= s.cfg.Consumer.MaxMembers && c.members[id] == nil {
		s.refuseJoin(req, "", kerr.GroupMaxSizeReached)
		return
	}
	if !c.accepts(body) {
		s.refuseJoin(req, "", kerr.InconsistentGroupProtocol)
		return
	}
	if body.MemberID == "" && body.InstanceID == nil && body.Version >= 4 {
		s.refuseJoin(req, id, kerr.MemberIDRequired)
		return
	}
	var sub kmsg.ConsumerMemberMetadata
	if sub.ReadFrom(body.Protocols[0].Metadata) != nil || slices.ContainsFunc(sub.Topics, func(t string) bool { return !fits(t) }) {
		s.refuseJoin(req, body.MemberID, kerr.InconsistentGroupProtocol)
		return
	}
	m, err := c.classicMember(id, body)
	if err != nil {
		s.refuseJoin(req, body.MemberID, err)
		return
	}
	w := wish{
		instance: body.InstanceID, rack: sub.Rack, topics: sub.Topics, regex: new(string), rebalance: rebalanceTimeoutOf(body),
		clientID: req.ClientID, host: req.Host, classic: &classicSide{protocols: protocolsOf(body.Protocols)},
	}
	w.classic.session, _ = timeouts(body)
	if w.topics == nil {
		w.topics = []string{}
	}
	grows := memberOverhead + subscriptionBytes(w.topics) + protocolBytes(w.classic.protocols)
	if m != nil {
		grows -= m.size()
	}
	if !g.roomFor(grows) {
		s.refuseJoin(req, "", kerr.GroupMaxSizeReached)
		return
	}
	isNew := m == nil
	var before *subscriber // who speaks the consumer protocol and is replaced
	switch {
	case isNew:
		m = s.newSubscriber(c, id)
		m.instance = clonePtr(body.InstanceID)
		c.add(m)
	case m.id != id:
		if m.classic == nil {
			before = m
		}
		m = s.replaceSubscriber(m, id)
	}
	s.advance(c, s.updateSubscriber(m, w, isNew))
	s.reconcile(m, s.ownedBy(&sub))

	r := joinResponse(req)
	name := w.classic.protocols[0].name
	kind := consumerProtocol
	r.MemberID, r.Generation, r.ProtocolType, r.Protocol = m.id, m.epoch, &kind, &name
	if before != nil && !c.speaksConsumer() && s.cfg.downgrades() && len(c.members) <= s.cfg.MaxMembers && c.agrees() {
		s.downgrade(c, nil, m)
		s.reply(req, r)
		return
	}
	s.timers.stop(&m.joinTimer)
	s.heardOf(m)
	s.timers.set(&m.syncTimer, s.now.Add(m.rebalance))
	s.reply(req, r)
}

// accepts: all classic members of the group have a protocol of the request's.
func (c *consumerGroup) accepts(body *kmsg.JoinGroupRequest) bool {
	if body.ProtocolType != consumerProtocol {
		return false
	}
	n, support := c.classicSupport()
	return slices.ContainsFunc(body.Protocols, func(p kmsg.JoinGroupRequestProtocol) bool { return support[p.Name] == n })
}

// classicSupport counts the classic members, and for each protocol those that
// have it.
func (c *consumerGroup) classicSupport() (n int, support map[string]int) {
	support = map[string]int{}
	for _, m := range c.members {
		if m.classic != nil {
			n++
			for _, p := range m.classic.protocols {
				support[p.name]++
			}
		}
	}
	return n, support
}

// classicMember is who joins; nil: a new member. One with another id is a static
// member that is to be replaced.
func (c *consumerGroup) classicMember(id string, body *kmsg.JoinGroupRequest) (*subscriber, error) {
	if body.InstanceID == nil {
		return c.members[id], nil
	}
	old := c.static[*body.InstanceID]
	switch {
	case body.MemberID == "":
		return old, nil
	case old == nil:
		return nil, kerr.UnknownMemberID
	case old.id != id:
		return nil, kerr.FencedInstanceID
	}
	return old, nil
}

func (c *consumerGroup) speaksConsumer() bool {
	for _, m := range c.members {
		if m.classic == nil {
			return true
		}
	}
	return false
}

// ownedBy is what a subscription says that its member owns. Up to version 0 it
// cannot: who speaks it gives up all before it joins.
func (s *shard) ownedBy(sub *kmsg.ConsumerMemberMetadata) partitionSet {
	out := partitionSet{}
	for _, t := range sub.OwnedPartitions {
		if known, ok := s.metadata.TopicNamed(t.Topic); ok && len(t.Partitions) > 0 {
			out[known.ID] = normal(slices.Concat(out[known.ID], t.Partitions))
		}
	}
	return out
}

// classicOf is the classic member that a request speaks of.
func (c *consumerGroup) classicOf(id string, instance *string, generation int32) (*subscriber, error) {
	m, err := c.find(id, instance)
	switch {
	case err != nil:
		return nil, err
	case m.classic == nil:
		return nil, kerr.UnknownMemberID
	case m.epoch != generation:
		return nil, kerr.IllegalGeneration
	}
	return m, nil
}

func (s *shard) syncConsumer(req *Request, body *kmsg.SyncGroupRequest, g *group) {
	m, err := g.consumer.classicOf(body.MemberID, body.InstanceID, body.Generation)
	switch {
	case err != nil:
	case body.ProtocolType != nil && *body.ProtocolType != consumerProtocol || body.Protocol != nil && *body.Protocol != m.classic.protocols[0].name:
		err = kerr.InconsistentGroupProtocol
	case g.consumer.epoch > m.epoch && m.state != memberRevoking:
		s.expectJoin(m)
		err = kerr.RebalanceInProgress
	}
	if err != nil {
		s.refuseSync(req, err)
		return
	}
	s.timers.stop(&m.syncTimer)
	s.heardOf(m)
	r := syncResponse(req)
	r.ProtocolType, r.Protocol = clonePtr(body.ProtocolType), clonePtr(body.Protocol)
	r.MemberAssignment = s.writeAssignment(m.owned, m.classic.version())
	s.reply(req, r)
}

// expectJoin gives m its rebalance timeout to join again, from the first time that
// it was told to.
func (s *shard) expectJoin(m *subscriber) {
	if m.joinTimer.place == 0 {
		s.timers.set(&m.joinTimer, s.now.Add(m.rebalance))
	}
}

func (s *shard) beatClassic(body *kmsg.HeartbeatRequest, c *consumerGroup) error {
	m, err := c.classicOf(body.MemberID, body.InstanceID, body.Generation)
	if err != nil {
		return err
	}
	s.heardOf(m)
	if m.epoch < c.epoch || m.state == memberRevoking || m.state == memberWaiting && !m.awaits() {
		s.expectJoin(m)
		return kerr.RebalanceInProgress
	}
	return nil
}

// leaveConsumers: LeaveGroup, by which an operator takes out members of either
// protocol.
func (s *shard) leaveConsumers(c *consumerGroup, leaving []kmsg.LeaveGroupRequestMember) (out []kmsg.LeaveGroupResponseMember) {
	var gone []*subscriber
	for i := range leaving {
		l := &leaving[i]
		id := l.MemberID
		if id == "" && l.InstanceID != nil && c.static[*l.InstanceID] != nil {
			id = c.static[*l.InstanceID].id
		}
		m, err := c.find(id, l.InstanceID)
		if err == nil && slices.Contains(gone, m) {
			err = kerr.UnknownMemberID
		}
		if err == nil {
			gone = append(gone, m)
		}
		out = append(out, kmsg.LeaveGroupResponseMember{MemberID: l.MemberID, InstanceID: l.InstanceID, ErrorCode: codeOf(err)})
	}
	if len(gone) > 0 {
		s.fenceAll(c, gone)
	}
	return out
}
