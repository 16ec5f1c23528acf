package core

import "sync"

// workers runs what must not run on a connection's loop: changes of the
// metadata, reads that may wait for the disk. Goroutines are started when
// there is work and end when there is none, at most limit at a time. The queue
// is bounded by the requests that the network has in flight.
type workers struct {
	limit int

	mu      sync.Mutex
	queue   []func()
	running int
	closed  bool
	idle    sync.WaitGroup
}

// run does job on a worker. After close it does nothing: the connections are
// gone, and what the job would have answered with them.
func (w *workers) run(job func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.queue = append(w.queue, job)
	if w.running < w.limit {
		w.running++
		w.idle.Add(1)
		go w.work()
	}
}

func (w *workers) work() {
	defer w.idle.Done()
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.running--
			w.queue = nil
			w.mu.Unlock()
			return
		}
		job := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.mu.Unlock()
		job()
	}
}

// close takes no more work and waits for what was taken.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.idle.Wait()
}
