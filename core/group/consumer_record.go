package group

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
)

// What is kept of groups of the type consumer, in Kafka's formats (the
// ConsumerGroup….json of its group coordinator). Keys are a version, which is the
// type of the record, and one or two strings (int16 length). Values are of version
// 0, an int16, and from there on flexible: strings and arrays with a uvarint of
// length + 1 (0: null), and tagged fields at the end of each struct.
//
//	group           3  group                value  epoch int32 · [0] hash int64
//	topics          4  group                        (no longer written by Kafka since 4.1: passed over)
//	member          5  group · member       value  instance? · rack? · clientId · clientHost · topics [string] ·
//	                                               regex? · rebalanceTimeout int32 · assignor? · [0] classic
//	                                               classic: present uvarint (0: null) · sessionTimeout int32 · [ name · metadata bytes ]
//	target epoch    6  group                value  assignmentEpoch int32
//	target          7  group · member       value  partitions
//	current         8  group · member       value  epoch int32 · previous int32 · state int8 · partitions · partitions
//	expression     16  group · expression   value  topics [string] · version int64 · timestamp int64
//
//	partitions = [ topic uuid · [int32] ]; [0] is a tagged field of tag 0.
//
// A null value ends what the key names. Tags that are not known are passed over;
// a value of a version that is not known is an error, as it is for Kafka.
const (
	keyConsumerGroup int16 = 3
	keyTopics        int16 = 4
	keyMember        int16 = 5
	keyTargetEpoch   int16 = 6
	keyTarget        int16 = 7
	keyCurrent       int16 = 8
	keyRegex         int16 = 16
)

// consumerKey is the key of a record of which a group has one.
func consumerKey(kind int16, group string) []byte {
	return kbin.AppendString(kbin.AppendInt16(nil, kind), group)
}

// memberKey is the key of a record of which a group has one for each member, or
// for each regular expression.
func memberKey(kind int16, group, of string) []byte {
	return kbin.AppendString(consumerKey(kind, group), of)
}

// version0 begins a value, and end, without tags, ends a struct.
func version0() []byte        { return kbin.AppendInt16(nil, 0) }
func endTags(b []byte) []byte { return append(b, 0) }

func appendTexts(b []byte, texts []string) []byte {
	b = kbin.AppendCompactArrayLen(b, len(texts))
	for _, t := range texts {
		b = kbin.AppendCompactString(b, t)
	}
	return b
}

func appendPartitions(b []byte, ps partitionSet) []byte {
	b = kbin.AppendCompactArrayLen(b, len(ps))
	for _, t := range ps.topics() {
		b = kbin.AppendUuid(b, t)
		b = kbin.AppendCompactArrayLen(b, len(ps[t]))
		for _, p := range ps[t] {
			b = kbin.AppendInt32(b, p)
		}
		b = endTags(b)
	}
	return b
}

// appendTag0 writes the one tagged field of a struct.
func appendTag0(b, field []byte) []byte {
	b = append(b, 1, 0)
	b = kbin.AppendUvarint(b, uint32(len(field)))
	return append(b, field...)
}

func epochRecord(c *consumerGroup) Record {
	v := kbin.AppendInt32(version0(), c.epoch)
	if c.hash != 0 {
		v = appendTag0(v, kbin.AppendInt64(nil, c.hash))
	} else {
		v = endTags(v)
	}
	return Record{Key: consumerKey(keyConsumerGroup, c.g.id), Value: v}
}

func targetEpochRecord(c *consumerGroup) Record {
	return Record{Key: consumerKey(keyTargetEpoch, c.g.id), Value: endTags(kbin.AppendInt32(version0(), c.assigned))}
}

