package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	x := b.txns.Load()
	x.mu.Lock()
	fx, err := x.machine.End(time.Now().UnixMilli(), "tx", id, epoch, true)
	require.NoError(t, err)
	kept := x.append(fx.Records)
	x.mu.Unlock()
	require.True(t, kept())
	require.Empty(t, committed(p, "t", 0, 1<<20), "no marker is written")

	cfg.FS = fs.CrashClone(diskio.Crash{})
	b = start(t, cfg)
	p = dial(t, b)
	require.Eventually(t, func() bool { return describeTxn(p, "tx").State == "CompleteCommit" }, patience, time.Millisecond)
	require.Equal(t, []string{"a"}, committed(p, "t", 0, 1<<20))
	require.Zero(t, endTransaction(p, "tx", id, epoch, true), "sent again")
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
	require.Positive(t, b.txns.Load().rewrite(state))
	require.Equal(t, end, state.log.Start())
	require.Equal(t, end+1, state.log.End())
	stop(t, b)
	p = dial(t, start(t, cfg))
	require.Equal(t, "Ongoing", describeTxn(p, "tx").State)
	require.Zero(t, endTransaction(p, "tx", id, epoch, true))
}
