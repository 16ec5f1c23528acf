package load

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kgoConsumer reads partitions directly through a kgo.Client of its own.
type kgoConsumer struct {
	r      *run
	opts   []kgo.Opt
	number map[string][]int // topic → partition index → number in r.sources
	read   []*reading       // by number in r.sources
	live   bool
	gate   *gate // nil: always open
	shard  *shard
}

func newKgoConsumer(r *run, group int, live bool) *kgoConsumer {
	c := &kgoConsumer{r: r, read: r.ledger.of(group), live: live, shard: r.rec.shard()}
	c.number = numbered(r.sources)
	return c
}

// numbered finds each partition's number by its topic and index.
func numbered(parts []partition) map[string][]int {
	number := map[string][]int{}
	for n, at := range parts {
		number[at.topic] = append(number[at.topic], n) // they are in order of index
	}
	return number
}

func (kgoClient) consumer(r *run, group int, parts []int, live bool, g *gate) (consumer, error) {
	c := newKgoConsumer(r, group, live)
	c.gate = g
	from := map[string]map[int32]kgo.Offset{}
	for _, n := range parts {
		at := r.sources[n]
		if from[at.topic] == nil {
			from[at.topic] = map[int32]kgo.Offset{}
		}
		from[at.topic][at.index] = kgo.NewOffset().At(r.begin[n])
	}
	c.opts = append(c.fetchOptions(), kgo.ClientID(clientID), kgo.Dialer(r.dial), kgo.ConsumePartitions(from),
		// Where the log was cut below us, what comes after its end is what can
		// still be read; the ledger knows what is missing.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	return c, nil
}

// fetchOptions are those of every reader.
func (c *kgoConsumer) fetchOptions() []kgo.Opt {
	s := c.r.spec.Consumers
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.r.spec.Brokers...),
		kgo.FetchMinBytes(int32(s.MinBytes)), kgo.FetchMaxWait(s.MaxWait),
		kgo.FetchMaxBytes(int32(s.FetchBytes)), kgo.FetchMaxPartitionBytes(int32(s.PartitionBytes)),
	}
	opts = append(opts, c.r.clientOptions()...)
	if s.Committed {
		// The markers are kept to be told where the log ends; saw skips them.
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	}
	return opts
}

func (c *kgoConsumer) run(ctx context.Context) {
	cl, err := kgo.NewClient(c.opts...)
	if err != nil {
		c.r.complain("consume", fmt.Errorf("starting a consumer: %w", err))
		return
	}
	defer cl.CloseAllowingRebalance()
	for c.gate.pass(ctx); ctx.Err() == nil; c.gate.pass(ctx) {
		f := cl.PollFetches(ctx)
		now := c.r.now()
		f.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				c.saw(c.number[p.Topic][p.Partition], p.Records, now)
			}
		})
		// An error stands behind the records that came with it.
		f.EachError(func(topic string, part int32, err error) {
			if ctx.Err() == nil {
				c.r.unread(c.shard, c.number[topic], c.read, part, topic, err)
			}
		})
		cl.AllowRebalance()
	}
}

// unread books an error that came in place of a partition's records. franz-go
// asks again from the same offset, and where the damage was done on the way, all
// is well from then on: but for this, nobody would know. The partition is given
// by its topic, the numbers of the topic's partitions, and its index.
func (r *run) unread(s *shard, numbers []int, read []*reading, index int32, topic string, err error) {
	if !refused(err) || index < 0 || int(index) >= len(numbers) {
		r.complain("consume", fmt.Errorf("topic %s partition %d: %w", topic, index, err))
		return
	}
	to := read[numbers[index]]
	if why := "the client refused a batch: " + err.Error(); to.refuse(why) {
		s.Lock()
		r.damaged(s, partition{topic, index}, to.position(), 1, why)
		s.Unlock()
	}
}

// refused says whether an error of a fetch means that its records came damaged.
// franz-go has a type for one of the reasons only; the others are told by what it
// says.
func refused(err error) bool {
	if errors.Is(err, kgo.ErrMaxDecompress) {
		return true
	}
	text := err.Error()
	for _, said := range []string{
		"does not match calculated crc", "too short to allow for a crc", "not enough data", "does not match read length",
		"unknown magic", "unknown batch magic", "invalid record batch", "unable to decompress batch",
	} {
		if strings.Contains(text, said) {
			return true
		}
	}
	return false
}

// saw books what one poll brought of one partition, given by its number.
func (c *kgoConsumer) saw(part int, recs []*kgo.Record, now int64) {
	var count Count
	to := c.read[part]
	c.shard.Lock()
	defer c.shard.Unlock()
	for _, rec := range recs {
		if rec.Attrs.IsControl() {
			to.pass(rec.Offset + 1)
			continue
		}
		s, ours, sound := c.r.stampOf(rec)
		switch {
		case ours && sound && s.producer < len(to.from):
			to.saw(s.producer, s.sequence, 1, rec.Offset)
			count.add(Count{1, int64(len(rec.Key) + len(rec.Value))})
			if c.live && c.r.mine(s.producer) { // its clock is ours
				c.shard.recordLocked(c.r.rec.phaseAt(s.intended), EndToEnd, now-s.intended, 1)
			}
		case ours || !sound:
			to.sawDamaged(ours && to.plausible(s.producer, s.sequence), s.producer, s.sequence, 1, rec.Offset)
			c.r.damaged(c.shard, c.r.sources[part], rec.Offset, 1, "a record is not what was sent")
		default:
			to.sawForeign(1, rec.Offset)
		}
	}
	if c.live {
		c.shard.tally.consumed.add(count)
	}
}

// stampOf finds a record's stamp. A record without one is another's: not ours,
// and as sound as anyone can say.
func (r *run) stampOf(rec *kgo.Record) (s stamp, ours, sound bool) {
	for _, h := range rec.Headers {
		if h.Key == stampKey {
			return parseStamp(h.Value, r.id, rec.Key, rec.Value)
		}
	}
	return s, false, true
}
