package core

import (
	"bytes"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/core/wire"
)

// A fetch session (KIP-227) remembers the partitions that a client fetches, so
// that a request names only what is new about them and an answer only what has
// something to say: records, an error, a moved high watermark or log start.
//
// Each partition of a session is in one of two lists. Those that may have
// something to say are dirty, in the order in which they get their turn; the
// others are subscribed to their partition, which moves them to the dirty ones
// at its next change. A fetch in a session looks at the dirty ones only. So an
// idle fetch over a thousand partitions costs what one over ten does, an append
// costs one visit for each session that had read everything before it, and a
// session that nobody uses any more costs nothing.
//
// Locks: partition.waitMu before fetchSession.mu, so that a partition may mark
// what is subscribed to it. sessions.mu is held alone.
type fetchSession struct {
	// Immutable.
	id        int32
	byTopicID bool // opened by a version with topic ids
	created   time.Time

	// Guarded by sessions.mu.
	used time.Time
	size int

	mu        sync.Mutex
	closed    bool
	epoch     int32 // of the next request
	committed bool  // what the last request asked for
	topics    map[topicKey]*sessionTopic
	dirty     sessionList
	marks     uint64         // grows whenever a subscribed partition becomes dirty
	waiting   []*fetch       // parked; nearly always one
	credited  []*sessionPart // changed, and subscribed still: see mark
}

// topicKey has the name or the id, as the session's version says.
type topicKey struct {
	name string
	id   [16]byte
}

type sessionTopic struct {
	name       []byte
	id         [16]byte
	partitions map[int32]*sessionPart
}

// sessionPart is a partition of a session, guarded by fetchSession.mu; its links
// in a partition's list by that one's waitMu as well.
type sessionPart struct {
	session *fetchSession
	topic   *sessionTopic
	asked   wire.FetchPartition
	at      *partition // nil: not known, or never looked for
	// What the client was last told; high -1: an error.
	high, start int64

	home       *partition // subscribed there; nil: dirty, or forgotten
	credited   bool       // in session.credited
	forgotten  bool
	prev, next *sessionPart
}

// sessionList is a list of either kind.
type sessionList struct{ first, last *sessionPart }

func (l *sessionList) add(sp *sessionPart) {
	sp.prev, sp.next = l.last, nil
	if l.last != nil {
		l.last.next = sp
	} else {
		l.first = sp
	}
	l.last = sp
}

func (l *sessionList) remove(sp *sessionPart) {
	if sp.prev != nil {
		sp.prev.next = sp.next
	} else {
		l.first = sp.next
	}
	if sp.next != nil {
		sp.next.prev = sp.prev
	} else {
		l.last = sp.prev
	}
	sp.prev, sp.next = nil, nil
}

// put finds or makes the place of a partition and sets what is asked of it.
// True: it is new. mu is held.
func (s *fetchSession) put(name []byte, id [16]byte, asked wire.FetchPartition) (*sessionPart, bool) {
	t := s.topics[topicKey{string(name), id}]
	if t == nil {
		t = &sessionTopic{name: bytes.Clone(name), id: id, partitions: map[int32]*sessionPart{}}
		s.topics[topicKey{string(name), id}] = t
	}
	sp := t.partitions[asked.Index]
	if sp != nil {
		sp.asked = asked
		return sp, false
	}
	sp = &sessionPart{session: s, topic: t, asked: asked, high: -1, start: -1}
	t.partitions[asked.Index] = sp
	s.dirty.add(sp)
	return sp, true
}

