package wire

// FetchResponse is the answer to a Fetch request, v4 to v18.
//
//	throttle             int32   milliseconds
//	error code           int16   from v7
//	session id           int32   from v7
//	topics               array of
//	  name               string  to v12
//	  id                 uuid    from v13
//	  partitions         array of
//	    index            int32
//	    error code       int16
//	    high watermark   int64
//	    last stable offset int64
//	    log start        int64   from v5
//	    aborted          nullable array of (producer id int64, first offset int64, tags)
//	    preferred replica int32  from v11
//	    records          nullable bytes
//	    tags             from v12; 0 diverging epoch, 1 current leader, 2 snapshot id
//	  tags               from v12
//	tags                 from v12; 0 node endpoints (from v16)
type FetchResponse struct {
	ThrottleMillis int32
	ErrorCode      int16
	SessionID      int32
	Topics         []FetchTopicResponse
	// Nodes are sent from v16, where there are any.
	Nodes []NodeEndpoint
}

// FetchTopicResponse is the part of a FetchResponse for one topic.
type FetchTopicResponse struct {
	Name       []byte
	ID         [16]byte
	Partitions []FetchPartitionResponse
}

// FetchPartitionResponse is the part of a FetchResponse for one partition.
type FetchPartitionResponse struct {
	Index         int32
	ErrorCode     int16
	HighWatermark int64
	// LastStable and LogStart are -1 where they are unknown.
	LastStable int64
	LogStart   int64
	// Aborted lists the aborted transactions within the records; nil: null,
	// which is what a fetch of uncommitted records gets.
	Aborted []AbortedTxn
	// PreferredReplica is -1 where any will do.
	PreferredReplica int32
	// Records are filled in by Decode, a slice of the body; nil: null. Append
	// does not look at them.
	Records []byte
	// RecordsLen is the number of record bytes; -1: null. Append promises so
	// many to the reader and leaves them out: whoever sends the response sets
	// them in before byte RecordsAt.
	RecordsLen int
	// RecordsAt is where the records belong: in dst after Append, in the body
	// after Decode. It grows from partition to partition.
	RecordsAt int
	Diverging EpochEnd
	Leader    LeaderHint

	spare []AbortedTxn // memory for Aborted while that is null
}

// AbortedTxn is a transaction that was aborted.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset int64
}

// EpochEnd tells a follower where its log parts from the leader's: the largest
// epoch both have, and where it ends. The zero value says nothing and is not
// sent.
type EpochEnd struct {
	Known     bool
	Epoch     int32
	EndOffset int64
}

func (e *EpochEnd) decode(v *reader, field string) {
	e.Epoch, e.EndOffset = v.int32(field), v.int64(field)
	if e.Known = e.Epoch != -1 || e.EndOffset != -1; !e.Known {
		*e = EpochEnd{} // sent, and yet says nothing
	}
	v.skipTags(field)
}

const (
	minFetchTopicResponse     = 1 + 1 + 1
	minFetchPartitionResponse = 4 + 2 + 8 + 8 + 1 + 1
	minAbortedTxn             = 8 + 8
)

// Reset empties r and drops what it refers to; its memory stays for reuse,
// within bounds.
func (r *FetchResponse) Reset() {
	for i := range r.Topics {
		t := &r.Topics[i]
		for i := range t.Partitions {
			p := &t.Partitions[i]
			*p = FetchPartitionResponse{spare: shrink(p.spareAborted(), keepPartitions)}
		}
		t.Name, t.Partitions = nil, shrink(t.Partitions, keepPartitions)
	}
	clear(r.Nodes)
	*r = FetchResponse{Topics: shrink(r.Topics, keepTopics), Nodes: shrink(r.Nodes, keepTopics)}
}

// AddTopic appends a topic without partitions and answers it; the pointer is
// good until the next AddTopic.
func (r *FetchResponse) AddTopic() *FetchTopicResponse {
	t := grow(&r.Topics)
	t.Name, t.ID, t.Partitions = nil, [16]byte{}, t.Partitions[:0]
	return t
}

// AddPartition appends a partition without records, whose offsets and preferred
// replica are -1, and answers it; the pointer is good until the next
// AddPartition.
func (t *FetchTopicResponse) AddPartition() *FetchPartitionResponse {
	p := grow(&t.Partitions)
	*p = FetchPartitionResponse{
		HighWatermark: -1, LastStable: -1, LogStart: -1, PreferredReplica: -1,
		spare: p.spareAborted(),
	}
	return p
}

// StartAborted makes Aborted empty where it was null, ready to be appended to.
func (p *FetchPartitionResponse) StartAborted() {
	if p.Aborted = p.spareAborted()[:0]; p.Aborted == nil {
		p.Aborted = []AbortedTxn{} // empty is not null; no memory is taken
	}
}

func (p *FetchPartitionResponse) spareAborted() []AbortedTxn {
	if p.Aborted != nil {
		return p.Aborted
	}
	return p.spare
}

