package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
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
	batched []*slot // a part of ready
	ready   []*slot // free, in the order in which they are used
	spare   []*slot // empty, to be swapped for free
	slots   int     // that were ever made

	// Owned by kgo's goroutine that calls promises.
	acks *shard
	told glance // guarded by acks

	answers atomic.Int64 // that were read from any broker, see OnBrokerRead

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

// kgoBuffered is franz-go's own default for the records it holds.
const kgoBuffered = 50_000

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
	p.opts = append(opts, kgo.WithHooks(p))
	var err error
	if p.cl, err = kgo.NewClient(p.opts...); err != nil {
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
	handed, waited := p.hand(ctx, e, blocked)
	blocked += waited
	if most := p.r.spec.Producers.Transaction.Records; most > 0 {
		if p.txn.records += int(handed); p.txn.records >= most {
			began := p.r.now()
			p.end(p.r.hard)
			blocked += p.r.now() - began
		}
	}
	return handed, blocked
}

// glancing is how many records share a look at the clock.
const glancing = 8

// hand gives kgo the records of p.batched, of which e are the events. It looks at
// the clock around each call that may block, which is where kgo's buffer may
// become full, and otherwise around glancing of them. These are late by the look
// after them and sent at the one before: both values err upwards, by what the
// calls take (some µs). Their time in kgo is shared out evenly.
func (p *kgoProducer) hand(ctx context.Context, e events, before int64) (handed, blocked int64) {
	group := glancing
	if p.slots-len(p.ready) > p.room() {
		group = 1
	}
	var lag, block [kgoBatch]int64
	var late, size int64
	now := p.r.now()
	for len(p.batched) > int(handed) {
		if ctx.Err() != nil || e.pace == nil && now >= e.until {
			p.giveBack(p.batched[handed:], e.pace != nil)
			break
		}
		few := p.batched[handed:min(int(handed)+group, len(p.batched))]
		sent := now
		for _, s := range few {
			if e.pace == nil {
				p.fill(s, e.phase, sent)
			}
			s.sent = sent
			size += int64(len(s.rec.Key) + len(s.rec.Value))
			lag[handed] = s.intended // for now: the slot is another's once it is sent
			p.cl.Produce(s, &s.rec, p.promise)
			handed++
		}
		now = p.r.now()
		n, at := int64(len(few)), now
		if n == 1 || e.pace == nil {
			at = sent
		}
		for i := handed - n; i < handed; i++ {
			if sent-lag[i]-e.excused-before-blocked > lateBound {
				late++
			}
			lag[i] = at - lag[i]
			block[i] = (now - sent) / n
		}
		blocked += now - sent
	}
	p.shard.Lock()
	for i := range handed {
		p.shard.recordLocked(e.phase, ScheduleLag, lag[i], 1)
		p.shard.recordLocked(e.phase, SendBlock, block[i], 1)
	}
	p.shard.tally.sent.add(Count{handed, size})
	p.shard.tally.late += late
	p.shard.Unlock()
	return handed, blocked
}

// room is how many records kgo surely takes without blocking. A slot is free a
// moment before kgo counts its record out.
func (p *kgoProducer) room() int {
	most := p.r.spec.Producers.MaxBuffered
	if most == 0 {
		most = kgoBuffered
	}
	return most - 1
}

// take makes p.batched n free slots. Slots are used in the order in which they
// came free, which is that of memory within a batch. Taking the last one freed
// first would mix them more with each round through kgo's buffer.
func (p *kgoProducer) take(n int) {
	if len(p.ready) < n {
		rest := append(p.spare[:0], p.ready...)
		p.mu.Lock()
		rest = append(rest, p.free...)
		p.free = p.free[:0]
		p.mu.Unlock()
		p.spare, p.ready = rest[:0], rest
	}
	if short := n - len(p.ready); short > 0 {
		p.ready = append(p.ready, p.newSlots()...)
	}
	p.batched, p.ready = p.ready[:n:n], p.ready[n:]
}

// newSlots makes as many as one hand-over needs at the most, next to each other.
func (p *kgoProducer) newSlots() []*slot {
	all := make([]slot, kgoBatch)
	list := make([]*slot, kgoBatch)
	for i := range all {
		s := &all[i]
		s.Context = p.r.hard
		s.header = append(p.stream.headers(), kgo.RecordHeader{Key: stampKey, Value: s.stamp[:]})
		list[i] = s
	}
	p.slots += kgoBatch
	return list
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
	if p.r.spec.Producers.Transaction.Records > 0 && err == nil { // end books it
		p.mu.Lock()
		p.txn.written = append(p.txn.written, s)
		p.mu.Unlock()
		return
	}
	p.acks.Lock()
	if err == nil {
		now := p.toldAtLocked()
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

// glance is a look at the clock that promises share.
type glance struct {
	at     int64
	answer int64 // what answers said before it
	left   int   // how many more may share it
}

// toldAtLocked is the time at which a promise was called: a look at the clock that
// up to glancing promises share, as long as no other answer has come in. It is
// never before the record's own answer was read. It is before the promise by what
// the ones between take: about 1 µs, and longer where the thread loses its CPU.
func (p *kgoProducer) toldAtLocked() int64 {
	g := &p.told
	answer := p.answers.Load()
	if g.left == 0 || g.answer != answer || !p.r.ledger.acks {
		*g = glance{p.r.now(), answer, glancing}
	}
	g.left--
	return g.at
}

var _ kgo.HookBrokerRead = (*kgoProducer)(nil)

// OnBrokerRead is called by kgo before the promises of what it read are.
func (p *kgoProducer) OnBrokerRead(kgo.BrokerMetadata, int16, int, time.Duration, time.Duration, error) {
	p.answers.Add(1)
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
