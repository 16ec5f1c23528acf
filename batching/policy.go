package batching

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Depth is how far a broker looks into a produced batch: the knob
// validate.depth.
type Depth int8

const (
	// DepthCRC checks the header and the checksum, as Redpanda does.
	DepthCRC Depth = iota
	// DepthRecords decompresses and checks every record too, as Kafka does.
	DepthRecords
	// DepthNone checks the header only.
	DepthNone
)

var depthNames = []string{DepthCRC: "crc", DepthRecords: "records", DepthNone: "none"}

// Depths lists the names of the depths, the default first.
func Depths() []string { return slices.Clone(depthNames) }

// ParseDepth reads a name of Depths.
func ParseDepth(name string) (Depth, error) {
	i := slices.Index(depthNames, name)
	if i < 0 {
		return 0, fmt.Errorf("validate.depth %q: want crc, records or none", name)
	}
	return Depth(i), nil
}

func (d Depth) String() string {
	if d < 0 || int(d) >= len(depthNames) {
		return "Depth(" + strconv.Itoa(int(d)) + ")"
	}
	return depthNames[d]
}

// Policy is what a topic asks of a batch that a producer sent. The zero Policy
// checks to DepthCRC and sets no bounds.
type Policy struct {
	Depth Depth
	// MaxBytes is the greatest size of a batch, as it was sent
	// (max.message.bytes); 0: any.
	MaxBytes int
	// Limit bounds the decompressed records, in bytes; 0: DefaultLimit.
	Limit int
	// Keys: every record must have a key, because the topic is compacted. A
	// keyless record could never be compacted, so this looks into the records
	// whatever Depth says.
	Keys bool
	// NoZstd: the request is a Produce before v7, whose consumers may not
	// know the codec.
	NoZstd bool
	// Earliest and Latest bound the timestamps, in ms since 1970, both
	// included; 0: no such bound. A record without a timestamp (-1) passes.
	// Without DepthRecords only the header's two timestamps are looked at.
	Earliest, Latest int64
}

// Check checks the records field of a produce request for one partition, which
// must be exactly one batch, and returns its view.
//
// At DepthRecords the header's maxTimestamp is set right where it is not the
// greatest of the records' (Kafka does so too), which also gives the batch a
// new CRC; nothing else in b is ever changed.
//
// Errors are *Error, of any kind.
func (p *Policy) Check(b []byte) (Batch, error) {
	if len(b) == 0 {
		return Batch{}, fault(ErrRecords, "records", 0, 0, "one batch")
	}
	v, err := frame(b)
	if err != nil {
		return Batch{}, err
	}
	if p.MaxBytes > 0 && v.Size() > p.MaxBytes {
		return Batch{}, fault(ErrTooLarge, "batch", 0, int64(v.Size()), "at most "+strconv.Itoa(p.MaxBytes)+" bytes")
	}
	// The checksum comes before what it covers, and before what follows: a
	// producer sends bytes that were damaged on the way again, but gives up on
	// an invalid record.
	if p.Depth != DepthNone {
		if err := v.CheckCRC(); err != nil {
			return Batch{}, err
		}
	}
	if v.Size() != len(b) {
		return Batch{}, fault(ErrRecords, "bytes after the batch", v.Size(), int64(len(b)-v.Size()), "none: one batch per partition")
	}
	if err := p.checkHeader(v); err != nil {
		return Batch{}, err
	}
	if p.Depth == DepthRecords || p.Keys {
		if err := p.checkRecords(v); err != nil {
			return Batch{}, err
		}
	}
	return v, nil
}

func (p *Policy) checkHeader(v Batch) error {
	if err := v.checkCounts(); err != nil {
		return err
	}
	if v.Count() != int(v.LastOffsetDelta())+1 {
		return fault(ErrRecords, "recordCount", atCount, int64(v.Count()), "lastOffsetDelta+1")
	}
	a := int64(v.Attributes())
	switch {
	case !v.Codec().known():
		return codecFault(v.Codec())
	case v.Codec() == Zstd && p.NoZstd:
		return fault(ErrCodec, "attributes", atAttributes, a, "no zstd before Produce v7")
	case v.IsControl():
		return fault(ErrRecords, "attributes", atAttributes, a, "no control batch from a producer")
	case a&deleteHorizonBit != 0:
		return fault(ErrRecords, "attributes", atAttributes, a, "no delete horizon from a producer")
	case v.TimestampType() == LogAppendTime:
		return fault(ErrTimestamp, "attributes", atAttributes, a, "CreateTime from a producer")
	}
	if err := checkProducer(v); err != nil {
		return err
	}
	if err := p.checkTimestamp("baseTimestamp", -1, atBaseTimestamp, v.BaseTimestamp()); err != nil {
		return err
	}
	return p.checkTimestamp("maxTimestamp", -1, atMaxTimestamp, v.MaxTimestamp())
}

