package core

import (
	"context"
	"errors"
)

// Broker is a running broker. All methods are safe for concurrent use.
type Broker struct {
	addr string
	done chan struct{}
	err  error
}

// Start opens the data directory, recovers its partitions, and listens. ctx
// bounds the start only; the broker runs until Stop.
func Start(ctx context.Context, cfg Config) (*Broker, error) {
	return nil, errors.New("core: not built yet")
}

// Addr is the address listened on, with the real port where 0 was asked.
func (b *Broker) Addr() string { return b.addr }

// Stop lets replies already begun leave until ctx ends, closes every
// connection, syncs and closes every log, and marks the stop as clean. Later
// calls wait for the first and return its error.
func (b *Broker) Stop(ctx context.Context) error { return nil }

// Done is closed when the broker has ended, by Stop or by its own fault.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Err says why the broker ended; nil before Done is closed and after a clean
// stop.
func (b *Broker) Err() error { return b.err }
