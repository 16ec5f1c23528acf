package clients_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	smp "github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// owners follows who owns which partitions.
type owners struct {
	mu sync.Mutex
	of map[string][]int32
}

func (o *owners) add(who string, ps []int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of[who] = append(o.of[who], ps...)
}

func (o *owners) remove(who string, ps []int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of[who] = slices.DeleteFunc(o.of[who], func(p int32) bool { return slices.Contains(ps, p) })
}

// each: every one of n partitions is owned once, by members who have between low
// and high each.
func (o *owners) each(n, low, high int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []int32
	for _, ps := range o.of {
		if len(ps) < low || len(ps) > high {
			return false
		}
		all = append(all, ps...)
	}
	slices.Sort(all)
	return len(all) == n && len(slices.Compact(all)) == n
}

// watched is a member of a group whose partitions are followed. Heartbeats are
// quick, since it is by them that a member learns of a rebalance.
func (o *owners) watched(t *testing.T, addr, group, topic, who string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	gained := func(_ context.Context, _ *kgo.Client, m map[string][]int32) { o.add(who, m[topic]) }
	lost := func(_ context.Context, _ *kgo.Client, m map[string][]int32) { o.remove(who, m[topic]) }
	return franzClient(t, addr, append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(100 * time.Millisecond), kgo.ClientID(who),
		kgo.OnPartitionsAssigned(gained), kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost),
	}, opts...)...)
}

// TestGroupMembersComeAndGo: ten members share twenty partitions, half of them
// leave, two come, while records are written all along. At rest every partition
// has one owner, and in the end every record was read.
func TestGroupMembersComeAndGo(t *testing.T) {
	for name, assignor := range map[string]kgo.GroupBalancer{"cooperative": kgo.CooperativeStickyBalancer(), "eager": kgo.RangeBalancer()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, topic := groupBroker(t, t.TempDir()), topicName(t)
			createTopic(t, b.addr, topic, 20)
			o := &owners{of: map[string][]int32{}}
			var (
				mu      sync.Mutex
				read    = map[string]bool{}
				polling sync.WaitGroup
			)
			join := func(who string) *kgo.Client {
				c := o.watched(t, b.addr, "crowd", topic, who, kgo.Balancers(assignor))
				polling.Add(1)
				go func() {
					defer polling.Done()
					for {
						fs := c.PollFetches(context.Background())
						if fs.IsClientClosed() {
							return
						}
						mu.Lock()
						fs.EachRecord(func(r *kgo.Record) { read[string(r.Value)] = true })
						mu.Unlock()
					}
				}()
				return c
			}
			atRest := func(low, high int) {
				t.Helper()
				require.Eventually(t, func() bool { return o.each(20, low, high) }, patience, 10*time.Millisecond)
			}
			var wrote []string
			write := func(prefix string) { wrote = append(wrote, writeTo(t, b.addr, topic, prefix, 60)...) }

			var clients []*kgo.Client
			for i := range 10 {
				clients = append(clients, join(fmt.Sprint("member-", i)))
			}
			write("a")
			atRest(2, 2)
			for i, c := range clients[:5] {
				c.Close()
				o.forget(fmt.Sprint("member-", i))
			}
			write("b")
			atRest(4, 4)
			for i := range 2 {
				clients = append(clients, join(fmt.Sprint("late-", i)))
			}
			write("c")
			atRest(2, 3)
			require.Eventually(t, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(read) == len(wrote)
			}, patience, 10*time.Millisecond)
			for _, c := range clients[5:] {
				c.Close()
			}
			polling.Wait()
			lag, err := admin(t, b.addr).Lag(bounded(t), "crowd")
			require.NoError(t, err)
			require.Zero(t, lag["crowd"].Lag.Total(), "all that was read is committed")
			require.Equal(t, "Empty", lag["crowd"].State)
			require.NoError(t, b.end(syscall.SIGTERM))
		})
	}
}

