package group

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// showRecord decodes with kmsg, which knows Kafka's formats on its own.
func showRecord(t *testing.T, r Record) string {
	switch binary.BigEndian.Uint16(r.Key) {
	case 1:
		k, v := kmsg.NewOffsetCommitKey(), kmsg.NewOffsetCommitValue()
		require.NoError(t, k.ReadFrom(r.Key))
		what := fmt.Sprintf("offset %s %s/%d", k.Group, k.Topic, k.Partition)
		if r.Value == nil {
			return what + " gone"
		}
		require.NoError(t, v.ReadFrom(r.Value))
		what += fmt.Sprintf(" = %d", v.Offset)
		if v.Metadata != "" && len(v.Metadata) < 20 {
			what += fmt.Sprintf(" %q", v.Metadata)
		}
		if v.Version == 1 {
			what += fmt.Sprintf(" until %dms", v.ExpireTimestamp)
		}
		return what
	case 2:
		k, v := kmsg.NewGroupMetadataKey(), kmsg.NewGroupMetadataValue()
		require.NoError(t, k.ReadFrom(r.Key))
		if r.Value == nil {
			return "group " + k.Group + " gone"
		}
		require.NoError(t, v.ReadFrom(r.Value))
		what := fmt.Sprintf("group %s gen=%d", k.Group, v.Generation)
		if v.Protocol != nil {
			what += " protocol=" + *v.Protocol
		}
		if v.Leader != nil {
			what += " leader=" + *v.Leader
		}
		for _, m := range v.Members {
			what += fmt.Sprintf(" %s:%s", m.MemberID, showShare(m.Assignment))
		}
		return what
	}
	return showConsumerRecord(t, r)
}

func codeName(code int16) string {
	if code == 0 {
		return "ok"
	}
	return kerr.TypedErrorForCode(code).Message
}

func showReply(body kmsg.Response) string {
	var b strings.Builder
	word := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	switch r := body.(type) {
	case *kmsg.JoinGroupResponse:
		b.WriteString("join " + codeName(r.ErrorCode))
		if r.ErrorCode == 0 {
			word("gen=%d protocol=%s leader=%s", r.Generation, textOf(r.Protocol), r.LeaderID)
		}
		word("id=%s", r.MemberID)
		if r.SkipAssignment {
			word("skip-assignment")
		}
		for _, m := range r.Members {
			word("+%s", m.MemberID)
		}
	case *kmsg.SyncGroupResponse:
		b.WriteString("sync " + codeName(r.ErrorCode))
		if r.ErrorCode == 0 {
			word("%q", showShare(r.MemberAssignment))
		}
		if r.Version >= 5 && r.ErrorCode == 0 {
			word("%s %s", *r.ProtocolType, *r.Protocol)
		}
	case *kmsg.HeartbeatResponse:
		b.WriteString("heartbeat " + codeName(r.ErrorCode))
	case *kmsg.LeaveGroupResponse:
		b.WriteString("leave " + codeName(r.ErrorCode))
		for _, m := range r.Members {
			word("%s%s:%s", m.MemberID, textOf(m.InstanceID), codeName(m.ErrorCode))
		}
	case *kmsg.OffsetCommitResponse:
		b.WriteString("commit")
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				word("%s/%d:%s", brief(t.Topic), p.Partition, codeName(p.ErrorCode))
			}
		}
	case *kmsg.OffsetFetchResponse:
		b.WriteString("fetch " + codeName(r.ErrorCode))
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				word("%s", showOffset(t.Topic, kmsg.OffsetFetchResponseGroupTopicPartition(p), r.Version))
			}
		}
		for _, g := range r.Groups {
			word("%s:%s", g.Group, codeName(g.ErrorCode))
			for _, t := range g.Topics {
				for _, p := range t.Partitions {
					word("%s", showOffset(t.Topic, p, r.Version))
				}
			}
		}
	case *kmsg.OffsetDeleteResponse:
		b.WriteString("delete-offsets " + codeName(r.ErrorCode))
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				word("%s/%d:%s", t.Topic, p.Partition, codeName(p.ErrorCode))
			}
		}
	case *kmsg.DescribeGroupsResponse:
		g := r.Groups[0]
		b.WriteString("describe " + codeName(g.ErrorCode))
		if g.ErrorMessage != nil {
			word("(%s)", *g.ErrorMessage)
		}
		word("%s type=%q protocol=%q", g.State, g.ProtocolType, g.Protocol)
		for _, m := range g.Members {
			word("%s %s@%s metadata=%d assignment=%q", m.MemberID, m.ClientID, m.ClientHost, len(m.ProtocolMetadata), showShare(m.MemberAssignment))
		}
	case *kmsg.ListGroupsResponse:
		b.WriteString("list " + codeName(r.ErrorCode))
		for _, g := range r.Groups {
			word("%s(%s,%s,%s)", g.Group, g.ProtocolType, g.GroupState, g.GroupType)
		}
	case *kmsg.ConsumerGroupHeartbeatResponse:
		b.WriteString(showBeat(r))
	case *kmsg.ConsumerGroupDescribeResponse:
		b.WriteString(showConsumerGroup(r.Groups[0]))
	case *kmsg.DeleteGroupsResponse:
		b.WriteString("delete")
		for _, g := range r.Groups {
			word("%s:%s", g.Group, codeName(g.ErrorCode))
		}
	}
	return b.String()
}

