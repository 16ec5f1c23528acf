package group

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Txn is the transaction that a record is part of: it counts when a marker of
// this producer says that it is committed.
type Txn struct {
	Producer int64
	Epoch    int16
}

type place struct {
	topic     string
	partition int32
}

// commitTxn: TxnOffsetCommit, versions 0 to 4. The offsets are held until the
// transaction ends. From 3 on a member is named, and judged as in OffsetCommit;
// without one the group may have members all the same, as the producer that
// commits is not known to it. Whether the producer may is for Request.Admit.
func (s *shard) commitTxn(req *Request, body *kmsg.TxnOffsetCommitRequest) {
	if err := s.mayCommitTxn(body); err != nil {
		s.reply(req, Refusal(body, codeOf(err)))
		return
	}
	txn := &Txn{body.ProducerID, body.ProducerEpoch}
	r := kmsg.NewPtrTxnOffsetCommitResponse()
	r.Version = body.Version
	for i := range body.Topics {
		t := &body.Topics[i]
		rt := kmsg.NewTxnOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for j := range t.Partitions {
			p := &t.Partitions[j]
			o := committed{offset: p.Offset, epoch: -1, metadata: strings.Clone(textOf(p.Metadata)), at: s.now.UnixMilli(), expires: -1}
			if body.Version >= 2 {
				o.epoch = p.LeaderEpoch
			}
			rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			rp.Partition = p.Partition
			switch {
			case utf16Len(o.metadata) > s.cfg.MetadataMax:
				rp.ErrorCode = kerr.OffsetMetadataTooLarge.Code
			case !fits(t.Topic):
				rp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case !s.budget.roomForBytes(o.size(body.Group, t.Topic)):
				rp.ErrorCode = kerr.InvalidCommitOffsetSize.Code
			default:
				s.hold(txn.Producer, body.Group, t.Topic, p.Partition, o)
				record := offsetRecord(body.Group, t.Topic, p.Partition, &o)
				record.Txn = txn
				s.emit(record)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		r.Topics = append(r.Topics, rt)
	}
	s.reply(req, r)
}

func (s *shard) mayCommitTxn(body *kmsg.TxnOffsetCommitRequest) error {
	g := s.groups[body.Group]
	unmanaged := body.Version < 3 || body.Generation < 0 && body.MemberID == "" && body.InstanceID == nil
	switch {
	case !fits(body.Group):
		return kerr.InvalidGroupID
	case unmanaged:
		return nil
	case g == nil:
		return kerr.IllegalGeneration
	case body.Generation < 0 && g.empty():
		return nil
	case g.consumer != nil:
		err := g.consumer.inEpoch(body.MemberID, body.Generation)
		if err == kerr.StaleMemberEpoch {
			err = kerr.IllegalGeneration // the version knows nothing of epochs
		}
		return err
	}
	if err := g.check(body.MemberID, body.InstanceID); err != nil {
		return err
	}
	if body.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	return nil
}

// hold keeps an offset until its producer's transaction ends.
func (s *shard) hold(producer int64, group, topic string, partition int32, o committed) {
	if s.held == nil {
		s.held = map[int64]map[string]topicOffsets{}
	}
	if s.held[producer] == nil {
		s.held[producer] = map[string]topicOffsets{}
	}
	of := s.held[producer][group]
	if of == nil {
		of = topicOffsets{}
		s.held[producer][strings.Clone(group)] = of
	}
	if of[topic] == nil {
		of[strings.Clone(topic)] = map[int32]committed{}
	}
	if old, ok := of[topic][partition]; ok {
		s.budget.bytes.Add(-old.size(group, topic))
	}
	s.put++
	o.put = s.put
	of[topic][partition] = o
	s.budget.bytes.Add(o.size(group, topic))
}

// release lets go of what a producer's transaction has brought for a group.
func (s *shard) release(producer int64, group string) {
	s.held[producer][group].each(func(topic string, _ int32, o committed) {
		s.budget.bytes.Add(-o.size(group, topic))
	})
	delete(s.held[producer], group)
	if len(s.held[producer]) == 0 {
		delete(s.held, producer)
	}
}

// heldFor are the offsets of a group that transactions hold, each once.
func (s *shard) heldFor(group string) []place {
	var ps []place
	for p := range s.unstable(group) {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b place) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), int(a.partition)-int(b.partition))
	})
	return ps
}

