package core

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"millrace/batching"
	"millrace/diskio"
)

// sized is a batch of about n bytes.
func sized(t testing.TB, n int) []byte {
	return oneBatch(t, batching.Options{}, strings.Repeat("x", n))
}

// addPartition asks for one more partition of the first topic of req.
func addPartition(req *kmsg.FetchRequest, partition int32, offset int64) *kmsg.FetchRequestTopicPartition {
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = partition, offset, 1<<20, -1
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
	return &req.Topics[0].Partitions[len(req.Topics[0].Partitions)-1]
}

// batches counts the batches of a partition's share and its bytes.
func batches(t *testing.T, b []byte) (n int) {
	for len(b) > 0 {
		v, err := batching.View(b)
		require.NoError(t, err)
		b = b[v.Size():]
		n++
	}
	return n
}

// TestFetchLimits: three partitions with four batches of about 1000 bytes each.
func TestFetchLimits(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 3)
	for partition := range int32(3) {
		for range 4 {
			require.Zero(t, produceOne(p, "t", partition, sized(t, 930)).ErrorCode)
		}
	}
	for _, c := range []struct {
		name         string
		total, share int32
		want         [3]int // batches
	}{
		{"enough for all", 1 << 20, 1 << 20, [3]int{4, 4, 4}},
		{"two a partition", 1 << 20, 2100, [3]int{2, 2, 2}},
		{"the total ends in the second", 5100, 1 << 20, [3]int{4, 1, 0}},
		{"less than a batch: the first partition gives one all the same", 1 << 20, 10, [3]int{1, 0, 0}},
		{"a total of nothing: as well", 0, 1 << 20, [3]int{1, 0, 0}},
		{"a share of nothing: as well", 1 << 20, 0, [3]int{1, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := fetchRequest("t", 0, 0)
			addPartition(req, 1, 0)
			addPartition(req, 2, 0)
			req.MaxBytes = c.total
			for i := range req.Topics[0].Partitions {
				req.Topics[0].Partitions[i].PartitionMaxBytes = c.share
			}
			resp := ask[*kmsg.FetchResponse](p, 12, req)
			var got [3]int
			for i, part := range resp.Topics[0].Partitions {
				require.Zero(t, part.ErrorCode)
				got[i] = batches(t, part.RecordBatches)
			}
			require.Equal(t, c.want, got)
		})
	}
	t.Run("the first partition is empty: the next one may exceed", func(t *testing.T) {
		req := fetchRequest("t", 0, 4)
		addPartition(req, 1, 0).PartitionMaxBytes = 10
		addPartition(req, 2, 0).PartitionMaxBytes = 10
		got := ask[*kmsg.FetchResponse](p, 12, req).Topics[0].Partitions
		require.Equal(t, []int{0, 1, 0}, []int{batches(t, got[0].RecordBatches), batches(t, got[1].RecordBatches), batches(t, got[2].RecordBatches)})
	})
	t.Run("fetch.max.bytes caps the client", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.FetchMaxBytes = 2100
		b := start(t, cfg)
		p := dial(t, b)
		createTopic(t, p, "t", 1)
		for range 4 {
			produceOne(p, "t", 0, sized(t, 930))
		}
		require.Equal(t, 2, batches(t, fetchOne(p, "t", 0, 0).RecordBatches))
	})
}

// long asks to wait for as long as the test is patient.
func long(req *kmsg.FetchRequest) *kmsg.FetchRequest {
	req.MaxWaitMillis = int32(patience.Milliseconds())
	req.SetVersion(12)
	return req
}

// eventually waits for a condition, with a bound.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%s: not within %v", what, patience)
	}
}

func parked(t *testing.T, b *Broker, n int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d parked fetches", n), func() bool { return b.Counters().Parked == n })
}

