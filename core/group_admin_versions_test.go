package core

import (
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func driveOffsetFetch(d driven) {
	findGroup(d.peer, "g")
	ask[*kmsg.OffsetCommitResponse](d.peer, 8, commitRequest("g", d.events, 2))
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = "g"
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "events", Partitions: []int32{0, 1}}}
	for _, id := range []string{"g", "nobody"} {
		rg := kmsg.NewOffsetFetchRequestGroup()
		rg.Group = id
		rg.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "events", TopicID: d.events, Partitions: []int32{0, 1}}}
		req.Groups = append(req.Groups, rg)
	}
	fetch := func() (known, unknown []kmsg.OffsetFetchResponseGroupTopic) {
		d.t.Helper()
		resp := ask[*kmsg.OffsetFetchResponse](d.peer, d.version, req)
		if d.version >= 8 {
			require.Len(d.t, resp.Groups, 2)
			require.Equal(d.t, "nobody", resp.Groups[1].Group)
			require.Zero(d.t, resp.Groups[0].ErrorCode+resp.Groups[1].ErrorCode)
			return resp.Groups[0].Topics, resp.Groups[1].Topics
		}
		require.Zero(d.t, resp.ErrorCode)
		for _, t := range resp.Topics {
			out := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				out.Partitions = append(out.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition(p))
			}
			known = append(known, out)
		}
		return known, nil
	}
	known, unknown := fetch()
	require.Len(d.t, known, 1)
	got := known[0].Partitions
	require.Equal(d.t, []int64{2, -1}, []int64{got[0].Offset, got[1].Offset})
	require.Equal(d.t, "note", *got[0].Metadata)
	require.Equal(d.t, "", *got[1].Metadata)
	require.Zero(d.t, got[0].ErrorCode+got[1].ErrorCode)
	if d.version >= 5 {
		require.Equal(d.t, []int32{3, -1}, []int32{got[0].LeaderEpoch, got[1].LeaderEpoch})
	}
	if d.version >= 8 {
		require.Equal(d.t, int64(-1), unknown[0].Partitions[0].Offset)
	}
	if d.version >= 10 {
		require.Equal(d.t, d.events, known[0].TopicID)
	}
	if d.version >= 2 {
		req.Topics, req.Groups[0].Topics, req.Groups[1].Topics = nil, nil, nil
		known, unknown = fetch()
		require.Len(d.t, known, 1, "all that it has committed for")
		require.Len(d.t, known[0].Partitions, 1)
		require.Empty(d.t, unknown)
		if d.version >= 10 {
			require.Equal(d.t, d.events, known[0].TopicID)
		}
	}
	if d.version >= 10 {
		req.Groups[0].Topics = []kmsg.OffsetFetchRequestGroupTopic{{TopicID: [16]byte{1}, Partitions: []int32{4}}}
		known, _ = fetch()
		require.Equal(d.t, [16]byte{1}, known[0].TopicID)
		require.Equal(d.t, kerr.UnknownTopicID.Code, known[0].Partitions[0].ErrorCode)
		require.Equal(d.t, int64(-1), known[0].Partitions[0].Offset)
	}
}

func driveOffsetDelete(d driven) {
	joined := settleGroup(d.peer, "g")
	commit := commitRequest("g", d.events, 2)
	commit.MemberID, commit.Generation = joined.MemberID, joined.Generation
	ask[*kmsg.OffsetCommitResponse](d.peer, 8, commit)
	ask[*kmsg.OffsetCommitResponse](d.peer, 8, commitRequest("simple", d.events, 2))
	req := kmsg.NewPtrOffsetDeleteRequest()
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic = "events"
	rt.Partitions = []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 7}}
	req.Topics = append(req.Topics, rt)
	codes := func(group string) (int16, map[int32]int16) {
		req.Group = group
		resp := ask[*kmsg.OffsetDeleteResponse](d.peer, d.version, req)
		got := map[int32]int16{}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				got[p.Partition] = p.ErrorCode
			}
		}
		return resp.ErrorCode, got
	}
	code, parts := codes("g")
	require.Zero(d.t, code)
	require.Equal(d.t, map[int32]int16{0: kerr.GroupSubscribedToTopic.Code, 7: kerr.UnknownTopicOrPartition.Code}, parts)
	code, parts = codes("simple")
	require.Zero(d.t, code)
	require.Equal(d.t, map[int32]int16{0: 0, 7: kerr.UnknownTopicOrPartition.Code}, parts)
	code, parts = codes("nobody")
	require.Equal(d.t, kerr.GroupIDNotFound.Code, code)
	require.Empty(d.t, parts)
	code, _ = codes("")
	require.Equal(d.t, kerr.InvalidGroupID.Code, code)
}

