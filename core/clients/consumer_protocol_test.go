package clients_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumerBroker serves groups of the type consumer (KIP-848) whose members are
// asked to send heartbeats often, since it is by them that they learn of anything.
func consumerBroker(t *testing.T, dir string, args ...string) *broker {
	return own(t, dir, append([]string{
		"--set", "group.initial.rebalance.delay.ms=0",
		"--set", "group.consumer.min.heartbeat.interval.ms=100ms", "--set", "group.consumer.heartbeat.interval.ms=100ms",
		"--set", "group.consumer.min.session.timeout.ms=5s", "--set", "group.consumer.session.timeout.ms=5s",
	}, args...)...)
}

// brokerAssigns are the options of a member whose partitions the broker assigns.
func brokerAssigns() []kgo.Opt {
	return []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}
}

// crowd is the members of one group, who read all the time.
type crowd struct {
	*owners
	t           *testing.T
	addr, topic string
	opts        []kgo.Opt

	readMu  sync.Mutex
	read    map[string]bool
	polling sync.WaitGroup
}

func newCrowd(t *testing.T, addr, topic string, opts ...kgo.Opt) *crowd {
	return &crowd{owners: &owners{of: map[string][]int32{}}, t: t, addr: addr, topic: topic, opts: opts, read: map[string]bool{}}
}

func (c *crowd) join(who string, opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	m := c.watched(c.t, c.addr, "crowd", c.topic, who, append(c.opts, opts...)...)
	c.polling.Add(1)
	go func() {
		defer c.polling.Done()
		for {
			fs := m.PollFetches(context.Background())
			if fs.IsClientClosed() {
				return
			}
			c.readMu.Lock()
			fs.EachRecord(func(r *kgo.Record) { c.read[string(r.Value)] = true })
			c.readMu.Unlock()
		}
	}()
	return m
}

func (c *crowd) leave(m *kgo.Client, who string) {
	m.Close()
	c.forget(who)
}

func (c *crowd) atRest(n, low, high int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.each(n, low, high) }, patience, 10*time.Millisecond, "not at rest")
}

func (c *crowd) hasRead(wrote []string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		c.readMu.Lock()
		defer c.readMu.Unlock()
		return len(c.read) == len(wrote)
	}, patience, 10*time.Millisecond)
}

// TestConsumerProtocolMembersComeAndGo: members of KIP-848 share twelve partitions,
// some leave, others come, and the broker is killed and comes back, while records
// are written. At rest every partition has one owner; in the end all was read, and
// is committed.
func TestConsumerProtocolMembersComeAndGo(t *testing.T) {
	t.Parallel()
	dir, topic := t.TempDir(), topicName(t)
	b := consumerBroker(t, dir)
	createTopic(t, b.addr, topic, 12)
	c := newCrowd(t, b.addr, topic, brokerAssigns()...)
	var (
		members = map[string]*kgo.Client{}
		wrote   []string
	)
	for i := range 6 {
		members[fmt.Sprint("m", i)] = c.join(fmt.Sprint("m", i))
	}
	wrote = append(wrote, writeTo(t, b.addr, topic, "a", 60)...)
	c.atRest(12, 2, 2)
	group, err := admin(t, b.addr).DescribeConsumerGroups(bounded(t), "crowd")
	require.NoError(t, err)
	require.Len(t, group["crowd"].Members, 6)
	require.Equal(t, "uniform", group["crowd"].AssignorName)

	for _, who := range []string{"m0", "m1", "m2"} {
		c.leave(members[who], who)
	}
	wrote = append(wrote, writeTo(t, b.addr, topic, "b", 60)...)
	c.atRest(12, 4, 4)

	require.NoError(t, b.end(syscall.SIGKILL))
	b = consumerBroker(t, dir, "--listen", b.addr)
	wrote = append(wrote, writeTo(t, b.addr, topic, "c", 60)...)
	members["m6"] = c.join("m6")
	c.atRest(12, 3, 3)
	c.hasRead(wrote)
	// With a callback of one's own kgo commits neither as it gives partitions up nor
	// as it goes: who has taken them over may have to read them again before it can.
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		for _, m := range members {
			require.NoError(t, m.CommitUncommittedOffsets(bounded(t)))
		}
		committed, err := admin(t, b.addr).FetchOffsets(bounded(t), "crowd")
		require.NoError(t, err)
		var sum int64
		committed.Each(func(o kadm.OffsetResponse) { sum += o.At })
		if sum == int64(len(wrote)) {
			break
		}
		require.Less(t, sum, int64(len(wrote)))
		require.True(t, time.Now().Before(end), "%d of %d that were read are committed", sum, len(wrote))
	}
	for _, m := range members {
		m.Close()
	}
	c.polling.Wait()
	require.NoError(t, b.end(syscall.SIGTERM))
}

