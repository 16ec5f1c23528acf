package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"millrace/diskio"
	"millrace/internal/knob"
)

// CleanerConfig is the broker's share of compaction.
type CleanerConfig struct {
	Backoff time.Duration // between two looks at what there is to compact
	Buffer  int64         // bytes of the key map
}

// CompactConfig is a topic's share of compaction.
type CompactConfig struct {
	MinDirtyRatio   string        // a number from 0 to 1: the share of new bytes that makes it worth it
	MinLag          time.Duration // a record younger than this is left alone
	MaxLag          time.Duration // a record older than this is compacted whatever it is worth
	DeleteRetention time.Duration // how long a tombstone can be read after it was first met
}

func defaultCleaner() CleanerConfig {
	return CleanerConfig{Backoff: 15 * time.Second, Buffer: 128 << 20}
}

func defaultCompact() CompactConfig {
	return CompactConfig{MinDirtyRatio: "0.5", MaxLag: forever, DeleteRetention: 24 * time.Hour}
}

func (c *CleanerConfig) register(s *knob.Set) {
	s.Duration(&c.Backoff, "log.cleaner.backoff.ms", "time between two looks for topics to compact",
		knob.Within(time.Millisecond, 24*time.Hour))
	s.Bytes(&c.Buffer, "log.cleaner.dedupe.buffer.size", "memory for the keys of the log that is being compacted; what does not fit takes another pass",
		knob.Range(1<<10, 1<<40))
}

func (c *CompactConfig) register(s *knob.Set) {
	s.String(&c.MinDirtyRatio, "min.cleanable.dirty.ratio", "share of a log's bytes that must be new since the last compaction for the next, 0 to 1",
		knob.PerTopic(), knob.Kafka("log.cleaner.min.cleanable.ratio"))
	s.Rule(func() error {
		if r, err := strconv.ParseFloat(c.MinDirtyRatio, 64); err != nil || !(r >= 0 && r <= 1) {
			return fmt.Errorf("min.cleanable.dirty.ratio: %q is no number from 0 to 1", c.MinDirtyRatio)
		}
		return nil
	})
	s.Rule(func() error {
		if c.MinLag > c.MaxLag {
			return fmt.Errorf("min.compaction.lag.ms: %v is more than max.compaction.lag.ms, %v", c.MinLag, c.MaxLag)
		}
		return nil
	})
	s.Duration(&c.MinLag, "min.compaction.lag.ms", "a record younger than this is not compacted away",
		knob.Within(0, forever), knob.PerTopic(), knob.Kafka("log.cleaner.min.compaction.lag.ms"))
	s.Duration(&c.MaxLag, "max.compaction.lag.ms", "a record older than this is compacted, however little there is to gain",
		knob.Within(time.Millisecond, forever), knob.PerTopic(), knob.Kafka("log.cleaner.max.compaction.lag.ms"))
	s.Duration(&c.DeleteRetention, "delete.retention.ms", "how long a tombstone can still be read after the first compaction that met it",
		knob.Within(0, forever), knob.PerTopic(), knob.Kafka("log.cleaner.delete.retention.ms"))
}

// ratio is MinDirtyRatio, which a rule has checked.
func (c *CompactConfig) ratio() float64 {
	r, err := strconv.ParseFloat(c.MinDirtyRatio, 64)
	if err != nil {
		panic("BUG: min.cleanable.dirty.ratio: " + err.Error())
	}
	return r
}

// cleaner compacts the partitions whose topics want it, one at a time, on a
// goroutine of its own: a large log takes long, and the other chores do not wait.
type cleaner struct {
	b    *Broker
	ctx  context.Context
	done map[*partition]int64       // up to where this run compacted
	hint map[diskio.Partition]int64 // the same from before the start, as far as it was written down
	rest map[*partition]time.Time   // not before, after a failure
}

// cleanerRest is how long a partition that could not be compacted is left alone.
const cleanerRest = 10 * time.Minute

// doCompaction compacts what is due now and then, until the broker stops.
func (b *Broker) doCompaction() {
	defer b.chores.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-b.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	c := &cleaner{b: b, ctx: ctx, done: map[*partition]int64{}, rest: map[*partition]time.Time{}}
	b.dir.mu.Lock()
	hint, err := b.dir.dir.Offsets(diskio.CleanerOffsets)
	b.dir.mu.Unlock()
	if err != nil {
		b.log.Warn("compaction begins anew: its checkpoint cannot be read", "err", err)
	}
	c.hint = hint
	tick := time.NewTicker(b.cfg.Cleaner.Backoff)
	defer tick.Stop()
	for {
		select {
		case <-b.quit:
			return
		case <-tick.C:
			c.round()
		}
	}
}

// due is a partition worth compacting, and how much of it is new.
type due struct {
	p     *partition
	ratio float64
}

