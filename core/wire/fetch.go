package wire

import "math"

// FetchRequest is a Fetch request, v4 to v18.
//
//	replica id          int32   to v14; -1: a consumer
//	max wait            int32   milliseconds
//	min bytes           int32
//	max bytes           int32
//	isolation level     int8    0 read uncommitted, 1 read committed
//	session id          int32   from v7
//	session epoch       int32   from v7
//	topics              array of
//	  name              string  to v12
//	  id                uuid    from v13
//	  partitions        array of
//	    index           int32
//	    leader epoch    int32   from v9
//	    fetch offset    int64
//	    last fetched epoch int32  from v12
//	    log start       int64   from v5
//	    max bytes       int32
//	    tags            from v12; 0 replica directory id (from v17), 1 high watermark (from v18)
//	  tags              from v12
//	forgotten topics    array of (name or id, partitions array of int32, tags), from v7
//	rack                string  from v11
//	tags                from v12; 0 cluster id, 1 replica state (from v15)
type FetchRequest struct {
	// ReplicaID is the follower that fetches, -1: a consumer. From v15 it
	// travels in the replica state, together with ReplicaEpoch.
	ReplicaID     int32
	ReplicaEpoch  int64
	MaxWaitMillis int32
	MinBytes      int32
	MaxBytes      int32
	Isolation     int8
	// SessionID and SessionEpoch: see KIP-227. Epoch -1 is a fetch without a
	// session, whatever the id.
	SessionID    int32
	SessionEpoch int32
	Topics       []FetchTopic
	Forgotten    []ForgottenTopic
	Rack         []byte
	// ClusterID is nil where it is not said, which is the rule.
	ClusterID []byte
}

// FetchTopic is the part of a FetchRequest for one topic, which goes by Name to
// v12 and by ID from v13.
type FetchTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []FetchPartition
}

// FetchPartition is the part of a FetchRequest for one partition.
type FetchPartition struct {
	Index int32
	// LeaderEpoch is what the client takes for the current one; -1: no check.
	LeaderEpoch int32
	Offset      int64
	// LastFetchedEpoch is -1 where there is none.
	LastFetchedEpoch int32
	// LogStart is a follower's own; -1 from consumers.
	LogStart int64
	MaxBytes int32
	// DirectoryID and HighWatermark are a follower's own. A consumer sends a
	// zero id, and no high watermark: math.MaxInt64.
	DirectoryID   [16]byte
	HighWatermark int64
}

// ForgottenTopic names partitions that leave a fetch session.
type ForgottenTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []int32
}

const (
	minFetchTopic     = 1 + 1 + 1
	minFetchPartition = 4 + 8 + 4
	minForgottenTopic = 1 + 1 + 1
)

// Reset empties r and drops what it refers to; its memory stays for reuse,
// within bounds. All fields get Kafka's defaults: a consumer without a session
// that takes any amount of bytes.
func (r *FetchRequest) Reset() {
	for i := range r.Topics {
		t := &r.Topics[i]
		t.Name, t.Partitions = nil, shrink(t.Partitions, keepPartitions)
	}
	for i := range r.Forgotten {
		t := &r.Forgotten[i]
		t.Name, t.Partitions = nil, shrink(t.Partitions, keepPartitions)
	}
	*r = FetchRequest{
		ReplicaID: -1, ReplicaEpoch: -1, SessionEpoch: -1, MaxBytes: math.MaxInt32,
		Topics: shrink(r.Topics, keepTopics), Forgotten: shrink(r.Forgotten, keepTopics),
	}
}

// AddTopic appends a topic without partitions and answers it; the pointer is
// good until the next AddTopic.
func (r *FetchRequest) AddTopic() *FetchTopic {
	t := grow(&r.Topics)
	t.Name, t.ID, t.Partitions = nil, [16]byte{}, t.Partitions[:0]
	return t
}

// AddPartition appends a partition with Kafka's defaults and answers it; the
// pointer is good until the next AddPartition.
func (t *FetchTopic) AddPartition() *FetchPartition {
	p := grow(&t.Partitions)
	*p = FetchPartition{LeaderEpoch: -1, LastFetchedEpoch: -1, LogStart: -1, HighWatermark: math.MaxInt64}
	return p
}

// Decode fills r from the body of a request. What r held before is reset, also
// on error.
func (r *FetchRequest) Decode(version int16, body []byte) error {
	r.Reset()
	b := reader{src: body, key: KeyFetch, version: version, flex: Flexible(KeyFetch, version)}
	if version < FetchMin || version > FetchMax {
		b.fail(Error{Kind: ErrVersion})
		return b.err
	}
	if version <= 14 {
		r.ReplicaID = b.int32("replica id")
	}
	r.MaxWaitMillis = b.int32("max wait")
	r.MinBytes = b.int32("min bytes")
	r.MaxBytes = b.int32("max bytes")
	r.Isolation = b.int8("isolation level")
	if version >= 7 {
		r.SessionID = b.int32("session id")
		r.SessionEpoch = b.int32("session epoch")
	}
	for n := b.array("topics", minFetchTopic); n > 0 && b.err == nil; n-- {
		t := r.AddTopic()
		t.Name, t.ID = b.topic(version, "topics.name", "topics.id")
		for n := b.array("topics.partitions", minFetchPartition); n > 0 && b.err == nil; n-- {
			t.AddPartition().decode(&b, version)
		}
		b.skipTags("topics.tags")
	}
	if version >= 7 {
		r.decodeForgotten(&b, version)
	}
	if version >= 11 {
		r.Rack = b.string("rack")
	}
	for n := b.tags("tags"); n > 0 && b.err == nil; n-- {
		number, v := b.tag("tags")
		switch {
		case number == 0:
			r.ClusterID = v.nullableString("cluster id")
		case number == 1 && version >= 15:
			r.ReplicaID = v.int32("replica state.id")
			r.ReplicaEpoch = v.int64("replica state.epoch")
			v.skipTags("replica state.tags")
		}
		b.adopt(&v)
	}
	return b.failure()
}