func driveDescribeGroups(d driven) {
	joined := settleGroup(d.peer, "g")
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{"g", "nobody"}, true
	got := ask[*kmsg.DescribeGroupsResponse](d.peer, d.version, req).Groups
	require.Len(d.t, got, 2)
	require.Zero(d.t, got[0].ErrorCode)
	require.Equal(d.t, "Stable", got[0].State)
	require.Equal(d.t, "consumer", got[0].ProtocolType)
	require.Equal(d.t, "range", got[0].Protocol)
	require.Len(d.t, got[0].Members, 1)
	m := got[0].Members[0]
	require.Equal(d.t, joined.MemberID, m.MemberID)
	require.Equal(d.t, "test", m.ClientID)
	require.Equal(d.t, "/127.0.0.1", m.ClientHost)
	require.Equal(d.t, "mine", string(m.MemberAssignment))
	require.NotEmpty(d.t, m.ProtocolMetadata)
	if d.version >= 3 {
		require.Equal(d.t, int32(groupOperations), got[0].AuthorizedOperations)
	}
	require.Equal(d.t, "Dead", got[1].State)
	if d.version >= 6 {
		require.Equal(d.t, kerr.GroupIDNotFound.Code, got[1].ErrorCode)
		require.Equal(d.t, "Group nobody not found.", *got[1].ErrorMessage)
	} else {
		require.Zero(d.t, got[1].ErrorCode)
	}
}

func driveListGroups(d driven) {
	req := kmsg.NewPtrListGroupsRequest()
	none := ask[*kmsg.ListGroupsResponse](d.peer, d.version, req)
	require.Zero(d.t, none.ErrorCode)
	require.Empty(d.t, none.Groups, "before the first group")
	settleGroup(d.peer, "g")
	ask[*kmsg.OffsetCommitResponse](d.peer, 8, commitRequest("simple", d.events, 2))
	list := func() map[string]kmsg.ListGroupsResponseGroup {
		d.t.Helper()
		resp := ask[*kmsg.ListGroupsResponse](d.peer, d.version, req)
		require.Zero(d.t, resp.ErrorCode)
		got := map[string]kmsg.ListGroupsResponseGroup{}
		for _, g := range resp.Groups {
			got[g.Group] = g
		}
		require.Len(d.t, got, len(resp.Groups))
		return got
	}
	got := list()
	require.Len(d.t, got, 2)
	require.Equal(d.t, "consumer", got["g"].ProtocolType)
	require.Equal(d.t, "", got["simple"].ProtocolType)
	if d.version >= 4 {
		require.Equal(d.t, "Stable", got["g"].GroupState)
		req.StatesFilter = []string{"Empty"}
		require.Len(d.t, list(), 1)
		req.StatesFilter = nil
	}
	if d.version >= 5 {
		require.Equal(d.t, "classic", got["g"].GroupType)
		req.TypesFilter = []string{"consumer"}
		require.Empty(d.t, list())
	}
}

func driveDeleteGroups(d driven) {
	settleGroup(d.peer, "g")
	ask[*kmsg.OffsetCommitResponse](d.peer, 8, commitRequest("simple", d.events, 2))
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{"g", "simple", "nobody", "simple"}
	resp := ask[*kmsg.DeleteGroupsResponse](d.peer, d.version, req)
	require.Len(d.t, resp.Groups, 3)
	for _, g := range resp.Groups {
		want := map[string]int16{"g": kerr.NonEmptyGroup.Code, "simple": 0, "nobody": kerr.GroupIDNotFound.Code}[g.Group]
		require.Equal(d.t, want, g.ErrorCode, g.Group)
	}
}