// round compacts everything that is due, what has most to gain first.
func (c *cleaner) round() {
	var list []due
	live := map[*partition]bool{}
	for _, p := range c.b.view.Load().all() {
		if s := p.settings.Load(); !s.compact || p.log == nil || p.state.Load() != online {
			continue
		}
		live[p] = true
		if c.b.now().Before(c.rest[p]) {
			continue
		}
		if ratio, ok := c.due(p); ok {
			list = append(list, due{p, ratio})
		}
	}
	for p := range c.done {
		if !live[p] {
			delete(c.done, p)
			delete(c.rest, p)
		}
	}
	slices.SortFunc(list, func(a, b due) int { return cmp.Compare(b.ratio, a.ratio) })
	for _, d := range list {
		if c.ctx.Err() != nil {
			return
		}
		c.compact(d.p)
	}
	if len(list) > 0 {
		c.save()
	}
}

// options are those of the next compaction of p. What a checkpoint says from
// before the start is not From: a topic of the same name may have been deleted
// since, and a tombstone must not go before every older value has.
func (c *cleaner) options(p *partition) diskio.CompactOptions {
	s := p.settings.Load()
	o := diskio.CompactOptions{
		From: c.done[p], UpTo: p.stable(p.visible.Load()), Now: c.b.now(),
		MinLag: s.Compact.MinLag, DeleteRetention: s.Compact.DeleteRetention,
		Buffer: c.b.cfg.Cleaner.Buffer, Guard: &p.snapMu, Keeps: p.standsOn,
	}
	for _, a := range p.txns.aborted.all() {
		o.Aborted = append(o.Aborted, diskio.AbortedRange{Producer: a.producer, First: a.first, Last: a.last})
	}
	return o
}

// standsOn says whether the batch is the last that tells where a producer
// stands.
func (p *partition) standsOn(producer int64, epoch int16, last int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, at, ok := p.producers.Stand(producer)
	return ok && now == epoch && (at == last || at < 0)
}

// due says whether there is enough to compact, or it has waited long enough.
func (c *cleaner) due(p *partition) (ratio float64, ok bool) {
	o := c.options(p)
	if _, known := c.done[p]; !known {
		o.From = c.hint[p.key()]
	}
	clean, dirty, oldest, err := p.log.Backlog(o)
	if err != nil || dirty == 0 {
		return 0, false // a read that fails stops the log by itself
	}
	s := p.settings.Load()
	ratio = float64(dirty) / float64(clean+dirty)
	late := s.Compact.MaxLag != forever && oldest >= 0 && o.Now.UnixMilli()-oldest > s.Compact.MaxLag.Milliseconds()
	return ratio, late || ratio >= s.Compact.ratio()
}

// compact goes over one partition, as often as its keys need.
func (c *cleaner) compact(p *partition) {
	for {
		began := time.Now()
		o := c.options(p)
		r, err := p.log.Compact(c.ctx, o)
		switch {
		case c.ctx.Err() != nil || p.state.Load() != online:
			return
		case err != nil:
			var e *diskio.Error
			if errors.As(err, &e) && e.Failed {
				p.fail("compaction", err)
				return
			}
			c.rest[p] = c.b.now().Add(cleanerRest)
			c.b.log.Error("a partition could not be compacted; it is left as it is, and tried again later", "partition", p.name, "err", err)
			return
		}
		c.done[p] = r.To
		if err := p.forgetAborted(r.Spent); err != nil {
			// It is not lost: the next compaction finds the same.
			c.b.log.Error("writing a transaction index anew", "partition", p.name, "err", err)
		}
		if r.Written > 0 {
			c.b.log.Info("compacted", "partition", p.name, "to", r.To, "segments", r.Segments,
				"bytes", r.BytesBefore, "left", r.BytesAfter, "records", r.RecordsBefore, "kept", r.RecordsAfter,
				"took", time.Since(began).Round(time.Millisecond))
		}
		if !r.More || r.To <= o.From {
			return
		}
	}
}

// save writes down how far each partition is compacted. It only says what is
// worth a look after the next start; nothing is lost with it.
func (c *cleaner) save() {
	offsets := map[diskio.Partition]int64{}
	for _, p := range c.b.view.Load().all() {
		if at, ok := c.done[p]; ok {
			offsets[p.key()] = at
		} else if at, ok := c.hint[p.key()]; ok && p.settings.Load().compact {
			offsets[p.key()] = at
		}
	}
	c.b.dir.mu.Lock()
	err := c.b.dir.dir.SetOffsets(diskio.CleanerOffsets, offsets)
	c.b.dir.mu.Unlock()
	if err != nil {
		c.b.log.Error("writing the cleaner's checkpoint", "err", err)
	}
}
