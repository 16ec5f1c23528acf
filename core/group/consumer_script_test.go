package group

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topics is a Metadata of tests; each change makes another.
type topics struct {
	byName  map[string]Topic
	configs map[string]map[string]string
	made    map[string]int // how often a topic was: each time it has another id
}

func (ts *topics) TopicNamed(name string) (Topic, bool) { t, ok := ts.byName[name]; return t, ok }
func (ts *topics) TopicNames() iter.Seq[string]         { return maps.Keys(ts.byName) }

func (ts *topics) TopicOf(id [16]byte) (Topic, bool) {
	for _, t := range ts.byName {
		if t.ID == id {
			return t, true
		}
	}
	return Topic{}, false
}

func (ts *topics) GroupConfig(group, name string) (string, bool) {
	text, ok := ts.configs[group][name]
	return text, ok
}

// with is ts with a topic of so many partitions; none: without it.
func (ts *topics) with(name string, partitions int32) *topics {
	next := &topics{byName: map[string]Topic{}, configs: ts.configs, made: map[string]int{}}
	maps.Copy(next.byName, ts.byName)
	maps.Copy(next.made, ts.made)
	t, ok := next.byName[name]
	if !ok {
		t = Topic{Name: name, ID: topicID(name + strings.Repeat("'", next.made[name]))}
		next.made[name]++
	}
	if t.Partitions = partitions; partitions == 0 {
		delete(next.byName, name)
	} else {
		next.byName[name] = t
	}
	return next
}

func (ts *topics) set(group, name, value string) *topics {
	next := &topics{byName: ts.byName, made: ts.made, configs: map[string]map[string]string{}}
	maps.Copy(next.configs, ts.configs)
	own := maps.Clone(next.configs[group])
	if own == nil {
		own = map[string]string{}
	}
	own[name], next.configs[group] = value, own
	return next
}

// topicID is a topic's name in place of its id.
func topicID(name string) (id [16]byte) {
	copy(id[:], name)
	return id
}

func topicName(id [16]byte) string { return strings.TrimRight(string(id[:]), "\x00") }

func (ps partitionSet) String() string {
	var words []string
	for _, t := range ps.topics() {
		words = append(words, topicName(t)+strings.ReplaceAll(fmt.Sprint(ps[t]), " ", ","))
	}
	return "{" + strings.Join(words, " ") + "}"
}

func setOf(ts []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic) partitionSet {
	set := partitionSet{}
	for _, t := range ts {
		set[t.TopicID] = t.Partitions
	}
	return set
}

// owned reads {t:0,1;u:2} as a member's partitions.
func owned(t require.TestingT, text string) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	out := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' }) {
		name, list, _ := strings.Cut(part, ":")
		rt := kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: topicID(name)}
		for _, p := range strings.Split(list, ",") {
			var n int32
			_, err := fmt.Sscan(p, &n)
			require.NoError(t, err, text)
			rt.Partitions = append(rt.Partitions, n)
		}
		out = append(out, rt)
	}
	return out
}

// beatOf is what a client sends: all when it joins, and only its epoch else.
func (sc *script) beatOf(a *actor, group string, o *options) *kmsg.ConsumerGroupHeartbeatRequest {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID = int16(o.number("v", 1)), group, o.text("id", a.name)
	r.MemberEpoch = int32(o.number("epoch", int64(a.epoch)))
	r.InstanceID, r.RackID, r.ServerAssignor = o.pointer("instance"), o.pointer("rack"), o.pointer("assignor")
	r.SubscribedTopicRegex = o.pointer("regex")
	if text := o.pointer("topics"); text != nil || r.MemberEpoch == 0 && r.SubscribedTopicRegex == nil {
		r.SubscribedTopicNames = append([]string{}, o.list("topics", "t")...)
	}
	if r.MemberEpoch == 0 {
		r.RebalanceTimeoutMillis, r.Topics = 60_000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	if text := o.pointer("rebalance"); text != nil {
		r.RebalanceTimeoutMillis = o.millis("rebalance", "60s")
	}
	switch text := o.pointer("owns"); {
	case text == nil:
	case *text == "told":
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, id := range a.told.topics() {
			r.Topics = append(r.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: a.told[id]})
		}
	default:
		r.Topics = owned(sc.t, *text)
	}
	return r
}

// heard lets a remember what a heartbeat told it.
func (a *actor) heard(r *kmsg.ConsumerGroupHeartbeatResponse) {
	switch {
	case r.ErrorCode != 0:
		return
	case r.MemberEpoch < 0:
		a.epoch, a.told = 0, nil
		return
	}
	a.epoch = r.MemberEpoch
	if r.Assignment != nil {
		a.told = setOf(r.Assignment.Topics)
	}
}

func showBeat(r *kmsg.ConsumerGroupHeartbeatResponse) string {
	if r.ErrorCode != 0 {
		return "beat " + codeName(r.ErrorCode)
	}
	text := fmt.Sprintf("beat ok epoch=%d", r.MemberEpoch)
	if r.MemberEpoch >= 0 {
		text += fmt.Sprintf(" id=%s", *r.MemberID)
		if r.HeartbeatIntervalMillis != 5000 {
			text += fmt.Sprintf(" every=%dms", r.HeartbeatIntervalMillis)
		}
	}
	if r.Assignment != nil {
		text += " " + setOf(r.Assignment.Topics).String()
	}
	return text
}

