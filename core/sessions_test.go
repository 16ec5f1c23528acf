package core

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// talk is a client's side of a fetch session.
type talk struct {
	*peer
	version   int16
	id, epoch int32
	topicID   [16]byte
}

// request is an incremental one that says nothing new, or, to begin with, a full
// one.
func (s *talk) request(partitions ...int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(s.version)
	req.MinBytes, req.MaxBytes, req.SessionID, req.SessionEpoch = 1, 50<<20, s.id, s.epoch
	if len(partitions) > 0 {
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID = "t", s.topicID
		req.Topics = append(req.Topics, rt)
	}
	for i := 0; i < len(partitions); i += 2 {
		addPartition(req, int32(partitions[i]), partitions[i+1])
	}
	return req
}

func (s *talk) forget(req *kmsg.FetchRequest, partitions ...int32) *kmsg.FetchRequest {
	f := kmsg.NewFetchRequestForgottenTopic()
	f.Topic, f.TopicID, f.Partitions = "t", s.topicID, partitions
	req.ForgottenTopics = append(req.ForgottenTopics, f)
	return req
}

// say sends a request and tells what came: "partition:values", "partition:-"
// without records, "partition!code".
func (s *talk) say(req *kmsg.FetchRequest) (got []string) {
	s.t.Helper()
	return s.heard(s.ask(req).(*kmsg.FetchResponse))
}

func (s *talk) heard(resp *kmsg.FetchResponse) (got []string) {
	s.t.Helper()
	require.Zero(s.t, resp.ErrorCode, "%v", kerr.ErrorForCode(resp.ErrorCode))
	s.id = resp.SessionID
	s.epoch++
	for _, topic := range resp.Topics {
		require.Equal(s.t, s.topicID, topic.TopicID)
		for _, p := range topic.Partitions {
			switch v := values(s.t, p.RecordBatches); {
			case p.ErrorCode != 0:
				got = append(got, fmt.Sprintf("%d!%d", p.Partition, p.ErrorCode))
			case len(v) == 0:
				got = append(got, fmt.Sprintf("%d:-", p.Partition))
			default:
				got = append(got, fmt.Sprintf("%d:%v", p.Partition, v))
			}
		}
	}
	return got
}

func (s *talk) fails(req *kmsg.FetchRequest, want *kerr.Error) {
	s.t.Helper()
	resp := s.ask(req).(*kmsg.FetchResponse)
	require.Equal(s.t, want.Code, resp.ErrorCode)
	require.Zero(s.t, resp.SessionID)
	require.Empty(s.t, resp.Topics)
}

