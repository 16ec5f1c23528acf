package core

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/diskio"
)

// TestProducersShareAWrite: what several producers send while a partition is
// busy goes into its file together, and each hears of its own batch: offsets,
// duplicates and refusals as if they had come alone.
func TestProducersShareAWrite(t *testing.T) {
	for _, policy := range []string{diskio.SyncPageCache, diskio.SyncGroup} {
		t.Run("sync.policy="+policy, func(t *testing.T) {
			cfg := onMemory(t, diskio.NewMem(), policy)
			cfg.Disk.AppendMode = diskio.AppendGrouped
			b := start(t, cfg)
			createTopic(t, dial(t, b), "t", 1)
			part := partitionAt(b, "t", 0)
			gathered := func() int {
				part.group.mu.Lock()
				defer part.group.mu.Unlock()
				return len(part.group.waiting)
			}

			part.mu.Lock() // busy
			var peers []*peer
			send := func(batch []byte) {
				p := dial(t, b)
				req := produceRequest("t", 0, -1, batch)
				req.SetVersion(9)
				p.send(req)
				peers = append(peers, p)
			}
			send(oneBatch(t, batching.Options{}, "first"))
			eventually(t, "the first is being written", func() bool {
				part.group.mu.Lock()
				defer part.group.mu.Unlock()
				return part.group.running && len(part.group.waiting) == 0
			})
			wait := func() {
				n := len(peers) - 1
				eventually(t, "the next has joined", func() bool { return gathered() == n })
			}
			for i := range 3 {
				send(oneBatch(t, batching.Options{}, fmt.Sprint("plain ", i)))
				wait()
			}
			// Of one producer: a batch, the same again, the next, and a gap.
			for _, sequence := range []int32{0, 0, 1, 7} {
				send(producerBatch(t, 1, 0, sequence, false, fmt.Sprint("idempotent ", sequence)))
				wait()
			}
			send(producerBatch(t, 2, 0, 0, false, "another producer"))
			wait()
			part.mu.Unlock()

			gap := kerr.OutOfOrderSequenceNumber.Code
			for i, want := range []struct {
				offset int64
				code   int16
			}{{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}, {4, 0}, {5, 0}, {-1, gap}, {6, 0}} {
				req := produceRequest("t", 0, -1, nil)
				req.SetVersion(9)
				got := peers[i].receive(req, peers[i].next).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
				require.Equal(t, want.code, got.ErrorCode, "request %d", i)
				require.Equal(t, want.offset, got.BaseOffset, "request %d", i)
			}
			require.Equal(t, []string{"first", "plain 0", "plain 1", "plain 2", "idempotent 0", "idempotent 1", "another producer"},
				fetchAll(dial(t, b), "t", 0))
			require.GreaterOrEqual(t, b.Counters().Shared, int64(4), "three plain ones and the first of the producer's")
			require.EqualValues(t, 1, b.Counters().Duplicates)
		})
	}
}

// TestSharedWriteFails: all of a write that the disk refuses are told so.
func TestSharedWriteFails(t *testing.T) {
	cfg := testConfig(t)
	cfg.Disk.AppendMode = diskio.AppendGrouped
	b, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Stop(t.Context()) })
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "a")
	partitionAt(b, "t", 0).fail("test", fmt.Errorf("on purpose"))
	require.Equal(t, kerr.KafkaStorageError.Code, produceOne(p, "t", 0, oneBatch(t, batching.Options{}, "b")).ErrorCode)
}
