package core

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/batching"
	"millrace/core/producers"
	"millrace/diskio"
)

// TestRecreatedTopic: what was written down of a topic's log is not that of the
// next topic of its name, whenever the broker dies. The checkpoints know names
// only.
func TestRecreatedTopic(t *testing.T) {
	begun := func(t *testing.T, fs diskio.FS) (*Broker, *peer) {
		b := start(t, onMemory(t, fs, diskio.SyncGroup))
		p := dial(t, b)
		createTopic(t, p, "t", 1)
		mustProduce(p, "t", 0, "a", "b", "c", "d")
		deleteTo(p, "t", 0, 3)
		require.NoError(t, b.saveCheckpoints())
		return b, p
	}
	crash := diskio.Crash{Survives: 1}

	t.Run("killed after it was made again", func(t *testing.T) {
		fs := diskio.NewMem()
		_, p := begun(t, fs)
		deleteTopic(p, "t")
		createTopic(t, p, "t", 1)
		require.Zero(t, mustProduce(p, "t", 0, "new"))
		b := start(t, onMemory(t, fs.CrashClone(crash), diskio.SyncGroup))
		require.Equal(t, []string{"new"}, fetchAll(dial(t, b), "t", 0))
		require.Zero(t, partitionAt(b, "t", 0).log.Recovery().Missing)
	})
	t.Run("made again after a start", func(t *testing.T) {
		fs := diskio.NewMem()
		b, _ := begun(t, fs)
		stop(t, b)
		p := dial(t, start(t, onMemory(t, fs, diskio.SyncGroup)))
		deleteTopic(p, "t")
		createTopic(t, p, "t", 1)
		require.Zero(t, mustProduce(p, "t", 0, "new"))
	})
	t.Run("killed before the checkpoints were written, twice", func(t *testing.T) {
		mem := diskio.NewMem()
		fs := diskio.NewFault(mem)
		_, p := begun(t, fs)
		// The metadata is written in place, checkpoints come by a rename.
		fs.Set(diskio.Fault{Call: 2, Op: "rename", Err: syscall.EIO, Sticky: true})
		deleteTopic(p, "t")
		once := mem.CrashClone(crash)
		fs.Set(diskio.Fault{})
		p = dial(t, start(t, onMemory(t, once, diskio.SyncGroup)))
		createTopic(t, p, "t", 1)
		require.Zero(t, mustProduce(p, "t", 0, "new"))
		b := start(t, onMemory(t, once.CrashClone(crash), diskio.SyncGroup))
		require.Equal(t, []string{"new"}, fetchAll(dial(t, b), "t", 0))
	})
}

// TestDeleteWhileAMarkerWaits: the sync worker that tells of a marker needs the
// partition's lock; the deletion that waits for that worker must not hold it.
func TestDeleteWhileAMarkerWaits(t *testing.T) {
	fs := &gatedFS{FS: diskio.NewMem(), path: "/data/t-0/00000000000000000000.log"}
	b := start(t, onMemory(t, fs, diskio.SyncGroup))
	peer := dial(t, b)
	createTopic(t, peer, "t", 1)
	w := &writer{t: t, p: partitionAt(b, "t", 0), id: 1}
	at, code := w.p.append(w.batch(true, "x"), w.p.settings.Load(), time.Now().UnixMilli(), source{trusted: true})
	require.Zero(t, code)
	require.Zero(t, w.p.hold(at))

	gate := fs.shut()
	at, code = w.p.appendMarker(producers.Marker{Producer: 1, Commit: true}, time.Now().UnixMilli())
	require.Zero(t, code)
	// The deletion tells whoever waits that nothing will come. Right then it does:
	// the worker moves the visible end and goes for the lock.
	w.p.whenKept(at, func(code int16) {
		close(gate.leave)
		for until := time.Now().Add(patience); w.p.visible.Load() < at.end && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
	})
	deleteTopic(peer, "t")
	require.Equal(t, at.end, w.p.visible.Load(), "the worker came, or the test proves nothing")
}

// TestOfflinePartitionIsDeleted: the directory of a partition that could not be
// opened is in nobody's way once its topic is gone.
func TestOfflinePartitionIsDeleted(t *testing.T) {
	cfg := testConfig(t)
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "old")
	stop(t, b)
	// A segment that cannot be opened: root may read all, but no directory.
	segment := filepath.Join(cfg.DataDir, "t-0", "00000000000000000000.log")
	require.NoError(t, os.Remove(segment))
	require.NoError(t, os.Mkdir(segment, 0o755))

	b, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { _ = b.Stop(context.Background()) }()
	p = dial(t, b)
	if got := fetchOne(p, "t", 0, 0); got.ErrorCode != kerr.KafkaStorageError.Code {
		t.Fatalf("the partition is to be offline, for the test to prove anything: %v", got)
	}
	deleteTopic(p, "t")
	createTopic(t, p, "t", 1)
	require.Zero(t, mustProduce(p, "t", 0, "new"))
}

// TestUnopenedPartitionIsNotClean: a partition that could not be opened after a
// crash was not looked into; the clean stop of that broker does not vouch for it.
func TestUnopenedPartitionIsNotClean(t *testing.T) {
	fs := diskio.NewMem()
	p := dial(t, start(t, onMemory(t, fs, diskio.SyncGroup)))
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "x")
	fs = fs.CrashClone(diskio.Crash{})
	const segment = "/data/t-0/00000000000000000000.log"
	require.NoError(t, fs.Rename(segment, "/data/kept"))
	require.NoError(t, fs.MkdirAll(segment)) // which cannot be opened
	b, err := Start(t.Context(), onMemory(t, fs, diskio.SyncGroup))
	require.NoError(t, err)
	require.True(t, partitionAt(b, "t", 0).offline())
	require.ErrorContains(t, b.Stop(t.Context()), "t-0 is offline")

	require.NoError(t, fs.Remove(segment))
	require.NoError(t, fs.Rename("/data/kept", segment))
	b = start(t, onMemory(t, fs, diskio.SyncGroup))
	require.False(t, partitionAt(b, "t", 0).log.Recovery().Clean)
	require.Equal(t, []string{"x"}, fetchAll(dial(t, b), "t", 0))
}

// TestBatchThatASegmentNoLongerTakes: segment.bytes may shrink between the check
// of a batch and its append. That is the batch's misfortune, not the disk's.
func TestBatchThatASegmentNoLongerTakes(t *testing.T) {
	b := start(t, testConfig(t))
	peer := dial(t, b)
	createTopic(t, peer, "t", 1)
	p := partitionAt(b, "t", 0)
	checked := p.settings.Load()
	narrow := *checked
	narrow.disk.SegmentBytes = 128
	p.configure(&narrow)
	batch, err := batching.View(oneBatch(t, batching.Options{}, string(make([]byte, 200))))
	require.NoError(t, err)
	_, code := p.append(batch, checked, time.Now().UnixMilli(), source{})
	require.Equal(t, kerr.RecordListTooLarge.Code, code)
	p.configure(checked)
	require.Zero(t, mustProduce(peer, "t", 0, "x"), "the partition serves on")
}
