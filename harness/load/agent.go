package load

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// MaxAgents bounds the agents of a run.
const MaxAgents = 64

// agentConns bounds the connections to an agent; all but one can only ask who it
// is.
const agentConns = 16

// Agent carries out its part of the runs of a coordinator (see RunOver) on this
// machine, one at a time.
type Agent struct {
	Version string          // of this program: a coordinator of another is refused
	Token   string          // that a coordinator must know; "": anybody may come
	Env     json.RawMessage // what a coordinator is told of this machine
	// Note is told of each job and its end; nil: nobody is.
	Note func(format string, args ...any)

	busy sync.Mutex
	env  environment // of its runs
}

// Serve answers coordinators until ctx ends. It closes the listener.
func (a *Agent) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	var serving sync.WaitGroup
	defer serving.Wait()
	room := make(chan struct{}, agentConns)
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case room <- struct{}{}:
		default:
			nc.Close()
			continue
		}
		serving.Go(func() {
			defer func() { <-room }()
			defer nc.Close()
			defer context.AfterFunc(ctx, func() { nc.Close() })()
			a.attend(ctx, newLink(nc))
		})
	}
}

func (a *Agent) note(format string, args ...any) {
	if a.Note != nil {
		a.Note(format, args...)
	}
}

// attend serves one connection.
func (a *Agent) attend(ctx context.Context, l *link) {
	var o order
	if err := l.receive(&o, maxOrder); err != nil {
		return
	}
	if err := a.refuse(o); err != nil {
		a.note("refused %s: %v", l.nc.RemoteAddr(), err)
		_ = l.send(word{Is: isError, Error: err.Error(), Version: a.Version})
		return
	}
	hello := word{Is: isHello, Version: a.Version, Env: a.Env}
	switch o.Do {
	case doHello:
		_ = l.send(hello)
	case doJob:
		if !a.busy.TryLock() {
			_ = l.send(word{Is: isError, Error: "it is at work for another run"})
			return
		}
		defer a.busy.Unlock()
		a.note("a run of %s begins", l.nc.RemoteAddr())
		err := a.work(ctx, l, o.Job)
		if err != nil {
			_ = l.send(word{Is: isError, Error: err.Error()})
			a.note("the run of %s ended: %v", l.nc.RemoteAddr(), err)
			return
		}
		a.note("the run of %s is done", l.nc.RemoteAddr())
	}
}

func (a *Agent) refuse(o order) error {
	if a.Token != "" && subtle.ConstantTimeCompare([]byte(a.Token), []byte(o.Token)) != 1 {
		return errors.New("the token is not this agent's (both ends need the same --token)")
	}
	if o.Version != a.Version {
		return fmt.Errorf("it is millrace %s and the coordinator is %s: use the same build on every machine", a.Version, o.Version)
	}
	return nil
}

// errCoordinator ends a job whose coordinator is gone.
var errCoordinator = errors.New("the coordinator is gone")

// labour is one job under way.
type labour struct {
	*link
	start, curtail, finish chan struct{}

	run     atomic.Pointer[run] // nil: not ready yet
	crews   []*crew             // written before run
	flushed atomic.Bool
	began   atomic.Pointer[time.Time] // the start of the load; nil: not yet
}

