package core

import (
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/batching"
	"millrace/core/producers"
)

// groupAppend is append.mode=grouped: the batches that producers send to one
// partition gather while a write of it is under way, and go into the file with
// one writev: what group commit does for fsync, done for the write.
//
// So that there is anyone to gather for, the write leaves the loop for a worker,
// and each batch is handed over and back. With many small batches for one
// partition that pays for itself: the calls that are saved cost what the
// hand-over does. With large or few ones it is a loss. The figures are in
// docs/performance.md.
//
// A produce request's memory is held until its answer leaves, and with it the
// batches that wait here: queued.max.request.bytes bounds them.
type groupAppend struct {
	p    *partition
	work func() // p.group.run, made once

	mu      sync.Mutex // before nothing
	waiting []groupEntry
	spare   []groupEntry
	running bool

	// Owned by whoever runs.
	batches []batching.Batch
	members []groupMember
}

// groupEntry is one batch of a produce request.
type groupEntry struct {
	p                *partition
	w                *produce
	batch            batching.Batch
	s                *settings
	now              int64
	from             source
	topic, partition int // its place in w's answer
}

// groupMember is a batch of the write that is being put together.
type groupMember struct {
	at       appended
	producer producers.Batch
	code     int16
	write    bool
}

// maxGroup bounds the batches of one write: it is what one writev takes.
const maxGroup = 1024

func (g *groupAppend) init(p *partition) {
	g.p, g.work = p, g.run
}

// join hands a batch over. On the loop.
func (g *groupAppend) join(e groupEntry) {
	g.mu.Lock()
	g.waiting = append(g.waiting, e)
	start := !g.running
	g.running = true
	g.mu.Unlock()
	if start {
		g.p.b.workers.run(g.work)
	}
}

// run writes what has gathered until nothing has. On a worker, one at a time.
func (g *groupAppend) run() {
	for {
		g.mu.Lock()
		entries := g.waiting
		if len(entries) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		g.waiting = g.spare
		g.mu.Unlock()
		for todo := entries; len(todo) > 0; {
			todo = todo[g.write(todo):]
		}
		clear(entries)
		g.spare = entries[:0]
	}
}

// write appends the entries up to the first that has to see what becomes of an
// earlier one, and settles them. It answers how many.
func (g *groupAppend) write(entries []groupEntry) (n int) {
	p := g.p
	g.members, g.batches = g.members[:0], g.batches[:0]
	p.mu.Lock()
	var next int64
	closed := p.check(-1)
	if closed == 0 {
		next = p.log.End()
	}
	for i := range entries {
		e := &entries[i]
		if closed != 0 {
			g.members = append(g.members, groupMember{code: closed})
			continue
		}
		if len(g.batches) == maxGroup || g.sees(e.batch) {
			break
		}
		var m groupMember
		m.at, m.producer, m.write, m.code = p.admitLocked(e.batch, e.s, e.now, e.from, next)
		if m.write {
			g.batches = append(g.batches, e.batch)
			next = m.at.end
		}
		g.members = append(g.members, m)
	}
	var err error
	if n := len(g.batches); n > 0 {
		if n > 1 {
			p.b.counters.shared.Add(int64(n))
		}
		err = p.log.Append(g.batches...)
	}
	for i := range g.members {
		switch m := &g.members[i]; {
		case m.write && err != nil:
			m.code = kerr.KafkaStorageError.Code
		case m.write:
			p.wroteLocked(entries[i].batch, &m.at, m.producer, entries[i].now)
		}
	}
	clear(g.batches)
	p.mu.Unlock()
	if err != nil {
		p.fail("append", err)
	}
	var room [2]await
	for i := range g.members {
		e, m := &entries[i], &g.members[i]
		awaits := e.w.placed(room[:0], p, e.batch, m.at, m.code, e.topic, e.partition)
		if m.code != 0 {
			e.w.faulty.Store(true)
		}
		e.w.open.Add(int32(len(awaits)))
		e.w.await(awaits)
		e.w.done()
	}
	return len(g.members)
}

// sees: a batch of the same producer is in the write already, and whether this
// one follows it is known only once that one is noted.
func (g *groupAppend) sees(batch batching.Batch) bool {
	id := batch.ProducerID()
	return id >= 0 && slices.ContainsFunc(g.members, func(m groupMember) bool { return m.write && m.producer.Producer == id })
}
