package core

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/batching"
	"millrace/core/quota"
	"millrace/core/wire"
	"millrace/netio"
)

// produce is one Produce request from its decoding to its answer. The loop
// appends every batch of it and builds the response; where a sync policy keeps
// the promise later, the last partition to be settled sends it, from the sync
// worker.
type produce struct {
	b      *Broker
	frame  *netio.Frame
	header wire.Header
	req    wire.ProduceRequest
	resp   wire.ProduceResponse
	check  checker

	// awaits are the partitions whose promise is still to come. They are
	// registered after the response is built: from the first registration on,
	// sync workers write into its partitions.
	awaits []await
	// groups are the batches that are to be appended with those of others; they
	// are handed over after the response is built, too.
	groups []groupEntry
	// open counts the partitions that are not settled, and the loop itself.
	open atomic.Int32
	// faulty: some partition has an error, which for acks=0 closes the
	// connection.
	faulty atomic.Bool
}

type await struct {
	p                *partition
	until            int64
	topic, partition int
}

var produces = sync.Pool{New: func() any { return new(produce) }}

// appendAll appends every batch of the request.
func (w *produce) appendAll() {
	view := w.b.view.Load()
	now := w.b.now().UnixMilli()
	for t := range w.req.Topics {
		asked := &w.req.Topics[t]
		topic, code := view.find(asked.Name, asked.ID, w.header.Version >= 13)
		out := w.resp.AddTopic()
		out.Name, out.ID = asked.Name, asked.ID
		for i := range asked.Partitions {
			o := out.AddPartition()
			o.Index = asked.Partitions[i].Index
			o.ErrorCode = code
			if topic == nil {
				continue
			}
			p := topic.partition(o.Index)
			switch {
			case topic.internal:
				o.ErrorCode = kerr.InvalidTopicException.Code
				continue
			case p == nil:
				o.ErrorCode = kerr.UnknownTopicOrPartition.Code
				continue
			}
			w.appendOne(p, asked.Partitions[i].Records, o, now, t, i)
		}
	}
}

func (w *produce) appendOne(p *partition, records []byte, out *wire.ProducePartitionResponse, now int64, topic, partition int) {
	s := p.settings.Load()
	batch, code, message := w.check.batch(records, w.b.depth, s, w.header.Version, now)
	if code != 0 {
		w.b.counters.rejected.Add(1)
		out.ErrorCode = code
		if message != "" {
			out.ErrorMessage = []byte(message)
		}
		for _, f := range w.check.faults {
			out.RecordErrors = append(out.RecordErrors, wire.RecordError{Index: int32(f.Record), Message: []byte(f.Error())})
		}
		if size, err := batching.PeekSize(records); err == nil && size == len(records) {
			w.tellStart(p, out)
		}
		return
	}
	from := source{txn: w.req.TransactionalID, version: w.header.Version}
	if w.b.grouped {
		w.check.recompressed = nil // the entry's, until it is written
		w.groups = append(w.groups, groupEntry{p, w, batch, s, now, from, topic, partition})
		return
	}
	at, code := p.append(batch, s, now, from)
	w.awaits = w.placed(w.awaits, p, batch, at, code, topic, partition)
}

// placed writes into the answer what has become of a batch, and adds to awaits
// what is to be awaited before it may be answered.
func (w *produce) placed(awaits []await, p *partition, batch batching.Batch, at appended, code int16, topic, partition int) []await {
	out := &w.resp.Topics[topic].Partitions[partition]
	if j := at.joined; j != nil && j.at.held {
		j.lane.advance(j.at.end, untold)
	} else if j != nil && code == 0 && w.req.Acks != 0 {
		awaits = append(awaits, await{j.lane.partition, j.at.end, topic, partition})
	}
	if code != 0 {
		out.ErrorCode = code
		switch {
		case !at.unasked:
			w.tellStart(p, out)
		case code == kerr.InvalidTxnState.Code:
			out.ErrorMessage = notAdded
		}
		return awaits
	}
	out.BaseOffset, out.LogAppendTime, out.LogStart = at.base, at.time, p.log.Start()
	w.b.counters.batchesIn.Add(1)
	w.b.counters.recordsIn.Add(int64(batch.Count()))
	w.b.counters.bytesIn.Add(int64(batch.Size()))
	if at.held {
		p.advance(at.end, at.news)
		return awaits
	}
	if w.req.Acks == 0 {
		return awaits
	}
	return append(awaits, await{p, at.end, topic, partition})
}

