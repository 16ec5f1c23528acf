package core

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/batching"
)

// checker judges what a producer sent for one partition, and recompresses it
// where the topic's compression.type says so. It belongs to one produce
// request, whose scratch memory it reuses.
type checker struct {
	// recompressed holds the batches that took another codec, until the request
	// is answered: each is appended before the next is made.
	recompressed []byte
	// faults are the records for which the last batch was refused.
	faults []*batching.Error
}

// keepRecompressed bounds the memory that a pooled request keeps.
const keepRecompressed = 4 << 20

func (c *checker) reset() {
	if cap(c.recompressed) > keepRecompressed {
		c.recompressed = nil
	}
	c.faults = nil
}

// batch answers the checked batch, a view of records or of the checker's own
// memory, or Kafka's error code and what to say with it. now is wall time in
// milliseconds.
func (c *checker) batch(records []byte, depth batching.Depth, s *settings, version int16, now int64) (batching.Batch, int16, string) {
	c.faults = nil
	policy := batching.Policy{
		Depth: depth, MaxBytes: int(s.MaxMessageBytes), Keys: s.compact, NoZstd: version < firstZstd,
	}
	if s.TimestampType == TimestampCreate {
		policy.Earliest, policy.Latest = bounds(now, s.TimestampBefore, s.TimestampAfter)
	}
	batch, err := policy.Check(records)
	if err != nil {
		c.faults = policy.Faults(records, err)
		return refused(err)
	}
	if batch.BaseOffset() != 0 {
		return batching.Batch{}, kerr.InvalidRecord.Code, "a produced batch has base offset 0"
	}
	if s.recompress && batch.Codec() != s.codec {
		c.recompressed, err = batch.Recompress(c.recompressed[:0], s.codec, s.level, 0)
		if err != nil {
			return refused(err)
		}
		if batch, err = batching.View(c.recompressed); err != nil {
			panic("BUG: a recompressed batch: " + err.Error())
		}
		if int64(batch.Size()) > s.MaxMessageBytes {
			return batching.Batch{}, kerr.MessageTooLarge.Code, "larger than max.message.bytes once recompressed"
		}
	}
	if int64(batch.Size()) > s.disk.SegmentBytes {
		return batching.Batch{}, kerr.RecordListTooLarge.Code, "larger than segment.bytes"
	}
	return batch, 0, ""
}

// firstZstd is the version of Produce from which a consumer can be trusted to
// know zstd.
const firstZstd = 7

// bounds are the timestamps allowed at now, in milliseconds; 0: no bound.
func bounds(now int64, before, after time.Duration) (earliest, latest int64) {
	if before != forever {
		earliest = max(1, now-before.Milliseconds())
	}
	if after != forever {
		latest = now + after.Milliseconds()
	}
	return earliest, latest
}

// refused is Kafka's code for a batch that batching refuses.
func refused(err error) (batching.Batch, int16, string) {
	for _, r := range refusals {
		if errors.Is(err, r.kind) {
			return batching.Batch{}, r.code, err.Error()
		}
	}
	panic("BUG: no code for a refused batch: " + err.Error())
}

var refusals = []struct {
	kind error
	code int16
}{
	{batching.ErrOldFormat, kerr.InvalidRecord.Code}, // before ErrMagic, which it is too
	{batching.ErrMagic, kerr.CorruptMessage.Code},
	{batching.ErrTruncated, kerr.InvalidRecord.Code},
	{batching.ErrCorrupt, kerr.CorruptMessage.Code},
	{batching.ErrCRC, kerr.CorruptMessage.Code},
	{batching.ErrTooLarge, kerr.MessageTooLarge.Code},
	{batching.ErrRecords, kerr.InvalidRecord.Code},
	{batching.ErrTimestamp, kerr.InvalidTimestamp.Code},
	{batching.ErrCodec, kerr.UnsupportedCompressionType.Code},
}
