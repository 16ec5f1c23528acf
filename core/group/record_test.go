package group

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRecordBytes holds the formats against bytes written out by hand from
// Kafka's definitions.
func TestRecordBytes(t *testing.T) {
	bytesOf := func(text string) []byte {
		b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(text))
		require.NoError(t, err)
		return b
	}
	o := committed{offset: 258, epoch: 3, metadata: "md", at: 1 << 40, expires: -1}
	r := offsetRecord("grp", "top", 9, &o)
	require.Equal(t, bytesOf("0001 0003677270 0003746f70 00000009"), r.Key)
	require.Equal(t, bytesOf("0003 0000000000000102 00000003 00026d64 0000010000000000"), r.Value)
	o.expires = 1 << 41
	require.Equal(t, bytesOf("0001 0000000000000102 00026d64 0000010000000000 0000020000000000"), offsetRecord("grp", "top", 9, &o).Value)
	require.Nil(t, offsetTombstone("grp", "top", 9).Value)

	cfg := Defaults()
	s := newShard(&cfg, cfg.budget(), nil)
	g := s.create("grp", 1<<40)
	require.Equal(t, bytesOf("0002 0003677270"), g.record().Key)
	require.Equal(t, bytesOf("0003 0000 00000000 ffff ffff 0000010000000000 00000000"), g.record().Value)
	require.Nil(t, groupTombstone("grp").Value)

	instance := "i1"
	g.protocolType, g.protocol, g.generation, g.state = "consumer", "range", 5, Stable
	g.add(&member{
		g: g, id: "m1", instance: &instance, clientID: "cl", host: "/1.2.3.4", session: 10 * time.Second, rebalance: time.Minute,
		protocols: []protocol{{"range", []byte{0xAA}}, {"other", []byte{0xBB}}}, assignment: []byte{0xCC, 0xDD},
	})
	require.Equal(t, bytesOf(`0003 0008636f6e73756d6572 00000005 000572616e6765 00026d31 0000010000000000 00000001
		00026d31 00026931 0002636c 00082f312e322e332e34 0000ea60 00002710 00000001aa 00000002ccdd`), g.record().Value)
}

// TestLoadOldRecords: what older brokers have written, by kmsg.
func TestLoadOldRecords(t *testing.T) {
	for version := range int16(5) {
		cfg := Defaults()
		s := newShard(&cfg, cfg.budget(), nil)
		k := kmsg.OffsetCommitKey{Version: min(version, 1), Group: "g", Topic: "t", Partition: 1}
		v := kmsg.NewOffsetCommitValue()
		v.Version, v.Offset, v.LeaderEpoch, v.Metadata, v.CommitTimestamp, v.ExpireTimestamp = version, 9, 4, "m", 100, 200
		require.NoError(t, s.load(k.AppendTo(nil), v.AppendTo(nil)))
		want := committed{offset: 9, epoch: -1, metadata: "m", at: 100, expires: -1, put: 1}
		if version >= 3 {
			want.epoch = 4
		}
		if version == 1 {
			want.expires = 200
		}
		require.Equal(t, want, s.groups["g"].offsets["t"][1], "value version %d", version)
	}
	for version := range int16(5) {
		cfg := Defaults()
		s := newShard(&cfg, cfg.budget(), nil)
		k := kmsg.GroupMetadataKey{Version: 2, Group: "g"}
		v := kmsg.NewGroupMetadataValue()
		v.Version, v.ProtocolType, v.Generation, v.Protocol, v.Leader, v.CurrentStateTimestamp = version, "consumer", 3, textOrNil("range"), textOrNil("m"), 77
		v.Members = []kmsg.GroupMetadataValueMember{{
			MemberID: "m", InstanceID: textOrNil("i"), ClientID: "c", ClientHost: "h",
			SessionTimeoutMillis: 1000, RebalanceTimeoutMillis: 2000, Subscription: []byte{1}, Assignment: []byte{2},
		}}
		require.NoError(t, s.load(k.AppendTo(nil), v.AppendTo(nil)))
		g := s.groups["g"]
		require.Equal(t, Stable, g.state)
		require.Equal(t, int32(3), g.generation)
		require.Equal(t, []byte{2}, g.members[0].assignment)
		want := 2 * time.Second
		if version == 0 {
			want = time.Second
		}
		require.Equal(t, want, g.members[0].rebalance, "value version %d", version)
		require.Equal(t, version >= 3, g.members[0].instance != nil)
		if version < 2 {
			require.Equal(t, int64(-1), g.since)
		} else {
			require.Equal(t, int64(77), g.since)
		}
	}
}

