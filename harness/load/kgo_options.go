package load

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// metadataAge is how soon after another time a client may ask where partitions
// are. franz-go leaves 5 s between of its own accord, and until it has asked it
// sends nothing more to a partition that answered with an error: a target that
// refuses one batch in 200, and takes it a moment later, would be said to need
// seconds. Kafka's Java client waits 100 ms (retry.backoff.ms).
const metadataAge = 100 * time.Millisecond

// clientOptions are those of every franz-go client that sends or reads load.
func (r *run) clientOptions() []kgo.Opt {
	return []kgo.Opt{kgo.MetadataMinAge(metadataAge), kgo.WithHooks(throttled{r})}
}

var errThrottled = errors.New("the target's quota had a client wait (throttle_time_ms)")

// throttled notes that the target made a client wait: what is measured then is a
// quota.
type throttled struct{ r *run }

var _ kgo.HookBrokerThrottle = throttled{}

func (t throttled) OnBrokerThrottle(_ kgo.BrokerMetadata, wait time.Duration, _ bool) {
	if wait > 0 {
		t.r.complain("throttle", errThrottled)
	}
}
