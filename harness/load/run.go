package load

import (
	"context"
	"errors"
	"time"
)

// Clients names the ways to speak to a broker.
func Clients() []string { return []string{"kgo", "lean"} }

// Validate says everything that is wrong with the spec.
func (s *Spec) Validate() error { return nil }

// Run carries the spec out. Where ctx ends or the target fails for good, it
// returns soon, with what was measured until then; the result is nil only where
// the run could not begin. The error of a cancelled ctx is nil: Result.Stopped
// says it.
func Run(ctx context.Context, s Spec) (*Result, error) { return nil, errors.New("not built yet") }

// Ceiling is the rate in records/s that the spec's client, payload and batch
// settings reach in closed loop against a Sink in this process, over d. It
// costs d and a little.
func Ceiling(ctx context.Context, s Spec, d time.Duration) (float64, error) {
	return 0, errors.New("not built yet")
}
