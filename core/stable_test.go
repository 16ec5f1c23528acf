package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/producers"
	"millrace/diskio"
)

// writer is a producer that writes to one partition as the broker's own code
// does, without a coordinator to ask.
type writer struct {
	t    testing.TB
	p    *partition
	id   int64
	next int32
}

func (w *writer) batch(transactional bool, values ...string) batching.Batch {
	b, err := batching.View(producerBatch(w.t, w.id, 0, w.next, transactional, values...))
	require.NoError(w.t, err)
	return b
}

// producerBatch is a batch as an idempotent or transactional producer sends it.
func producerBatch(t testing.TB, id int64, epoch int16, sequence int32, transactional bool, values ...string) []byte {
	builder := batching.NewBuilder(batching.Options{Transactional: transactional})
	builder.SetProducer(id, epoch, sequence)
	for _, v := range values {
		require.NoError(t, builder.Append(time.Now().UnixMilli(), []byte("k"), []byte(v), nil))
	}
	b, err := builder.Build(nil)
	require.NoError(t, err)
	return b
}

func (w *writer) write(transactional bool, values ...string) int64 {
	w.t.Helper()
	at, code := w.p.append(w.batch(transactional, values...), w.p.settings.Load(), time.Now().UnixMilli(), source{trusted: true})
	require.Zero(w.t, code)
	w.p.advance(at.end, at.news)
	w.next += int32(len(values))
	return at.base
}

func (w *writer) end(commit bool) int64 {
	w.t.Helper()
	at, code := w.p.appendMarker(producers.Marker{Producer: w.id, Commit: commit}, time.Now().UnixMilli())
	require.Zero(w.t, code)
	w.p.advance(at.end, at.news)
	return at.base
}

func partitionAt(b *Broker, topic string, index int32) *partition {
	return b.view.Load().byName[topic].partition(index)
}

// committed reads a partition as a read_committed client does: it drops the
// records of aborted transactions by the list that comes with each answer.
func committed(p *peer, topic string, offset int64, maxBytes int32) (out []string) {
	p.t.Helper()
	for range 10_000 {
		req := fetchRequest(topic, 0, offset)
		req.IsolationLevel = 1
		req.Topics[0].Partitions[0].PartitionMaxBytes = maxBytes
		got := ask[*kmsg.FetchResponse](p, 12, req).Topics[0].Partitions[0]
		require.Zero(p.t, got.ErrorCode)
		aborted := got.AbortedTransactions
		skip := map[int64]bool{}
		if len(got.RecordBatches) == 0 {
			require.Equal(p.t, got.LastStableOffset, offset)
			return out
		}
		for b := got.RecordBatches; len(b) > 0; {
			batch, err := batching.View(b)
			require.NoError(p.t, err)
			b = b[batch.Size():]
			require.Less(p.t, batch.LastOffset(), got.LastStableOffset)
			aborted = slices.DeleteFunc(aborted, func(a kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
				if a.FirstOffset <= batch.LastOffset() {
					skip[a.ProducerID] = true
					return true
				}
				return false
			})
			if m, ok, err := batch.Marker(); ok || err != nil {
				require.NoError(p.t, err)
				delete(skip, m.ProducerID)
			} else if !batch.IsTransactional() || !skip[batch.ProducerID()] {
				for r, err := range batch.Records(0) {
					require.NoError(p.t, err)
					out = append(out, string(r.Value))
				}
			}
			offset = batch.NextOffset()
		}
	}
	p.t.Fatal("the log does not end")
	return nil
}

func TestLastStableOffset(t *testing.T) {
	b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	part := partitionAt(b, "t", 0)
	one, two := &writer{t: t, p: part, id: 1}, &writer{t: t, p: part, id: 2}
	mustProduce(p, "t", 0, "plain")     // 0
	one.write(true, "a", "b")           // 1, 2
	two.write(true, "c")                // 3
	mustProduce(p, "t", 0, "plain too") // 4
	latest := func(isolation int8) int64 {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID, req.IsolationLevel = -1, isolation
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp, rp.CurrentLeaderEpoch = -1, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.ListOffsetsResponse](p, 7, req).Topics[0].Partitions[0].Offset
	}
	require.Equal(t, int64(5), latest(0))
	require.Equal(t, int64(1), latest(1))
	require.Equal(t, []string{"plain"}, committed(p, "t", 0, 1<<20))
	got := fetchOne(p, "t", 0, 0)
	require.Equal(t, []string{"plain", "a", "b", "c", "plain too"}, values(t, got.RecordBatches), "read_uncommitted sees all")
	require.Equal(t, int64(1), got.LastStableOffset)
	require.Equal(t, int64(5), got.HighWatermark)
	require.Nil(t, got.AbortedTransactions)

	two.end(true) // 5; the earlier one still holds it back
	require.Equal(t, int64(1), latest(1))
	one.end(false) // 6
	require.Equal(t, int64(7), latest(1))
	require.Equal(t, []string{"plain", "c", "plain too"}, committed(p, "t", 0, 1<<20))
	require.Equal(t, []string{"plain too"}, committed(p, "t", 4, 1<<20))

	req := fetchRequest("t", 0, 0)
	req.IsolationLevel = 1
	list := ask[*kmsg.FetchResponse](p, 12, req).Topics[0].Partitions[0].AbortedTransactions
	require.Len(t, list, 1)
	require.Equal(t, int64(1), list[0].ProducerID)
	require.Equal(t, int64(1), list[0].FirstOffset)
}

