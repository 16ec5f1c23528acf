package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// workers are the members of a Transform: each reads the inputs as a member of
// one group, and writes every record, key, value and stamp, to the same
// partition of the output, in a transaction that carries the group's offsets.
// Exactly once means: whatever becomes of a worker, the outputs' readers of
// committed records see each input once.
type workers struct {
	gate     gate // shut until the run has begun
	wg       sync.WaitGroup
	cancel   context.CancelFunc
	assigned assignment
}

func (w *workers) stop() {
	if w.cancel != nil {
		w.cancel()
	}
	w.gate.open()
	w.wg.Wait()
}

func (r *run) transform(ctx context.Context) (*workers, error) {
	w := &workers{}
	t := r.spec.Transform
	if t.Workers == 0 {
		return w, nil
	}
	id := fmt.Sprintf("millrace-%08x-transform", r.id)
	if err := r.beginGroup(ctx, id, r.parts, r.inputs); err != nil {
		return w, err
	}
	w.gate.close()
	var work context.Context
	work, w.cancel = context.WithCancel(r.hard)
	for i := range t.Workers {
		k, err := newWorker(r, w, id, i)
		if err != nil {
			return w, err
		}
		w.wg.Go(func() { k.run(work) })
	}
	if !w.assigned.await(ctx, len(r.parts)) {
		return w, fmt.Errorf("load: the transform was not given its partitions within %v", joinTime)
	}
	return w, nil
}

// worker is one of them.
type worker struct {
	r       *run
	w       *workers
	s       *kgo.GroupTransactSession
	outputs map[string]string
	numbers map[string][]int // of the inputs
	shard   *shard
	rng     *rand.Rand
}

func newWorker(r *run, w *workers, group string, i int) (*worker, error) {
	p := r.spec.Producers
	opts := append(r.groupOptions(group, r.spec.Topics, &w.assigned),
		kgo.SeedBrokers(r.spec.Brokers...), kgo.Dialer(r.dial), kgo.ClientID(fmt.Sprintf("%s-worker-%d", clientID, i)),
		kgo.TransactionalID(fmt.Sprintf("%s-%d", group, i)), kgo.TransactionTimeout(transactionTime),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(r.spec.Consumers.MaxWait),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(p.Linger),
		kgo.ProducerBatchMaxBytes(int32(max(p.BatchBytes, r.pool.longest()+1024))),
		kgo.ProducerBatchCompression(kgoCodecs[p.Compression]))
	opts = append(opts, r.clientOptions()...)
	k := &worker{r: r, w: w, outputs: map[string]string{}, numbers: numbered(r.parts), shard: r.rec.shard(), rng: rand.New(rand.NewPCG(r.spec.Seed, uint64(1<<32+i)))}
	for n, t := range r.spec.Topics {
		k.outputs[t.Name] = r.spec.Transform.Outputs[n].Name
	}
	var err error
	if k.s, err = kgo.NewGroupTransactSession(opts...); err != nil {
		return nil, fmt.Errorf("load: worker %d: %w", i, err)
	}
	return k, nil
}

// transactionTime bounds a transaction whose producer has vanished: so long are
// committed readers held up by it.
const transactionTime = 30 * time.Second

func (k *worker) run(ctx context.Context) {
	defer k.s.CloseAllowingRebalance()
	k.w.gate.pass(ctx)
	for ctx.Err() == nil {
		if err := k.transaction(ctx); err != nil && ctx.Err() == nil {
			k.r.complain("transform", err)
			sleepUntil(ctx, time.Now().Add(50*time.Millisecond))
		}
	}
}

// transaction passes on what comes within the interval. A record that could not
// be written aborts it, and all of it is read again.
func (k *worker) transaction(ctx context.Context) error {
	if err := k.s.Begin(); err != nil {
		return err
	}
	first := kgo.AbortingFirstErrPromise(k.s.Client())
	until, none := context.WithTimeout(ctx, k.r.spec.Transform.Interval)
	defer none()
	for until.Err() == nil {
		fetches := k.s.PollFetches(until)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				k.r.ledger.inputs[k.numbers[p.Topic][p.Partition]].pass(p.Records[n-1].Offset + 1)
			}
		})
		fetches.EachError(func(topic string, part int32, err error) {
			if until.Err() == nil {
				k.r.unread(k.shard, k.numbers[topic], k.r.ledger.inputs, part, topic, err)
			}
		})
		fetches.EachRecord(func(rec *kgo.Record) {
			out := &kgo.Record{Topic: k.outputs[rec.Topic], Partition: rec.Partition, Key: rec.Key, Value: rec.Value, Headers: rec.Headers}
			k.s.Produce(ctx, out, first.Promise())
		})
		k.s.AllowRebalance()
	}
	commit := kgo.TryCommit
	if first.Err() != nil || ctx.Err() != nil || k.rng.Float64() < k.r.spec.Transform.Abort {
		commit = kgo.TryAbort
	}
	end, cancel := context.WithTimeout(context.Background(), transactionTime)
	defer cancel()
	_, err := k.s.End(end, commit)
	return err
}
