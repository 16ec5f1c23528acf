package core

import (
	"container/heap"
	"sync"
	"time"
)

// deadlines wakes parked fetches whose wait is over. One timer stands for all
// of them, set to the earliest; an idle broker has none running.
//
// A fetch is in the heap from park to unpark, and unpark comes before its
// answer: so expire, which runs with mu held, only ever wakes frames that are
// still unanswered.
type deadlines struct {
	mu     sync.Mutex
	parked byDeadline
	timer  *time.Timer
	// due is when the timer will fire; zero: it will not.
	due time.Time
}

func (d *deadlines) add(w *fetch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	heap.Push(&d.parked, w)
	d.arm()
}

func (d *deadlines) remove(w *fetch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.heapIndex >= 0 {
		heap.Remove(&d.parked, w.heapIndex)
	}
	// The timer is left as it is: firing once for nothing is cheaper than
	// setting it anew for each fetch that an append has answered.
}

// arm sets the timer when the earliest deadline lies before it.
func (d *deadlines) arm() {
	if len(d.parked) == 0 {
		return
	}
	first := d.parked[0].deadline
	if !d.due.IsZero() && !first.Before(d.due) {
		return
	}
	d.due = first
	wait := time.Until(first)
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.expire)
	} else {
		d.timer.Reset(wait)
	}
}

func (d *deadlines) expire() { d.expireBefore(time.Now()) }

// expireAll ends every wait.
func (d *deadlines) expireAll() { d.expireBefore(time.Now().Add(forever)) }

func (d *deadlines) expireBefore(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.parked) > 0 && !d.parked[0].deadline.After(now) {
		w := heap.Pop(&d.parked).(*fetch)
		w.expired.Store(true)
		w.frame.Wake()
	}
	d.due = time.Time{}
	d.arm()
}

func (d *deadlines) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
}

// byDeadline is a heap; each fetch knows its place in it.
type byDeadline []*fetch

func (h byDeadline) Len() int           { return len(h) }
func (h byDeadline) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }
func (h byDeadline) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *byDeadline) Push(x any) {
	w := x.(*fetch)
	w.heapIndex = len(*h)
	*h = append(*h, w)
}

func (h *byDeadline) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.heapIndex = -1
	return w
}
