package core

import (
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// alteration is what one resource of AlterConfigs or IncrementalAlterConfigs
// asks for.
type alteration struct {
	kind kmsg.ConfigResourceType
	name string
	// replace: what is not among the ops goes back to the broker's (AlterConfigs).
	replace bool
	ops     []configOp
}

type configOp struct {
	op    kmsg.IncrementalAlterConfigOp
	name  string
	value *string
}

// alter makes the alterations, those without a fault in one change of the
// metadata, and answers a fault or nil for each. A change holds for the next
// request: partitions take their settings, and their logs', from it at once;
// retention acts on it at its next round.
func (b *Broker) alter(asked []alteration, validateOnly bool) []*fault {
	faults := make([]*fault, len(asked))
	type resource struct {
		kind kmsg.ConfigResourceType
		name string
	}
	times := map[resource]int{}
	for _, a := range asked {
		times[resource{a.kind, a.name}]++
	}
	err := b.change(func(image *meta.Image) ([]meta.Record, error) {
		var records []meta.Record
		for i, a := range asked {
			if times[resource{a.kind, a.name}] > 1 {
				faults[i] = faultf(kerr.InvalidRequest, "Each resource must appear at most once.")
				continue
			}
			record, f := b.alterOne(image, a)
			if faults[i] = f; f == nil && record != nil && !validateOnly {
				records = append(records, record)
			}
		}
		return records, nil
	})
	if err != nil {
		for i := range faults {
			if faults[i] == nil {
				faults[i] = changeFault(err)
			}
		}
	}
	return faults
}

// alterOne checks one alteration; nil without a fault: nothing changes.
func (b *Broker) alterOne(image *meta.Image, a alteration) (meta.Record, *fault) {
	if f := a.malformed(); f != nil {
		return nil, f
	}
	switch a.kind {
	case kmsg.ConfigResourceTypeTopic:
		return b.alterTopic(image, a)
	case kmsg.ConfigResourceTypeBroker:
		return b.alterBroker(image, a)
	case kmsg.ConfigResourceTypeGroupConfig:
		return b.alterGroup(image, a)
	}
	return nil, faultf(kerr.InvalidRequest, "Unknown resource type %d", a.kind)
}

// malformed finds what is wrong whatever the resource is.
func (a alteration) malformed() *fault {
	seen := map[string]bool{}
	var null []string
	for _, o := range a.ops {
		if seen[o.name] {
			return faultf(kerr.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[o.name] = true
		switch o.op {
		case kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			if o.value == nil {
				null = append(null, o.name)
			}
		case kmsg.IncrementalAlterConfigOpDelete:
		default:
			return faultf(kerr.InvalidRequest, "Unknown operation type %d for config %s", o.op, o.name)
		}
	}
	if len(null) > 0 {
		return faultf(kerr.InvalidRequest, "Null value not supported for : %s", strings.Join(null, ","))
	}
	return nil
}

func (b *Broker) alterTopic(image *meta.Image, a alteration) (meta.Record, *fault) {
	if a.replace && a.name == "" {
		return nil, faultf(kerr.InvalidRequest, "The settings of all topics at once cannot be replaced: name one.")
	}
	if f := topicNameFault(a.name); f != "" {
		return nil, faultf(kerr.InvalidTopicException, "%s", f)
	}
	t := image.Topic(a.name)
	if t == nil {
		return nil, faultf(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", a.name)
	}
	next := map[string]string{}
	if !a.replace {
		maps.Copy(next, t.Configs)
	}
	for _, o := range a.ops {
		switch o.op {
		case kmsg.IncrementalAlterConfigOpSet:
			next[o.name] = *o.value
		case kmsg.IncrementalAlterConfigOpDelete:
			delete(next, o.name)
		default:
			list, f := b.alterList(next, o)
			if f != nil {
				return nil, f
			}
			next[o.name] = list
		}
	}
	if _, err := b.live.Load().topicSettings(next); err != nil {
		return nil, faultf(kerr.InvalidConfig, "%s", oneLine(err))
	}
	if maps.Equal(next, t.Configs) {
		return nil, nil
	}
	return meta.TopicConfigured{Topic: t.ID, Configs: next}, nil
}

// alterList is a list with the op's words added or taken out; where the topic
// has none of its own, the broker's is what is added to.
func (b *Broker) alterList(have map[string]string, o configOp) (string, *fault) {
	i := slices.IndexFunc(b.knobs, func(k frozen) bool { return k.perTopic && (k.name == o.name || k.topicName == o.name) })
	if i < 0 || b.knobs[i].kind != kmsg.ConfigTypeList {
		return "", faultf(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.", o.op, o.name)
	}
	text, ok := have[o.name]
	if !ok {
		text, _ = b.knobs[i].brokerValue(b.view.Load().image, b.node)
	}
	return editList(text, o), nil
}

// editList adds the op's words to a list, or takes them out.
func editList(text string, o configOp) string {
	words := strings.FieldsFunc(text, isComma)
	for _, w := range strings.FieldsFunc(*o.value, isComma) {
		at := slices.Index(words, w)
		switch {
		case o.op == kmsg.IncrementalAlterConfigOpAppend && at < 0:
			words = append(words, w)
		case o.op == kmsg.IncrementalAlterConfigOpSubtract && at >= 0:
			words = slices.Delete(words, at, at+1)
		}
	}
	return strings.Join(words, ",")
}

func isComma(r rune) bool { return r == ',' }