func showConsumerGroup(g kmsg.ConsumerGroupDescribeResponseGroup) string {
	if g.ErrorCode != 0 {
		return "describe-consumer " + codeName(g.ErrorCode)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "describe-consumer ok %s epoch=%d assigned=%d by %s", g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName)
	for _, m := range g.Members {
		fmt.Fprintf(&b, "\n    %s epoch=%d", m.MemberID, m.MemberEpoch)
		if m.InstanceID != nil {
			fmt.Fprintf(&b, " instance=%s", *m.InstanceID)
		}
		if *m.SubscribedTopicRegex != "" {
			fmt.Fprintf(&b, " regex=%s", *m.SubscribedTopicRegex)
		}
		if m.MemberType == 0 {
			b.WriteString(" classic")
		}
		fmt.Fprintf(&b, " topics=%v has %s of %s", m.SubscribedTopics, showAssignment(m.Assignment), showAssignment(m.TargetAssignment))
	}
	return b.String()
}

func showAssignment(a kmsg.Assignment) string {
	set := partitionSet{}
	for _, t := range a.TopicPartitions {
		set[t.TopicID] = t.Partitions
	}
	return set.String()
}

// showConsumerRecord reads a record of a group of the type consumer as a loading
// coordinator does.
func showConsumerRecord(t require.TestingT, r Record) string {
	cfg := Defaults()
	s := newShard(&cfg, cfg.budget(), nil)
	kind := int16(binary.BigEndian.Uint16(r.Key))
	k := fields{}
	k.Src = r.Key[2:]
	id, of := k.String(), ""
	if len(k.Src) > 0 {
		of = k.String()
	}
	name := map[int16]string{
		keyConsumerGroup: "consumer group", keyMember: "member", keyTargetEpoch: "target epoch", keyTarget: "target", keyCurrent: "current", keyRegex: "regex",
	}[kind]
	what := strings.TrimRight(fmt.Sprintf("%s %s %s", name, id, of), " ")
	if r.Value == nil {
		return what + " gone"
	}
	require.NoError(t, s.load(r.Key, r.Value))
	c := s.groups[id].consumer
	m := c.members[of]
	switch kind {
	case keyConsumerGroup:
		return fmt.Sprintf("%s epoch=%d", what, c.epoch)
	case keyTargetEpoch:
		return fmt.Sprintf("%s %d", what, c.assigned)
	case keyTarget:
		return what + " " + m.target.String()
	case keyCurrent:
		state := map[memberState]string{memberStable: "stable", memberRevoking: "revoking", memberWaiting: "waiting"}[m.state]
		what += fmt.Sprintf(" epoch=%d<%d %s %s", m.epoch, m.previous, state, m.owned)
		if len(m.revoking) > 0 {
			what += " -" + m.revoking.String()
		}
	case keyRegex:
		what += fmt.Sprint(" ", c.regexes[of].topics)
	case keyMember:
		what += fmt.Sprint(" ", m.topics)
		for name, text := range map[string]*string{"instance": m.instance, "regex": m.regex, "assignor": m.assignor} {
			if text != nil {
				what += fmt.Sprintf(" %s=%s", name, *text)
			}
		}
		if m.classic != nil {
			what += " classic"
		}
	}
	return what
}

// checkConsumer holds the invariants of consumerGroup against c.
func checkConsumer(t require.TestingT, c *consumerGroup) {
	g := c.g
	require.Empty(t, g.members)
	require.Empty(t, g.pending)
	require.Nil(t, g.kept)
	require.Equal(t, Empty, g.state)
	require.LessOrEqual(t, c.assigned, c.epoch)
	var size int64
	owners, used := map[partitionOf]*subscriber{}, map[string]bool{}
	static := 0
	for id, m := range c.members {
		require.Equal(t, id, m.id)
		require.Same(t, c, m.c)
		if m.instance != nil {
			static++
			require.Same(t, m, c.static[*m.instance])
		}
		for _, set := range []partitionSet{m.owned, m.revoking} {
			for p := range set.each {
				require.Nil(t, owners[p], "%v has two owners", p)
				owners[p] = m
			}
			for _, ps := range set {
				require.NotEmpty(t, ps)
				require.True(t, slices.IsSorted(ps))
			}
		}
		require.Equal(t, m.revoking.len() > 0, m.state == memberRevoking && m.revoking.len() > 0)
		require.LessOrEqual(t, m.epoch, c.epoch)
		require.NotZero(t, m.timer.place, "member %s would never expire", id)
		if m.state == memberRevoking && m.classic == nil && m.epoch != leftForNow {
			require.NotZero(t, m.rebalanceTimer.place, "nothing ends the wait for %s to revoke", id)
		}
		require.Equal(t, m.size(), m.charged)
		size += m.charged
		used[textOf(m.regex)] = true
	}
	require.Equal(t, owners, c.owners)
	require.Len(t, c.static, static)
	for text, e := range c.regexes {
		require.True(t, used[text], "nobody subscribes with %q", text)
		size += e.size(text)
	}
	if len(c.members) > 0 && c.assigned == c.epoch {
		targets := map[partitionOf]bool{}
		for _, m := range c.members {
			for p := range m.target.each {
				require.False(t, targets[p], "%v is two members' target", p)
				targets[p] = true
			}
		}
	}
	require.Equal(t, size+g.offsetBytes+int64(groupOverhead+len(g.id)), g.bytes)
}
