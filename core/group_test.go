package core

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/diskio"
)

// offsetOf fetches what a group committed for events/0, as soon as the group has
// been loaded.
func offsetOf(p *peer, group string) int64 {
	p.t.Helper()
	for end := time.Now().Add(patience); ; {
		req := kmsg.NewPtrOffsetFetchRequest()
		rg := kmsg.NewOffsetFetchRequestGroup()
		rg.Group = group
		rg.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "events", Partitions: []int32{0}}}
		req.Groups = append(req.Groups, rg)
		got := ask[*kmsg.OffsetFetchResponse](p, 8, req).Groups[0]
		if got.ErrorCode == kerr.CoordinatorLoadInProgress.Code {
			require.True(p.t, time.Now().Before(end), "still loading")
			time.Sleep(time.Millisecond)
			continue
		}
		require.Zero(p.t, got.ErrorCode)
		return got.Topics[0].Partitions[0].Offset
	}
}

func commitCode(p *peer, req *kmsg.OffsetCommitRequest) int16 {
	p.t.Helper()
	return ask[*kmsg.OffsetCommitResponse](p, 8, req).Topics[0].Partitions[0].ErrorCode
}

func describeOne(p *peer, group string) kmsg.DescribeGroupsResponseGroup {
	p.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	return ask[*kmsg.DescribeGroupsResponse](p, 5, req).Groups[0]
}

// TestGroupsOutlivePowerLoss cuts the power between commits. With group and each
// all that was acknowledged is there, and the group with it; page-cache is the
// negative control.
func TestGroupsOutlivePowerLoss(t *testing.T) {
	for _, policy := range []string{diskio.SyncGroup, diskio.SyncEach, diskio.SyncPageCache} {
		t.Run(policy, func(t *testing.T) {
			fs := diskio.NewMem()
			b := start(t, onMemory(t, fs, policy))
			p := dial(t, b)
			createTopic(t, p, "events", 1)
			joined := settleGroup(p, "g")
			for i := range int64(5) {
				commit := commitRequest("g", [16]byte{}, i)
				commit.MemberID, commit.Generation = joined.MemberID, joined.Generation
				require.Zero(t, commitCode(p, commit))
				crashed := dial(t, start(t, onMemory(t, fs.CrashClone(diskio.Crash{Seed: uint64(i)}), policy)))
				if policy == diskio.SyncPageCache {
					require.Equal(t, int64(-1), offsetOf(crashed, "g"), "what was not synced is gone, or the test proves nothing")
					require.Equal(t, "Dead", describeOne(crashed, "g").State)
					continue
				}
				require.Equal(t, i, offsetOf(crashed, "g"), "acknowledged, and gone")
				require.Equal(t, describeOne(p, "g"), describeOne(crashed, "g"))
				beat := kmsg.NewPtrHeartbeatRequest()
				beat.Group, beat.MemberID, beat.Generation = "g", joined.MemberID, joined.Generation
				require.Zero(t, ask[*kmsg.HeartbeatResponse](crashed, 4, beat).ErrorCode, "the member goes on")
				sync := ask[*kmsg.SyncGroupResponse](crashed, 4, syncRequest("g", joined))
				require.Equal(t, "mine", string(sync.MemberAssignment))
			}
		})
	}
}

// TestGroupsRestart: a clean stop and start, with other groups beside.
func TestGroupsRestart(t *testing.T) {
	cfg := testConfig(t)
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "events", 1)
	joined := settleGroup(p, "g")
	for i := range int64(60) { // in every partition of __consumer_offsets, or nearly
		require.Zero(t, commitCode(p, commitRequest(fmt.Sprint("simple", i), [16]byte{}, i)))
	}
	before := describeOne(p, "g")
	stop(t, b)
	p = dial(t, start(t, cfg))
	for i := range int64(60) {
		require.Equal(t, i, offsetOf(p, fmt.Sprint("simple", i)))
	}
	require.Equal(t, int64(-1), offsetOf(p, "g"))
	require.Equal(t, before, describeOne(p, "g"))
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.MemberID = "g", joined.MemberID
	require.Zero(t, ask[*kmsg.LeaveGroupResponse](p, 2, leave).ErrorCode)
}

