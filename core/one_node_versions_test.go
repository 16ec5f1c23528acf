package core

import (
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// driveSecurity drives an API of access control that refuses whatever is asked.
func driveSecurity(d driven) {
	req := kmsg.RequestForKey(d.key)
	switch r := req.(type) {
	case *kmsg.CreateACLsRequest:
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceName, c.Principal, c.Host = "x", "User:a", "*"
		r.Creations = append(r.Creations, c)
	case *kmsg.DeleteACLsRequest:
		r.Filters = append(r.Filters, kmsg.NewDeleteACLsRequestFilter())
	case *kmsg.CreateDelegationTokenRequest:
		o := kmsg.NewCreateDelegationTokenRequestRenewer()
		o.PrincipalType, o.PrincipalName = "User", "a"
		r.Renewers = append(r.Renewers, o)
	case *kmsg.RenewDelegationTokenRequest:
		r.HMAC = []byte("x")
	case *kmsg.ExpireDelegationTokenRequest:
		r.HMAC = []byte("x")
	case *kmsg.DescribeDelegationTokenRequest:
		o := kmsg.NewDescribeDelegationTokenRequestOwner()
		o.PrincipalType, o.PrincipalName = "User", "a"
		r.Owners = append(r.Owners, o)
	}
	req.SetVersion(d.version)
	var code int16
	switch r := d.ask(req).(type) {
	case *kmsg.DescribeACLsResponse:
		code = r.ErrorCode
	case *kmsg.CreateACLsResponse:
		code = r.Results[0].ErrorCode
	case *kmsg.DeleteACLsResponse:
		code = r.Results[0].ErrorCode
	case *kmsg.CreateDelegationTokenResponse:
		code = r.ErrorCode
	case *kmsg.RenewDelegationTokenResponse:
		code = r.ErrorCode
	case *kmsg.ExpireDelegationTokenResponse:
		code = r.ErrorCode
	case *kmsg.DescribeDelegationTokenResponse:
		code = r.ErrorCode
	}
	want := kerr.SecurityDisabled.Code
	if d.key >= int16(kmsg.CreateDelegationToken) {
		want = kerr.DelegationTokenRequestNotAllowed.Code
	}
	require.Equal(d.t, want, code)
}

func driveDescribeUserScram(d driven) {
	req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	require.Empty(d.t, ask[*kmsg.DescribeUserSCRAMCredentialsResponse](d.peer, d.version, req).Results)
	u := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
	u.Name = "nobody"
	req.Users = append(req.Users, u)
	require.Equal(d.t, kerr.ResourceNotFound.Code, ask[*kmsg.DescribeUserSCRAMCredentialsResponse](d.peer, d.version, req).Results[0].ErrorCode)
}

func driveAlterReplicaLogDirs(d driven) {
	for dir, want := range map[string]int16{d.b.dir.path: 0, "/elsewhere": kerr.LogDirNotFound.Code} {
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		rd := kmsg.NewAlterReplicaLogDirsRequestDir()
		rd.Dir = dir
		rt := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
		rt.Topic, rt.Partitions = "events", []int32{0, 1}
		rd.Topics = append(rd.Topics, rt)
		req.Dirs = append(req.Dirs, rd)
		got := ask[*kmsg.AlterReplicaLogDirsResponse](d.peer, d.version, req).Topics[0].Partitions
		require.Len(d.t, got, 2)
		require.Equal(d.t, want, got[1].ErrorCode)
	}
}

func driveElectLeaders(d driven) {
	req := kmsg.NewPtrElectLeadersRequest()
	rt := kmsg.NewElectLeadersRequestTopic()
	rt.Topic, rt.Partitions = "events", []int32{0, 7}
	req.Topics = append(req.Topics, rt)
	resp := ask[*kmsg.ElectLeadersResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.ErrorCode)
	require.Equal(d.t, kerr.ElectionNotNeeded.Code, resp.Topics[0].Partitions[0].ErrorCode)
	require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, resp.Topics[0].Partitions[1].ErrorCode)
	req.Topics = nil
	require.Len(d.t, ask[*kmsg.ElectLeadersResponse](d.peer, d.version, req).Topics, 1)
	if d.version >= 1 {
		req.ElectionType = 5
		require.Equal(d.t, kerr.InvalidRequest.Code, ask[*kmsg.ElectLeadersResponse](d.peer, d.version, req).ErrorCode)
	}
}

