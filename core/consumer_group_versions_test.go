package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/diskio"
)

// consumerJoin is the first heartbeat of a member.
func consumerJoin(group, member string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis = group, member, 60_000
	req.SubscribedTopicNames, req.Topics = topics, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

func driveConsumerGroupHeartbeat(d driven) {
	beat := func(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
		d.t.Helper()
		return ask[*kmsg.ConsumerGroupHeartbeatResponse](d.peer, d.version, req)
	}
	req := consumerJoin("g", "", "events")
	require.Equal(d.t, kerr.NotCoordinator.Code, beat(req).ErrorCode, "nobody has looked for the coordinator yet")
	findGroup(d.peer, "g")
	if d.version >= 1 {
		refused := beat(req)
		require.Equal(d.t, kerr.InvalidRequest.Code, refused.ErrorCode, "the client has to choose an id")
		require.NotEmpty(d.t, *refused.ErrorMessage)
		req.MemberID = "m"
	}
	req.InstanceID, req.RackID, req.ServerAssignor = kmsg.StringPtr("i"), kmsg.StringPtr("r"), kmsg.StringPtr("range")
	got := beat(req)
	require.Zero(d.t, got.ErrorCode, deref(got.ErrorMessage))
	require.Equal(d.t, int32(1), got.MemberEpoch)
	require.Equal(d.t, int32(5000), got.HeartbeatIntervalMillis)
	require.NotEmpty(d.t, *got.MemberID)
	require.Equal(d.t, []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{{TopicID: d.events, Partitions: []int32{0, 1}}}, got.Assignment.Topics)

	again := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	again.Group, again.MemberID, again.MemberEpoch, again.InstanceID = "g", *got.MemberID, 1, req.InstanceID
	got = beat(again)
	require.Zero(d.t, got.ErrorCode)
	require.Nil(d.t, got.Assignment, "nothing has changed")
	again.MemberEpoch = 2
	require.Equal(d.t, kerr.FencedMemberEpoch.Code, beat(again).ErrorCode)
	again.MemberID = "other"
	require.Equal(d.t, kerr.FencedInstanceID.Code, beat(again).ErrorCode)

	if d.version >= 1 {
		re := consumerJoin("re", "m")
		re.SubscribedTopicNames, re.SubscribedTopicRegex = nil, kmsg.StringPtr("ev.*")
		require.Equal(d.t, []int32{0, 1}, beat(re).Assignment.Topics[0].Partitions)
		re.MemberEpoch, re.SubscribedTopicRegex = 1, kmsg.StringPtr("ev(")
		require.Equal(d.t, kerr.InvalidRegularExpression.Code, beat(re).ErrorCode)
	}
}

func driveConsumerGroupDescribe(d driven) {
	findGroup(d.peer, "g")
	join := consumerJoin("g", "m", "events")
	join.RackID, join.InstanceID = kmsg.StringPtr("r"), kmsg.StringPtr("i")
	require.Zero(d.t, ask[*kmsg.ConsumerGroupHeartbeatResponse](d.peer, 1, join).ErrorCode)
	settleGroup(d.peer, "classic")
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{"g", "nobody", "classic"}, true
	got := ask[*kmsg.ConsumerGroupDescribeResponse](d.peer, d.version, req).Groups
	require.Len(d.t, got, 3)
	require.Equal(d.t, kerr.GroupIDNotFound.Code, got[1].ErrorCode)
	require.Equal(d.t, kerr.GroupIDNotFound.Code, got[2].ErrorCode)
	g := got[0]
	require.Zero(d.t, g.ErrorCode)
	require.Equal(d.t, "Stable uniform", g.State+" "+g.AssignorName)
	require.Equal(d.t, [2]int32{1, 1}, [2]int32{g.Epoch, g.AssignmentEpoch})
	require.Equal(d.t, int32(groupOperations), g.AuthorizedOperations)
	require.Len(d.t, g.Members, 1)
	m := g.Members[0]
	require.Equal(d.t, []string{"m", "i", "r", "test", "/127.0.0.1"}, []string{m.MemberID, *m.InstanceID, *m.RackID, m.ClientID, m.ClientHost})
	require.Equal(d.t, []string{"events"}, m.SubscribedTopics)
	require.Equal(d.t, m.Assignment, m.TargetAssignment)
	require.Equal(d.t, []kmsg.AssignmentTopicPartition{{TopicID: d.events, Topic: "events", Partitions: []int32{0, 1}}}, m.Assignment.TopicPartitions)
	if d.version >= 1 {
		require.Equal(d.t, int8(1), m.MemberType)
	}
}

// TestGroupConfigs gives a group settings of its own: they hold from the next
// heartbeat on, over a restart, and until they are taken back.
func TestGroupConfigs(t *testing.T) {
	cfg := testConfig(t)
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "events", 1)
	findGroup(p, "g")
	alter := func(group, name string, value *string, op kmsg.IncrementalAlterConfigOp) (int16, string) {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
			ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: group,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Op: op, Value: value}},
		}}
		r := ask[*kmsg.IncrementalAlterConfigsResponse](p, 1, req).Resources[0]
		return r.ErrorCode, deref(r.ErrorMessage)
	}
	set := func(group, name, value string) (int16, string) {
		return alter(group, name, &value, kmsg.IncrementalAlterConfigOpSet)
	}
	shown := func(group string) (out []string) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms = true
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: group}}
		r := ask[*kmsg.DescribeConfigsResponse](p, 4, req).Resources[0]
		require.Zero(t, r.ErrorCode)
		for _, c := range r.Configs {
			require.Len(t, c.ConfigSynonyms, 1)
			require.Equal(t, c.Source, c.ConfigSynonyms[0].Source)
			out = append(out, c.Name+"="+*c.Value+" "+c.Source.String())
		}
		return out
	}
	every := func(epoch int32) int32 {
		req := consumerJoin("g", "m", "events")
		req.MemberEpoch = epoch
		got := ask[*kmsg.ConsumerGroupHeartbeatResponse](p, 1, req)
		require.Zero(t, got.ErrorCode, deref(got.ErrorMessage))
		return got.HeartbeatIntervalMillis
	}
	require.Equal(t, int32(5000), every(0))
	code, text := set("g", "consumer.heartbeat.interval.ms", "7000")
	require.Zero(t, code, text)
	require.Equal(t, int32(7000), every(1))
	require.Equal(t, []string{"consumer.heartbeat.interval.ms=7000 GROUP_CONFIG", "consumer.session.timeout.ms=45000 DEFAULT_CONFIG"}, shown("g"))
	require.Equal(t, []string{"consumer.heartbeat.interval.ms=5000 DEFAULT_CONFIG", "consumer.session.timeout.ms=45000 DEFAULT_CONFIG"}, shown("nobody"))

	for name, value := range map[string]string{
		"foo": "1", "consumer.session.timeout.ms": "99000", "consumer.heartbeat.interval.ms": "16000",
	} {
		code, text := set("g", name, value)
		require.Equal(t, kerr.InvalidConfig.Code, code)
		require.Contains(t, text, name)
	}
	code, _ = set("g", "consumer.session.timeout.ms", "soon")
	require.Equal(t, kerr.InvalidConfig.Code, code)
	code, _ = set("", "consumer.session.timeout.ms", "50000")
	require.Equal(t, kerr.InvalidRequest.Code, code)

	stop(t, b)
	p = dial(t, start(t, cfg))
	offsetOf(p, "g") // it is loaded
	require.Equal(t, int32(7000), every(1))
	code, text = alter("g", "consumer.heartbeat.interval.ms", nil, kmsg.IncrementalAlterConfigOpDelete)
	require.Zero(t, code, text)
	require.Equal(t, int32(5000), every(1))
}

