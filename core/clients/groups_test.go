package clients_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	smp "github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// member is a client as a member of a consumer group. read joins, takes what
// comes from where the group has come to until it has n values, commits that,
// and leaves.
type member struct {
	name string
	read func(t *testing.T, addr, group, topic string, n int) []string
}

// members all go through TestGroupResumes; those whose assignor is range share a
// group in TestGroupOfManyClients.
var members = []member{
	{"franz-go", franzMember()}, // cooperative-sticky
	{"franz-go sticky", franzMember(kgo.Balancers(kgo.StickyBalancer()))},
	{"franz-go range", franzMember(kgo.Balancers(kgo.RangeBalancer()))},
	{"franz-go roundrobin", franzMember(kgo.Balancers(kgo.RoundRobinBalancer()))},
	{"franz-go static", franzMember(kgo.InstanceID("me"))},
	{"sarama", saramaMember(smp.NewConfig().Version, smp.NewBalanceStrategyRange())},
	{"sarama newest, sticky", saramaMember(smp.MaxVersion, smp.NewBalanceStrategySticky())},
	{"sarama roundrobin", saramaMember(smp.MaxVersion, smp.NewBalanceStrategyRoundRobin())},
	{"kafka-go", kafkaGoMember()}, // range
	{"kafka-go roundrobin", kafkaGoMember(kafka.RoundRobinGroupBalancer{})},
	{"kcat", kcatMember()}, // range
	{"kcat roundrobin", kcatMember("-X", "partition.assignment.strategy=roundrobin")},
	{"kcat cooperative", kcatMember("-X", "partition.assignment.strategy=cooperative-sticky")},
	{"kcat static", kcatMember("-X", "group.instance.id=me")},
}

// groupBroker is a broker that does not wait for more members of a new group.
func groupBroker(t *testing.T, dir string) *broker {
	return own(t, dir, "--set", "group.initial.rebalance.delay.ms=0")
}

func franzMember(opts ...kgo.Opt) func(*testing.T, string, string, string, int) []string {
	return func(t *testing.T, addr, group, topic string, n int) (got []string) {
		c := franzClient(t, addr, append([]kgo.Opt{
			kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		}, opts...)...)
		for ctx := bounded(t); len(got) < n; {
			fs := c.PollFetches(ctx)
			require.NoError(t, fs.Err(), "%d of %d", len(got), n)
			fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
		}
		require.NoError(t, c.CommitUncommittedOffsets(bounded(t)))
		c.Close()
		return got
	}
}

// saramaHandler hands out what it is given until it has enough.
type saramaHandler struct {
	values chan string
	enough context.Context
}

func (saramaHandler) Setup(smp.ConsumerGroupSession) error   { return nil }
func (saramaHandler) Cleanup(smp.ConsumerGroupSession) error { return nil }

func (h saramaHandler) ConsumeClaim(s smp.ConsumerGroupSession, c smp.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-c.Messages():
			if !ok {
				return nil
			}
			select {
			case h.values <- string(m.Value):
				s.MarkMessage(m, "")
			case <-h.enough.Done():
				return nil
			}
		case <-s.Context().Done():
			return nil
		case <-h.enough.Done():
			return nil
		}
	}
}

func saramaMember(version smp.KafkaVersion, strategy smp.BalanceStrategy) func(*testing.T, string, string, string, int) []string {
	return func(t *testing.T, addr, group, topic string, n int) (got []string) {
		cfg := smp.NewConfig()
		cfg.Version = version
		cfg.Consumer.Offsets.Initial = smp.OffsetOldest
		cfg.Consumer.Group.Rebalance.GroupStrategies = []smp.BalanceStrategy{strategy}
		cfg.Consumer.MaxWaitTime = 50 * time.Millisecond
		g, err := smp.NewConsumerGroup([]string{addr}, group, cfg)
		require.NoError(t, err)
		enough, cancel := context.WithCancel(bounded(t))
		defer cancel()
		h := saramaHandler{make(chan string), enough}
		ended := make(chan error, 1)
		go func() {
			var err error
			for err == nil && enough.Err() == nil {
				err = g.Consume(enough, []string{topic}, h)
			}
			ended <- err
		}()
		for len(got) < n {
			select {
			case v := <-h.values:
				got = append(got, v)
			case err := <-ended:
				t.Fatalf("%d of %d: %v", len(got), n, err)
			}
		}
		cancel()
		<-ended
		require.NoError(t, g.Close())
		return got
	}
}

