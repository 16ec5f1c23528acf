package core

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

// TestConsumerGroupsLikeKafka asks what Apache Kafka 4.1.0 was asked when
// testdata/consumer_groups.kafka was written, and must be answered the same:
// error codes, epochs, how many partitions of what. Which partition goes to whom
// is the assignor's own affair.
//
// KAFKA=host:port writes the file anew from a broker of Apache Kafka with
// group.initial.rebalance.delay.ms=0.
func TestConsumerGroupsLikeKafka(t *testing.T) {
	const file = "testdata/consumer_groups.kafka"
	if addr := os.Getenv("KAFKA"); addr != "" {
		require.NoError(t, os.WriteFile(file, []byte(consumerGroupScript(dialAddr(t, addr))), 0o644))
		recordConsumerGroups(dialAddr(t, addr), "group/testdata/consumer_records.kafka")
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	cfg := testConfig(t)
	cfg.Group.InitialDelay = 0
	got := consumerGroupScript(dial(t, start(t, cfg)))
	require.Equal(t, strings.Split(string(want), "\n"), strings.Split(got, "\n"))
}

// groupScript writes down one line for each answer. Names are made unique and
// shown plain, so that it can be played twice to one broker.
type groupScript struct {
	*peer
	out    strings.Builder
	suffix string
	topics map[[16]byte]string
}

func consumerGroupScript(p *peer) string {
	s := &groupScript{peer: p, suffix: fmt.Sprintf("-%x", time.Now().UnixNano()), topics: map[[16]byte]string{}}
	s.play()
	return s.out.String()
}

func (s *groupScript) name(n string) string { return n + s.suffix }

func (s *groupScript) say(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), s.suffix, "")
	s.out.WriteString(strings.TrimRight(text, " ") + "\n")
}

func codeText(code int16) string {
	if code == 0 {
		return "ok"
	}
	return kerr.TypedErrorForCode(code).Message
}

// section starts a group of its own.
func (s *groupScript) section(title string) { s.out.WriteString("\n# " + title + "\n") }

func (s *groupScript) create(name string, partitions int32) {
	id := createTopic(s.t, s.peer, s.name(name), partitions)
	s.topics[id] = name
}

