package core

import (
	"errors"
	"time"
)

// Kafka's intervals, in minutes; nothing here is urgent.
const (
	checkpointEvery = time.Minute     // how far back a recovery after a kill has to scan
	retentionEvery  = 5 * time.Minute // how late a segment may leave
	expiryEvery     = 10 * time.Minute
)

// snapshotEvery is how many bytes of a partition a start after a kill may have
// to look through for producers' last batches.
const snapshotEvery = 256 << 20

// doChores does what has to be done now and then, until the broker stops.
func (b *Broker) doChores() {
	defer b.chores.Done()
	b.chores.Add(1)
	go b.doCompaction()
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for minute := 1; ; minute++ {
		select {
		case <-b.quit:
			return
		case <-tick.C:
		}
		if err := b.saveCheckpoints(); err != nil {
			b.log.Error("writing checkpoints", "err", err)
		}
		if g := b.groups.Load(); g != nil {
			g.tidy()
		}
		every := func(d time.Duration) bool { return minute%int(d/checkpointEvery) == 0 }
		for _, p := range b.view.Load().all() {
			if p.state.Load() != online {
				continue
			}
			if err := p.snapshotIfDue(); err != nil {
				b.log.Error("writing a producer snapshot", "partition", p.name, "err", err)
			}
			if every(retentionEvery) {
				p.retain()
			}
			if every(expiryEvery) {
				p.mu.Lock()
				p.producers.Expire(b.now().UnixMilli(), b.cfg.ProducerExpiry)
				p.mu.Unlock()
			}
		}
	}
}

// retain deletes the segments that the topic's retention no longer keeps.
func (p *partition) retain() {
	deleted, err := p.log.Retain(p.b.now(), p.visible.Load())
	if err != nil {
		p.fail("retention", err)
		return
	}
	p.mu.Lock()
	p.txns.aborted.trim(p.log.Start())
	p.mu.Unlock()
	if deleted > 0 {
		p.startMoved()
		p.b.log.Info("retention deleted segments", "partition", p.name, "segments", deleted, "start", p.log.Start())
	}
}

// snapshotIfDue writes down the producers where much was appended since the
// last time. The one before is kept: recovery may cut the log below the new.
func (p *partition) snapshotIfDue() error {
	p.mu.Lock()
	due := p.unsnapped >= snapshotEvery && p.producers.Len() > 0
	p.mu.Unlock()
	if !due {
		return nil
	}
	return p.snapshotNow()
}

func (p *partition) snapshotNow() error {
	p.mu.Lock()
	text, offset, aborted := p.producers.AppendSnapshot(nil), p.log.End(), p.txns.aborted.all()
	p.unsnapped = 0
	p.mu.Unlock()
	p.snapMu.Lock()
	defer p.snapMu.Unlock()
	if p.state.Load() == gone {
		return nil // the directory may be another topic's by now
	}
	if err := p.saveAborted(aborted, offset); err != nil {
		return err
	}
	old, err := p.snapshots()
	if err != nil {
		return err
	}
	dir := p.b.dir.file(p.name)
	if err := p.b.dir.write(dir, snapshotName(offset), text); err != nil {
		return err
	}
	var errs []error
	for i := range len(old) - 1 {
		errs = append(errs, p.b.fs.Remove(dir+"/"+snapshotName(old[i])))
	}
	return errors.Join(errs...)
}
