package netio

import "sync/atomic"

// CloseReason says who or what ended a connection.
type CloseReason int

// The reasons.
const (
	ClosedByPeer    CloseReason = iota // it closed, reset or vanished
	ClosedByHandler                    // Conn.Close or Frame.Fail
	ClosedMalformed                    // a length that no request can have
	ClosedIdle                         // nothing moved for connections.max.idle.ms
	ClosedBound                        // over a bound, and reading could not be paused
	ClosedSource                       // a part of a reply could not be read in full
	ClosedBySystem                     // a system call failed that should not
	ClosedByStop                       // the server stopped
	closeReasons
)

func (r CloseReason) String() string {
	return [...]string{"peer", "handler", "malformed", "idle", "bound", "source", "system", "stop"}[r]
}

// Stats are a server's counters. Each is read on its own: they are not a
// snapshot of one moment. Sizes are in bytes.
type Stats struct {
	Connections atomic.Int64 // open now
	Accepted    atomic.Int64
	Refused     atomic.Int64 // above max.connections
	Throttled   atomic.Int64 // kept waiting and closed, as an Admitter said
	Closed      [closeReasons]atomic.Int64

	Frames   atomic.Int64 // requests read in full
	BytesIn  atomic.Int64
	BytesOut atomic.Int64

	Slots    atomic.Int64 // requests read whose replies have not left, now
	InFlight atomic.Int64 // memory of requests unanswered or still arriving, now
	Stashed  atomic.Int64 // bytes read ahead of connections that pause, now
	Paused   atomic.Int64 // connections not read from, now
	Pauses   atomic.Int64
	Turns    atomic.Int64 // turns that others asked for, one for each connection and occasion
	Signals  atomic.Int64 // wake-ups of event loops for them: many turns share one

	Pool PoolStats
}
