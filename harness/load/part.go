package load

import "context"

// part is one generator's share of a run that several carry out together. Each
// has the whole spec: producer i and member i of each group are those of
// generator i mod of, so that the run sends the same records at the same intended
// times as one generator would.
type part struct {
	index, of int
	run       uint32  // the same for all
	begin     []int64 // end of each source before the run
	// ready is called once everything is connected and nothing has been sent; the
	// load begins when it returns nil.
	ready func(*run, []*crew) error
	// flushed is called when everything sent is answered.
	flushed func(*run)
	// finish is closed when the consumers have read all there is.
	finish <-chan struct{}
}

// mine says that a producer or a group's member is this generator's.
func (r *run) mine(i int) bool { return r.spec.part == nil || i%r.spec.part.of == r.spec.part.index }

// share is how many of n are this generator's.
func (r *run) share(n int) (own int) {
	for i := range n {
		if r.mine(i) {
			own++
		}
	}
	return own
}

// forgetElsewhere keeps no batch log for partitions that are read elsewhere:
// nobody here would ever be done with it.
func (r *run) forgetElsewhere() {
	members := r.spec.Consumers.Members
	if r.spec.part == nil || members == 0 || r.spec.Consumers.grouped() {
		return
	}
	for p, row := range r.ledger.streams {
		for _, s := range row {
			if !r.mine(p % members) {
				s.batches.passed = nil
			}
		}
	}
}

// awaitFinish is awaitConsumers for a part: only who knows all parts can tell.
func (r *run) awaitFinish(ctx context.Context) bool {
	select {
	case <-r.spec.part.finish:
		return true
	case <-ctx.Done():
		return false
	}
}
