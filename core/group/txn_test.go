package group

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// txnShard is a shard with a log to be loaded from again.
type txnShard struct {
	t   *testing.T
	s   *shard
	log []func(*shard)
}

func newTxnShard(t *testing.T) *txnShard {
	cfg := Defaults()
	return &txnShard{t: t, s: newShard(&cfg, cfg.budget(), func() string { return "id" })}
}

func (x *txnShard) keep(fx effects) {
	for _, r := range fx.records {
		producer := int64(-1)
		if r.Txn != nil {
			producer = r.Txn.Producer
		}
		x.log = append(x.log, func(s *shard) {
			if producer >= 0 {
				require.NoError(x.t, s.loadOffset(producer, r.Key, r.Value))
				return
			}
			require.NoError(x.t, s.load(r.Key, r.Value))
		})
	}
}

func (x *txnShard) commit(producer, offset int64) int16 {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.Group, req.ProducerID, req.Generation = 3, "g", producer, -1
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic = "t"
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	fx := x.s.step(time.Now(), &Request{Body: req})
	x.keep(fx)
	return fx.replies[0].body.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

func (x *txnShard) plain(offset int64) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 8, "g", -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = "t"
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	fx := x.s.step(time.Now(), &Request{Body: req})
	require.Zero(x.t, fx.replies[0].body.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	x.keep(fx)
}

func (x *txnShard) end(producer int64, commit bool) {
	x.s.endTxn(time.Now(), producer, commit)
	x.log = append(x.log, func(s *shard) { s.endTxn(time.Now(), producer, commit) })
}

func (x *txnShard) reload() {
	fresh := newTxnShard(x.t)
	for _, f := range x.log {
		f(fresh.s)
	}
	x.s = fresh.s
}

// is holds the offset to what is wanted, now and after a start.
func (x *txnShard) is(offset int64, unstable bool) {
	x.t.Helper()
	for range 2 {
		got := x.s.fetchGroup("g", []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}, false)[0].Partitions[0]
		require.Equal(x.t, offset, got.Offset)
		got = x.s.fetchGroup("g", []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}, true)[0].Partitions[0]
		require.Equal(x.t, unstable, got.ErrorCode == kerr.UnstableOffsetCommit.Code)
		x.reload()
	}
}

// TestTxnOffsets: what a transaction brings counts from its end on, over what
// came before it and under what came after.
func TestTxnOffsets(t *testing.T) {
	x := newTxnShard(t)
	require.Zero(t, x.commit(1, 10))
	x.is(-1, true)
	x.end(1, true)
	x.is(10, false)
	require.Zero(t, x.commit(1, 20))
	require.Zero(t, x.commit(2, 30))
	x.is(10, true)
	x.end(2, false)
	x.is(10, true)
	x.plain(25)
	x.end(1, true)
	x.is(25, false) // which was committed later
	require.Zero(t, x.commit(1, 40))
	x.end(1, true)
	x.is(40, false)
	x.end(1, false) // a marker written again
	x.is(40, false)
	before := x.s.budget.bytes.Load()
	require.Zero(t, x.commit(3, 50))
	require.Greater(t, x.s.budget.bytes.Load(), before)
	x.end(3, false)
	require.Equal(t, before, x.s.budget.bytes.Load())
}
