package harness

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"millrace/results"
)

// reviver is a target that can be started again at its address, on the data
// that it left.
type reviver interface {
	revive(ctx context.Context) error
}

// victim is a target that can be made to suffer.
type victim interface {
	reviver
	process() *process
	dataDirectory() string
}

// attendant looks after a target while it is under load, and is the only one
// that touches its process meanwhile: it carries out the faults of the timeline,
// one after the other, each in its time.
//
// A target that dies without being told to is the end of the measurement; where
// it can be started again it is, so that the ledger can say what its death has
// cost: the sending ends, and what was acknowledged is read back. A target that
// dies twice is left alone.
type attendant struct {
	t      target
	faults []Happening
	begun  chan time.Time // the start of the run, once
	// deceased is closed when the target has died unasked.
	deceased chan struct{}
	ended    sync.WaitGroup

	curtail func()                   // ends the sending
	giveUp  func()                   // the target is gone for good
	revived func(results.TargetInfo) // it is back, as another process
	note    func(string, ...any)     // of the goroutine

	// Of the goroutine; read after ended.
	died     string // how, unasked; "": it did not
	back     bool   // it was started again after that
	suffered []ordeal
}

// ordeal is a fault that was carried out.
type ordeal struct {
	do       string
	at, over time.Time
}

// attend watches until ctx ends.
func (a *attendant) attend(ctx context.Context) {
	a.begun, a.deceased = make(chan time.Time, 1), make(chan struct{})
	if a.t.gone() == nil && len(a.faults) == 0 {
		return
	}
	a.ended.Go(func() {
		var start time.Time
		faults := a.faults
		for {
			var due <-chan time.Time
			if !start.IsZero() && len(faults) > 0 {
				due = time.After(time.Until(start.Add(faults[0].At)))
			}
			select {
			case start = <-a.begun:
			case <-ctx.Done():
				return
			case <-due:
				a.inflict(ctx, faults[0])
				faults = faults[1:]
			case <-a.t.gone():
				if !a.mourn(ctx) {
					return
				}
			}
		}
	})
}

// mourn is for a target that died unasked; false: it is over.
func (a *attendant) mourn(ctx context.Context) bool {
	if a.back {
		a.died += "; started again on the same data it died again: " + a.t.why()
		a.giveUp()
		return false
	}
	a.died = a.t.why()
	close(a.deceased)
	if err := a.bringBack(ctx); err != nil {
		a.died += fmt.Sprintf("; %v", err)
		a.giveUp()
		return false
	}
	a.back = true
	a.curtail()
	return true
}

// reviveTime bounds the start of a target on what it left: a log that was cut
// short is scanned.
const reviveTime = 30 * time.Second

func (a *attendant) bringBack(ctx context.Context) error {
	r, ok := a.t.(reviver)
	if !ok {
		return fmt.Errorf("a target of this kind cannot be started again")
	}
	ctx, cancel := context.WithTimeout(ctx, reviveTime)
	defer cancel()
	if err := r.revive(ctx); err != nil {
		return fmt.Errorf("it could not be started again: %w", err)
	}
	a.revived(a.t.info())
	return nil
}

// inflict carries out one fault, to its end.
func (a *attendant) inflict(ctx context.Context, h Happening) {
	v := a.t.(victim) // checked before the run
	pid := v.process().cmd.Process.Pid
	f := ordeal{do: h.Do, at: time.Now()}
	wait := func() {
		select {
		case <-ctx.Done():
		case <-time.After(h.For):
		}
	}
	var err error
	switch h.Do {
	case killTarget:
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-v.process().done
		wait()
		if ctx.Err() == nil {
			err = a.bringBack(ctx)
		}
	case stopTarget:
		if err = syscall.Kill(-pid, syscall.SIGSTOP); err == nil {
			wait()
			err = syscall.Kill(-pid, syscall.SIGCONT)
		}
	case fullDisk:
		err = withoutRoom(pid, wait)
	case evictCache:
		var e eviction
		if e, err = evict(v.dataDirectory()); err == nil {
			a.note("%v", e)
		}
	}
	f.over = time.Now()
	a.suffered = append(a.suffered, f)
	if err == nil || ctx.Err() != nil {
		return
	}
	a.note("%s: %v", h.Do, err)
	if h.Do == killTarget {
		a.died = "killed as the timeline says; " + err.Error()
		a.giveUp()
	}
}

// withoutRoom lets no file of the process grow while wait lasts: RLIMIT_FSIZE
// makes each write beyond fail with EFBIG, as a full disk makes it fail with
// ENOSPC, and needs neither root nor a file system of its own. What was open to
// be written in place still is.
func withoutRoom(pid int, wait func()) error {
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		return fmt.Errorf("its limits cannot be read: %w", err)
	}
	none := unix.Rlimit{Cur: 0, Max: old.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &none, nil); err != nil {
		return fmt.Errorf("its limits cannot be set: %w", err)
	}
	wait()
	return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &old, nil)
}
