package core

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kept is a topic setting of Kafka's without effect on one node that keeps its
// data on local disks: it is checked, kept and shown as Kafka does, so that the
// programs which give it run.
type kept struct {
	name, broker string // broker: Kafka's broker-level name; "": it tells of no default there
	standard     string
	kind         kmsg.ConfigType
	check        func(value string) error
	doc          string
}

// keptSettings is the one place that says which settings have no effect, and why.
var keptSettings = []kept{
	{"file.delete.delay.ms", "log.segment.delete.delay.ms", "60000", kmsg.ConfigTypeLong, atLeast(0, 64),
		"without effect: a segment's file goes at once, and with its last reader"},
	{"flush.messages", "log.flush.interval.messages", "9223372036854775807", kmsg.ConfigTypeLong, atLeast(1, 64),
		"without effect: sync.policy says when records are on the disk"},
	{"flush.ms", "", "9223372036854775807", kmsg.ConfigTypeLong, atLeast(0, 64),
		"without effect: sync.policy says when records are on the disk"},
	{"follower.replication.throttled.replicas", "", "", kmsg.ConfigTypeList, throttledReplicas,
		"without effect: there are no followers"},
	{"leader.replication.throttled.replicas", "", "", kmsg.ConfigTypeList, throttledReplicas,
		"without effect: there are no followers"},
	{"local.retention.bytes", "log.local.retention.bytes", "-2", kmsg.ConfigTypeLong, atLeast(-2, 64),
		"without effect: all is local; retention.bytes holds"},
	{"local.retention.ms", "log.local.retention.ms", "-2", kmsg.ConfigTypeLong, atLeast(-2, 64),
		"without effect: all is local; retention.ms holds"},
	{"remote.log.copy.disable", "", "false", kmsg.ConfigTypeBoolean, boolean,
		"without effect: there is no tiered storage"},
	{"remote.log.delete.on.disable", "", "false", kmsg.ConfigTypeBoolean, boolean,
		"without effect: there is no tiered storage"},
	{"remote.storage.enable", "", "false", kmsg.ConfigTypeBoolean, noTiers,
		"there is no tiered storage: only false"},
	{"unclean.leader.election.enable", "unclean.leader.election.enable", "false", kmsg.ConfigTypeBoolean, boolean,
		"without effect: the one replica leads"},
}

// formerSettings are Kafka 3's: kept where they are given, and shown only then.
var formerSettings = map[string]bool{"message.downconversion.enable": true}

func keptSetting(name string) *kept {
	for i := range keptSettings {
		if keptSettings[i].name == name {
			return &keptSettings[i]
		}
	}
	return nil
}

// frozen is the setting among the broker's knobs.
func (k *kept) frozen() frozen {
	return frozen{name: k.name, kafkaName: k.broker, value: k.standard, standard: k.standard, doc: k.doc, kind: k.kind,
		perTopic: true, topicOnly: k.broker == "", kept: k, wire: func(text string) string { return text }}
}

func (k *kept) valid(value string) error {
	if err := k.check(strings.TrimSpace(value)); err != nil {
		return kafkaSays("Invalid value %s for configuration %s: %v", value, k.name, err)
	}
	return nil
}

// kafkaSays is an error in Kafka's own words, which administrators' scripts match on, so with its
// capitals and full stops.
func kafkaSays(format string, args ...any) error { return kafkaError(fmt.Sprintf(format, args...)) }

type kafkaError string

func (e kafkaError) Error() string { return string(e) }

func atLeast(least int64, bits int) func(string) error {
	return func(value string) error {
		n, err := strconv.ParseInt(value, 10, bits)
		switch {
		case err != nil:
			return kafkaSays("Not a number of %d bits", bits)
		case n < least:
			return kafkaSays("Value must be at least %d", least)
		}
		return nil
	}
}

func boolean(value string) error {
	if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		return kafkaSays("Expected value to be either true or false")
	}
	return nil
}

func noTiers(value string) error {
	if strings.EqualFold(value, "true") {
		return kafkaSays("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return boolean(value)
}

var replicaAt = regexp.MustCompile(`^([0-9]+:[0-9]+)?$`)

func throttledReplicas(value string) error {
	if value == "*" {
		return nil
	}
	for _, at := range strings.Split(value, ",") {
		if !replicaAt.MatchString(strings.TrimSpace(at)) {
			return kafkaSays("Want * or a list of PARTITION:BROKER")
		}
	}
	return nil
}
