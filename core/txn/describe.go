package txn

import (
	"slices"
	"strings"
)

// Description is what is told of a transactional id.
type Description struct {
	ID         string
	Producer   int64
	Epoch      int16
	Timeout    int32 // ms
	State      State
	Started    int64 // ms; -1: no transaction
	Partitions []Partition
}

func (t *transaction) describe() Description {
	return Description{t.id, t.producer, t.epoch, t.timeout, t.state, t.started, t.partitions()}
}

// Describe tells of one id; false: it is not known.
func (m *Machine) Describe(id string) (Description, bool) {
	t := m.txns[id]
	if t == nil {
		return Description{}, false
	}
	return t.describe(), true
}

// List tells of every id, sorted.
func (m *Machine) List() []Description {
	out := make([]Description, 0, len(m.txns))
	for _, t := range m.sorted() {
		out = append(out, t.describe())
	}
	return out
}

// Has says whether a producer's transaction that is not over has a partition.
func (m *Machine) Has(producer int64, p Partition) bool {
	for _, t := range m.txns {
		if t.producer != producer {
			continue
		}
		if _, ok := t.parts[p]; ok {
			return true
		}
	}
	return false
}

func (m *Machine) sorted() []*transaction {
	out := make([]*transaction, 0, len(m.txns))
	for _, t := range m.txns {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *transaction) int { return strings.Compare(a.id, b.id) })
	return out
}
