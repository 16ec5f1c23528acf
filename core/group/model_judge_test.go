package group

import (
	"maps"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// judge holds one answer against the model, and tells the player.
func (g *game) judge(p *player, req *Request, body kmsg.Response) {
	switch r := body.(type) {
	case *kmsg.JoinGroupResponse:
		g.saw("join", r.ErrorCode)
		if r.ErrorCode == 0 {
			g.joined(p, req.Body.(*kmsg.JoinGroupRequest), r)
			return
		}
		if r.ErrorCode == kerr.MemberIDRequired.Code {
			p.member, p.generation = r.MemberID, -1
			return
		}
		p.heed(r.ErrorCode)
	case *kmsg.SyncGroupResponse:
		g.saw("sync", r.ErrorCode)
		p.heed(r.ErrorCode)
		if asked := req.Body.(*kmsg.SyncGroupRequest); r.ErrorCode == 0 {
			f := g.rounds[round{asked.Group, asked.Generation}]
			require.NotNil(g.t, f.sent, "an assignment before the leader's")
			require.Equal(g.t, f.sent[asked.MemberID], string(r.MemberAssignment),
				"generation %d, member %s", asked.Generation, asked.MemberID)
		}
	case *kmsg.HeartbeatResponse:
		g.saw("heartbeat", r.ErrorCode)
		p.heed(r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		g.saw("leave", r.Members[0].ErrorCode)
		if r.Members[0].ErrorCode == 0 {
			p.member, p.generation = "", -1
		}
	case *kmsg.OffsetCommitResponse:
		asked := req.Body.(*kmsg.OffsetCommitRequest)
		code := r.Topics[0].Partitions[0].ErrorCode
		g.saw("commit", code)
		p.heed(code)
		if code == 0 {
			g.put(asked.Group, asked.Topics[0].Topic, asked.Topics[0].Partitions[0].Offset)
		}
	case *kmsg.OffsetFetchResponse:
		got := map[string]int64{}
		for _, t := range r.Groups[0].Topics {
			got[t.Topic] = t.Partitions[0].Offset
		}
		require.Zero(g.t, r.Groups[0].ErrorCode)
		want := g.offsets[r.Groups[0].Group]
		require.True(g.t, maps.Equal(want, got), "committed %v, fetched %v", want, got)
	case *kmsg.OffsetDeleteResponse:
		asked := req.Body.(*kmsg.OffsetDeleteRequest)
		code := r.ErrorCode
		if code == 0 {
			code = r.Topics[0].Partitions[0].ErrorCode
		}
		g.saw("delete-offsets", code)
		if code == 0 {
			delete(g.offsets[asked.Group], asked.Topics[0].Topic)
		}
	case *kmsg.DeleteGroupsResponse:
		g.saw("delete", r.Groups[0].ErrorCode)
		if r.Groups[0].ErrorCode == 0 {
			delete(g.offsets, r.Groups[0].Group)
		}
	default:
		g.t.Fatalf("answered with %T", body)
	}
}

func (g *game) saw(what string, code int16) {
	if code == 0 {
		g.seen[what+" ok"]++
		return
	}
	g.seen[kerr.TypedErrorForCode(code).Message]++
}

func (g *game) put(group, topic string, offset int64) {
	if g.offsets[group] == nil {
		g.offsets[group] = map[string]int64{}
	}
	g.offsets[group][topic] = offset
}

// joined: the member is of a generation now.
func (g *game) joined(p *player, asked *kmsg.JoinGroupRequest, r *kmsg.JoinGroupResponse) {
	require.NotEmpty(g.t, r.MemberID)
	require.NotEmpty(g.t, textOf(r.Protocol))
	p.member, p.generation = r.MemberID, r.Generation
	f := g.round(p)
	if replaced := g.standIn(f, asked, r); !replaced || r.Version >= 9 {
		if f.leader == "" {
			f.leader = r.LeaderID
		}
		require.Equal(g.t, f.leader, r.LeaderID, "two leaders in generation %d of %s", r.Generation, p.group)
	}
	if len(r.Members) > 0 {
		require.Equal(g.t, f.leader, r.MemberID, "told of the members, but does not lead")
		ids := map[string]bool{}
		for _, m := range r.Members {
			require.False(g.t, ids[m.MemberID], "member twice")
			ids[m.MemberID] = true
		}
		require.True(g.t, ids[r.MemberID])
	} else {
		require.True(g.t, r.MemberID != r.LeaderID, "leads, and is not told of the members")
	}
	if r.SkipAssignment {
		require.NotNil(g.t, f.sent, "nothing to skip")
		require.Equal(g.t, r.LeaderID, r.MemberID, "nothing that it would have to do")
	}
}

// standIn: a static member that had no id was put in the place of the one
// before it, and has its part in the generation.
func (g *game) standIn(f *facts, asked *kmsg.JoinGroupRequest, r *kmsg.JoinGroupResponse) bool {
	if asked.InstanceID == nil || asked.MemberID != "" || f.sent == nil {
		return false
	}
	require.Equal(g.t, r.MemberID, g.statics[asked.Group][*asked.InstanceID], "not written down")
	old := g.staticsBefore[asked.Group][*asked.InstanceID]
	require.NotEmpty(g.t, old, "in a generation that has its assignment came a member that was not in it")
	if a, ok := f.sent[old]; ok {
		f.sent[r.MemberID] = a
		delete(f.sent, old)
	}
	if f.leader == old {
		f.leader = r.MemberID
	}
	g.seen["replaced"]++
	return true
}

// crash leaves nothing but the log. What the log holds must be what the shard
// that wrote it says.
func (g *game) crash() {
	g.seen["crash"]++
	g.shard = g.compare()
	g.shard.loaded(g.now)
	clear(g.open)
	for at := range g.rounds {
		if at.generation > g.settled[at.group] {
			delete(g.rounds, at)
		}
	}
}

// compare answers a shard made from the log that says what the one we have says.
func (g *game) compare() *shard {
	twin := g.fresh()
	for _, r := range g.log {
		require.NoError(g.t, twin.load(r.Key, r.Value))
	}
	for _, id := range []string{"g", "h"} {
		d := kmsg.NewPtrDescribeGroupsRequest()
		d.Groups = []string{id}
		was := g.ask(g.shard, d).(*kmsg.DescribeGroupsResponse).Groups[0]
		is := g.ask(twin, d).(*kmsg.DescribeGroupsResponse).Groups[0]
		alive := g.shard.groups[id]
		switch {
		case alive != nil && alive.kept == nil:
			// Nothing was written of it before its first generation. What was
			// committed to it by itself is compared below.
			require.Contains(g.t, []string{string(Empty), string(Dead)}, is.State)
		case State(was.State) == Stable, State(was.State) == Empty, State(was.State) == Dead:
			require.Equal(g.t, was, is)
		default:
			require.Contains(g.t, []string{string(Stable), string(Empty)}, is.State)
		}
		f := kmsg.NewPtrOffsetFetchRequest()
		f.Version = 8
		fg := kmsg.NewOffsetFetchRequestGroup()
		fg.Group = id
		f.Groups = append(f.Groups, fg)
		require.Equal(g.t, g.ask(g.shard, f), g.ask(twin, f))
	}
	for _, gr := range twin.sorted() {
		require.Equal(g.t, g.settled[gr.id], gr.generation)
		require.Equal(g.t, len(g.offsets[gr.id]), len(gr.offsets))
	}
	return twin
}

func (g *game) ask(s *shard, body kmsg.Request) kmsg.Response {
	req := &Request{Body: body}
	s.now = g.now // so that nothing becomes due
	s.handle(req)
	fx := s.take()
	require.Empty(g.t, fx.records)
	require.Len(g.t, fx.replies, 1)
	return fx.replies[0].body
}

// heed does what clients do about an error.
func (p *player) heed(code int16) {
	switch code {
	case kerr.UnknownMemberID.Code, kerr.FencedInstanceID.Code:
		p.member, p.generation = "", -1
	case kerr.IllegalGeneration.Code, kerr.RebalanceInProgress.Code:
		p.generation = -1
	}
}
