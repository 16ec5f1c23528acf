package group

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicOffsets is what a group committed, by topic and partition.
type topicOffsets map[string]map[int32]committed

// committed is one committed offset.
type committed struct {
	offset   int64
	epoch    int32 // leader epoch of the last record read; -1: not told
	metadata string
	at       int64  // ms since the epoch
	expires  int64  // ms since the epoch, where the client asked for a time of its own; -1: not
	put      uint64 // shard.put when it came
}

// size counts the group's id as well, which is in every record.
func (o *committed) size(group, topic string) int64 {
	return int64(offsetOverhead + len(group) + len(topic) + len(o.metadata))
}

// putOffset keeps o; topic and o.metadata must be the group's own.
func (g *group) putOffset(topic string, partition int32, o committed) {
	if g.offsets == nil {
		g.offsets = topicOffsets{}
	}
	if o.put == 0 {
		g.s.put++
		o.put = g.s.put
	}
	t := g.offsets[topic]
	if t == nil {
		t = map[int32]committed{}
		g.offsets[topic] = t
	}
	grows := o.size(g.id, topic)
	if old, ok := t[partition]; ok {
		grows -= old.size(g.id, topic)
	}
	t[partition] = o
	g.growOffsets(grows)
}

func (g *group) dropOffset(topic string, partition int32) {
	o, ok := g.offsets[topic][partition]
	if !ok {
		return
	}
	g.growOffsets(-o.size(g.id, topic))
	delete(g.offsets[topic], partition)
	if len(g.offsets[topic]) == 0 {
		delete(g.offsets, topic)
	}
}

func (g *group) growOffsets(n int64) {
	g.offsetBytes += n
	g.grow(n)
}

// each calls f for every offset, in order of topic and partition.
func (os topicOffsets) each(f func(topic string, partition int32, o committed)) {
	for _, t := range slices.Sorted(maps.Keys(os)) {
		for _, p := range slices.Sorted(maps.Keys(os[t])) {
			f(t, p, os[t][p])
		}
	}
}

// OffsetCommit, versions 0 to 10. Up to 4 a commit may say how long it is to be
// kept; 6 brings leader epochs, 7 group.instance.id. From 9 on an unknown group
// is GROUP_ID_NOT_FOUND, before ILLEGAL_GENERATION. A commit without a
// generation is one of a consumer that manages its partitions itself: it makes
// the group if need be, and is taken while the group has no members.
//
// Whether the partitions exist is the caller's to check, and from 10 on, which
// has topic ids, what the topics are called.
func (s *shard) commit(req *Request, body *kmsg.OffsetCommitRequest) {
	known := s.groups[body.Group] != nil
	g, err := s.committer(body)
	if err != nil {
		s.reply(req, Refusal(body, codeOf(err)))
		return
	}
	now := s.now.UnixMilli()
	expires := int64(-1)
	if body.Version >= 2 && body.Version <= 4 && body.RetentionTimeMillis >= 0 {
		expires = now + body.RetentionTimeMillis
	}
	r := kmsg.NewPtrOffsetCommitResponse()
	r.Version = body.Version
	r.Topics = make([]kmsg.OffsetCommitResponseTopic, 0, len(body.Topics))
	for i := range body.Topics {
		t := &body.Topics[i]
		rt := kmsg.OffsetCommitResponseTopic{
			Topic: t.Topic, TopicID: t.TopicID,
			Partitions: make([]kmsg.OffsetCommitResponseTopicPartition, 0, len(t.Partitions)),
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			o := committed{offset: p.Offset, epoch: -1, metadata: textOf(p.Metadata), at: now, expires: expires}
			if body.Version >= 6 {
				o.epoch = p.LeaderEpoch
			}
			if body.Version == 1 && p.Timestamp >= 0 {
				o.at = p.Timestamp
			}
			rt.Partitions = append(rt.Partitions, kmsg.OffsetCommitResponseTopicPartition{
				Partition: p.Partition, ErrorCode: codeOf(s.commitOne(g, t.Topic, p.Partition, o)),
			})
		}
		r.Topics = append(r.Topics, rt)
	}
	if !known && len(g.offsets) == 0 {
		s.forget(g) // made for this request, of which nothing was taken
	}
	s.reply(req, r)
}