func memberRecord(m *subscriber) Record {
	v := kbin.AppendCompactNullableString(version0(), m.instance)
	v = kbin.AppendCompactNullableString(v, m.rack)
	v = kbin.AppendCompactString(v, m.clientID)
	v = kbin.AppendCompactString(v, m.host)
	v = appendTexts(v, m.topics)
	v = kbin.AppendCompactNullableString(v, m.regex)
	v = kbin.AppendInt32(v, int32(m.rebalance.Milliseconds()))
	v = kbin.AppendCompactNullableString(v, m.assignor)
	if m.classic != nil {
		f := kbin.AppendInt32([]byte{1}, int32(m.classic.session.Milliseconds()))
		f = kbin.AppendCompactArrayLen(f, len(m.classic.protocols))
		for _, p := range m.classic.protocols {
			f = endTags(kbin.AppendCompactBytes(kbin.AppendCompactString(f, p.name), p.metadata))
		}
		v = appendTag0(v, endTags(f))
	} else {
		v = appendTag0(v, []byte{0}) // Kafka writes this null, though it is the default
	}
	return Record{Key: memberKey(keyMember, m.c.g.id, m.id), Value: v}
}

func targetRecord(m *subscriber) Record {
	return Record{Key: memberKey(keyTarget, m.c.g.id, m.id), Value: endTags(appendPartitions(version0(), m.target))}
}

func currentRecord(m *subscriber) Record {
	v := kbin.AppendInt32(kbin.AppendInt32(version0(), m.epoch), m.previous)
	v = kbin.AppendInt8(v, int8(m.state))
	v = appendPartitions(appendPartitions(v, m.owned), m.revoking)
	return Record{Key: memberKey(keyCurrent, m.c.g.id, m.id), Value: endTags(v)}
}

func regexRecord(c *consumerGroup, text string, e *expression) Record {
	v := kbin.AppendInt64(appendTexts(version0(), e.topics), 0)
	v = kbin.AppendInt64(v, e.resolved)
	return Record{Key: memberKey(keyRegex, c.g.id, text), Value: endTags(v)}
}

// records are all that is to be kept of a group, in an order in which each can be
// read after those before it.
func (c *consumerGroup) records() []Record {
	var rs []Record
	for _, m := range c.sorted() {
		rs = append(rs, memberRecord(m))
	}
	for _, text := range sortedKeys(c.regexes) {
		if e := c.regexes[text]; e.resolved != 0 {
			rs = append(rs, regexRecord(c, text, e))
		}
	}
	rs = append(rs, epochRecord(c))
	for _, m := range c.sorted() {
		rs = append(rs, targetRecord(m))
	}
	rs = append(rs, targetEpochRecord(c))
	for _, m := range c.sorted() {
		rs = append(rs, currentRecord(m))
	}
	return rs
}

// tombstones end all that records says.
func (c *consumerGroup) tombstones() []Record {
	var rs []Record
	for _, kind := range []int16{keyCurrent, keyTarget, keyMember} {
		for _, m := range c.sorted() {
			rs = append(rs, Record{Key: memberKey(kind, c.g.id, m.id)})
		}
		if kind == keyTarget {
			rs = append(rs, Record{Key: consumerKey(keyTargetEpoch, c.g.id)})
		}
	}
	for _, text := range sortedKeys(c.regexes) {
		rs = append(rs, Record{Key: memberKey(keyRegex, c.g.id, text)})
	}
	return append(rs, Record{Key: consumerKey(keyConsumerGroup, c.g.id)})
}

// fields reads a value; what is wrong is found out at the end.
type fields struct{ kbin.Reader }

func fieldsOf(value []byte) (*fields, error) {
	f := &fields{kbin.Reader{Src: value}}
	if v := f.Int16(); v != 0 || !f.Ok() {
		return nil, fmt.Errorf("value of version %d, of which nothing is known", v)
	}
	return f, nil
}

// n is an array's length, which what is left can hold at so many bytes each.
func (f *fields) n(each int) int {
	n := int(f.CompactArrayLen())
	if n > len(f.Src)/each {
		f.Src = nil
		f.Int8() // and so it is bad
		return 0
	}
	return max(n, 0)
}

