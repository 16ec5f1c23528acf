package core

import (
	"net"
	"strconv"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// findGroup makes __consumer_offsets, as every client does first.
func findGroup(p *peer, group string) {
	p.t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKeys = []string{group}
	got := ask[*kmsg.FindCoordinatorResponse](p, 4, req)
	require.Zero(p.t, got.Coordinators[0].ErrorCode)
}

func joinRequest(group string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = group, "consumer", 30_000, 30_000
	sub := kmsg.ConsumerMemberMetadata{Topics: []string{"events"}}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: sub.AppendTo(nil)}}
	return req
}

// joinAlone makes one member of a group, at any version.
func joinAlone(p *peer, version int16, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	p.t.Helper()
	resp := ask[*kmsg.JoinGroupResponse](p, version, req)
	if version >= 4 && req.InstanceID == nil && req.MemberID == "" {
		require.Equal(p.t, kerr.MemberIDRequired.Code, resp.ErrorCode)
		req.MemberID = resp.MemberID
		resp = ask[*kmsg.JoinGroupResponse](p, version, req)
	}
	require.Zero(p.t, resp.ErrorCode)
	req.MemberID = resp.MemberID
	return resp
}

// settle makes a Stable group of one member with the assignment "mine".
func settleGroup(p *peer, group string) *kmsg.JoinGroupResponse {
	p.t.Helper()
	findGroup(p, group)
	joined := joinAlone(p, 9, joinRequest(group))
	require.Zero(p.t, ask[*kmsg.SyncGroupResponse](p, 4, syncRequest(group, joined)).ErrorCode)
	return joined
}

func syncRequest(group string, joined *kmsg.JoinGroupResponse) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = group, joined.MemberID, joined.Generation
	req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte("mine")}}
	return req
}

// commitRequest commits events/0 for nobody in particular.
func commitRequest(group string, events [16]byte, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.RetentionTimeMillis = group, -1, -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = "events", events
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset, rp.LeaderEpoch, rp.Metadata = offset, 3, kmsg.StringPtr("note")
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func driveFindCoordinator(d driven) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = "g", []string{"g", "h"}
	resp := ask[*kmsg.FindCoordinatorResponse](d.peer, d.version, req)
	if d.version >= 4 {
		require.Len(d.t, resp.Coordinators, 2)
		require.Equal(d.t, "h", resp.Coordinators[1].Key)
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = resp.Coordinators[1].ErrorCode, resp.Coordinators[1].NodeID, resp.Coordinators[1].Host, resp.Coordinators[1].Port
	}
	require.Zero(d.t, resp.ErrorCode)
	require.Equal(d.t, int32(1), resp.NodeID)
	require.Equal(d.t, d.b.Addr(), net.JoinHostPort(resp.Host, strconv.Itoa(int(resp.Port))))
	if d.version == 0 {
		return
	}
	findTxnCoordinator(d.peer)
	req.CoordinatorType = coordinatesTransaction
	resp = ask[*kmsg.FindCoordinatorResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.ErrorCode)
	for kind, want := range map[int8]int16{2: kerr.InvalidRequest.Code, 9: kerr.InvalidRequest.Code} {
		req.CoordinatorType = kind
		resp := ask[*kmsg.FindCoordinatorResponse](d.peer, d.version, req)
		if d.version >= 4 {
			resp.ErrorCode, resp.NodeID, resp.Port = resp.Coordinators[0].ErrorCode, resp.Coordinators[0].NodeID, resp.Coordinators[0].Port
		} else {
			require.NotEmpty(d.t, *resp.ErrorMessage)
		}
		require.Equal(d.t, want, resp.ErrorCode, "key type %d", kind)
		require.Equal(d.t, int32(-1), resp.NodeID)
		require.Equal(d.t, int32(-1), resp.Port)
	}
}