// Append appends the body of a response in the given version, which must be one
// of FetchMin to FetchMax, without the records; see RecordsLen and RecordsAt.
// The body is as long as what was appended and all RecordsLen together; that
// this stays below 2 GiB is the caller's to see to.
func (r *FetchResponse) Append(dst []byte, version int16) []byte {
	mustSpeak(KeyFetch, version, FetchMin, FetchMax)
	flex := Flexible(KeyFetch, version)
	dst = appendInt32(dst, r.ThrottleMillis)
	if version >= 7 {
		dst = appendInt16(dst, r.ErrorCode)
		dst = appendInt32(dst, r.SessionID)
	}
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
	if version < 16 || len(r.Nodes) == 0 {
		return appendNoTags(dst, flex)
	}
	return appendNodeEndpoints(append(dst, 1), 0, r.Nodes)
}

func (p *FetchPartitionResponse) append(dst []byte, version int16, flex bool) []byte {
	dst = appendInt32(dst, p.Index)
	dst = appendInt16(dst, p.ErrorCode)
	dst = appendInt64(dst, p.HighWatermark)
	dst = appendInt64(dst, p.LastStable)
	if version >= 5 {
		dst = appendInt64(dst, p.LogStart)
	}
	n := len(p.Aborted)
	if p.Aborted == nil {
		n = -1
	}
	dst = appendArrayLen(dst, flex, n)
	for i := range p.Aborted {
		dst = appendInt64(dst, p.Aborted[i].ProducerID)
		dst = appendInt64(dst, p.Aborted[i].FirstOffset)
		dst = appendNoTags(dst, flex)
	}
	if version >= 11 {
		dst = appendInt32(dst, p.PreferredReplica)
	}
	dst = appendBytesLen(dst, flex, p.RecordsLen)
	p.RecordsAt = len(dst)
	if !flex {
		return dst
	}
	dst = append(dst, count(p.Diverging.Known, p.Leader.Known))
	if p.Diverging.Known {
		dst = appendTag(dst, 0, 4+8+1)
		dst = appendInt32(dst, p.Diverging.Epoch)
		dst = appendInt64(dst, p.Diverging.EndOffset)
		dst = append(dst, 0)
	}
	if p.Leader.Known {
		dst = p.Leader.append(dst, 1)
	}
	return dst
}

// Decode fills r from the body of a response. What r held before is reset, also
// on error.
func (r *FetchResponse) Decode(version int16, body []byte) error {
	r.Reset()
	b := reader{src: body, key: KeyFetch, version: version, flex: Flexible(KeyFetch, version), response: true}
	if version < FetchMin || version > FetchMax {
		b.fail(Error{Kind: ErrVersion})
		return b.err
	}
	r.ThrottleMillis = b.int32("throttle")
	if version >= 7 {
		r.ErrorCode = b.int16("error code")
		r.SessionID = b.int32("session id")
	}
	for n := b.array("topics", minFetchTopicResponse); n > 0 && b.err == nil; n-- {
		t := r.AddTopic()
		t.Name, t.ID = b.topic(version, "topics.name", "topics.id")
		for n := b.array("topics.partitions", minFetchPartitionResponse); n > 0 && b.err == nil; n-- {
			t.AddPartition().decode(&b, version)
		}
		b.skipTags("topics.tags")
	}
	for n := b.tags("tags"); n > 0 && b.err == nil; n-- {
		if number, v := b.tag("tags"); number == 0 && version >= 16 {
			r.Nodes = decodeNodeEndpoints(&v, r.Nodes)
			b.adopt(&v)
		}
	}
	return b.failure()
}

func (p *FetchPartitionResponse) decode(b *reader, version int16) {
	p.Index = b.int32("topics.partitions.index")
	p.ErrorCode = b.int16("topics.partitions.error code")
	p.HighWatermark = b.int64("topics.partitions.high watermark")
	p.LastStable = b.int64("topics.partitions.last stable offset")
	if version >= 5 {
		p.LogStart = b.int64("topics.partitions.log start")
	}
	n := b.nullableArray("topics.partitions.aborted", minAbortedTxn)
	if n >= 0 {
		p.StartAborted()
	}
	for ; n > 0 && b.err == nil; n-- {
		*grow(&p.Aborted) = AbortedTxn{
			ProducerID:  b.int64("topics.partitions.aborted.producer id"),
			FirstOffset: b.int64("topics.partitions.aborted.first offset"),
		}
		b.skipTags("topics.partitions.aborted.tags")
	}
	if version >= 11 {
		p.PreferredReplica = b.int32("topics.partitions.preferred replica")
	}
	p.Records = b.nullableBytes("topics.partitions.records")
	p.RecordsLen, p.RecordsAt = len(p.Records), b.off-len(p.Records)
	if p.Records == nil {
		p.RecordsLen = -1
	}
	for n := b.tags("topics.partitions.tags"); n > 0 && b.err == nil; n-- {
		number, v := b.tag("topics.partitions.tags")
		switch number {
		case 0:
			p.Diverging.decode(&v, "topics.partitions.diverging epoch")
		case 1:
			p.Leader.decode(&v, "topics.partitions.current leader")
		}
		b.adopt(&v)
	}
}