// beat sends a heartbeat that f has filled in.
func (s *groupScript) beat(version int16, group, member string, epoch int32, f ...func(*kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatResponse {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = s.name(group), member, epoch
	if group == "" {
		req.Group = ""
	}
	for _, f := range f {
		f(req)
	}
	resp := ask[*kmsg.ConsumerGroupHeartbeatResponse](s.peer, version, req)
	text := fmt.Sprintf("beat v%d %s %s@%d: %s", version, group, memberName(member), epoch, codeText(resp.ErrorCode))
	if resp.ErrorCode == 0 {
		text += fmt.Sprintf(" epoch=%d every=%d", resp.MemberEpoch, resp.HeartbeatIntervalMillis)
		if resp.Assignment == nil {
			text += " -"
		} else {
			text += " [" + s.counts(resp.Assignment.Topics) + "]"
		}
		if version >= 1 && member != "" && (resp.MemberID == nil || *resp.MemberID != member) {
			text += fmt.Sprintf(" id=%v", resp.MemberID)
		}
	}
	s.say("%s", text)
	return resp
}

func (s *groupScript) counts(topics []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic) string {
	var words []string
	for _, t := range topics {
		words = append(words, fmt.Sprintf("%s:%d", s.topics[t.TopicID], len(t.Partitions)))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

type beatOption = func(*kmsg.ConsumerGroupHeartbeatRequest)

// joining is what a member sends first.
func (s *groupScript) joining(topics ...string) beatOption {
	return func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.RebalanceTimeoutMillis = 60_000
		r.SubscribedTopicNames = []string{}
		for _, t := range topics {
			r.SubscribedTopicNames = append(r.SubscribedTopicNames, s.name(t))
		}
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
}

func instance(id string) beatOption {
	return func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = &id }
}

// owning says that the member owns what an answer assigned.
func owning(a *kmsg.ConsumerGroupHeartbeatResponse) beatOption {
	return func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		if a.Assignment == nil {
			return
		}
		for _, t := range a.Assignment.Topics {
			r.Topics = append(r.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
}

func (s *groupScript) describe(group string) {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{s.name(group)}
	for _, g := range ask[*kmsg.ConsumerGroupDescribeResponse](s.peer, 1, req).Groups {
		message := ""
		if g.ErrorMessage != nil {
			message = *g.ErrorMessage
		}
		s.say("describe %s: %s %q %s epoch=%d assigned=%d by %s", group, codeText(g.ErrorCode), message, g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName)
		slices.SortFunc(g.Members, func(a, b kmsg.ConsumerGroupDescribeResponseGroupMember) int {
			return strings.Compare(memberName(a.MemberID), memberName(b.MemberID))
		})
		for _, m := range g.Members {
			slices.Sort(m.SubscribedTopics)
			s.say("  %s instance=%s rack=%s epoch=%d client=%s topics=%v regex=%s has %d of %d type %d", memberName(m.MemberID), deref(m.InstanceID), deref(m.RackID),
				m.MemberEpoch, m.ClientID, m.SubscribedTopics, deref(m.SubscribedTopicRegex), shares(m.Assignment), shares(m.TargetAssignment), m.MemberType)
		}
	}
}

// memberName hides ids that the broker made up.
func memberName(id string) string {
	if len(id) > 8 {
		return "generated"
	}
	return id
}

func shares(a kmsg.Assignment) (n int) {
	for _, t := range a.TopicPartitions {
		n += len(t.Partitions)
	}
	return n
}

func (s *groupScript) describeClassic(version int16, group string) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{s.name(group)}
	g := ask[*kmsg.DescribeGroupsResponse](s.peer, version, req).Groups[0]
	s.say("describe classic v%d %s: %s %s %q %q members=%d", version, group, codeText(g.ErrorCode), g.State, g.ProtocolType, g.Protocol, len(g.Members))
}

func (s *groupScript) list(states, types []string) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = states, types
	resp := ask[*kmsg.ListGroupsResponse](s.peer, 5, req)
	var words []string
	for _, g := range resp.Groups {
		if strings.HasSuffix(g.Group, s.suffix) {
			words = append(words, fmt.Sprintf("%s(%s,%s,%s)", g.Group, g.ProtocolType, g.GroupState, g.GroupType))
		}
	}
	slices.Sort(words)
	s.say("list %v %v: %s %s", states, types, codeText(resp.ErrorCode), strings.Join(words, " "))
}

func (s *groupScript) commit(version int16, group, member string, epoch int32) {
	req := commitRequest(s.name(group), [16]byte{}, 5)
	req.MemberID, req.Generation = member, epoch
	req.Topics[0].Topic = s.name("t")
	resp := ask[*kmsg.OffsetCommitResponse](s.peer, version, req)
	s.say("commit v%d %s %s@%d: %s", version, group, memberName(member), epoch, codeText(resp.Topics[0].Partitions[0].ErrorCode))
}

func (s *groupScript) fetch(group string, member *string, epoch int32) {
	req := kmsg.NewPtrOffsetFetchRequest()
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group, rg.MemberID, rg.MemberEpoch = s.name(group), member, epoch
	rg.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: s.name("t"), Partitions: []int32{0}}}
	req.Groups = append(req.Groups, rg)
	g := ask[*kmsg.OffsetFetchResponse](s.peer, 9, req).Groups[0]
	offset := int64(-9)
	if len(g.Topics) > 0 {
		offset = g.Topics[0].Partitions[0].Offset
	}
	s.say("fetch %s %s@%d: %s %d", group, deref(member), epoch, codeText(g.ErrorCode), offset)
}

func (s *groupScript) txnCommit(group, member string, epoch int32) {
	id := s.name(fmt.Sprint("txn-", group, member, epoch))
	pid := ask[*kmsg.InitProducerIDResponse](s.peer, 4, &kmsg.InitProducerIDRequest{TransactionalID: &id, TransactionTimeoutMillis: 60_000, ProducerID: -1, ProducerEpoch: -1})
	add := &kmsg.AddOffsetsToTxnRequest{TransactionalID: id, ProducerID: pid.ProducerID, ProducerEpoch: pid.ProducerEpoch, Group: s.name(group)}
	ask[*kmsg.AddOffsetsToTxnResponse](s.peer, 3, add)
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.MemberID, req.Generation = id, s.name(group), pid.ProducerID, pid.ProducerEpoch, member, epoch
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = 5
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: s.name("t"), Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{rp}}}
	resp := ask[*kmsg.TxnOffsetCommitResponse](s.peer, 3, req)
	s.say("txn commit %s %s@%d: %s", group, member, epoch, codeText(resp.Topics[0].Partitions[0].ErrorCode))
	ask[*kmsg.EndTxnResponse](s.peer, 3, &kmsg.EndTxnRequest{TransactionalID: id, ProducerID: pid.ProducerID, ProducerEpoch: pid.ProducerEpoch})
}

