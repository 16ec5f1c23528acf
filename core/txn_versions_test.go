package core

import (
	"math"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func findTxnCoordinator(p *peer) {
	p.t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorType = "tx", coordinatesTransaction
	require.Zero(p.t, ask[*kmsg.FindCoordinatorResponse](p, 3, req).ErrorCode)
}

// initTxn gets a producer id and epoch for a transactional id.
func initTxn(p *peer, id string) (int64, int16) {
	p.t.Helper()
	findTxnCoordinator(p)
	req := initRequest(id)
	resp := ask[*kmsg.InitProducerIDResponse](p, 4, req)
	require.Zero(p.t, resp.ErrorCode)
	return resp.ProducerID, resp.ProducerEpoch
}

func initRequest(id string) *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &id, 60_000
	req.ProducerID, req.ProducerEpoch = -1, -1
	return req
}

func addRequest(id string, producer int64, epoch int16, topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = id, producer, epoch
	rt := kmsg.NewAddPartitionsToTxnRequestTopic()
	rt.Topic, rt.Partitions = topic, partitions
	req.Topics = append(req.Topics, rt)
	return req
}

func mustAdd(p *peer, id string, producer int64, epoch int16, topic string, partitions ...int32) {
	p.t.Helper()
	for _, o := range ask[*kmsg.AddPartitionsToTxnResponse](p, 3, addRequest(id, producer, epoch, topic, partitions...)).Topics[0].Partitions {
		require.Zero(p.t, o.ErrorCode)
	}
}

func endRequest(id string, producer int64, epoch int16, commit bool) *kmsg.EndTxnRequest {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = id, producer, epoch, commit
	return req
}

func endTransaction(p *peer, id string, producer int64, epoch int16, commit bool) int16 {
	p.t.Helper()
	return ask[*kmsg.EndTxnResponse](p, 3, endRequest(id, producer, epoch, commit)).ErrorCode
}

// produceTxn appends one batch in a transaction.
func produceTxn(p *peer, version int16, id string, producer int64, epoch int16, sequence int32, topic string, partition int32, values ...string) int16 {
	p.t.Helper()
	req := produceRequest(topic, partition, -1, producerBatch(p.t, producer, epoch, sequence, true, values...))
	req.TransactionID = &id
	return ask[*kmsg.ProduceResponse](p, version, req).Topics[0].Partitions[0].ErrorCode
}

// fenced is PRODUCER_FENCED as versions before since have it.
func fencedAt(since, version int16) int16 {
	if version < since {
		return kerr.InvalidProducerEpoch.Code
	}
	return kerr.ProducerFenced.Code
}

func driveInitTransactional(d driven) {
	req := initRequest("tx")
	require.Equal(d.t, kerr.NotCoordinator.Code, ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req).ErrorCode, "nobody has looked for it yet")
	findTxnCoordinator(d.peer)
	first := ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req)
	require.Zero(d.t, first.ErrorCode)
	require.Zero(d.t, first.ProducerEpoch)
	second := ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req)
	require.Equal(d.t, first.ProducerID, second.ProducerID)
	require.Equal(d.t, int16(1), second.ProducerEpoch)
	if d.version >= 3 {
		req.ProducerID, req.ProducerEpoch = second.ProducerID, 1
		require.Equal(d.t, int16(2), ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req).ProducerEpoch)
		require.Equal(d.t, int16(2), ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req).ProducerEpoch, "sent again")
		req.ProducerEpoch = 0
		require.Equal(d.t, fencedAt(4, d.version), ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req).ErrorCode)
	}
	req = initRequest("tx")
	req.TransactionTimeoutMillis = 1 << 30
	require.Equal(d.t, kerr.InvalidTransactionTimeout.Code, ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req).ErrorCode)
	require.Equal(d.t, kerr.InvalidRequest.Code, ask[*kmsg.InitProducerIDResponse](d.peer, d.version, initRequest("")).ErrorCode)
}