func driveJoinGroup(d driven) {
	require.Equal(d.t, kerr.NotCoordinator.Code, ask[*kmsg.JoinGroupResponse](d.peer, d.version, joinRequest("g")).ErrorCode,
		"nobody has looked for the coordinator yet")
	findGroup(d.peer, "g")
	req := joinRequest("g")
	resp := joinAlone(d.peer, d.version, req)
	require.Equal(d.t, int32(1), resp.Generation)
	require.Equal(d.t, resp.MemberID, resp.LeaderID)
	require.Len(d.t, resp.Members, 1)
	require.Equal(d.t, req.Protocols[0].Metadata, resp.Members[0].ProtocolMetadata)
	require.Equal(d.t, "range", *resp.Protocol)
	if d.version >= 7 {
		require.Equal(d.t, "consumer", *resp.ProtocolType)
	}
	require.Equal(d.t, resp.MemberID, joinAlone(d.peer, d.version, req).MemberID, "joins again")

	bad := joinRequest("g")
	bad.MemberID = "nobody"
	require.Equal(d.t, kerr.UnknownMemberID.Code, ask[*kmsg.JoinGroupResponse](d.peer, d.version, bad).ErrorCode)
	bad = joinRequest("")
	require.Equal(d.t, kerr.InvalidGroupID.Code, ask[*kmsg.JoinGroupResponse](d.peer, d.version, bad).ErrorCode)
	bad = joinRequest("g")
	bad.SessionTimeoutMillis = 1
	require.Equal(d.t, kerr.InvalidSessionTimeout.Code, ask[*kmsg.JoinGroupResponse](d.peer, d.version, bad).ErrorCode)
	bad = joinRequest("g")
	bad.ProtocolType = "connect"
	none := ask[*kmsg.JoinGroupResponse](d.peer, d.version, bad)
	require.Equal(d.t, kerr.InconsistentGroupProtocol.Code, none.ErrorCode)
	if d.version < 7 {
		require.NotNil(d.t, none.Protocol)
	}
	if d.version >= 5 {
		static := joinRequest("s")
		static.InstanceID = kmsg.StringPtr("i")
		resp := joinAlone(d.peer, d.version, static)
		require.Equal(d.t, "i", *resp.Members[0].InstanceID)
	}
}

func driveSyncGroup(d driven) {
	findGroup(d.peer, "g")
	joined := joinAlone(d.peer, 9, joinRequest("g"))
	req := syncRequest("g", joined)
	if d.version >= 5 {
		require.Equal(d.t, kerr.InconsistentGroupProtocol.Code, ask[*kmsg.SyncGroupResponse](d.peer, d.version, req).ErrorCode)
		req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	}
	resp := ask[*kmsg.SyncGroupResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.ErrorCode)
	require.Equal(d.t, "mine", string(resp.MemberAssignment))
	if d.version >= 5 {
		require.Equal(d.t, "consumer", *resp.ProtocolType)
		require.Equal(d.t, "range", *resp.Protocol)
	}
	req.Generation++
	require.Equal(d.t, kerr.IllegalGeneration.Code, ask[*kmsg.SyncGroupResponse](d.peer, d.version, req).ErrorCode)
	req.MemberID = "nobody"
	require.Equal(d.t, kerr.UnknownMemberID.Code, ask[*kmsg.SyncGroupResponse](d.peer, d.version, req).ErrorCode)
}

func driveHeartbeat(d driven) {
	joined := settleGroup(d.peer, "g")
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = "g", joined.MemberID, joined.Generation
	beat := func(want int16) {
		d.t.Helper()
		require.Equal(d.t, want, ask[*kmsg.HeartbeatResponse](d.peer, d.version, req).ErrorCode)
	}
	beat(0)
	req.Generation++
	beat(kerr.IllegalGeneration.Code)
	req.MemberID = "nobody"
	beat(kerr.UnknownMemberID.Code)
	if d.version >= 3 {
		static := joinRequest("s")
		static.InstanceID = kmsg.StringPtr("i")
		joinAlone(d.peer, 9, static)
		req.Group, req.InstanceID = "s", static.InstanceID
		beat(kerr.FencedInstanceID.Code)
	}
}