// dropHeldOffset: what transactions would bring for one partition is no more.
func (s *shard) dropHeldOffset(group, topic string, partition int32) {
	for producer, of := range s.held {
		o, ok := of[group][topic][partition]
		if !ok {
			continue
		}
		s.budget.bytes.Add(-o.size(group, topic))
		delete(of[group][topic], partition)
		if len(of[group][topic]) == 0 {
			delete(of[group], topic)
		}
		if len(of[group]) == 0 {
			s.release(producer, group)
		}
	}
}

// dropHeld: the group is gone, and with it what transactions would bring.
func (s *shard) dropHeld(group string) {
	for producer := range s.held {
		s.release(producer, group)
	}
}

// endTxn makes a producer's offsets count, or drops them. One that was committed
// outside the transaction later than the transaction's stays.
func (s *shard) endTxn(now time.Time, producer int64, commit bool) {
	for group, offsets := range s.held[producer] {
		if commit {
			g := s.groups[group]
			if g == nil {
				g = s.create(group, now.UnixMilli())
			}
			offsets.each(func(topic string, partition int32, o committed) {
				if have, ok := g.offsets[topic][partition]; !ok || have.put < o.put {
					g.putOffset(topic, partition, o)
				}
			})
		}
		s.release(producer, group)
	}
}

// unstable is where a group's offsets may yet be changed by open transactions.
func (s *shard) unstable(group string) map[place]bool {
	out := map[place]bool{}
	for _, of := range s.held {
		of[group].each(func(topic string, partition int32, _ committed) { out[place{topic, partition}] = true })
	}
	return out
}

// LoadTxn is Load for a record that is part of a producer's transaction.
func (c *Coordinator) LoadTxn(partition int32, producer int64, key, value []byte) error {
	l := c.shards[partition]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != loading {
		return fmt.Errorf("partition %d of __consumer_offsets is not being loaded", partition)
	}
	if len(key) < 2 || key[0] != 0 || key[1] > keyOffset {
		return fmt.Errorf("a transaction holds a record that is no offset")
	}
	return l.shard.loadOffset(producer, key, value)
}

// LoadEnd is the marker that ends a producer's transaction, while loading.
func (c *Coordinator) LoadEnd(partition int32, producer int64, commit bool) {
	l := c.shards[partition]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == loading {
		l.shard.endTxn(c.clock.Now(), producer, commit)
	}
}

// EndTxn ends a producer's transaction in a partition. write appends the marker
// and answers with what calls done when it is kept or is not, as Log.Append does;
// with nil where nothing was appended. It is called when no commit of the
// transaction can come in between any more. What it made visible is answered to
// nobody before the marker is kept.
func (c *Coordinator) EndTxn(partition int32, producer int64, commit bool, write func() (await func(done func(error)))) {
	l := c.shards[partition]
	l.mu.Lock()
	defer l.mu.Unlock()
	await := write()
	switch {
	case await == nil:
		return
	case l.status != running:
		await(func(error) {})
		return
	}
	l.shard.endTxn(c.clock.Now(), producer, commit)
	ticket := l.queue.issue()
	await(func(err error) {
		if err != nil {
			l.queue.fail()
			go l.stop(failed)
			return
		}
		l.queue.kept(ticket)
	})
}

func refuseTxnCommit(r *kmsg.TxnOffsetCommitResponse, b *kmsg.TxnOffsetCommitRequest, code int16) {
	for _, t := range b.Topics {
		rt := kmsg.NewTxnOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		r.Topics = append(r.Topics, rt)
	}
}
