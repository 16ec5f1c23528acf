package wire

// ProduceResponse is the answer to a Produce request, v3 to v13.
//
//	topics              array of
//	  name              string  to v12
//	  id                uuid    from v13
//	  partitions        array of
//	    index           int32
//	    error code      int16
//	    base offset     int64
//	    log append time int64   -1: the producer's own timestamps stand
//	    log start       int64   from v5
//	    record errors   array of (batch index int32, message nullable string, tags), from v8
//	    error message   nullable string, from v8
//	    tags            from v9; 0 current leader (from v10)
//	  tags              from v9
//	throttle            int32   milliseconds
//	tags                from v9; 0 node endpoints (from v10)
type ProduceResponse struct {
	Topics         []ProduceTopicResponse
	ThrottleMillis int32
	// Nodes are sent from v10, where there are any.
	Nodes []NodeEndpoint
}

// ProduceTopicResponse is the part of a ProduceResponse for one topic.
type ProduceTopicResponse struct {
	Name       []byte
	ID         [16]byte
	Partitions []ProducePartitionResponse
}

// ProducePartitionResponse is the part of a ProduceResponse for one partition.
// A version that does not carry a field decodes to what Kafka gives as its
// default: -1 for offsets and times.
type ProducePartitionResponse struct {
	Index     int32
	ErrorCode int16
	// BaseOffset is the offset of the first record appended; -1 on error.
	BaseOffset int64
	// LogAppendTime is in milliseconds of Unix time; -1 where the topic keeps
	// the producer's timestamps.
	LogAppendTime int64
	LogStart      int64
	RecordErrors  []RecordError
	// ErrorMessage is nil for null.
	ErrorMessage []byte
	Leader       LeaderHint
}

// RecordError is the fault of one record, which got its whole batch refused.
type RecordError struct {
	// Index of the record in its batch.
	Index   int32
	Message []byte // nil: null
}

const (
	minProduceTopicResponse     = 1 + 1 + 1
	minProducePartitionResponse = 4 + 2 + 8 + 8
	minRecordError              = 4 + 1 + 1
)

// Reset empties r and drops what it refers to; its memory stays for reuse,
// within bounds.
func (r *ProduceResponse) Reset() {
	for i := range r.Topics {
		t := &r.Topics[i]
		for i := range t.Partitions {
			p := &t.Partitions[i]
			clear(p.RecordErrors)
			*p = ProducePartitionResponse{RecordErrors: shrink(p.RecordErrors, keepPartitions)}
		}
		t.Name, t.Partitions = nil, shrink(t.Partitions, keepPartitions)
	}
	clear(r.Nodes)
	r.Topics, r.Nodes, r.ThrottleMillis = shrink(r.Topics, keepTopics), shrink(r.Nodes, keepTopics), 0
}

// AddTopic appends a topic without partitions and answers it; the pointer is
// good until the next AddTopic.
func (r *ProduceResponse) AddTopic() *ProduceTopicResponse {
	t := grow(&r.Topics)
	t.Name, t.ID, t.Partitions = nil, [16]byte{}, t.Partitions[:0]
	return t
}

// AddPartition appends a partition, all of whose offsets and times are -1, and
// answers it; the pointer is good until the next AddPartition.
func (t *ProduceTopicResponse) AddPartition() *ProducePartitionResponse {
	p := grow(&t.Partitions)
	*p = ProducePartitionResponse{BaseOffset: -1, LogAppendTime: -1, LogStart: -1, RecordErrors: p.RecordErrors[:0]}
	return p
}

