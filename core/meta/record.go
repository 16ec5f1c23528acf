package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Record is one change of the metadata. The types below are all there are.
type Record interface {
	kind() string
	// apply folds the record into an image that is still private: its maps may
	// be changed, what they point at may not.
	apply(*Image) error
}

// TopicCreated makes a topic with partitions that Node leads.
type TopicCreated struct {
	Name       string            `json:"name"`
	ID         ID                `json:"id"`
	Partitions int               `json:"partitions"`
	Node       int32             `json:"node"`
	Configs    map[string]string `json:"configs,omitempty"`
}

// PartitionsAdded brings a topic to Total partitions; Node leads the new ones.
type PartitionsAdded struct {
	Topic ID    `json:"topic"`
	Total int   `json:"total"`
	Node  int32 `json:"node"`
}

// TopicDeleted ends a topic.
type TopicDeleted struct {
	Topic ID `json:"topic"`
}

// TopicConfigured replaces the settings given to a topic.
type TopicConfigured struct {
	Topic   ID                `json:"topic"`
	Configs map[string]string `json:"configs"`
}

// GroupConfigured replaces the settings given to a consumer group; none: it has
// none of its own.
type GroupConfigured struct {
	Group   string            `json:"group"`
	Configs map[string]string `json:"configs,omitempty"`
}

// QuotaSet replaces the quotas of an entity; none: it has none.
type QuotaSet struct {
	Entity QuotaEntity        `json:"entity"`
	Limits map[string]float64 `json:"limits,omitempty"`
}

// BrokerConfigured replaces the settings given to brokers while they run: to one
// node, or (Node is -1) to all.
type BrokerConfigured struct {
	Node    int32             `json:"node"`
	Configs map[string]string `json:"configs,omitempty"`
}

// BrokerStarted says that Node has started once more: the leader epoch of every
// partition that it leads grows by one, so that a client can notice that a torn
// tail was cut and its offsets given to other records.
type BrokerStarted struct {
	Node int32 `json:"node"`
}

// ProducerIDs says that ids below Next are handed out, or may have been: they
// are taken in blocks, and what is left of a block dies with the broker.
type ProducerIDs struct {
	Next int64 `json:"next"`
}

// FeatureLevel says that the cluster goes by this level of a feature.
type FeatureLevel struct {
	Name  string `json:"name"`
	Level int16  `json:"level"`
}

func (FeatureLevel) kind() string     { return "feature.level" }
func (TopicCreated) kind() string     { return "topic.created" }
func (PartitionsAdded) kind() string  { return "partitions.added" }
func (TopicDeleted) kind() string     { return "topic.deleted" }
func (TopicConfigured) kind() string  { return "topic.configured" }
func (GroupConfigured) kind() string  { return "group.configured" }
func (QuotaSet) kind() string         { return "quota.set" }
func (BrokerConfigured) kind() string { return "broker.configured" }
func (BrokerStarted) kind() string    { return "broker.started" }
func (ProducerIDs) kind() string      { return "producer.ids" }

func (r TopicCreated) apply(m *Image) error {
	if m.topics[r.Name] != nil || m.byID[r.ID] != nil {
		return errExists
	}
	if r.Partitions < 1 || r.ID == (ID{}) || r.Name == "" {
		return fmt.Errorf("topic %q: %d partitions, id %s", r.Name, r.Partitions, r.ID)
	}
	m.put(&Topic{Name: r.Name, ID: r.ID, Configs: r.Configs, Partitions: grow(nil, r.Partitions, r.Node)})
	return nil
}

func (r PartitionsAdded) apply(m *Image) error {
	t := m.byID[r.Topic]
	if t == nil {
		return errNoTopic
	}
	if r.Total <= len(t.Partitions) {
		return fmt.Errorf("topic %q has %d partitions, not fewer than %d", t.Name, len(t.Partitions), r.Total)
	}
	next := *t
	next.Partitions = grow(t.Partitions, r.Total, r.Node)
	m.put(&next)
	return nil
}

func (r TopicDeleted) apply(m *Image) error {
	t := m.byID[r.Topic]
	if t == nil {
		return errNoTopic
	}
	delete(m.byID, t.ID)
	delete(m.topics, t.Name)
	return nil
}

func (r TopicConfigured) apply(m *Image) error {
	t := m.byID[r.Topic]
	if t == nil {
		return errNoTopic
	}
	next := *t
	next.Configs = maps.Clone(r.Configs)
	m.put(&next)
	return nil
}