// TestLoadDamaged: a record that no coordinator writes is named, and changes
// nothing.
func TestLoadDamaged(t *testing.T) {
	group := func(change func(*kmsg.GroupMetadataValue)) []byte {
		v := kmsg.NewGroupMetadataValue()
		v.Version, v.ProtocolType, v.Generation, v.Protocol, v.Leader = 3, "consumer", 3, textOrNil("range"), textOrNil("m")
		v.Members = []kmsg.GroupMetadataValueMember{{MemberID: "m", InstanceID: textOrNil("i")}, {MemberID: "n"}}
		change(&v)
		return v.AppendTo(nil)
	}
	key := groupKey("g")
	for want, r := range map[string]Record{
		"no version":           {Key: []byte{0}},
		"offset commit key":    {Key: []byte{0, 1, 0, 9}},
		"offset commit value":  {Key: offsetKey("g", "t", 1), Value: []byte{0, 3, 0}},
		"group metadata key":   {Key: []byte{0, 2, 0, 9}},
		"group metadata value": {Key: key, Value: []byte{0, 3}},
		"has no id":            {Key: key, Value: group(func(v *kmsg.GroupMetadataValue) { v.Members[1].MemberID = "" })},
		`"m" is there twice`:   {Key: key, Value: group(func(v *kmsg.GroupMetadataValue) { v.Members[1].MemberID = "m" })},
		`"n" is there twice`:   {Key: key, Value: group(func(v *kmsg.GroupMetadataValue) { v.Members[1].InstanceID = textOrNil("i") })},
		"without a protocol":   {Key: key, Value: group(func(v *kmsg.GroupMetadataValue) { v.Protocol = nil })},
		`"x" is no member`:     {Key: key, Value: group(func(v *kmsg.GroupMetadataValue) { v.Leader = textOrNil("x") })},
		"half an array":        {Key: key, Value: group(func(*kmsg.GroupMetadataValue) {})[:30]},
	} {
		cfg := Defaults()
		s := newShard(&cfg, cfg.budget(), nil)
		o := committed{offset: 1, epoch: -1, expires: -1}
		good := offsetRecord("g", "t", 0, &o)
		require.NoError(t, s.load(good.Key, good.Value))
		err := s.load(r.Key, r.Value)
		require.Error(t, err, want)
		if want != "half an array" {
			require.ErrorContains(t, err, want)
		}
		require.Empty(t, s.groups["g"].members)
		kept := s.groups["g"].offsets["t"][0]
		kept.put = o.put
		require.Equal(t, o, kept)
	}
	// Other coordinators' records are not ours to judge.
	cfg := Defaults()
	require.NoError(t, newShard(&cfg, cfg.budget(), nil).load([]byte{0, 9, 1, 2}, []byte{3}))
}

// FuzzLoad: whatever is in the log, loading it neither fails nor leaves groups
// that break when their members come back.
func FuzzLoad(f *testing.F) {
	o := committed{offset: 1, epoch: -1, metadata: "m", expires: -1}
	r := offsetRecord("g", "t", 0, &o)
	f.Add(r.Key, r.Value)
	v := kmsg.NewGroupMetadataValue()
	v.Version, v.ProtocolType, v.Generation, v.Protocol, v.Leader = 3, "consumer", 3, textOrNil("range"), textOrNil("m")
	sub := kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}
	v.Members = []kmsg.GroupMetadataValueMember{{MemberID: "m", SessionTimeoutMillis: 1000, Subscription: sub.AppendTo(nil)}}
	f.Add(groupKey("g"), v.AppendTo(nil))
	for _, r := range sampleConsumer().records() {
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		cfg := Defaults()
		s := newShard(&cfg, cfg.budget(), func() string { return "x" })
		_ = s.load(key, value)
		now := time.UnixMilli(1)
		s.loaded(now)
		for _, g := range s.sorted() {
			checkGroup(t, g)
			if c := g.consumer; c != nil {
				for _, m := range c.sorted() {
					beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
					beat.Version, beat.Group, beat.MemberID, beat.MemberEpoch, beat.InstanceID = 1, g.id, m.id, m.epoch, m.instance
					s.step(now, &Request{Body: beat})
					s.leaveConsumers(c, []kmsg.LeaveGroupRequestMember{{MemberID: m.id}})
				}
			}
			for _, m := range g.members {
				join := kmsg.NewPtrJoinGroupRequest()
				join.Version, join.Group, join.MemberID, join.ProtocolType = 3, g.id, m.id, g.protocolType
				join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 10_000, 10_000
				join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: g.protocol}}
				s.step(now, &Request{Body: join})
			}
			checkGroup(t, g)
		}
		for range 1000 {
			at, ok := s.next()
			if !ok || len(s.groups) == 0 {
				break
			}
			s.tick(at)
		}
	})
}