// forget: a client that is closed gives its partitions back.
func (o *owners) forget(who string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.of, who)
}

// TestGroupCrashedMember: one that dies without a word is out when its session
// ends, and the others have its partitions.
func TestGroupCrashedMember(t *testing.T) {
	t.Parallel()
	b := own(t, t.TempDir(), "--set", "group.initial.rebalance.delay.ms=0", "--set", "group.min.session.timeout.ms=100")
	topic := topicName(t)
	createTopic(t, b.addr, topic, 4)
	o := &owners{of: map[string][]int32{}}
	o.watched(t, b.addr, "g", topic, "stays", kgo.Balancers(kgo.RangeBalancer()))
	dies := exec.Command(tool(t, "kcat", "kcat"), "-b", b.addr, "-q", "-X", "session.timeout.ms=1000", "-X", "heartbeat.interval.ms=200", "-G", "g", topic)
	require.NoError(t, dies.Start())
	defer func() { _ = dies.Process.Kill(); _ = dies.Wait() }()
	a := admin(t, b.addr)
	members := func(n int) func() bool {
		return func() bool {
			d, err := a.DescribeGroups(bounded(t), "g")
			require.NoError(t, err)
			return d["g"].State == "Stable" && len(d["g"].Members) == n
		}
	}
	require.Eventually(t, members(2), patience, 10*time.Millisecond)
	require.NoError(t, dies.Process.Kill())
	require.Eventually(t, members(1), patience, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.of["stays"]) == 4
	}, patience, 10*time.Millisecond)
}

// TestGroupStaticMember: one that restarts has its partitions again, and the
// other members hear nothing of it; one that starts twice is fenced.
func TestGroupStaticMember(t *testing.T) {
	t.Parallel()
	b, topic := groupBroker(t, t.TempDir()), topicName(t)
	createTopic(t, b.addr, topic, 4)
	o := &owners{of: map[string][]int32{}}
	// The leader is not the one that restarts: franz-go would rebalance then.
	o.watched(t, b.addr, "g", topic, "other")
	require.Eventually(t, func() bool { return o.each(4, 4, 4) }, patience, 10*time.Millisecond)
	first := o.watched(t, b.addr, "g", topic, "static", kgo.InstanceID("i"))
	require.Eventually(t, func() bool { return o.each(4, 2, 2) }, patience, 10*time.Millisecond)
	a := admin(t, b.addr)
	members := func() map[string]string {
		var d kadm.DescribedGroups
		require.Eventually(t, func() (stable bool) {
			var err error
			d, err = a.DescribeGroups(bounded(t), "g")
			require.NoError(t, err)
			return d["g"].State == "Stable"
		}, patience, 10*time.Millisecond)
		ids := map[string]string{}
		for _, m := range d["g"].Members {
			ids[m.ClientID] = m.MemberID
		}
		return ids
	}
	before := members()
	require.Len(t, before, 2)
	first.Close() // which does not leave the group
	require.Equal(t, before, members())
	o.forget("static")

	second := o.watched(t, b.addr, "g", topic, "static", kgo.InstanceID("i"))
	require.Eventually(t, func() bool { return o.each(4, 2, 2) }, patience, 10*time.Millisecond)
	after := members()
	require.Equal(t, before["other"], after["other"])
	require.NotEqual(t, before["static"], after["static"], "the place has a new holder")

	o.watched(t, b.addr, "g", topic, "again", kgo.InstanceID("i"))
	for ctx := bounded(t); ; {
		fs := second.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			require.ErrorIs(t, err, kerr.FencedInstanceID)
			break
		}
		require.NoError(t, ctx.Err())
	}
	instance := "i"
	left, err := a.LeaveGroup(bounded(t), kadm.LeaveGroup("g").InstanceIDs(instance).Reason("moved"))
	require.NoError(t, err)
	require.NoError(t, left.Error())
}

