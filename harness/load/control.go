package load

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// control asks the target what has to be known around a run: leaders, versions
// and ends of partitions. It sends no load.
type control struct {
	cl    *kgo.Client
	adm   *kadm.Client
	parts []partition
}

// askTimeout bounds each question.
const askTimeout = 5 * time.Second

func newControl(r *run) (*control, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.spec.Brokers...), kgo.ClientID(clientID),
		kgo.RetryTimeout(askTimeout), kgo.Dialer(r.dial))
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return &control{cl, kadm.NewClient(cl), r.parts}, nil
}

func (c *control) close() { c.cl.Close() }

// leader is where a partition's records go.
type leader struct {
	node int32
	addr string
}

// leaders answers each partition's leader, in the order of parts.
func (c *control) leaders(ctx context.Context) ([]leader, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var names []string
	for _, p := range c.parts {
		if len(names) == 0 || names[len(names)-1] != p.topic {
			names = append(names, p.topic)
		}
	}
	meta, err := c.adm.Metadata(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("load: asking for metadata: %w", err)
	}
	addrs := map[int32]string{}
	for _, b := range meta.Brokers {
		addrs[b.NodeID] = fmt.Sprintf("%s:%d", b.Host, b.Port)
	}
	out := make([]leader, len(c.parts))
	for i, p := range c.parts {
		t := meta.Topics[p.topic]
		if t.Err != nil {
			return nil, fmt.Errorf("load: topic %s: %w", p.topic, t.Err)
		}
		d, ok := t.Partitions[p.index]
		switch {
		case !ok:
			return nil, fmt.Errorf("load: topic %s has %d partitions, and the load needs partition %d", p.topic, len(t.Partitions), p.index)
		case addrs[d.Leader] == "":
			return nil, fmt.Errorf("load: topic %s partition %d has no leader", p.topic, p.index)
		}
		out[i] = leader{d.Leader, addrs[d.Leader]}
	}
	return out, nil
}

// ends answers the end of each of the partitions, in their order.
func (c *control) ends(ctx context.Context, parts []partition) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	names := map[string]bool{}
	var list []string
	for _, p := range parts {
		if !names[p.topic] {
			names[p.topic] = true
			list = append(list, p.topic)
		}
	}
	offsets, err := c.adm.ListEndOffsets(ctx, list...)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("load: asking for the ends of partitions: %w", err)
	}
	out := make([]int64, len(parts))
	for i, p := range parts {
		o, ok := offsets.Lookup(p.topic, p.index)
		if !ok {
			return nil, fmt.Errorf("load: the target does not know the end of topic %s partition %d", p.topic, p.index)
		}
		out[i] = o.Offset
	}
	return out, nil
}