func driveAlterReassignments(d driven) {
	for replica, want := range map[int32]int16{1: 0, 2: kerr.InvalidReplicaAssignment.Code} {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		rt.Topic = "events"
		rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		rp.Replicas = []int32{replica}
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		require.Equal(d.t, want, ask[*kmsg.AlterPartitionAssignmentsResponse](d.peer, d.version, req).Topics[0].Partitions[0].ErrorCode)
	}
}

func driveListReassignments(d driven) {
	resp := ask[*kmsg.ListPartitionReassignmentsResponse](d.peer, d.version, kmsg.NewPtrListPartitionReassignmentsRequest())
	require.Zero(d.t, resp.ErrorCode)
	require.Empty(d.t, resp.Topics)
}

func driveListConfigResources(d driven) {
	req := kmsg.NewPtrListConfigResourcesRequest()
	resp := ask[*kmsg.ListConfigResourcesResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.ErrorCode)
	if d.version == 0 {
		require.Empty(d.t, resp.ConfigResources, "client metrics only")
		return
	}
	require.Len(d.t, resp.ConfigResources, 3, "a topic, the broker, its logger")
	req.ResourceTypes = []int8{2}
	require.Equal(d.t, "events", ask[*kmsg.ListConfigResourcesResponse](d.peer, d.version, req).ConfigResources[0].Name)
	req.ResourceTypes = []int8{99}
	require.Equal(d.t, kerr.UnsupportedVersion.Code, ask[*kmsg.ListConfigResourcesResponse](d.peer, d.version, req).ErrorCode)
}

func driveSASLHandshake(d driven) {
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Mechanism = "PLAIN"
	resp := ask[*kmsg.SASLHandshakeResponse](d.peer, d.version, req)
	require.Equal(d.t, kerr.IllegalSaslState.Code, resp.ErrorCode)
	require.Empty(d.t, resp.SupportedMechanisms)
}

func driveSASLAuthenticate(d driven) {
	req := kmsg.NewPtrSASLAuthenticateRequest()
	req.SASLAuthBytes = []byte("secret")
	require.Equal(d.t, kerr.IllegalSaslState.Code, ask[*kmsg.SASLAuthenticateResponse](d.peer, d.version, req).ErrorCode)
}

func driveDescribeQuorum(d driven) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	rt := kmsg.NewDescribeQuorumRequestTopic()
	rt.Topic = "__cluster_metadata"
	rt.Partitions = append(rt.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, rt)
	resp := ask[*kmsg.DescribeQuorumResponse](d.peer, d.version, req)
	p := resp.Topics[0].Partitions[0]
	require.Zero(d.t, p.ErrorCode)
	require.Equal(d.t, d.b.node, p.LeaderID)
	require.Positive(d.t, p.HighWatermark)
	require.Len(d.t, p.CurrentVoters, 1)
	require.Equal(d.t, p.HighWatermark, p.CurrentVoters[0].LogEndOffset)
	if d.version >= 1 {
		require.Positive(d.t, p.CurrentVoters[0].LastCaughtUpTimestamp)
	}
	if d.version >= 2 {
		require.Equal(d.t, "127.0.0.1", resp.Nodes[0].Listeners[0].Host)
	}
	req.Topics[0].Topic = "events"
	p = ask[*kmsg.DescribeQuorumResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, p.ErrorCode)
}

func driveUnregisterBroker(d driven) {
	req := kmsg.NewPtrUnregisterBrokerRequest()
	for id, want := range map[int32]int16{d.b.node: kerr.InvalidRequest.Code, d.b.node + 1: kerr.BrokerIDNotRegistered.Code} {
		req.BrokerID = id
		require.Equal(d.t, want, ask[*kmsg.UnregisterBrokerResponse](d.peer, d.version, req).ErrorCode)
	}
}