func (s *groupScript) delete(group string) {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{s.name(group)}
	s.say("delete %s: %s", group, codeText(ask[*kmsg.DeleteGroupsResponse](s.peer, 2, req).Groups[0].ErrorCode))
}

func (s *groupScript) deleteOffset(group string) {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = s.name(group)
	req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: s.name("t"), Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
	resp := ask[*kmsg.OffsetDeleteResponse](s.peer, 0, req)
	code := int16(0)
	if len(resp.Topics) > 0 {
		code = resp.Topics[0].Partitions[0].ErrorCode
	}
	s.say("delete offset %s: %s %s", group, codeText(resp.ErrorCode), codeText(code))
}

// classic is a member of the older protocol.
type classic struct {
	group, member string
	instance      *string
	topics        []string
	owned         []kmsg.ConsumerMemberMetadataOwnedPartition
	generation    int32
}

func (s *groupScript) joinRequest(c *classic) *kmsg.JoinGroupRequest {
	req := joinRequest(s.name(c.group))
	req.MemberID, req.InstanceID = c.member, c.instance
	sub := kmsg.ConsumerMemberMetadata{Version: 1, OwnedPartitions: c.owned}
	for _, t := range c.topics {
		sub.Topics = append(sub.Topics, s.name(t))
	}
	req.Protocols[0].Metadata = sub.AppendTo(nil)
	return req
}

func (s *groupScript) join(c *classic) *kmsg.JoinGroupResponse {
	req := s.joinRequest(c)
	resp := ask[*kmsg.JoinGroupResponse](s.peer, 9, req)
	if resp.ErrorCode == kerr.MemberIDRequired.Code {
		req.MemberID = resp.MemberID
		resp = ask[*kmsg.JoinGroupResponse](s.peer, 9, req)
	}
	if resp.ErrorCode == 0 {
		c.member, c.generation = resp.MemberID, resp.Generation
	}
	s.say("join %s: %s gen=%d protocol=%s,%s leader=%v members=%d", c.group, codeText(resp.ErrorCode), resp.Generation,
		deref(resp.ProtocolType), deref(resp.Protocol), resp.LeaderID == resp.MemberID && resp.MemberID != "", len(resp.Members))
	return resp
}