func driveAddPartitionsToTxn(d driven) {
	if d.version >= 4 {
		driveAddBatches(d)
		return
	}
	require.Equal(d.t, kerr.NotCoordinator.Code,
		ask[*kmsg.AddPartitionsToTxnResponse](d.peer, d.version, addRequest("tx", 1, 0, "events", 0)).Topics[0].Partitions[0].ErrorCode)
	id, epoch := initTxn(d.peer, "tx")
	got := ask[*kmsg.AddPartitionsToTxnResponse](d.peer, d.version, addRequest("tx", id, epoch, "events", 0, 7)).Topics[0].Partitions
	require.Equal(d.t, kerr.OperationNotAttempted.Code, got[0].ErrorCode)
	require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, got[1].ErrorCode)
	require.Equal(d.t, kerr.InvalidTxnState.Code, produceTxn(d.peer, 9, "tx", id, epoch, 0, "events", 0, "d"), "nothing was added")
	require.Equal(d.t, kerr.TransactionAbortable.Code, produceTxn(d.peer, 11, "tx", id, epoch, 0, "events", 0, "d"))
	got = ask[*kmsg.AddPartitionsToTxnResponse](d.peer, d.version, addRequest("tx", id, epoch, "events", 0)).Topics[0].Partitions
	require.Zero(d.t, got[0].ErrorCode)
	require.Zero(d.t, produceTxn(d.peer, 9, "tx", id, epoch, 0, "events", 0, "d"))
	require.Equal(d.t, kerr.InvalidTxnState.Code, produceTxn(d.peer, 9, "tx", id, epoch, 0, "events", 1, "d"))
	require.Equal(d.t, []string{"a", "b", "c"}, committed(d.peer, "events", 0, 1<<20))
	for want, req := range map[int16]*kmsg.AddPartitionsToTxnRequest{
		kerr.InvalidProducerIDMapping.Code: addRequest("tx", id+1, epoch, "events", 0),
		fencedAt(2, d.version):             addRequest("tx", id, epoch+1, "events", 0),
		kerr.InvalidRequest.Code:           addRequest("", id, epoch, "events", 0),
		kerr.TopicAuthorizationFailed.Code: addRequest("tx", id, epoch, txnTopic, 0),
	} {
		require.Equal(d.t, want, ask[*kmsg.AddPartitionsToTxnResponse](d.peer, d.version, req).Topics[0].Partitions[0].ErrorCode)
	}
}

func driveAddOffsetsToTxn(d driven) {
	id, epoch := initTxn(d.peer, "tx")
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = "tx", id, epoch, "g"
	require.Zero(d.t, ask[*kmsg.AddOffsetsToTxnResponse](d.peer, d.version, req).ErrorCode)
	got := describeTxn(d.peer, "tx")
	require.Equal(d.t, "Ongoing", got.State)
	require.Equal(d.t, offsetsTopic, got.Topics[0].Topic)
	require.Zero(d.t, endTransaction(d.peer, "tx", id, epoch, true))
	req.ProducerEpoch++
	require.Equal(d.t, fencedAt(2, d.version), ask[*kmsg.AddOffsetsToTxnResponse](d.peer, d.version, req).ErrorCode)
	req.ProducerEpoch, req.Group = epoch, ""
	require.Zero(d.t, ask[*kmsg.AddOffsetsToTxnResponse](d.peer, d.version, req).ErrorCode, "the commit says what is wrong with it")
}

