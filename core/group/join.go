package group

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup, versions 0 to 9.
//
// 0 has no rebalance timeout: the session timeout stands for it. Up to 3 a new
// member joins at once; from 4 on it is first given its id with
// MEMBER_ID_REQUIRED, so that a client that gives up leaves no ghost behind. 5
// brings group.instance.id. Up to 6 the protocol may not be null in an answer.
// 9 can tell a returning leader that nothing is to be assigned.

// newMemberTimeout is how long a new member's parked JoinGroup is kept: it has
// no session yet, and a client that went away cannot be told from one that
// waits.
const newMemberTimeout = 5 * time.Minute

func timeouts(req *kmsg.JoinGroupRequest) (session, rebalance time.Duration) {
	session = time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	rebalance = time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond
	if req.Version == 0 {
		rebalance = session
	}
	return session, max(rebalance, 0)
}

// joinFits: nothing that would be kept is longer than a record can hold.
func joinFits(req *Request, body *kmsg.JoinGroupRequest) bool {
	for _, p := range body.Protocols {
		if !fits(p.Name) {
			return false
		}
	}
	return fits(body.ProtocolType) && fits(req.ClientID) && fits(req.Host) && fits(textOf(body.InstanceID))
}

func (s *shard) join(req *Request, body *kmsg.JoinGroupRequest) {
	session, _ := timeouts(body)
	switch {
	case body.Group == "":
		s.refuseJoin(req, body.MemberID, kerr.InvalidGroupID)
		return
	case !fits(body.Group):
		s.refuseJoin(req, body.MemberID, kerr.InvalidGroupID)
		return
	case !joinFits(req, body):
		s.refuseJoin(req, body.MemberID, kerr.InvalidRequest)
		return
	case slices.ContainsFunc(body.Protocols, func(p kmsg.JoinGroupRequestProtocol) bool { return p.Name == "" }):
		// Kafka takes it; here no name is no protocol.
		s.refuseJoin(req, body.MemberID, kerr.InconsistentGroupProtocol)
		return
	case session < s.cfg.SessionMin || session > s.cfg.SessionMax:
		s.refuseJoin(req, body.MemberID, kerr.InvalidSessionTimeout)
		return
	}
	g := s.groups[body.Group]
	switch {
	case g == nil && body.MemberID != "":
		s.refuseJoin(req, body.MemberID, kerr.UnknownMemberID)
		return
	case g == nil && (body.ProtocolType == "" || len(body.Protocols) == 0):
		s.refuseJoin(req, "", kerr.InconsistentGroupProtocol)
		return
	case g == nil && !s.budget.roomForGroup():
		s.refuseJoin(req, "", kerr.PolicyViolation)
		return
	case g == nil:
		g = s.create(body.Group, s.now.UnixMilli())
		s.writeDown(g)
	}
	switch {
	case g.consumer != nil && !g.empty():
		s.joinConsumer(req, body, g)
		return
	case g.consumer != nil:
		s.toClassic(g)
	}
	switch {
	case g.full(body.MemberID) || !g.roomFor(g.cost(req, body)):
		s.kick(g, body.MemberID)
		s.refuseJoin(req, "", kerr.GroupMaxSizeReached)
	case body.MemberID == "":
		s.joinNew(req, body, g)
	default:
		s.joinKnown(req, body, g)
	}
}

// full: the group has no place for whoever calls itself id. While it prepares a
// rebalance, members that are parked hold the places, so that of a group that
// is too large those who rejoin first stay.
func (g *group) full(id string) bool {
	m := g.byID[id]
	limit := g.s.cfg.MaxMembers
	if id == "" && len(g.pending) >= limit {
		return true
	}
	switch g.state {
	case PreparingRebalance:
		return (m == nil || m.join == nil) && g.awaiting >= limit
	case CompletingRebalance, Stable:
		return m == nil && len(g.members) >= limit
	}
	return false
}

