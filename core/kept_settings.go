package core

import (
	"fmt"
	"regexp"
	"slices"
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

// keptBrokerSettings are Kafka's broker settings that change while it runs and
// have no effect here. Programs that move replicas give the rates, and look
// whether they are gone afterwards.
var keptBrokerSettings = []kept{
	{name: "background.threads", standard: "10", kind: kmsg.ConfigTypeInt, check: atLeast(1, 32)},
	{name: "num.io.threads", standard: "8", kind: kmsg.ConfigTypeInt, check: atLeast(1, 32)},
	{name: "num.network.threads", standard: "3", kind: kmsg.ConfigTypeInt, check: atLeast(1, 32)},
	{name: "num.replica.fetchers", standard: "1", kind: kmsg.ConfigTypeInt, check: atLeast(0, 32)},
	{name: "log.cleaner.threads", standard: "1", kind: kmsg.ConfigTypeInt, check: atLeast(0, 32)},
	{name: "leader.replication.throttled.rate", standard: "9223372036854775807", kind: kmsg.ConfigTypeLong, check: atLeast(0, 64)},
	{name: "follower.replication.throttled.rate", standard: "9223372036854775807", kind: kmsg.ConfigTypeLong, check: atLeast(0, 64)},
	{name: "replica.alter.log.dirs.io.max.bytes.per.second", standard: "9223372036854775807", kind: kmsg.ConfigTypeLong, check: atLeast(0, 64)},
	{name: "max.connections.per.ip", standard: "2147483647", kind: kmsg.ConfigTypeInt, check: atLeast(0, 32)},
	{name: "max.connection.creation.rate", standard: "2147483647", kind: kmsg.ConfigTypeInt, check: atLeast(0, 32)},
	{name: "transaction.partition.verification.enable", standard: "true", kind: kmsg.ConfigTypeBoolean, check: boolean},
}

// formerSettings are Kafka 3's: kept where they are given, and shown only then.
var formerSettings = map[string]bool{"message.downconversion.enable": true}

func keptSetting(name string) *kept { return keptIn(keptSettings, name) }

// keptBrokerSetting is nil for what Kafka has no such setting of either.
func keptBrokerSetting(name string) *kept { return keptIn(keptBrokerSettings, name) }

func keptIn(all []kept, name string) *kept {
	if i := slices.IndexFunc(all, func(k kept) bool { return k.name == name }); i >= 0 {
		return &all[i]
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
			return kafkaSays("Not a number of type %s", map[int]string{32: "INT", 64: "LONG"}[bits])
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
