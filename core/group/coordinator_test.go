package group

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// holdLog keeps records when it is told to, or fails.
type holdLog struct {
	mu      sync.Mutex
	records map[int32][]Record
	held    []func(error)
	hold    bool
}

func (l *holdLog) Append(partition int32, _ time.Time, rs []Record, done func(error)) {
	l.mu.Lock()
	if l.records == nil {
		l.records = map[int32][]Record{}
	}
	l.records[partition] = append(l.records[partition], rs...)
	if l.hold {
		l.held = append(l.held, done)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	done(nil)
}

func (l *holdLog) release(err error) {
	l.mu.Lock()
	held := l.held
	l.held = nil
	l.mu.Unlock()
	for _, done := range held {
		done(err)
	}
}

func newCoordinator(t *testing.T, cfg Config, log Log, partitions int) *Coordinator {
	c := New(cfg, log, ClockOf(nil), partitions)
	for p := range int32(partitions) {
		c.Loaded(p)
	}
	t.Cleanup(c.Close)
	return c
}

// send asks, and leaves the answer in a channel that holds one: a second answer
// would panic.
func send(c *Coordinator, body kmsg.Request) <-chan kmsg.Response {
	answer := make(chan kmsg.Response, 1)
	var once atomic.Bool
	c.Handle(&Request{Body: body, ClientID: "c", Host: "/127.0.0.1", Answer: func(r kmsg.Response) {
		if once.Swap(true) {
			panic(fmt.Sprintf("%T answered twice", body))
		}
		answer <- r
	}})
	return answer
}

func await[R kmsg.Response](t *testing.T, answer <-chan kmsg.Response) R {
	select {
	case r := <-answer:
		return r.(R)
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
		panic(0)
	}
}

func unanswered(t *testing.T, answer <-chan kmsg.Response) {
	select {
	case r := <-answer:
		t.Fatalf("answered too early: %v", r)
	default:
	}
}

func commitTo(group string, offset int64) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation = 8, group, -1
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: offset}}}}
	return r
}

func fetchOf(groups ...string) *kmsg.OffsetFetchRequest {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version = 8
	for _, g := range groups {
		rg := kmsg.NewOffsetFetchRequestGroup()
		rg.Group = g
		r.Groups = append(r.Groups, rg)
	}
	return r
}

func commitCode(r *kmsg.OffsetCommitResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode }

// TestAnswersWaitForTheLog: neither what was written nor what was seen of it
// leaves before it is kept, and all of it in order.
func TestAnswersWaitForTheLog(t *testing.T) {
	log := &holdLog{hold: true}
	c := newCoordinator(t, Defaults(), log, 1)
	first := send(c, commitTo("g", 1))
	seen := send(c, fetchOf("g"))
	second := send(c, commitTo("g", 2))
	for _, a := range []<-chan kmsg.Response{first, seen, second} {
		unanswered(t, a)
	}
	log.release(nil)
	require.Zero(t, commitCode(await[*kmsg.OffsetCommitResponse](t, first)))
	require.Equal(t, int64(1), await[*kmsg.OffsetFetchResponse](t, seen).Groups[0].Topics[0].Partitions[0].Offset)
	require.Zero(t, commitCode(await[*kmsg.OffsetCommitResponse](t, second)))

	// An append that is kept late holds back only what came after it.
	early := send(c, fetchOf("nobody"))
	require.Empty(t, await[*kmsg.OffsetFetchResponse](t, early).Groups[0].Topics)
}

// TestLogFails: what waits for the log, what is parked, and all that follows.
func TestLogFails(t *testing.T) {
	log := &holdLog{}
	cfg := Defaults()
	cfg.InitialDelay = time.Hour
	c := newCoordinator(t, cfg, log, 1)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 3, "g", "consumer", 10000, 1<<30
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	parked := send(c, join)
	unanswered(t, parked)
	require.True(t, c.Serving(0))

	log.hold = true
	waiting := send(c, commitTo("h", 1))
	log.release(errors.New("the disk is gone"))
	require.Equal(t, kerr.NotCoordinator.Code, commitCode(await[*kmsg.OffsetCommitResponse](t, waiting)))
	require.Equal(t, kerr.NotCoordinator.Code, await[*kmsg.JoinGroupResponse](t, parked).ErrorCode)
	require.Equal(t, kerr.NotCoordinator.Code, commitCode(await[*kmsg.OffsetCommitResponse](t, send(c, commitTo("h", 1)))))
	require.False(t, c.Serving(0))
	list := kmsg.NewPtrListGroupsRequest()
	require.Equal(t, kerr.NotCoordinator.Code, await[*kmsg.ListGroupsResponse](t, send(c, list)).ErrorCode)
}