func (r GroupConfigured) apply(m *Image) error {
	switch {
	case r.Group == "":
		return errors.New("a group without a name")
	case len(r.Configs) == 0:
		delete(m.groups, r.Group)
	default:
		m.groups[r.Group] = maps.Clone(r.Configs)
	}
	return nil
}

func (r QuotaSet) apply(m *Image) error {
	switch key := r.Entity.key(); {
	case len(r.Entity) == 0:
		return errors.New("a quota of nobody")
	case len(r.Limits) == 0:
		delete(m.quotas, key)
	default:
		m.quotas[key] = &Quota{Entity: r.Entity, Limits: maps.Clone(r.Limits)}
	}
	return nil
}

func (r BrokerConfigured) apply(m *Image) error {
	if len(r.Configs) == 0 {
		delete(m.brokers, r.Node)
		return nil
	}
	m.brokers[r.Node] = maps.Clone(r.Configs)
	return nil
}

func (r BrokerStarted) apply(m *Image) error {
	for _, t := range m.topics {
		if !slices.ContainsFunc(t.Partitions, func(p Partition) bool { return p.Leader == r.Node }) {
			continue
		}
		next := *t
		next.Partitions = slices.Clone(t.Partitions)
		for i := range next.Partitions {
			if next.Partitions[i].Leader == r.Node {
				next.Partitions[i].LeaderEpoch++
			}
		}
		m.put(&next)
	}
	return nil
}

func (r ProducerIDs) apply(m *Image) error {
	if r.Next < m.NextProducerID {
		return fmt.Errorf("producer ids go back from %d to %d", m.NextProducerID, r.Next)
	}
	m.NextProducerID = r.Next
	return nil
}

func (r FeatureLevel) apply(m *Image) error {
	if r.Name == "" || r.Level < 0 {
		return fmt.Errorf("feature %q at level %d", r.Name, r.Level)
	}
	m.features[r.Name] = r.Level
	return nil
}

// grow adds partitions led by node until there are total.
func grow(have []Partition, total int, node int32) []Partition {
	alone := []int32{node}
	out := slices.Grow(slices.Clone(have), total-len(have))
	for len(out) < total {
		out = append(out, Partition{Leader: node, Replicas: alone, ISR: alone})
	}
	return out
}

// A record is kept as one JSON object, so that a log dump can be read:
//
//	{"type":"topic.created","v":1,"data":{"name":"events",…}}
//
// An unknown type or version is an error and not skipped: a broker that folds
// only part of the metadata would believe something that never was.
type envelope struct {
	Type    string          `json:"type"`
	Version int             `json:"v"`
	Data    json.RawMessage `json:"data"`
}

const recordVersion = 1

// Encode gives the stored form of r.
func Encode(r Record) []byte {
	data, err := json.Marshal(r)
	if err == nil {
		data, err = json.Marshal(envelope{r.kind(), recordVersion, data})
	}
	if err != nil {
		panic("BUG: metadata record: " + err.Error())
	}
	return data
}

// Decode reads the stored form.
func Decode(b []byte) (Record, error) {
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("metadata record: %w", err)
	}
	if e.Version != recordVersion {
		return nil, fmt.Errorf("metadata record %s has version %d; this build reads %d", e.Type, e.Version, recordVersion)
	}
	read, ok := readers[e.Type]
	if !ok {
		return nil, fmt.Errorf("metadata record of unknown type %q: written by a newer build?", e.Type)
	}
	return read(e.Data)
}

var readers = map[string]func(json.RawMessage) (Record, error){
	TopicCreated{}.kind():     reader[TopicCreated],
	PartitionsAdded{}.kind():  reader[PartitionsAdded],
	TopicDeleted{}.kind():     reader[TopicDeleted],
	TopicConfigured{}.kind():  reader[TopicConfigured],
	GroupConfigured{}.kind():  reader[GroupConfigured],
	QuotaSet{}.kind():         reader[QuotaSet],
	BrokerConfigured{}.kind(): reader[BrokerConfigured],
	BrokerStarted{}.kind():    reader[BrokerStarted],
	ProducerIDs{}.kind():      reader[ProducerIDs],
	FeatureLevel{}.kind():     reader[FeatureLevel],
}

func reader[R Record](b json.RawMessage) (Record, error) {
	var r R
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("metadata record %s: %w", r.kind(), err)
	}
	return r, nil
}
