package core

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// A broker's settings that change while it runs are those that topics go by
// where they have none of their own. They are kept in the metadata, by Kafka's
// broker-level names, in two layers: for all brokers, and over that for one.
// What is given at the start lies beneath both.

// liveConfig takes up what the image says of this broker's settings; true: it
// says something else than before.
func (b *Broker) liveConfig(before, image *meta.Image) (changed bool) {
	if before != nil && maps.Equal(before.BrokerConfigs(meta.AllBrokers), image.BrokerConfigs(meta.AllBrokers)) &&
		maps.Equal(before.BrokerConfigs(b.node), image.BrokerConfigs(b.node)) {
		return false
	}
	c := b.cfg
	set := Knobs(&c)
	for _, layer := range b.layers(image) {
		for _, name := range slices.Sorted(maps.Keys(layer.configs)) {
			if k := set.Lookup(name); k == nil || !k.PerTopic {
				continue // of no meaning here, as Kafka too keeps what it does not know
			}
			if err := set.Set(name, layer.configs[name]); err != nil {
				b.log.Error("a broker setting does not hold any more; using what lies beneath", "err", oneLine(err))
			}
		}
	}
	if err := set.Validate(); err != nil {
		b.log.Error("the broker settings do not go together any more; using those of the start", "err", oneLine(err))
		c = b.cfg
	}
	b.live.Store(&c)
	return true
}

// layer is the settings given in one place, and what DescribeConfigs calls it.
type layer struct {
	configs map[string]string
	source  kmsg.ConfigSource
}

// layers are the places of dynamic settings, the weakest first.
func (b *Broker) layers(image *meta.Image) []layer { return brokerLayers(image, b.node) }

func brokerLayers(image *meta.Image, node int32) []layer {
	return []layer{
		{image.BrokerConfigs(meta.AllBrokers), kmsg.ConfigSourceDynamicDefaultBrokerConfig},
		{image.BrokerConfigs(node), kmsg.ConfigSourceDynamicBrokerConfig},
	}
}

// brokerSynonyms are the places that the broker's value of a knob may come from.
func (k *frozen) brokerSynonyms(image *meta.Image, node int32) []synonym {
	var out []synonym
	if k.perTopic {
		for _, l := range slices.Backward(brokerLayers(image, node)) {
			if text, ok := l.configs[k.brokerName()]; ok {
				out = append(out, synonym{k.brokerName(), k.wire(text), l.source})
			}
		}
	}
	if k.value != k.standard {
		out = append(out, synonym{k.brokerName(), k.value, kmsg.ConfigSourceStaticBrokerConfig})
	}
	if k.topicOnly {
		return out
	}
	return append(out, synonym{k.brokerName(), k.standard, kmsg.ConfigSourceDefaultConfig})
}

// brokerValue is what the broker goes by, and where that comes from.
func (k *frozen) brokerValue(image *meta.Image, node int32) (string, kmsg.ConfigSource) {
	if all := k.brokerSynonyms(image, node); len(all) > 0 {
		return all[0].value, all[0].source
	}
	return k.standard, kmsg.ConfigSourceDefaultConfig
}

