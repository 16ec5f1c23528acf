package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The timestamps of ListOffsets that are no timestamps.
const (
	offsetLatest         = -1
	offsetEarliest       = -2
	offsetMaxTimestamp   = -3 // from v7
	offsetEarliestLocal  = -4 // from v8
	offsetLatestTiered   = -5 // from v9
	offsetPendingUpload  = -6 // from v11
	unknownOffset        = -1
	unknownTimestamp     = -1
	unknownLeaderEpoch   = -1
	firstMaxTimestamp    = 7
	firstEarliestLocal   = 8
	firstLatestTiered    = 9
	firstPendingUpload   = 11
	firstListLeaderEpoch = 4
)

// ListOffsets, v1 to v11: an offset for a time.
//
//   - A timestamp gives the first record at or after it, of those that consumers
//     can see; none: offset -1. -1 gives the high watermark, -2 the log start,
//     -3 (v7) the record with the greatest timestamp, -4 (v8) the log start, as
//     every log is local. -5 (v9) and -6 (v11) ask for what tiered storage
//     holds: nothing, -1.
//   - v2 read_committed: only records below the last stable offset count, which
//     is what -1 gives.
//   - v4 checks and tells leader epochs. A special timestamp that is newer than
//     the version is UNSUPPORTED_VERSION. v10's timeout is for remote storage.
//   - A partition named twice: INVALID_REQUEST, once.
func listOffsets(c *call, req *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, error) {
	resp := kmsg.NewPtrListOffsetsResponse()
	view := c.view.Load()
	const told = -1
	times := map[place]int{}
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			times[place{req.Topics[i].Topic, p.Partition}]++
		}
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = asked.Topic
		topic := view.byName[asked.Topic]
		for j := range asked.Partitions {
			p := &asked.Partitions[j]
			at := place{asked.Topic, p.Partition}
			if times[at] == told {
				continue
			}
			o := kmsg.NewListOffsetsResponseTopicPartition()
			o.Partition = p.Partition
			o.Timestamp, o.Offset, o.LeaderEpoch = unknownTimestamp, unknownOffset, unknownLeaderEpoch
			switch {
			case times[at] > 1:
				o.ErrorCode = kerr.InvalidRequest.Code
				times[at] = told
			case topic == nil || topic.partition(p.Partition) == nil:
				o.ErrorCode = kerr.UnknownTopicOrPartition.Code
			default:
				listOffset(topic.partition(p.Partition), req, p, &o)
			}
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// listOffsetsIsSlow: looking for a time reads the log.
func listOffsetsIsSlow(_ *Broker, req kmsg.Request) bool {
	for _, t := range req.(*kmsg.ListOffsetsRequest).Topics {
		for _, p := range t.Partitions {
			if p.Timestamp >= 0 || p.Timestamp == offsetMaxTimestamp {
				return true
			}
		}
	}
	return false
}

func listOffset(p *partition, req *kmsg.ListOffsetsRequest, asked *kmsg.ListOffsetsRequestTopicPartition, o *kmsg.ListOffsetsResponseTopicPartition) {
	version := req.Version
	epoch := int32(-1)
	if version >= firstListLeaderEpoch {
		epoch = asked.CurrentLeaderEpoch
	}
	if o.ErrorCode = p.check(epoch); o.ErrorCode != 0 {
		return
	}
	if asked.Timestamp < 0 && version < specialFrom(asked.Timestamp) {
		o.ErrorCode = kerr.UnsupportedVersion.Code
		return
	}
	visible := p.bound(req.IsolationLevel == 1, p.visible.Load())
	var err error
	switch asked.Timestamp {
	case offsetLatest:
		o.Offset, o.LeaderEpoch = visible, p.epoch
	case offsetEarliest, offsetEarliestLocal:
		o.Offset = p.log.Start()
		o.LeaderEpoch = p.epochAt(o.Offset)
	case offsetMaxTimestamp:
		o.Offset, o.Timestamp, o.LeaderEpoch, err = p.maxTimestamp(visible)
	case offsetLatestTiered, offsetPendingUpload:
	default:
		o.Offset, o.Timestamp, o.LeaderEpoch, err = p.offsetForTime(asked.Timestamp, visible)
	}
	if err != nil {
		o.ErrorCode = p.readFault(-1, err)
	}
	if version < firstListLeaderEpoch {
		o.LeaderEpoch = unknownLeaderEpoch
	}
}

// specialFrom is the version from which a negative timestamp is understood.
func specialFrom(ts int64) int16 {
	switch ts {
	case offsetLatest, offsetEarliest:
		return 1
	case offsetMaxTimestamp:
		return firstMaxTimestamp
	case offsetEarliestLocal:
		return firstEarliestLocal
	case offsetLatestTiered:
		return firstLatestTiered
	case offsetPendingUpload:
		return firstPendingUpload
	}
	return 1<<15 - 1
}