// driveAddBatches is AddPartitionsToTxn as brokers ask each other.
func driveAddBatches(d driven) {
	id, epoch := initTxn(d.peer, "tx")
	ask2 := func(id string, producer int64, epoch int16, verify bool, partitions ...int32) (codes []int16) {
		r := kmsg.NewAddPartitionsToTxnRequestTransaction()
		r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.VerifyOnly = id, producer, epoch, verify
		r.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: "events", Partitions: partitions}}
		req := kmsg.NewPtrAddPartitionsToTxnRequest()
		req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{r, r}
		resp := ask[*kmsg.AddPartitionsToTxnResponse](d.peer, d.version, req)
		require.Zero(d.t, resp.ErrorCode)
		require.Len(d.t, resp.Transactions, 2)
		require.Equal(d.t, id, resp.Transactions[1].TransactionalID)
		for _, p := range resp.Transactions[1].Topics[0].Partitions {
			codes = append(codes, p.ErrorCode)
		}
		return codes
	}
	abortable := kerr.TransactionAbortable.Code
	require.Equal(d.t, []int16{abortable, abortable}, ask2("tx", id, epoch, true, 0, 1))
	require.Equal(d.t, "Empty", describeTxn(d.peer, "tx").State, "only asked")
	require.Equal(d.t, []int16{0}, ask2("tx", id, epoch, false, 1))
	require.Equal(d.t, []int16{abortable, 0}, ask2("tx", id, epoch, true, 0, 1))
	require.Equal(d.t, []int16{kerr.OperationNotAttempted.Code, kerr.UnknownTopicOrPartition.Code}, ask2("tx", id, epoch, false, 0, 9))
	require.Equal(d.t, []int16{kerr.ProducerFenced.Code}, ask2("tx", id, epoch+1, true, 1))
	require.Equal(d.t, []int16{kerr.InvalidProducerIDMapping.Code}, ask2("other", id, epoch, false, 1))
	require.Equal(d.t, []int16{kerr.InvalidRequest.Code}, ask2("", id, epoch, false, 1))
	require.Zero(d.t, endTransaction(d.peer, "tx", id, epoch, true))
	require.Equal(d.t, []int16{abortable}, ask2("tx", id, epoch, true, 1), "it is over")
}

// driveJoiningProduce is a transaction of version 2.
func driveJoiningProduce(d driven) {
	id, epoch := initTxn(d.peer, "tx")
	write := func(epoch int16, sequence int32, partition int32, value string) int16 {
		req := produceRequest("events", partition, -1, producerBatch(d.t, id, epoch, sequence, true, value))
		req.TransactionID, req.Topics[0].TopicID = kmsg.StringPtr("tx"), d.events
		return ask[*kmsg.ProduceResponse](d.peer, d.version, req).Topics[0].Partitions[0].ErrorCode
	}
	end := func(epoch int16, commit bool) *kmsg.EndTxnResponse {
		return ask[*kmsg.EndTxnResponse](d.peer, 5, endRequest("tx", id, epoch, commit))
	}
	require.Zero(d.t, write(epoch, 0, 0, "x"))
	require.Zero(d.t, write(epoch, 1, 0, "y"))
	require.Zero(d.t, write(epoch, 1, 0, "y"), "sent again")
	require.Zero(d.t, write(epoch, 0, 1, "z"))
	got := describeTxn(d.peer, "tx")
	require.Equal(d.t, "Ongoing", got.State)
	require.Equal(d.t, []int32{0, 1}, got.Topics[0].Partitions)
	require.Equal(d.t, epoch+1, end(epoch, true).ProducerEpoch)
	require.Equal(d.t, []string{"a", "b", "c", "d", "e", "x", "y"}, committed(d.peer, "events", 0, 1<<20))
	require.Equal(d.t, kerr.InvalidProducerEpoch.Code, write(epoch, 2, 0, "late"), "of the transaction that is over")
	require.Equal(d.t, kerr.InvalidProducerEpoch.Code, write(epoch, 1, 1, "late"))
	require.Zero(d.t, write(epoch+1, 0, 0, "dropped"), "sequences begin anew")
	require.Equal(d.t, epoch+2, end(epoch+1, false).ProducerEpoch)
	require.Equal(d.t, epoch+2, end(epoch+1, false).ProducerEpoch, "sent again")
	require.Equal(d.t, epoch+3, end(epoch+2, false).ProducerEpoch, "an abort of nothing")
	require.Equal(d.t, kerr.InvalidTxnState.Code, end(epoch+3, true).ErrorCode)
	require.Equal(d.t, []string{"a", "b", "c", "d", "e", "x", "y"}, committed(d.peer, "events", 0, 1<<20))
	require.Equal(d.t, kerr.InvalidProducerIDMapping.Code, func() int16 {
		req := produceRequest("events", 0, -1, producerBatch(d.t, id+7, 0, 0, true, "?"))
		req.TransactionID, req.Topics[0].TopicID = kmsg.StringPtr("tx"), d.events
		return ask[*kmsg.ProduceResponse](d.peer, d.version, req).Topics[0].Partitions[0].ErrorCode
	}())
}

