package load

import (
	"context"
	"sync/atomic"
	"time"
)

// driver walks one producer through the schedule. The schedule stands: what
// the driver or the client is too slow for waits and is sent later, with its
// intended start unchanged, and nothing is left out.
type driver struct {
	r      *run
	p      producer
	index  int
	wait   *waiter // what sleep is of; nil: not ours
	sleep  func(time.Duration)
	handed atomic.Int64 // events of open loops handed over

	// blocked is the time that send calls have blocked since the driver last
	// had nothing to do: it explains as much of the lateness.
	blocked int64
}

// longestWait bounds one sleep, so that an end of ctx is seen.
const longestWait = 20 * time.Millisecond

// run sends everything, phase after phase, until ctx ends.
func (d *driver) run(ctx context.Context) {
	for k, ph := range d.r.phases {
		switch {
		case ph.Kind == Drain || ctx.Err() != nil:
			return
		case ph.Kind == Pause || d.index >= ph.active(d.r.spec.Producers.Count):
		case ph.Pacer == nil:
			d.closedLoop(ctx, k)
		default:
			d.openLoop(ctx, k)
		}
	}
}

func (d *driver) openLoop(ctx context.Context, k int) {
	e := events{phase: k, begin: d.r.rec.starts[k], pace: d.r.shares[k][d.index]}
	total := e.pace.Count(d.r.phases[k].Len - 1)
	for e.from < total && ctx.Err() == nil {
		// A hand-over is due when it is full or its first event has lingered.
		full, most, linger := d.p.batch()
		last := min(e.from+int64(full), total) - 1
		due := e.pace.At(last)
		if first := e.pace.At(e.from); first+linger < due {
			due = first + linger
		}
		e.ready = e.begin + int64(due)
		now := d.until(ctx, e.ready)
		e.to = min(e.pace.Count(time.Duration(now-e.begin)), e.from+int64(most), total)
		if e.to <= e.from { // ctx ended
			return
		}
		d.send(ctx, &e)
	}
}

func (d *driver) closedLoop(ctx context.Context, k int) {
	begin := d.r.rec.starts[k]
	end := begin + int64(d.r.phases[k].Len)
	e := events{phase: k, begin: begin, until: end}
	for now := d.until(ctx, begin); now < end && ctx.Err() == nil; now = d.r.now() {
		_, most, _ := d.p.batch()
		e.to, e.ready = e.from+int64(most), now
		d.send(ctx, &e)
	}
}

func (d *driver) send(ctx context.Context, e *events) {
	e.excused = d.blocked
	handed, blocked := d.p.send(ctx, *e)
	d.blocked += blocked
	e.from += handed
	if e.pace != nil {
		d.handed.Add(handed)
	}
}

// until waits for a moment and answers the time after it. Where it has to wait
// at all the producer is up to date, and nothing excuses it any more.
func (d *driver) until(ctx context.Context, at int64) int64 {
	now := d.r.now()
	if now < at {
		d.blocked = 0
	}
	spin := int64(d.r.spec.Spin)
	for now < at && ctx.Err() == nil {
		if left := at - now - spin; left > 0 {
			d.sleep(min(time.Duration(left), longestWait))
		}
		now = d.r.now()
	}
	return now
}

// due is how many events the schedule has asked of all producers until now,
// closed loops aside.
func (r *run) due(now int64) (n int64) {
	for k := range r.phases {
		n += r.scheduled(k, now)
	}
	return n
}

// scheduled is how many events of a phase are due by now.
func (r *run) scheduled(k int, now int64) int64 {
	ph := r.phases[k]
	since := time.Duration(now - r.rec.starts[k])
	if ph.Pacer == nil || !ph.Kind.sends() || since < 0 {
		return 0
	}
	if r.spec.part == nil {
		return ph.Pacer.Count(min(since, ph.Len-1))
	}
	var n int64
	for i, own := range r.shares[k] {
		if own != nil && r.mine(i) {
			n += own.Count(min(since, ph.Len-1))
		}
	}
	return n
}

// shares is what each producer sends of each phase; nil: a closed loop, or
// nothing.
func shares(phases []Phase, producers int) [][]Pacer {
	all := make([][]Pacer, len(phases))
	for k, ph := range phases {
		for i := range producers {
			var p Pacer
			if n := ph.active(producers); ph.Pacer != nil && i < n {
				p = share{ph.Pacer, int64(i), int64(n)}
			}
			all[k] = append(all[k], p)
		}
	}
	return all
}
