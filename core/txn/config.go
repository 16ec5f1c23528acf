package txn

import (
	"math"
	"time"

	"millrace/internal/knob"
)

// Config is the coordinator's settings, under Kafka's names where Kafka has
// them.
type Config struct {
	MaxTimeout    time.Duration
	Expiration    time.Duration
	AbortInterval time.Duration
	// Partitions is how many partitions __transaction_state gets when created.
	Partitions int
	// MaxBytes keeps a peer from filling the memory; Kafka has no such bound.
	MaxBytes int64
}

// Defaults is Kafka's.
func Defaults() Config {
	return Config{
		MaxTimeout:    15 * time.Minute,
		Expiration:    7 * 24 * time.Hour,
		AbortInterval: 10 * time.Second,
		Partitions:    50,
		MaxBytes:      256 << 20,
	}
}

// Register declares the knobs.
func (c *Config) Register(s *knob.Set) {
	s.Duration(&c.MaxTimeout, "transaction.max.timeout.ms", "longest timeout that a transactional producer may ask for", knob.Within(time.Millisecond, math.MaxInt32*time.Millisecond))
	s.Duration(&c.Expiration, "transactional.id.expiration.ms", "a transactional id unused for so long is forgotten", knob.Within(time.Millisecond, math.MaxInt32*time.Millisecond))
	s.Duration(&c.AbortInterval, "transaction.abort.timed.out.transaction.cleanup.interval.ms", "how often transactions past their timeout are looked for, to be aborted", knob.Within(time.Millisecond, time.Hour))
	s.Int(&c.Partitions, "transaction.state.log.num.partitions", "partitions of __transaction_state when it is created; fixed from then on", knob.Range(1, 10000))
	s.Bytes(&c.MaxBytes, "transactions.max.bytes", "most memory of all transactional ids and the partitions of their transactions", knob.Range(1<<10, 1<<40))
}
