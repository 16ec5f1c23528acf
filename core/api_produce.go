package core

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/core/wire"
	"millrace/netio"
)

// Produce, v3 to v13, and advertised from v0: librdkafka before 2.0 takes a
// minimum above 0 for a broker that cannot compress. Versions 0 to 2 carried
// record formats that Kafka 4.0 dropped; a client that sends them all the same
// is disconnected.
//
//   - Exactly one v2 batch for each partition; see checker for what is checked
//     and with which code it is refused. zstd from v7.
//   - acks 0: no answer, and an error closes the connection. acks 1 and -1 are
//     answered when the sync policy's promise holds; with one replica they mean
//     the same. Others: INVALID_REQUIRED_ACKS. min.insync.replicas counts for no
//     more than the replicas there are, as since Kafka 4.0.
//   - A transactional batch in a request without a transactional id:
//     TRANSACTIONAL_ID_AUTHORIZATION_FAILED, for all of the request.
//   - Idempotent batches are appended once and in order: a batch sent again is
//     answered with the offset it got, a gap is OUT_OF_ORDER_SEQUENCE_NUMBER,
//     an epoch older than the last seen INVALID_PRODUCER_EPOCH.
//   - The first batch of a transaction in a partition is held against the
//     coordinator: a partition that was not added to it is INVALID_TXN_STATE
//     (v11: TRANSACTION_ABORTABLE), a fenced producer INVALID_PRODUCER_EPOCH; a
//     transaction that is being ended NOT_ENOUGH_REPLICAS, which clients try
//     again. A batch outside the transaction that its producer has open there:
//     INVALID_TXN_STATE.
//   - v12 (transactions version 2): that first batch brings the partition into the
//     transaction, and no AddPartitionsToTxn comes before. v13 names topics by id:
//     UNKNOWN_TOPIC_ID.
//   - v5 tells the log start, v8 words for an error, v10 could name the new
//     leader of a moved partition; nothing moves on one node.
func serveProduce(b *Broker, f *netio.Frame, h wire.Header, body []byte) {
	w := produces.Get().(*produce)
	w.b, w.frame, w.header = b, f, h
	if err := w.req.Decode(h.Version, body); err != nil {
		w.release()
		b.refuse(f, err)
		return
	}
	b.counters.produces.Add(1)
	switch {
	case w.req.Acks < -1 || w.req.Acks > 1:
		w.refuseAll(kerr.InvalidRequiredAcks.Code)
	case w.untold():
		w.refuseAll(kerr.TransactionalIDAuthorizationFailed.Code)
	default:
		w.appendAll()
	}
	w.finish()
}