// cost is by how many bytes this JoinGroup would make the group larger.
func (g *group) cost(req *Request, body *kmsg.JoinGroupRequest) int64 {
	var n int64
	for _, p := range body.Protocols {
		n += int64(64 + len(p.Name) + len(p.Metadata))
	}
	m := g.byID[body.MemberID]
	if m == nil && body.InstanceID != nil {
		m = g.byID[g.static[*body.InstanceID]]
	}
	if m != nil {
		return n - protocolBytes(m.protocols)
	}
	return n + memberOverhead + int64(len(req.ClientID)+len(req.Host)+len(body.MemberID))
}

// kick removes a member, or a pending one, that found no place.
func (s *shard) kick(g *group, id string) {
	if g.pending[id] != nil {
		g.dropPending(id)
		s.completeJoinIfReady(g)
	} else if m := g.byID[id]; m != nil {
		s.removeMember(g, m)
		s.rebalanceOrComplete(g)
	}
}

func (s *shard) joinNew(req *Request, body *kmsg.JoinGroupRequest, g *group) {
	if !g.accepts(body.ProtocolType, body.Protocols) {
		s.refuseJoin(req, "", kerr.InconsistentGroupProtocol)
		return
	}
	switch {
	case body.InstanceID != nil:
		id := *body.InstanceID + "-" + s.newID()
		if old := g.byID[g.static[*body.InstanceID]]; old != nil {
			s.replaceStatic(req, body, g, old, id)
			return
		}
		s.addMember(req, body, g, id)
	case body.Version >= 4:
		s.addPending(req, body, g, req.ClientID+"-"+s.newID())
	default:
		s.addMember(req, body, g, req.ClientID+"-"+s.newID())
	}
}

func (s *shard) addPending(req *Request, body *kmsg.JoinGroupRequest, g *group, id string) {
	p := &pending{size: int64(pendingOverhead + len(id))}
	p.timer.fire = func() {
		g.dropPending(id)
		s.completeJoinIfReady(g)
	}
	g.pending[id] = p
	g.grow(p.size)
	session, _ := timeouts(body)
	s.timers.set(&p.timer, s.now.Add(session))
	s.refuseJoin(req, id, kerr.MemberIDRequired)
}

func (s *shard) addMember(req *Request, body *kmsg.JoinGroupRequest, g *group, id string) {
	if len(g.members) == 0 {
		g.protocolType = strings.Clone(body.ProtocolType)
	}
	g.dropPending(id)
	m := &member{
		g: g, id: strings.Clone(id), instance: clonePtr(body.InstanceID),
		clientID: strings.Clone(req.ClientID), host: strings.Clone(req.Host),
		protocols: protocolsOf(body.Protocols), assignment: []byte{}, fresh: true,
	}
	m.session, m.rebalance = timeouts(body)
	if g.state == PreparingRebalance && g.previous == Empty {
		g.newMember = true
	}
	g.add(m)
	g.grow(m.size())
	s.park(m, req)
	s.timers.set(&m.timer, s.now.Add(newMemberTimeout))
	s.rebalanceOrComplete(g)
}

// park keeps the member's JoinGroup until the barrier. A client that sends
// another one has given up on the one before.
func (s *shard) park(m *member, req *Request) {
	if m.join != nil {
		s.refuseJoin(m.join, m.id, kerr.RebalanceInProgress)
		m.g.awaiting--
	}
	m.join = req
	m.g.awaiting++
}

