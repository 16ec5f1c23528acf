package core

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/meta"
	"millrace/diskio"
	"millrace/internal/knob"
)

// settings is what a topic goes by: the broker's knobs with the topic's own on
// top. Read-only.
type settings struct {
	TopicConfig
	disk    diskio.Config
	compact bool // cleanup.policy has compact: records need a key
	deletes bool // cleanup.policy has delete: records may be deleted by age or size
	// codec is what batches are stored with, where recompress says so.
	codec      batching.Codec
	level      int // of codec; 0: its default
	recompress bool
}

// topicSettings puts a topic's overrides over the broker's knobs. The error
// lists every fault.
func (c Config) topicSettings(overrides map[string]string) (*settings, error) {
	if len(overrides) > 0 {
		set := Knobs(&c) // c is a copy, so the broker's own stay as they are
		own := maps.Clone(overrides)
		maps.DeleteFunc(own, func(name, _ string) bool { return keptSetting(name) != nil || formerSettings[name] })
		for _, name := range slices.Sorted(maps.Keys(overrides)) {
			if k := keptSetting(name); k != nil {
				if err := k.valid(overrides[name]); err != nil {
					return nil, err
				}
			}
		}
		for name := range own {
			if k := topicKnob(set, name); k == nil {
				return nil, kafkaSays("Unknown topic config name: %s%s", name, knob.Suggest(name, topicKnobNames(set)))
			}
		}
		if err := set.Apply(own); err != nil {
			return nil, err
		}
		if err := set.Validate(); err != nil {
			return nil, err
		}
	}
	s := &settings{TopicConfig: c.Topic, disk: c.Disk}
	s.compact = strings.Contains(c.Topic.CleanupPolicy, "compact")
	s.deletes = strings.Contains(c.Topic.CleanupPolicy, "delete")
	if s.compact { // the active segment is not compacted: it must not stay so for longer
		s.disk.SegmentTime = min(s.disk.SegmentTime, c.Topic.Compact.MaxLag)
	}
	if !s.deletes {
		s.disk.RetentionTime, s.disk.RetentionBytes = -1, -1
	}
	if c.Topic.CompressionType != CompressionProducer {
		name := c.Topic.CompressionType
		if name == "uncompressed" {
			name = "none"
		}
		codec, err := batching.ParseCodec(name)
		if err != nil {
			panic("BUG: compression.type: " + err.Error())
		}
		s.codec, s.level, s.recompress = codec, c.Topic.level(codec), true
	}
	return s, nil
}

// topicKnob finds a knob that a topic may override, by its topic-level name.
func topicKnob(set *knob.Set, name string) *knob.Knob {
	if k := set.Lookup(name); k != nil && k.PerTopic && (k.Name == name || k.TopicName == name) {
		return k
	}
	return nil
}

func topicKnobNames(set *knob.Set) []string {
	var names []string
	for _, k := range set.All() {
		if k.PerTopic {
			names = append(names, cmp.Or(k.TopicName, k.Name))
		}
	}
	for _, k := range keptSettings {
		names = append(names, k.name)
	}
	return names
}

// setting is one line of what DescribeConfigs and CreateTopics tell.
type setting struct {
	name, value, doc string
	kind             kmsg.ConfigType
	source           kmsg.ConfigSource
	readOnly         bool
	sensitive        bool // the value is not told
	synonyms         []synonym
}

// synonym is one place where a setting's value may come from, the strongest
// first.
type synonym struct {
	name, value string
	source      kmsg.ConfigSource
}