// TestCommittedFetchWakes: a read_committed fetch that waits is woken by the
// marker that ends the transaction before it, and not by the records in it.
func TestCommittedFetchWakes(t *testing.T) {
	b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
	p, waiter := dial(t, b), dial(t, b)
	createTopic(t, p, "t", 1)
	w := &writer{t: t, p: partitionAt(b, "t", 0), id: 1}
	w.write(true, "a")
	waiting := long(fetchRequest("t", 0, 0))
	waiting.IsolationLevel = 1
	waiter.send(waiting)
	parked(t, b, 1)
	w.write(true, "b")
	require.Equal(t, int64(1), b.counters.parked.Load(), "more of an open transaction is nothing to it")
	w.end(true)
	got := waiter.receive(waiting, waiter.next).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	require.Equal(t, int64(3), got.LastStableOffset)
	require.NotEmpty(t, got.RecordBatches)
}

// TestUnknownTransaction: a batch of a transaction that no coordinator knows of
// is refused; one outside the transaction that its producer has open is too.
func TestUnknownTransaction(t *testing.T) {
	b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	w := &writer{t: t, p: partitionAt(b, "t", 0), id: 1 << 40}
	got := produceOne(p, "t", 0, w.batch(true, "a").Bytes())
	require.NotZero(t, got.ErrorCode)
	require.Zero(t, w.p.log.End())
	w.write(true, "a")
	require.Equal(t, kerr.InvalidTxnState.Code, produceOne(p, "t", 0, w.batch(false, "b").Bytes()).ErrorCode)
}

// TestMarkerFences: a marker of a newer epoch ends the older one's transaction
// and its right to write.
func TestMarkerFences(t *testing.T) {
	b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	w := &writer{t: t, p: partitionAt(b, "t", 0), id: 1}
	w.write(true, "zombie's")
	at, code := w.p.appendMarker(producers.Marker{Producer: 1, Epoch: 1}, 0)
	require.Zero(t, code)
	w.p.advance(at.end, at.news)
	late := produceRequest("t", 0, -1, w.batch(true, "later").Bytes())
	late.TransactionID = kmsg.StringPtr("zombie")
	require.Equal(t, kerr.InvalidProducerEpoch.Code, ask[*kmsg.ProduceResponse](p, 9, late).Topics[0].Partitions[0].ErrorCode)
	require.Empty(t, committed(p, "t", 0, 1<<20))
	_, code = w.p.appendMarker(producers.Marker{Producer: 1, Epoch: 0, Commit: true}, 0)
	require.Equal(t, kerr.InvalidProducerEpoch.Code, code)
	require.Equal(t, int64(2), w.p.log.End())
}

// TestMarkerNotPromised: a marker that a loss of power could take back decides
// nothing.
func TestMarkerNotPromised(t *testing.T) {
	b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
	createTopic(t, dial(t, b), "t", 1)
	p := partitionAt(b, "t", 0)
	p.txns.reset(nil)
	p.txns.begin(producers.Txn{Producer: 1, First: 10})
	require.Equal(t, int64(10), p.stable(15))
	p.txns.end(producers.Txn{Producer: 1, First: 10}, true, 20)
	require.Equal(t, int64(10), p.stable(15), "visible has not come to the marker")
	p.txns.settle(20)
	require.Equal(t, int64(10), p.stable(20))
	p.txns.settle(21)
	require.Equal(t, int64(21), p.stable(21))
}

func TestAbortedFile(t *testing.T) {
	a := abortedTxn{producer: 1, first: 2, last: 3, stable: 4}
	text := a.append(nil)
	require.Equal(t, "00000000000000000001000000000000000200000000000000030000000000000004", fmt.Sprintf("%x", text))
	list, err := parseAborted(text)
	require.NoError(t, err)
	require.Equal(t, []abortedTxn{a}, list)
	for i := range text {
		_, err := parseAborted(text[:i])
		require.Equal(t, i != 0, err != nil)
	}
	_, err = parseAborted(append(text, text...))
	require.Error(t, err, "out of order")
}

// TestTransactionsModel runs random transactions, restarts and kills against
// the plain rule: a read_committed reader sees, in order, the records that are
// in no transaction and those of committed ones, up to the first that is
// undecided.
func TestTransactionsModel(t *testing.T) {
	for run := range 6 {
		seed := uint64(time.Now().UnixNano()) + uint64(run)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { modelRun(t, seed) })
	}
}