// driveBumpingEnd is EndTxn of version 2 after partitions added as in version 1.
func driveBumpingEnd(d driven) {
	id, epoch := initTxn(d.peer, "tx")
	end := func(epoch int16, commit bool) *kmsg.EndTxnResponse {
		return ask[*kmsg.EndTxnResponse](d.peer, d.version, endRequest("tx", id, epoch, commit))
	}
	got := end(epoch, true)
	require.Equal(d.t, kerr.InvalidTxnState.Code, got.ErrorCode)
	require.Equal(d.t, int64(-1), got.ProducerID)
	for i := range int16(3) {
		mustAdd(d.peer, "tx", id, epoch+i, "events", 0)
		require.Zero(d.t, produceTxn(d.peer, 9, "tx", id, epoch+i, 0, "events", 0, "d"))
		got = end(epoch+i, true)
		require.Zero(d.t, got.ErrorCode)
		require.Equal(d.t, id, got.ProducerID)
		require.Equal(d.t, epoch+i+1, got.ProducerEpoch)
		require.Equal(d.t, got, end(epoch+i, true), "sent again")
	}
	require.Equal(d.t, kerr.ProducerFenced.Code, end(epoch, true).ErrorCode)
	require.Equal(d.t, []string{"a", "b", "c", "d", "d", "d"}, committed(d.peer, "events", 0, 1<<20))
	useUpEpochs(d, "tx", id)
	_, epoch = initTxn(d.peer, "tx")
	mustAdd(d.peer, "tx", id, epoch, "events", 0)
	require.Zero(d.t, produceTxn(d.peer, 9, "tx", id, epoch, 0, "events", 0, "e"))
	got = end(epoch, true)
	require.Zero(d.t, got.ErrorCode)
	require.NotEqual(d.t, id, got.ProducerID, "the epochs are used up")
	require.Zero(d.t, got.ProducerEpoch)
	require.Equal(d.t, got, end(epoch, true), "sent again")
	require.Equal(d.t, []string{"a", "b", "c", "d", "d", "d", "e"}, committed(d.peer, "events", 0, 1<<20))
}