// topicListing lists the settings of a topic with these overrides, by name.
func (b *Broker) topicListing(overrides map[string]string) []setting {
	var out []setting
	for _, k := range b.knobs {
		if k.perTopic {
			out = append(out, k.topicSetting(overrides, b.view.Load().image, b.node))
		}
	}
	for name, value := range overrides {
		if formerSettings[name] {
			out = append(out, setting{name: name, value: value, kind: kmsg.ConfigTypeString,
				source:   kmsg.ConfigSourceDynamicTopicConfig,
				synonyms: []synonym{{name, value, kmsg.ConfigSourceDynamicTopicConfig}}})
		}
	}
	slices.SortFunc(out, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return out
}

// frozen is a knob as the broker was started with it.
type frozen struct {
	name, kafkaName string
	value, standard string // as Kafka writes them on the wire; standard: the default
	doc             string
	kind            kmsg.ConfigType
	perTopic        bool
	topicName       string                   // where topics call it otherwise than name
	topicOnly       bool                     // the broker has no such setting, or none with a default
	kept            *kept                    // nil: a knob
	wire            func(text string) string // a topic's own value, as Kafka writes it
}

// freeze takes down what DescribeConfigs tells of the knobs of c.
func (c Config) freeze() []frozen {
	now := Knobs(&c).All()
	d := Defaults()
	standard := Knobs(&d)
	out := make([]frozen, 0, len(now))
	for _, k := range now {
		out = append(out, frozen{
			name: k.Name, topicName: k.TopicName, kafkaName: k.KafkaName, doc: k.Doc, perTopic: k.PerTopic,
			topicOnly: k.Name == "segment.jitter.ms", // Kafka's broker has it, without a default
			value:     wireForm(k.Kind)(k.Value()), standard: wireForm(k.Kind)(standard.Lookup(k.Name).Value()),
			kind: configType(k), wire: wireForm(k.Kind),
		})
	}
	for i := range keptSettings {
		out = append(out, keptSettings[i].frozen())
	}
	return out
}

func (k *frozen) brokerName() string {
	if k.kafkaName != "" {
		return k.kafkaName
	}
	return k.name
}

func (k *frozen) topicSetting(overrides map[string]string, image *meta.Image, node int32) setting {
	name := cmp.Or(k.topicName, k.name)
	s := setting{name: name, doc: k.doc, kind: k.kind, synonyms: k.brokerSynonyms(image, node)}
	s.value, s.source = k.brokerValue(image, node)
	text, ok := overrides[k.name]
	if !ok {
		text, ok = overrides[name]
	}
	if ok {
		s.value, s.source = k.wire(text), kmsg.ConfigSourceDynamicTopicConfig
		s.synonyms = append([]synonym{{name, s.value, s.source}}, s.synonyms...)
	}
	return s
}

// configType is the type that Kafka gives a setting; all our sizes and times are
// 64 bits wide, but clients may look.
func configType(k *knob.Knob) kmsg.ConfigType {
	switch k.Name {
	case "max.message.bytes", "segment.bytes", "segment.index.bytes", "index.interval.bytes", "fetch.max.bytes":
		return kmsg.ConfigTypeInt
	case "cleanup.policy":
		return kmsg.ConfigTypeList
	case "min.cleanable.dirty.ratio":
		return kmsg.ConfigTypeDouble
	}
	switch k.Kind {
	case knob.Bool:
		return kmsg.ConfigTypeBoolean
	case knob.Int:
		return kmsg.ConfigTypeInt
	case knob.Bytes, knob.Duration:
		return kmsg.ConfigTypeLong
	}
	return kmsg.ConfigTypeString
}

// wireForm writes a value given as text the way Kafka would.
func wireForm(kind knob.Kind) func(string) string {
	return func(text string) string {
		switch kind {
		case knob.Bytes:
			if n, err := knob.ParseBytes(text); err == nil {
				return fmt.Sprint(n)
			}
		case knob.Duration:
			if d, err := knob.ParseDuration(text); err == nil {
				switch d {
				case -1:
					return "-1"
				case forever:
					return fmt.Sprint(math.MaxInt64) // Kafka's word for it
				}
				return fmt.Sprint(d.Milliseconds())
			}
		}
		return text
	}
}