func (p *FetchPartition) decode(b *reader, version int16) {
	p.Index = b.int32("topics.partitions.index")
	if version >= 9 {
		p.LeaderEpoch = b.int32("topics.partitions.leader epoch")
	}
	p.Offset = b.int64("topics.partitions.fetch offset")
	if version >= 12 {
		p.LastFetchedEpoch = b.int32("topics.partitions.last fetched epoch")
	}
	if version >= 5 {
		p.LogStart = b.int64("topics.partitions.log start")
	}
	p.MaxBytes = b.int32("topics.partitions.max bytes")
	for n := b.tags("topics.partitions.tags"); n > 0 && b.err == nil; n-- {
		number, v := b.tag("topics.partitions.tags")
		switch {
		case number == 0 && version >= 17:
			p.DirectoryID = v.uuid("topics.partitions.replica directory id")
		case number == 1 && version >= 18:
			p.HighWatermark = v.int64("topics.partitions.high watermark")
		}
		b.adopt(&v)
	}
}

func (r *FetchRequest) decodeForgotten(b *reader, version int16) {
	for n := b.array("forgotten topics", minForgottenTopic); n > 0 && b.err == nil; n-- {
		t := grow(&r.Forgotten)
		t.Partitions = t.Partitions[:0]
		t.Name, t.ID = b.topic(version, "forgotten topics.name", "forgotten topics.id")
		for n := b.array("forgotten topics.partitions", 4); n > 0 && b.err == nil; n-- {
			*grow(&t.Partitions) = b.int32("forgotten topics.partitions")
		}
		b.skipTags("forgotten topics.tags")
	}
}

// Append appends the body of a request in the given version, which must be one
// of FetchMin to FetchMax.
func (r *FetchRequest) Append(dst []byte, version int16) []byte {
	mustSpeak(KeyFetch, version, FetchMin, FetchMax)
	flex := Flexible(KeyFetch, version)
	if version <= 14 {
		dst = appendInt32(dst, r.ReplicaID)
	}
	dst = appendInt32(dst, r.MaxWaitMillis)
	dst = appendInt32(dst, r.MinBytes)
	dst = appendInt32(dst, r.MaxBytes)
	dst = append(dst, byte(r.Isolation))
	if version >= 7 {
		dst = appendInt32(dst, r.SessionID)
		dst = appendInt32(dst, r.SessionEpoch)
	}
	dst = appendArrayLen(dst, flex, len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		dst = appendTopic(dst, version, flex, t.Name, &t.ID)
		dst = appendArrayLen(dst, flex, len(t.Partitions))
		for i := range t.Partitions {
			dst = t.Partitions[i].append(dst, version)
		}
		dst = appendNoTags(dst, flex)
	}
	if version >= 7 {
		dst = appendArrayLen(dst, flex, len(r.Forgotten))
		for i := range r.Forgotten {
			t := &r.Forgotten[i]
			dst = appendTopic(dst, version, flex, t.Name, &t.ID)
			dst = appendArrayLen(dst, flex, len(t.Partitions))
			for _, p := range t.Partitions {
				dst = appendInt32(dst, p)
			}
			dst = appendNoTags(dst, flex)
		}
	}
	if version >= 11 {
		dst = appendString(dst, flex, r.Rack)
	}
	if !flex {
		return dst
	}
	return r.appendTags(dst, version)
}

func (r *FetchRequest) appendTags(dst []byte, version int16) []byte {
	replica := version >= 15 && (r.ReplicaID != -1 || r.ReplicaEpoch != -1)
	dst = append(dst, count(r.ClusterID != nil, replica))
	if r.ClusterID != nil {
		dst = appendTag(dst, 0, uvarintLen(uint32(len(r.ClusterID))+1)+len(r.ClusterID))
		dst = appendNullableString(dst, true, r.ClusterID)
	}
	if replica {
		dst = appendTag(dst, 1, 4+8+1)
		dst = appendInt32(dst, r.ReplicaID)
		dst = appendInt64(dst, r.ReplicaEpoch)
		dst = append(dst, 0)
	}
	return dst
}

func (p *FetchPartition) append(dst []byte, version int16) []byte {
	dst = appendInt32(dst, p.Index)
	if version >= 9 {
		dst = appendInt32(dst, p.LeaderEpoch)
	}
	dst = appendInt64(dst, p.Offset)
	if version >= 12 {
		dst = appendInt32(dst, p.LastFetchedEpoch)
	}
	if version >= 5 {
		dst = appendInt64(dst, p.LogStart)
	}
	dst = appendInt32(dst, p.MaxBytes)
	if version < 12 {
		return dst
	}
	directory := version >= 17 && p.DirectoryID != [16]byte{}
	watermark := version >= 18 && p.HighWatermark != math.MaxInt64
	dst = append(dst, count(directory, watermark))
	if directory {
		dst = append(appendTag(dst, 0, 16), p.DirectoryID[:]...)
	}
	if watermark {
		dst = appendInt64(appendTag(dst, 1, 8), p.HighWatermark)
	}
	return dst
}