// committer is the group that a commit goes to, made if need be.
func (s *shard) committer(body *kmsg.OffsetCommitRequest) (*group, error) {
	g := s.groups[body.Group]
	unmanaged := body.Version < 1 || body.Generation < 0
	if g == nil {
		switch {
		case !fits(body.Group):
			return nil, kerr.InvalidGroupID
		case !unmanaged && body.Version >= 9:
			return nil, kerr.GroupIDNotFound
		case !unmanaged:
			return nil, kerr.IllegalGeneration
		case !s.budget.roomForGroup():
			return nil, kerr.PolicyViolation
		}
		return s.create(body.Group, s.now.UnixMilli()), nil
	}
	if g.consumer != nil {
		return g, g.consumer.mayCommit(body.MemberID, body.Generation, body.Version)
	}
	switch {
	case unmanaged && g.state == Empty:
		return g, nil
	case unmanaged && body.MemberID == "" && body.InstanceID == nil:
		return nil, kerr.UnknownMemberID
	}
	if err := g.check(body.MemberID, body.InstanceID); err != nil {
		return nil, err
	}
	switch {
	case body.Generation != g.generation:
		return nil, kerr.IllegalGeneration
	case g.state == CompletingRebalance:
		return nil, kerr.RebalanceInProgress
	}
	s.heard(g.byID[body.MemberID])
	return g, nil
}

func (s *shard) commitOne(g *group, topic string, partition int32, o committed) error {
	switch {
	case utf16Len(o.metadata) > s.cfg.MetadataMax:
		return kerr.OffsetMetadataTooLarge
	case !fits(topic):
		return kerr.UnknownTopicOrPartition
	}
	grows := o.size(g.id, topic)
	if old, ok := g.offsets[topic][partition]; ok {
		grows -= old.size(g.id, topic)
	}
	if !g.roomFor(grows) {
		return kerr.InvalidCommitOffsetSize
	}
	o.metadata = strings.Clone(o.metadata)
	if _, ok := g.offsets[topic]; !ok {
		topic = strings.Clone(topic)
	}
	g.putOffset(topic, partition, o)
	s.emit(offsetRecord(g.id, topic, partition, &o))
	return nil
}

// OffsetFetch, versions 0 to 10. From 8 on it asks for several groups, before
// for one; 10 has topic ids, which are the caller's to resolve. Null topics (from 2 on) stand for all. An offset that is not there,
// and so every offset of an unknown group, is -1 without an error.
//
// RequireStable (from 7 on): an offset that an open transaction may change is
// UNSTABLE_OFFSET_COMMIT. Nothing else is needed for it: no reply leaves before
// everything it has seen is kept.
func (s *shard) fetch(req *Request, body *kmsg.OffsetFetchRequest) {
	r := kmsg.NewPtrOffsetFetchResponse()
	r.Version = body.Version
	if body.Version >= 8 {
		for i := range body.Groups {
			a := &body.Groups[i]
			rg := kmsg.NewOffsetFetchResponseGroup()
			rg.Group = a.Group
			if g := s.groups[a.Group]; g != nil && g.consumer != nil && (a.MemberID != nil || a.MemberEpoch >= 0) {
				if err := g.consumer.inEpoch(textOf(a.MemberID), a.MemberEpoch); err != nil {
					rg.ErrorCode = codeOf(err)
					r.Groups = append(r.Groups, rg)
					continue
				}
			}
			rg.Topics = s.fetchGroup(a.Group, a.Topics, body.RequireStable)
			r.Groups = append(r.Groups, rg)
		}
		s.reply(req, r)
		return
	}
	var topics []kmsg.OffsetFetchRequestGroupTopic
	if body.Topics != nil {
		topics = make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(body.Topics))
	}
	for _, t := range body.Topics {
		topics = append(topics, kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions})
	}
	for _, t := range s.fetchGroup(body.Group, topics, body.RequireStable) {
		rt := kmsg.OffsetFetchResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetFetchResponseTopicPartition(p))
		}
		r.Topics = append(r.Topics, rt)
	}
	s.reply(req, r)
}

// fetchGroup answers for the topics asked, nil for all.
func (s *shard) fetchGroup(id string, asked []kmsg.OffsetFetchRequestGroupTopic, stable bool) []kmsg.OffsetFetchResponseGroupTopic {
	var offsets topicOffsets
	unstable := map[place]bool{}
	if stable {
		unstable = s.unstable(id)
	}
	if g := s.groups[id]; g != nil {
		offsets = g.offsets
	}
	if asked == nil {
		for _, t := range slices.Sorted(maps.Keys(offsets)) {
			asked = append(asked, kmsg.OffsetFetchRequestGroupTopic{Topic: t, Partitions: slices.Sorted(maps.Keys(offsets[t]))})
		}
	}
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(asked))
	for _, a := range asked {
		t := kmsg.OffsetFetchResponseGroupTopic{
			Topic: a.Topic, TopicID: a.TopicID,
			Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(a.Partitions)),
		}
		for _, p := range a.Partitions {
			rp := kmsg.OffsetFetchResponseGroupTopicPartition{Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new(string)}
			if o, ok := offsets[a.Topic][p]; ok {
				rp.Offset, rp.LeaderEpoch, rp.Metadata = o.offset, o.epoch, &o.metadata
			}
			if unstable[place{a.Topic, p}] {
				rp.Offset, rp.LeaderEpoch, rp.Metadata = -1, -1, new(string)
				rp.ErrorCode = kerr.UnstableOffsetCommit.Code
			}
			t.Partitions = append(t.Partitions, rp)
		}
		topics = append(topics, t)
	}
	return topics
}