func checkProducer(v Batch) error {
	id := v.ProducerID()
	switch {
	case id < 0 && v.IsTransactional():
		return fault(ErrRecords, "producerId", atProducerID, id, "at least 0 in a transaction")
	case id >= 0 && v.ProducerEpoch() < 0:
		return fault(ErrRecords, "producerEpoch", atProducerEpoch, int64(v.ProducerEpoch()), "at least 0 with a producerId")
	case id >= 0 && v.BaseSequence() < 0:
		return fault(ErrRecords, "baseSequence", atBaseSequence, int64(v.BaseSequence()), "at least 0 with a producerId")
	}
	return nil
}

func (p *Policy) checkTimestamp(field string, record, at int, ts int64) error {
	want := ""
	switch {
	case ts == noTimestamp:
		return nil
	case p.Earliest != 0 && ts < p.Earliest:
		want = "at least " + strconv.FormatInt(p.Earliest, 10)
	case p.Latest != 0 && ts > p.Latest:
		want = "at most " + strconv.FormatInt(p.Latest, 10)
	default:
		return nil
	}
	return &Error{Kind: ErrTimestamp, Field: field, Record: record, At: at, Got: ts, Want: want}
}

func (p *Policy) checkRecords(v Batch) error {
	s := getScratch()
	defer s.put()
	records, err := v.records(s, p.Limit)
	if err != nil {
		return err
	}
	c := cursor{b: records, left: v.Count(), headers: s.headers[:0]}
	greatest := int64(noTimestamp)
	var r Record
	for {
		at, index := c.at, c.index
		more, err := c.next(&r)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if int(r.OffsetDelta) != index {
			return &Error{Kind: ErrRecords, Field: "offsetDelta", Record: index, At: at, Got: int64(r.OffsetDelta), Want: "the record's place in the batch"}
		}
		if err := p.checkRecord(v, &r, index, at); err != nil {
			return err
		}
		greatest = max(greatest, v.BaseTimestamp()+r.TimestampDelta)
	}
	s.headers = c.headers
	if greatest != v.MaxTimestamp() {
		v.setMaxTimestamp(greatest)
		v.seal()
	}
	return nil
}

// checkRecord checks what a topic may ask of each record.
func (p *Policy) checkRecord(v Batch, r *Record, index, at int) error {
	if p.Keys && r.Key == nil {
		return &Error{Kind: ErrRecords, Field: "keyLength", Record: index, At: at, Got: -1, Want: "a key: the topic is compacted"}
	}
	return p.checkTimestamp("timestamp", index, at, v.BaseTimestamp()+r.TimestampDelta)
}

// MaxFaults is how many records Faults lists at most.
const MaxFaults = 10_000

// Faults lists the records that err is about, which Check answered to the same
// b: a client gives up on these, and may send the others of the batch again. It
// is empty where the batch is at fault as a whole.
func (p *Policy) Faults(b []byte, err error) (faults []*Error) {
	var first *Error
	if !errors.As(err, &first) || first.Record < 0 && first.Kind != ErrTimestamp {
		return nil
	}
	v, err := frame(b)
	if err != nil {
		return nil
	}
	s := getScratch()
	defer s.put()
	records, err := v.records(s, p.Limit)
	if err != nil {
		return nil
	}
	c := cursor{b: records, left: v.Count(), headers: s.headers[:0]}
	var r Record
	for len(faults) < MaxFaults {
		at, index := c.at, c.index
		if more, err := c.next(&r); err != nil || !more {
			break
		}
		err := p.checkRecord(v, &r, index, at)
		if first.Field == "attributes" { // said of every record
			err = first
		}
		var f *Error
		if errors.As(err, &f) {
			here := *f
			here.Record = index
			faults = append(faults, &here)
		}
	}
	s.headers = c.headers
	if len(faults) == 0 && first.Record >= 0 {
		faults = append(faults, first)
	}
	return faults
}
