package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"millrace/batching"
	"millrace/core/wire"
)

// fetchVersion is the version of Fetch that the lean client speaks: the last
// before the flexible form, with topics by name and without a session.
const fetchVersion = 11

// leanConsumer reads partitions with one connection per leader. It walks from
// batch header to batch header, verifies each CRC, and asks for more before it
// looks at what it has. With Consumers.Discard it has the headers alone (see
// outline), and verifies nothing but what they say.
type leanConsumer struct {
	r     *run
	group int
	parts []int
	live  bool
	gate  *gate
	shard *shard
}

func (leanClient) consumer(r *run, group int, parts []int, live bool, g *gate) (consumer, error) {
	return &leanConsumer{r: r, group: group, parts: parts, live: live, gate: g, shard: r.rec.shard()}, nil
}

// run reads until ctx ends. Where a leader moves or a connection fails, all
// start again from where each was.
func (c *leanConsumer) run(ctx context.Context) {
	c.gate.pass(ctx)
	for back := time.Duration(0); ctx.Err() == nil; {
		byLeader := map[leader][]int{}
		for _, p := range c.parts {
			l := c.r.leaderOf(p)
			byLeader[l] = append(byLeader[l], p)
		}
		round, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		began := time.Now()
		for l, parts := range byLeader {
			wg.Go(func() {
				defer stop()
				if err := c.read(round, l, parts); err != nil && round.Err() == nil {
					c.r.complain("consume", err)
					c.r.refreshLeaders()
				}
			})
		}
		wg.Wait()
		stop()
		if back = min(max(2*back, 10*time.Millisecond), 500*time.Millisecond); time.Since(began) > time.Second {
			back = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(back):
		}
	}
}

// fetcher is one connection's state.
type fetcher struct {
	*leanConsumer
	nc    net.Conn
	parts []int // in order of the request; a place is an index into it
	names [][]byte
	out   []byte
	req   wire.FetchRequest
	resp  wire.FetchResponse
	next  []int64 // offset to fetch next, by place

	discard bool // of a batch there is its header
}