// TestConsumerProtocolMigration rolls a group over from the classic protocol to
// KIP-848 one member after the other, and back, while it reads.
func TestConsumerProtocolMigration(t *testing.T) {
	for name, assignor := range map[string]kgo.GroupBalancer{"cooperative": kgo.CooperativeStickyBalancer(), "eager": kgo.RangeBalancer()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := topicName(t)
			b := consumerBroker(t, t.TempDir())
			createTopic(t, b.addr, topic, 6)
			c := newCrowd(t, b.addr, topic)
			kind := func() string {
				t.Helper()
				groups, err := admin(t, b.addr).ListGroupsByType(bounded(t), []string{"consumer"})
				require.NoError(t, err)
				if len(groups) > 0 {
					return "consumer"
				}
				return "classic"
			}
			var wrote []string
			members := map[string]*kgo.Client{}
			for _, who := range []string{"old0", "old1", "old2"} {
				members[who] = c.join(who, kgo.Balancers(assignor))
			}
			wrote = append(wrote, writeTo(t, b.addr, topic, "a", 60)...)
			c.atRest(6, 2, 2)
			require.Equal(t, "classic", kind())
			roll := func(from, to string, opts ...kgo.Opt) {
				t.Helper()
				for i := range 3 {
					out, in := fmt.Sprint(from, i), fmt.Sprint(to, i)
					members[in] = c.join(in, opts...)
					wrote = append(wrote, writeTo(t, b.addr, topic, in, 20)...)
					c.atRest(6, 1, 2)
					require.Equal(t, "consumer", kind())
					c.leave(members[out], out)
					delete(members, out)
					c.atRest(6, 2, 2)
				}
			}
			roll("old", "new", brokerAssigns()...)
			require.Equal(t, "consumer", kind())
			roll("new", "back", kgo.Balancers(assignor))
			require.Equal(t, "classic", kind())
			c.hasRead(wrote)
			for _, m := range members {
				m.Close()
			}
			c.polling.Wait()
			lag, err := admin(t, b.addr).Lag(bounded(t), "crowd")
			require.NoError(t, err)
			g := lag["crowd"]
			require.NoError(t, g.Error())
			require.Zero(t, g.Lag.Total())
			require.NoError(t, b.end(syscall.SIGTERM))
		})
	}
}

// TestConsumerProtocolRegex: the broker resolves the expression, and a topic made
// later joins in.
func TestConsumerProtocolRegex(t *testing.T) {
	t.Parallel()
	b := consumerBroker(t, t.TempDir())
	prefix := topicName(t)
	createTopic(t, b.addr, prefix+"-1", 2)
	createTopic(t, b.addr, "other"+prefix, 2)
	m := franzClient(t, b.addr, append(brokerAssigns(), kgo.ConsumerGroup("re"), kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+prefix+"-[0-9]$"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second))...)
	want := map[string]bool{}
	got := map[string]bool{}
	for i := 1; i <= 2; i++ {
		topic := fmt.Sprint(prefix, "-", i)
		if i > 1 {
			createTopic(t, b.addr, topic, 2)
		}
		for _, v := range writeTo(t, b.addr, topic, topic, 10) {
			want[v] = true
		}
		writeTo(t, b.addr, "other"+prefix, "other", 10)
		for ctx := bounded(t); len(got) < len(want); {
			fs := m.PollFetches(ctx)
			require.NoError(t, fs.Err(), "%d of %d", len(got), len(want))
			fs.EachRecord(func(r *kgo.Record) { got[string(r.Value)] = true })
		}
		require.Equal(t, want, got)
	}
	m.Close()
	require.NoError(t, b.end(syscall.SIGTERM))
}

// TestJavaConsumerProtocol: Kafka's own programs with group.protocol=consumer, and
// what its tools say of such a group.
func TestJavaConsumerProtocol(t *testing.T) {
	eachKafka(t, func(t *testing.T, version string, run func([]byte, string, ...string) string) {
		if strings.HasPrefix(version, "3.") {
			return // its clients' KIP-848 was a preview
		}
		b := consumerBroker(t, t.TempDir())
		topic, server := topicName(t), "--bootstrap-server="+b.addr
		createTopic(t, b.addr, topic, 3)
		writeTo(t, b.addr, topic, "a", 30)
		consume := func(n string, more ...string) []string {
			out := run(nil, tools+"consumer.ConsoleConsumer", append([]string{server, "--group", "g", "--consumer-property", "group.protocol=consumer",
				"--from-beginning", "--max-messages", n, "--timeout-ms", "60000"}, more...)...)
			return strings.Split(strings.TrimSpace(out), "\n")
		}
		require.Len(t, consume("30", "--topic", topic), 30)
		wrote := writeTo(t, b.addr, topic, "b", 30)
		require.ElementsMatch(t, wrote, consume("30", "--include", topic[:len(topic)-1]+"."), "from where the first one stopped")

		// While a member is there: its state as the tools have it.
		m := franzClient(t, b.addr, append(brokerAssigns(), kgo.ConsumerGroup("g"), kgo.ConsumeTopics(topic), kgo.InstanceID("me"))...)
		polls := make(chan struct{})
		go func() {
			defer close(polls)
			for !m.PollFetches(context.Background()).IsClientClosed() {
			}
		}()
		groups := tools + "consumer.group.ConsumerGroupCommand"
		require.Eventually(t, func() bool {
			d, err := admin(t, b.addr).DescribeConsumerGroups(bounded(t), "g")
			return err == nil && d["g"].State == "Stable" && len(d["g"].Members) == 1
		}, patience, 50*time.Millisecond)
		require.Regexp(t, `g +.*uniform +Stable +1`, run(nil, groups, server, "--describe", "--group", "g", "--state"))
		require.Regexp(t, `g +.* me +.*3`, run(nil, groups, server, "--describe", "--group", "g", "--members", "--verbose"))
		require.Regexp(t, topic+` +0 +[0-9]+ +[0-9]+ +0`, run(nil, groups, server, "--describe", "--group", "g"))
		require.Regexp(t, `g +Consumer`, run(nil, groups, server, "--list", "--type"))
		m.Close()
		<-polls
		require.Eventually(t, func() bool { // a static member's place is kept for its session
			d, err := admin(t, b.addr).DescribeConsumerGroups(bounded(t), "g")
			return err == nil && d["g"].State == "Empty"
		}, patience, 50*time.Millisecond)
		require.Contains(t, run(nil, groups, server, "--delete", "--group", "g"), "successful")
		require.NoError(t, b.end(syscall.SIGTERM))
	})
}