// sync assigns all partitions of the topics to the member itself, if it is heard.
func (s *groupScript) sync(c *classic, assign ...kmsg.ConsumerMemberAssignmentTopic) []kmsg.ConsumerMemberAssignmentTopic {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID = s.name(c.group), c.member, c.generation, c.instance
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	if assign != nil {
		a := kmsg.ConsumerMemberAssignment{Version: 1, Topics: assign}
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: c.member, MemberAssignment: a.AppendTo(nil)}}
	}
	resp := ask[*kmsg.SyncGroupResponse](s.peer, 5, req)
	text := ""
	var a kmsg.ConsumerMemberAssignment
	if resp.ErrorCode == 0 {
		require.NoError(s.t, a.ReadFrom(resp.MemberAssignment))
		for _, t := range a.Topics {
			text += fmt.Sprintf(" %s:%d", t.Topic, len(t.Partitions))
		}
	}
	s.say("sync %s: %s %s,%s%s", c.group, codeText(resp.ErrorCode), deref(resp.ProtocolType), deref(resp.Protocol), text)
	c.owned = nil
	for _, t := range a.Topics {
		c.owned = append(c.owned, kmsg.ConsumerMemberMetadataOwnedPartition(t))
	}
	return a.Topics
}

func (s *groupScript) heartbeat(c *classic) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID = s.name(c.group), c.member, c.generation, c.instance
	s.say("heartbeat %s: %s", c.group, codeText(ask[*kmsg.HeartbeatResponse](s.peer, 4, req).ErrorCode))
}

func (s *groupScript) leave(c *classic) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.Members = s.name(c.group), []kmsg.LeaveGroupRequestMember{{MemberID: c.member, InstanceID: c.instance}}
	resp := ask[*kmsg.LeaveGroupResponse](s.peer, 5, req)
	text := codeText(resp.ErrorCode)
	for _, m := range resp.Members {
		text += " " + codeText(m.ErrorCode)
	}
	s.say("leave %s: %s", c.group, text)
}

// await polls a heartbeat until it is answered as wanted; for what Kafka does in
// the background. Nothing is written down but the last answer.
func (s *groupScript) await(group, member string, epoch func() int32, until func(*kmsg.ConsumerGroupHeartbeatResponse) bool) *kmsg.ConsumerGroupHeartbeatResponse {
	before := s.out.String()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		s.out.Reset()
		s.out.WriteString(before)
		resp := s.beat(1, group, member, epoch())
		if until(resp) || time.Now().After(end) {
			return resp
		}
	}
}

// recordConsumerGroups has Kafka write records of every type for a group, and puts
// them into a file: key and value in hex.
func recordConsumerGroups(p *peer, file string) {
	s := &groupScript{peer: p, suffix: fmt.Sprintf("-%x", time.Now().UnixNano()), topics: map[[16]byte]string{}}
	s.create("t", 4)
	c := &classic{group: "kept", topics: []string{"t"}}
	s.join(c)
	s.sync(c, kmsg.ConsumerMemberAssignmentTopic{Topic: s.name("t"), Partitions: []int32{0, 1, 2, 3}})
	s.beat(1, "kept", "a", 0, s.joining("t"), instance("i"), func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.RackID, r.ServerAssignor = kmsg.StringPtr("r"), kmsg.StringPtr("range")
	})
	s.beat(1, "kept", "b", 0, s.joining(), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr(s.name("t")) })
	s.await("kept", "b", func() int32 { return 3 }, func(r *kmsg.ConsumerGroupHeartbeatResponse) bool { return r.MemberEpoch > 3 })
	s.join(c)
	s.sync(c)
	s.commit(9, "kept", c.member, c.generation)
	s.beat(1, "gone", "a", 0, s.joining("t"))
	s.beat(1, "gone", "a", -1)
	s.delete("gone")
	var out strings.Builder
	for partition := range int32(3) {
		for batch := fetchOne(p, offsetsTopic, partition, 0).RecordBatches; len(batch) > 0; {
			v, err := batching.View(batch)
			require.NoError(p.t, err)
			for r, err := range v.Records(0) {
				require.NoError(p.t, err)
				if !v.IsControl() && strings.Contains(string(r.Key), s.suffix) {
					out.WriteString(strings.TrimSpace(fmt.Sprintf("%x %x", r.Key, r.Value)) + "\n")
				}
			}
			batch = batch[v.Size():]
		}
	}
	require.NoError(p.t, os.WriteFile(file, []byte(out.String()), 0o644))
}
