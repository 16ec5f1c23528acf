package soak

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"millrace/batching"
	"millrace/core/wire"
	"millrace/harness/load"
)

const (
	// Topic is what the soak's well-behaved client writes to and all read.
	Topic = "soak"

	// The well-behaved client sends one batch every sendEvery, on a schedule
	// fixed beforehand: latency counts from when it was due.
	sendEvery      = 5 * time.Millisecond
	batchBytes     = 1000
	produceVersion = 8
	answerLimit    = 64 << 20
)

// judge is a well-behaved client: one producer, and one consumer at the tail.
type judge struct {
	addr  string
	start time.Time

	// due[offset % len] is when the batch with that offset was due, ns since
	// start; written by the producer before it sends.
	due  []atomic.Int64
	base int64 // offset of its first batch

	acked, seen atomic.Int64 // batches
	mu          sync.Mutex
	ack, e2e    *load.Histogram // of one window, guarded by mu
	all         [2]*load.Histogram
	err         error
}

// window is the percentiles of one sample interval.
type window struct{ ack, e2e time.Duration }

func newJudge(addr string) *judge {
	return &judge{
		addr: addr, start: time.Now(), due: make([]atomic.Int64, 1<<16),
		ack: load.NewHistogram(), e2e: load.NewHistogram(),
		all: [2]*load.Histogram{load.NewHistogram(), load.NewHistogram()},
	}
}

func (j *judge) now() int64 { return int64(time.Since(j.start)) }

// cut ends a window and gives its p99s.
func (j *judge) cut() window {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := window{j.ack.Percentile(99), j.e2e.Percentile(99)}
	j.all[0].Merge(j.ack)
	j.all[1].Merge(j.e2e)
	j.ack, j.e2e = load.NewHistogram(), load.NewHistogram()
	return w
}

// alone ends the time before the attackers, which does not count.
func (j *judge) alone() window {
	w := j.cut()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all = [2]*load.Histogram{load.NewHistogram(), load.NewHistogram()}
	return w
}

func (j *judge) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = err
	}
}

// fill writes mib MiB for the others to fetch, and returns the end.
func (j *judge) fill(mib int) error {
	c, err := net.Dial("tcp", j.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	frame, err := produceFrame(make([]byte, 1<<19))
	if err != nil {
		return err
	}
	for range 2 * mib {
		if _, err := c.Write(frame); err != nil {
			return err
		}
		offset, err := readAck(c)
		if err != nil {
			return err
		}
		j.base = offset + 1
	}
	return nil
}

// run produces until ctx ends, and consumes until all of it has been seen.
func (j *judge) run(ctx context.Context) {
	nc, err := net.Dial("tcp", j.addr)
	if err != nil {
		j.fail(err)
		return
	}
	defer nc.Close()
	var wg sync.WaitGroup
	sent, produced := make(chan int64, 1<<16), make(chan struct{})
	wg.Go(func() {
		defer close(produced)
		for due := range sent {
			offset, err := readAck(nc)
			if err == nil && offset != j.base+j.acked.Load() {
				err = fmt.Errorf("a batch was written at offset %d, not %d", offset, j.base+j.acked.Load())
			}
			if err != nil {
				j.fail(fmt.Errorf("the well-behaved producer: %w", err))
				nc.Close()
				return
			}
			j.acked.Add(1)
			j.mu.Lock()
			j.ack.Record(j.now()-due, 1)
			j.mu.Unlock()
		}
	})
	wg.Go(func() {
		if err := j.consume(produced); err != nil {
			j.fail(fmt.Errorf("the well-behaved consumer: %w", err))
		}
	})
	frame, err := produceFrame(make([]byte, batchBytes))
	begin := j.now()
	for n := int64(0); err == nil && ctx.Err() == nil; n++ {
		due := begin + n*int64(sendEvery)
		time.Sleep(time.Duration(due - j.now()))
		j.due[n%int64(len(j.due))].Store(due)
		sent <- due
		_, err = nc.Write(frame)
	}
	close(sent)
	if err != nil {
		j.fail(fmt.Errorf("the well-behaved producer: %w", err))
	}
	wg.Wait()
}

// consume reads at the tail, until produced is closed and everything was seen.
func (j *judge) consume(produced chan struct{}) error {
	c, err := net.Dial("tcp", j.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	var resp wire.FetchResponse
	for {
		select {
		case <-produced:
			if j.seen.Load() == j.acked.Load() {
				return nil
			}
		default:
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Write(fetchFrame(j.base+j.seen.Load(), 1<<20, 500)); err != nil {
			return err
		}
		frame, err := readFrame(c)
		if err != nil {
			return err
		}
		_, body, err := wire.ParseResponseHeader(frame, wire.KeyFetch, fetchVersion)
		if err == nil {
			resp.Reset()
			err = resp.Decode(fetchVersion, body)
		}
		if err != nil {
			return err
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return errAnswer
		}
		p := &resp.Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			return fmt.Errorf("fetch: error %d", p.ErrorCode)
		}
		if err := j.see(p.Records); err != nil {
			return err
		}
	}
}

func (j *judge) see(records []byte) error {
	now := j.now()
	for len(records) > 0 {
		batch, err := batching.View(records)
		if err == nil {
			err = batch.CheckCRC()
		}
		if err != nil {
			return err
		}
		n := j.seen.Load()
		if batch.BaseOffset() != j.base+n {
			return fmt.Errorf("read offset %d, not %d", batch.BaseOffset(), j.base+n)
		}
		j.mu.Lock()
		j.e2e.Record(now-j.due[n%int64(len(j.due))].Load(), 1)
		j.mu.Unlock()
		j.seen.Add(1)
		records = records[batch.Size():]
	}
	return nil
}

func produceFrame(value []byte) ([]byte, error) {
	b := batching.NewBuilder(batching.Options{})
	if err := b.Append(time.Now().UnixMilli(), nil, value, nil); err != nil {
		return nil, err
	}
	records, err := b.Build(nil)
	if err != nil {
		return nil, err
	}
	req := wire.ProduceRequest{Acks: 1, TimeoutMillis: 30_000}
	t := req.AddTopic()
	t.Name = []byte(Topic)
	t.AddPartition().Records = records
	return request(wire.Header{Key: wire.KeyProduce, Version: produceVersion}, req.Append(nil, produceVersion)), nil
}

// readAck is the offset that a batch was given.
func readAck(c net.Conn) (int64, error) {
	frame, err := readFrame(c)
	if err != nil {
		return 0, err
	}
	_, body, err := wire.ParseResponseHeader(frame, wire.KeyProduce, produceVersion)
	if err != nil {
		return 0, err
	}
	var resp wire.ProduceResponse
	if err := resp.Decode(produceVersion, body); err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errAnswer
	}
	p := &resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return 0, fmt.Errorf("produce: error %d", p.ErrorCode)
	}
	return p.BaseOffset, nil
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > answerLimit {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
