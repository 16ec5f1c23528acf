package wire

import (
	"math/rand"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a hot message is in kmsg, which generates its codecs from Kafka's
// message definitions and shares no code with ours.

type kmessage interface {
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
	SetVersion(int16)
}

func text(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}

func toKmsg(m message, version int16) kmessage {
	var k kmessage
	switch m := m.(type) {
	case *ProduceRequest:
		k = produceRequestToKmsg(m)
	case *ProduceResponse:
		k = produceResponseToKmsg(m)
	case *FetchRequest:
		k = fetchRequestToKmsg(m, version)
	case *FetchResponse:
		k = fetchResponseToKmsg(m)
	}
	k.SetVersion(version)
	return k
}

func produceRequestToKmsg(m *ProduceRequest) kmessage {
	k := kmsg.NewPtrProduceRequest()
	k.TransactionID, k.Acks, k.TimeoutMillis = text(m.TransactionalID), m.Acks, m.TimeoutMillis
	for _, t := range m.Topics {
		kt := kmsg.NewProduceRequestTopic()
		kt.Topic, kt.TopicID = string(t.Name), t.ID
		for _, p := range t.Partitions {
			kp := kmsg.NewProduceRequestTopicPartition()
			kp.Partition, kp.Records = p.Index, p.Records
			kt.Partitions = append(kt.Partitions, kp)
		}
		k.Topics = append(k.Topics, kt)
	}
	return k
}

func produceResponseToKmsg(m *ProduceResponse) kmessage {
	k := kmsg.NewPtrProduceResponse()
	k.ThrottleMillis = m.ThrottleMillis
	for _, t := range m.Topics {
		kt := kmsg.NewProduceResponseTopic()
		kt.Topic, kt.TopicID = string(t.Name), t.ID
		for _, p := range t.Partitions {
			kp := kmsg.NewProduceResponseTopicPartition()
			kp.Partition, kp.ErrorCode, kp.BaseOffset = p.Index, p.ErrorCode, p.BaseOffset
			kp.LogAppendTime, kp.LogStartOffset, kp.ErrorMessage = p.LogAppendTime, p.LogStart, text(p.ErrorMessage)
			for _, e := range p.RecordErrors {
				ke := kmsg.NewProduceResponseTopicPartitionErrorRecord()
				ke.RelativeOffset, ke.ErrorMessage = e.Index, text(e.Message)
				kp.ErrorRecords = append(kp.ErrorRecords, ke)
			}
			if p.Leader.Known {
				kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.Leader.ID, p.Leader.Epoch
			}
			kt.Partitions = append(kt.Partitions, kp)
		}
		k.Topics = append(k.Topics, kt)
	}
	for _, n := range m.Nodes {
		kn := kmsg.NewProduceResponseBroker()
		kn.NodeID, kn.Host, kn.Port, kn.Rack = n.ID, string(n.Host), n.Port, text(n.Rack)
		k.Brokers = append(k.Brokers, kn)
	}
	return k
}

func fetchRequestToKmsg(m *FetchRequest, version int16) kmessage {
	k := kmsg.NewPtrFetchRequest()
	if version >= 15 {
		k.ReplicaState.ID, k.ReplicaState.Epoch = m.ReplicaID, m.ReplicaEpoch
	} else {
		k.ReplicaID = m.ReplicaID
	}
	k.ClusterID, k.MaxWaitMillis, k.MinBytes, k.MaxBytes = text(m.ClusterID), m.MaxWaitMillis, m.MinBytes, m.MaxBytes
	k.IsolationLevel, k.SessionID, k.SessionEpoch, k.Rack = m.Isolation, m.SessionID, m.SessionEpoch, string(m.Rack)
	for _, t := range m.Topics {
		kt := kmsg.NewFetchRequestTopic()
		kt.Topic, kt.TopicID = string(t.Name), t.ID
		for _, p := range t.Partitions {
			kp := kmsg.NewFetchRequestTopicPartition()
			kp.Partition, kp.CurrentLeaderEpoch, kp.FetchOffset = p.Index, p.LeaderEpoch, p.Offset
			kp.LastFetchedEpoch, kp.LogStartOffset, kp.PartitionMaxBytes = p.LastFetchedEpoch, p.LogStart, p.MaxBytes
			kp.ReplicaDirectoryID, kp.HighWatermark = p.DirectoryID, p.HighWatermark
			kt.Partitions = append(kt.Partitions, kp)
		}
		k.Topics = append(k.Topics, kt)
	}
	for _, f := range m.Forgotten {
		kf := kmsg.NewFetchRequestForgottenTopic()
		kf.Topic, kf.TopicID, kf.Partitions = string(f.Name), f.ID, f.Partitions
		k.ForgottenTopics = append(k.ForgottenTopics, kf)
	}
	return k
}

func fetchResponseToKmsg(m *FetchResponse) kmessage {
	k := kmsg.NewPtrFetchResponse()
	k.ThrottleMillis, k.ErrorCode, k.SessionID = m.ThrottleMillis, m.ErrorCode, m.SessionID
	for _, t := range m.Topics {
		kt := kmsg.NewFetchResponseTopic()
		kt.Topic, kt.TopicID = string(t.Name), t.ID
		for _, p := range t.Partitions {
			kp := kmsg.NewFetchResponseTopicPartition()
			kp.Partition, kp.ErrorCode, kp.HighWatermark = p.Index, p.ErrorCode, p.HighWatermark
			kp.LastStableOffset, kp.LogStartOffset = p.LastStable, p.LogStart
			kp.PreferredReadReplica, kp.RecordBatches = p.PreferredReplica, p.Records
			if p.Aborted != nil {
				kp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			}
			for _, a := range p.Aborted {
				ka := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				ka.ProducerID, ka.FirstOffset = a.ProducerID, a.FirstOffset
				kp.AbortedTransactions = append(kp.AbortedTransactions, ka)
			}
			if p.Diverging.Known {
				kp.DivergingEpoch.Epoch, kp.DivergingEpoch.EndOffset = p.Diverging.Epoch, p.Diverging.EndOffset
			}
			if p.Leader.Known {
				kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.Leader.ID, p.Leader.Epoch
			}
			kt.Partitions = append(kt.Partitions, kp)
		}
		k.Topics = append(k.Topics, kt)
	}
	for _, n := range m.Nodes {
		kn := kmsg.NewFetchResponseBroker()
		kn.NodeID, kn.Host, kn.Port, kn.Rack = n.ID, string(n.Host), n.Port, text(n.Rack)
		k.Brokers = append(k.Brokers, kn)
	}
	return k
}

// forget takes out of a kmsg message what our codecs step over: unknown tags,
// the snapshot id, and tagged fields in versions before Kafka defines them.
func forget(m kmessage, version int16) {
	switch k := m.(type) {
	case *kmsg.ProduceRequest:
		k.UnknownTags = kmsg.Tags{}
		for i := range k.Topics {
			t := &k.Topics[i]
			t.UnknownTags = kmsg.Tags{}
			for i := range t.Partitions {
				t.Partitions[i].UnknownTags = kmsg.Tags{}
			}
		}
	case *kmsg.ProduceResponse:
		k.UnknownTags = kmsg.Tags{}
		if version < 10 {
			k.Brokers = nil
		}
		for i := range k.Brokers {
			k.Brokers[i].UnknownTags = kmsg.Tags{}
		}
		for i := range k.Topics {
			t := &k.Topics[i]
			t.UnknownTags = kmsg.Tags{}
			for i := range t.Partitions {
				p := &t.Partitions[i]
				p.UnknownTags, p.CurrentLeader.UnknownTags = kmsg.Tags{}, kmsg.Tags{}
				if version < 10 {
					p.CurrentLeader.Default()
				}
				for i := range p.ErrorRecords {
					p.ErrorRecords[i].UnknownTags = kmsg.Tags{}
				}
			}
		}
	case *kmsg.FetchRequest:
		forgetFetchRequest(k, version)
	case *kmsg.FetchResponse:
		forgetFetchResponse(k, version)
	}
}

func forgetFetchRequest(k *kmsg.FetchRequest, version int16) {
	k.UnknownTags, k.ReplicaState.UnknownTags = kmsg.Tags{}, kmsg.Tags{}
	if version < 15 {
		k.ReplicaState.Default()
	}
	for i := range k.Topics {
		t := &k.Topics[i]
		t.UnknownTags = kmsg.Tags{}
		for i := range t.Partitions {
			p := &t.Partitions[i]
			p.UnknownTags = kmsg.Tags{}
			if version < 17 {
				p.ReplicaDirectoryID = [16]byte{}
			}
			if version < 18 {
				p.HighWatermark = 1<<63 - 1
			}
		}
	}
	for i := range k.ForgottenTopics {
		k.ForgottenTopics[i].UnknownTags = kmsg.Tags{}
	}
}

func forgetFetchResponse(k *kmsg.FetchResponse, version int16) {
	k.UnknownTags = kmsg.Tags{}
	if version < 16 {
		k.Brokers = nil
	}
	for i := range k.Brokers {
		k.Brokers[i].UnknownTags = kmsg.Tags{}
	}
	for i := range k.Topics {
		t := &k.Topics[i]
		t.UnknownTags = kmsg.Tags{}
		for i := range t.Partitions {
			p := &t.Partitions[i]
			p.UnknownTags, p.CurrentLeader.UnknownTags, p.DivergingEpoch.UnknownTags = kmsg.Tags{}, kmsg.Tags{}, kmsg.Tags{}
			p.SnapshotID = kmsg.NewFetchResponseTopicPartitionSnapshotID()
			for i := range p.AbortedTransactions {
				p.AbortedTransactions[i].UnknownTags = kmsg.Tags{}
			}
		}
	}
}

// addTags gives every structure of m a tag that nobody knows.
func addTags(m kmessage, rng *rand.Rand) {
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
				tags.Set(100+uint32(rng.Intn(1000)), randomBytes(rng, 200))
				return
			}
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(m))
}
