package core

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/diskio"
)

func compactingConfig(t *testing.T) Config {
	cfg := testConfig(t)
	cfg.Cleaner.Backoff = 10 * time.Millisecond
	return cfg
}

// keyedBatch is one record.
func keyedBatch(t *testing.T, key, value string) []byte {
	b := batching.NewBuilder(batching.Options{})
	require.NoError(t, b.Append(time.Now().UnixMilli(), []byte(key), []byte(value), nil))
	raw, err := b.Build(nil)
	require.NoError(t, err)
	return raw
}

func logSize(b *Broker, name string) int64 {
	for _, p := range b.view.Load().all() {
		if p.name == name {
			return p.log.Size()
		}
	}
	return -1
}

// TestCompactedTopicStopsGrowing: the log of a compacted topic is bounded by its
// keys, and a consumer finds the newest value of each, also after a kill.
func TestCompactedTopicStopsGrowing(t *testing.T) {
	for _, policy := range []string{"compact", "compact,delete"} {
		t.Run(policy, func(t *testing.T) {
			cfg := compactingConfig(t)
			b := start(t, cfg)
			p := dial(t, b)
			createTopic(t, p, "t", 1, "cleanup.policy", policy, "segment.bytes", "4096", "min.cleanable.dirty.ratio", "0.1")
			const keys, rounds = 5, 400
			want := map[string]string{}
			for i := range rounds {
				k, v := fmt.Sprint("k", i%keys), fmt.Sprintf("%d-%s", i, strings.Repeat("x", 100))
				require.Zero(t, produceOne(p, "t", 0, keyedBatch(t, k, v)).ErrorCode)
				want[k] = v
			}
			check := func(p *peer) {
				got := map[string]string{}
				for at := int64(0); at < rounds; {
					part := fetchOne(p, "t", 0, at)
					require.Zero(t, part.ErrorCode)
					require.NotEmpty(t, part.RecordBatches)
					for raw := part.RecordBatches; len(raw) > 0; {
						batch, err := batching.View(raw)
						require.NoError(t, err)
						for r, err := range batch.Records(0) {
							require.NoError(t, err)
							got[string(r.Key)] = string(r.Value)
						}
						at, raw = batch.NextOffset(), raw[batch.Size():]
					}
				}
				require.Equal(t, want, got)
			}
			require.Eventually(t, func() bool { return logSize(b, "t-0") < 3*4096 }, patience, 5*time.Millisecond)
			check(p)
			stop(t, b)
			dir, err := diskio.OpenDir(diskio.OS(), cfg.DataDir)
			require.NoError(t, err)
			offsets, err := dir.Offsets(diskio.CleanerOffsets)
			require.NoError(t, err)
			require.NotZero(t, offsets[diskio.Partition{Topic: "t"}])
			// As after a kill: everything is scanned.
			require.NoError(t, dir.Close())
			b = start(t, cfg)
			check(dial(t, b))
			require.Equal(t, int64(rounds), produceOne(dial(t, b), "t", 0, keyedBatch(t, "k0", "again")).BaseOffset)
		})
	}
}

// TestOffsetsTopicStopsGrowing: a group that commits again and again takes no
// more room for it, and its last commit is there after a restart.
func TestOffsetsTopicStopsGrowing(t *testing.T) {
	cfg := compactingConfig(t)
	cfg.Group.SegmentBytes, cfg.Group.Partitions = 4096, 1
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "a")
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = "g"
	require.Eventually(t, func() bool {
		return ask[*kmsg.FindCoordinatorResponse](p, 3, find).ErrorCode == 0
	}, patience, 10*time.Millisecond)
	commit := func(at int64) int16 {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = "g", -1
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Offset = at
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.OffsetCommitResponse](p, 8, req).Topics[0].Partitions[0].ErrorCode
	}
	require.Eventually(t, func() bool { return commit(0) == 0 }, patience, 10*time.Millisecond)
	for i := range 600 {
		require.Zero(t, commit(int64(i)))
	}
	require.Eventually(t, func() bool { return logSize(b, offsetsTopic+"-0") < 3*4096 }, patience, 5*time.Millisecond)
	stop(t, b)
	b = start(t, cfg)
	p = dial(t, b)
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = "g"
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = "t", []int32{0}
	req.Topics = append(req.Topics, rt)
	require.Eventually(t, func() bool {
		resp := ask[*kmsg.OffsetFetchResponse](p, 7, req)
		return resp.ErrorCode == 0 && resp.Topics[0].Partitions[0].Offset == 599
	}, patience, 10*time.Millisecond)
	left, err := filepath.Glob(filepath.Join(cfg.DataDir, offsetsTopic+"-0", "*.swap"))
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = os.Stat(filepath.Join(cfg.DataDir, string(diskio.CleanerOffsets)))
	require.NoError(t, err)
}

// TestAbortedTransactionsAreForgotten: when compaction has taken out the records
// of an aborted transaction and, after the horizon, its marker, neither memory nor
// files speak of it any more; of one that still has its marker they do.
func TestAbortedTransactionsAreForgotten(t *testing.T) {
	cfg := testConfig(t)
	cfg.Cleaner.Backoff = time.Hour // the test compacts
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1, "cleanup.policy", "compact", "segment.bytes", "2048", "delete.retention.ms", "0")
	abort := func(id string) {
		pid, epoch := initTxn(p, id)
		mustAdd(p, id, pid, epoch, "t", 0)
		require.Zero(t, produceTxn(p, 9, id, pid, epoch, 0, "t", 0, "dropped"))
		require.Zero(t, endTransaction(p, id, pid, epoch, false))
		// The producer goes on, so that nothing of this one tells where it stands.
		mustAdd(p, id, pid, epoch, "t", 0)
		require.Zero(t, produceTxn(p, 9, id, pid, epoch, 1, "t", 0, "kept"))
		require.Zero(t, endTransaction(p, id, pid, epoch, true))
	}
	fill := func() {
		for range 40 {
			mustProduce(p, "t", 0, strings.Repeat("x", 100))
		}
	}
	abort("one")
	fill()
	part := partitionAt(b, "t", 0)
	require.NoError(t, part.snapshotNow())
	require.Len(t, part.txns.aborted.all(), 1)
	dir := filepath.Join(cfg.DataDir, "t-0", "*.txnindex")
	files := func() int {
		got, err := filepath.Glob(dir)
		require.NoError(t, err)
		return len(got)
	}
	require.Equal(t, 1, files())
	c := &cleaner{b: b, ctx: t.Context(), done: map[*partition]int64{}, rest: map[*partition]time.Time{}}
	c.compact(part)
	require.Len(t, part.txns.aborted.all(), 1, "a reader may still be among the records")
	abort("two")
	fill()
	c.compact(part)
	c.compact(part)
	fill()
	c.compact(part)
	require.Empty(t, part.txns.aborted.all())
	require.Zero(t, files())
	require.NoError(t, part.snapshotNow())
	require.NotContains(t, committed(p, "t", 0, 1<<20), "dropped")
	stop(t, b)
	b = start(t, cfg)
	require.Empty(t, partitionAt(b, "t", 0).txns.aborted.all())
}
