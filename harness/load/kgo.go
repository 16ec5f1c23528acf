package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const clientID = "millrace-load"

// kgoClient is franz-go: what an application sees.
type kgoClient struct{}

func (kgoClient) check(s *Spec) error {
	if s.Consumers.Discard {
		return errors.New("the kgo client decodes every record: it cannot discard them (lean can)")
	}
	return nil
}

func (kgoClient) overhead() int { return stampOverhead }

var kgoCodecs = map[string]kgo.CompressionCodec{
	"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// kgoProducer hands records to a kgo.Client of its own. It chooses partitions
// itself, by the rules of Kafka's clients (murmur2 of the key; without a key one
// partition until a batch is full, then another), because a record's sequence
// number counts within its partition and has to be in it before it is sent.
type kgoProducer struct {
	// Immutable.
	r       *run
	opts    []kgo.Opt
	socks   *sockets
	index   int
	promise func(*kgo.Record, error)

	// Owned by the sending goroutine.
	cl      *kgo.Client
	txn     transaction // of whose fields some are guarded by mu
	rng     *rand.Rand
	stream  *sequence
	shard   *shard
	batched []*slot

	// Owned by kgo's goroutine that calls promises.
	acks *shard

	mu   sync.Mutex
	free []*slot // guarded by mu, as are txn.written and txn.failed
}

// slot is one record on its way, used again and again. It is the record's
// context too, which is how the promise, a single function for all records,
// finds back from the record to its slot.
type slot struct {
	context.Context
	rec    kgo.Record
	header []kgo.RecordHeader
	stamp  [stampSize]byte

	phase          int
	stream         *stream
	seq            int64
	intended, sent int64
}

// kgoBatch is how many records are stamped before they are sent: enough to
// spread the cost of locks, few enough to be handed over within 0.1 ms.
const kgoBatch = 64

func (kgoClient) producer(ctx context.Context, r *run, index int) (producer, error) {
	s := r.spec.Producers
	p := &kgoProducer{
		r: r, index: index,
		rng:    rand.New(rand.NewPCG(r.spec.Seed, uint64(index)<<32|1)),
		stream: newSequence(&r.spec, r.pool, r.keys, index),
		shard:  r.rec.shard(), acks: r.rec.shard(),
		socks: newSockets(r.dial),
	}
	p.promise = p.done
	acks := map[int16]kgo.Acks{AcksNone: kgo.NoAck(), AcksLeader: kgo.LeaderAck(), AcksAll: kgo.AllISRAcks()}[s.Acks]
	opts := []kgo.Opt{
		kgo.SeedBrokers(r.spec.Brokers...), kgo.ClientID(clientID), kgo.WithContext(r.hard), kgo.Dialer(p.socks.connect),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(acks), kgo.ProducerLinger(s.Linger),
		// Kafka's batch.size does not bound a single record; franz-go's does.
		kgo.ProducerBatchMaxBytes(int32(max(s.BatchBytes, r.pool.longest()+1024))),
		kgo.ProducerBatchCompression(kgoCodecs[s.Compression]),
	}
	opts = append(opts, r.clientOptions()...)
	if s.MaxBuffered > 0 {
		opts = append(opts, kgo.MaxBufferedRecords(s.MaxBuffered))
	}
	if !s.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if s.MaxInFlight > 0 {
		opts = append(opts, kgo.MaxProduceRequestsInflightPerBroker(s.MaxInFlight))
	}
	if s.Retries >= 0 {
		opts = append(opts, kgo.RecordRetries(s.Retries))
	}
	if s.Transaction.Records > 0 {
		opts = append(opts, kgo.TransactionalID(r.transactionalID(index)), kgo.TransactionTimeout(transactionTime))
	}
	p.opts = opts
	var err error
	if p.cl, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("load: producer %d: %w", index, err)
	}
	// The first record should not pay for connecting.
	ping, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := p.cl.Ping(ping); err != nil {
		p.cl.Close()
		return nil, fmt.Errorf("load: producer %d: no broker answers at %v: %w", index, r.spec.Brokers, err)
	}
	return p, nil
}

// batch: what is due is sent at once; lingering is kgo's own affair.
func (p *kgoProducer) batch() (full, most int, linger time.Duration) { return 1, kgoBatch, 0 }

