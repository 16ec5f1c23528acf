package core

import (
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (s *groupScript) play() {
	for _, kind := range []int8{coordinatesGroup, coordinatesTransaction} {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorType, find.CoordinatorKeys = kind, []string{s.name("g")}
		require.Eventually(s.t, func() bool { // Kafka makes the topic in the background
			return ask[*kmsg.FindCoordinatorResponse](s.peer, 4, find).Coordinators[0].ErrorCode == 0
		}, patience, 10*time.Millisecond)
	}
	s.create("t", 4)
	s.create("u", 2)
	s.wellFormed()
	s.twoMembers()
	s.offsets()
	s.statics()
	s.subscriptions()
	s.upgrade()
	s.staticReplaced()
	s.refusedClassic()
}

func (s *groupScript) wellFormed() {
	s.section("what is malformed")
	s.beat(1, "", "a", 0, s.joining("t"))
	s.beat(1, "g", "", 0, s.joining("t"))
	s.beat(0, "g", "", 3)
	s.beat(0, "g", "", -1)
	s.beat(1, "g", "a", 0)
	s.beat(1, "g", "a", 0, s.joining("t"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 })
	s.beat(1, "g", "a", 0, s.joining("t"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = 0 })
	s.beat(1, "g", "a", -1)
	s.beat(1, "g0", "a", 0, s.joining("t"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil })
	s.beat(1, "g0", "a", 0, s.joining("t"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil })
	s.beat(1, "g0", "a", 0, s.joining("t"), func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: [16]byte{1}, Partitions: []int32{0}}}
	})
	s.beat(1, "g0", "a", 0, s.joining("t"), instance(""))
	s.beat(1, "g0", "a", 0, s.joining("t"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = new(string) })
	s.beat(1, "g0", "a", 0, s.joining("t"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("sticky") })
	s.beat(1, "g0", "a", 0, s.joining("t"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr("(") })
	s.beat(1, "g0", "a", -2)
	s.beat(1, "g0", "a", -3)
	s.beat(1, "g0", "a", 7)
	s.beat(1, "g0", "a", -1)
	s.beat(1, "g0", "a", -2, instance("i"))
	s.describe("g0")
	s.describeClassic(6, "g0")
	s.list(nil, nil)
}

func (s *groupScript) twoMembers() {
	s.section("two members")
	a := s.beat(1, "two", "a", 0, s.joining("t"))
	s.beat(1, "two", "a", 1)
	s.beat(1, "two", "a", 1, owning(a))
	s.beat(1, "two", "a", 1, s.joining("t"), owning(a))
	s.describe("two")
	s.beat(1, "two", "x", 1)
	s.beat(1, "two", "a", 9)
	b := s.beat(1, "two", "b", 0, s.joining("t"))
	s.describe("two")
	s.list([]string{"Reconciling"}, []string{"consumer"})
	s.beat(1, "two", "b", b.MemberEpoch)
	less := s.beat(1, "two", "a", 1)
	s.describe("two")
	s.beat(1, "two", "a", 1)
	s.beat(1, "two", "b", b.MemberEpoch)
	s.beat(1, "two", "a", 1, owning(less))
	s.beat(1, "two", "a", 1, owning(less))
	s.beat(1, "two", "a", 1)
	s.beat(1, "two", "a", 2)
	b = s.beat(1, "two", "b", 2)
	s.beat(1, "two", "b", 2, owning(b))
	s.describe("two")
	s.list([]string{"stable"}, nil)
	s.list(nil, []string{"Consumer"})
	s.list(nil, []string{"classic"})

	// Comes back without knowing where it was.
	s.beat(1, "two", "b", 0, s.joining("t"))
	s.describe("two")
	s.beat(1, "two", "b", 1)
	s.beat(1, "two", "b", 2)

	s.beat(1, "two", "a", -1)
	s.describe("two")
	s.beat(1, "two", "b", 2)
	s.describe("two")
	s.beat(1, "two", "b", -1)
	s.beat(1, "two", "b", -1)
	s.describe("two")
	s.list(nil, nil)
	s.describeClassic(6, "two")
	s.describeClassic(5, "two")
	s.delete("two")
	s.describe("two")
}