func (f *fields) texts() []string {
	out := []string{}
	for range f.n(1) {
		out = append(out, f.CompactString())
	}
	return out
}

func (f *fields) partitions() partitionSet {
	out := partitionSet{}
	for range f.n(18) {
		topic := f.Uuid()
		var ps []int32
		for range f.n(4) {
			ps = append(ps, f.Int32())
		}
		if len(ps) > 0 {
			out[topic] = normal(slices.Concat(out[topic], ps))
		}
		f.tags(nil)
	}
	return out
}

// tags reads the tagged fields that end a struct; tag0 is handed that of tag 0.
func (f *fields) tags(tag0 func(*fields)) {
	n := f.Uvarint()
	for ; n > 0 && f.Ok(); n-- {
		tag, size := f.Uvarint(), f.Uvarint()
		if size > uint32(len(f.Src)) {
			f.Src = nil
			f.Int8()
			return
		}
		field := &fields{kbin.Reader{Src: f.Span(int(size))}}
		if tag == 0 && tag0 != nil {
			if tag0(field); !field.Ok() {
				f.Src = nil
				f.Int8()
				return
			}
		}
	}
}

// loadConsumer folds a record whose key is one of those above.
func (s *shard) loadConsumer(kind int16, key, value []byte) error {
	k := &fields{kbin.Reader{Src: key[2:]}}
	id, of := k.String(), ""
	switch kind {
	case keyMember, keyTarget, keyCurrent, keyRegex:
		of = k.String()
	}
	if !k.Ok() {
		return fmt.Errorf("key of a record of type %d: %d bytes are too few", kind, len(key))
	}
	g := s.groups[id]
	if value == nil {
		if g != nil && g.consumer != nil {
			s.unloadConsumer(g, kind, of)
		}
		return nil
	}
	f, err := fieldsOf(value)
	if err != nil {
		return fmt.Errorf("record of type %d of group %q: %w", kind, id, err)
	}
	fold := s.foldConsumer(kind, of, f)
	if !f.Ok() {
		return fmt.Errorf("record of type %d of group %q: %d bytes are too few", kind, id, len(value))
	}
	if fold == nil {
		return nil
	}
	if g == nil {
		g = s.create(id, -1)
	}
	if g.consumer == nil {
		s.shed(g)
		g.consumer = newConsumerGroup(g)
	}
	fold(g.consumer)
	return nil
}

// foldConsumer reads a value, and gives what it does to a group; nil: nothing.
func (s *shard) foldConsumer(kind int16, of string, f *fields) func(*consumerGroup) {
	switch kind {
	case keyConsumerGroup:
		epoch, hash := f.Int32(), int64(0)
		f.tags(func(f *fields) { hash = f.Int64() })
		return func(c *consumerGroup) { c.epoch, c.hash = epoch, hash }
	case keyTargetEpoch:
		assigned := f.Int32()
		f.tags(nil)
		return func(c *consumerGroup) { c.assigned = assigned }
	case keyMember:
		var m subscriber
		m.instance, m.rack = f.CompactNullableString(), f.CompactNullableString()
		m.clientID, m.host, m.topics = f.CompactString(), f.CompactString(), normalTexts(f.texts())
		m.regex, m.rebalance, m.assignor = f.CompactNullableString(), time.Duration(f.Int32())*time.Millisecond, f.CompactNullableString()
		f.tags(func(f *fields) { m.classic = f.classicSide() })
		return func(c *consumerGroup) {
			s.loadSubscriber(c, of, func(to *subscriber) {
				to.instance, to.rack, to.clientID, to.host, to.topics = m.instance, m.rack, m.clientID, m.host, m.topics
				to.regex, to.rebalance, to.assignor, to.classic = m.regex, max(m.rebalance, 0), m.assignor, m.classic
			})
		}
	case keyTarget:
		set := f.partitions()
		f.tags(nil)
		return func(c *consumerGroup) { s.loadSubscriber(c, of, func(m *subscriber) { m.target = set }) }
	case keyCurrent:
		epoch, previous, state := f.Int32(), f.Int32(), memberState(f.Int8())
		owned, revoking := f.partitions(), f.partitions()
		f.tags(nil)
		if state < memberStable || state > memberWaiting {
			state = memberUnknown
		}
		return func(c *consumerGroup) {
			s.loadSubscriber(c, of, func(m *subscriber) {
				m.epoch, m.previous, m.state, m.owned, m.revoking = epoch, previous, state, owned, revoking
			})
		}
	case keyRegex:
		e := &expression{topics: normalTexts(f.texts())}
		f.Int64()
		e.resolved = max(f.Int64(), 1)
		f.tags(nil)
		e.re, _ = compile(of)
		return func(c *consumerGroup) {
			s.unloadConsumer(c.g, keyRegex, of)
			c.regexes[of] = e
			c.g.grow(e.size(of))
		}
	}
	return nil // topics
}

