package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SyncGroup, versions 0 to 5. 3 brings group.instance.id; 5 must name protocol
// type and protocol, and is told them back.

func (s *shard) sync(req *Request, body *kmsg.SyncGroupRequest) {
	if err := s.checkSync(body); err != nil {
		s.refuseSync(req, err)
		return
	}
	g := s.groups[body.Group]
	if g.consumer != nil {
		s.syncConsumer(req, body, g)
		return
	}
	m := g.byID[body.MemberID]
	switch g.state {
	case PreparingRebalance:
		s.refuseSync(req, kerr.RebalanceInProgress)
	case CompletingRebalance:
		if m.sync != nil {
			s.refuseSync(m.sync, kerr.RebalanceInProgress) // given up by the client
		}
		m.sync = req
		s.synced(m)
		if g.leader == m.id {
			s.assign(g, body.GroupAssignment)
		}
	case Stable:
		s.synced(m)
		s.replySync(req, m)
	}
}

func (s *shard) checkSync(body *kmsg.SyncGroupRequest) error {
	if body.Version >= 5 && (body.ProtocolType == nil || body.Protocol == nil) {
		return kerr.InconsistentGroupProtocol
	}
	if body.Group == "" {
		return kerr.InvalidGroupID
	}
	g := s.groups[body.Group]
	if g == nil || g.empty() {
		return kerr.UnknownMemberID
	}
	if g.consumer != nil {
		return nil // syncConsumer goes on
	}
	if err := g.check(body.MemberID, body.InstanceID); err != nil {
		return err
	}
	switch {
	case body.Generation != g.generation:
		return kerr.IllegalGeneration
	case differs(body.ProtocolType, g.protocolType) || differs(body.Protocol, g.protocol):
		return kerr.InconsistentGroupProtocol
	}
	return nil
}

// differs: both are there and not the same.
func differs(asked *string, have string) bool {
	return asked != nil && have != "" && *asked != have
}

// assign takes the leader's word for who gets what. Members it does not name
// get nothing; names that are no member are not heeded.
func (s *shard) assign(g *group, assignments []kmsg.SyncGroupRequestGroupAssignment) {
	s.clearAssignments(g)
	byID := make(map[string][]byte, len(assignments))
	var size int64
	for _, a := range assignments {
		if g.byID[a.MemberID] != nil {
			size += int64(len(a.MemberAssignment)) - int64(len(byID[a.MemberID]))
			byID[a.MemberID] = a.MemberAssignment
		}
	}
	if !g.roomFor(size) {
		// What Kafka answers when the record does not fit its log.
		s.releaseSyncs(g, kerr.UnknownServerError)
		s.rebalance(g)
		return
	}
	for _, m := range g.members {
		m.assignment = cloneBytes(byID[m.id])
	}
	g.grow(size)
	g.enter(Stable)
	s.writeDown(g)
	s.releaseSyncs(g, nil)
}

func (s *shard) clearAssignments(g *group) {
	for _, m := range g.members {
		g.grow(-int64(len(m.assignment)))
		m.assignment = []byte{}
	}
}

// releaseSyncs answers every parked sync: with the assignment, or with err.
func (s *shard) releaseSyncs(g *group, err error) {
	for _, m := range g.members {
		if m.sync == nil {
			continue
		}
		if err != nil {
			s.refuseSync(m.sync, err)
		} else {
			s.replySync(m.sync, m)
		}
		m.sync = nil
		// Its session may have run out while it was parked.
		s.heard(m)
	}
}

// synced: the member's SyncGroup has come. When the last one has, nobody is
// waited for any longer.
func (s *shard) synced(m *member) {
	m.owesSync = false
	if m.g.allSynced() {
		s.timers.stop(&m.g.syncTimer)
	}
}

// syncDue removes who joined this generation but never asked for its
// assignment.
func (s *shard) syncDue(g *group) {
	removed := false
	for i := 0; i < len(g.members); {
		if m := g.members[i]; m.owesSync {
			s.removeMember(g, m)
			removed = true
			continue
		}
		i++
	}
	if removed {
		s.rebalance(g)
	}
}

func (s *shard) stopSyncStage(g *group) {
	s.timers.stop(&g.syncTimer)
	for _, m := range g.members {
		m.owesSync = false
	}
}

func (s *shard) replySync(req *Request, m *member) {
	r := syncResponse(req)
	r.ProtocolType, r.Protocol = textOrNil(m.g.protocolType), textOrNil(m.g.protocol)
	r.MemberAssignment = m.assignment
	s.reply(req, r)
}

func (s *shard) refuseSync(req *Request, err error) {
	r := syncResponse(req)
	r.ErrorCode = codeOf(err)
	s.reply(req, r)
}

func syncResponse(req *Request) *kmsg.SyncGroupResponse {
	r := kmsg.NewPtrSyncGroupResponse()
	r.Version = req.Body.GetVersion()
	r.MemberAssignment = []byte{}
	return r
}