func (s *shard) joinKnown(req *Request, body *kmsg.JoinGroupRequest, g *group) {
	id := body.MemberID
	if !g.accepts(body.ProtocolType, body.Protocols) {
		s.refuseJoin(req, id, kerr.InconsistentGroupProtocol)
		return
	}
	if g.pending[id] != nil {
		if body.InstanceID != nil {
			// A static member never gets its id this way.
			s.refuseJoin(req, "", kerr.UnknownServerError)
			return
		}
		s.addMember(req, body, g, id)
		return
	}
	if err := g.check(id, body.InstanceID); err != nil {
		s.refuseJoin(req, id, err)
		return
	}
	m := g.byID[id]
	switch {
	case g.state == CompletingRebalance && m.sameProtocols(body.Protocols):
		// Its first answer got lost.
		s.replyJoin(req, m, g.leader, g.leader == id, false)
	case g.state == Stable && g.leader != id && m.sameProtocols(body.Protocols):
		s.replyJoin(req, m, g.leader, false, false)
	default:
		// The leader of a Stable group joins again to have the partitions
		// assigned anew, for instance when a topic has grown.
		g.update(m, body)
		s.park(m, req)
		s.rebalanceOrComplete(g)
	}
}

// replaceStatic gives the place of a static member to its next incarnation,
// which has restarted and does not know its id. The old one, if it is still
// there, is fenced. A Stable group need not rebalance for this.
func (s *shard) replaceStatic(req *Request, body *kmsg.JoinGroupRequest, g *group, old *member, id string) {
	if old.join != nil {
		s.refuseJoin(old.join, old.id, kerr.FencedInstanceID)
		old.join = nil
		g.awaiting--
	}
	if old.sync != nil {
		s.refuseSync(old.sync, kerr.FencedInstanceID)
		old.sync = nil
	}
	oldLeader := g.leader
	g.rename(old, id)
	m := old
	g.update(m, body)
	m.fresh = false
	s.heard(m)
	switch g.state {
	case Stable:
		if g.choose() != g.protocol {
			s.park(m, req)
			s.rebalanceOrComplete(g)
			return
		}
		s.writeDown(g)
		if body.Version >= 9 {
			isLeader := g.leader == m.id
			s.replyJoin(req, m, g.leader, isLeader, isLeader)
			return
		}
		// It may not take itself for the leader: an assignment it sent would
		// not be heard. So it is told of the leader that was.
		s.replyJoin(req, m, oldLeader, false, false)
	case CompletingRebalance:
		// The leader may be assigning to the old id right now.
		s.park(m, req)
		s.rebalance(g)
	case PreparingRebalance:
		s.park(m, req)
		s.completeJoinIfReady(g)
	default:
		panic("BUG: " + string(g.state) + " group has a static member")
	}
}

// rename gives m another id, in its place.
func (g *group) rename(m *member, id string) {
	g.grow(-m.size())
	delete(g.byID, m.id)
	if g.leader == m.id {
		g.leader = id
	}
	m.id = id
	g.byID[id] = m
	g.static[*m.instance] = id
	g.grow(m.size())
}

// replyJoin tells a member of the generation the group is in.
func (s *shard) replyJoin(req *Request, m *member, leader string, withMembers, skip bool) {
	g := m.g
	r := joinResponse(req)
	r.Generation, r.LeaderID, r.MemberID, r.SkipAssignment = g.generation, leader, m.id, skip
	kind, name := g.protocolType, g.protocol // the reply may leave when they have changed
	r.ProtocolType, r.Protocol = &kind, &name
	if withMembers {
		r.Members = make([]kmsg.JoinGroupResponseMember, 0, len(g.members))
		for _, m := range g.members {
			r.Members = append(r.Members, kmsg.JoinGroupResponseMember{
				MemberID: m.id, InstanceID: m.instance, ProtocolMetadata: m.metadata(g.protocol),
			})
		}
	}
	s.reply(req, r)
}

func (s *shard) refuseJoin(req *Request, memberID string, err error) {
	r := joinResponse(req)
	r.ErrorCode, r.MemberID = codeOf(err), memberID
	s.reply(req, r)
}

func joinResponse(req *Request) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupResponse()
	r.Version = req.Body.GetVersion()
	if r.Version < 7 {
		r.Protocol = new(string)
	}
	return r
}