// advance takes up an incremental request: what it adds and changes is dirty,
// what it forgets is gone. grown is by how many partitions; empty: none is left.
func (s *fetchSession) advance(req *wire.FetchRequest, byTopicID, committed bool) (grown int, empty bool, code int16) {
	s.mu.Lock()
	switch {
	case s.closed:
		code = kerr.FetchSessionIDNotFound.Code
	case s.epoch != req.SessionEpoch:
		code = kerr.InvalidFetchSessionEpoch.Code
	case s.byTopicID != byTopicID:
		code = kerr.FetchSessionTopicIDError.Code
	}
	if code != 0 {
		s.mu.Unlock()
		return 0, false, code
	}
	var stale []*sessionPart // subscribed, and not to stay so
	for i := range req.Topics {
		t := &req.Topics[i]
		for _, asked := range t.Partitions {
			sp, fresh := s.put(t.Name, t.ID, asked)
			if fresh {
				grown++
			} else if sp.home != nil {
				stale = append(stale, sp)
			}
		}
	}
	for i := range req.Forgotten {
		f := &req.Forgotten[i]
		key := topicKey{string(f.Name), f.ID}
		t := s.topics[key]
		if t == nil {
			continue
		}
		for _, index := range f.Partitions {
			sp := t.partitions[index]
			if sp == nil {
				continue
			}
			delete(t.partitions, index)
			grown--
			sp.forgotten = true
			if sp.home != nil {
				stale = append(stale, sp)
			} else {
				s.dirty.remove(sp)
			}
		}
		if len(t.partitions) == 0 {
			delete(s.topics, key)
		}
	}
	if s.committed != committed {
		// Other readers see other ends.
		s.committed = committed
		stale = s.subscribed(stale)
	}
	if s.epoch++; s.epoch < 0 {
		s.epoch = 1
	}
	empty = len(s.topics) == 0
	s.mu.Unlock()
	for _, sp := range stale {
		sp.unsubscribe()
	}
	return grown, empty, 0
}

// subscribed appends all that are. mu is held.
func (s *fetchSession) subscribed(to []*sessionPart) []*sessionPart {
	for _, t := range s.topics {
		for _, sp := range t.partitions {
			if sp.home != nil {
				to = append(to, sp)
			}
		}
	}
	return to
}

// unsubscribe makes a subscribed part dirty; a forgotten one is in no list then.
// No lock is held.
func (sp *sessionPart) unsubscribe() {
	sp.session.mu.Lock()
	home := sp.home
	sp.session.mu.Unlock()
	if home == nil {
		return
	}
	home.waitMu.Lock()
	defer home.waitMu.Unlock()
	sp.session.mu.Lock()
	defer sp.session.mu.Unlock()
	if sp.home == home {
		sp.leaveHome()
	}
}

// leaveHome: both locks are held.
func (sp *sessionPart) leaveHome() {
	sp.home.sessions.remove(sp)
	sp.home.waiters.Add(-1)
	sp.home = nil
	if !sp.forgotten && !sp.session.closed {
		sp.session.dirty.add(sp)
	}
}

// mark tells a subscribed part's session that its partition has bytes more. It
// becomes dirty, unless a fetch is waiting and has not enough yet: then it stays
// subscribed, so that what comes next is counted too, and becomes dirty when the
// fetch reads. partition.waitMu is held.
func (sp *sessionPart) mark(bytes int64) {
	s := sp.session
	s.mu.Lock()
	defer s.mu.Unlock()
	enough := len(s.waiting) == 0
	for _, w := range s.waiting {
		enough = w.credit(bytes) || enough
	}
	if enough {
		sp.leaveHome()
		s.marks++
	} else if !sp.credited {
		sp.credited = true
		s.credited = append(s.credited, sp)
	}
}

// settleCredits makes the parts dirty that have changed since a fetch began to
// wait. No lock is held.
func (s *fetchSession) settleCredits() {
	s.mu.Lock()
	credited := s.credited
	s.credited = nil
	for _, sp := range credited {
		sp.credited = false
	}
	s.mu.Unlock()
	for _, sp := range credited {
		sp.unsubscribe()
	}
}

// settle subscribes a part that was read and had nothing to say. False: its
// partition has changed since, and it stays dirty.
func (sp *sessionPart) settle(part *fetchPart) bool {
	p, s := part.partition, sp.session
	p.waitMu.Lock()
	defer p.waitMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || sp.forgotten || sp.home != nil || sp.asked.Offset != part.asked.Offset {
		return true // it is no longer for this fetch to say
	}
	p.waiters.Add(1) // before the last look at visible
	if !p.unchanged(part) || p.log.Start() != part.start {
		p.waiters.Add(-1)
		return false
	}
	s.dirty.remove(sp)
	p.sessions.add(sp)
	sp.home = p
	return true
}

