package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Record is one record of __consumer_offsets. A nil Value is a tombstone.
type Record struct {
	Key, Value []byte
	Txn        *Txn // the transaction it is part of; nil: none
}

// The formats are Kafka's (OffsetCommitKey.json, OffsetCommitValue.json,
// GroupMetadataKey.json, GroupMetadataValue.json). Integers are big-endian;
// string is an int16 length and that many bytes, -1 for null; bytes the same
// with an int32 length.
//
//	offset commit   key    version int16 = 1 · group string · topic string · partition int32
//	                value  version int16 = 3 · offset int64 · leaderEpoch int32 · metadata string ·
//	                       commitTimestamp int64
//	                value  version int16 = 1 · offset int64 · metadata string · commitTimestamp int64 ·
//	                       expireTimestamp int64    (where the client asked for a retention of its own)
//	group metadata  key    version int16 = 2 · group string
//	                value  version int16 = 3 · protocolType string · generation int32 · protocol string? ·
//	                       leader string? · currentStateTimestamp int64 · members int32 ×
//	                       ( memberId string · groupInstanceId string? · clientId string · clientHost string ·
//	                         rebalanceTimeout int32 · sessionTimeout int32 · subscription bytes · assignment bytes )
//
// Read are all versions that Kafka reads: keys 0 and 1, values 0 to 4. Groups of
// the type consumer are kept as consumer_record.go has it. Keys that neither knows
// (share groups, streams groups) are passed over.
const (
	keyOffset        = 1
	keyGroup         = 2
	valueOffset      = 3
	valueOffsetUntil = 1
	valueGroup       = 3
)

func offsetKey(group, topic string, partition int32) []byte {
	k := kmsg.OffsetCommitKey{Version: keyOffset, Group: group, Topic: topic, Partition: partition}
	return k.AppendTo(make([]byte, 0, 10+len(group)+len(topic)))
}

func offsetRecord(group, topic string, partition int32, o *committed) Record {
	v := kmsg.OffsetCommitValue{
		Version: valueOffset, Offset: o.offset, LeaderEpoch: o.epoch, Metadata: o.metadata, CommitTimestamp: o.at,
	}
	if o.expires >= 0 {
		v.Version, v.ExpireTimestamp = valueOffsetUntil, o.expires
	}
	return Record{Key: offsetKey(group, topic, partition), Value: v.AppendTo(make([]byte, 0, 32+len(o.metadata)))}
}

func offsetTombstone(group, topic string, partition int32) Record {
	return Record{Key: offsetKey(group, topic, partition)}
}

func groupKey(id string) []byte {
	k := kmsg.GroupMetadataKey{Version: keyGroup, Group: id}
	return k.AppendTo(make([]byte, 0, 4+len(id)))
}

func groupTombstone(id string) Record { return Record{Key: groupKey(id)} }

// record is the group as it stands. Of a member's protocols only the metadata
// of the chosen one is kept.
func (g *group) record() Record {
	v := kmsg.GroupMetadataValue{
		Version: valueGroup, ProtocolType: g.protocolType, Generation: g.generation,
		Protocol: textOrNil(g.protocol), Leader: textOrNil(g.leader), CurrentStateTimestamp: g.since,
	}
	for _, m := range g.members {
		v.Members = append(v.Members, kmsg.GroupMetadataValueMember{
			MemberID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.host,
			RebalanceTimeoutMillis: int32(m.rebalance.Milliseconds()), SessionTimeoutMillis: int32(m.session.Milliseconds()),
			Subscription: m.metadata(g.protocol), Assignment: m.assignment,
		})
	}
	return Record{Key: groupKey(g.id), Value: v.AppendTo(nil)}
}

// writeDown emits the group's record as it stands.
func (s *shard) writeDown(g *group) {
	r := g.record()
	g.kept = r.Value
	s.emit(r)
}

// rewrite emits records that say all that the log has said so far: of a group
// that is being rebalanced, the generation before.
func (s *shard) rewrite() effects {
	for _, g := range s.sorted() {
		switch {
		case g.consumer != nil:
			s.out.records = append(s.out.records, g.consumer.records()...)
		case g.kept != nil:
			s.emit(Record{Key: groupKey(g.id), Value: g.kept})
		}
		g.offsets.each(func(topic string, partition int32, o committed) {
			s.emit(offsetRecord(g.id, topic, partition, &o))
		})
	}
	return s.take()
}

// load folds one record of the partition into the shard. Records come in log
// order, before any step.
func (s *shard) load(key, value []byte) error {
	if len(key) < 2 {
		return fmt.Errorf("record key of %d bytes has no version", len(key))
	}
	switch v := binary.BigEndian.Uint16(key); {
	case v <= keyOffset:
		return s.loadOffset(-1, key, value)
	case v == keyGroup:
		return s.loadGroup(key, value)
	case v >= uint16(keyConsumerGroup) && v <= uint16(keyCurrent), v == uint16(keyRegex):
		return s.loadConsumer(int16(v), key, value)
	}
	return nil
}

