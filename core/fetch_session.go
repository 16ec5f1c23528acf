package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
)

// enterSession finds the session of a request, from v7, and brings it up to
// date. 0: w.session, if any, is set; otherwise the error code of the answer.
func (w *fetch) enterSession() int16 {
	c, id := &w.b.sessions, w.req.SessionID
	if epoch := w.req.SessionEpoch; epoch == 0 || epoch == -1 {
		if id != 0 {
			c.end(id)
		}
		w.opens = epoch == 0
		return 0
	}
	s := c.find(id, w.b.now())
	if s == nil {
		return kerr.FetchSessionIDNotFound.Code
	}
	grown, empty, code := s.advance(&w.req, w.header.Version >= 13, w.committed)
	switch {
	case code != 0:
		return code
	case empty:
		c.end(id)
		return 0 // nothing is left to wait for: answered at once, without a session
	case grown != 0 && !c.grew(s, grown):
		c.end(id)
		return kerr.FetchSessionIDNotFound.Code
	}
	w.session = s
	return 0
}

// takeDirty makes the dirty partitions of the session the ones to be read.
func (w *fetch) takeDirty() {
	clear(w.parts)
	w.parts = w.parts[:0]
	s := w.session
	s.settleCredits()
	s.mu.Lock()
	defer s.mu.Unlock()
	w.marks = s.marks
	if s.closed {
		w.expired.Store(true)
	}
	var view *view
	for sp := s.dirty.first; sp != nil; sp = sp.next {
		part := fetchPart{in: sp, asked: sp.asked}
		if sp.at == nil || sp.at.state.Load() == gone {
			if view == nil {
				view = w.b.view.Load()
			}
			sp.at, part.code = view.partition(sp.topic.name, sp.topic.id, s.byTopicID, sp.asked.Index)
		}
		part.partition = sp.at
		w.parts = append(w.parts, part)
	}
}

// silent: read, and nothing is there that the client does not know.
func (part *fetchPart) silent() bool {
	return part.code == 0 && part.span == nil && part.asked.Offset >= part.bound &&
		part.high == part.in.high && part.start == part.in.start
}

// settle subscribes the silent parts and keeps the others. False: one of them
// has changed since it was read.
func (w *fetch) settle() bool {
	unchanged, n := true, 0
	for i := range w.parts {
		part := &w.parts[i]
		w.session.mu.Lock()
		silent := part.silent()
		w.session.mu.Unlock()
		if silent {
			unchanged = part.in.settle(part) && unchanged
			continue
		}
		w.parts[n] = *part
		n++
	}
	clear(w.parts[n:])
	w.parts = w.parts[:n]
	return unchanged
}

// respondSession fills the response from the parts that have something to say.
func (w *fetch) respondSession() {
	w.settle()
	s := w.session
	s.mu.Lock()
	defer s.mu.Unlock()
	w.resp.SessionID = s.id
	var last *sessionTopic
	for i := range w.parts {
		part := &w.parts[i]
		sp := part.in
		if part.said = !part.silentButFull(); !part.said {
			continue
		}
		if sp.topic != last {
			last = sp.topic
			t := w.resp.AddTopic()
			t.Name, t.ID = last.name, last.id
		}
		w.fill(w.resp.Topics[len(w.resp.Topics)-1].AddPartition(), part)
		sp.told(part)
		if part.span != nil && sp.home == nil && !sp.forgotten {
			s.dirty.remove(sp) // to the end of the queue, so that all get their turn
			s.dirty.add(sp)
		}
	}
}

// silentButFull: not silent, but what it has to say did not fit.
func (part *fetchPart) silentButFull() bool {
	return part.code == 0 && part.span == nil && part.high == part.in.high && part.start == part.in.start
}

// told notes what the client knows now.
func (sp *sessionPart) told(part *fetchPart) {
	if part.code != 0 {
		sp.high, sp.start = -1, -1 // and is to hear when it is over
		return
	}
	sp.high, sp.start = part.high, part.start
}

// openSession makes a session of a full request that is being answered; where
// there is no room, the answer's session id is 0 and the client goes without.
func (w *fetch) openSession() {
	s := w.b.sessions.open(len(w.parts), w.header.Version >= 13, w.b.now())
	if s == nil {
		return
	}
	i, n := 0, 0
	s.mu.Lock()
	s.committed = w.committed
	for t := range w.req.Topics {
		asked := &w.req.Topics[t]
		for range asked.Partitions {
			sp, fresh := s.put(asked.Name, asked.ID, w.parts[i].asked)
			if fresh {
				n++
			}
			sp.at = w.parts[i].partition
			sp.told(&w.parts[i])
			i++
		}
	}
	s.mu.Unlock()
	if n != i {
		w.b.sessions.grew(s, n-i) // some were named twice
	}
	w.resp.SessionID = s.id
}

// partition finds one by its topic's name or id; nil: code is Kafka's error.
func (v *view) partition(name []byte, id [16]byte, byID bool, index int32) (*partition, int16) {
	topic, code := v.find(name, id, byID)
	if topic == nil {
		return nil, code
	}
	if p := topic.partition(index); p != nil {
		return p, 0
	}
	return nil, kerr.UnknownTopicOrPartition.Code
}
