// Package meta is what the cluster knows of itself: topics, their partitions
// and settings, producer ids handed out, brokers and their starts.
//
// The nouns. A Record is one change; it is written before it is believed. An
// Image is all records folded, immutable, shared by any number of readers
// without a lock. A Journal keeps records durably and in order: a local log on
// one node, a Raft group later; the Store puts the three together and is the
// only writer.
package meta

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ID names a topic for life: a topic deleted and made again under the same name
// has another. The zero ID names none.
type ID [16]byte

// NewID makes a random (version 4) id.
func NewID() ID {
	var id ID
	for {
		_, _ = rand.Read(id[:]) // never fails (crypto/rand)
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		// Kafka's tools take a leading '-' in the text form for a flag.
		if id.String()[0] != '-' {
			return id
		}
	}
}

// String is the form Kafka prints: URL-safe base64 without padding, 22 letters.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseID reads String's form.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%q is no topic id (22 letters of URL-safe base64)", s)
	}
	copy(id[:], b)
	return id, nil
}

// MarshalText and UnmarshalText give records String's form.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads it back.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// Topic is a topic as of one image. It never changes; a change makes another.
type Topic struct {
	Name       string
	ID         ID
	Partitions []Partition
	// Configs are the settings given to this topic, Kafka's names; what is not
	// in it follows the broker.
	Configs map[string]string
}

// Partition says who serves one partition.
type Partition struct {
	Leader      int32
	LeaderEpoch int32 // grows at every election and at every start of the leader
	Replicas    []int32
	ISR         []int32
}

// Image is the whole of the metadata at one point. All of it is read-only.
type Image struct {
	// Version counts the records folded into the image.
	Version int64
	// NextProducerID is the first producer id that no block handed out covers.
	NextProducerID int64

	topics  map[string]*Topic
	byID    map[ID]*Topic
	groups  map[string]map[string]string // settings given to groups, by group
	quotas  map[string]*Quota            // by the entity's key
	brokers map[int32]map[string]string  // settings given to brokers; -1: to all

	features map[string]int16 // levels that were chosen, by feature
}

// QuotaEntity says whom a quota is for: names by Kafka's types of entity (user,
// client-id, ip); nil: the default of the type.
type QuotaEntity map[string]*string

// key is the same for the same entity.
func (e QuotaEntity) key() string {
	b, err := json.Marshal(e) // which sorts
	if err != nil {
		panic("BUG: quota entity: " + err.Error())
	}
	return string(b)
}

// Quota is what an entity may use, by Kafka's names of what is limited. It never
// changes; a change makes another.
type Quota struct {
	Entity QuotaEntity
	Limits map[string]float64
}

// Quota finds the quotas of an entity; nil: it has none.
func (m *Image) Quota(e QuotaEntity) *Quota { return m.quotas[e.key()] }

// Quotas lists all quotas, in the order of their keys.
func (m *Image) Quotas() []*Quota {
	var out []*Quota
	for _, key := range slices.Sorted(maps.Keys(m.quotas)) {
		out = append(out, m.quotas[key])
	}
	return out
}

// BrokerConfigs are the settings given to a broker while it ran, or (-1) to all;
// nil: none.
func (m *Image) BrokerConfigs(node int32) map[string]string { return m.brokers[node] }

// AllBrokers is the node of settings that hold for all brokers.
const AllBrokers int32 = -1

func empty() *Image {
	return &Image{topics: map[string]*Topic{}, byID: map[ID]*Topic{}, groups: map[string]map[string]string{},
		quotas: map[string]*Quota{}, brokers: map[int32]map[string]string{}, features: map[string]int16{}}
}

// Feature is the level that was chosen for a feature; false: none was.
func (m *Image) Feature(name string) (level int16, ok bool) {
	level, ok = m.features[name]
	return level, ok
}

// GroupConfigs are the settings given to a group, Kafka's names; nil: none.
func (m *Image) GroupConfigs(group string) map[string]string { return m.groups[group] }

// GroupsConfigured lists the groups that have settings of their own, by name.
func (m *Image) GroupsConfigured() []string { return slices.Sorted(maps.Keys(m.groups)) }

// ConfiguredGroups counts the groups that have settings of their own.
func (m *Image) ConfiguredGroups() int { return len(m.groups) }

// Topic finds a topic by name; nil: none.
func (m *Image) Topic(name string) *Topic { return m.topics[name] }

// TopicByID finds a topic by id; nil: none.
func (m *Image) TopicByID(id ID) *Topic { return m.byID[id] }

// Len counts the topics.
func (m *Image) Len() int { return len(m.topics) }

// Topics lists the topics by name.
func (m *Image) Topics() []*Topic {
	return slices.SortedFunc(maps.Values(m.topics), func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
}

// fold makes the image that follows m by the records. A record that does not
// fit is an error, and nothing is folded: the records are either damaged or
// were checked against another image.
func (m *Image) fold(records []Record) (*Image, error) {
	next := &Image{
		Version:        m.Version + int64(len(records)),
		NextProducerID: m.NextProducerID,
		topics:         maps.Clone(m.topics),
		byID:           maps.Clone(m.byID),
		groups:         maps.Clone(m.groups),
		features:       maps.Clone(m.features),
		quotas:         maps.Clone(m.quotas),
		brokers:        maps.Clone(m.brokers),
	}
	for i, r := range records {
		if err := r.apply(next); err != nil {
			return nil, fmt.Errorf("metadata record %d (%s): %w", m.Version+int64(i), r.kind(), err)
		}
	}
	return next, nil
}

func (m *Image) put(t *Topic) {
	m.topics[t.Name] = t
	m.byID[t.ID] = t
}

var (
	errNoTopic = errors.New("no such topic")
	errExists  = errors.New("topic exists")
)