// useUpEpochs has the coordinator read that very many incarnations have been.
func useUpEpochs(d driven, id string, producer int64) {
	k, v := kmsg.NewTxnMetadataKey(), kmsg.NewTxnMetadataValue()
	k.TransactionalID = id
	v.ProducerID, v.ProducerEpoch, v.State, v.LastUpdateTimestamp = producer, math.MaxInt16-2, kmsg.TransactionStateCompleteCommit, d.b.now().UnixMilli()
	l := d.b.txns.Load().lane(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	require.NoError(d.t, l.machine.Load(k.AppendTo(nil), v.AppendTo(nil)))
}

func driveUpdateFeatures(d driven) {
	update := func(only bool, kind int8, name string, level int16) int16 {
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType, u.AllowDowngrade = name, level, kind, kind > upgrade
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.FeatureUpdates, req.ValidateOnly = append(req.FeatureUpdates, u), only
		resp := ask[*kmsg.UpdateFeaturesResponse](d.peer, d.version, req)
		if d.version < 2 && resp.ErrorCode == 0 {
			require.Len(d.t, resp.Results, 1)
			require.Equal(d.t, name, resp.Results[0].Feature)
			return resp.Results[0].ErrorCode
		}
		require.Empty(d.t, resp.Results)
		return resp.ErrorCode
	}
	level := func(b *Broker) int16 {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1.0"
		for _, f := range ask[*kmsg.ApiVersionsResponse](dial(d.t, b), 4, req).FinalizedFeatures {
			if f.Name == "transaction.version" {
				return f.MaxVersionLevel
			}
		}
		return 0
	}
	refused := kerr.InvalidUpdateVersion.Code
	require.Equal(d.t, refused, update(false, upgrade, "transaction.version", 3))
	require.Equal(d.t, refused, update(false, upgrade, "transaction.version", 1), "not as an upgrade")
	require.Equal(d.t, refused, update(false, upgrade, "no.such.feature", 1))
	require.Equal(d.t, refused, update(false, safeDowngrade, metadataVersion, 3))
	require.Equal(d.t, kerr.InvalidRequest.Code, update(false, upgrade, "", 1))
	if d.version >= 1 {
		require.Zero(d.t, update(true, safeDowngrade, "transaction.version", 1))
		require.Equal(d.t, int16(2), level(d.b), "only asked")
		require.Equal(d.t, refused, update(false, 0, "transaction.version", 1))
	}
	require.Zero(d.t, update(false, safeDowngrade, "transaction.version", 0))
	require.Zero(d.t, level(d.b))
	cfg := d.b.cfg
	stop(d.t, d.b)
	b := start(d.t, cfg)
	require.Zero(d.t, level(b), "kept")
	d.peer = dial(d.t, b)
	require.Equal(d.t, refused, update(false, safeDowngrade, "transaction.version", 2))
	require.Zero(d.t, update(false, upgrade, "transaction.version", 2))
	require.Equal(d.t, int16(2), level(b))
}

func driveEndTxn(d driven) {
	if d.version >= 5 {
		driveBumpingEnd(d)
		return
	}
	id, epoch := initTxn(d.peer, "tx")
	end := func(commit bool) int16 {
		return ask[*kmsg.EndTxnResponse](d.peer, d.version, endRequest("tx", id, epoch, commit)).ErrorCode
	}
	require.Equal(d.t, kerr.InvalidTxnState.Code, end(true), "there is none")
	mustAdd(d.peer, "tx", id, epoch, "events", 0, 1)
	require.Zero(d.t, produceTxn(d.peer, 9, "tx", id, epoch, 0, "events", 0, "d"))
	require.Zero(d.t, end(true))
	require.Zero(d.t, end(true), "sent again")
	require.Equal(d.t, kerr.InvalidTxnState.Code, end(false))
	require.Equal(d.t, []string{"a", "b", "c", "d"}, committed(d.peer, "events", 0, 1<<20))
	mustAdd(d.peer, "tx", id, epoch, "events", 0)
	require.Zero(d.t, produceTxn(d.peer, 9, "tx", id, epoch, 1, "events", 0, "e"))
	require.Zero(d.t, end(false))
	mustProduce(d.peer, "events", 0, "f")
	require.Equal(d.t, []string{"a", "b", "c", "d", "f"}, committed(d.peer, "events", 0, 1<<20))

	// A second instance takes over in the middle of a transaction.
	mustAdd(d.peer, "tx", id, epoch, "events", 0)
	require.Zero(d.t, produceTxn(d.peer, 9, "tx", id, epoch, 2, "events", 0, "zombie's"))
	_, next := initTxn(d.peer, "tx")
	require.Equal(d.t, epoch+2, next, "one to fence, one to give")
	require.Equal(d.t, fencedAt(2, d.version), end(true))
	require.Equal(d.t, kerr.InvalidProducerEpoch.Code, produceTxn(d.peer, 9, "tx", id, epoch, 3, "events", 0, "zombie's"))
	require.Equal(d.t, kerr.InvalidProducerEpoch.Code, produceTxn(d.peer, 9, "tx", id, epoch, 0, "events", 1, "zombie's"), "where it has not written yet")
	require.Equal(d.t, []string{"a", "b", "c", "d", "f"}, committed(d.peer, "events", 0, 1<<20))
}

func describeTxn(p *peer, id string) kmsg.DescribeTransactionsResponseTransactionState {
	p.t.Helper()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	return ask[*kmsg.DescribeTransactionsResponse](p, 0, req).TransactionStates[0]
}

func driveDescribeTransactions(d driven) {
	id, epoch := initTxn(d.peer, "tx")
	require.Equal(d.t, "Empty", describeTxn(d.peer, "tx").State)
	mustAdd(d.peer, "tx", id, epoch, "events", 1, 0)
	got := describeTxn(d.peer, "tx")
	require.Zero(d.t, got.ErrorCode)
	require.Equal(d.t, "Ongoing", got.State)
	require.Equal(d.t, id, got.ProducerID)
	require.Equal(d.t, []int32{0, 1}, got.Topics[0].Partitions)
	require.Positive(d.t, got.StartTimestamp)
	require.Equal(d.t, kerr.TransactionalIDNotFound.Code, describeTxn(d.peer, "other").ErrorCode)
	require.Equal(d.t, kerr.InvalidRequest.Code, describeTxn(d.peer, "").ErrorCode)
}

func driveListTransactions(d driven) {
	req := kmsg.NewPtrListTransactionsRequest()
	require.Empty(d.t, ask[*kmsg.ListTransactionsResponse](d.peer, d.version, req).TransactionStates)
	one, epoch := initTxn(d.peer, "one")
	initTxn(d.peer, "two")
	mustAdd(d.peer, "one", one, epoch, "events", 0)
	list := func() (ids []string) {
		resp := ask[*kmsg.ListTransactionsResponse](d.peer, d.version, req)
		require.Zero(d.t, resp.ErrorCode)
		for _, s := range resp.TransactionStates {
			ids = append(ids, s.TransactionalID)
		}
		return ids
	}
	require.Equal(d.t, []string{"one", "two"}, list())
	req.ProducerIDFilters = []int64{one}
	require.Equal(d.t, []string{"one"}, list())
	req.ProducerIDFilters, req.StateFilters = nil, []string{"Empty", "nonsense"}
	require.Equal(d.t, []string{"two"}, list())
	require.Equal(d.t, []string{"nonsense"}, ask[*kmsg.ListTransactionsResponse](d.peer, d.version, req).UnknownStateFilters)
	if d.version >= 1 {
		req.StateFilters, req.DurationFilterMillis = nil, 3_600_000
		require.Empty(d.t, list())
	}
}

func driveDescribeProducers(d driven) {
	id, epoch := initTxn(d.peer, "tx")
	mustAdd(d.peer, "tx", id, epoch, "events", 0)
	require.Zero(d.t, produceTxn(d.peer, 9, "tx", id, epoch, 0, "events", 0, "d", "e"))
	req := kmsg.NewPtrDescribeProducersRequest()
	rt := kmsg.NewDescribeProducersRequestTopic()
	rt.Topic, rt.Partitions = "events", []int32{0, 7}
	req.Topics = append(req.Topics, rt)
	got := ask[*kmsg.DescribeProducersResponse](d.peer, d.version, req).Topics[0].Partitions
	require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, got[1].ErrorCode)
	require.Len(d.t, got[0].ActiveProducers, 1)
	a := got[0].ActiveProducers[0]
	require.Equal(d.t, id, a.ProducerID)
	require.Equal(d.t, int32(1), a.LastSequence)
	require.Equal(d.t, int64(3), a.CurrentTxnStartOffset)
	require.Equal(d.t, int32(-1), a.CoordinatorEpoch)
}

