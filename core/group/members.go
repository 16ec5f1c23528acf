package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Heartbeat, versions 0 to 4. 3 brings group.instance.id. REBALANCE_IN_PROGRESS
// is how a member learns that it has to join again.
func (s *shard) heartbeat(req *Request, body *kmsg.HeartbeatRequest) {
	r := kmsg.NewPtrHeartbeatResponse()
	r.Version = body.Version
	r.ErrorCode = codeOf(s.beat(body))
	s.reply(req, r)
}

func (s *shard) beat(body *kmsg.HeartbeatRequest) error {
	if body.Group == "" {
		return kerr.InvalidGroupID
	}
	g := s.groups[body.Group]
	if g == nil {
		return kerr.UnknownMemberID
	}
	if g.consumer != nil {
		return s.beatClassic(body, g.consumer)
	}
	if err := g.check(body.MemberID, body.InstanceID); err != nil {
		return err
	}
	if body.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	s.heard(g.byID[body.MemberID])
	if g.state == PreparingRebalance {
		return kerr.RebalanceInProgress
	}
	return nil
}

// LeaveGroup, versions 0 to 5. From 3 on it names several members, each by its
// id or, as an operator does, by group.instance.id alone; before, one, whose
// error is the answer's.
func (s *shard) leave(req *Request, body *kmsg.LeaveGroupRequest) {
	r := kmsg.NewPtrLeaveGroupResponse()
	r.Version = body.Version
	if body.Group == "" {
		r.ErrorCode = kerr.InvalidGroupID.Code
		s.reply(req, r)
		return
	}
	leaving := body.Members
	if body.Version < 3 {
		leaving = []kmsg.LeaveGroupRequestMember{{MemberID: body.MemberID}}
	}
	g := s.groups[body.Group]
	left := false
	if g != nil && g.consumer != nil {
		r.Members, leaving = s.leaveConsumers(g.consumer, leaving), nil
	}
	for i := range leaving {
		l := &leaving[i]
		err := error(kerr.UnknownMemberID)
		if g != nil {
			err = s.leaveOne(g, l)
		}
		left = left || err == nil
		r.Members = append(r.Members, kmsg.LeaveGroupResponseMember{
			MemberID: l.MemberID, InstanceID: l.InstanceID, ErrorCode: codeOf(err),
		})
	}
	if body.Version < 3 {
		r.ErrorCode = r.Members[0].ErrorCode
	}
	s.reply(req, r)
	if left && g.state != Empty {
		s.rebalanceOrComplete(g)
	}
}

func (s *shard) leaveOne(g *group, l *kmsg.LeaveGroupRequestMember) error {
	id := l.MemberID
	switch {
	case id == "":
		if l.InstanceID == nil || g.static[*l.InstanceID] == "" {
			return kerr.UnknownMemberID
		}
		id = g.static[*l.InstanceID]
	case g.pending[id] != nil:
		g.dropPending(id)
		return nil
	default:
		if err := g.check(id, l.InstanceID); err != nil {
			return err
		}
	}
	s.removeMember(g, g.byID[id])
	return nil
}
