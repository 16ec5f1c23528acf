package load

import (
	"context"
	"time"
)

// client is a way to speak to a broker. Joining the table clients enrols one in
// the tests and benchmarks.
type client interface {
	// check says what the client cannot do of a spec; nil: nothing.
	check(s *Spec) error
	// overhead is the bytes that the client adds to each record.
	overhead() int
	// producer connects number index of the run's producers.
	producer(ctx context.Context, r *run, index int) (producer, error)
	// consumer prepares one member of a group to read parts from the run's
	// begin. live says that what it sees counts as consumed and has a latency;
	// otherwise it is read for the ledger only. It reads while g is open.
	consumer(r *run, group int, parts []int, live bool, g *gate) (consumer, error)
}

var clients = []struct {
	name string
	client
}{
	{"kgo", kgoClient{}},
	{"lean", leanClient{}},
}

// Clients names the ways to speak to a broker.
func Clients() (names []string) {
	for _, c := range clients {
		names = append(names, c.name)
	}
	return names
}

// clientOf is the client of a name; nil: there is none.
func clientOf(name string) client {
	for _, c := range clients {
		if c.name == name {
			return c.client
		}
	}
	return nil
}

// producer hands events to the target. Its methods are for one goroutine.
type producer interface {
	// batch says how many events are worth a hand-over, how many one may hold
	// at most, and how long the first may wait for the others.
	batch() (full, most int, linger time.Duration)
	// send hands over events from the first on, in order, and books what becomes
	// of each in the recorder and the ledger. It blocks while the client has no
	// room. It answers how many were handed over, and for how many nanoseconds
	// the client held it up.
	send(ctx context.Context, e events) (handed int64, blocked int64)
	// flush returns when all that was sent is acknowledged or failed, or when
	// ctx ends.
	flush(ctx context.Context)
	// close ends the client; what is still unanswered has failed.
	close()
}

// consumer reads until ctx ends.
type consumer interface {
	run(ctx context.Context)
}

// events are consecutive arrivals of one producer, all due.
type events struct {
	phase    int
	from, to int64 // numbers in the producer's share of the phase
	begin    int64 // ns at which the phase begins
	until    int64 // closed loop: ns from which on nothing more is sent
	pace     Pacer // the producer's share; nil: closed loop
	ready    int64 // ns at which the hand-over was intended
	excused  int64 // ns by which the client's own blocking explains that they are late
}

// intended is when event i should start; in a closed loop that is now.
func (e *events) intended(i, now int64) int64 {
	if e.pace == nil {
		return now
	}
	return e.begin + int64(e.pace.At(i))
}

// lateBound is the lateness above which a record counts as handed over late by
// the generator's own fault. A timer alone is about 0.05 ms late.
const lateBound = int64(time.Millisecond)
