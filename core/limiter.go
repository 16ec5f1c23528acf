package core

import (
	"sync/atomic"
	"time"
)

// limiter lets a few lines a second into the log, so that a flood of bad
// requests is not also a flood of lines.
type limiter struct {
	second  atomic.Int64
	lines   atomic.Int64
	dropped atomic.Int64
}

const linesPerSecond = 10

// allow says whether to write a line now, and how many were left out before it.
func (l *limiter) allow(now time.Time) (ok bool, dropped int64) {
	if s := now.Unix(); l.second.Swap(s) != s {
		l.lines.Store(0)
	}
	if l.lines.Add(1) > linesPerSecond {
		l.dropped.Add(1)
		return false, 0
	}
	return true, l.dropped.Swap(0)
}