func (s *groupScript) offsets() {
	s.section("offsets")
	s.commit(9, "off", "a", 1)
	s.commit(8, "off", "a", 1)
	s.commit(9, "off", "", -1)
	s.list(nil, nil)
	s.beat(1, "off", "a", 0, s.joining("t"))
	s.list(nil, nil)
	s.fetch("off", nil, -1)
	s.commit(9, "off", "a", 1)
	s.commit(8, "off", "a", 1)
	s.commit(9, "off", "a", 0)
	s.commit(8, "off", "a", 0)
	s.commit(9, "off", "a", 2)
	s.commit(9, "off", "x", 1)
	s.commit(9, "off", "", -1)
	s.commit(9, "off", "a", -1)
	s.fetch("off", kmsg.StringPtr("a"), 1)
	s.fetch("off", kmsg.StringPtr("a"), 0)
	s.fetch("off", kmsg.StringPtr("a"), 2)
	s.fetch("off", kmsg.StringPtr("a"), -1)
	s.fetch("off", kmsg.StringPtr("x"), 1)
	s.fetch("nobody", kmsg.StringPtr("x"), 1)
	s.txnCommit("off", "a", 1)
	s.txnCommit("off", "a", 2)
	s.txnCommit("off", "x", 1)
	s.txnCommit("off", "", -1)
	s.deleteOffset("off")
	s.delete("off")
	s.beat(1, "off", "a", -1)
	s.commit(9, "off", "a", 1)
	s.commit(9, "off", "", -1)
	s.deleteOffset("off")
	s.delete("off")
	s.list(nil, nil)
}

func (s *groupScript) statics() {
	s.section("static members")
	s.beat(1, "st", "a", 0, s.joining("t"), instance("i"))
	s.beat(1, "st", "b", 0, s.joining("t"), instance("i"))
	s.beat(1, "st", "b", 1, instance("i"))
	s.beat(1, "st", "a", 1, instance("other"))
	s.beat(1, "st", "a", -2)
	s.beat(1, "st", "a", -2, instance("i"))
	s.describe("st")
	s.beat(1, "st", "a", 1, instance("i"))
	s.beat(1, "st", "b", 0, s.joining("t"), instance("i"))
	s.describe("st")
	s.beat(1, "st", "a", -1, instance("i"))
	s.beat(1, "st", "a", 1)
	s.beat(1, "st", "b", 1)
	s.beat(1, "st", "b", -2, instance("i"))
	s.beat(1, "st", "c", 0, s.joining("t", "u"), instance("i"))
	s.describe("st")
	s.beat(1, "st", "c", -1, instance("i"))
	s.describe("st")
}

func (s *groupScript) subscriptions() {
	s.section("subscriptions")
	s.beat(1, "sub", "a", 0, s.joining())
	s.beat(1, "sub", "a", 1, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = []string{s.name("t")} })
	s.beat(1, "sub", "a", 2, func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.SubscribedTopicNames = []string{s.name("t"), s.name("later")}
	})
	s.create("later", 3)
	s.await("sub", "a", func() int32 { return 3 }, func(r *kmsg.ConsumerGroupHeartbeatResponse) bool { return r.Assignment != nil })
	s.describe("sub")
	add := kmsg.NewPtrCreatePartitionsRequest()
	add.TimeoutMillis = 10_000
	add.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: s.name("later"), Count: 5}}
	s.say("grow: %s", codeText(ask[*kmsg.CreatePartitionsResponse](s.peer, 3, add).Topics[0].ErrorCode))
	s.await("sub", "a", func() int32 { return 4 }, func(r *kmsg.ConsumerGroupHeartbeatResponse) bool { return r.Assignment != nil })
	drop := kmsg.NewPtrDeleteTopicsRequest()
	drop.TimeoutMillis, drop.TopicNames = 10_000, []string{s.name("later")}
	s.say("drop: %s", codeText(ask[*kmsg.DeleteTopicsResponse](s.peer, 5, drop).Topics[0].ErrorCode))
	less := s.await("sub", "a", func() int32 { return 5 }, func(r *kmsg.ConsumerGroupHeartbeatResponse) bool { return r.Assignment != nil })
	s.beat(1, "sub", "a", 5, owning(less))
	s.describe("sub")
	s.beat(1, "sub", "a", 6, func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("range") })
	s.describe("sub")

	s.section("a member that subscribes to nothing yet")
	s.beat(1, "idle", "a", 0, s.joining("t"))
	s.beat(1, "idle", "b", 0, s.joining())
	s.beat(1, "idle", "b", 2, s.joining("t"))
	s.beat(1, "idle", "a", 1)
	s.describe("idle")
	s.beat(1, "idle", "b", -1)
	s.describe("idle")

	s.section("the default assignor")
	s.beat(1, "def", "a", 0, s.joining("t", "u"))
	s.beat(1, "def", "b", 0, s.joining("u"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("range") })
	s.beat(1, "def", "c", 0, s.joining("u"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("range") })
	s.describe("def")
}

