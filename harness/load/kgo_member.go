package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kgoMember reads as a member of a consumer group. It commits what it has
// booked, so that whoever takes over begins there: what was read since the last
// commit is read again by them, at the same offsets, and counts as redelivered.
type kgoMember struct {
	kgoConsumer
	socks *sockets
	gone  context.CancelFunc // of the client's own context
}

// groupID is the name of a group, new for each run.
func (r *run) groupID(group int) string { return fmt.Sprintf("millrace-%08x-%d", r.id, group) }

// topics is what the crew reads.
func (c *crew) topics() []Topic {
	if t := c.r.spec.Transform; t.Workers > 0 {
		return t.Outputs
	}
	return c.r.spec.Topics
}

// groupOptions are those that every member of a group has.
func (r *run) groupOptions(id string, topics []Topic, has *assignment) []kgo.Opt {
	s := r.spec.Consumers
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	changed := func(sign int) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			n := 0
			for _, p := range parts {
				n += len(p)
			}
			has.add(sign * n)
		}
	}
	opts := []kgo.Opt{
		kgo.OnPartitionsAssigned(changed(1)), kgo.OnPartitionsRevoked(changed(-1)), kgo.OnPartitionsLost(changed(-1)),
		kgo.ConsumerGroup(id), kgo.ConsumeTopics(names...), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(s.SessionTimeout), kgo.RebalanceTimeout(max(s.SessionTimeout, 10*time.Second)),
		kgo.HeartbeatInterval(min(s.SessionTimeout/3, 3*time.Second)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	if s.Protocol == ServerSide {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	return opts
}

func newKgoMember(c *crew, id int) (*kgoMember, error) {
	r, group := c.r, c.group
	m := &kgoMember{kgoConsumer: *newKgoConsumer(r, group, true), socks: newSockets(r.dial)}
	m.gate = &c.gate
	ctx, cancel := context.WithCancel(context.Background())
	m.gone = cancel
	m.opts = append(m.fetchOptions(), r.groupOptions(r.groupID(group), c.topics(), &c.assigned)...)
	m.opts = append(m.opts, kgo.Dialer(m.socks.connect), kgo.WithContext(ctx),
		kgo.ClientID(fmt.Sprintf("%s-%d-%d", clientID, group, id)), kgo.AutoCommitInterval(r.spec.Consumers.Commit))
	return m, nil
}

// vanish ends the member without leaving the group.
func (m *kgoMember) vanish() {
	m.socks.cut(true)
	m.gone()
}

// beginGroup commits the offsets from which the group is to read: a record that
// was there before the run is not the run's.
func (r *run) beginGroup(ctx context.Context, id string, parts []partition, begin []int64) error {
	var at kadm.Offsets
	for i, p := range parts {
		at.AddOffset(p.topic, p.index, begin[i], -1)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := r.ctl.adm.CommitOffsets(ctx, id, at)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		return fmt.Errorf("load: group %s: setting where it begins: %w", id, err)
	}
	return nil
}

// endGroups removes the run's groups from the target; whoever cannot is left
// with groups that expire.
func (r *run) endGroups(n int) {
	var ids []string
	for g := range n {
		ids = append(ids, r.groupID(g))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	resp, err := r.ctl.adm.DeleteGroups(ctx, ids...)
	if err == nil {
		err = resp.Error()
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		r.log.Debug("groups remain on the target", "error", err)
	}
}