// notAdded is what Kafka says of a partition that is not in the transaction.
var notAdded = []byte("Partition was not added to the transaction")

// tellStart adds the log start to a refusal, where Kafka does: it knows it once
// it has come to the log, and leaves it out of errors that have a client look
// for another leader, or send again.
func (w *produce) tellStart(p *partition, out *wire.ProducePartitionResponse) {
	switch out.ErrorCode {
	case kerr.InvalidRecord.Code, kerr.InvalidTimestamp.Code, kerr.OutOfOrderSequenceNumber.Code,
		kerr.InvalidProducerEpoch.Code, kerr.InvalidTxnState.Code:
		out.LogStart = p.log.Start()
	}
}

// untold says whether the request carries a transactional batch and no
// transactional id.
func (w *produce) untold() bool {
	if w.req.TransactionalID != nil {
		return false
	}
	for t := range w.req.Topics {
		for i := range w.req.Topics[t].Partitions {
			if batching.PeekTransactional(w.req.Topics[t].Partitions[i].Records) {
				return true
			}
		}
	}
	return false
}

// finish registers what is still to come and settles the loop's own share.
func (w *produce) finish() {
	w.resp.ThrottleMillis = max(clientOf(w.frame.Conn()).owes,
		w.b.charge(w.frame.Conn(), quota.Produce, w.header.ClientID, float64(len(w.frame.Bytes()))))
	for t := range w.resp.Topics {
		for i := range w.resp.Topics[t].Partitions {
			if w.resp.Topics[t].Partitions[i].ErrorCode != 0 {
				w.faulty.Store(true)
			}
		}
	}
	w.open.Store(int32(len(w.awaits)+len(w.groups)) + 1)
	w.await(w.awaits)
	for i := range w.groups {
		w.groups[i].p.group.join(w.groups[i])
	}
	w.done()
}

func (w *produce) await(awaits []await) {
	for i := range awaits {
		a := &awaits[i]
		if waiting, code := a.p.await(ack{until: a.until, w: w, topic: a.topic, partition: a.partition}); !waiting {
			w.settle(a.topic, a.partition, code)
		}
	}
}

// settle says how the promise to one partition came out; 0: it holds.
func (w *produce) settle(topic, partition int, code int16) {
	if code != 0 {
		out := &w.resp.Topics[topic].Partitions[partition]
		out.ErrorCode, out.BaseOffset, out.LogAppendTime, out.LogStart = code, -1, -1, -1
		w.faulty.Store(true)
	}
	w.done()
}

func (w *produce) done() {
	if w.open.Add(-1) > 0 {
		return
	}
	frame := w.frame
	if w.req.Acks == 0 {
		faulty := w.faulty.Load()
		b := w.b
		w.release()
		if faulty {
			b.refuse(frame, errNoAnswer)
			return
		}
		frame.Drop()
		return
	}
	buf := w.b.server.Pool().Get(smallReply)
	dst := wire.AppendResponseHeader(buf.B[:frameLength], w.header.Key, w.header.Version, w.header.CorrelationID)
	buf.B = w.resp.Append(dst, w.header.Version)
	w.release()
	frame.Reply(netio.Reply{Buf: buf})
}

var errNoAnswer = errors.New("a produce request with acks=0 failed, and has no answer to say so in")

func (w *produce) release() {
	w.req.Reset()
	w.resp.Reset()
	w.check.reset()
	clear(w.awaits)
	clear(w.groups)
	w.awaits, w.groups = w.awaits[:0], w.groups[:0]
	w.b, w.frame, w.header = nil, nil, wire.Header{}
	w.faulty.Store(false)
	produces.Put(w)
}

// refuseAll answers every partition with one code.
func (w *produce) refuseAll(code int16) {
	for t := range w.req.Topics {
		asked := &w.req.Topics[t]
		out := w.resp.AddTopic()
		out.Name, out.ID = asked.Name, asked.ID
		for i := range asked.Partitions {
			o := out.AddPartition()
			o.Index, o.ErrorCode = asked.Partitions[i].Index, code
		}
	}
}
