package wire

// ProduceRequest is a Produce request, v3 to v13.
//
//	transactional id  nullable string
//	acks              int16   -1 all, 0 none, 1 the leader
//	timeout           int32   milliseconds
//	topics            array of
//	  name            string  to v12
//	  id              uuid    from v13
//	  partitions      array of
//	    index         int32
//	    records       nullable bytes
//	    tags          from v9
//	  tags            from v9
//	tags              from v9
type ProduceRequest struct {
	// TransactionalID is nil where the producer has none.
	TransactionalID []byte
	Acks            int16
	TimeoutMillis   int32
	Topics          []ProduceTopic
}

// ProduceTopic is the part of a ProduceRequest for one topic, which goes by
// Name to v12 and by ID from v13.
type ProduceTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []ProducePartition
}

// ProducePartition is the part of a ProduceRequest for one partition.
type ProducePartition struct {
	Index int32
	// Records are record batches back to back; nil: null. After Decode they
	// are a slice of the body, so that writing to them writes to the frame.
	Records []byte
	// RecordsAt is where Records start: in dst after Append, in the body after
	// Decode. A sender that sends the same request many times can set its
	// batches' fields in place by it.
	RecordsAt int
}

// The smallest forms, flexible where that is the smaller.
const (
	minProduceTopic     = 1 + 1 + 1 // name, partitions, tags
	minProducePartition = 4 + 1 + 1 // index, records, tags
)

// Reset empties r and drops what it refers to; its memory stays for reuse,
// within bounds.
func (r *ProduceRequest) Reset() {
	r.TransactionalID, r.Acks, r.TimeoutMillis = nil, 0, 0
	for i := range r.Topics {
		t := &r.Topics[i]
		clear(t.Partitions)
		t.Name, t.Partitions = nil, shrink(t.Partitions, keepPartitions)
	}
	r.Topics = shrink(r.Topics, keepTopics)
}

// AddTopic appends a topic without partitions and answers it; the pointer is
// good until the next AddTopic.
func (r *ProduceRequest) AddTopic() *ProduceTopic {
	t := grow(&r.Topics)
	t.Name, t.ID, t.Partitions = nil, [16]byte{}, t.Partitions[:0]
	return t
}

// AddPartition appends a partition and answers it; the pointer is good until
// the next AddPartition.
func (t *ProduceTopic) AddPartition() *ProducePartition {
	p := grow(&t.Partitions)
	*p = ProducePartition{}
	return p
}

// Decode fills r from the body of a request. What r held before is reset, also
// on error.
func (r *ProduceRequest) Decode(version int16, body []byte) error {
	r.Reset()
	b := reader{src: body, key: KeyProduce, version: version, flex: Flexible(KeyProduce, version)}
	if version < ProduceMin || version > ProduceMax {
		b.fail(Error{Kind: ErrVersion})
		return b.err
	}
	r.TransactionalID = b.nullableString("transactional id")
	r.Acks = b.int16("acks")
	r.TimeoutMillis = b.int32("timeout")
	for n := b.array("topics", minProduceTopic); n > 0 && b.err == nil; n-- {
		t := r.AddTopic()
		t.Name, t.ID = b.topic(version, "topics.name", "topics.id")
		for n := b.array("topics.partitions", minProducePartition); n > 0 && b.err == nil; n-- {
			p := t.AddPartition()
			p.Index = b.int32("topics.partitions.index")
			p.Records = b.nullableBytes("topics.partitions.records")
			p.RecordsAt = b.off - len(p.Records)
			b.skipTags("topics.partitions.tags")
		}
		b.skipTags("topics.tags")
	}
	b.skipTags("tags")
	return b.failure()
}

// Append appends the body of a request in the given version, which must be one
// of ProduceMin to ProduceMax.
func (r *ProduceRequest) Append(dst []byte, version int16) []byte {
	mustSpeak(KeyProduce, version, ProduceMin, ProduceMax)
	flex := Flexible(KeyProduce, version)
	dst = appendNullableString(dst, flex, r.TransactionalID)
	dst = appendInt16(dst, r.Acks)
	dst = appendInt32(dst, r.TimeoutMillis)
	dst = appendArrayLen(dst, flex, len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		dst = appendTopic(dst, version, flex, t.Name, &t.ID)
		dst = appendArrayLen(dst, flex, len(t.Partitions))
		for i := range t.Partitions {
			p := &t.Partitions[i]
			dst = appendInt32(dst, p.Index)
			n := len(p.Records)
			if p.Records == nil {
				n = -1
			}
			dst = appendBytesLen(dst, flex, n)
			p.RecordsAt = len(dst)
			dst = append(dst, p.Records...)
			dst = appendNoTags(dst, flex)
		}
		dst = appendNoTags(dst, flex)
	}
	return appendNoTags(dst, flex)
}