func kafkaGoMember(balancers ...kafka.GroupBalancer) func(*testing.T, string, string, string, int) []string {
	return func(t *testing.T, addr, group, topic string, n int) (got []string) {
		r := kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{addr}, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset, GroupBalancers: balancers,
			MaxWait: 50 * time.Millisecond, HeartbeatInterval: 200 * time.Millisecond,
		})
		for ctx := bounded(t); len(got) < n; {
			m, err := r.ReadMessage(ctx) // which commits
			require.NoError(t, err, "%d of %d", len(got), n)
			got = append(got, string(m.Value))
		}
		require.NoError(t, r.Close())
		return got
	}
}

func kcatMember(args ...string) func(*testing.T, string, string, string, int) []string {
	return func(t *testing.T, addr, group, topic string, n int) []string {
		out := runKcat(t, addr, nil, append([]string{"-q", "-X", "auto.offset.reset=earliest", "-c", strconv.Itoa(n)}, append(args, "-G", group, topic)...)...)
		return strings.Fields(string(out))
	}
}

// writeTo writes n numbered values, spread over the topic's partitions.
func writeTo(t *testing.T, addr, topic, prefix string, n int) (wrote []string) {
	t.Helper()
	c := franzClient(t, addr, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	for i := range n {
		v := fmt.Sprint(prefix, i)
		require.NoError(t, c.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr())
		wrote = append(wrote, v)
	}
	c.Close()
	return wrote
}

// TestGroupResumes: a group reads everything once, and after a stop or a kill of
// the broker goes on where it has committed.
func TestGroupResumes(t *testing.T) {
	tried := members
	if testing.Short() {
		tried = []member{members[0], members[5], members[8], members[10]} // one of each library
	}
	for i, m := range tried {
		sig := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2]
		t.Run(m.name+", "+sig.String(), func(t *testing.T) {
			t.Parallel()
			dir, topic := t.TempDir(), topicName(t)
			b := groupBroker(t, dir)
			createTopic(t, b.addr, topic, 4)
			wrote := writeTo(t, b.addr, topic, "first-", 40)
			got := m.read(t, b.addr, "readers", topic, len(wrote))
			require.ElementsMatch(t, wrote, got)
			require.NoError(t, b.end(sig))

			b = groupBroker(t, dir)
			wrote = writeTo(t, b.addr, topic, "second-", 20)
			got = m.read(t, b.addr, "readers", topic, len(wrote))
			require.ElementsMatch(t, wrote, got)
			require.NoError(t, b.end(syscall.SIGTERM))
		})
	}
}