// TestGroupsDiskFailure: a commit that the disk does not take is not
// acknowledged, its groups have no coordinator any more, and the others go on.
func TestGroupsDiskFailure(t *testing.T) {
	for policy, op := range map[string]string{diskio.SyncPageCache: "write", diskio.SyncGroup: "sync"} {
		t.Run(op, func(t *testing.T) {
			fs := diskio.NewFault(diskio.NewMem())
			b, err := Start(t.Context(), onMemory(t, fs, policy))
			require.NoError(t, err)
			defer func() { require.Error(t, b.Stop(context.Background())) }()
			p := dial(t, b)
			createTopic(t, p, "events", 1)
			findGroup(p, "g")
			require.Zero(t, commitCode(p, commitRequest("g", [16]byte{}, 1)))
			other := "h"
			for b.groups.Load().Partition(other) == b.groups.Load().Partition("g") {
				other += "h"
			}
			require.Zero(t, commitCode(p, commitRequest(other, [16]byte{}, 1)))
			fs.Set(diskio.Fault{Call: 1, Op: op, Err: syscall.EIO})
			require.Equal(t, kerr.NotCoordinator.Code, commitCode(p, commitRequest("g", [16]byte{}, 2)))
			fs.Set(diskio.Fault{})
			require.Equal(t, kerr.NotCoordinator.Code, commitCode(p, commitRequest("g", [16]byte{}, 2)))
			find := kmsg.NewPtrFindCoordinatorRequest()
			find.CoordinatorKeys = []string{"g", other}
			found := ask[*kmsg.FindCoordinatorResponse](p, 4, find).Coordinators
			require.Equal(t, kerr.CoordinatorNotAvailable.Code, found[0].ErrorCode)
			require.Zero(t, found[1].ErrorCode)
			require.Zero(t, commitCode(p, commitRequest(other, [16]byte{}, 2)))
			require.Equal(t, int64(2), offsetOf(p, other))
		})
	}
}

// TestOffsetsTopic: what clients see of __consumer_offsets, and may do to it.
func TestOffsetsTopic(t *testing.T) {
	b := start(t, testConfig(t))
	p := dial(t, b)
	createTopic(t, p, "events", 1)
	require.Nil(t, b.view.Load().byName[offsetsTopic], "made when it is needed")
	settleGroup(p, "g")
	require.Zero(t, commitCode(p, commitRequest("simple", [16]byte{}, 4)))

	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(offsetsTopic)}}
	topic := ask[*kmsg.MetadataResponse](p, 9, meta).Topics[0]
	require.Zero(t, topic.ErrorCode)
	require.True(t, topic.IsInternal)
	require.Len(t, topic.Partitions, 50)
	require.Equal(t, "compact", b.view.Load().byName[offsetsTopic].meta.Configs["cleanup.policy"])

	batch := oneBatch(t, batching.Options{}, "x")
	require.Equal(t, kerr.InvalidTopicException.Code, produceOne(p, offsetsTopic, 0, batch).ErrorCode)
	cut := kmsg.NewPtrDeleteRecordsRequest()
	cut.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: offsetsTopic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: -1}}}}
	require.Equal(t, kerr.InvalidTopicException.Code, ask[*kmsg.DeleteRecordsResponse](p, 2, cut).Topics[0].Partitions[0].ErrorCode)
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: offsetsTopic, Count: 60}}
	require.Equal(t, kerr.InvalidTopicException.Code, ask[*kmsg.CreatePartitionsResponse](p, 2, grow).Topics[0].ErrorCode)

	// Anybody may read it, and finds Kafka's records.
	part := b.groups.Load().Partition("simple")
	got := fetchOne(p, offsetsTopic, part, 0).RecordBatches
	records, err := batching.View(got)
	require.NoError(t, err)
	require.NoError(t, records.CheckCRC())
	for r, err := range records.Records(0) {
		require.NoError(t, err)
		k, v := kmsg.NewOffsetCommitKey(), kmsg.NewOffsetCommitValue()
		require.NoError(t, k.ReadFrom(r.Key))
		require.NoError(t, v.ReadFrom(r.Value))
		require.Equal(t, "simple events 0 4", fmt.Sprint(k.Group, " ", k.Topic, " ", k.Partition, " ", v.Offset))
	}
}

