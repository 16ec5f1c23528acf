package clients_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// benchBroker is a broker of its own, and a client of it.
func benchBroker(b *testing.B, args ...string) (*broker, *kgo.Client) {
	br, err := start(b.TempDir(), args...)
	require.NoError(b, err)
	cl, err := kgo.NewClient(kgo.SeedBrokers(br.addr))
	require.NoError(b, err)
	b.Cleanup(func() {
		cl.Close()
		require.NoError(b, br.end(syscall.SIGTERM))
	})
	return br, cl
}

// BenchmarkThousandGroups has a thousand groups commit ten partitions each, once a
// second, evenly over it. %core is the processor time of the broker alone, as a
// share of one core; an op is a second.
func BenchmarkThousandGroups(b *testing.B) {
	br, cl := benchBroker(b)
	events, err := kadm.NewClient(cl).CreateTopic(context.Background(), 10, 1, nil, "events")
	require.NoError(b, err)
	const groups = 1000
	commit := func(i int) {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = fmt.Sprint("group-", i%groups), -1
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = "events", events.ID
		for p := range int32(10) {
			tp := kmsg.NewOffsetCommitRequestTopicPartition()
			tp.Partition, tp.Offset = p, int64(i)
			t.Partitions = append(t.Partitions, tp)
		}
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(context.Background(), cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.Topics[0].Partitions[9].ErrorCode)
		}
		if err != nil {
			b.Error(err)
		}
	}
	for i := range groups {
		commit(i)
	}
	before, began := cpuOf(b, br.cmd.Process.Pid), time.Now()
	b.ResetTimer()
	var busy sync.WaitGroup
	for i := range b.N * groups {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / groups)))
		busy.Add(1)
		go func() { defer busy.Done(); commit(i) }()
	}
	busy.Wait()
	took := time.Since(began)
	b.StopTimer()
	b.ReportMetric(100*float64(cpuOf(b, br.cmd.Process.Pid)-before)/float64(took), "%core")
	b.ReportMetric(float64(b.N*groups)/took.Seconds(), "commits/s")
}

// cpuOf is the processor time of a process so far.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	_, rest, _ := strings.Cut(string(stat), ") ") // after the name, which may have blanks
	words := strings.Fields(rest)
	var ticks int64
	for _, w := range words[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(w, 10, 64)
		require.NoError(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// BenchmarkConsumerProtocolSettle is a group of KIP-848 from nothing to rest, every
// member with its share and no other, and then again after one has left: cold-ms
// and warm-ms. Members are asked for a heartbeat every 100 ms, which bounds both.
func BenchmarkConsumerProtocolSettle(b *testing.B) {
	for _, members := range []int{10, 100} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			_, cl := benchBroker(b, "--set", "group.consumer.min.heartbeat.interval.ms=100ms", "--set", "group.consumer.heartbeat.interval.ms=100ms")
			a := kadm.NewClient(cl)
			partitions := int32(2 * members)
			_, err := a.CreateTopic(context.Background(), partitions, 1, nil, "events")
			require.NoError(b, err)
			topics, err := a.ListTopics(context.Background(), "events")
			require.NoError(b, err)
			require.Equal(b, int(partitions), len(topics["events"].Partitions))
			require.NoError(b, a.FindGroupCoordinators(context.Background(), "g")["g"].Err) // makes one
			var cold, warm time.Duration
			for n := range b.N {
				g := &benchGroup{b: b, cl: cl, id: fmt.Sprint("g", n), owned: map[string]int{}, left: make(chan struct{})}
				began := time.Now()
				for i := range members {
					g.running.Add(1)
					go g.member(fmt.Sprint("m", i), i == 0)
				}
				g.await(members, int(partitions))
				cold += time.Since(began)
				began = time.Now()
				close(g.left)
				g.await(members-1, int(partitions))
				warm += time.Since(began)
				g.stop.Store(true)
				g.running.Wait()
			}
			b.ReportMetric(float64(cold.Milliseconds())/float64(b.N), "cold-ms")
			b.ReportMetric(float64(warm.Milliseconds())/float64(b.N), "warm-ms")
		})
	}
}

// benchGroup is a group of members that only heartbeat.
type benchGroup struct {
	b       *testing.B
	cl      *kgo.Client
	id      string
	running sync.WaitGroup
	left    chan struct{} // closed when the first member is to leave
	stop    atomic.Bool

	mu    sync.Mutex
	owned map[string]int
}

// await waits until so many members own all partitions, evenly.
func (g *benchGroup) await(members, partitions int) {
	for {
		g.mu.Lock()
		sum, least := 0, partitions
		for _, n := range g.owned {
			sum += n
			least = min(least, n)
		}
		done := len(g.owned) == members && sum == partitions && least >= partitions/members
		g.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// member sends heartbeats at the interval that it is told, and at once where it has
// something to say.
func (g *benchGroup) member(id string, leaves bool) {
	defer g.running.Done()
	beat := func(epoch int32, owns *kmsg.ConsumerGroupHeartbeatResponseAssignment) *kmsg.ConsumerGroupHeartbeatResponse {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = g.id, id, epoch
		if epoch == 0 {
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 60_000, []string{"events"}
			req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}
		if owns != nil {
			req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			for _, t := range owns.Topics {
				req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
			}
		}
		resp, err := req.RequestWith(context.Background(), g.cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			g.b.Errorf("%s: %v", id, err)
			g.stop.Store(true)
			return nil
		}
		return resp
	}
	var left <-chan struct{}
	if leaves {
		left = g.left
	}
	epoch, owns := int32(0), (*kmsg.ConsumerGroupHeartbeatResponseAssignment)(nil)
	for !g.stop.Load() {
		resp := beat(epoch, owns)
		if resp == nil {
			return
		}
		if epoch, owns = resp.MemberEpoch, resp.Assignment; owns != nil {
			n := 0
			for _, t := range owns.Topics {
				n += len(t.Partitions)
			}
			g.mu.Lock()
			g.owned[id] = n
			g.mu.Unlock()
			continue // it has taken and given up at once, and says so
		}
		select {
		case <-left:
			beat(-1, nil)
			g.mu.Lock()
			delete(g.owned, id)
			g.mu.Unlock()
			return
		case <-time.After(time.Duration(resp.HeartbeatIntervalMillis) * time.Millisecond):
		}
	}
	beat(-1, nil)
}
