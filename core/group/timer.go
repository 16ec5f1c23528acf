package group

import (
	"container/heap"
	"time"
)

// timer is one deadline in a shard. The zero value with fire set is ready.
type timer struct {
	fire func()

	at    time.Time
	seq   uint64 // among equal deadlines, the one set first fires first
	place int    // 1 + index in the heap; 0: not set
}

// timers is a heap of set timers, soonest first.
type timers struct {
	heap []*timer
	seq  uint64
}

// set starts t, or moves it.
func (ts *timers) set(t *timer, at time.Time) {
	ts.seq++
	t.at, t.seq = at, ts.seq
	if t.place > 0 {
		heap.Fix(ts, t.place-1)
		return
	}
	heap.Push(ts, t)
}

// stop does nothing to a timer that is not set.
func (ts *timers) stop(t *timer) {
	if t.place > 0 {
		heap.Remove(ts, t.place-1)
	}
}

// due takes off the soonest timer if it is due; nil: none is.
func (ts *timers) due(now time.Time) *timer {
	if len(ts.heap) == 0 || ts.heap[0].at.After(now) {
		return nil
	}
	return heap.Pop(ts).(*timer)
}

func (ts *timers) Len() int { return len(ts.heap) }

func (ts *timers) Less(i, j int) bool {
	a, b := ts.heap[i], ts.heap[j]
	if a.at.Equal(b.at) {
		return a.seq < b.seq
	}
	return a.at.Before(b.at)
}

func (ts *timers) Swap(i, j int) {
	ts.heap[i], ts.heap[j] = ts.heap[j], ts.heap[i]
	ts.heap[i].place, ts.heap[j].place = i+1, j+1
}

func (ts *timers) Push(x any) {
	t := x.(*timer)
	ts.heap = append(ts.heap, t)
	t.place = len(ts.heap)
}

func (ts *timers) Pop() any {
	last := len(ts.heap) - 1
	t := ts.heap[last]
	ts.heap[last] = nil
	ts.heap = ts.heap[:last]
	t.place = 0
	return t
}
