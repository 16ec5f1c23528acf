package group

// reconcile moves m towards its target by one step. owned is what the member says
// that it owns, nil if it says nothing.
//
//	         target has moved,          all is given up,
//	         something to give up       nothing to wait for
//	stable ───────────────────▶ revoking ──────────────────▶ stable
//	  │                            │                          ▲
//	  │ nothing to give up,        │ others still own         │ they
//	  │ others own what is its     ▼ what is its              │ do not
//	  └───────────────────────▶ waiting ──────────────────────┘
//
// While it revokes, a member stays in its epoch, and what it has not yet said to
// have given up has it for an owner.
func (s *shard) reconcile(m *subscriber, owned partitionSet) {
	if m.reconciled() {
		return
	}
	epoch := m.epoch
	switch m.state {
	case memberStable:
		if m.epoch == m.c.assigned {
			return
		}
	case memberRevoking:
		if stillOwns(owned, m.revoking) {
			return
		}
		epoch++
	case memberUnknown:
		epoch = m.c.assigned
	}
	s.moveOn(m, epoch, owned)
}

// stillOwns: the member has any of these, as far as is known.
func stillOwns(owned, any partitionSet) bool { return owned == nil || owned.and(any).len() > 0 }

// moveOn compares what m has with its target: what is too much is revoked first,
// in the given epoch; what is free is given to it in the epoch of the target.
func (s *shard) moveOn(m *subscriber, epoch int32, owned partitionSet) {
	c := m.c
	keep := m.owned.and(m.target)
	excess := m.owned.minus(keep)
	missing := m.target.minus(keep)
	free := missing.filter(func(p partitionOf) bool {
		owner := c.owners[p]
		// What m itself was to give up, and has, it can have back.
		return owner == nil || owner == m && !stillOwns(owned, partitionSet{p.topic: {p.partition}})
	})
	next := *m
	switch {
	case excess.len() > 0 && stillOwns(owned, excess):
		next.state, next.owned, next.revoking = memberRevoking, keep, excess
	case free.len() < missing.len():
		next.state, next.owned, next.revoking = memberWaiting, keep.plus(free), nil
		epoch = c.assigned
	default:
		next.state, next.owned, next.revoking = memberStable, keep.plus(free), nil
		epoch = c.assigned
	}
	same := next.state == m.state && epoch == m.epoch && next.owned.equal(m.owned) && next.revoking.equal(m.revoking)
	if same && m.previous == m.epoch {
		return
	}
	m.release()
	m.previous, m.epoch = m.epoch, epoch
	m.state, m.owned, m.revoking = next.state, next.owned, next.revoking
	m.claim()
	c.charge(m)
	s.emit(currentRecord(m))
	if m.classic != nil {
		return // it has a time to join, and one to sync
	}
	if m.state == memberRevoking {
		s.timers.set(&m.rebalanceTimer, s.now.Add(m.rebalance))
	} else {
		s.timers.stop(&m.rebalanceTimer)
	}
}

// awaits: partitions of m's target are another's still.
func (m *subscriber) awaits() bool {
	for p := range m.target.each {
		if owner := m.c.owners[p]; owner != nil && owner != m {
			return true
		}
	}
	return false
}

// retarget computes who is to have what in the group's epoch.
func (s *shard) retarget(c *consumerGroup) {
	targets := s.targets(c)
	for _, m := range c.sorted() {
		if next := targets[m.id]; !next.equal(m.target) {
			m.target = next
			c.charge(m)
			s.emit(targetRecord(m))
		}
	}
	c.assigned = c.epoch
	s.emit(targetEpochRecord(c))
}
