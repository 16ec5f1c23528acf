package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
)

// rebalanceOrComplete follows a change of the membership: a settled group
// starts over, one that is already gathering its members may have them all.
func (s *shard) rebalanceOrComplete(g *group) {
	if g.state == PreparingRebalance {
		s.completeJoinIfReady(g)
		return
	}
	s.rebalance(g)
}

// rebalance starts to gather the members. It ends when all have joined, or at
// the longest of their rebalance timeouts.
func (s *shard) rebalance(g *group) {
	if g.state == CompletingRebalance {
		s.clearAssignments(g)
		s.releaseSyncs(g, kerr.RebalanceInProgress)
	}
	s.stopSyncStage(g)
	first := g.state == Empty
	g.enter(PreparingRebalance)
	if first {
		// More members are likely on their way, and each that comes later
		// would cost another rebalance.
		g.newMember = false
		g.delay = s.cfg.InitialDelay
		g.delayLeft = max(g.longestRebalance()-g.delay, 0)
		s.timers.set(&g.joinTimer, s.now.Add(g.delay))
		return
	}
	if g.allJoined() {
		s.completeJoin(g)
		return
	}
	s.timers.set(&g.joinTimer, s.now.Add(g.longestRebalance()))
}

// joinDue is the end of the time to join.
func (s *shard) joinDue(g *group) {
	if g.previous == Empty && g.newMember && g.delayLeft > 0 {
		g.newMember = false
		spent := g.delay
		g.delay = min(s.cfg.InitialDelay, g.delayLeft)
		g.delayLeft = max(g.delayLeft-spent, 0)
		s.timers.set(&g.joinTimer, s.now.Add(g.delay))
		return
	}
	s.completeJoin(g)
}

// completeJoinIfReady ends the gathering early where nobody is missing; never
// the first one of an empty group, which waits for members it does not know.
func (s *shard) completeJoinIfReady(g *group) {
	if g.state == PreparingRebalance && g.previous != Empty && g.allJoined() {
		s.completeJoin(g)
	}
}

// completeJoin begins the next generation with the members that have joined. A
// static member that has not keeps its place until its session ends.
func (s *shard) completeJoin(g *group) {
	s.timers.stop(&g.joinTimer)
	for i := 0; i < len(g.members); {
		if m := g.members[i]; m.join == nil && m.instance == nil {
			g.remove(m)
			continue
		}
		i++
	}
	if len(g.members) > 0 && !g.electLeader() {
		// Static members only, none of which came: their sessions decide.
		s.timers.set(&g.joinTimer, s.now.Add(g.longestRebalance()))
		return
	}
	g.generation = nextGeneration(g.generation)
	if len(g.members) == 0 {
		g.protocol = ""
		g.enter(Empty)
		g.learnTopics()
		s.writeDown(g)
		return
	}
	if g.protocol = g.choose(); g.protocol == "" {
		panic("BUG: members of group " + g.id + " have no protocol in common")
	}
	g.enter(CompletingRebalance)
	g.learnTopics()
	for _, m := range g.members {
		if m.join != nil {
			s.replyJoin(m.join, m, g.leader, g.leader == m.id, false)
			m.join = nil
		}
		m.fresh, m.owesSync = false, true
		s.heard(m)
	}
	g.awaiting = 0
	s.timers.set(&g.syncTimer, s.now.Add(g.longestRebalance()))
}

// nextGeneration stays in what clients can send back: below 0 means none.
func nextGeneration(n int32) int32 {
	if n++; n < 0 {
		return 1
	}
	return n
}

// electLeader keeps the leader if it has joined, else takes the first that has.
// False: nobody has.
func (g *group) electLeader() bool {
	if m := g.byID[g.leader]; m != nil && m.join != nil {
		return true
	}
	for _, m := range g.members {
		if m.join != nil {
			g.leader = m.id
			return true
		}
	}
	return false
}

// expire is the end of a member's session.
func (s *shard) expire(m *member) {
	if m.alive() {
		return // its answer starts the next one
	}
	s.removeMember(m.g, m)
	switch m.g.state {
	case Stable, CompletingRebalance:
		s.rebalance(m.g)
	case PreparingRebalance:
		s.completeJoinIfReady(m.g)
	}
}

// removeMember answers what is parked on m and takes it out of the group; what
// the group does about it is the caller's.
func (s *shard) removeMember(g *group, m *member) {
	if m.join != nil {
		s.refuseJoin(m.join, "", kerr.UnknownMemberID)
		m.join = nil
		g.awaiting--
	}
	if m.sync != nil {
		s.refuseSync(m.sync, kerr.UnknownMemberID)
		m.sync = nil
	}
	g.remove(m)
}
