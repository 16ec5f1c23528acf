package load

import (
	"fmt"
	"math"
	"time"
)

// Pacer is a schedule fixed before the run. Its methods are pure and safe for
// concurrent use.
type Pacer interface {
	// At is the intended start of event i, from 0, since the pacer's own start.
	// It never decreases in i; for events that never come it is Never.
	At(i int64) time.Duration
	// Count is the number of events with At(i) <= d.
	Count(d time.Duration) int64
}

// Never is when an event starts that never comes.
const Never = time.Duration(math.MaxInt64)

var (
	_ Pacer = Constant(0)
	_ Pacer = Ramp{}
	_ Pacer = Sine{}
	_ Pacer = (*Sequence)(nil)
	_ Pacer = share{}
)

// Constant is a steady rate in events a second. 0: no event ever comes.
type Constant float64

// At is exact to the nanosecond for about 100 days at any rate.
func (r Constant) At(i int64) time.Duration {
	if r <= 0 {
		return Never
	}
	return seconds(float64(i) / float64(r))
}

// Count counts event 0 at 0.
func (r Constant) Count(d time.Duration) int64 {
	if r <= 0 || d < 0 {
		return 0
	}
	return settle(r, d, d.Seconds()*float64(r))
}

func (r Constant) String() string { return fmt.Sprintf("%g/s", float64(r)) }

// Ramp changes the rate evenly From … To within Over, and then stays at To.
// Rates are events a second.
type Ramp struct {
	From, To float64
	Over     time.Duration
}

// At solves From·t + (To−From)/Over·t²/2 = i in the form that loses no digits
// where the ramp is flat or starts from 0.
func (r Ramp) At(i int64) time.Duration {
	total, over := r.during(), r.Over.Seconds()
	n := float64(i)
	if n < total || i == 0 && r.From+r.To > 0 {
		slope := (r.To - r.From) / over
		root := math.Sqrt(math.Max(0, r.From*r.From+2*slope*n))
		if r.From+root == 0 {
			return 0
		}
		return seconds(2 * n / (r.From + root))
	}
	if r.To <= 0 {
		return Never
	}
	return seconds(over + (n-total)/r.To)
}

// Count counts event 0 at 0.
func (r Ramp) Count(d time.Duration) int64 {
	if d < 0 || r.From+r.To <= 0 {
		return 0
	}
	t := d.Seconds()
	if d >= r.Over {
		return settle(r, d, r.during()+(t-r.Over.Seconds())*r.To)
	}
	return settle(r, d, r.From*t+(r.To-r.From)/r.Over.Seconds()*t*t/2)
}

// during is the number of events, a fraction included, within Over.
func (r Ramp) during() float64 { return (r.From + r.To) / 2 * r.Over.Seconds() }

func (r Ramp) String() string { return fmt.Sprintf("%g/s to %g/s in %v", r.From, r.To, r.Over) }

// Sine swings around Mean by Amplitude, at most Mean, once each Period; it
// begins at Mean, rising. Rates are events a second.
type Sine struct {
	Mean, Amplitude float64
	Period          time.Duration
}

// At finds its answer by Newton's method inside a bracket that always holds it.
func (s Sine) At(i int64) time.Duration {
	if s.Mean <= 0 {
		return Never
	}
	n := float64(i)
	// The wave adds between 0 and 2a events to Mean·t.
	a := s.Amplitude * s.Period.Seconds() / (2 * math.Pi)
	lo, hi := math.Max(0, (n-2*a)/s.Mean), n/s.Mean
	t := lo
	for range 64 {
		if hi-lo < 0.5e-9 {
			break
		}
		err := s.upTo(t) - n
		if err > 0 {
			hi = t
		} else {
			lo = t
		}
		rate := s.Mean + s.Amplitude*math.Sin(2*math.Pi*t/s.Period.Seconds())
		next := t - err/rate
		if !(next > lo && next < hi) { // also where rate is 0
			next = (lo + hi) / 2
		}
		if math.Abs(next-t) < 0.1e-9 {
			break
		}
		t = next
	}
	return seconds(t)
}

// Count counts event 0 at 0.
func (s Sine) Count(d time.Duration) int64 {
	if s.Mean <= 0 || d < 0 {
		return 0
	}
	return settle(s, d, s.upTo(d.Seconds()))
}

func (s Sine) upTo(t float64) float64 {
	w := 2 * math.Pi / s.Period.Seconds()
	return s.Mean*t + s.Amplitude/w*(1-math.Cos(w*t))
}

func (s Sine) String() string {
	return fmt.Sprintf("%g/s ± %g/s each %v", s.Mean, s.Amplitude, s.Period)
}

// Stretch is a pacer and how long it is in force.
type Stretch struct {
	Pacer Pacer
	Len   time.Duration
}

// Sequence is one pacer after another: steps, bursts, pauses (Constant(0)). The
// last stretch goes on for ever.
type Sequence struct {
	parts []Stretch
	from  []time.Duration // when each part begins
	first []int64         // number of its first event
}

// NewSequence is for at least one stretch.
func NewSequence(parts ...Stretch) *Sequence {
	s := &Sequence{parts: parts}
	var at time.Duration
	var n int64
	for _, p := range parts {
		s.from, s.first = append(s.from, at), append(s.first, n)
		at += p.Len
		n += p.Pacer.Count(p.Len - 1) // an event at its very end belongs to the next
	}
	return s
}

// At is that of the stretch which holds the event.
func (s *Sequence) At(i int64) time.Duration {
	k := len(s.parts) - 1
	for k > 0 && (s.first[k] > i) {
		k--
	}
	at := s.parts[k].Pacer.At(i - s.first[k])
	if at > Never-s.from[k] {
		return Never
	}
	return s.from[k] + at
}

// Count is that of the stretches up to d.
func (s *Sequence) Count(d time.Duration) int64 {
	if d < 0 {
		return 0
	}
	k := len(s.parts) - 1
	for k > 0 && s.from[k] > d {
		k--
	}
	return s.first[k] + s.parts[k].Pacer.Count(d-s.from[k])
}

func (s *Sequence) String() string { return fmt.Sprintf("%d stretches", len(s.parts)) }

// share is every n-th event of a pacer, from the k-th on: what one of n
// producers sends.
type share struct {
	of   Pacer
	k, n int64
}

// At is that of the event in the whole schedule.
func (s share) At(i int64) time.Duration { return s.of.At(s.k + i*s.n) }

// Count counts the share's events.
func (s share) Count(d time.Duration) int64 {
	return max(0, (s.of.Count(d)-s.k+s.n-1)/s.n)
}

func seconds(t float64) time.Duration {
	if t >= float64(math.MaxInt64)/1e9 {
		return Never
	}
	return time.Duration(t * 1e9)
}

// settle makes Count agree with At to the nanosecond: guess, which comes from
// the same formula turned round, may be off by the rounding of both.
func settle(p Pacer, d time.Duration, guess float64) int64 {
	n := max(0, int64(guess))
	for n > 0 && p.At(n-1) > d {
		n--
	}
	for p.At(n) <= d {
		n++
	}
	return n
}
