package group

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Request is one request and who sent it. Its memory may be reused as soon as
// it is answered: whatever is kept is copied.
type Request struct {
	// Admit, if set, is asked when the request's turn has come, before anything is
	// done; a code other than 0 refuses it. It must not call into the Coordinator.
	Admit func() int16
	// Body is decoded and has its version set.
	Body kmsg.Request
	// ClientID and Host are of the connection, as DescribeGroups shows them.
	ClientID string
	Host     string
	// Answer is called exactly once, from any goroutine, with a response of
	// Body's version. It is the callee's, but for the bytes in it, which are not
	// to be changed. It must not call into the Coordinator.
	Answer func(kmsg.Response)
}

// effects are what a step asks for: Records appended, in order, as one batch,
// and after that the replies.
type effects struct {
	records []Record
	replies []reply
}

type reply struct {
	to   *Request
	body kmsg.Response
}

// shard is the groups of one partition of __consumer_offsets. It has no clock
// and no lock: every call is handed the time, which must not go backwards, and
// calls must not overlap.
type shard struct {
	cfg    *Config
	budget *budget
	newID  func() string // unique part of a member id

	now      time.Time
	metadata Metadata // as it is now
	groups   map[string]*group
	timers   timers
	expiry   timer // next look for offsets past their retention
	out      effects

	// held are the offsets that transactions have brought and not yet ended, by
	// producer and group.
	held map[int64]map[string]topicOffsets
	put  uint64 // offsets put so far, to tell which came later
}

func newShard(cfg *Config, b *budget, newID func() string) *shard {
	s := &shard{cfg: cfg, budget: b, newID: newID, metadata: nothing{}, groups: map[string]*group{}}
	s.expiry.fire = s.expireOffsets
	return s
}

// loaded ends the loading: members get their session timers.
func (s *shard) loaded(now time.Time) effects {
	s.now = now
	s.timers.set(&s.expiry, now.Add(s.cfg.RetentionInterval))
	for _, g := range s.sorted() {
		if g.consumer != nil {
			s.loadedConsumer(g.consumer)
			continue
		}
		for _, m := range g.members {
			s.heard(m)
		}
		if len(g.members) > s.cfg.MaxMembers {
			// The limit was lowered: who rejoins first stays.
			s.rebalance(g)
		}
	}
	s.fireDue()
	return s.take()
}

// step handles one request. Replies among the effects may be to this one, to
// earlier ones that were parked, or both.
func (s *shard) step(now time.Time, req *Request) effects {
	s.now = now
	s.fireDue()
	s.handle(req)
	s.fireDue()
	return s.take()
}

// tick handles what has become due.
func (s *shard) tick(now time.Time) effects {
	s.now = now
	s.fireDue()
	return s.take()
}

// next says when tick has something to do; false: never, as things stand.
func (s *shard) next() (time.Time, bool) {
	if len(s.timers.heap) == 0 {
		return time.Time{}, false
	}
	return s.timers.heap[0].at, true
}

func (s *shard) handle(req *Request) {
	switch body := req.Body.(type) {
	case *kmsg.JoinGroupRequest:
		s.join(req, body)
	case *kmsg.SyncGroupRequest:
		s.sync(req, body)
	case *kmsg.HeartbeatRequest:
		s.heartbeat(req, body)
	case *kmsg.LeaveGroupRequest:
		s.leave(req, body)
	case *kmsg.OffsetCommitRequest:
		s.commit(req, body)
	case *kmsg.TxnOffsetCommitRequest:
		s.commitTxn(req, body)
	case *kmsg.OffsetFetchRequest:
		s.fetch(req, body)
	case *kmsg.OffsetDeleteRequest:
		s.deleteOffsets(req, body)
	case *kmsg.DescribeGroupsRequest:
		s.describe(req, body)
	case *kmsg.ListGroupsRequest:
		s.list(req, body)
	case *kmsg.DeleteGroupsRequest:
		s.deleteGroups(req, body)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		s.consumerHeartbeat(req, body)
	case *kmsg.ConsumerGroupDescribeRequest:
		s.describeConsumers(req, body)
	default:
		panic(fmt.Sprintf("BUG: %T is no request of the group coordinator", body))
	}
}

func (s *shard) fireDue() {
	for t := s.timers.due(s.now); t != nil; t = s.timers.due(s.now) {
		t.fire()
	}
}

func (s *shard) take() effects {
	fx := s.out
	s.out = effects{}
	return fx
}

func (s *shard) reply(to *Request, body kmsg.Response) {
	s.out.replies = append(s.out.replies, reply{to, body})
}

func (s *shard) emit(r Record) { s.out.records = append(s.out.records, r) }

// create adds an Empty group; since is when it became so, -1: not known.
func (s *shard) create(id string, since int64) *group {
	id = strings.Clone(id)
	g := &group{
		s: s, id: id, state: Empty, previous: Dead, since: since,
		byID: map[string]*member{}, static: map[string]string{}, pending: map[string]*pending{}, support: map[string]int{},
	}
	g.joinTimer.fire = func() { s.joinDue(g) }
	g.syncTimer.fire = func() { s.syncDue(g) }
	s.groups[id] = g
	s.budget.groups.Add(1)
	g.grow(int64(groupOverhead + len(id)))
	return g
}

// forget drops a group and its timers. Nothing may be parked on it.
func (s *shard) forget(g *group) {
	s.timers.stop(&g.joinTimer)
	s.timers.stop(&g.syncTimer)
	for _, m := range g.members {
		s.timers.stop(&m.timer)
	}
	for _, p := range g.pending {
		s.timers.stop(&p.timer)
	}
	if g.consumer != nil {
		for _, m := range g.consumer.members {
			m.stopTimers()
		}
	}
	g.grow(-g.bytes)
	s.budget.groups.Add(-1)
	delete(s.groups, g.id)
}

// fail answers everything that is parked with code and forgets all groups; the
// log cannot take what they would do next.
func (s *shard) fail(code int16) effects {
	for _, g := range s.sorted() {
		for _, m := range g.members {
			for _, req := range []*Request{m.join, m.sync} {
				if req != nil {
					s.reply(req, Refusal(req.Body, code))
				}
			}
			m.join, m.sync = nil, nil
		}
		s.forget(g)
	}
	s.timers = timers{}
	return s.take()
}

func (s *shard) sorted() []*group {
	gs := make([]*group, 0, len(s.groups))
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		gs = append(gs, s.groups[id])
	}
	return gs
}

// heard restarts the member's session: it has until the session timeout to be
// heard of again.
func (s *shard) heard(m *member) { s.timers.set(&m.timer, s.now.Add(m.session)) }

// check tells whether a request that names a member comes from that member; nil
// for yes.
func (g *group) check(memberID string, instance *string) error {
	if instance != nil {
		switch holder := g.static[*instance]; holder {
		case memberID:
		case "":
			return kerr.UnknownMemberID
		default:
			return kerr.FencedInstanceID
		}
	}
	if g.byID[memberID] == nil {
		return kerr.UnknownMemberID
	}
	return nil
}
