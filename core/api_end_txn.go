package core

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/txn"
)

// EndTxn, v0 to v4: a transaction is committed or aborted.
//
//   - Answered when the decision is kept and the markers are written, so that a
//     reader of committed records who asks next sees them. Kafka answers before
//     the markers.
//   - The same end asked for again is no error; the other one, or one without a
//     transaction, is INVALID_TXN_STATE. Other errors are those of
//     AddPartitionsToTxn.
//   - v4 knows TRANSACTION_ABORTABLE, which is no answer here. v5, which raises
//     the epoch with each transaction, is not served.
func endTxn(c *call, req *kmsg.EndTxnRequest) (*kmsg.EndTxnResponse, error) {
	resp := kmsg.NewPtrEndTxnResponse()
	resp.ErrorCode = fencedBefore(2, req.Version, codeOf(c.stepTxn(req.TransactionalID, func(m *txn.Machine, now int64) (txn.Effects, error) {
		return m.End(now, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit)
	})))
	return resp, nil
}