// TestLoading: what groups are told while their partition is read.
func TestLoading(t *testing.T) {
	c := New(Defaults(), &holdLog{}, ClockOf(nil), 2)
	defer c.Close()
	var mine, other string // one group for each partition
	for i := 0; mine == "" || other == ""; i++ {
		if id := fmt.Sprint("g", i); c.Partition(id) == 0 {
			mine = id
		} else {
			other = id
		}
	}
	c.Loaded(1)
	require.Zero(t, commitCode(await[*kmsg.OffsetCommitResponse](t, send(c, commitTo(other, 1)))))
	require.Equal(t, kerr.CoordinatorLoadInProgress.Code, commitCode(await[*kmsg.OffsetCommitResponse](t, send(c, commitTo(mine, 1)))))
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.MemberID = mine, "m"
	require.Zero(t, await[*kmsg.HeartbeatResponse](t, send(c, beat)).ErrorCode, "a member need not rejoin for this")
	both := await[*kmsg.OffsetFetchResponse](t, send(c, fetchOf(mine, other)))
	require.Equal(t, kerr.CoordinatorLoadInProgress.Code, both.Groups[0].ErrorCode)
	require.Zero(t, both.Groups[1].ErrorCode)
	require.Equal(t, int64(1), both.Groups[1].Topics[0].Partitions[0].Offset)

	o := committed{offset: 7, epoch: -1, at: time.Now().UnixMilli(), expires: -1}
	r := offsetRecord(mine, "t", 0, &o)
	require.NoError(t, c.Load(0, r.Key, r.Value))
	require.Error(t, c.Load(0, []byte{0}, nil))
	c.Loaded(0)
	require.Error(t, c.Load(0, r.Key, r.Value), "it is being served")
	require.Equal(t, int64(7), await[*kmsg.OffsetFetchResponse](t, send(c, fetchOf(mine))).Groups[0].Topics[0].Partitions[0].Offset)
	c.LoadFailed(1)
	require.Equal(t, kerr.NotCoordinator.Code, commitCode(await[*kmsg.OffsetCommitResponse](t, send(c, commitTo(other, 1)))))
}

// TestManyAtOnce runs groups of members over one coordinator under the race
// detector: real time, parked joins, commits from many goroutines.
func TestManyAtOnce(t *testing.T) {
	cfg := Defaults()
	cfg.InitialDelay, cfg.SessionMin = 0, 10*time.Millisecond
	log := &holdLog{}
	c := newCoordinator(t, cfg, log, 3)
	var clients sync.WaitGroup
	for g := range 5 {
		for range 4 {
			clients.Add(1)
			go func() {
				defer clients.Done()
				cycle(t, c, fmt.Sprint("g", g))
			}()
		}
	}
	clients.Wait()
	list := kmsg.NewPtrListGroupsRequest()
	list.Version = 4
	got := await[*kmsg.ListGroupsResponse](t, send(c, list))
	require.Zero(t, got.ErrorCode)
	require.Len(t, got.Groups, 5)
	for _, g := range got.Groups {
		require.Equal(t, string(Empty), g.GroupState, g.Group)
		require.Equal(t, int64(4), await[*kmsg.OffsetFetchResponse](t, send(c, fetchOf(g.Group))).Groups[0].Topics[0].Partitions[0].Offset)
	}
}

