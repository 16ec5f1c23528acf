package quota

import "time"

// rate is what was used lately, in samples of one window each:
//
//	│ sample │ sample │ … │ sample, filling │
//	start                                  now
//
// A sample begins with the first use after the one before it was full, so there
// may be gaps. Guarded by Book.mu. The rules are those of Kafka's SampledStat
// and Rate.
type rate struct {
	samples []sample // oldest first; at most Config.Samples
}

type sample struct {
	start, last time.Time // of its first and last use
	sum         float64
}

func (r *rate) add(n float64, now time.Time, cfg Config) {
	r.purge(now, cfg)
	if k := len(r.samples); k == 0 || now.Sub(r.samples[k-1].start) >= cfg.Window {
		if k == cfg.Samples {
			r.samples = append(r.samples[:0], r.samples[1:]...)
		}
		r.samples = append(r.samples, sample{start: now})
	}
	s := &r.samples[len(r.samples)-1]
	s.sum += n
	s.last = now
}

// purge forgets what lies so far back that it does not count any more.
func (r *rate) purge(now time.Time, cfg Config) {
	old := 0
	for old < len(r.samples) && now.Sub(r.samples[old].last) >= time.Duration(cfg.Samples)*cfg.Window {
		old++
	}
	r.samples = append(r.samples[:0], r.samples[old:]...)
}

// measure is the rate in units a second, and the time that it was measured over:
// no less than all windows but the one that is filling, so that the first use
// does not look like a flood.
func (r *rate) measure(now time.Time, cfg Config) (value float64, over time.Duration) {
	r.purge(now, cfg)
	var sum float64
	for _, s := range r.samples {
		sum += s.sum
	}
	if len(r.samples) > 0 {
		over = now.Sub(r.samples[0].start)
	}
	if missing := cfg.Samples - 1 - int(over/cfg.Window); missing > 0 {
		over += time.Duration(missing) * cfg.Window
	}
	over = max(over, time.Millisecond)
	return sum / over.Seconds(), over
}

func (r *rate) idle(now time.Time, cfg Config) bool {
	r.purge(now, cfg)
	return len(r.samples) == 0
}