// OffsetDelete, version 0. Offsets of a topic that the group still reads stay.
// Whether the partitions exist is the caller's to check.
func (s *shard) deleteOffsets(req *Request, body *kmsg.OffsetDeleteRequest) {
	g := s.groups[body.Group]
	var err error
	switch {
	case body.Group == "":
		err = kerr.InvalidGroupID
	case g == nil:
		err = kerr.GroupIDNotFound
	case g.consumer == nil && g.state != Empty && g.protocolType != consumerProtocol:
		// Its members' subscriptions cannot be read.
		err = kerr.NonEmptyGroup
	}
	if err != nil {
		s.reply(req, Refusal(body, codeOf(err)))
		return
	}
	r := kmsg.NewPtrOffsetDeleteResponse()
	for _, t := range body.Topics {
		rt := kmsg.OffsetDeleteResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			rp := kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition}
			if g.subscribes(t.Topic) {
				rp.ErrorCode = kerr.GroupSubscribedToTopic.Code
			} else {
				s.deleteOffset(g, t.Topic, p.Partition)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		r.Topics = append(r.Topics, rt)
	}
	s.reply(req, r)
}

func (s *shard) deleteOffset(g *group, topic string, partition int32) {
	if _, ok := g.offsets[topic][partition]; ok {
		g.dropOffset(topic, partition)
		s.emit(offsetTombstone(g.id, topic, partition))
	}
}

// topicDeleted forgets what all groups committed for a topic that is gone.
func (s *shard) topicDeleted(now time.Time, topic string) effects {
	s.now = now
	for _, g := range s.sorted() {
		for _, p := range slices.Sorted(maps.Keys(g.offsets[topic])) {
			s.deleteOffset(g, topic, p)
		}
	}
	return s.take()
}

// expireOffsets drops offsets past their retention, and groups that nothing is
// left of.
func (s *shard) expireOffsets() {
	for _, g := range s.sorted() {
		if g.offsets != nil {
			g.offsets.each(func(topic string, partition int32, o committed) {
				if g.stale(topic, o) {
					s.deleteOffset(g, topic, partition)
				}
			})
		}
		if g.empty() && len(g.offsets) == 0 && len(g.pending) == 0 {
			s.bury(g)
		}
	}
	s.timers.set(&s.expiry, s.now.Add(s.cfg.RetentionInterval))
}

// bury emits that a group without members is no more, and forgets it.
func (s *shard) bury(g *group) {
	if g.consumer != nil {
		s.out.records = append(s.out.records, g.consumer.tombstones()...)
	} else {
		s.emit(groupTombstone(g.id))
	}
	s.forget(g)
}

// mayCommit: a member commits in its epoch. Who speaks the consumer protocol has to
// speak a version that knows of epochs. Without members anybody may.
func (c *consumerGroup) mayCommit(id string, epoch int32, version int16) error {
	if epoch < 0 && len(c.members) == 0 {
		return nil
	}
	if m := c.members[id]; m != nil && m.classic == nil && version < 9 {
		return kerr.UnsupportedVersion
	}
	return c.inEpoch(id, epoch)
}

func (c *consumerGroup) inEpoch(id string, epoch int32) error {
	m := c.members[id]
	switch {
	case m == nil:
		return kerr.UnknownMemberID
	case m.epoch == epoch:
		return nil
	case m.classic != nil:
		return kerr.IllegalGeneration
	}
	return kerr.StaleMemberEpoch
}

// stale: the offset is past its retention. That runs from the commit; in a
// group that had members and has none, from when the last one left. While a
// rebalance is under way, and for what members read, nothing is.
func (g *group) stale(topic string, o committed) bool {
	from := o.at
	switch {
	case g.protocolType == "": // or of the type consumer
	case g.state == Empty:
		if g.since >= 0 {
			from = g.since
		}
	case g.state != Stable || g.topics == nil:
		return false
	}
	now := g.s.now.UnixMilli()
	switch {
	case g.subscribes(topic):
		return false
	case o.expires >= 0:
		return now >= o.expires
	}
	return now-from >= int64(g.s.cfg.RetentionMinutes)*60_000
}

// utf16Len is the length of s as Java counts it.
func utf16Len(s string) (n int64) {
	for _, r := range s {
		if n++; r > 0xFFFF && r <= utf8.MaxRune {
			n++
		}
	}
	return n
}
