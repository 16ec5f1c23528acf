package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/results"
)

// quiet is a logger that says nothing.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// topicTime bounds creating the topics and waiting for their leaders.
const topicTime = 30 * time.Second

// createTopics makes the scenario's topics and waits until every partition has
// a leader. A topic that exists already is used where it has the partitions
// asked for. It returns the topics that it made.
func createTopics(ctx context.Context, target results.TargetInfo, topics []Topic) (made []string, err error) {
	if target.Kind == "sink" {
		return nil, nil // it began with them
	}
	addr := target.Address
	ctx, cancel := context.WithTimeout(ctx, topicTime)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for _, t := range topics {
		config := map[string]*string{}
		for k, v := range t.Config {
			config[k] = &v
		}
		resp, err := adm.CreateTopic(ctx, int32(t.Partitions), int16(t.Replicas), config, t.Name)
		switch {
		case err == nil:
			made = append(made, t.Name)
		case errors.Is(err, kerr.TopicAlreadyExists):
		case errors.Is(err, kerr.InvalidReplicationFactor):
			return made, fmt.Errorf("topic %q could not be created: %w (%d are asked for; write --set topics.%s.replicas=1 for one broker)",
				t.Name, err, t.Replicas, t.Name)
		case resp.ErrMessage != "": // says which setting, and why
			return made, fmt.Errorf("topic %q could not be created: %w (%s)", t.Name, err, resp.ErrMessage)
		default:
			return made, fmt.Errorf("topic %q could not be created: %w", t.Name, err)
		}
	}
	for _, t := range topics {
		if err := awaitTopic(ctx, adm, t); err != nil {
			return made, err
		}
	}
	return made, nil
}

func awaitTopic(ctx context.Context, adm *kadm.Client, t Topic) error {
	for {
		list, err := adm.ListTopics(ctx, t.Name)
		if err != nil {
			return fmt.Errorf("topic %q: %w", t.Name, err)
		}
		d := list[t.Name]
		led := 0
		for _, p := range d.Partitions {
			if p.Err == nil && p.Leader >= 0 {
				led++
			}
		}
		switch n := len(d.Partitions); {
		case d.Err == nil && n == t.Partitions && led == n:
			return nil
		case d.Err == nil && n > 0 && n != t.Partitions:
			return fmt.Errorf("topic %q exists with %d partitions, and the scenario wants %d: delete it, or use --set topics.%s.partitions=%d",
				t.Name, n, t.Partitions, t.Name, n)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topic %q: its partitions have no leader after %s", t.Name, topicTime)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// deleteTopics tidies up on a target that goes on living.
func deleteTopics(addr string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), topicTime)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	resp, err := kadm.NewClient(cl).DeleteTopics(ctx, names...)
	if err != nil {
		return err
	}
	return resp.Error()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