func (p *kgoProducer) send(ctx context.Context, e events) (handed, blocked int64) {
	n := int(min(e.to-e.from, kgoBatch))
	if most := p.r.spec.Producers.Transaction.Records; most > 0 {
		began := p.r.now()
		if !p.begin(ctx) {
			return 0, p.r.now() - began
		}
		n = min(n, most-p.txn.records)
	}
	p.take(n)
	if e.pace != nil {
		for i, s := range p.batched {
			p.fill(s, e.phase, e.intended(e.from+int64(i), 0))
		}
	}
	var lag, block [kgoBatch]int64
	var late, size int64
	now := p.r.now()
	for i, s := range p.batched {
		if ctx.Err() != nil || e.pace == nil && now >= e.until {
			p.giveBack(p.batched[i:], e.pace != nil)
			break
		}
		if e.pace == nil {
			p.fill(s, e.phase, now)
		}
		lag[i] = now - s.intended
		if lag[i]-e.excused-blocked > lateBound {
			late++
		}
		s.sent = now
		size += int64(len(s.rec.Key) + len(s.rec.Value))
		p.cl.Produce(s, &s.rec, p.promise)
		now = p.r.now()
		block[i] = now - s.sent
		blocked += block[i]
		handed++
	}
	p.shard.Lock()
	for i := range handed {
		p.shard.recordLocked(e.phase, ScheduleLag, lag[i], 1)
		p.shard.recordLocked(e.phase, SendBlock, block[i], 1)
	}
	p.shard.tally.sent.add(Count{handed, size})
	p.shard.tally.late += late
	p.shard.Unlock()
	if most := p.r.spec.Producers.Transaction.Records; most > 0 {
		if p.txn.records += int(handed); p.txn.records >= most {
			began := p.r.now()
			p.end(p.r.hard)
			blocked += p.r.now() - began
		}
	}
	return handed, blocked
}

// take makes p.batched n free slots. There are never many more than kgo buffers
// and one batch.
func (p *kgoProducer) take(n int) {
	p.mu.Lock()
	k := len(p.free) - min(n, len(p.free))
	p.batched = append(p.batched[:0], p.free[k:]...)
	p.free = p.free[:k]
	p.mu.Unlock()
	for len(p.batched) < n {
		s := &slot{Context: p.r.hard}
		s.header = append(p.stream.headers(), kgo.RecordHeader{Key: stampKey, Value: s.stamp[:]})
		p.batched = append(p.batched, s)
	}
}

// giveBack returns slots that were not sent and, where they were filled, their
// sequence numbers, which are the last that were taken.
func (p *kgoProducer) giveBack(slots []*slot, filled bool) {
	for _, s := range slots {
		if filled {
			s.stream.untake(1)
		}
	}
	p.mu.Lock()
	p.free = append(p.free, slots...)
	p.mu.Unlock()
}

// fill makes a slot the next record.
func (p *kgoProducer) fill(s *slot, phase int, intended int64) {
	v, key, part := p.stream.next()
	value := p.r.pool.value(v)
	at := p.r.parts[part]
	s.phase, s.intended = phase, intended
	s.stream = p.r.ledger.streams[part][p.index]
	s.seq = s.stream.take(1)
	stamp{p.r.id, p.index, s.seq, intended}.put(&s.stamp, p.r.pool.sums[v], key)
	s.rec = kgo.Record{Key: key, Value: value, Headers: s.header, Topic: at.topic, Partition: at.index, Context: s}
}

// done is the promise of every record.
func (p *kgoProducer) done(rec *kgo.Record, err error) {
	s := rec.Context.(*slot)
	now := p.r.now()
	if p.r.spec.Producers.Transaction.Records > 0 && err == nil { // end books it
		p.mu.Lock()
		p.txn.written = append(p.txn.written, s)
		p.mu.Unlock()
		return
	}
	p.acks.Lock()
	if err == nil {
		p.acks.recordLocked(s.phase, Ack, now-s.intended, 1)
		p.acks.recordLocked(s.phase, Service, now-s.sent, 1)
		p.acks.tally.acked.add(Count{1, int64(len(rec.Key) + len(rec.Value))})
	} else {
		p.acks.tally.errors++
	}
	p.acks.Unlock()
	switch {
	case err != nil:
		s.stream.fail(1)
		p.r.complain("produce", err)
	case p.r.ledger.acks:
		s.stream.ack(s.seq, 1, rec.Offset)
	}
	p.mu.Lock()
	if err != nil {
		p.txn.failed++
	}
	p.free = append(p.free, s)
	p.mu.Unlock()
}

func (p *kgoProducer) cut() { p.socks.cut(false) }

func (p *kgoProducer) flush(ctx context.Context) {
	p.end(ctx)
	if err := p.cl.Flush(ctx); err != nil {
		abort, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.r.complain("flush", p.cl.AbortBufferedRecords(abort))
	}
}

func (p *kgoProducer) close() { p.cl.Close() }