// TestConsumerGroupsOutlivePowerLoss: with the group policy a member goes on in its
// epoch after a power cut, knowing nothing of it; one that had moved on and was not
// told is where it was told to be.
func TestConsumerGroupsOutlivePowerLoss(t *testing.T) {
	fs := diskio.NewMem()
	b := start(t, onMemory(t, fs, diskio.SyncGroup))
	p := dial(t, b)
	createTopic(t, p, "events", 4)
	findGroup(p, "g")
	beat := func(p *peer, req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
		t.Helper()
		got := ask[*kmsg.ConsumerGroupHeartbeatResponse](p, 1, req)
		require.Zero(t, got.ErrorCode, deref(got.ErrorMessage))
		return got
	}
	describe := func(p *peer) []kmsg.ConsumerGroupDescribeResponseGroup {
		t.Helper()
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = []string{"g"}
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			got := ask[*kmsg.ConsumerGroupDescribeResponse](p, 1, req).Groups
			if got[0].ErrorCode != kerr.CoordinatorLoadInProgress.Code || time.Now().After(end) {
				return got
			}
		}
	}
	on := func(member string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = "g", member, epoch
		return req
	}
	beat(p, consumerJoin("g", "a", "events"))
	beat(p, consumerJoin("g", "b", "events"))
	told := beat(p, on("a", 1))
	crashed := dial(t, start(t, onMemory(t, fs.CrashClone(diskio.Crash{Seed: 1}), diskio.SyncGroup)))
	require.Equal(t, describe(p), describe(crashed))
	require.Equal(t, "Reconciling", describe(crashed)[0].State)

	// a is still asked for what it has not given up, and then b gets it.
	require.Equal(t, int32(1), beat(crashed, on("a", 1)).MemberEpoch)
	require.Nil(t, beat(crashed, on("b", 2)).Assignment)
	given := on("a", 1)
	given.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, rt := range told.Assignment.Topics {
		given.Topics = append(given.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: rt.TopicID, Partitions: rt.Partitions})
	}
	require.Equal(t, int32(2), beat(crashed, given).MemberEpoch)
	require.Len(t, beat(crashed, on("b", 2)).Assignment.Topics[0].Partitions, 2)
	require.Equal(t, "Stable", describe(crashed)[0].State)
}

// TestConsumerProtocolOff: group.coordinator.rebalance.protocols=classic.
func TestConsumerProtocolOff(t *testing.T) {
	cfg := testConfig(t)
	cfg.Group.Consumer.Protocols = "classic"
	p := dial(t, start(t, cfg))
	findGroup(p, "g")
	require.Equal(t, kerr.UnsupportedVersion.Code, ask[*kmsg.ConsumerGroupHeartbeatResponse](p, 1, consumerJoin("g", "m", "t")).ErrorCode)
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{"g"}
	require.Equal(t, kerr.UnsupportedVersion.Code, ask[*kmsg.ConsumerGroupDescribeResponse](p, 1, req).Groups[0].ErrorCode)
	settleGroup(p, "g")
}
