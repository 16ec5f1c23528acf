package core

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/core/meta"
)

// view is the metadata image together with the partitions that serve it here.
// It is read-only and replaced as a whole, so that requests look things up
// without a lock.
type view struct {
	image  *meta.Image
	byName map[string]*topic
	byID   map[meta.ID]*topic
}

// topic is a topic of a view.
type topic struct {
	meta       *meta.Topic
	partitions []*partition
	internal   bool // not for clients to write to
}

// partition finds one by its index; nil: there is none.
func (t *topic) partition(index int32) *partition {
	if index < 0 || int(index) >= len(t.partitions) {
		return nil
	}
	return t.partitions[index]
}

// find looks a topic up by name, or by id where the request's version has ids.
// nil: code is Kafka's error.
func (v *view) find(name []byte, id [16]byte, byID bool) (*topic, int16) {
	if byID {
		if t := v.byID[id]; t != nil {
			return t, 0
		}
		return nil, kerr.UnknownTopicID.Code
	}
	if t := v.byName[string(name)]; t != nil {
		return t, 0
	}
	return nil, kerr.UnknownTopicOrPartition.Code
}

// all lists every partition.
func (v *view) all() []*partition {
	var out []*partition
	for _, t := range v.byName {
		out = append(out, t.partitions...)
	}
	return out
}

// change makes a change of the metadata and brings the partitions into line
// with it. When it returns nil, the change is on disk and visible to every
// request that follows.
func (b *Broker) change(decide func(*meta.Image) ([]meta.Record, error)) error {
	b.changeMu.Lock()
	defer b.changeMu.Unlock()
	if b.stopping.Load() {
		return errStopping
	}
	image, err := b.store.Change(decide)
	if err != nil {
		return err
	}
	if before := b.view.Load(); before.image != image {
		b.bringInLine(context.Background(), before, image)
	}
	return nil
}

var errStopping = errors.New("the broker is stopping")

// bringInLine opens the partitions that image has and before has not, ends
// those that went, and publishes the view. changeMu is held, or nothing else
// runs yet.
func (b *Broker) bringInLine(ctx context.Context, before *view, image *meta.Image) {
	next := &view{image: image, byName: make(map[string]*topic, image.Len()), byID: make(map[meta.ID]*topic, image.Len())}
	var fresh []*partition
	again := b.liveConfig(before.image, image)
	for _, m := range image.Topics() {
		old := before.byID[m.ID]
		t := &topic{meta: m, internal: internalTopic(m.Name)}
		if old != nil {
			t.partitions = old.partitions
		}
		if old == nil || old.meta != m || again {
			s := b.settingsOf(m)
			for _, p := range t.partitions {
				p.configure(s)
			}
			t.partitions = t.partitions[:len(t.partitions):len(t.partitions)]
			for i := len(t.partitions); i < len(m.Partitions); i++ {
				p := b.newPartition(m, int32(i), s)
				t.partitions = append(t.partitions, p)
				fresh = append(fresh, p)
			}
		}
		next.byName[m.Name] = t
		next.byID[m.ID] = t
	}
	b.openAll(ctx, fresh)
	b.quotas.Use(quotaTable(image))
	b.view.Store(next)
	b.coordinate(next)
	b.coordinateTxns(next)
	removed := false
	for id, t := range before.byID {
		if next.byID[id] == nil {
			b.removeTopic(t)
			b.forgetOffsets(t.meta.Name)
			b.graves.add(t.meta.Name)
			removed = true
		}
	}
	if removed {
		b.renewCheckpoints()
	}
}

// renewCheckpoints writes the checkpoints without what is gone: before a topic
// of the same name can be made, since they go by names.
func (b *Broker) renewCheckpoints() {
	if err := b.saveCheckpoints(); err != nil {
		b.log.Error("the checkpoints still speak of topics that are gone; do not make them anew before a minute has passed without this message", "err", err)
	}
}

// graves holds the names of the topics deleted last.
type graves struct {
	names [1024]string // more than anyone deletes before looking; 250 KiB at most
	next  int
}

func (g *graves) add(name string) {
	g.names[g.next] = name
	g.next = (g.next + 1) % len(g.names)
}

// forget says whether name is among them, and takes it out.
func (g *graves) forget(name string) (was bool) {
	for i := range g.names {
		if g.names[i] == name {
			g.names[i], was = "", true
		}
	}
	return was
}

// settingsOf resolves a topic's settings. They were checked when they were
// given; where this build no longer takes them, the broker's own hold.
func (b *Broker) settingsOf(m *meta.Topic) *settings {
	s, err := b.live.Load().topicSettings(m.Configs)
	if err != nil {
		b.log.Error("a topic's settings do not hold any more; using the broker's", "topic", m.Name, "err", oneLine(err))
		s, err = b.live.Load().topicSettings(nil)
	}
	if err != nil {
		panic("BUG: the broker's own settings: " + err.Error())
	}
	return s
}

func (b *Broker) newPartition(m *meta.Topic, index int32, s *settings) *partition {
	p := &partition{
		b: b, name: fmt.Sprintf("%s-%d", m.Name, index), topic: m.Name, id: m.ID, index: index,
		epoch: m.Partitions[index].LeaderEpoch,
	}
	p.settings.Store(s)
	p.group.init(p)
	return p
}

// openAll opens partitions, some at a time. One that cannot be opened is
// offline; the others serve. When ctx ends, the rest stays closed.
func (b *Broker) openAll(ctx context.Context, ps []*partition) {
	slots := make(chan struct{}, b.cfg.RecoveryThreads)
	var open sync.WaitGroup
	for _, p := range ps {
		if ctx.Err() != nil {
			break
		}
		slots <- struct{}{}
		open.Add(1)
		go func() {
			defer func() { <-slots; open.Done() }()
			if err := p.open(); err != nil {
				p.fail("open", err)
			}
		}()
	}
	open.Wait()
}

// place names a partition.
type place struct {
	topic     string
	partition int32
}
