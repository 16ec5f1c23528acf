package load

import (
	"context"
	"fmt"

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
	c := &kgoConsumer{r: r, number: map[string][]int{}, read: r.ledger.of(group), live: live, shard: r.rec.shard()}
	for n, at := range r.sources {
		c.number[at.topic] = append(c.number[at.topic], n) // sources are in order of index
	}
	return c
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
		f.EachError(func(topic string, part int32, err error) {
			if ctx.Err() == nil {
				c.r.complain("consume", fmt.Errorf("topic %s partition %d: %w", topic, part, err))
			}
		})
		f.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				c.saw(c.read[c.number[p.Topic][p.Partition]], p.Records, now)
			}
		})
		cl.AllowRebalance()
	}
}

// saw books what one poll brought of one partition.
func (c *kgoConsumer) saw(to *reading, recs []*kgo.Record, now int64) {
	var count Count
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