// cycle joins, gets its share, commits, and leaves.
func cycle(t *testing.T, c *Coordinator, group string) {
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.ProtocolType = 9, group, "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 60_000, 60_000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	for range 1000 {
		j := await[*kmsg.JoinGroupResponse](t, send(c, join))
		join.MemberID = j.MemberID
		if j.ErrorCode != 0 {
			continue
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.MemberID, sync.Generation = 4, group, j.MemberID, j.Generation
		for _, m := range j.Members {
			sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: []byte(m.MemberID)})
		}
		s := await[*kmsg.SyncGroupResponse](t, send(c, sync))
		if s.ErrorCode != 0 {
			continue
		}
		if string(s.MemberAssignment) != j.MemberID {
			t.Errorf("%s was given the share of %q", j.MemberID, s.MemberAssignment)
		}
		commit := commitTo(group, 4)
		commit.MemberID, commit.Generation = j.MemberID, j.Generation
		if code := commitCode(await[*kmsg.OffsetCommitResponse](t, send(c, commit))); code != 0 {
			continue
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Version, leave.Group, leave.MemberID = 2, group, j.MemberID
		if code := await[*kmsg.LeaveGroupResponse](t, send(c, leave)).ErrorCode; code != 0 {
			t.Errorf("leave: %v", kerr.ErrorForCode(code))
		}
		return
	}
	t.Errorf("a member of %s never got through", group)
}

// TestPartitionOf holds the hash against Java's String.hashCode, which counts
// UTF-16 units; the least int has no positive, and is 0.
func TestPartitionOf(t *testing.T) {
	for id, want := range map[string]int32{
		"": 0, "a": 47, "group": 47, "zz": 4, "console-consumer-12345": 6, "grüße": 23, "😀-group": 43, "polygenelubricants": 0,
	} {
		require.Equal(t, want, PartitionOf(id, 50), id)
	}
}

// hands is a clock that a test moves.
type hands struct {
	mu   sync.Mutex
	now  time.Time
	bell *bell
}

// bell is the one alarm of a coordinator of one partition.
type bell struct {
	h    *hands
	at   time.Time
	ring func()
	set  bool
}

func (h *hands) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hands) AfterFunc(d time.Duration, f func()) Alarm {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bell = &bell{h: h, at: h.now.Add(d), ring: f, set: true}
	return h.bell
}

func (b *bell) Reset(d time.Duration) bool {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	was := b.set
	b.at, b.set = b.h.now.Add(d), true
	return was
}

func (b *bell) Stop() bool {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	was := b.set
	b.set = false
	return was
}

// advance rings whatever is due on the way.
func (h *hands) advance(d time.Duration) {
	h.mu.Lock()
	end := h.now.Add(d)
	for h.bell != nil && h.bell.set && !h.bell.at.After(end) {
		h.now = h.bell.at
		h.bell.set = false
		ring := h.bell.ring
		h.mu.Unlock()
		ring()
		h.mu.Lock()
	}
	h.now = end
	h.mu.Unlock()
}

// TestClock: sessions end and offsets expire by the clock that the coordinator was
// given, whatever the time is outside.
func TestClock(t *testing.T) {
	h := &hands{now: time.UnixMilli(0)}
	cfg := Defaults()
	cfg.InitialDelay = 0
	c := New(cfg, &holdLog{}, h, 1)
	defer c.Close()
	c.SetMetadata((&topics{}).with("t", 2))
	c.Loaded(0)
	beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	beat.Version, beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis = 1, "g", "m", 1000
	beat.SubscribedTopicNames, beat.Topics = []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	require.Zero(t, await[*kmsg.ConsumerGroupHeartbeatResponse](t, send(c, beat)).ErrorCode)
	require.Zero(t, commitCode(await[*kmsg.OffsetCommitResponse](t, send(c, commitTo("simple", 1)))))
	state := func() (out []string) {
		list := kmsg.NewPtrListGroupsRequest()
		list.Version = 5
		for _, g := range await[*kmsg.ListGroupsResponse](t, send(c, list)).Groups {
			out = append(out, g.Group+" "+g.GroupState)
		}
		return out
	}
	h.advance(cfg.Consumer.Session - time.Millisecond)
	require.Equal(t, []string{"g Stable", "simple Empty"}, state())
	h.advance(time.Millisecond)
	require.Equal(t, []string{"g Empty", "simple Empty"}, state())
	h.advance(time.Hour)
	require.Equal(t, []string{"simple Empty"}, state())
	h.advance(time.Duration(cfg.RetentionMinutes) * time.Minute)
	require.Empty(t, state())
}