// work carries out a job. It returns when the result has been sent.
func (a *Agent) work(ctx context.Context, l *link, raw json.RawMessage) error {
	var j job
	if err := json.Unmarshal(raw, &j); err != nil {
		return fmt.Errorf("the job cannot be read: %w", err)
	}
	s, err := j.spec()
	if err != nil {
		return fmt.Errorf("the job cannot be done: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &labour{link: l, start: make(chan struct{}), curtail: make(chan struct{}), finish: make(chan struct{})}
	go w.listen(cancel)
	var pulsing sync.WaitGroup
	over := make(chan struct{})
	pulsing.Go(func() { w.pulse(over) })
	defer pulsing.Wait()
	defer close(over)

	ready := word{Is: isReady}
	if own := (&run{spec: Spec{part: &part{index: j.Index, of: j.Of}}}).share(s.Producers.Count); j.Ceiling > 0 && own > 0 {
		alone := s
		alone.Producers.Count = own
		if c, err := Ceiling(ctx, alone, j.Ceiling); err == nil {
			ready.Ceiling = &c
		}
	}
	s.env = a.env
	s.part = &part{index: j.Index, of: j.Of, run: j.Run, begin: j.Begin, finish: w.finish}
	s.part.ready = func(r *run, crews []*crew) error {
		w.crews = crews
		w.run.Store(r)
		if err := w.send(ready); err != nil {
			return err
		}
		select {
		case <-w.start:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	s.part.flushed = func(r *run) {
		w.flushed.Store(true)
		_ = w.send(word{Is: isFlushed, Streams: r.ledger.streamSnapshots()})
	}
	s.OnPhase = func(k int) {
		if k == 0 {
			at := w.run.Load().start
			w.began.Store(&at)
		}
	}
	s.Curtail = w.curtail
	s.OnSample = func(sample Sample) { _ = w.send(word{Is: isSample, Sample: &sample}) }
	res, err := Run(ctx, s)
	if cause := context.Cause(ctx); errors.Is(cause, errCoordinator) {
		return cause
	}
	if res == nil {
		return err
	}
	return w.send(w.result(res, err, j.Begin))
}

func (w *labour) result(res *Result, err error, begin []int64) word {
	out := word{Is: isResult, Gone: errors.Is(err, ErrTargetGone), Result: res}
	if err != nil {
		out.Error = err.Error()
	}
	r := w.run.Load()
	for i := range res.Phases {
		out.Index = append(out.Index, i)
		res.Phases[i].Phase = Phase{}
	}
	out.Index[len(out.Index)-1] = len(r.phases) - 1 // a curtailed run jumps to the drain
	out.Streams = r.ledger.streamSnapshots()
	out.Readings = r.ledger.readingSnapshots(begin)
	return out
}

// listen follows the coordinator until it is gone.
func (w *labour) listen(cancel context.CancelCauseFunc) {
	once := func(c chan struct{}) func() { return sync.OnceFunc(func() { close(c) }) }
	start, curtail, finish := once(w.start), once(w.curtail), once(w.finish)
	for {
		var o order
		if err := w.receive(&o, maxOrder); err != nil {
			cancel(fmt.Errorf("%w: %w", errCoordinator, err))
			return
		}
		switch o.Do {
		case doStart:
			start()
		case doCurtail:
			curtail()
		case doFinish:
			finish()
		case doStop:
			cancel(nil)
		}
	}
}

// pulse says how far the job is until over is closed; once the load has begun, at
// the same moments of the run as every other agent.
func (w *labour) pulse(over <-chan struct{}) {
	for {
		wait, tick := pulse, int64(0)
		if at := w.began.Load(); at != nil {
			since := time.Since(*at)
			tick = int64(since/pulse) + 1
			wait = time.Duration(tick)*pulse - since
		}
		select {
		case <-over:
			return
		case <-time.After(wait):
		}
		s := w.status()
		s.Tick = tick
		if w.send(word{Is: isStatus, Status: s}) != nil {
			return // listen sees it too
		}
	}
}

func (w *labour) status() *status {
	s := &status{}
	r := w.run.Load()
	if r == nil {
		return s
	}
	flushed := w.flushed.Load()
	s.Acked = r.ledger.ackedRecords()
	for _, group := range r.ledger.readings {
		var fresh int64
		var next []int64
		for _, reading := range group {
			reading.mu.Lock()
			fresh += reading.fresh
			next = append(next, reading.next)
			reading.mu.Unlock()
		}
		s.Fresh = append(s.Fresh, fresh)
		if flushed {
			s.Next = append(s.Next, next)
		}
	}
	for _, c := range w.crews {
		c.assigned.mu.Lock()
		s.Assigned = append(s.Assigned, c.assigned.parts)
		c.assigned.mu.Unlock()
	}
	return s
}
