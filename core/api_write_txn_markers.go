package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/producers"
)

// WriteTxnMarkers, v1: ends producers' transactions in partitions, whatever their
// coordinator thinks: brokers ask it of each other, and kafka-transactions of a
// transaction that hangs.
//
//   - An older epoch than the partition has seen, of the producer
//     (INVALID_PRODUCER_EPOCH) or the coordinator
//     (TRANSACTION_COORDINATOR_FENCED), ends nothing.
//   - Answered when all markers are kept. They are begun before the first is
//     waited for.
func writeTxnMarkers(c *call, req *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	resp := kmsg.NewPtrWriteTxnMarkersResponse()
	view, t := c.view.Load(), c.txns.Load()
	var waits []func()
	for _, asked := range req.Markers {
		m := producers.Marker{Producer: asked.ProducerID, Epoch: asked.ProducerEpoch, Coordinator: asked.CoordinatorEpoch, Commit: asked.Committed}
		marker := kmsg.NewWriteTxnMarkersResponseMarker()
		marker.ProducerID = asked.ProducerID
		for _, at := range asked.Topics {
			out := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			out.Topic = at.Topic
			out.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(at.Partitions))
			topic := view.byName[at.Topic]
			for i, index := range at.Partitions {
				o := &out.Partitions[i]
				o.Default()
				o.Partition = index
				switch {
				case topic == nil || topic.partition(index) == nil || asked.ProducerID < 0 || asked.ProducerEpoch < 0:
					o.ErrorCode = kerr.UnknownTopicOrPartition.Code
				case t == nil: // nor has there been a transaction
					o.ErrorCode = kerr.NotCoordinator.Code
				default:
					wait := t.markAny(topic.partition(index), m)
					waits = append(waits, func() { o.ErrorCode = wait() })
				}
			}
			marker.Topics = append(marker.Topics, out)
		}
		resp.Markers = append(resp.Markers, marker)
	}
	for _, wait := range waits {
		wait()
	}
	return resp, nil
}