// TestGroupByPattern: who subscribes to a pattern reads the topics that match,
// also one that is made later, and no other.
func TestGroupByPattern(t *testing.T) {
	t.Parallel()
	b, base := groupBroker(t, t.TempDir()), topicName(t)
	for _, suffix := range []string{".match.1", ".match.2", ".other"} {
		createTopic(t, b.addr, base+suffix, 2)
	}
	wrote := slices.Concat(writeTo(t, b.addr, base+".match.1", "one-", 10), writeTo(t, b.addr, base+".match.2", "two-", 10))
	writeTo(t, b.addr, base+".other", "not-", 10)
	c := franzClient(t, b.addr, kgo.ConsumerGroup("g"), kgo.ConsumeRegex(), kgo.ConsumeTopics(`.*\.match\.\d$`),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMaxAge(200*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.HeartbeatInterval(100*time.Millisecond))
	var got []string
	read := func() {
		for ctx := bounded(t); len(got) < len(wrote); {
			fs := c.PollFetches(ctx)
			require.NoError(t, fs.Err(), "%d of %d", len(got), len(wrote))
			fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
		}
		require.ElementsMatch(t, wrote, got)
	}
	read()
	createTopic(t, b.addr, base+".match.3", 2)
	wrote = append(wrote, writeTo(t, b.addr, base+".match.3", "three-", 10)...)
	read()
	require.NoError(t, b.end(syscall.SIGTERM))
}

// TestGroupOfManyClients: members from every library in one group, which have to
// agree on an assignor and on each other's bytes.
func TestGroupOfManyClients(t *testing.T) {
	t.Parallel()
	b, topic := groupBroker(t, t.TempDir()), topicName(t)
	createTopic(t, b.addr, topic, 8)
	seen := make(chan string, 10_000)
	ctx, cancel := context.WithCancel(bounded(t))
	var running sync.WaitGroup
	run := func(f func()) {
		running.Add(1)
		go func() { defer running.Done(); f() }()
	}
	run(func() {
		c, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.ConsumerGroup("mixed"), kgo.ConsumeTopics(topic),
			kgo.Balancers(kgo.RangeBalancer()), kgo.HeartbeatInterval(200*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for ctx.Err() == nil {
			c.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen <- string(r.Value) })
		}
	})
	run(func() {
		cfg := smp.NewConfig()
		cfg.Consumer.Offsets.Initial = smp.OffsetOldest
		cfg.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
		g, err := smp.NewConsumerGroup([]string{b.addr}, "mixed", cfg)
		if err != nil {
			t.Error(err)
			return
		}
		defer g.Close()
		for ctx.Err() == nil {
			_ = g.Consume(ctx, []string{topic}, saramaHandler{seen, ctx})
		}
	})
	run(func() {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{b.addr}, GroupID: "mixed", Topic: topic,
			StartOffset: kafka.FirstOffset, HeartbeatInterval: 200 * time.Millisecond, MaxWait: 50 * time.Millisecond})
		defer r.Close()
		for ctx.Err() == nil {
			if m, err := r.ReadMessage(ctx); err == nil {
				seen <- string(m.Value)
			}
		}
	})
	run(func() {
		out := &lines{to: seen}
		cmd := exec.CommandContext(ctx, tool(t, "kcat", "kcat"), "-b", b.addr, "-q", "-u", "-X", "auto.offset.reset=earliest",
			"-X", "partition.assignment.strategy=range", "-X", "heartbeat.interval.ms=200", "-G", "mixed", topic)
		cmd.Stdout = out
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
			t.Error(err)
		}
	})
	a := admin(t, b.addr)
	settled := func() bool {
		groups, err := a.DescribeGroups(bounded(t), "mixed")
		require.NoError(t, err)
		g := groups["mixed"]
		if g.State != "Stable" || len(g.Members) != 4 {
			return false
		}
		require.Equal(t, "range", g.Protocol)
		for _, m := range g.Members {
			at, ok := m.Assigned.AsConsumer()
			require.True(t, ok, "%s: not the consumer protocol's bytes", m.ClientID)
			// A leader that has not learnt of the topic yet gives nobody anything.
			if len(at.Topics) != 1 || len(at.Topics[0].Partitions) != 2 {
				return false
			}
		}
		return true
	}
	require.Eventually(t, settled, patience, 20*time.Millisecond)
	wrote := writeTo(t, b.addr, topic, "v", 80)
	got := map[string]bool{}
	for len(got) < len(wrote) {
		select {
		case v := <-seen:
			got[v] = true
		case <-ctx.Done():
			t.Fatalf("%d of %d values", len(got), len(wrote))
		}
	}
	cancel()
	running.Wait()
	require.NoError(t, b.end(syscall.SIGTERM))
}

// lines cuts a program's output.
type lines struct {
	to   chan<- string
	rest string
}

func (l *lines) Write(p []byte) (int, error) {
	all := strings.Split(l.rest+string(p), "\n")
	for _, line := range all[:len(all)-1] {
		l.to <- line
	}
	l.rest = all[len(all)-1]
	return len(p), nil
}
