package load

import "time"

// Pacer is a schedule fixed before the run. Its methods are pure.
type Pacer interface {
	// At is the intended start of event i, from 0, since the pacer's own start.
	// It never decreases in i; for events that never come it is math.MaxInt64.
	At(i int64) time.Duration
	// Count is the number of events with At(i) <= d.
	Count(d time.Duration) int64
}