type modelRecord struct {
	value string
	owner int64 // the producer whose transaction it is in, while undecided
	fate  byte  // ' ' plain or committed, '?' undecided, 'x' aborted
}

func modelRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := diskio.NewMem()
	config := func(fs diskio.FS) Config {
		cfg := onMemory(t, fs, diskio.SyncEach)
		cfg.Disk.SegmentBytes = 2000
		return cfg
	}
	b := start(t, config(fs))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	writers := map[int64]*writer{}
	for id := range int64(4) {
		writers[id] = &writer{t: t, id: id + 1}
	}
	var log []modelRecord
	open := map[int64]bool{}
	settled := func(part *partition) {
		require.Eventually(t, func() bool { return part.visible.Load() == part.log.End() }, patience, time.Millisecond)
	}
	for step := range 120 {
		part := partitionAt(b, "t", 0)
		id := rng.Int64N(4)
		w := writers[id]
		w.p = part
		switch rng.IntN(10) {
		case 0, 1, 2, 3, 4:
			transactional := open[id] || rng.IntN(3) > 0
			value := fmt.Sprint(step)
			at, code := part.append(w.batch(transactional, value), part.settings.Load(), 0, source{trusted: true})
			require.Zero(t, code)
			if at.held {
				part.advance(at.end, at.news)
			}
			w.next++
			fate := byte(' ')
			if transactional {
				fate, open[id] = '?', true
			}
			log = append(log, modelRecord{value: value, owner: id, fate: fate})
		case 5, 6, 7:
			commit := rng.IntN(2) == 0
			at, code := part.appendMarker(producers.Marker{Producer: w.id, Commit: commit}, 0)
			require.Zero(t, code)
			if at.held {
				part.advance(at.end, at.news)
			}
			for i := range log {
				if log[i].owner == id && log[i].fate == '?' {
					log[i].fate = map[bool]byte{true: ' ', false: 'x'}[commit]
				}
			}
			delete(open, id)
		case 8:
			settled(part)
			require.NoError(t, part.snapshotNow())
		case 9:
			settled(part)
			if rng.IntN(2) == 0 {
				stop(t, b)
				b = start(t, config(fs))
			} else {
				fs = fs.CrashClone(diskio.Crash{Seed: seed, Survives: 1})
				if rng.IntN(2) == 0 {
					loseAborted(t, fs)
				}
				b = start(t, config(fs))
			}
			p = dial(t, b)
		}
		if step%5 == 0 {
			settled(partitionAt(b, "t", 0))
			var want []string
			for _, r := range log {
				if r.fate == '?' {
					break
				}
				if r.fate == ' ' {
					want = append(want, r.value)
				}
			}
			// Small answers cut transactions in two.
			size := []int32{1, 200, 1 << 20}[rng.IntN(3)]
			require.Equal(t, want, committed(p, "t", 0, size), "step %d, open %v", step, slices.Collect(maps.Keys(open)))
		}
	}
}

// loseAborted damages every transaction index, so that the log is read instead.
func loseAborted(t *testing.T, fs diskio.FS) {
	entries, err := fs.ReadDir("/data/t-0")
	require.NoError(t, err)
	for _, e := range entries {
		if len(e.Name) > 20 && e.Name[20:] == abortedSuffix {
			f, err := fs.OpenFile("/data/t-0/"+e.Name, 2)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte{9}, 0)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
	}
}

// TestLogStartPassesAnOpenTransaction: DeleteRecords stops at the high watermark,
// as in Kafka; a transaction whose beginning it has taken begins at the log start.
func TestLogStartPassesAnOpenTransaction(t *testing.T) {
	b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	id, epoch := initTxn(p, "tx")
	mustAdd(p, "tx", id, epoch, "t", 0)
	require.Zero(t, produceTxn(p, 9, "tx", id, epoch, 0, "t", 0, "a", "b", "c"))
	require.Empty(t, committed(p, "t", 0, 1<<20))
	start, code := partitionAt(b, "t", 0).deleteTo(2)
	require.Zero(t, code)
	require.Equal(t, int64(2), start)
	req := fetchRequest("t", 0, 2)
	req.IsolationLevel = 1
	got := ask[*kmsg.FetchResponse](p, 12, req).Topics[0].Partitions[0]
	require.Zero(t, got.ErrorCode)
	require.Equal(t, int64(2), got.LastStableOffset)
	require.Equal(t, int64(2), got.LogStartOffset)
	require.Empty(t, got.RecordBatches)
	require.Zero(t, endTransaction(p, "tx", id, epoch, true))
	require.Contains(t, committed(p, "t", 2, 1<<20), "c")
	_, code = partitionAt(b, "t", 0).deleteTo(5)
	require.Equal(t, kerr.OffsetOutOfRange.Code, code)
}
