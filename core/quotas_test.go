package core

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/diskio"
)

// setQuota gives an entity a limit; 0 takes it away.
func setQuota(p *peer, version int16, entity map[string]*string, key string, limit float64) int16 {
	p.t.Helper()
	req := kmsg.NewPtrAlterClientQuotasRequest()
	e := kmsg.NewAlterClientQuotasRequestEntry()
	for kind, name := range entity {
		part := kmsg.NewAlterClientQuotasRequestEntryEntity()
		part.Type, part.Name = kind, name
		e.Entity = append(e.Entity, part)
	}
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value, op.Remove = key, limit, limit == 0
	e.Ops = append(e.Ops, op)
	req.Entries = append(req.Entries, e)
	return ask[*kmsg.AlterClientQuotasResponse](p, version, req).Entries[0].ErrorCode
}

// theClient is the entity of every peer.
func theClient() map[string]*string { return map[string]*string{"client-id": kmsg.StringPtr("test")} }

func driveAlterClientQuotas(d driven) {
	require.Zero(d.t, setQuota(d.peer, d.version, theClient(), "producer_byte_rate", 1000))
	require.Zero(d.t, setQuota(d.peer, d.version, map[string]*string{"user": nil}, "request_percentage", 50.5))
	require.Equal(d.t, kerr.InvalidRequest.Code, setQuota(d.peer, d.version, theClient(), "producer_byte_rate", -1))
	require.Len(d.t, d.b.view.Load().image.Quotas(), 2)
	require.Zero(d.t, setQuota(d.peer, d.version, theClient(), "producer_byte_rate", 0))
	require.Len(d.t, d.b.view.Load().image.Quotas(), 1)
}

func driveDescribeClientQuotas(d driven) {
	require.Zero(d.t, setQuota(d.peer, 1, theClient(), "producer_byte_rate", 1000))
	require.Zero(d.t, setQuota(d.peer, 1, map[string]*string{"client-id": nil}, "consumer_byte_rate", 5))
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	resp := ask[*kmsg.DescribeClientQuotasResponse](d.peer, d.version, req)
	require.Len(d.t, resp.Entries, 2)
	c := kmsg.NewDescribeClientQuotasRequestComponent()
	c.EntityType, c.Match = "client-id", kmsg.StringPtr("test")
	req.Components = append(req.Components, c)
	resp = ask[*kmsg.DescribeClientQuotasResponse](d.peer, d.version, req)
	require.Len(d.t, resp.Entries, 1)
	require.Equal(d.t, 1000.0, resp.Entries[0].Values[0].Value)
	req.Components[0].EntityType = "planet"
	require.Equal(d.t, kerr.UnsupportedVersion.Code, ask[*kmsg.DescribeClientQuotasResponse](d.peer, d.version, req).ErrorCode)
}

func quotaBroker(t *testing.T) (*Broker, *peer) {
	b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	return b, p
}

func big() string { return strings.Repeat("x", 10_000) }

// TestProduceQuota: a client above its rate is told to wait, is answered all
// the same, and is made to wait: what it sends next is not looked at before.
func TestProduceQuota(t *testing.T) {
	b, p := quotaBroker(t)
	send := func() int32 {
		req := produceRequest("t", 0, -1, oneBatch(t, batching.Options{}, big()))
		resp := ask[*kmsg.ProduceResponse](p, 9, req)
		require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode)
		return resp.ThrottleMillis
	}
	require.Zero(t, send(), "nobody is limited")
	require.Zero(t, setQuota(p, 1, theClient(), "producer_byte_rate", 100_000))
	var told time.Duration
	var at time.Time
	for range 200 { // 1 MB is ten seconds' worth
		if wait := send(); wait > 0 {
			told, at = time.Duration(wait)*time.Millisecond, time.Now()
			break
		}
	}
	require.Positive(t, told)
	require.Positive(t, b.Counters().Throttled)
	other := dial(t, b)
	require.NotEmpty(t, ask[*kmsg.MetadataResponse](other, 12, kmsg.NewPtrMetadataRequest()).Brokers, "another connection goes on")
	p.ask(kmsg.NewPtrApiVersionsRequest())
	// The mute began before the answer was read, by no more than it took here.
	require.Greater(t, time.Since(at), told*3/4)
	require.Zero(t, setQuota(other, 1, theClient(), "producer_byte_rate", 0))
	require.Zero(t, send(), "the limit is gone")
}