// close ends a session that is in the cache no more: its waiting fetches answer
// with what there is.
func (s *fetchSession) close() {
	s.mu.Lock()
	s.closed = true
	stale := s.subscribed(nil)
	for _, w := range s.waiting {
		w.frame.Wake()
	}
	s.mu.Unlock()
	for _, sp := range stale {
		sp.unsubscribe()
	}
}

// enlist and delist: a fetch that waits for a mark. False: one came since the
// fetch took the dirty partitions.
func (s *fetchSession) enlist(w *fetch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, w)
	return s.marks == w.marks && !s.closed
}

func (s *fetchSession) delist(w *fetch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.waiting {
		if s.waiting[i] == w {
			last := len(s.waiting) - 1
			s.waiting[i], s.waiting[last] = s.waiting[last], nil
			s.waiting = s.waiting[:last]
			return
		}
	}
}

// sessions are the fetch sessions of a broker, at most slots of them.
type sessions struct {
	slots int

	mu         sync.Mutex
	byID       map[int32]*fetchSession
	partitions int // of all of them
}

const (
	// sessionIdle is Kafka's: a session unused for so long may be evicted, and
	// one so old gives way to a larger one.
	sessionIdle = 2 * time.Minute

	// A session takes some 300 bytes for each partition. Beyond these bounds
	// clients fetch without one, as they do where there is no slot.
	maxSessionPartitions  = 1 << 16
	maxSessionsPartitions = 1 << 20
)

// find gives the session with an id and notes that it is in use; nil: none.
func (c *sessions) find(id int32, now time.Time) *fetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byID[id]
	if s != nil {
		s.used = now
	}
	return s
}

// open makes a session with room for size partitions; nil: there is no slot for
// it. It is in use from then on, but nobody knows its id yet.
func (c *sessions) open(size int, byTopicID bool, now time.Time) *fetchSession {
	c.mu.Lock()
	if c.slots == 0 || size > maxSessionPartitions {
		c.mu.Unlock()
		return nil
	}
	var out *fetchSession
	if len(c.byID) >= c.slots {
		if out = c.evictable(size, now); out == nil {
			c.mu.Unlock()
			return nil
		}
		c.forget(out)
	}
	var s *fetchSession
	if c.partitions+size <= maxSessionsPartitions {
		s = &fetchSession{id: c.newID(), byTopicID: byTopicID, created: now, used: now, size: size,
			epoch: 1, topics: map[topicKey]*sessionTopic{}}
		c.byID[s.id] = s
		c.partitions += size
	}
	c.mu.Unlock()
	if out != nil {
		out.close()
	}
	return s
}

// evictable picks the session that gives way to one of size partitions: the
// longest unused where that is long, else the smallest of the old ones that are
// smaller. nil: none. mu is held.
func (c *sessions) evictable(size int, now time.Time) *fetchSession {
	var unused, smallest *fetchSession
	for _, s := range c.byID {
		if unused == nil || s.used.Before(unused.used) {
			unused = s
		}
		if now.Sub(s.created) > sessionIdle && s.size < size && (smallest == nil || s.size < smallest.size) {
			smallest = s
		}
	}
	if unused != nil && now.Sub(unused.used) > sessionIdle {
		return unused
	}
	return smallest
}

func (c *sessions) newID() int32 {
	for {
		id := 1 + rand.Int32N(math.MaxInt32)
		if c.byID[id] == nil {
			return id
		}
	}
}

// forget takes a session out. mu is held.
func (c *sessions) forget(s *fetchSession) {
	if c.byID[s.id] == s {
		delete(c.byID, s.id)
		c.partitions -= s.size
	}
}

// end closes a session, if there is one of this id.
func (c *sessions) end(id int32) {
	c.mu.Lock()
	s := c.byID[id]
	if s != nil {
		c.forget(s)
	}
	c.mu.Unlock()
	if s != nil {
		s.close()
	}
}

// grew counts partitions that have come to a session or left it. False: they
// are too many.
func (c *sessions) grew(s *fetchSession, by int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[s.id] != s {
		return true // closed meanwhile; the fetch finds out
	}
	s.size += by
	c.partitions += by
	return s.size <= maxSessionPartitions && c.partitions <= maxSessionsPartitions
}

func (c *sessions) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID)
}
