package diskio

import (
	"sync"
	"time"
)

// syncPolicy is an alternative of sync.policy. appended is told of every
// append, with the log's end after it, by whoever appended; it must not block.
// True: the promise holds already. Else the Promise's done is called later.
type syncPolicy interface {
	appended(p *Promise, end int64) bool
	// serve does for p, which is no longer in the queue, what appended asked
	// for. Called by a worker; for one Promise by one at a time.
	serve(p *Promise)
	// period is how long a Promise is left in the queue before workers may
	// take it; 0: they take it at once.
	period(Config) time.Duration
}

var syncPolicies = table[syncPolicy]{
	{SyncPageCache, "once in the page cache: survives a kill, not a loss of power", pageCache{}},
	{SyncInterval, "the same, with an fsync behind it every sync.interval", interval{}},
	{SyncGroup, "after an fsync that all waiting appends share", group{}},
	{SyncEach, "after an fsync of its own", each{}},
}

// Syncer keeps the promise of sync.policy for all logs of one directory. Its
// workers are few, because they all end in the same disk; logs wait their turn
// in a queue that holds each at most once.
type Syncer struct {
	policy syncPolicy
	wait   time.Duration

	mu      sync.Mutex
	more    sync.Cond  // the queue has grown, or closed
	idle    sync.Cond  // a Promise is no longer being served
	queue   []*Promise // from first on
	first   int
	closed  bool
	armed   bool // a timer will wake the workers
	open    bool // workers may take from the queue
	workers sync.WaitGroup
}

// Promise ties a Log to a Syncer.
type Promise struct {
	s    *Syncer
	log  *Log
	done func(upTo int64, err error)

	// guarded by s.mu
	state   promiseState
	again   bool    // asked for once more while being served
	ends    []int64 // each: the ends that were asked for
	spare   []int64 // room for the next ends
	removed bool
}

type promiseState int8

const (
	promiseIdle promiseState = iota
	promiseQueued
	promiseServed
)

// NewSyncer starts the workers that cfg.SyncPolicy needs.
func NewSyncer(cfg Config) *Syncer {
	s := &Syncer{policy: syncPolicies.get(cfg.SyncPolicy)}
	s.wait = s.policy.period(cfg)
	s.open = s.wait == 0
	s.more.L, s.idle.L = &s.mu, &s.mu
	n := max(cfg.SyncWorkers, 1)
	if s.policy == (pageCache{}) {
		n = 0
	}
	for range n {
		s.workers.Add(1)
		go s.work()
	}
	return s
}

// Attach gives l a Promise. done is called, from a worker, when the promise of
// the policy holds for everything below upTo, unless Appended said so at once;
// err is why it never will. Calls for one Promise do not overlap, and upTo never
// falls but for Truncate.
func (s *Syncer) Attach(l *Log, done func(upTo int64, err error)) *Promise {
	return &Promise{s: s, log: l, done: done}
}

// Appended is told after each append, in the order of the appends, with the
// log's end. True: the promise holds for it already, and done is not called.
// It does not block and, in steady state, does not allocate.
func (p *Promise) Appended(end int64) bool { return p.s.policy.appended(p, end) }

// Detach ends the Promise: done is not called any more once Detach has
// returned. Not to be called from done.
func (p *Promise) Detach() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.removed = true
	for p.state == promiseServed {
		p.s.idle.Wait()
	}
}

// Close lets the workers finish what is queued, and stops them. What is appended
// afterwards is promised nothing.
func (s *Syncer) Close() {
	s.mu.Lock()
	s.closed, s.open = true, true
	s.more.Broadcast()
	s.mu.Unlock()
	s.workers.Wait()
}

// enqueueLocked puts p in the queue unless it is there.
func (s *Syncer) enqueueLocked(p *Promise) {
	switch p.state {
	case promiseServed:
		p.again = true
	case promiseIdle:
		p.state = promiseQueued
		s.queue = append(s.queue, p)
		switch {
		case s.open:
			s.more.Signal()
		case !s.armed:
			s.armed = true
			time.AfterFunc(s.wait, s.openGate)
		}
	}
}

// openGate lets the workers at what has gathered since the last time.
func (s *Syncer) openGate() {
	s.mu.Lock()
	s.armed, s.open = false, true
	s.more.Broadcast()
	s.mu.Unlock()
}

func (s *Syncer) work() {
	defer s.workers.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for s.first == len(s.queue) || !s.open {
			if s.first == len(s.queue) {
				if s.closed {
					return
				}
				s.open = s.wait == 0
			}
			s.more.Wait()
		}
		p := s.popLocked()
		p.state = promiseServed
		s.mu.Unlock()
		s.policy.serve(p)
		s.mu.Lock()
		p.state = promiseIdle
		if p.again {
			p.again = false
			s.enqueueLocked(p)
		}
		s.idle.Broadcast()
	}
}

// popLocked takes the oldest Promise, and makes room when half of the queue is
// behind it.
func (s *Syncer) popLocked() *Promise {
	p := s.queue[s.first]
	s.queue[s.first] = nil
	if s.first++; 2*s.first >= len(s.queue) {
		n := copy(s.queue, s.queue[s.first:])
		clear(s.queue[n:])
		s.queue, s.first = s.queue[:n], 0
	}
	return p
}

// tell calls done unless the Promise was given up.
func (p *Promise) tell(upTo int64, err error) {
	p.s.mu.Lock()
	removed := p.removed
	p.s.mu.Unlock()
	if !removed {
		p.done(upTo, err)
	}
}

// pageCache asks for nothing.
type pageCache struct{}

func (pageCache) appended(*Promise, int64) bool { return true }
func (pageCache) serve(*Promise)                { panic("BUG: the page cache needs no worker") }
func (pageCache) period(Config) time.Duration   { return 0 }

// interval asks for nothing either, but has every log that was appended to
// synced now and then. A failure is the log's, which has then failed.
type interval struct{}

func (interval) appended(p *Promise, _ int64) bool {
	p.s.mu.Lock()
	p.s.enqueueLocked(p)
	p.s.mu.Unlock()
	return true
}

func (interval) serve(p *Promise)              { _ = p.log.Sync() }
func (interval) period(c Config) time.Duration { return c.SyncInterval }

// group: while one fsync of a log runs, appends gather, and the next one is
// shared by them all.
type group struct{}

func (group) appended(p *Promise, _ int64) bool {
	p.s.mu.Lock()
	p.s.enqueueLocked(p)
	p.s.mu.Unlock()
	return false
}

func (group) serve(p *Promise) {
	err := p.log.Sync()
	p.tell(p.log.Synced(), err)
}

func (group) period(Config) time.Duration { return 0 }

// each: one fsync for every append, in order, however many wait. It is what
// flush.messages=1 does in Kafka, and what group is to be measured against.
type each struct{}

func (each) appended(p *Promise, end int64) bool {
	p.s.mu.Lock()
	p.ends = append(p.ends, end)
	p.s.enqueueLocked(p)
	p.s.mu.Unlock()
	return false
}

func (each) serve(p *Promise) {
	p.s.mu.Lock()
	ends := p.ends
	p.ends = p.spare[:0]
	p.s.mu.Unlock()
	for _, end := range ends {
		err := p.log.syncAgain()
		p.tell(min(end, p.log.Synced()), err)
	}
	p.spare = ends
}

func (each) period(Config) time.Duration { return 0 }
