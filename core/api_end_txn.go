package core

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/txn"
)

// EndTxn, v0 to v5: a transaction is committed or aborted.
//
//   - Answered when the decision is kept and the markers are written, so that a
//     reader of committed records who asks next sees them. Kafka answers when the
//     decision is kept, and whoever goes on before the markers are written is told
//     CONCURRENT_TRANSACTIONS and tries again after a pause of 20 ms or more: on
//     one node the markers cost less than that pause.
//   - The same end asked for again is no error; the other one, or one without a
//     transaction, is INVALID_TXN_STATE. Other errors are those of
//     AddPartitionsToTxn.
//   - v4 knows TRANSACTION_ABORTABLE, which is no answer here.
//   - v5 is version 2 of transactions: every end raises the epoch, which is told,
//     with a new producer id after the last one. An abort needs no transaction.
func endTxn(c *call, req *kmsg.EndTxnRequest) (*kmsg.EndTxnResponse, error) {
	resp := kmsg.NewPtrEndTxnResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	r := txn.EndRequest{
		ID: req.TransactionalID, Producer: req.ProducerID, Epoch: req.ProducerEpoch, Commit: req.Commit,
		Bump: req.Version >= 5, NewID: -1,
	}
	end := func() (err error) {
		var id int64
		var epoch int16
		err = c.stepTxn(r.ID, func(m *txn.Machine, now int64) (fx txn.Effects, err error) {
			id, epoch, fx, err = m.End(now, r)
			return fx, err
		})
		if err == nil {
			resp.ProducerID, resp.ProducerEpoch = id, epoch
		}
		return err
	}
	err := end()
	if errors.Is(err, txn.ErrNeedsID) {
		if r.NewID, err = c.ids.next(c.Broker); err != nil {
			c.log.Error("no producer id to give out", "err", err)
			resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
			return resp, nil
		}
		err = end()
	}
	resp.ErrorCode = fencedBefore(2, req.Version, codeOf(err))
	return resp, nil
}