func TestLongPoll(t *testing.T) {
	b := start(t, testConfig(t))
	p, other := dial(t, b), dial(t, b)
	createTopic(t, p, "t", 3)

	t.Run("an append wakes every waiter", func(t *testing.T) {
		const n = 20
		var waiting []*peer
		for range n {
			w := dial(t, b)
			w.send(long(fetchRequest("t", 0, 0)))
			waiting = append(waiting, w)
		}
		parked(t, b, n)
		mustProduce(other, "t", 0, "now")
		for _, w := range waiting {
			got := w.receive(long(fetchRequest("t", 0, 0)), w.next).(*kmsg.FetchResponse).Topics[0].Partitions[0]
			require.Equal(t, []string{"now"}, values(t, got.RecordBatches))
		}
		parked(t, b, 0)
	})
	t.Run("any of its partitions wakes it", func(t *testing.T) {
		req := long(fetchRequest("t", 1, 0))
		addPartition(req, 2, 0)
		p.send(req)
		parked(t, b, 1)
		mustProduce(other, "t", 2, "second")
		got := p.receive(req, p.next).(*kmsg.FetchResponse).Topics[0].Partitions
		require.Empty(t, got[0].RecordBatches)
		require.Equal(t, []string{"second"}, values(t, got[1].RecordBatches))
	})
	t.Run("min bytes is waited for", func(t *testing.T) {
		req := long(fetchRequest("t", 1, 0))
		req.MinBytes = 2500
		p.send(req)
		parked(t, b, 1)
		for range 2 {
			require.Zero(t, produceOne(other, "t", 1, sized(t, 930)).ErrorCode)
		}
		require.Equal(t, int64(1), b.Counters().Parked, "2000 bytes are not 2500")
		require.Zero(t, produceOne(other, "t", 1, sized(t, 930)).ErrorCode)
		got := p.receive(req, p.next).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		require.Equal(t, 3, batches(t, got.RecordBatches))
	})
	t.Run("max wait ends it", func(t *testing.T) {
		req := fetchRequest("t", 1, 3)
		req.MaxWaitMillis = 30
		req.SetVersion(12)
		got := p.ask(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		require.Zero(t, got.ErrorCode)
		require.Empty(t, got.RecordBatches)
		require.Equal(t, int64(3), got.HighWatermark)
	})
	t.Run("a fault answers at once", func(t *testing.T) {
		req := long(fetchRequest("t", 1, 3))
		addPartition(req, 9, 0)
		got := p.ask(req).(*kmsg.FetchResponse).Topics[0].Partitions
		require.Equal(t, kerr.UnknownTopicOrPartition.Code, got[1].ErrorCode)
	})
	t.Run("deleting the topic answers it", func(t *testing.T) {
		createTopic(t, other, "short", 1)
		req := long(fetchRequest("short", 0, 0))
		p.send(req)
		parked(t, b, 1)
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.TopicNames = []string{"short"}
		require.Zero(t, ask[*kmsg.DeleteTopicsResponse](other, 5, del).Topics[0].ErrorCode)
		got := p.receive(req, p.next).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		require.Equal(t, kerr.UnknownTopicOrPartition.Code, got.ErrorCode)
	})
	t.Run("answers keep the order of requests", func(t *testing.T) {
		req := long(fetchRequest("t", 0, 1))
		p.send(req)
		fetchID := p.next
		api := kmsg.NewPtrApiVersionsRequest()
		p.send(api)
		parked(t, b, 1)
		mustProduce(other, "t", 0, "later")
		require.NotEmpty(t, p.receive(req, fetchID).(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches)
		p.receive(api, p.next)
	})
	t.Run("a stop answers what waits", func(t *testing.T) {
		b := start(t, testConfig(t))
		p := dial(t, b)
		createTopic(t, p, "t", 1)
		req := long(fetchRequest("t", 0, 0))
		p.send(req)
		parked(t, b, 1)
		stop(t, b)
		require.Zero(t, p.receive(req, p.next).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode)
	})
	t.Run("a closed connection leaves nothing behind", func(t *testing.T) {
		w := dial(t, b)
		req := long(fetchRequest("t", 0, 2))
		addPartition(req, 1, 3)
		w.send(req)
		parked(t, b, 1)
		w.conn.Close()
		parked(t, b, 0)
		mustProduce(other, "t", 0, "nobody waits")
	})
}

// TestColdRead: records that are not in the page cache are read in by a worker,
// and the answer is the same. Where the file system cannot forget (one in
// memory), only the answer can be checked.
func TestColdRead(t *testing.T) {
	cfg := testConfig(t)
	cfg.Disk.ColdRead = diskio.ColdPrefetch
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	want := strings.Repeat("x", 300_000)
	require.Zero(t, mustProduce(p, "t", 0, want))

	f, err := os.Open(filepath.Join(cfg.DataDir, "t-0", "00000000000000000000.log"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Sync())
	require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	var pages unix.Cachestat_t
	err = unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &pages, 0)
	cold := err == nil && pages.Cache == 0
	require.Equal(t, []string{want}, values(t, fetchOne(p, "t", 0, 0).RecordBatches))
	if !cold {
		t.Logf("the page cache kept %d pages (%v)", pages.Cache, err)
		return
	}
	require.Equal(t, int64(1), b.Counters().ColdReads)
	require.Equal(t, []string{want}, values(t, fetchOne(p, "t", 0, 0).RecordBatches))
	require.Equal(t, int64(1), b.Counters().ColdReads, "now it is there")
}

func TestFetchEpochs(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "a")

	req := fetchRequest("t", 0, 0)
	req.Topics[0].Partitions[0].CurrentLeaderEpoch = 5
	require.Equal(t, kerr.UnknownLeaderEpoch.Code, ask[*kmsg.FetchResponse](p, 12, req).Topics[0].Partitions[0].ErrorCode)

	// No topics: nothing to wait for.
	req = kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.SessionEpoch = int32(patience.Milliseconds()), -1
	require.Empty(t, ask[*kmsg.FetchResponse](p, 12, req).Topics)
}