func TestFetchSession(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 16} {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			b := start(t, testConfig(t))
			p := dial(t, b)
			id := createTopic(t, p, "t", 4)
			s := &talk{peer: dial(t, b), version: version}
			if version >= 13 {
				s.topicID = id
			}
			mustProduce(p, "t", 1, "a")

			require.Equal(t, []string{"0:-", "1:[a]", "2:-"}, s.say(s.request(0, 0, 1, 0, 2, 0)), "in full")
			require.Positive(t, s.id)
			id1 := s.id
			require.Equal(t, []string{"1:[a]"}, s.say(s.request()), "not consumed: given again")
			require.Empty(t, s.say(s.request(1, 1)), "consumed")
			require.Equal(t, id1, s.id)
			require.Empty(t, s.say(s.request()))

			mustProduce(p, "t", 2, "b")
			mustProduce(p, "t", 3, "not asked for")
			require.Equal(t, []string{"2:[b]"}, s.say(s.request()))
			require.Empty(t, s.say(s.request(2, 1)))

			// Parked: woken by a partition that was last heard of long ago.
			req := s.request()
			req.MaxWaitMillis = int32(patience.Milliseconds())
			s.send(req)
			parked(t, b, 1)
			mustProduce(p, "t", 0, "c")
			require.Equal(t, []string{"0:[c]"}, s.heard(s.receive(req, s.next).(*kmsg.FetchResponse)))

			// More joins; something is forgotten.
			require.Equal(t, []string{"3:[not asked for]"}, s.say(s.forget(s.request(0, 1, 3, 0), 2)))
			mustProduce(p, "t", 2, "forgotten")
			require.Empty(t, s.say(s.request(3, 1)))

			// A moved log start is told, and once.
			del := kmsg.NewPtrDeleteRecordsRequest()
			rt := kmsg.NewDeleteRecordsRequestTopic()
			rt.Topic = "t"
			rp := kmsg.NewDeleteRecordsRequestTopicPartition()
			rp.Partition, rp.Offset = 1, 1
			rt.Partitions = append(rt.Partitions, rp)
			del.Topics = append(del.Topics, rt)
			require.Zero(t, ask[*kmsg.DeleteRecordsResponse](p, 2, del).Topics[0].Partitions[0].ErrorCode)
			require.Equal(t, []string{"1:-"}, s.say(s.request()))
			require.Empty(t, s.say(s.request()))

			// An error is told for as long as it lasts, and its end as well.
			outOfRange := fmt.Sprintf("0!%d", kerr.OffsetOutOfRange.Code)
			require.Equal(t, []string{outOfRange}, s.say(s.request(0, 99)))
			require.Equal(t, []string{outOfRange}, s.say(s.request()))
			require.Equal(t, []string{"0:-"}, s.say(s.request(0, 1)))
			require.Empty(t, s.say(s.request()))

			// A partition that is not there, until it is.
			missing := fmt.Sprintf("4!%d", kerr.UnknownTopicOrPartition.Code)
			require.Equal(t, []string{missing}, s.say(s.request(4, 0)))
			require.Equal(t, []string{missing}, s.say(s.request()))
			grow := kmsg.NewPtrCreatePartitionsRequest()
			ct := kmsg.NewCreatePartitionsRequestTopic()
			ct.Topic, ct.Count = "t", 5
			grow.Topics = append(grow.Topics, ct)
			require.Zero(t, ask[*kmsg.CreatePartitionsResponse](p, 3, grow).Topics[0].ErrorCode)
			require.Equal(t, []string{"4:-"}, s.say(s.request()))

			// The wrong epoch, and then the right one all the same.
			req = s.request()
			req.SessionEpoch--
			s.fails(req, kerr.InvalidFetchSessionEpoch)
			req.SessionEpoch = -7
			s.fails(req, kerr.InvalidFetchSessionEpoch)
			require.Empty(t, s.say(s.request()))
			other := *s
			if other.version = 12; version <= 12 {
				other.version = 13
			}
			other.fails(other.request(), kerr.FetchSessionTopicIDError)

			// The topic goes.
			req = s.request()
			req.MaxWaitMillis = int32(patience.Milliseconds())
			s.send(req)
			parked(t, b, 1)
			gone := kmsg.NewPtrDeleteTopicsRequest()
			gone.TopicNames = []string{"t"}
			require.Zero(t, ask[*kmsg.DeleteTopicsResponse](p, 5, gone).Topics[0].ErrorCode)
			require.NotEmpty(t, s.heard(s.receive(req, s.next).(*kmsg.FetchResponse)))
			want := kerr.UnknownTopicOrPartition.Code
			if version >= 13 {
				want = kerr.UnknownTopicID.Code
			}
			require.ElementsMatch(t, []string{fmt.Sprintf("0!%d", want), fmt.Sprintf("1!%d", want), fmt.Sprintf("3!%d", want), fmt.Sprintf("4!%d", want)}, s.say(s.request()))
			if version < 13 {
				createTopic(t, p, "t", 5)
				require.Len(t, s.say(s.request(0, 0, 1, 0, 3, 0, 4, 0)), 4, "made again under its name")
				require.Empty(t, s.say(s.request()))
			}

			// When all is forgotten the session ends.
			require.Empty(t, s.say(s.forget(s.request(), 0, 1, 3, 4)))
			require.Zero(t, s.id)
			require.Zero(t, b.sessions.len())
			s.id = id1
			s.fails(s.request(), kerr.FetchSessionIDNotFound)
		})
	}
}

// TestSessionsEnd: a full request closes the session it names, whatever it
// wants instead.
func TestSessionsEnd(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "a")
	s := &talk{peer: p, version: 12}
	s.say(s.request(0, 0))
	first := s.id

	s.epoch = 0
	require.Equal(t, []string{"0:[a]"}, s.say(s.request(0, 0)))
	require.NotZero(t, s.id)
	require.NotEqual(t, first, s.id)
	require.Equal(t, 1, b.sessions.len())

	s.epoch = -1
	require.Equal(t, []string{"0:[a]"}, s.say(s.request(0, 0)))
	require.Zero(t, s.id)
	require.Zero(t, b.sessions.len())
	require.Zero(t, b.view.Load().byName["t"].partitions[0].waiters.Load(), "nothing stays subscribed")

	s.id, s.epoch = 12345, -1
	require.Equal(t, []string{"0:[a]"}, s.say(s.request(0, 0)), "an id that never was")
}

// TestSessionFairness: what had its turn goes to the end of the queue.
func TestSessionFairness(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 3)
	for partition := range int32(3) {
		mustProduce(p, "t", partition, "x")
	}
	s := &talk{peer: p, version: 12}
	ask := func(partitions ...int64) []string {
		req := s.request(partitions...)
		req.MaxBytes = 1
		return s.say(req)
	}
	require.Equal(t, []string{"0:[x]", "1:-", "2:-"}, ask(0, 0, 1, 0, 2, 0))
	require.Equal(t, []string{"0:[x]"}, ask())
	require.Equal(t, []string{"1:[x]"}, ask())
	require.Equal(t, []string{"2:[x]"}, ask())
	require.Equal(t, []string{"0:[x]"}, ask())
}