func driveLeaveGroup(d driven) {
	joined := settleGroup(d.peer, "g")
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = "g", joined.MemberID
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "nobody"}, {MemberID: joined.MemberID}}
	resp := ask[*kmsg.LeaveGroupResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.ErrorCode)
	if d.version >= 3 {
		require.Len(d.t, resp.Members, 2)
		require.Equal(d.t, kerr.UnknownMemberID.Code, resp.Members[0].ErrorCode)
		require.Zero(d.t, resp.Members[1].ErrorCode)
		return
	}
	require.Equal(d.t, kerr.UnknownMemberID.Code, ask[*kmsg.LeaveGroupResponse](d.peer, d.version, req).ErrorCode, "it has left")
}

func driveOffsetCommit(d driven) {
	joined := settleGroup(d.peer, "g")
	code := func(req *kmsg.OffsetCommitRequest) int16 {
		d.t.Helper()
		resp := ask[*kmsg.OffsetCommitResponse](d.peer, d.version, req)
		require.Len(d.t, resp.Topics, 1)
		if d.version >= 10 {
			require.Equal(d.t, req.Topics[0].TopicID, resp.Topics[0].TopicID)
		} else {
			require.Equal(d.t, req.Topics[0].Topic, resp.Topics[0].Topic)
		}
		return resp.Topics[0].Partitions[0].ErrorCode
	}
	require.Equal(d.t, kerr.UnknownMemberID.Code, code(commitRequest("g", d.events, 2)), "the group has a member")
	mine := commitRequest("g", d.events, 2)
	mine.MemberID, mine.Generation = joined.MemberID, joined.Generation
	require.Zero(d.t, code(mine))
	mine.Generation++
	require.Equal(d.t, kerr.IllegalGeneration.Code, code(mine))
	want := kerr.IllegalGeneration.Code
	if d.version >= 9 {
		want = kerr.GroupIDNotFound.Code
	}
	mine.Group = "nobody"
	require.Equal(d.t, want, code(mine))

	require.Zero(d.t, code(commitRequest("simple", d.events, 2)))
	long := commitRequest("simple", d.events, 2)
	long.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(string(make([]byte, 4097)))
	require.Equal(d.t, kerr.OffsetMetadataTooLarge.Code, code(long))

	// What does not exist is refused by itself.
	mixed := commitRequest("simple", d.events, 3)
	rp := mixed.Topics[0].Partitions[0]
	rp.Partition = 7
	mixed.Topics[0].Partitions = append(mixed.Topics[0].Partitions, rp)
	other := mixed.Topics[0]
	other.Topic, other.TopicID = "nowhere", [16]byte{1}
	mixed.Topics = append(mixed.Topics, other)
	resp := ask[*kmsg.OffsetCommitResponse](d.peer, d.version, mixed)
	require.Len(d.t, resp.Topics, 2)
	got := map[int32]int16{}
	for _, p := range resp.Topics[0].Partitions {
		got[p.Partition] = p.ErrorCode
	}
	require.Equal(d.t, map[int32]int16{0: 0, 7: kerr.UnknownTopicOrPartition.Code}, got)
	unknown := kerr.UnknownTopicOrPartition.Code
	if d.version >= 10 {
		unknown = kerr.UnknownTopicID.Code
	}
	require.Equal(d.t, unknown, resp.Topics[1].Partitions[0].ErrorCode)
	mixed.Topics = mixed.Topics[1:]
	mixed.Group = "nobody"
	require.Equal(d.t, unknown, ask[*kmsg.OffsetCommitResponse](d.peer, d.version, mixed).Topics[0].Partitions[0].ErrorCode)
}
