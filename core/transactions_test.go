package core

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/group"
	"millrace/core/txn"
	"millrace/diskio"
)

// TestUnknownTransactionIsEnded: a transaction in a partition that the
// coordinator has no record of, as a loss of power may leave it, holds up its
// readers until the next start and no longer.
func TestUnknownTransactionIsEnded(t *testing.T) {
	cfg := onMemory(t, diskio.NewMem(), diskio.SyncPageCache)
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	id, epoch := initTxn(p, "tx")
	mustAdd(p, "tx", id, epoch, "t", 0)
	require.Zero(t, produceTxn(p, 9, "tx", id, epoch, 0, "t", 0, "known"))
	w := &writer{t: t, p: partitionAt(b, "t", 0), id: 1 << 40}
	w.write(true, "unknown")
	stop(t, b)

	b = start(t, cfg)
	p = dial(t, b)
	require.Eventually(t, func() bool { return partitionAt(b, "t", 0).log.End() == 3 }, patience, time.Millisecond)
	require.Zero(t, endTransaction(p, "tx", id, epoch, true))
	require.Equal(t, []string{"known"}, committed(p, "t", 0, 1<<20))
}

// TestDecidedTransactionIsCarriedOut: the broker goes between the decision and
// the markers; the next start writes them.
func TestDecidedTransactionIsCarriedOut(t *testing.T) {
	cfg := onMemory(t, diskio.NewMem(), diskio.SyncEach)
	fs := cfg.FS.(*diskio.MemFS)
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 2)
	id, epoch := initTxn(p, "tx")
	mustAdd(p, "tx", id, epoch, "t", 0, 1)
	require.Zero(t, produceTxn(p, 9, "tx", id, epoch, 0, "t", 0, "a"))
	x := b.txns.Load().lane("tx")
	x.mu.Lock()
	_, _, fx, err := x.machine.End(time.Now().UnixMilli(), txn.EndRequest{ID: "tx", Producer: id, Epoch: epoch, Commit: true, NewID: -1})
	require.NoError(t, err)
	at, written := x.append(fx.Records)
	x.mu.Unlock()
	require.True(t, written)
	require.Zero(t, x.hold(at))
	require.Empty(t, committed(p, "t", 0, 1<<20), "no marker is written")

	cfg.FS = fs.CrashClone(diskio.Crash{})
	b = start(t, cfg)
	p = dial(t, b)
	require.Eventually(t, func() bool { return describeTxn(p, "tx").State == "CompleteCommit" }, patience, time.Millisecond)
	require.Equal(t, []string{"a"}, committed(p, "t", 0, 1<<20))
	require.Zero(t, endTransaction(p, "tx", id, epoch, true), "sent again")
}

// TestTransactionOutlivesTheStop: a producer that begins a transaction in a
// partition while the broker stops is told to try again, not that it is in the
// wrong.
func TestTransactionOutlivesTheStop(t *testing.T) {
	for _, version := range []int16{11, 12} {
		b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
		p := dial(t, b)
		createTopic(t, p, "t", 1)
		id, epoch := initTxn(p, "tx")
		mustAdd(p, "tx", id, epoch, "t", 0)
		b.stopping.Store(true)
		b.closeTxns()
		require.Equal(t, kerr.NotEnoughReplicas.Code, produceTxn(p, version, "tx", id, epoch, 0, "t", 0, "x"), "v%d", version)
	}
}

// TestTransactionStateDoesNotGrow: what is kept is written anew and what lay
// before it goes, and a start finds the same.
func TestTransactionStateDoesNotGrow(t *testing.T) {
	cfg := onMemory(t, diskio.NewMem(), diskio.SyncPageCache)
	cfg.Txn.Partitions = 1
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	id, epoch := initTxn(p, "tx")
	for range 10 {
		mustAdd(p, "tx", id, epoch, "t", 0)
		require.Zero(t, endTransaction(p, "tx", id, epoch, true))
	}
	mustAdd(p, "tx", id, epoch, "t", 0)
	state := partitionAt(b, txnTopic, 0)
	end := state.log.End()
	x := b.txns.Load()
	x.rewrite(x.lanes[0])
	require.Equal(t, end, state.log.Start())
	require.Equal(t, end+1, state.log.End())
	stop(t, b)
	p = dial(t, start(t, cfg))
	require.Equal(t, "Ongoing", describeTxn(p, "tx").State)
	require.Zero(t, endTransaction(p, "tx", id, epoch, true))
}

// TestOneFailedStatePartition: only the ids that it keeps lose their coordinator,
// when it fails and at the next start.
func TestOneFailedStatePartition(t *testing.T) {
	cfg := onMemory(t, diskio.NewMem(), diskio.SyncEach)
	b, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.Error(t, b.Stop(context.Background()), "a partition is offline") })
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	var ids [2]string // by partition of __transaction_state
	for i := 0; ids[0] == "" || ids[1] == ""; i++ {
		id := fmt.Sprint("tx", i)
		ids[group.PartitionOf(id, 2)] = id
	}
	bad, badEpoch := initTxn(p, ids[0])
	good, goodEpoch := initTxn(p, ids[1])
	mustAdd(p, ids[0], bad, badEpoch, "t", 0)
	mustAdd(p, ids[1], good, goodEpoch, "t", 0)
	partitionAt(b, txnTopic, 0).fail("test", errNotKept)
	require.Equal(t, kerr.NotCoordinator.Code, endTransaction(p, ids[0], bad, badEpoch, true))
	require.Zero(t, produceTxn(p, 9, ids[1], good, goodEpoch, 0, "t", 0, "a"))
	require.Zero(t, endTransaction(p, ids[1], good, goodEpoch, true))
	require.Equal(t, []string{"a"}, committed(p, "t", 0, 1<<20))
	require.Equal(t, "CompleteCommit", describeTxn(p, ids[1]).State)
	require.Equal(t, kerr.NotCoordinator.Code, describeTxn(p, ids[0]).ErrorCode)
	listed := ask[*kmsg.ListTransactionsResponse](p, 1, kmsg.NewPtrListTransactionsRequest())
	require.Zero(t, listed.ErrorCode)
	require.Len(t, listed.TransactionStates, 1)
}
