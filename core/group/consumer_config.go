package group

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/internal/knob"
)

// ConsumerConfig is the settings of groups of the type consumer (KIP-848), under
// Kafka's names and with its defaults.
type ConsumerConfig struct {
	Protocols string // what is served: classic, and consumer

	Session, SessionMin, SessionMax       time.Duration
	Heartbeat, HeartbeatMin, HeartbeatMax time.Duration

	MaxMembers int
	Assignors  string // the first is taken where no member has a wish
	Migration  string
}

// The ways in which a group may change its type while it has members.
const (
	MigrateNone = "disabled"
	MigrateUp   = "upgrade"
	MigrateDown = "downgrade"
	MigrateBoth = "bidirectional"
)

func (c *ConsumerConfig) register(s *knob.Set) {
	within := knob.Within(time.Millisecond, math.MaxInt32*time.Millisecond)
	s.String(&c.Protocols, "group.coordinator.rebalance.protocols", "group protocols served: classic, and with consumer those of KIP-848 too")
	s.Duration(&c.Session, "group.consumer.session.timeout.ms", "how long a member of a consumer group (KIP-848) may not be heard of", within)
	s.Duration(&c.SessionMin, "group.consumer.min.session.timeout.ms", "least that a group's consumer.session.timeout.ms may be", within)
	s.Duration(&c.SessionMax, "group.consumer.max.session.timeout.ms", "most that a group's consumer.session.timeout.ms may be", within)
	s.Duration(&c.Heartbeat, "group.consumer.heartbeat.interval.ms", "how often members of a consumer group are to send heartbeats", within)
	s.Duration(&c.HeartbeatMin, "group.consumer.min.heartbeat.interval.ms", "least that a group's consumer.heartbeat.interval.ms may be", within)
	s.Duration(&c.HeartbeatMax, "group.consumer.max.heartbeat.interval.ms", "most that a group's consumer.heartbeat.interval.ms may be", within)
	s.Int(&c.MaxMembers, "group.consumer.max.size", "most members of one consumer group", knob.Range(1, math.MaxInt32))
	s.String(&c.Assignors, "group.consumer.assignors", "server-side assignors, the default first: uniform, range")
	s.Enum(&c.Migration, "group.consumer.migration.policy", []string{MigrateNone, MigrateUp, MigrateDown, MigrateBoth}, "whether a group with members may turn from classic to consumer (upgrade) and back")
	s.Rule(c.check)
}

func (c *ConsumerConfig) check() error {
	if err := words("group.coordinator.rebalance.protocols", c.Protocols, "classic", "consumer"); err != nil {
		return err
	}
	if !slices.Contains(list(c.Protocols), "classic") {
		return fmt.Errorf("group.coordinator.rebalance.protocols has no classic, which cannot be left out")
	}
	if err := words("group.consumer.assignors", c.Assignors, "uniform", "range"); err != nil {
		return err
	}
	for _, r := range []struct {
		name             string
		least, now, most time.Duration
	}{
		{"session.timeout.ms", c.SessionMin, c.Session, c.SessionMax},
		{"heartbeat.interval.ms", c.HeartbeatMin, c.Heartbeat, c.HeartbeatMax},
	} {
		if r.now < r.least || r.now > r.most {
			return fmt.Errorf("group.consumer.%s is %s, not within group.consumer.min.%[1]s (%[3]s) and group.consumer.max.%[1]s (%[4]s)", r.name, r.now, r.least, r.most)
		}
	}
	if c.Heartbeat >= c.Session {
		return fmt.Errorf("group.consumer.heartbeat.interval.ms is not below group.consumer.session.timeout.ms")
	}
	return nil
}

// words: text is a list of some of these, and not empty.
func words(name, text string, known ...string) error {
	all := list(text)
	if len(all) == 0 {
		return fmt.Errorf("%s is empty; it takes %s", name, strings.Join(known, ", "))
	}
	for _, w := range all {
		if !slices.Contains(known, w) {
			return fmt.Errorf("%s: %q is none of %s", name, w, strings.Join(known, ", "))
		}
	}
	return nil
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func (c *Config) servesConsumerProtocol() bool {
	return slices.Contains(list(c.Consumer.Protocols), "consumer")
}

func (c *Config) assignors() []string { return list(c.Consumer.Assignors) }

func (c *Config) upgrades() bool {
	return c.Consumer.Migration == MigrateUp || c.Consumer.Migration == MigrateBoth
}

func (c *Config) downgrades() bool {
	return c.Consumer.Migration == MigrateDown || c.Consumer.Migration == MigrateBoth
}

// GroupSettings are the settings that a group can be given, with the broker's
// values: those that count where it has none.
func (c *Config) GroupSettings() map[string]string {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return map[string]string{SessionTimeoutConfig: ms(c.Consumer.Session), HeartbeatIntervalConfig: ms(c.Consumer.Heartbeat)}
}

// CheckGroupSettings finds what is wrong with settings to be given to a group.
func (c *Config) CheckGroupSettings(settings map[string]string) error {
	own, changed := *c, ""
	for name, text := range settings {
		ms, err := strconv.ParseInt(text, 10, 32)
		if _, known := c.GroupSettings()[name]; !known {
			return fmt.Errorf("unknown group config name: %s", name)
		}
		if err != nil || ms < 1 {
			return fmt.Errorf("%s: %q is no number of milliseconds", name, text)
		}
		d := time.Duration(ms) * time.Millisecond
		changed += " " + name
		switch name {
		case SessionTimeoutConfig:
			own.Consumer.Session = d
		case HeartbeatIntervalConfig:
			own.Consumer.Heartbeat = d
		}
	}
	if err := own.Consumer.check(); err != nil {
		return fmt.Errorf("with the group's own%s: %w", changed, err)
	}
	return nil
}