// TestOffsetsTopicDeleted: the groups go with it, and the next client that looks
// for a coordinator gets new ones. Of any other topic only its offsets go.
func TestOffsetsTopicDeleted(t *testing.T) {
	p := dial(t, start(t, testConfig(t)))
	createTopic(t, p, "events", 1)
	findGroup(p, "g")
	require.Zero(t, commitCode(p, commitRequest("g", [16]byte{}, 4)))
	deleteTopic(p, "events")
	createTopic(t, p, "events", 1)
	require.Equal(t, int64(-1), offsetOf(p, "g"), "the offsets of another topic, which had the same name")
	require.Zero(t, commitCode(p, commitRequest("g", [16]byte{}, 5)))
	deleteTopic(p, offsetsTopic)
	require.Equal(t, kerr.NotCoordinator.Code, commitCode(p, commitRequest("g", [16]byte{}, 6)))
	findGroup(p, "g")
	require.Equal(t, int64(-1), offsetOf(p, "g"))
}

// TestParkedJoins: one whose client hangs up, and one that is parked when the
// broker stops: it is answered, and does not hold up the stop.
func TestParkedJoins(t *testing.T) {
	cfg := testConfig(t)
	cfg.Group.InitialDelay = time.Hour
	b := start(t, cfg)
	p, gone := dial(t, b), dial(t, b)
	findGroup(p, "g")
	for i, c := range []*peer{gone, p} {
		join := joinRequest("g")
		join.RebalanceTimeoutMillis = 1 << 30
		join.SetVersion(3)
		c.send(join)
		for len(describeOne(dial(t, b), "g").Members) <= i {
			time.Sleep(time.Millisecond)
		}
	}
	require.NoError(t, gone.conn.Close())
	require.Equal(t, "PreparingRebalance", describeOne(dial(t, b), "g").State)
	began := time.Now()
	stop(t, b)
	require.Less(t, time.Since(began), patience/2)
	req := joinRequest("g")
	req.SetVersion(3)
	require.Equal(t, kerr.NotCoordinator.Code, p.receive(req, p.next).(*kmsg.JoinGroupResponse).ErrorCode)
}

// TestOffsetsTopicDoesNotGrow: a group that commits for ever does not fill the
// disk, and nothing is lost when the old is let go.
func TestOffsetsTopicDoesNotGrow(t *testing.T) {
	cfg := testConfig(t)
	cfg.Group.Partitions, cfg.Group.SegmentBytes = 1, 1<<20
	b := start(t, cfg)
	p := dial(t, b)
	createTopic(t, p, "events", 1)
	joined := settleGroup(p, "settled")
	commit := commitRequest("g", [16]byte{}, 0)
	commit.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("m", 4000))
	for i := range int64(2000) {
		commit.Topics[0].Partitions[0].Offset = i
		require.Zero(t, commitCode(p, commit))
		if i%200 == 0 {
			b.groups.Load().tidy()
		}
	}
	part := b.groups.Load().parts[0]
	require.Less(t, part.log.Size(), int64(4<<20), "8 MB were committed")
	require.Positive(t, part.log.Start())
	require.Equal(t, int64(1999), offsetOf(p, "g"))
	before := describeOne(p, "settled")
	stop(t, b)
	p = dial(t, start(t, cfg))
	require.Equal(t, int64(1999), offsetOf(p, "g"))
	require.Equal(t, before, describeOne(p, "settled"))
	sync := ask[*kmsg.SyncGroupResponse](p, 4, syncRequest("settled", joined))
	require.Equal(t, "mine", string(sync.MemberAssignment))
}
