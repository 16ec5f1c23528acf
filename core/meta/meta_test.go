package meta

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// memory is a journal in memory that can be told to fail.
type memory struct {
	kept [][]byte
	fail error
}

func (m *memory) Replay(f func([]byte) error) error {
	for _, b := range m.kept {
		if err := f(b); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Append(records [][]byte) error {
	if m.fail != nil {
		return m.fail
	}
	m.kept = append(m.kept, records...)
	return nil
}

func change(t *testing.T, s *Store, records ...Record) *Image {
	t.Helper()
	image, err := s.Change(func(*Image) ([]Record, error) { return records, nil })
	require.NoError(t, err)
	return image
}

// TestReplayGivesTheSameImage makes every kind of change and folds the journal
// again.
func TestReplayGivesTheSameImage(t *testing.T) {
	j := &memory{}
	s, err := Open(j)
	require.NoError(t, err)
	a, b := NewID(), NewID()
	change(t, s, TopicCreated{Name: "a", ID: a, Partitions: 2, Node: 1, Configs: map[string]string{"retention.ms": "1000"}})
	before := s.Image()
	change(t, s, BrokerStarted{Node: 1}, TopicCreated{Name: "b", ID: b, Partitions: 1, Node: 2})
	change(t, s, PartitionsAdded{Topic: a, Total: 3, Node: 1}, ProducerIDs{Next: 1000})
	change(t, s, TopicConfigured{Topic: a, Configs: map[string]string{"segment.ms": "5"}}, TopicDeleted{Topic: b})
	name := "c"
	client, anybody := QuotaEntity{"client-id": &name}, QuotaEntity{"client-id": nil}
	change(t, s, QuotaSet{client, map[string]float64{"producer_byte_rate": 5}}, QuotaSet{anybody, map[string]float64{"producer_byte_rate": 7}})
	change(t, s, BrokerConfigured{1, map[string]string{"log.retention.ms": "9"}}, BrokerConfigured{AllBrokers, map[string]string{"x": "y"}})
	change(t, s, QuotaSet{Entity: anybody}, BrokerConfigured{Node: AllBrokers})
	image := change(t, s, BrokerStarted{Node: 1})
	require.Nil(t, image.Quota(anybody))
	require.Equal(t, 5.0, image.Quota(client).Limits["producer_byte_rate"])
	require.Len(t, image.Quotas(), 1)
	require.Equal(t, "9", image.BrokerConfigs(1)["log.retention.ms"])
	require.Nil(t, image.BrokerConfigs(AllBrokers))

	require.Equal(t, int32(0), before.Topic("a").Partitions[0].LeaderEpoch, "an image never changes")
	require.Len(t, before.Topic("a").Partitions, 2)

	topic := image.Topic("a")
	require.Same(t, topic, image.TopicByID(a))
	require.Nil(t, image.Topic("b"))
	require.Equal(t, []int32{2, 2, 1}, []int32{topic.Partitions[0].LeaderEpoch, topic.Partitions[1].LeaderEpoch, topic.Partitions[2].LeaderEpoch})
	require.Equal(t, map[string]string{"segment.ms": "5"}, topic.Configs)
	require.Equal(t, int64(1000), image.NextProducerID)

	again, err := Open(j)
	require.NoError(t, err)
	require.Equal(t, image, again.Image())
}

func TestEveryRecordIsReadBack(t *testing.T) {
	for kind, read := range readers {
		zero, err := read([]byte("{}"))
		require.NoError(t, err)
		back, err := Decode(Encode(zero))
		require.NoError(t, err)
		require.Equal(t, zero, back)
		require.Equal(t, kind, back.kind())
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"type":"topic.created","v":2,"data":{}}`, `{"type":"later","v":1,"data":{}}`,
		`{"type":"topic.created","v":1,"data":{"id":"short"}}`} {
		_, err := Decode([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestReplayRefusesWhatDoesNotFit(t *testing.T) {
	id := NewID()
	made := TopicCreated{Name: "a", ID: id, Partitions: 1}
	for name, records := range map[string][]Record{
		"twice":         {made, made},
		"no topic":      {TopicDeleted{Topic: id}},
		"no partitions": {TopicCreated{Name: "a", ID: id}},
		"fewer":         {made, PartitionsAdded{Topic: id, Total: 1}},
		"ids go back":   {ProducerIDs{Next: 5}, ProducerIDs{Next: 4}},
	} {
		j := &memory{}
		for _, r := range records {
			j.kept = append(j.kept, Encode(r))
		}
		_, err := Open(j)
		require.Error(t, err, name)
	}
}

// TestJournalFailureIsFinal: what could not be kept is not believed, then or
// later.
func TestJournalFailureIsFinal(t *testing.T) {
	j := &memory{}
	s, err := Open(j)
	require.NoError(t, err)
	j.fail = errors.New("disk gone")
	_, err = s.Change(func(*Image) ([]Record, error) { return []Record{ProducerIDs{Next: 7}}, nil })
	require.ErrorIs(t, err, j.fail)
	require.Zero(t, s.Image().NextProducerID)
	fault := j.fail
	j.fail = nil
	_, err = s.Change(func(*Image) ([]Record, error) { return []Record{ProducerIDs{Next: 7}}, nil })
	require.ErrorIs(t, err, fault)
	require.Empty(t, j.kept)
}

func TestIDs(t *testing.T) {
	id := NewID()
	require.Len(t, id.String(), 22)
	back, err := ParseID(id.String())
	require.NoError(t, err)
	require.Equal(t, id, back)
	_, err = ParseID("a b")
	require.Error(t, err)
}

func TestTopicsAreSorted(t *testing.T) {
	s, err := Open(&memory{})
	require.NoError(t, err)
	var records []Record
	for _, n := range []string{"c", "a", "b"} {
		records = append(records, TopicCreated{Name: n, ID: NewID(), Partitions: 1})
	}
	image := change(t, s, records...)
	var names []string
	for _, topic := range image.Topics() {
		names = append(names, topic.Name)
	}
	require.True(t, slices.IsSorted(names))
	require.Equal(t, 3, image.Len())
}
