package quota

import (
	"math"
	"time"
)

// bucket holds what may still be used: it fills at the limit, up to what all
// samples together allow, and may be overdrawn once. Guarded by Book.mu. The
// rules are those of Kafka's TokenBucket (KIP-599): a large use is waited for
// once, and not until its sample is forgotten.
type bucket struct {
	tokens, limit, burst float64
	at                   time.Time
}

// fill brings the bucket up to now. A new one is full.
func (b *bucket) fill(limit float64, now time.Time, cfg Config) {
	b.limit, b.burst = limit, limit*cfg.Window.Seconds()*float64(cfg.Samples)
	if b.at.IsZero() {
		b.tokens = b.burst
	}
	b.tokens = math.Min(b.burst, b.tokens+limit*now.Sub(b.at).Seconds())
	b.at = now
}

// wait is how long until nothing is overdrawn.
func (b *bucket) wait() time.Duration {
	if b.tokens >= 0 {
		return 0
	}
	seconds := math.Min(-b.tokens/b.limit, time.Hour.Seconds())
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

func (b *bucket) idle(now time.Time, _ Config) bool {
	return b.tokens+b.limit*now.Sub(b.at).Seconds() >= b.burst
}