// loadOffset: producer is whose transaction the record is in; -1: none.
func (s *shard) loadOffset(producer int64, key, value []byte) error {
	var k kmsg.OffsetCommitKey
	if err := k.ReadFrom(key); err != nil {
		return fmt.Errorf("offset commit key: %w", err)
	}
	g := s.groups[k.Group]
	if value == nil {
		if g != nil {
			g.dropOffset(k.Topic, k.Partition)
		}
		s.dropHeldOffset(k.Group, k.Topic, k.Partition)
		return nil
	}
	v := kmsg.NewOffsetCommitValue()
	if err := v.ReadFrom(value); err != nil {
		return fmt.Errorf("offset commit value of group %q: %w", k.Group, err)
	}
	o := committed{offset: v.Offset, epoch: -1, metadata: v.Metadata, at: v.CommitTimestamp, expires: -1}
	if v.Version >= 3 {
		o.epoch = v.LeaderEpoch
	}
	if v.Version == valueOffsetUntil {
		o.expires = v.ExpireTimestamp
	}
	if producer >= 0 {
		s.hold(producer, k.Group, k.Topic, k.Partition, o)
		return nil
	}
	if g == nil {
		g = s.create(k.Group, -1)
	}
	g.putOffset(k.Topic, k.Partition, o)
	return nil
}

func (s *shard) loadGroup(key, value []byte) error {
	var k kmsg.GroupMetadataKey
	if err := k.ReadFrom(key); err != nil {
		return fmt.Errorf("group metadata key: %w", err)
	}
	old := s.groups[k.Group]
	if value == nil {
		// Its offsets end one by one: they stay where only its type changes.
		switch {
		case old == nil || old.consumer != nil:
		case len(old.offsets) > 0:
			s.shed(old)
		default:
			s.forget(old)
		}
		return nil
	}
	v := kmsg.NewGroupMetadataValue()
	if err := v.ReadFrom(value); err != nil {
		return fmt.Errorf("group metadata value of group %q: %w", k.Group, err)
	}
	if err := checkGroupValue(&v); err != nil {
		return fmt.Errorf("group metadata value of group %q: %w", k.Group, err)
	}
	offsets := topicOffsets(nil)
	var size int64
	if old != nil {
		offsets, size = old.offsets, old.offsetBytes
		old.offsets, old.offsetBytes = nil, 0
		old.grow(-size)
		s.forget(old)
	}
	g := s.create(k.Group, v.CurrentStateTimestamp)
	if offsets != nil {
		g.offsets, g.offsetBytes = offsets, size
		g.grow(size)
	}
	g.kept = bytes.Clone(value)
	g.protocolType, g.generation = v.ProtocolType, v.Generation
	if len(v.Members) > 0 {
		g.protocol, g.leader = textOf(v.Protocol), textOf(v.Leader)
	}
	for i := range v.Members {
		mv := &v.Members[i]
		m := &member{
			g: g, id: mv.MemberID, instance: mv.InstanceID, clientID: mv.ClientID, host: mv.ClientHost,
			session:   time.Duration(mv.SessionTimeoutMillis) * time.Millisecond,
			rebalance: time.Duration(mv.RebalanceTimeoutMillis) * time.Millisecond,
			protocols: []protocol{{name: g.protocol, metadata: cloneBytes(mv.Subscription)}},
		}
		if v.Version < 1 || mv.RebalanceTimeoutMillis < 0 {
			m.rebalance = max(m.session, 0)
		}
		m.assignment = cloneBytes(mv.Assignment)
		g.add(m)
		g.grow(m.size())
	}
	if len(g.members) > 0 {
		g.state = Stable
	}
	g.learnTopics()
	return nil
}

// checkGroupValue holds a group that has members to what the coordinator takes
// for granted of one.
func checkGroupValue(v *kmsg.GroupMetadataValue) error {
	ids, instances := map[string]bool{}, map[string]bool{}
	for i := range v.Members {
		m := &v.Members[i]
		switch {
		case m.MemberID == "":
			return errors.New("a member has no id")
		case ids[m.MemberID] || m.InstanceID != nil && instances[*m.InstanceID]:
			return fmt.Errorf("member %q is there twice", m.MemberID)
		}
		ids[m.MemberID] = true
		if m.InstanceID != nil {
			instances[*m.InstanceID] = true
		}
	}
	switch {
	case len(ids) == 0:
		return nil
	case textOf(v.Protocol) == "":
		return errors.New("members without a protocol")
	case !ids[textOf(v.Leader)]:
		return fmt.Errorf("leader %q is no member", textOf(v.Leader))
	}
	return nil
}

// reader takes big-endian fields off b; bad says that b was too short.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, max(n, 8))
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) int16() int16 { return int16(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) int32() int32 { return int32(binary.BigEndian.Uint32(r.take(4))) }

// subscribedTopics reads the topics off a consumer's subscription, which every
// version of that format starts with: version int16, topics int32 × string.
func subscribedTopics(metadata []byte) ([]string, bool) {
	r := reader{b: metadata}
	r.int16()
	n := r.int32()
	if r.bad || n < 0 || int(n) > len(r.b)/2 {
		return nil, false
	}
	topics := make([]string, 0, n)
	for range n {
		l := int(r.int16())
		if r.bad || l < 0 || l > len(r.b) {
			return nil, false
		}
		topics = append(topics, string(r.take(l)))
	}
	return topics, true
}

// fits: s, or a member id made from it, can be a string of a record.
func fits(s string) bool { return len(s) <= math.MaxInt16-64 }

func clonePtr(s *string) *string {
	if s == nil {
		return nil
	}
	c := strings.Clone(*s)
	return &c
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// cloneBytes is never nil, since Kafka's formats tell null bytes from none.
func cloneBytes(b []byte) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	return bytes.Clone(b)
}