func (s *groupScript) upgrade() {
	s.section("a classic group is upgraded, and back")
	c := &classic{group: "up", topics: []string{"t"}}
	s.join(c)
	all := []kmsg.ConsumerMemberAssignmentTopic{{Topic: s.name("t"), Partitions: []int32{0, 1, 2, 3}}}
	s.sync(c, all...)
	s.list(nil, nil)
	s.commit(9, "up", c.member, 1)
	a := s.beat(1, "up", "a", 0, s.joining("t"))
	s.describe("up")
	s.describeClassic(6, "up")
	s.list(nil, nil)
	s.commit(9, "up", c.member, 1)
	s.commit(8, "up", c.member, 2)
	s.heartbeat(c)
	s.sync(c)
	s.join(c)
	s.heartbeat(c)
	s.sync(c)
	s.describe("up")
	s.beat(1, "up", "a", a.MemberEpoch)
	s.heartbeat(c)
	s.join(c)
	s.sync(c)
	s.heartbeat(c)
	s.describe("up")
	s.beat(1, "up", "a", 2)
	s.describe("up")
	stranger := &classic{group: "up", topics: []string{"t"}, member: "x", generation: 2}
	s.heartbeat(stranger)
	s.sync(stranger)
	s.leave(stranger)
	wrong := &classic{group: "up", member: "a", generation: 2}
	s.heartbeat(wrong)
	s.leave(wrong)
	late := *c
	late.generation--
	s.heartbeat(&late)
	s.sync(&late)
	s.beat(1, "up", c.member, 2)
	s.list(nil, nil)
	s.beat(1, "up", "a", -1)
	s.list(nil, nil)
	s.describe("up")
	s.heartbeat(c)
	s.join(c)
	s.sync(c, all...)
	s.describeClassic(6, "up")
	s.fetch("up", nil, -1)
	s.leave(c)
	s.list(nil, nil)

	s.section("an empty classic group becomes one of the new type, and back")
	s.beat(1, "up", "a", 0, s.joining("t"))
	s.list(nil, nil)
	s.fetch("up", nil, -1)
	s.beat(1, "up", "a", -1)
	s.describe("up")
	c = &classic{group: "up", topics: []string{"t"}}
	s.join(c)
	s.sync(c, all...)
	s.list(nil, nil)
	s.fetch("up", nil, -1)
	s.leave(c)
	s.delete("up")

	s.section("classic members leave a group of the new type")
	s.beat(1, "mix", "a", 0, s.joining("t"))
	c = &classic{group: "mix", topics: []string{"t"}}
	s.join(c)
	s.sync(c)
	s.describe("mix")
	s.leave(c)
	s.describe("mix")
	other := &classic{group: "mix", topics: []string{"t"}}
	req := s.joinRequest(other)
	req.ProtocolType = "connect"
	s.say("join as connect: %s", codeText(ask[*kmsg.JoinGroupResponse](s.peer, 9, req).ErrorCode))
	s.beat(1, "mix", "a", -1)
}

func (s *groupScript) staticReplaced() {
	s.section("static members change their protocol")
	c := &classic{group: "sp", topics: []string{"t"}, instance: kmsg.StringPtr("i")}
	s.join(c)
	s.sync(c, kmsg.ConsumerMemberAssignmentTopic{Topic: s.name("t"), Partitions: []int32{0, 1, 2, 3}})
	s.beat(1, "sp", "a", 0, s.joining("t"), instance("i"))
	s.describe("sp")
	s.heartbeat(c)
	s.beat(1, "sp", "a", 1, instance("i"))
	again := &classic{group: "sp", topics: []string{"t"}, instance: kmsg.StringPtr("i")}
	s.join(again)
	s.list(nil, []string{"classic"})
	s.sync(again)
	s.heartbeat(again)
	s.beat(1, "sp", "a", 1, instance("i"))
	s.leave(again)
}

func (s *groupScript) refusedClassic() {
	s.section("classic groups that cannot be upgraded")
	req := joinRequest(s.name("con"))
	req.ProtocolType = "connect"
	resp := ask[*kmsg.JoinGroupResponse](s.peer, 9, req)
	if resp.ErrorCode == kerr.MemberIDRequired.Code {
		req.MemberID = resp.MemberID
		resp = ask[*kmsg.JoinGroupResponse](s.peer, 9, req)
	}
	s.say("join: %s", codeText(resp.ErrorCode))
	s.beat(1, "con", "a", 0, s.joining("t"))
	s.beat(1, "con", "a", 1)
	s.beat(1, "con", "a", -1)

	c := &classic{group: "ud", topics: []string{"t"}}
	s.join(c)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = s.name(c.group), c.member, c.generation
	sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	a := kmsg.ConsumerMemberAssignment{Version: 1, UserData: []byte("mine")}
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: c.member, MemberAssignment: a.AppendTo(nil)}}
	s.say("sync: %s", codeText(ask[*kmsg.SyncGroupResponse](s.peer, 5, sync).ErrorCode))
	s.beat(1, "ud", "a", 0, s.joining("t"))
	s.leave(c)

	c = &classic{group: "joining", topics: []string{"t"}}
	s.join(c)
	s.beat(1, "joining", "a", 0, s.joining("t"))
	s.heartbeat(c)
	s.describe("joining")
}
