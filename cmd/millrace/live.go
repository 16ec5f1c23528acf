package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/dashboards"
)

// liveWindow is how far back the live page looks.
const liveWindow = 5 * time.Minute

// live watches a broker through the protocol alone, so that it may be any: once
// a second where its partitions end, what the groups have committed, and how
// long it takes to answer.
type live struct {
	broker string
	client *kadm.Client

	mu     sync.Mutex
	points []dashboards.LivePoint
	before map[string]int64 // end offsets, by topic
	at     time.Time
}

// watchBroker polls until ctx ends.
func watchBroker(ctx context.Context, broker string) (*live, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RequestRetries(0), kgo.RetryTimeout(2*time.Second), kgo.DialTimeout(2*time.Second))
	if err != nil {
		return nil, err
	}
	l := &live{broker: broker, client: kadm.NewClient(cl)}
	go func() {
		defer cl.Close()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			l.poll(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return l, nil
}

// poll takes one point.
func (l *live) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	now := time.Now()
	p := dashboards.LivePoint{At: now.UnixMilli(), Topics: map[string]float64{}, Lag: map[string]int64{}}
	offsets, err := l.client.ListEndOffsets(ctx)
	p.AnswerMs = float64(time.Since(now)) / float64(time.Millisecond)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		p.Fault = err.Error()
		l.add(p, nil, now)
		return
	}
	ends := map[string]int64{}
	for topic, parts := range offsets {
		for _, o := range parts {
			ends[topic] += o.Offset
		}
	}
	if lags, err := l.client.Lag(ctx); err == nil {
		for name, g := range lags {
			p.Lag[name] = g.Lag.Total()
		}
	}
	l.add(p, ends, now)
}

func (l *live) add(p dashboards.LivePoint, ends map[string]int64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if secs := now.Sub(l.at).Seconds(); l.before != nil && ends != nil && secs > 0 {
		for topic, end := range ends {
			p.Topics[topic] = float64(max(end-l.before[topic], 0)) / secs
		}
	}
	l.before, l.at = ends, now
	l.points = append(l.points, p)
	if most := int(liveWindow / time.Second); len(l.points) > most {
		l.points = append(l.points[:0], l.points[len(l.points)-most:]...)
	}
}

// ServeHTTP gives the points as JSON, for the page to draw.
func (l *live) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	b, err := json.Marshal(map[string]any{"broker": l.broker, "points": l.points})
	l.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b)
}
