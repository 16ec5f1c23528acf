package harness

import (
	"context"
	"sync"
	"time"
)

// reviver is a target that can be started again at its address, on the data
// that it left.
type reviver interface {
	revive(ctx context.Context) error
}

// attendant looks after a target while it is under load. One that dies is the
// end of the measurement; where it can be started again it is, so that the
// ledger can say what its death has cost: the sending ends, and what was
// acknowledged is read back. A target that dies twice is left alone.
type attendant struct {
	t       target
	curtail chan struct{} // closed once a dead target is back
	ended   sync.WaitGroup

	// Of the goroutine; read after ended.
	died    string // how; "": it did not
	revived bool
}

// attend watches until ctx ends. giveUp is called where the target is gone for
// good.
func attend(ctx context.Context, t target, giveUp func()) *attendant {
	a := &attendant{t: t, curtail: make(chan struct{})}
	gone := t.gone()
	if gone == nil {
		return a
	}
	a.ended.Go(func() {
		select {
		case <-gone:
		case <-ctx.Done():
			return
		}
		a.died = t.why()
		if !a.bringBack(ctx) {
			giveUp()
			return
		}
		a.revived = true
		close(a.curtail)
		select {
		case <-t.gone():
			a.died += "; started again on the same data it died again: " + t.why()
			giveUp()
		case <-ctx.Done():
		}
	})
	return a
}

// reviveTime bounds the start of a target on what it left: a log that was cut
// short is scanned.
const reviveTime = 30 * time.Second

func (a *attendant) bringBack(ctx context.Context) bool {
	r, ok := a.t.(reviver)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, reviveTime)
	defer cancel()
	if err := r.revive(ctx); err != nil {
		a.died += "; it could not be started again: " + err.Error()
		return false
	}
	return true
}