// Append appends the body of a response in the given version, which must be
// one of ProduceMin to ProduceMax.
func (r *ProduceResponse) Append(dst []byte, version int16) []byte {
	mustSpeak(KeyProduce, version, ProduceMin, ProduceMax)
	flex := Flexible(KeyProduce, version)
	dst = appendArrayLen(dst, flex, len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		dst = appendTopic(dst, version, flex, t.Name, &t.ID)
		dst = appendArrayLen(dst, flex, len(t.Partitions))
		for i := range t.Partitions {
			dst = t.Partitions[i].append(dst, version, flex)
		}
		dst = appendNoTags(dst, flex)
	}
	dst = appendInt32(dst, r.ThrottleMillis)
	if version < 10 || len(r.Nodes) == 0 {
		return appendNoTags(dst, flex)
	}
	return appendNodeEndpoints(append(dst, 1), 0, r.Nodes)
}

func (p *ProducePartitionResponse) append(dst []byte, version int16, flex bool) []byte {
	dst = appendInt32(dst, p.Index)
	dst = appendInt16(dst, p.ErrorCode)
	dst = appendInt64(dst, p.BaseOffset)
	dst = appendInt64(dst, p.LogAppendTime)
	if version >= 5 {
		dst = appendInt64(dst, p.LogStart)
	}
	if version >= 8 {
		dst = appendArrayLen(dst, flex, len(p.RecordErrors))
		for i := range p.RecordErrors {
			e := &p.RecordErrors[i]
			dst = appendInt32(dst, e.Index)
			dst = appendNullableString(dst, flex, e.Message)
			dst = appendNoTags(dst, flex)
		}
		dst = appendNullableString(dst, flex, p.ErrorMessage)
	}
	if version < 10 || !p.Leader.Known {
		return appendNoTags(dst, flex)
	}
	return p.Leader.append(append(dst, 1), 0)
}

// Decode fills r from the body of a response. What r held before is reset, also
// on error.
func (r *ProduceResponse) Decode(version int16, body []byte) error {
	r.Reset()
	b := reader{src: body, key: KeyProduce, version: version, flex: Flexible(KeyProduce, version), response: true}
	if version < ProduceMin || version > ProduceMax {
		b.fail(Error{Kind: ErrVersion})
		return b.err
	}
	for n := b.array("topics", minProduceTopicResponse); n > 0 && b.err == nil; n-- {
		t := r.AddTopic()
		t.Name, t.ID = b.topic(version, "topics.name", "topics.id")
		for n := b.array("topics.partitions", minProducePartitionResponse); n > 0 && b.err == nil; n-- {
			t.AddPartition().decode(&b, version)
		}
		b.skipTags("topics.tags")
	}
	r.ThrottleMillis = b.int32("throttle")
	for n := b.tags("tags"); n > 0 && b.err == nil; n-- {
		if number, v := b.tag("tags"); number == 0 && version >= 10 {
			r.Nodes = decodeNodeEndpoints(&v, r.Nodes)
			b.adopt(&v)
		}
	}
	return b.failure()
}

func (p *ProducePartitionResponse) decode(b *reader, version int16) {
	p.Index = b.int32("topics.partitions.index")
	p.ErrorCode = b.int16("topics.partitions.error code")
	p.BaseOffset = b.int64("topics.partitions.base offset")
	p.LogAppendTime = b.int64("topics.partitions.log append time")
	if version >= 5 {
		p.LogStart = b.int64("topics.partitions.log start")
	}
	if version >= 8 {
		for n := b.array("topics.partitions.record errors", minRecordError); n > 0 && b.err == nil; n-- {
			e := grow(&p.RecordErrors)
			e.Index = b.int32("topics.partitions.record errors.index")
			e.Message = b.nullableString("topics.partitions.record errors.message")
			b.skipTags("topics.partitions.record errors.tags")
		}
		p.ErrorMessage = b.nullableString("topics.partitions.error message")
	}
	for n := b.tags("topics.partitions.tags"); n > 0 && b.err == nil; n-- {
		if number, v := b.tag("topics.partitions.tags"); number == 0 && version >= 10 {
			p.Leader.decode(&v, "topics.partitions.current leader")
			b.adopt(&v)
		}
	}
}
