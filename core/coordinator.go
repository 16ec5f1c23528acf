package core

import (
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/group"
	"millrace/core/meta"
)

// groups ties a group.Coordinator to the partitions of __consumer_offsets: what
// it writes goes there, what it knows at a start comes from there.
//
// Locks are taken in this order: changeMu, a lane of the coordinator,
// partition.mu. Answers leave from whichever goroutine the promise of the sync
// policy comes true on.
type groups struct {
	*group.Coordinator
	b     *Broker
	topic meta.ID
	parts []*statePartition

	quit    chan struct{} // closed when loading has become pointless
	loading sync.WaitGroup
}

var _ group.Log = (*groups)(nil)

// coordinate brings the coordinator into line with a view: there is one while
// __consumer_offsets exists. changeMu is held, or nothing else runs yet.
func (b *Broker) coordinate(v *view) {
	now, topic := b.groups.Load(), v.byName[offsetsTopic]
	if now != nil && (topic == nil || topic.meta.ID != now.topic) {
		b.groups.Store(nil)
		now.close()
		now = nil
	}
	if now != nil {
		now.SetMetadata(v)
	}
	if now != nil || topic == nil {
		return
	}
	g := &groups{b: b, topic: topic.meta.ID, quit: make(chan struct{})}
	for _, p := range topic.partitions {
		g.parts = append(g.parts, newStatePartition(p))
	}
	g.Coordinator = group.New(b.cfg.Group, g, group.ClockOf(b.now), len(g.parts))
	g.SetMetadata(v)
	var full []int32
	for i, p := range g.parts {
		if p.check(-1) == 0 && p.log.Start() == p.log.End() {
			g.Loaded(int32(i)) // a client of a new topic need not be told to wait
		} else {
			full = append(full, int32(i))
		}
	}
	b.groups.Store(g)
	g.loading.Add(1)
	go func() {
		defer g.loading.Done()
		b.loadEach("groups", len(full), func(i int) { g.load(full[i]) })
	}()
}

// close answers all that is parked. It waits for the loading, not for answers.
func (g *groups) close() {
	close(g.quit)
	g.Coordinator.Close()
	g.loading.Wait()
}

// closeGroups ends the coordinator when the broker stops.
func (b *Broker) closeGroups() {
	b.changeMu.Lock()
	defer b.changeMu.Unlock()
	if g := b.groups.Swap(nil); g != nil {
		g.close()
	}
}

// forgetOffsets drops what groups committed for a topic that is gone.
func (b *Broker) forgetOffsets(topic string) {
	if g := b.groups.Load(); g != nil {
		g.TopicDeleted(topic)
	}
}

// Append writes the records as one batch, or as several where one would be
// larger than consumers of the topic expect, or where some are part of a
// transaction.
func (g *groups) Append(partition int32, now time.Time, records []group.Record, done func(error)) {
	p := g.parts[partition]
	s := p.settings.Load()
	var last appended
	for len(records) > 0 {
		n, size := 0, int64(batching.HeaderSize)
		for n < len(records) && (n == 0 || records[n].Txn == records[0].Txn && size+stateSize(records[n].Key, records[n].Value) <= s.MaxMessageBytes) {
			size += stateSize(records[n].Key, records[n].Value)
			n++
		}
		at, err := p.appendRecords(records[:n], now.UnixMilli())
		if err != nil {
			done(err)
			return
		}
		last, records = at, records[n:]
	}
	p.whenKept(last, func(code int16) { done(keptError(code)) })
}

func (p *statePartition) appendRecords(records []group.Record, now int64) (appended, error) {
	var whose *producedBy
	if t := records[0].Txn; t != nil {
		whose = &producedBy{t.Producer, t.Epoch}
	}
	return p.write(whose, now, func(b *batching.Builder) error {
		for _, r := range records {
			if err := b.Append(now, r.Key, r.Value, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// load reads one partition. A record that no coordinator writes is passed over;
// a log that cannot be read leaves its groups without a coordinator.
func (g *groups) load(i int32) {
	p := g.parts[i]
	passed := 0
	err := p.scan(g.quit, func(batch batching.Batch) error {
		if batch.IsControl() {
			m, ok, err := batch.Marker()
			if ok && err == nil {
				g.LoadEnd(i, m.ProducerID, m.Commit)
			}
			return err
		}
		for r, err := range batch.Records(0) {
			if err != nil {
				return err
			}
			if batch.IsTransactional() {
				err = g.LoadTxn(i, batch.ProducerID(), r.Key, r.Value)
			} else {
				err = g.Load(i, r.Key, r.Value)
			}
			if err != nil {
				p.passOver(&passed, batch.Offset(r), err)
			}
		}
		return nil
	})
	switch {
	case err == nil:
		g.Loaded(i)
	case !errors.Is(err, errPointless):
		p.b.log.Error("groups have no coordinator: their partition cannot be read", "partition", p.name, "err", err)
		fallthrough
	default:
		g.LoadFailed(i)
	}
}

// tidy keeps the partitions from growing without bound. Called by the chores.
func (g *groups) tidy() {
	for i, p := range g.parts {
		if !p.overgrown() {
			continue
		}
		err := p.rewrite(func() (from int64, ok bool, err error) {
			from = p.log.End()
			kept := make(chan error, 1)
			if !g.Rewrite(int32(i), func(err error) { kept <- err }) {
				return from, false, nil
			}
			select {
			case err := <-kept:
				return from, true, err
			case <-g.quit:
				return from, false, nil
			}
		})
		if err != nil {
			g.b.log.Error("could not rewrite what is kept of groups", "partition", p.name, "err", err)
		}
	}
}

// refuseGroup is the answer to a request for a group while there is no
// coordinator: the client looks for one, which makes it.
func refuseGroup(req kmsg.Request) kmsg.Response {
	if req.Key() == int16(kmsg.ListGroups) {
		return req.ResponseKind() // there are none
	}
	return group.Refusal(req, kerr.NotCoordinator.Code)
}