func driveTxnOffsetCommit(d driven) {
	id, epoch := initTxn(d.peer, "tx")
	findGroup(d.peer, "g")
	commit := func(offset int64) int16 {
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = "tx", "g", id, epoch, -1
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic = "events"
		for _, p := range []int32{0, 9} {
			rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			rp.Partition, rp.Offset = p, offset
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
		resp := ask[*kmsg.TxnOffsetCommitResponse](d.peer, d.version, req)
		require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, resp.Topics[0].Partitions[0].ErrorCode)
		return resp.Topics[1].Partitions[0].ErrorCode
	}
	add := func() {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = "tx", id, epoch, "g"
		require.Zero(d.t, ask[*kmsg.AddOffsetsToTxnResponse](d.peer, 3, req).ErrorCode)
	}
	p := d.peer
	fetch := func(stable bool) (int64, int16) {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group, req.RequireStable = "g", stable
		rt := kmsg.NewOffsetFetchRequestTopic()
		rt.Topic, rt.Partitions = "events", []int32{0}
		req.Topics = append(req.Topics, rt)
		got := ask[*kmsg.OffsetFetchResponse](p, 7, req).Topics[0].Partitions[0]
		return got.Offset, got.ErrorCode
	}
	is := func(offset int64, code int16, stable bool) {
		d.t.Helper()
		o, c := fetch(stable)
		require.Equal(d.t, offset, o)
		require.Equal(d.t, code, c)
	}
	want := kerr.InvalidTxnState.Code
	if d.version >= 4 {
		want = kerr.TransactionAbortable.Code
	}
	if d.version < 5 {
		require.Equal(d.t, want, commit(1), "the group was not added")
	} else {
		add = func() {} // the commit does
	}
	add()
	require.Zero(d.t, commit(1))
	is(-1, 0, false)
	is(-1, kerr.UnstableOffsetCommit.Code, true)
	require.Zero(d.t, endTransaction(d.peer, "tx", id, epoch, true))
	is(1, 0, true)
	add()
	require.Zero(d.t, commit(2))
	is(1, 0, false)
	require.Zero(d.t, endTransaction(d.peer, "tx", id, epoch, false))
	is(1, 0, true)

	// What is held, and what was committed, outlives a restart; the marker that
	// ends it comes after.
	add()
	require.Zero(d.t, commit(3))
	cfg := d.b.cfg
	stop(d.t, d.b)
	b := start(d.t, cfg)
	p = dial(d.t, b)
	findGroup(p, "g")
	is(1, 0, false)
	is(-1, kerr.UnstableOffsetCommit.Code, true)
	require.Zero(d.t, endTransaction(p, "tx", id, epoch, true))
	is(3, 0, true)
	stop(d.t, b)
	p = dial(d.t, start(d.t, cfg))
	findGroup(p, "g")
	is(3, 0, true)
	_, epoch = initTxn(p, "tx")
	require.Equal(d.t, kerr.InvalidProducerEpoch.Code, commitFenced(p, id, epoch-1))
}

