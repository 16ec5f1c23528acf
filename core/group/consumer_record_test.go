package group

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sampleConsumer is a group with something in every field.
func sampleConsumer() *consumerGroup {
	cfg := Defaults()
	s := newShard(&cfg, cfg.budget(), nil)
	g := s.create("g", 0)
	c := newConsumerGroup(g)
	g.consumer, c.epoch, c.assigned, c.hash = c, 3, 2, -5
	m := s.newSubscriber(c, "m")
	m.instance, m.rack, m.regex, m.assignor = textOrNil("i"), textOrNil("r"), textOrNil("t.*"), textOrNil("range")
	m.clientID, m.host, m.topics, m.rebalance = "c", "/h", []string{"t", "u"}, time.Minute
	m.classic = &classicSide{session: time.Second, protocols: []protocol{{"range", []byte{0, 1, 0, 0, 0, 0}}}}
	m.epoch, m.previous, m.state = 2, 1, memberRevoking
	m.owned, m.revoking = partitionSet{topicID("t"): {0, 2}}, partitionSet{topicID("t"): {1}, topicID("u"): {7}}
	m.target = partitionSet{topicID("t"): {0, 2, 3}}
	c.add(m)
	e := &expression{topics: []string{"t", "tt"}, resolved: 9}
	e.re, _ = compile("t.*")
	c.regexes["t.*"] = e
	g.grow(e.size("t.*"))
	return c
}

// TestConsumerRecords: what is read back is what was written.
func TestConsumerRecords(t *testing.T) {
	cfg := Defaults()
	s := newShard(&cfg, cfg.budget(), nil)
	c := sampleConsumer()
	for _, r := range c.records() {
		require.NoError(t, s.load(r.Key, r.Value))
	}
	s.loaded(time.UnixMilli(0))
	require.Equal(t, c.records(), s.groups["g"].consumer.records())
	checkGroup(t, s.groups["g"])
	for _, r := range c.tombstones() {
		require.NoError(t, s.load(r.Key, r.Value))
	}
	require.Empty(t, s.groups)

	// Cut short anywhere, a value is refused and changes nothing.
	for _, r := range c.records() {
		for n := range r.Value {
			s := newShard(&cfg, cfg.budget(), nil)
			require.Error(t, s.load(r.Key, r.Value[:n]), "%x of %x", r.Value[:n], r.Value)
			require.Empty(t, s.groups)
		}
		unknown := append([]byte{0, 1}, r.Value[2:]...)
		require.ErrorContains(t, newShard(&cfg, cfg.budget(), nil).load(r.Key, unknown), "version 1")
	}
}

// TestKafkasRecords reads what Apache Kafka 4.1.0 wrote to __consumer_offsets for a
// few groups (testdata/consumer_records.kafka: key and value in hex, in the order of
// the log), and would write it the same way.
func TestKafkasRecords(t *testing.T) {
	text, err := os.ReadFile("testdata/consumer_records.kafka")
	require.NoError(t, err)
	cfg := Defaults()
	s := newShard(&cfg, cfg.budget(), nil)
	last, kinds := map[string]string{}, map[byte]int{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		key, err := hex.DecodeString(words[0])
		require.NoError(t, err)
		var value []byte
		if delete(last, words[0]); len(words) > 1 {
			value, err = hex.DecodeString(words[1])
			require.NoError(t, err)
			last[words[0]] = words[1]
		}
		kinds[key[1]]++
		require.NoError(t, s.load(key, value), line)
	}
	for _, kind := range []int16{keyConsumerGroup, keyMember, keyTargetEpoch, keyTarget, keyCurrent, keyRegex} {
		require.NotZero(t, kinds[byte(kind)], "no record of type %d", kind)
	}
	got := map[string]string{}
	for _, g := range s.sorted() {
		if g.consumer == nil {
			continue
		}
		for _, r := range g.consumer.records() {
			got[hex.EncodeToString(r.Key)] = hex.EncodeToString(r.Value)
		}
	}
	compared := 0
	for key, want := range last {
		kind := int16(key[3]-'0') | int16(key[2]-'0')<<4
		switch {
		case kind < keyConsumerGroup || kind == keyTopics:
		case kind == keyRegex: // ends in the version of Kafka's own metadata
			require.NotEmpty(t, got[key])
		default:
			require.Equal(t, want, got[key], "key %s", key)
			compared++
		}
	}
	require.Greater(t, compared, 10)
}
