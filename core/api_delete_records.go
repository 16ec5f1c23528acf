package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteRecords, v0 to v2: moves the start of partitions.
//
//   - Offset -1: up to the high watermark. Beyond it: OFFSET_OUT_OF_RANGE. Below
//     the present start: nothing to do.
//   - The answer tells the new start. Segments that lie before it are deleted
//     with the next round of retention.
//   - A topic that is only compacted: POLICY_VIOLATION, as Kafka; an internal
//     one: INVALID_TOPIC_EXCEPTION.
func deleteRecords(c *call, req *kmsg.DeleteRecordsRequest) (*kmsg.DeleteRecordsResponse, error) {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	view := c.view.Load()
	moved := false
	for i := range req.Topics {
		asked := &req.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = asked.Topic
		topic := view.byName[asked.Topic]
		for j := range asked.Partitions {
			p := &asked.Partitions[j]
			o := kmsg.NewDeleteRecordsResponseTopicPartition()
			o.Partition, o.LowWatermark = p.Partition, unknownOffset
			if topic == nil || topic.partition(p.Partition) == nil {
				o.ErrorCode = kerr.UnknownTopicOrPartition.Code
			} else {
				o.LowWatermark, o.ErrorCode = topic.partition(p.Partition).deleteTo(p.Offset)
				moved = moved || o.ErrorCode == 0
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if moved {
		// A start that has been told must outlive a crash.
		if err := c.saveStarts(); err != nil {
			c.log.Error("saving log starts", "err", err)
			for i := range resp.Topics {
				for j := range resp.Topics[i].Partitions {
					if o := &resp.Topics[i].Partitions[j]; o.ErrorCode == 0 {
						o.LowWatermark, o.ErrorCode = unknownOffset, kerr.KafkaStorageError.Code
					}
				}
			}
		}
	}
	return resp, nil
}

// deleteTo moves the log start and answers where it is now.
func (p *partition) deleteTo(offset int64) (start int64, code int16) {
	if code := p.check(-1); code != 0 {
		return unknownOffset, code
	}
	if internalTopic(p.topic) {
		return unknownOffset, kerr.InvalidTopicException.Code
	}
	if !p.settings.Load().deletes {
		return unknownOffset, kerr.PolicyViolation.Code
	}
	visible := p.visible.Load()
	if offset == -1 {
		offset = visible
	}
	if offset < 0 || offset > visible {
		return unknownOffset, kerr.OffsetOutOfRange.Code
	}
	defer p.startMoved() // without the lock
	p.mu.Lock()
	defer p.mu.Unlock()
	if offset > p.log.Start() {
		if err := p.log.AdvanceStart(offset); err != nil {
			p.fail("delete records", err)
			return unknownOffset, kerr.KafkaStorageError.Code
		}
	}
	return p.log.Start(), 0
}