// TestSessionCommitted: what a transaction holds back is told when it is over,
// and whoever changes to read_uncommitted sees it at once.
func TestSessionCommitted(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "t", 1)
	mustProduce(p, "t", 0, "a")
	part := b.view.Load().byName["t"].partitions[0]
	s := &talk{peer: p, version: 12}
	committed := func(partitions ...int64) []string {
		req := s.request(partitions...)
		req.IsolationLevel = 1
		return s.say(req)
	}
	// As though a transaction had begun at offset 0.
	part.txns.unstable.Store(0)
	require.Equal(t, []string{"0:-"}, committed(0, 0))
	require.Empty(t, committed())
	require.Equal(t, []string{"0:[a]"}, s.say(s.request()))
	require.Empty(t, committed())
}

// TestIdleSession: however many partitions a session has, an idle fetch visits
// none of them, and the partitions of a client that is gone are not visited
// again after their next append.
func TestIdleSession(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	const n = 100
	createTopic(t, p, "t", n)
	s := &talk{peer: dial(t, b), version: 12}
	var all []int64
	for i := range int64(n) {
		all = append(all, i, 0)
	}
	require.Len(t, s.say(s.request(all...)), n)
	require.Empty(t, s.say(s.request()))
	session := b.sessions.find(s.id, time.Now())
	dirty := func() bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.dirty.first != nil
	}
	require.False(t, dirty())

	req := s.request()
	req.MaxWaitMillis = int32(patience.Milliseconds())
	s.send(req)
	parked(t, b, 1)
	for _, part := range b.view.Load().byName["t"].partitions {
		part.waitMu.Lock()
		require.Nil(t, part.waiting)
		part.waitMu.Unlock()
		require.Equal(t, int32(1), part.waiters.Load())
	}
	s.conn.Close()
	parked(t, b, 0)
	mustProduce(p, "t", 7, "x")
	require.Zero(t, b.view.Load().byName["t"].partitions[7].waiters.Load())
	require.True(t, dirty())
	session.mu.Lock()
	defer session.mu.Unlock()
	require.Empty(t, session.waiting)
}

func TestSessionSlots(t *testing.T) {
	c := &sessions{slots: 2, byID: map[int32]*fetchSession{}}
	now := time.Now()
	small, large := c.open(1, false, now), c.open(5, false, now)
	require.NotNil(t, small)
	require.NotNil(t, large)
	require.Nil(t, c.open(9, false, now), "nobody is old enough to give way")

	now = now.Add(sessionIdle + time.Second)
	require.NotNil(t, c.find(small.id, now))
	require.NotNil(t, c.find(large.id, now))
	require.Nil(t, c.open(1, false, now), "not larger than the smallest")
	more := c.open(2, false, now)
	require.NotNil(t, more, "the smallest gives way")
	require.Nil(t, c.find(small.id, now))
	require.True(t, small.closed)
	require.Nil(t, c.open(5, false, now), "what is new does not give way, and the other is as large")

	now = now.Add(sessionIdle + time.Second)
	require.NotNil(t, c.find(large.id, now))
	require.NotNil(t, c.open(1, false, now), "the unused one gives way, whatever its size")
	require.Nil(t, c.find(more.id, now))
	require.Equal(t, 2, c.len())
	require.Equal(t, 6, c.partitions)

	require.Nil(t, (&sessions{slots: 2}).open(maxSessionPartitions+1, false, now))
	require.Nil(t, (&sessions{}).open(1, false, now), "no slots at all")
	require.True(t, c.grew(large, 10))
	require.False(t, c.grew(large, maxSessionPartitions))
}

// TestSessionClient: a client that uses sessions reads what producers write to
// many partitions, in their order.
func TestSessionClient(t *testing.T) {
	b := start(t, testConfig(t))
	const partitions, rounds = 20, 30
	createTopic(t, dial(t, b), "t", partitions)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(time.Second),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer cl.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p := dial(t, b)
		for i := range rounds * partitions {
			mustProduce(p, "t", int32(i*7%partitions), fmt.Sprint(i*7/partitions))
		}
	}()
	next := map[int32]int64{}
	for total := 0; total < rounds*partitions; {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			require.Equal(t, next[r.Partition], r.Offset)
			next[r.Partition]++
			total++
		})
	}
	<-done
	require.Equal(t, 1, b.sessions.len())
}

// BenchmarkIdleFetch is an incremental fetch that finds nothing.
func BenchmarkIdleFetch(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint("partitions=", n), func(b *testing.B) {
			broker := start(b, testConfig(b))
			p := dial(b, broker)
			createTopic(b, p, "t", int32(n))
			s := &talk{peer: p, version: 12}
			var all []int64
			for i := range int64(n) {
				all = append(all, i, 0)
			}
			s.say(s.request(all...))
			s.say(s.request())
			b.ResetTimer()
			for range b.N {
				s.say(s.request())
			}
		})
	}
}