func (c *leanConsumer) read(ctx context.Context, l leader, parts []int) error {
	nc, err := c.r.dial(ctx, "tcp", l.addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	f := &fetcher{leanConsumer: c, nc: nc, parts: parts}
	for _, p := range parts {
		f.next = append(f.next, c.r.ledger.of(c.group)[p].position())
		f.names = append(f.names, []byte(c.r.parts[p].topic))
	}
	next := newFrames(nc, 256<<10, maxFetchBytes).next
	// The audit looks at everything.
	if f.discard = c.r.spec.Consumers.Discard && c.group < len(c.r.ledger.readings); f.discard {
		next = newOutline(nc, maxFetchBytes).next
	}
	if err := f.ask(); err != nil {
		return err
	}
	for {
		frame, err := next()
		if err != nil {
			return fmt.Errorf("fetching from %s: %w", l.addr, err)
		}
		now := c.r.now()
		_, body, err := wire.ParseResponseHeader(frame, wire.KeyFetch, fetchVersion)
		if err == nil {
			err = f.resp.Decode(fetchVersion, body)
		}
		if err != nil {
			return fmt.Errorf("fetching from %s: %w", l.addr, err)
		}
		if f.resp.ErrorCode != 0 {
			return fmt.Errorf("fetching from %s: error code %d", l.addr, f.resp.ErrorCode)
		}
		again, err := f.step(ctx)
		if err != nil {
			return err
		}
		// The next answer is on its way while this one is looked at.
		f.gate.pass(ctx)
		if err := f.ask(); err != nil {
			return err
		}
		f.look(now)
		if again {
			return nil
		}
	}
}

// ask sends the next request.
func (f *fetcher) ask() error {
	s := f.r.spec.Consumers
	f.req.Reset()
	f.req.MaxWaitMillis = int32(s.MaxWait / time.Millisecond)
	f.req.MinBytes, f.req.MaxBytes = int32(s.MinBytes), int32(s.FetchBytes)
	var t *wire.FetchTopic
	for i, p := range f.parts {
		at := f.r.parts[p]
		if t == nil || string(t.Name) != at.topic {
			t = f.req.AddTopic()
			t.Name = f.names[i]
		}
		fp := t.AddPartition()
		fp.Index, fp.Offset, fp.MaxBytes = at.index, f.next[i], int32(s.PartitionBytes)
	}
	f.out = wire.AppendRequestHeader(append(f.out[:0], 0, 0, 0, 0), wire.Header{
		Key: wire.KeyFetch, Version: fetchVersion, ClientID: []byte(clientID),
	})
	f.out = f.req.Append(f.out, fetchVersion)
	binary.BigEndian.PutUint32(f.out, uint32(len(f.out)-4))
	_, err := f.nc.Write(f.out)
	return err
}

// each calls do for every partition of the answer that was asked for. Kafka
// answers in the order of the request; any order is taken.
func (f *fetcher) each(do func(place int, p *wire.FetchPartitionResponse)) {
	place := 0
	for i := range f.resp.Topics {
		t := &f.resp.Topics[i]
		for k := range t.Partitions {
			p := &t.Partitions[k]
			for range f.parts {
				at := f.r.parts[f.parts[place]]
				if at.index == p.Index && at.topic == string(t.Name) {
					do(place, p)
					break
				}
				place = (place + 1) % len(f.parts)
			}
		}
	}
}

// step moves each partition's offset past what the answer holds. again says
// that leaders may have moved and have to be looked up.
func (f *fetcher) step(ctx context.Context) (again bool, err error) {
	f.each(func(place int, p *wire.FetchPartitionResponse) {
		const offsetOutOfRange = 1
		switch p.ErrorCode {
		case 0:
			for rest := p.Records; len(rest) > 0; {
				b, verr := batching.View(rest)
				if verr != nil {
					if !errors.Is(verr, batching.ErrTruncated) && err == nil {
						err = f.fault(place, verr)
						if part := f.parts[place]; f.r.ledger.of(f.group)[part].refuse(verr.Error()) {
							f.damaged(part, 1, f.next[place], verr.Error())
						}
					}
					break // a batch cut short comes whole next time
				}
				f.next[place] = max(f.next[place], b.NextOffset())
				rest = rest[b.Size():]
			}
		case offsetOutOfRange:
			// The log was cut below us. What comes after its end can still be
			// read; the ledger knows what is missing.
			f.r.rejected("consume", f.parts[place], p.ErrorCode)
			if ends, eerr := f.r.ctl.ends(ctx, f.r.sources); eerr == nil {
				f.next[place] = ends[f.parts[place]]
			}
		default:
			f.r.rejected("consume", f.parts[place], p.ErrorCode)
			again = true
		}
	})
	return again, err
}

func (f *fetcher) fault(place int, err error) error {
	at := f.r.parts[f.parts[place]]
	return fmt.Errorf("topic %s partition %d after offset %d: %w", at.topic, at.index, f.next[place], err)
}

// look books the batches of the answer, which arrived at now.
func (f *fetcher) look(now int64) {
	var count Count
	f.each(func(place int, p *wire.FetchPartitionResponse) {
		for rest := p.Records; len(rest) > 0; {
			b, err := batching.View(rest)
			if err != nil {
				break
			}
			rest = rest[b.Size():]
			count.add(f.batch(f.parts[place], b, now))
		}
	})
	if f.live && count.Records > 0 {
		f.shard.Lock()
		f.shard.tally.consumed.add(count)
		f.shard.Unlock()
	}
}

// batch books one batch, and answers what it held of this run.
func (f *fetcher) batch(part int, b batching.Batch, now int64) Count {
	to := f.r.ledger.of(f.group)[part]
	n := int64(b.Count())
	if b.NextOffset() <= to.position() {
		return Count{} // the target began its answer before what was asked
	}
	producer := int(b.ProducerEpoch())
	ours := b.ProducerID() == -1 && producer >= 0 && producer < len(to.from) && b.BaseSequence() >= 0
	if !ours {
		if err := f.check(b); err != nil {
			f.damaged(part, n, b.BaseOffset(), err.Error())
			to.sawDamaged(false, 0, 0, n, b.BaseOffset())
		} else {
			to.sawForeign(n, b.BaseOffset())
		}
		return Count{}
	}
	seq := unwrap(b.BaseSequence(), to.topOf(producer))
	s := f.r.ledger.streams[part][producer]
	if err := f.check(b); err != nil {
		f.damaged(part, n, b.BaseOffset(), err.Error())
		to.sawDamaged(to.plausible(producer, seq), producer, seq, n, b.BaseOffset())
		return Count{}
	}
	sent, known := s.find(f.group, seq)
	if known && !f.same(b, seq, sent) {
		f.damaged(part, n, b.BaseOffset(), fmt.Sprintf("a batch of %d records is not the one that was sent", n))
		to.sawDamaged(true, producer, seq, n, b.BaseOffset())
		return Count{}
	}
	to.saw(producer, seq, n, b.BaseOffset())
	count := Count{Records: n}
	if !known { // read before, or long ago: the header's time, in ms, is what is left
		at := (b.BaseTimestamp() - f.r.start.UnixMilli()) * int64(time.Millisecond)
		sent = sentBatch{intended: max(at, 0), phase: int32(f.r.rec.phaseAt(at))}
	}
	count.Bytes = int64(sent.bytes)
	if !f.r.mine(producer) { // its clock is not ours, and what it sent is not known here
		count.Bytes = n * int64(len(f.r.pool.bytes)) / int64(f.r.pool.len())
		return count
	}
	if f.live {
		f.shard.Lock()
		f.shard.recordEach(EndToEnd, now, n, f.r.arrival(int(sent.phase), producer, sent.event, sent.intended))
		f.shard.Unlock()
	}
	return count
}

// check verifies the CRC of a batch that is all there.
func (f *fetcher) check(b batching.Batch) error {
	if f.discard {
		return nil
	}
	return b.CheckCRC()
}

// damaged counts n damaged records.
func (f *fetcher) damaged(part int, n, offset int64, why string) {
	f.shard.Lock()
	f.r.damaged(f.shard, f.r.parts[part], offset, n, why)
	f.shard.Unlock()
}

// same says whether the batch is the one that was sent.
func (f *fetcher) same(b batching.Batch, seq int64, sent sentBatch) bool {
	if seq != sent.seq || b.Count() != int(sent.n) {
		return false
	}
	if f.discard || b.CRC() == sent.crc && !f.r.spec.Consumers.Records {
		return true
	}
	// The target may compress anew or set timestamps; keys and values stay.
	sum, err := contentSum(b.Records(0))
	return err == nil && sum == sent.content
}
