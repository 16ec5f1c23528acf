package txn

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Record is one of __transaction_state, in Kafka's own format: the key is the
// transactional id, TransactionLogKey version 0; the value what is kept of it,
// TransactionLogValue version 0, or 1 where there is more to say than that can, nil
// for a tombstone. It lies in the partition of its id.
type Record struct {
	ID         string
	Key, Value []byte
}

func keyOf(id string) []byte {
	k := kmsg.NewTxnMetadataKey()
	k.TransactionalID = id
	return k.AppendTo(nil)
}

func tombstone(id string) Record { return Record{ID: id, Key: keyOf(id)} }

func recordOf(t *transaction) Record {
	v := kmsg.NewTxnMetadataValue()
	v.ProducerID, v.ProducerEpoch, v.TimeoutMillis = t.producer, t.epoch, t.timeout
	if t.bumped || t.previous != noProducer || t.next != noProducer {
		v.Version = 1
		v.PreviousProducerID, v.NextProducerID = t.previous, t.next
		if t.bumped {
			v.ClientTransactionVersion = 2
		}
	}
	v.State = kmsg.TransactionState(t.state)
	v.LastUpdateTimestamp, v.StartTimestamp = t.updated, t.started
	if t.state != Empty {
		v.Topics = []kmsg.TxnMetadataValueTopic{}
	}
	for _, p := range t.partitions() {
		if n := len(v.Topics); n == 0 || v.Topics[n-1].Topic != p.Topic {
			topic := kmsg.NewTxnMetadataValueTopic()
			topic.Topic = p.Topic
			v.Topics = append(v.Topics, topic)
		}
		last := &v.Topics[len(v.Topics)-1]
		last.Partitions = append(last.Partitions, p.Index)
	}
	return Record{t.id, keyOf(t.id), v.AppendTo(nil)}
}

// Load folds one record, in log order, before any step. An error names a record
// that no coordinator writes; it may be passed over.
func (m *Machine) Load(key, value []byte) error {
	if len(key) < 2 {
		return fmt.Errorf("record key of %d bytes has no version", len(key))
	}
	if v := binary.BigEndian.Uint16(key); v != 0 {
		return nil // a kind of record from the future
	}
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(key); err != nil {
		return fmt.Errorf("transaction key: %w", err)
	}
	if k.TransactionalID == "" {
		return fmt.Errorf("transaction key without an id")
	}
	old := m.txns[k.TransactionalID]
	if value == nil {
		if old != nil {
			m.forget(old)
		}
		return nil
	}
	v := kmsg.NewTxnMetadataValue()
	if err := v.ReadFrom(value); err != nil {
		return fmt.Errorf("transaction value of %q: %w", k.TransactionalID, err)
	}
	state := State(v.State)
	if v.Version > 1 || state < Empty || state > PrepareEpochFence || v.ProducerID < 0 || v.ProducerEpoch < 0 {
		return fmt.Errorf("transaction value of %q: version %d, state %d, producer %d, epoch %d", k.TransactionalID, v.Version, v.State, v.ProducerID, v.ProducerEpoch)
	}
	if old != nil {
		m.forget(old)
	}
	if state == Dead {
		return nil
	}
	t := m.create(k.TransactionalID)
	t.producer, t.epoch, t.timeout, t.state = v.ProducerID, v.ProducerEpoch, v.TimeoutMillis, state
	t.updated, t.started = v.LastUpdateTimestamp, v.StartTimestamp
	if v.Version >= 1 {
		t.previous, t.next, t.bumped = max(v.PreviousProducerID, noProducer), max(v.NextProducerID, noProducer), v.ClientTransactionVersion >= 2
	}
	switch {
	case t.bumped && t.epoch > 0:
		t.last = t.epoch - 1
	case t.bumped && t.previous != noProducer:
		t.last = lastEpoch
	}
	if state == PrepareEpochFence {
		t.state = Ongoing
	}
	for i := range v.Topics {
		for _, p := range v.Topics[i].Partitions {
			m.add(t, Partition{v.Topics[i].Topic, p})
		}
	}
	return nil
}

// Rewrite is a record of every id: all that the records before them have said.
func (m *Machine) Rewrite() []Record {
	out := make([]Record, 0, len(m.txns))
	for _, t := range m.sorted() {
		out = append(out, recordOf(t))
	}
	return out
}

// Loaded ends the loading and gives back what was decided and not complete.
func (m *Machine) Loaded() []Decision {
	var out []Decision
	for _, t := range m.sorted() {
		if t.deciding() {
			out = append(out, t.decision())
		}
	}
	return out
}
