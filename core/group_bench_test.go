package core

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// BenchmarkCommit is one commit over a socket, answered when it is in the page
// cache. cpu-ns/op is the processor time of broker and client together: a
// thousand groups that commit once a second cost a thousand of these.
func BenchmarkCommit(b *testing.B) {
	for _, partitions := range []int32{1, 10} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			p := dial(b, start(b, testConfig(b)))
			createTopic(b, p, "events", partitions)
			findGroup(p, "g")
			var reqs []*kmsg.OffsetCommitRequest
			for g := range 1000 {
				req := commitRequest(fmt.Sprint("group-", g), [16]byte{}, 1)
				for i := int32(1); i < partitions; i++ {
					rp := req.Topics[0].Partitions[0]
					rp.Partition = i
					req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
				}
				reqs = append(reqs, req)
			}
			before := cpuTime(b)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if code := commitCode(p, reqs[i%len(reqs)]); code != 0 {
					b.Fatal(kerr.ErrorForCode(code))
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSettle is a group from nothing to Stable, every member on a
// connection of its own: cold. warm is a rebalance of one that is Stable, from a
// member's new wish to everybody's assignment.
func BenchmarkSettle(b *testing.B) {
	for _, members := range []int{10, 100} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			broker := start(b, testConfig(b))
			peers := make([]*peer, members)
			for i := range peers {
				peers[i] = dial(b, broker)
			}
			findGroup(peers[0], "g")
			var cold, warm time.Duration
			for i := range b.N {
				ids := make([]string, members)
				group := fmt.Sprint("g", i)
				began := time.Now()
				settleAll(b, peers, ids, group, 0)
				cold += time.Since(began)
				began = time.Now()
				settleAll(b, peers, ids, group, 1)
				warm += time.Since(began)
			}
			b.ReportMetric(float64(cold.Milliseconds())/float64(b.N), "cold-ms/op")
			b.ReportMetric(float64(warm.Milliseconds())/float64(b.N), "warm-ms/op")
		})
	}
}

// settleAll lets all peers join with a wish, until all are in one generation and
// have their assignment.
func settleAll(b *testing.B, peers []*peer, ids []string, group string, wish int) {
	var (
		wait    sync.WaitGroup
		mu      sync.Mutex
		settled = map[int32]int{}
	)
	for i, p := range peers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			join := joinRequest(group)
			join.MemberID = ids[i]
			sub := kmsg.ConsumerMemberMetadata{Topics: []string{"events"}, UserData: fmt.Append(nil, wish)}
			join.Protocols[0].Metadata = sub.AppendTo(nil)
			for range 10_000 {
				j := ask[*kmsg.JoinGroupResponse](p, 9, join)
				join.MemberID, ids[i] = j.MemberID, j.MemberID
				if j.ErrorCode != 0 {
					continue
				}
				sync := kmsg.NewPtrSyncGroupRequest()
				sync.Group, sync.MemberID, sync.Generation = group, j.MemberID, j.Generation
				for _, m := range j.Members {
					sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: []byte(m.MemberID)})
				}
				if ask[*kmsg.SyncGroupResponse](p, 4, sync).ErrorCode != 0 {
					continue
				}
				mu.Lock()
				settled[j.Generation]++
				done := settled[j.Generation] == len(peers)
				mu.Unlock()
				if done {
					return
				}
				beat := kmsg.NewPtrHeartbeatRequest()
				beat.Group, beat.MemberID, beat.Generation = group, j.MemberID, j.Generation
				for {
					if ask[*kmsg.HeartbeatResponse](p, 4, beat).ErrorCode != 0 {
						break // again
					}
					mu.Lock()
					done := settled[j.Generation] == len(peers)
					mu.Unlock()
					if done {
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
			b.Error("never settled")
		}()
	}
	wait.Wait()
}