// brokerListing lists the settings of the broker, by name.
func (b *Broker) brokerListing() []setting {
	image := b.view.Load().image
	var out []setting
	for _, k := range b.knobs {
		if k.kept != nil && k.topicOnly {
			continue
		}
		s := setting{name: k.brokerName(), doc: k.doc, kind: k.kind, readOnly: !k.perTopic, synonyms: k.brokerSynonyms(image, b.node)}
		s.value, s.source = k.brokerValue(image, b.node)
		out = append(out, s)
	}
	standards := layer{configs: map[string]string{}, source: kmsg.ConfigSourceDefaultConfig}
	for _, k := range keptBrokerSettings {
		standards.configs[k.name] = k.standard
	}
	out = append(out, b.withoutEffect(slices.Insert(b.layers(image), 0, standards))...)
	slices.SortFunc(out, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return out
}

// withoutEffect lists what the layers, the weakest first, have of settings that
// no knob stands for: what Kafka knows as it was given, what it does not as it
// would, without the value.
func (b *Broker) withoutEffect(layers []layer) []setting {
	given := map[string]*setting{}
	for _, l := range slices.Backward(layers) {
		for name, value := range l.configs {
			if b.brokerKnob(name) != nil {
				continue
			}
			s := given[name]
			if s == nil {
				s = &setting{name: name, value: value, source: l.source}
				if k := keptBrokerSetting(name); k != nil {
					s.kind, s.doc = k.kind, "without effect"
				} else {
					s.readOnly, s.sensitive = true, true
				}
				given[name] = s
			}
			s.synonyms = append(s.synonyms, synonym{name, value, l.source})
		}
	}
	var out []setting
	for _, s := range given {
		out = append(out, *s)
	}
	return out
}

// allBrokersListing lists what was given to all brokers.
func (b *Broker) allBrokersListing() []setting {
	all := b.layers(b.view.Load().image)[:1]
	out := b.withoutEffect(all)
	for name, value := range all[0].configs {
		if k := b.brokerKnob(name); k != nil {
			s := setting{name: name, value: k.wire(value), doc: k.doc, kind: k.kind, source: all[0].source}
			s.synonyms = []synonym{{name, s.value, s.source}}
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return out
}

// brokerKnob finds a knob by its broker-level name; nil: none.
func (b *Broker) brokerKnob(name string) *frozen {
	i := slices.IndexFunc(b.knobs, func(k frozen) bool { return k.brokerName() == name && (k.kept == nil || !k.topicOnly) })
	if i < 0 {
		return nil
	}
	return &b.knobs[i]
}

// alterBroker checks a change of a broker's settings, or ("") of all brokers'.
func (b *Broker) alterBroker(image *meta.Image, a alteration) (meta.Record, *fault) {
	node := meta.AllBrokers
	if a.name != "" {
		id, err := strconv.Atoi(a.name)
		if err != nil {
			return nil, faultf(kerr.InvalidRequest, "Node id must be an integer, but it is: %s", a.name)
		}
		if id != int(b.node) {
			return nil, faultf(kerr.InvalidRequest, "Unexpected broker id, expected %d, but received %s", b.node, a.name)
		}
		node = b.node
	}
	have, next := image.BrokerConfigs(node), map[string]string{}
	if !a.replace {
		maps.Copy(next, have)
	}
	var fixed []string
	for _, o := range a.ops {
		k := b.brokerKnob(o.name)
		switch {
		case o.op == kmsg.IncrementalAlterConfigOpDelete:
			delete(next, o.name) // of what cannot be given there is nothing to take back
		case k != nil && !k.perTopic:
			fixed = append(fixed, o.name)
		case o.op == kmsg.IncrementalAlterConfigOpSet:
			next[o.name] = *o.value
		default:
			if k == nil || k.kind != kmsg.ConfigTypeList {
				return nil, faultf(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.", o.op, o.name)
			}
			text, ok := next[o.name]
			if !ok {
				text, _ = k.brokerValue(image, b.node)
			}
			next[o.name] = editList(text, o)
		}
	}
	if len(fixed) > 0 {
		slices.Sort(fixed)
		return nil, faultf(kerr.InvalidRequest, "Cannot update these configs dynamically: Set(%s)", strings.Join(fixed, ", "))
	}
	if len(next) > maxBrokerConfigs {
		return nil, faultf(kerr.InvalidRequest, "More than %d settings for one broker", maxBrokerConfigs)
	}
	if err := b.checkBrokerConfigs(next); err != nil {
		return nil, faultf(kerr.InvalidRequest, "%s", oneLine(err))
	}
	if maps.Equal(have, next) {
		return nil, nil
	}
	return meta.BrokerConfigured{Node: node, Configs: next}, nil
}

// maxBrokerConfigs bounds what is kept of settings that mean nothing here.
const maxBrokerConfigs = 1000

// checkBrokerConfigs says what is wrong with the settings of one layer.
func (b *Broker) checkBrokerConfigs(configs map[string]string) error {
	c := b.cfg
	set := Knobs(&c)
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		k, keeps := b.brokerKnob(name), keptBrokerSetting(name)
		if k != nil {
			keeps = k.kept
		}
		if keeps != nil {
			if err := keeps.valid(configs[name]); err != nil {
				return err
			}
			continue
		}
		if k == nil {
			continue
		}
		if err := set.Set(name, configs[name]); err != nil {
			return err
		}
	}
	return set.Validate()
}
