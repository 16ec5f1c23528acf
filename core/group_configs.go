package core

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/group"
	"millrace/core/meta"
)

// A view is what the group coordinator sees of the broker.
var _ group.Metadata = (*view)(nil)

// TopicNamed implements group.Metadata.
func (v *view) TopicNamed(name string) (group.Topic, bool) { return seenByGroups(v.byName[name]) }

// TopicOf implements group.Metadata.
func (v *view) TopicOf(id [16]byte) (group.Topic, bool) { return seenByGroups(v.byID[id]) }

// TopicNames implements group.Metadata.
func (v *view) TopicNames() iter.Seq[string] { return maps.Keys(v.byName) }

// GroupConfig implements group.Metadata.
func (v *view) GroupConfig(group, name string) (string, bool) {
	text, ok := v.image.GroupConfigs(group)[name]
	return text, ok
}

func seenByGroups(t *topic) (group.Topic, bool) {
	if t == nil {
		return group.Topic{}, false
	}
	return group.Topic{Name: t.meta.Name, ID: t.meta.ID, Partitions: int32(len(t.partitions))}, true
}

// groupListing lists the settings of a group, whether or not there is one yet:
// its own, else the broker's.
func (b *Broker) groupListing(name string) ([]setting, *fault) {
	if name == "" {
		return nil, faultf(kerr.InvalidRequest, "Group name must not be empty")
	}
	own, out := b.view.Load().image.GroupConfigs(name), []setting(nil)
	for key, value := range b.cfg.Group.GroupSettings() {
		s := setting{name: key, value: value, kind: kmsg.ConfigTypeInt, source: kmsg.ConfigSourceDefaultConfig,
			doc: "as the broker's group." + key, synonyms: []synonym{{key, value, kmsg.ConfigSourceDefaultConfig}}}
		if text, ok := own[key]; ok {
			s.value, s.source = text, kmsg.ConfigSourceGroupConfig
			s.synonyms = []synonym{{key, text, s.source}}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func (b *Broker) alterGroup(image *meta.Image, a alteration) (meta.Record, *fault) {
	if a.name == "" {
		return nil, faultf(kerr.InvalidRequest, "Default group resources are not allowed.")
	}
	have, next := image.GroupConfigs(a.name), map[string]string{}
	if !a.replace {
		maps.Copy(next, have)
	}
	for _, o := range a.ops {
		switch o.op {
		case kmsg.IncrementalAlterConfigOpSet:
			next[o.name] = *o.value
		case kmsg.IncrementalAlterConfigOpDelete:
			delete(next, o.name)
		default:
			return nil, faultf(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.", o.op, o.name)
		}
	}
	if err := b.cfg.Group.CheckGroupSettings(next); err != nil {
		return nil, faultf(kerr.InvalidConfig, "%s", oneLine(err))
	}
	switch {
	case maps.Equal(have, next):
		return nil, nil
	case len(have) == 0 && image.ConfiguredGroups() >= b.cfg.Group.MaxGroups:
		return nil, faultf(kerr.PolicyViolation, "There are settings of as many groups as groups.max.count allows.")
	}
	return meta.GroupConfigured{Group: a.name, Configs: next}, nil
}
