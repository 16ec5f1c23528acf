package core

import (
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/txn"
)

// DescribeTransactions, v0: what is known of transactional ids. One that is not
// known is TRANSACTIONAL_ID_NOT_FOUND, an empty one INVALID_REQUEST.
func describeTransactions(c *call, req *kmsg.DescribeTransactionsRequest) (*kmsg.DescribeTransactionsResponse, error) {
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	for _, id := range req.TransactionalIDs {
		out := kmsg.NewDescribeTransactionsResponseTransactionState()
		out.TransactionalID = id
		if id == "" {
			out.ErrorCode = kerr.InvalidRequest.Code
			resp.TransactionStates = append(resp.TransactionStates, out)
			continue
		}
		var d txn.Description
		err := c.stepTxn(id, func(m *txn.Machine, _ int64) (txn.Effects, error) {
			var ok bool
			if d, ok = m.Describe(id); !ok {
				return txn.Effects{}, kerr.TransactionalIDNotFound
			}
			return txn.Effects{}, nil
		})
		if out.ErrorCode = codeOf(err); err == nil {
			out.State, out.TimeoutMillis, out.StartTimestamp = d.State.String(), d.Timeout, d.Started
			out.ProducerID, out.ProducerEpoch = d.Producer, d.Epoch
			for _, p := range d.Partitions {
				if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != p.Topic {
					topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
					topic.Topic = p.Topic
					out.Topics = append(out.Topics, topic)
				}
				last := &out.Topics[len(out.Topics)-1]
				last.Partitions = append(last.Partitions, p.Index)
			}
		}
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	return resp, nil
}

var matchAll = regexp.MustCompile("")

// ListTransactions, v0 to v2: the transactional ids that there are, or those in
// certain states, of certain producer ids, or (v1) with a transaction that has
// run for longer than so many milliseconds, or (v2) whose id as a whole matches a
// regular expression: INVALID_REGULAR_EXPRESSION where it is none. States that
// there are not are told back.
func listTransactions(c *call, req *kmsg.ListTransactionsRequest) (*kmsg.ListTransactionsResponse, error) {
	resp := kmsg.NewPtrListTransactionsResponse()
	var states []txn.State
	for _, name := range req.StateFilters {
		if s, ok := txn.ParseState(name); ok {
			states = append(states, s)
		} else {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
		}
	}
	pattern := matchAll
	if req.Version >= 2 && req.TransactionalIDPattern != nil && *req.TransactionalIDPattern != "" {
		var err error
		if pattern, err = regexp.Compile("^(?:" + *req.TransactionalIDPattern + ")$"); err != nil {
			resp.ErrorCode = kerr.InvalidRegularExpression.Code
			return resp, nil
		}
	}
	t := c.txns.Load()
	if t == nil {
		return resp, nil // there are none
	}
	list, err := t.list()
	resp.ErrorCode = codeOf(err)
	now := c.now().UnixMilli()
	for _, d := range list {
		switch {
		case !pattern.MatchString(d.ID), len(req.StateFilters) > 0 && !slices.Contains(states, d.State),
			len(req.ProducerIDFilters) > 0 && !slices.Contains(req.ProducerIDFilters, d.Producer),
			req.Version >= 1 && req.DurationFilterMillis >= 0 && (d.Started < 0 || now-d.Started <= req.DurationFilterMillis):
			continue
		}
		out := kmsg.NewListTransactionsResponseTransactionState()
		out.TransactionalID, out.ProducerID, out.TransactionState = d.ID, d.Producer, d.State.String()
		resp.TransactionStates = append(resp.TransactionStates, out)
	}
	return resp, nil
}