// TestFetchQuota: a throttled fetch is answered with nothing, in a session too,
// and what it asked for comes later.
func TestFetchQuota(t *testing.T) {
	for _, version := range []int16{6, 12} {
		b, p := quotaBroker(t)
		for range 30 {
			mustProduce(p, "t", 0, big())
		}
		require.Zero(t, setQuota(p, 1, theClient(), "consumer_byte_rate", 20_000))
		offset, empty, session, epoch := int64(0), 0, int32(0), int32(0)
		for offset < 30 {
			req := fetchRequest("t", 0, offset)
			req.MaxBytes = 50_000
			req.SessionID, req.SessionEpoch = session, epoch
			resp := ask[*kmsg.FetchResponse](p, version, req)
			require.Zero(t, resp.ErrorCode)
			if resp.SessionID != 0 {
				session = resp.SessionID
				epoch++
			}
			if resp.ThrottleMillis > 0 && len(resp.Topics) == 0 {
				if empty++; empty == 2 {
					break
				}
				b.quotas.Charge("consumer_byte_rate", anonymous, "test", -50_000, b.now()) // as if time had passed
				continue
			}
			require.NotEmpty(t, resp.Topics)
			offset += int64(len(values(t, resp.Topics[0].Partitions[0].RecordBatches)))
		}
		require.Equal(t, 2, empty)
		require.Positive(t, offset)
		if version == 12 {
			require.NotZero(t, session)
		}
	}
}

// TestFetchLargerThanItsQuota: a batch that is more than a client may fetch in
// all the time that is measured moves all the same.
func TestFetchLargerThanItsQuota(t *testing.T) {
	_, p := quotaBroker(t)
	mustProduce(p, "t", 0, big())
	require.Zero(t, setQuota(p, 1, theClient(), "consumer_byte_rate", 900))
	resp := ask[*kmsg.FetchResponse](p, 12, fetchRequest("t", 0, 0))
	require.Positive(t, resp.ThrottleMillis)
	require.Len(t, values(t, resp.Topics[0].Partitions[0].RecordBatches), 1)
}

// TestRequestQuota: whoever asks for too much time is told, whichever way the
// request is answered.
func TestRequestQuota(t *testing.T) {
	_, p := quotaBroker(t)
	require.Zero(t, setQuota(p, 1, map[string]*string{"user": kmsg.StringPtr(anonymous)}, "request_percentage", 0.000001))
	require.Positive(t, ask[*kmsg.DescribeClusterResponse](p, 1, kmsg.NewPtrDescribeClusterRequest()).ThrottleMillis)
	resp := ask[*kmsg.ProduceResponse](p, 9, produceRequest("t", 0, -1, oneBatch(t, batching.Options{}, "a")))
	require.Positive(t, resp.ThrottleMillis)
	require.Positive(t, ask[*kmsg.FetchResponse](p, 12, fetchRequest("t", 0, 0)).ThrottleMillis)
}

// TestQuotasAreKept: they are there after a crash.
func TestQuotasAreKept(t *testing.T) {
	mem := diskio.NewMem()
	b := start(t, onMemory(t, mem, diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	require.Zero(t, setQuota(p, 1, theClient(), "producer_byte_rate", 900))
	cfg := onMemory(t, mem.CrashClone(diskio.Crash{}), diskio.SyncPageCache)
	again := dial(t, start(t, cfg))
	resp := ask[*kmsg.ProduceResponse](again, 9, produceRequest("t", 0, -1, oneBatch(t, batching.Options{}, big())))
	require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode)
	require.Positive(t, resp.ThrottleMillis)
}
