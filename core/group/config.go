package group

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"millrace/internal/knob"
)

// Config is the coordinator's settings, under Kafka's names where Kafka has
// them.
type Config struct {
	SessionMin   time.Duration
	SessionMax   time.Duration
	InitialDelay time.Duration
	MaxMembers   int

	Consumer ConsumerConfig

	MetadataMax       int64 // of one committed offset, in UTF-16 units as Kafka counts
	RetentionMinutes  int
	RetentionInterval time.Duration

	// What __consumer_offsets gets when it is created.
	Partitions   int
	SegmentBytes int64

	// What keeps a peer from filling the memory; Kafka has no such bounds.
	MaxGroups     int
	MaxGroupBytes int64
	MaxTotalBytes int64
}

// Defaults is Kafka's.
func Defaults() Config {
	return Config{
		SessionMin:   6 * time.Second,
		SessionMax:   30 * time.Minute,
		InitialDelay: 3 * time.Second,
		MaxMembers:   math.MaxInt32,

		Consumer: ConsumerConfig{
			Protocols: "classic,consumer",
			Session:   45 * time.Second, SessionMin: 45 * time.Second, SessionMax: 60 * time.Second,
			Heartbeat: 5 * time.Second, HeartbeatMin: 5 * time.Second, HeartbeatMax: 15 * time.Second,
			MaxMembers: math.MaxInt32, Assignors: "uniform,range", Migration: MigrateBoth,
		},

		MetadataMax:       4096,
		RetentionMinutes:  7 * 24 * 60,
		RetentionInterval: 10 * time.Minute,

		Partitions:   50,
		SegmentBytes: 100 << 20,

		MaxGroups:     100_000,
		MaxGroupBytes: 8 << 20,
		MaxTotalBytes: 256 << 20,
	}
}

// Register declares the knobs.
func (c *Config) Register(s *knob.Set) {
	s.Duration(&c.SessionMin, "group.min.session.timeout.ms", "shortest session timeout a group member may ask for", knob.Within(0, math.MaxInt32*time.Millisecond))
	s.Duration(&c.SessionMax, "group.max.session.timeout.ms", "longest session timeout a group member may ask for", knob.Within(0, math.MaxInt32*time.Millisecond))
	s.Duration(&c.InitialDelay, "group.initial.rebalance.delay.ms", "how long an empty group waits for more members before its first rebalance", knob.Within(0, math.MaxInt32*time.Millisecond))
	s.Int(&c.MaxMembers, "group.max.size", "most members of one group", knob.Range(1, math.MaxInt32))
	c.Consumer.register(s)
	s.Bytes(&c.MetadataMax, "offset.metadata.max.bytes", "longest metadata of one committed offset", knob.Range(0, math.MaxInt16/3)) // 3 UTF-8 bytes a unit still fit a record
	s.Int(&c.RetentionMinutes, "offsets.retention.minutes", "how long the offsets of an empty group, or of a topic no longer subscribed to, are kept", knob.Range(1, math.MaxInt32))
	s.Duration(&c.RetentionInterval, "offsets.retention.check.interval.ms", "how often offsets past their retention are looked for", knob.Within(time.Millisecond, 365*24*time.Hour))
	s.Int(&c.Partitions, "offsets.topic.num.partitions", "partitions of __consumer_offsets when it is created; fixed from then on", knob.Range(1, 10000))
	s.Bytes(&c.SegmentBytes, "offsets.topic.segment.bytes", "segment.bytes of __consumer_offsets when it is created", knob.Range(1<<20, math.MaxInt32))
	s.Int(&c.MaxGroups, "groups.max.count", "most groups the broker coordinates", knob.Range(1, math.MaxInt32))
	s.Bytes(&c.MaxGroupBytes, "group.max.bytes", "most memory of one group: members, assignments and offsets", knob.Range(1<<10, 1<<40))
	s.Bytes(&c.MaxTotalBytes, "groups.max.bytes", "most memory of all groups together", knob.Range(1<<10, 1<<40))
	s.Rule(func() error {
		if c.SessionMin > c.SessionMax {
			return errors.New("group.min.session.timeout.ms is above group.max.session.timeout.ms")
		}
		return nil
	})
	s.Rule(func() error {
		if c.MaxGroupBytes > c.MaxTotalBytes {
			return errors.New("group.max.bytes is above groups.max.bytes")
		}
		return nil
	})
}

// budget is what all shards together may still take. Its limits hold but for
// what shards take at the same instant, at most one request each.
type budget struct {
	groups, bytes       atomic.Int64
	maxGroups, maxBytes int64
}

func (c *Config) budget() *budget {
	return &budget{maxGroups: int64(c.MaxGroups), maxBytes: c.MaxTotalBytes}
}

func (b *budget) roomForGroup() bool        { return b.groups.Load() < b.maxGroups }
func (b *budget) roomForBytes(n int64) bool { return n <= 0 || b.bytes.Load()+n <= b.maxBytes }