// TestGroupAdmin: what kafka-consumer-groups.sh does, by franz-go's admin client
// and by sarama's.
func TestGroupAdmin(t *testing.T) {
	t.Parallel()
	b, topic := groupBroker(t, t.TempDir()), topicName(t)
	createTopic(t, b.addr, topic, 2)
	wrote := writeTo(t, b.addr, topic, "v", 10)
	require.Len(t, franzMember()(t, b.addr, "g", topic, 10), len(wrote))
	a, ctx := admin(t, b.addr), bounded(t)

	listed, err := a.ListGroups(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"g"}, listed.Groups())
	require.Equal(t, "consumer", listed["g"].ProtocolType)
	lag, err := a.Lag(ctx, "g", "nobody")
	require.NoError(t, err)
	require.Zero(t, lag["g"].Lag.Total())
	require.Equal(t, "Dead", lag["nobody"].State)

	// Backwards, as --reset-offsets does.
	var to kadm.Offsets
	to.AddOffset(topic, 0, 1, -1)
	to.AddOffset(topic, 1, 5, -1)
	require.NoError(t, a.CommitAllOffsets(ctx, "g", to))
	fetched, err := a.FetchOffsets(ctx, "g")
	require.NoError(t, err)
	at, ok := fetched.Lookup(topic, 0)
	require.True(t, ok)
	require.Equal(t, int64(1), at.At)
	var nowhere kadm.Offsets
	nowhere.AddOffset(topic+"-not", 0, 1, -1)
	refused, err := a.CommitOffsets(ctx, "g", nowhere)
	require.NoError(t, err)
	require.ErrorIs(t, refused.Error(), kerr.UnknownTopicOrPartition)
	rest := franzMember()(t, b.addr, "g", topic, 4)
	require.Len(t, rest, 4)

	// Not of a topic that is read right now.
	live := (&owners{of: map[string][]int32{}}).watched(t, b.addr, "g", topic, "live")
	require.Eventually(t, func() bool {
		d, err := a.DescribeGroups(ctx, "g")
		require.NoError(t, err)
		return d["g"].State == "Stable"
	}, patience, 10*time.Millisecond)
	var gone kadm.TopicsSet
	gone.Add(topic, 0)
	deleted, err := a.DeleteOffsets(ctx, "g", gone)
	require.NoError(t, err)
	require.ErrorIs(t, deleted.Error(), kerr.GroupSubscribedToTopic)
	whole, err := a.DeleteGroups(ctx, "g", "nobody")
	require.NoError(t, err)
	require.ErrorIs(t, whole["g"].Err, kerr.NonEmptyGroup)
	require.ErrorIs(t, whole["nobody"].Err, kerr.GroupIDNotFound)
	live.Close()
	deleted, err = a.DeleteOffsets(ctx, "g", gone)
	require.NoError(t, err)
	require.NoError(t, deleted.Error())

	s, err := smp.NewClusterAdmin([]string{b.addr}, saramaConfig())
	require.NoError(t, err)
	defer s.Close()
	groups, err := s.ListConsumerGroups()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"g": "consumer"}, groups)
	described, err := s.DescribeConsumerGroups([]string{"g"})
	require.NoError(t, err)
	require.Equal(t, "Empty", described[0].State)
	offsets, err := s.ListConsumerGroupOffsets("g", map[string][]int32{topic: {0, 1}})
	require.NoError(t, err)
	require.Equal(t, int64(-1), offsets.GetBlock(topic, 0).Offset, "deleted above")
	require.Equal(t, int64(5), offsets.GetBlock(topic, 1).Offset)
	require.NoError(t, s.DeleteConsumerGroup("g"))
	require.ErrorIs(t, s.DeleteConsumerGroup("g"), smp.ErrGroupIDNotFound)
	listed, err = a.ListGroups(ctx)
	require.NoError(t, err)
	require.Empty(t, listed)
}
