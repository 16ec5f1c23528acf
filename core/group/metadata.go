package group

import (
	"hash/fnv"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Metadata is what the coordinator has to know of topics and of groups' settings,
// at one point in time: it never changes, another takes its place. It must be
// comparable, and equal only to itself.
type Metadata interface {
	// TopicNamed finds a topic by its name.
	TopicNamed(name string) (Topic, bool)
	// TopicOf finds a topic by its id.
	TopicOf(id [16]byte) (Topic, bool)
	// TopicNames yields the names of all topics, in any order.
	TopicNames() iter.Seq[string]
	// GroupConfig is a setting that a group was given; false: it has none.
	GroupConfig(group, name string) (string, bool)
}

// Topic is a topic as the coordinator sees it.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
}

// The settings of a group that the coordinator heeds, by Kafka's names.
const (
	SessionTimeoutConfig    = "consumer.session.timeout.ms"
	HeartbeatIntervalConfig = "consumer.heartbeat.interval.ms"
)

// nothing is the metadata of a broker without topics.
type nothing struct{}

func (nothing) TopicNamed(string) (Topic, bool)           { return Topic{}, false }
func (nothing) TopicOf([16]byte) (Topic, bool)            { return Topic{}, false }
func (nothing) TopicNames() iter.Seq[string]              { return func(func(string) bool) {} }
func (nothing) GroupConfig(string, string) (string, bool) { return "", false }

// groupDuration is a group's own setting, else the broker's.
func (s *shard) groupDuration(group, name string, broker time.Duration) time.Duration {
	text, ok := s.metadata.GroupConfig(group, name)
	if !ok {
		return broker
	}
	ms, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return broker
	}
	return time.Duration(ms) * time.Millisecond
}

// hashOf tells whether topics have changed: their ids and sizes. 0: there are
// none.
func hashOf(m Metadata, topics map[string]struct{}) int64 {
	h, any := fnv.New64a(), false
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		if t, ok := m.TopicNamed(name); ok {
			any = true
			_, _ = h.Write(t.ID[:])
			_, _ = h.Write(strconv.AppendInt([]byte(name+" "), int64(t.Partitions), 10))
		}
	}
	if !any {
		return 0
	}
	return int64(h.Sum64())
}
