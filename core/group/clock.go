package group

import "time"

// Clock is the time that a Coordinator lives in. Its time must not go backwards.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, from a goroutine of its own, when d has passed.
	AfterFunc(d time.Duration, f func()) Alarm
}

// Alarm is a call that is to come: a *time.Timer, or a test's.
type Alarm interface {
	Reset(d time.Duration) bool
	Stop() bool
}

var _ Alarm = (*time.Timer)(nil)

// ClockOf is real time, told by now; nil: time.Now.
func ClockOf(now func() time.Time) Clock {
	if now == nil {
		now = time.Now
	}
	return wall{now}
}

type wall struct{ now func() time.Time }

func (w wall) Now() time.Time { return w.now() }

func (wall) AfterFunc(d time.Duration, f func()) Alarm { return time.AfterFunc(d, f) }