// commitFenced commits under an epoch that is no longer the id's.
func commitFenced(p *peer, id int64, epoch int16) int16 {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = "tx", "g", id, epoch, -1
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic = "events"
	rt.Partitions = append(rt.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
	req.Topics = append(req.Topics, rt)
	return ask[*kmsg.TxnOffsetCommitResponse](p, 3, req).Topics[0].Partitions[0].ErrorCode
}

func driveWriteTxnMarkers(d driven) {
	id, epoch := initTxn(d.peer, "tx")
	mustAdd(d.peer, "tx", id, epoch, "events", 0)
	require.Zero(d.t, produceTxn(d.peer, 9, "tx", id, epoch, 0, "events", 0, "d"))
	mustProduce(d.peer, "events", 0, "e")
	mark := func(epoch int16, coordinator int32, partition int32) int16 {
		req := kmsg.NewPtrWriteTxnMarkersRequest()
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch = id, epoch, coordinator
		rt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		rt.Topic, rt.Partitions = "events", []int32{partition}
		m.Topics = append(m.Topics, rt)
		req.Markers = append(req.Markers, m)
		return ask[*kmsg.WriteTxnMarkersResponse](d.peer, d.version, req).Markers[0].Topics[0].Partitions[0].ErrorCode
	}
	require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, mark(epoch, 0, 9))
	require.Equal(d.t, []string{"a", "b", "c"}, committed(d.peer, "events", 0, 1<<20))
	require.Zero(d.t, mark(epoch, 3, 0))
	require.Equal(d.t, []string{"a", "b", "c", "e"}, committed(d.peer, "events", 0, 1<<20), "what hung is aborted")
	require.Equal(d.t, kerr.TransactionCoordinatorFenced.Code, mark(epoch, 2, 0))
	require.Zero(d.t, mark(epoch+1, 3, 0))
	require.Equal(d.t, kerr.InvalidProducerEpoch.Code, mark(epoch, 3, 0))
}