// showShare is an assignment as text: as the script's leaders write it, or in the
// consumers' own format.
func showShare(b []byte) string {
	var a kmsg.ConsumerMemberAssignment
	if len(b) < 2 || b[0] != 0 || a.ReadFrom(b) != nil {
		return string(b)
	}
	set := partitionSet{}
	for _, t := range a.Topics {
		set[topicID(t.Topic)] = t.Partitions
	}
	return set.String()
}

func brief(name string) string {
	if len(name) > 20 {
		return fmt.Sprintf("%.3s…(%d)", name, len(name))
	}
	return name
}

func showOffset(topic string, p kmsg.OffsetFetchResponseGroupTopicPartition, version int16) string {
	what := fmt.Sprintf("%s/%d=%d", topic, p.Partition, p.Offset)
	if version >= 5 && p.LeaderEpoch != -1 {
		what += fmt.Sprintf("@%d", p.LeaderEpoch)
	}
	if textOf(p.Metadata) != "" {
		what += fmt.Sprintf("%q", *p.Metadata)
	}
	if p.ErrorCode != 0 {
		what += ":" + codeName(p.ErrorCode)
	}
	return what
}

// checkGroup holds the invariants of the package doc against g.
func checkGroup(t require.TestingT, g *group) {
	if g.consumer != nil {
		checkConsumer(t, g.consumer)
		return
	}
	waiting := 0
	support := map[string]int{}
	var size int64
	for _, m := range g.members {
		require.Same(t, m, g.byID[m.id])
		if m.instance != nil {
			require.Equal(t, m.id, g.static[*m.instance])
		}
		if m.join != nil {
			waiting++
			require.Equal(t, PreparingRebalance, g.state, "parked join of %s", m.id)
		}
		if m.sync != nil {
			require.Equal(t, CompletingRebalance, g.state, "parked sync of %s", m.id)
			require.False(t, m.owesSync)
		}
		require.True(t, m.timer.place > 0 || m.alive(), "member %s would never expire", m.id)
		for _, p := range m.protocols {
			support[p.name]++
		}
		size += m.size()
	}
	require.Equal(t, waiting, g.awaiting)
	require.Equal(t, support, g.support)
	require.Len(t, g.byID, len(g.members))
	if len(g.members) > 0 {
		require.NotEqual(t, Empty, g.state)
		require.NotNil(t, g.byID[g.leader], "leader %q is no member", g.leader)
		require.NotEmpty(t, g.choose())
	} else {
		require.Empty(t, g.leader)
		require.Contains(t, []State{Empty, PreparingRebalance}, g.state, "nobody is left, and nothing is done about it")
	}
	switch g.state {
	case Empty:
		require.Zero(t, g.joinTimer.place+g.syncTimer.place)
	case PreparingRebalance:
		require.NotZero(t, g.joinTimer.place, "nothing ends the rebalance")
		require.Zero(t, g.syncTimer.place)
	case CompletingRebalance:
		require.Zero(t, g.joinTimer.place)
		leader := g.byID[g.leader]
		require.True(t, g.syncTimer.place > 0 || !leader.owesSync, "nothing ends the wait for syncs")
		require.NotEmpty(t, g.protocol)
	case Stable:
		require.Equal(t, g.choose(), g.protocol)
		require.Equal(t, g.syncTimer.place > 0, !g.allSynced())
	}
	for _, id := range slices.Sorted(maps.Keys(g.pending)) {
		require.NotZero(t, g.pending[id].timer.place)
		require.Nil(t, g.byID[id])
		size += g.pending[id].size
	}
	var offsets int64
	g.offsets.each(func(topic string, _ int32, o committed) { offsets += o.size(g.id, topic) })
	require.Equal(t, offsets, g.offsetBytes)
	require.Equal(t, size+offsets+int64(groupOverhead+len(g.id)), g.bytes)
}