func (f *fields) classicSide() *classicSide {
	if f.Uvarint() == 0 {
		return nil
	}
	c := &classicSide{session: time.Duration(f.Int32()) * time.Millisecond}
	for range f.n(3) {
		c.protocols = append(c.protocols, protocol{f.CompactString(), cloneBytes(f.CompactBytes())})
		f.tags(nil)
	}
	f.tags(nil)
	if len(c.protocols) == 0 {
		f.Src = nil
		f.Int8() // a classic member has at least one
	}
	return c
}

// loadSubscriber changes a member that is being loaded, and makes it if need be.
// Who owns what is settled when all is loaded.
func (s *shard) loadSubscriber(c *consumerGroup, id string, change func(*subscriber)) {
	m := c.members[id]
	if m == nil {
		m = s.newSubscriber(c, id)
		c.members[id] = m
	}
	change(m)
	c.charge(m)
}

// unloadConsumer folds a tombstone.
func (s *shard) unloadConsumer(g *group, kind int16, of string) {
	c := g.consumer
	switch kind {
	case keyConsumerGroup:
		if s.shedConsumer(g); len(g.offsets) == 0 {
			s.forget(g)
		}
	case keyTargetEpoch:
		c.assigned = -1
	case keyMember:
		if m := c.members[of]; m != nil {
			c.remove(m)
		}
	case keyTarget:
		if m := c.members[of]; m != nil {
			m.target = nil
			c.charge(m)
		}
	case keyCurrent:
		if m := c.members[of]; m != nil {
			m.epoch, m.previous, m.state, m.owned, m.revoking = -1, -1, memberStable, nil, nil
			c.charge(m)
		}
	case keyRegex:
		if e := c.regexes[of]; e != nil {
			g.grow(-e.size(of))
			delete(c.regexes, of)
		}
	}
}

// loadedConsumer settles who owns what, and starts the members' times. Where a log
// gives a partition to two, the one of the later epoch has it.
func (s *shard) loadedConsumer(c *consumerGroup) {
	ms := c.sorted()
	slices.SortStableFunc(ms, func(a, b *subscriber) int { return int(b.epoch) - int(a.epoch) })
	for _, m := range ms {
		c.epoch = max(c.epoch, c.assigned, m.epoch) // a log may have lost the group's
		if m.instance != nil && c.static[*m.instance] == nil {
			c.static[*m.instance] = m
		}
		mine := func(p partitionOf) bool { return c.owners[p] == nil }
		m.owned, m.revoking = m.owned.filter(mine), m.revoking.filter(mine)
		m.claim()
		c.charge(m)
		s.heardOf(m)
		if m.state == memberRevoking && m.classic == nil {
			s.timers.set(&m.rebalanceTimer, s.now.Add(m.rebalance))
		}
	}
	c.epoch = max(c.epoch, c.assigned)
	s.dropUnused(c)
}

func normalTexts(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}
