package group

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeGroups, versions 0 to 6. An unknown group, or one of the type consumer,
// is Dead without an error; from 6 on it is GROUP_ID_NOT_FOUND with a message
// besides.
func (s *shard) describe(req *Request, body *kmsg.DescribeGroupsRequest) {
	r := kmsg.NewPtrDescribeGroupsResponse()
	r.Version = body.Version
	for _, id := range body.Groups {
		rg := kmsg.NewDescribeGroupsResponseGroup()
		rg.Group, rg.State = id, string(Dead)
		switch g := s.groups[id]; {
		case g != nil && g.consumer == nil:
			g.describe(&rg)
		case body.Version >= 6:
			rg.ErrorCode, rg.ErrorMessage = kerr.GroupIDNotFound.Code, textOrNil("Group "+id+" not found.")
			if g != nil {
				rg.ErrorMessage = textOrNil("Group " + id + " is not a classic group.")
			}
		}
		r.Groups = append(r.Groups, rg)
	}
	s.reply(req, r)
}

func (g *group) describe(r *kmsg.DescribeGroupsResponseGroup) {
	r.State, r.ProtocolType = string(g.state), g.protocolType
	if g.state == Stable {
		r.Protocol = g.protocol
	}
	for _, m := range g.members {
		rm := kmsg.DescribeGroupsResponseGroupMember{
			MemberID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.host,
			ProtocolMetadata: []byte{}, MemberAssignment: m.assignment,
		}
		if g.state == Stable {
			// Before, it is not settled which protocol's metadata counts.
			rm.ProtocolMetadata = m.metadata(g.protocol)
		}
		r.Members = append(r.Members, rm)
	}
}

// ListGroups, versions 0 to 5. 4 brings a filter by state, 5 by type. Names are
// compared without regard to case; unknown ones match nothing.
func (s *shard) list(req *Request, body *kmsg.ListGroupsRequest) {
	r := kmsg.NewPtrListGroupsResponse()
	r.Version = body.Version
	for _, g := range s.sorted() {
		kind, state, protocolType := "classic", g.state, g.protocolType
		if g.consumer != nil {
			kind, state, protocolType = "consumer", g.consumer.state(), consumerProtocol
		}
		if matches(body.StatesFilter, string(state)) && matches(body.TypesFilter, kind) {
			r.Groups = append(r.Groups, kmsg.ListGroupsResponseGroup{
				Group: g.id, ProtocolType: protocolType, GroupState: string(state), GroupType: kind,
			})
		}
	}
	s.reply(req, r)
}

func matches(filter []string, name string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool {
		return strings.EqualFold(strings.TrimSpace(f), name)
	})
}

// DeleteGroups, versions 0 to 2: groups without members, with their offsets.
func (s *shard) deleteGroups(req *Request, body *kmsg.DeleteGroupsRequest) {
	r := kmsg.NewPtrDeleteGroupsResponse()
	r.Version = body.Version
	for _, id := range body.Groups {
		rg := kmsg.NewDeleteGroupsResponseGroup()
		rg.Group = id
		switch g := s.groups[id]; {
		case g == nil:
			rg.ErrorCode = kerr.GroupIDNotFound.Code
		case !g.empty():
			rg.ErrorCode = kerr.NonEmptyGroup.Code
		default:
			g.offsets.each(func(topic string, partition int32, _ committed) {
				s.emit(offsetTombstone(id, topic, partition))
			})
			for _, p := range s.heldFor(id) {
				if _, ok := g.offsets[p.topic][p.partition]; !ok {
					s.emit(offsetTombstone(id, p.topic, p.partition))
				}
			}
			s.dropHeld(id)
			s.bury(g)
		}
		r.Groups = append(r.Groups, rg)
	}
	s.reply(req, r)
}
