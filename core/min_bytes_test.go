package core

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// minBytesRequest asks for two partitions of t and waits for n bytes, with a
// session or without.
func minBytesRequest(s *talk, session bool, n int32, from0, from1 int64) *kmsg.FetchRequest {
	req := s.request(0, from0, 1, from1)
	if !session {
		req.SessionID, req.SessionEpoch = 0, -1
	}
	req.MinBytes, req.MaxWaitMillis = n, int32(patience.Milliseconds())
	return req
}

func eachSession(t *testing.T, test func(t *testing.T, session bool)) {
	t.Run("session=none", func(t *testing.T) { test(t, false) })
	t.Run("session=incremental", func(t *testing.T) { test(t, true) })
}

// TestMinBytesAreCounted: a fetch that waits for many appends reads again once,
// when there is enough, and not at each append.
func TestMinBytesAreCounted(t *testing.T) {
	eachSession(t, func(t *testing.T, session bool) {
		b := start(t, testConfig(t))
		p := dial(t, b)
		createTopic(t, p, "t", 2)
		s := &talk{peer: dial(t, b), version: 12}
		if session {
			s.say(s.request(0, 0, 1, 0))
		}
		size := len(sized(t, 1000))
		const appends = 10
		req := minBytesRequest(s, session, int32(appends*size), 0, 0)
		s.send(req)
		parked(t, b, 1)
		for i := range appends {
			require.Zero(t, b.Counters().Resumed, "after %d appends", i)
			require.Zero(t, produceOne(p, "t", int32(i%2), sized(t, 1000)).ErrorCode)
		}
		resp := s.receive(req, s.next).(*kmsg.FetchResponse)
		require.EqualValues(t, 1, b.Counters().Resumed)
		require.Equal(t, appends, batches(t, resp.Topics[0].Partitions[0].RecordBatches)+batches(t, resp.Topics[0].Partitions[1].RecordBatches))
	})
}

// TestMinBytesNotReached: what came before max wait was over is given then, also
// from partitions whose bytes were only counted.
func TestMinBytesNotReached(t *testing.T) {
	eachSession(t, func(t *testing.T, session bool) {
		b := start(t, testConfig(t))
		p := dial(t, b)
		createTopic(t, p, "t", 2)
		s := &talk{peer: dial(t, b), version: 12}
		if session {
			s.say(s.request(0, 0, 1, 0))
		}
		req := minBytesRequest(s, session, 1<<20, 0, 0)
		s.send(req)
		parked(t, b, 1)
		for _, partition := range []int32{1, 0, 1} {
			mustProduce(p, "t", partition, "x")
		}
		b.deadlines.expireAll()
		require.ElementsMatch(t, []string{"0:[x]", "1:[x x]"}, s.heard(s.receive(req, s.next).(*kmsg.FetchResponse)))
		require.EqualValues(t, 1, b.Counters().Resumed)

		// And the partitions are watched as before.
		req = minBytesRequest(s, session, 1, 1, 2)
		s.send(req)
		parked(t, b, 1)
		mustProduce(p, "t", 1, "y")
		require.Contains(t, s.heard(s.receive(req, s.next).(*kmsg.FetchResponse)), "1:[y]")
	})
}

// TestMinBytesUnderAppenders: fetches that wait for exactly what several
// producers are sending hear of the last byte, whenever they began to wait.
func TestMinBytesUnderAppenders(t *testing.T) {
	for _, policy := range []string{"page-cache", "group"} {
		t.Run("sync.policy="+policy, func(t *testing.T) {
			eachSession(t, func(t *testing.T, session bool) {
				cfg := testConfig(t)
				cfg.Disk.SyncPolicy = policy
				b := start(t, cfg)
				createTopic(t, dial(t, b), "t", 2)
				s := &talk{peer: dial(t, b), version: 12}
				if session {
					s.say(s.request(0, 0, 1, 0))
				}
				batch := sized(t, 1000)
				size := len(batch)
				const producers, rounds, each = 3, 10, 4
				var from [2]int64
				for range rounds {
					var wg sync.WaitGroup
					for range producers {
						p := dial(t, b)
						wg.Go(func() {
							for i := range each {
								req := produceRequest("t", int32(i%2), -1, batch)
								req.SetVersion(9)
								p.send(req)
								if _, err := p.read(); err != nil {
									t.Error(err)
								}
							}
						})
					}
					req := minBytesRequest(s, session, int32(producers*each*size), from[0], from[1])
					s.send(req)
					resp := s.receive(req, s.next).(*kmsg.FetchResponse)
					wg.Wait()
					for _, part := range resp.Topics[0].Partitions {
						from[part.Partition] += int64(batches(t, part.RecordBatches))
					}
					s.id = resp.SessionID
					if session {
						s.epoch++
					}
				}
				require.Equal(t, [2]int64{producers * rounds * each / 2, producers * rounds * each / 2}, from)
			})
		})
	}
}
