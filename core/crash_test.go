package core

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/diskio"
)

// onMemory is a broker whose files are in memory.
func onMemory(t testing.TB, fs diskio.FS, policy string) Config {
	cfg := testConfig(t)
	cfg.DataDir, cfg.FS, cfg.Disk.SyncPolicy = "/data", fs, policy
	return cfg
}

// TestPowerLoss cuts the power at many points of a run. What sync.policy
// promises of it is there: with group and each all that was acknowledged, and
// always the topic, whose creation is synced whatever the policy. The negative
// control is page-cache, which promises nothing and keeps nothing here.
func TestPowerLoss(t *testing.T) {
	for _, policy := range []string{diskio.SyncGroup, diskio.SyncEach, diskio.SyncPageCache} {
		for _, survives := range []float64{0, 0.5} {
			t.Run(fmt.Sprintf("%s/%v", policy, survives), func(t *testing.T) {
				fs := diskio.NewMem()
				b := start(t, onMemory(t, fs, policy))
				p := dial(t, b)
				createTopic(t, p, "t", 1)
				for i := range 12 {
					mustProduce(p, "t", 0, fmt.Sprint(i))
					crashed := start(t, onMemory(t, fs.CrashClone(diskio.Crash{Seed: uint64(i), Survives: survives}), policy))
					got := fetchAll(dial(t, crashed), "t", 0)
					for j, v := range got {
						require.Equal(t, fmt.Sprint(j), v)
					}
					switch {
					case policy != diskio.SyncPageCache:
						require.Len(t, got, i+1, "acknowledged, and gone")
					case survives == 0:
						require.Empty(t, got, "the file system forgets what was not synced, or the test proves nothing")
					}
				}
			})
		}
	}
}

// TestSnapshotOutlivesItsRecords: a producer snapshot is synced when it is
// written, the records it speaks of need not be. What a loss of power took of them
// is not a duplicate when it is sent again.
func TestSnapshotOutlivesItsRecords(t *testing.T) {
	fs := diskio.NewMem()
	b := start(t, onMemory(t, fs, diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	id := newProducerID(p)
	require.Zero(t, produceBatchTo(p, "t", 0, idempotentBatch(t, id, 0, "a")))
	require.NoError(t, partitionAt(b, "t", 0).log.Sync())
	require.Equal(t, int64(1), produceBatchTo(p, "t", 0, idempotentBatch(t, id, 1, "b")))
	require.NoError(t, partitionAt(b, "t", 0).snapshotNow())

	b = start(t, onMemory(t, fs.CrashClone(diskio.Crash{}), diskio.SyncPageCache))
	p = dial(t, b)
	require.Equal(t, []string{"a"}, fetchAll(p, "t", 0), "the power took the second, or the test proves nothing")
	require.Equal(t, int64(1), produceBatchTo(p, "t", 0, idempotentBatch(t, id, 1, "b")))
	require.Equal(t, []string{"a", "b"}, fetchAll(p, "t", 0))
}

// fetchAll reads a partition to its end.
func fetchAll(p *peer, topic string, partition int32) (out []string) {
	p.t.Helper()
	for range 1000 {
		got := fetchOne(p, topic, partition, int64(len(out)))
		require.Zero(p.t, got.ErrorCode)
		if len(got.RecordBatches) == 0 {
			return out
		}
		out = append(out, values(p.t, got.RecordBatches)...)
	}
	p.t.Fatal("the log does not end")
	return nil
}

// TestDiskFailure: the partition whose disk fails goes offline and says so; what
// was not promised is not acknowledged; the metadata stays as it was.
func TestDiskFailure(t *testing.T) {
	for _, c := range []struct{ name, policy, op string }{
		{"write", diskio.SyncPageCache, "write"},
		{"fsync of a group", diskio.SyncGroup, "sync"},
		{"fsync of each", diskio.SyncEach, "sync"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := diskio.NewFault(diskio.NewMem())
			b, err := Start(t.Context(), onMemory(t, fs, c.policy))
			require.NoError(t, err)
			p, waiter := dial(t, b), dial(t, b)
			createTopic(t, p, "t", 1)
			mustProduce(p, "t", 0, "good")

			waiting := long(fetchRequest("t", 0, 1))
			waiter.send(waiting)
			parked(t, b, 1)
			fs.Set(diskio.Fault{Call: 1, Op: c.op, Err: syscall.EIO, Sticky: true})
			got := produceOne(p, "t", 0, oneBatch(t, batching.Options{}, "bad"))
			require.Equal(t, kerr.KafkaStorageError.Code, got.ErrorCode)
			require.Equal(t, int64(-1), got.BaseOffset)
			require.Equal(t, kerr.KafkaStorageError.Code,
				waiter.receive(waiting, waiter.next).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode, "a waiting fetch hears of it")
			require.Equal(t, int64(1), b.Counters().Offline)

			// It stays so when the disk seems well again: nothing is retried.
			fs.Set(diskio.Fault{})
			require.Equal(t, kerr.KafkaStorageError.Code, produceOne(p, "t", 0, oneBatch(t, batching.Options{}, "bad")).ErrorCode)
			topics := ask[*kmsg.MetadataResponse](p, 12, kmsg.NewPtrMetadataRequest()).Topics
			require.Equal(t, int32(-1), topics[0].Partitions[0].Leader)
			require.Equal(t, []int32{1}, topics[0].Partitions[0].OfflineReplicas)
			require.Error(t, b.Stop(t.Context()), "the stop was not clean, and says so")
		})
	}
}

// TestMetadataFailure: a topic that could not be kept is not made.
func TestMetadataFailure(t *testing.T) {
	fs := diskio.NewFault(diskio.NewMem())
	b, err := Start(t.Context(), onMemory(t, fs, diskio.SyncPageCache))
	require.NoError(t, err)
	defer func() { require.Error(t, b.Stop(t.Context())) }()
	p := dial(t, b)
	fs.Set(diskio.Fault{Call: 1, Op: "sync", Err: syscall.EIO})
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "t", 1, 1
	req.Topics = append(req.Topics, rt)
	require.Equal(t, kerr.KafkaStorageError.Code, ask[*kmsg.CreateTopicsResponse](p, 7, req).Topics[0].ErrorCode)
	require.Empty(t, ask[*kmsg.MetadataResponse](p, 12, kmsg.NewPtrMetadataRequest()).Topics)
}

// TestStartFailsAtEveryCall fails each call that a start makes of the file
// system, in turn: the start says so in one line, or succeeds with the partition
// offline, and never panics.
func TestStartFailsAtEveryCall(t *testing.T) {
	mem := diskio.NewMem()
	b := start(t, onMemory(t, mem, diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "a")
	stop(t, b)
	failed := 0
	for call := int64(1); call < 2000; call++ {
		fs := diskio.NewFault(mem.CrashClone(diskio.Crash{}))
		fs.Set(diskio.Fault{Call: call, Err: syscall.EIO})
		b, err := Start(t.Context(), onMemory(t, fs, diskio.SyncPageCache))
		calls, _ := fs.Calls()
		fs.Set(diskio.Fault{})
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			failed++
			continue
		}
		if calls < call {
			require.NoError(t, b.Stop(t.Context()))
			require.Positive(t, failed)
			return
		}
		_ = b.Stop(t.Context()) // the partition may be offline
	}
	t.Fatal("a start makes no end of calls")
}
