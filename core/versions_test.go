package core

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/wire"
	"millrace/diskio"
)

// driven drives one API at one version over a socket. The topic "events" has
// two partitions and, in partition 0, the values "a", "b", "c" in two batches.
type driven struct {
	*peer
	t       *testing.T
	b       *Broker
	key     int16
	version int16
	events  [16]byte
}

// drivers holds a driver for every API in the table.
var drivers = map[kmsg.Key]func(d driven){
	kmsg.Produce:                      driveProduce,
	kmsg.Fetch:                        driveFetch,
	kmsg.ListOffsets:                  driveListOffsets,
	kmsg.Metadata:                     driveMetadata,
	kmsg.OffsetCommit:                 driveOffsetCommit,
	kmsg.OffsetFetch:                  driveOffsetFetch,
	kmsg.FindCoordinator:              driveFindCoordinator,
	kmsg.JoinGroup:                    driveJoinGroup,
	kmsg.Heartbeat:                    driveHeartbeat,
	kmsg.LeaveGroup:                   driveLeaveGroup,
	kmsg.SyncGroup:                    driveSyncGroup,
	kmsg.DescribeGroups:               driveDescribeGroups,
	kmsg.ListGroups:                   driveListGroups,
	kmsg.DeleteGroups:                 driveDeleteGroups,
	kmsg.OffsetDelete:                 driveOffsetDelete,
	kmsg.ApiVersions:                  driveApiVersions,
	kmsg.CreateTopics:                 driveCreateTopics,
	kmsg.DeleteTopics:                 driveDeleteTopics,
	kmsg.DeleteRecords:                driveDeleteRecords,
	kmsg.InitProducerID:               driveInitProducerID,
	kmsg.AddPartitionsToTxn:           driveAddPartitionsToTxn,
	kmsg.AddOffsetsToTxn:              driveAddOffsetsToTxn,
	kmsg.TxnOffsetCommit:              driveTxnOffsetCommit,
	kmsg.EndTxn:                       driveEndTxn,
	kmsg.DescribeProducers:            driveDescribeProducers,
	kmsg.DescribeTransactions:         driveDescribeTransactions,
	kmsg.ListTransactions:             driveListTransactions,
	kmsg.OffsetForLeaderEpoch:         driveOffsetForLeaderEpoch,
	kmsg.DescribeConfigs:              driveDescribeConfigs,
	kmsg.AlterConfigs:                 driveAlterConfigs,
	kmsg.IncrementalAlterConfigs:      driveIncrementalAlterConfigs,
	kmsg.DescribeLogDirs:              driveDescribeLogDirs,
	kmsg.CreatePartitions:             driveCreatePartitions,
	kmsg.UpdateFeatures:               driveUpdateFeatures,
	kmsg.DescribeClientQuotas:         driveDescribeClientQuotas,
	kmsg.AlterClientQuotas:            driveAlterClientQuotas,
	kmsg.DescribeACLs:                 driveSecurity,
	kmsg.CreateACLs:                   driveSecurity,
	kmsg.DeleteACLs:                   driveSecurity,
	kmsg.CreateDelegationToken:        driveSecurity,
	kmsg.RenewDelegationToken:         driveSecurity,
	kmsg.ExpireDelegationToken:        driveSecurity,
	kmsg.DescribeDelegationToken:      driveSecurity,
	kmsg.DescribeUserSCRAMCredentials: driveDescribeUserScram,
	kmsg.SASLHandshake:                driveSASLHandshake,
	kmsg.SASLAuthenticate:             driveSASLAuthenticate,
	kmsg.DescribeQuorum:               driveDescribeQuorum,
	kmsg.UnregisterBroker:             driveUnregisterBroker,
	kmsg.WriteTxnMarkers:              driveWriteTxnMarkers,
	kmsg.AlterReplicaLogDirs:          driveAlterReplicaLogDirs,
	kmsg.ElectLeaders:                 driveElectLeaders,
	kmsg.AlterPartitionAssignments:    driveAlterReassignments,
	kmsg.ListPartitionReassignments:   driveListReassignments,
	kmsg.ListConfigResources:          driveListConfigResources,
	kmsg.DescribeCluster:              driveDescribeCluster,
	kmsg.ConsumerGroupHeartbeat:       driveConsumerGroupHeartbeat,
	kmsg.ConsumerGroupDescribe:        driveConsumerGroupDescribe,
	kmsg.DescribeTopicPartitions:      driveDescribeTopicPartitions,
}

// TestEveryVersion drives every version that the broker advertises, and fails
// for a row of the table without a driver.
func TestEveryVersion(t *testing.T) {
	for _, a := range coreAPIs() {
		drive := drivers[kmsg.Key(a.key)]
		require.NotNil(t, drive, "no test drives %s", kmsg.NameForKey(a.key))
		for v := a.advertised; v <= a.max; v++ {
			t.Run(fmt.Sprintf("%s/v%d", kmsg.NameForKey(a.key), v), func(t *testing.T) {
				cfg := testConfig(t)
				if a.key != int16(kmsg.DescribeLogDirs) { // which asks the file system
					cfg = onMemory(t, diskio.NewMem(), diskio.SyncPageCache)
				}
				b := start(t, cfg)
				p := dial(t, b)
				d := driven{peer: p, t: t, b: b, version: v, events: createTopic(t, p, "events", 2)}
				mustProduce(p, "events", 0, "a", "b")
				mustProduce(p, "events", 0, "c")
				d.key = a.key
				drive(d)
			})
		}
	}
}

// TestUnknownVersions: what the table does not have.
func TestUnknownVersions(t *testing.T) {
	b := start(t, onMemory(t, diskio.NewMem(), diskio.SyncPageCache))
	t.Run("ApiVersions of the future is answered in the form of v0", func(t *testing.T) {
		p := dial(t, b)
		_, err := p.conn.Write(rawRequest(nil, wire.Header{Key: wire.KeyApiVersions, Version: 99, CorrelationID: 7}, []byte("whatever")))
		require.NoError(t, err)
		req := kmsg.NewPtrApiVersionsRequest()
		resp := p.receive(req, 7).(*kmsg.ApiVersionsResponse)
		require.Equal(t, kerr.UnsupportedVersion.Code, resp.ErrorCode)
		require.Equal(t, []kmsg.ApiVersionsResponseApiKey{{ApiKey: wire.KeyApiVersions, MaxVersion: 4}}, resp.ApiKeys)
		p.ask(req) // and the connection goes on
	})
	for _, h := range []wire.Header{
		{Key: int16(kmsg.Metadata), Version: 99},
		{Key: int16(kmsg.CreateTopics), Version: 0},
		{Key: int16(kmsg.Fetch), Version: -1},
		{Key: int16(kmsg.ControlledShutdown), Version: 0},
		{Key: 999, Version: 0},
		{Key: -1, Version: 0},
	} {
		t.Run(fmt.Sprintf("key %d version %d closes the connection", h.Key, h.Version), func(t *testing.T) {
			p := dial(t, b)
			_, err := p.conn.Write(rawRequest(nil, h, make([]byte, 20)))
			require.NoError(t, err)
			p.requireClosed()
		})
	}
	require.NotEmpty(t, ask[*kmsg.MetadataResponse](dial(t, b), 12, kmsg.NewPtrMetadataRequest()).Brokers, "others live on")
}

func driveProduce(d driven) {
	batch := oneBatch(d.t, batching.Options{}, "d", "e")
	if d.version < 3 {
		// kmsg writes these versions too; the broker hangs up.
		req := produceRequest("events", 0, 1, batch)
		req.SetVersion(d.version)
		d.send(req)
		d.requireClosed()
		return
	}
	request := func(partition int32) *kmsg.ProduceRequest {
		req := produceRequest("events", partition, 1, batch)
		req.Topics[0].TopicID = d.events
		return req
	}
	resp := ask[*kmsg.ProduceResponse](d.peer, d.version, request(0))
	if d.version < 13 {
		require.Equal(d.t, "events", resp.Topics[0].Topic)
	} else {
		require.Equal(d.t, d.events, resp.Topics[0].TopicID)
		req := request(0)
		req.Topics[0].TopicID[0]++
		require.Equal(d.t, kerr.UnknownTopicID.Code, ask[*kmsg.ProduceResponse](d.peer, d.version, req).Topics[0].Partitions[0].ErrorCode)
	}
	got := resp.Topics[0].Partitions[0]
	require.Zero(d.t, got.ErrorCode)
	require.Equal(d.t, int64(3), got.BaseOffset)
	require.Equal(d.t, int64(-1), got.LogAppendTime)
	if d.version >= 5 {
		require.Equal(d.t, int64(0), got.LogStartOffset)
	}
	require.Equal(d.t, []string{"c", "d", "e"}, values(d.t, fetchOne(d.peer, "events", 0, 2).RecordBatches))
	require.Equal(d.t, kerr.UnknownTopicOrPartition.Code,
		ask[*kmsg.ProduceResponse](d.peer, d.version, request(7)).Topics[0].Partitions[0].ErrorCode)
	if d.version >= 12 {
		driveJoiningProduce(d)
	}
}

func driveFetch(d driven) {
	req := fetchRequest("events", 0, 1)
	req.Topics[0].TopicID = d.events
	resp := ask[*kmsg.FetchResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.ErrorCode)
	if d.version >= 13 {
		require.Equal(d.t, d.events, resp.Topics[0].TopicID)
	} else {
		require.Equal(d.t, "events", resp.Topics[0].Topic)
	}
	got := resp.Topics[0].Partitions[0]
	require.Zero(d.t, got.ErrorCode)
	require.Equal(d.t, int64(3), got.HighWatermark)
	require.Equal(d.t, int64(3), got.LastStableOffset)
	require.Equal(d.t, []string{"a", "b", "c"}, values(d.t, got.RecordBatches), "the batch that holds offset 1, and the next")
	require.Nil(d.t, got.AbortedTransactions)

	req.IsolationLevel = 1
	req.Topics[0].Partitions[0].FetchOffset = 3
	got = ask[*kmsg.FetchResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Zero(d.t, got.ErrorCode)
	require.Empty(d.t, got.RecordBatches)
	require.NotNil(d.t, got.AbortedTransactions, "read_committed: none, not null")

	req.Topics[0].Partitions[0].FetchOffset = 4
	got = ask[*kmsg.FetchResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Equal(d.t, kerr.OffsetOutOfRange.Code, got.ErrorCode)
	require.Equal(d.t, int64(-1), got.HighWatermark)

	req.Topics[0].Topic, req.Topics[0].TopicID = "nowhere", [16]byte{1}
	got = ask[*kmsg.FetchResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	want := kerr.UnknownTopicOrPartition.Code
	if d.version >= 13 {
		want = kerr.UnknownTopicID.Code
	}
	require.Equal(d.t, want, got.ErrorCode)
}

func driveListOffsets(d driven) {
	for ts, want := range map[int64]int64{-1: 3, -2: 0, 0: 0, 1 << 60: -1} {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = "events"
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp, rp.CurrentLeaderEpoch = ts, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp := ask[*kmsg.ListOffsetsResponse](d.peer, d.version, req)
		got := resp.Topics[0].Partitions[0]
		require.Zero(d.t, got.ErrorCode, "timestamp %d", ts)
		require.Equal(d.t, want, got.Offset, "timestamp %d", ts)
	}
}

func driveMetadata(d driven) {
	req := kmsg.NewPtrMetadataRequest()
	if d.version == 0 {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	resp := ask[*kmsg.MetadataResponse](d.peer, d.version, req)
	require.Len(d.t, resp.Brokers, 1)
	require.Len(d.t, resp.Topics, 1)
	got := resp.Topics[0]
	require.Equal(d.t, "events", *got.Topic)
	require.Len(d.t, got.Partitions, 2)
	require.Equal(d.t, int32(1), got.Partitions[1].Leader)
	if d.version >= 10 {
		require.Equal(d.t, d.events, got.TopicID)
	}
	if d.version >= 1 {
		req.Topics = []kmsg.MetadataRequestTopic{}
		require.Empty(d.t, ask[*kmsg.MetadataResponse](d.peer, d.version, req).Topics, "an empty list means none")
	}
	if d.version >= 12 {
		rt := kmsg.NewMetadataRequestTopic()
		rt.TopicID = d.events
		req.Topics = []kmsg.MetadataRequestTopic{rt}
		got := ask[*kmsg.MetadataResponse](d.peer, d.version, req).Topics
		require.Len(d.t, got, 1)
		require.Zero(d.t, got[0].ErrorCode)
		require.Equal(d.t, "events", *got[0].Topic)
	}
	// One that is not there is made, unless the client forbids it.
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr("made")
	req.Topics = []kmsg.MetadataRequestTopic{rt}
	if d.version >= 4 {
		got := ask[*kmsg.MetadataResponse](d.peer, d.version, req).Topics
		require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, got[0].ErrorCode)
		req.AllowAutoTopicCreation = true
	}
	made := ask[*kmsg.MetadataResponse](d.peer, d.version, req).Topics
	require.Zero(d.t, made[0].ErrorCode)
	require.Len(d.t, made[0].Partitions, 1)
}

func driveApiVersions(d driven) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1.0"
	resp := ask[*kmsg.ApiVersionsResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.ErrorCode)
	require.Len(d.t, resp.ApiKeys, len(coreAPIs()))
	if d.version >= 3 {
		levels := map[string]int16{}
		for _, f := range resp.FinalizedFeatures {
			levels[f.Name] = f.MaxVersionLevel
		}
		require.Equal(d.t, map[string]int16{"group.version": 1, "metadata.version": 27, "transaction.version": 2}, levels)
		require.Len(d.t, resp.SupportedFeatures, map[bool]int{true: 3, false: 1}[d.version >= 4], "a least level of 0 is for v4")
		req.ClientSoftwareName = "-bad-"
		resp = ask[*kmsg.ApiVersionsResponse](d.peer, d.version, req)
		require.Equal(d.t, kerr.InvalidRequest.Code, resp.ErrorCode)
	}
}

func driveCreateTopics(d driven) {
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "made", 3, 1
	req.Topics = append(req.Topics, rt)
	resp := ask[*kmsg.CreateTopicsResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.Topics[0].ErrorCode)
	if d.version >= 5 {
		require.Equal(d.t, int32(3), resp.Topics[0].NumPartitions)
		require.NotEmpty(d.t, resp.Topics[0].Configs)
	}
	if d.version >= 7 {
		require.NotZero(d.t, resp.Topics[0].TopicID)
	}
	resp = ask[*kmsg.CreateTopicsResponse](d.peer, d.version, req)
	require.Equal(d.t, kerr.TopicAlreadyExists.Code, resp.Topics[0].ErrorCode)
}

func driveDeleteTopics(d driven) {
	req := kmsg.NewPtrDeleteTopicsRequest()
	if d.version < 6 {
		req.TopicNames = []string{"events"}
	} else {
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.TopicID = d.events
		req.Topics = append(req.Topics, rt)
	}
	resp := ask[*kmsg.DeleteTopicsResponse](d.peer, d.version, req)
	require.Zero(d.t, resp.Topics[0].ErrorCode)
	require.Equal(d.t, "events", *resp.Topics[0].Topic)
	want := kerr.UnknownTopicOrPartition.Code
	if d.version >= 6 {
		want = kerr.UnknownTopicID.Code
	}
	resp = ask[*kmsg.DeleteTopicsResponse](d.peer, d.version, req)
	require.Equal(d.t, want, resp.Topics[0].ErrorCode)
	require.Equal(d.t, kerr.UnknownTopicOrPartition.Code, fetchOne(d.peer, "events", 0, 0).ErrorCode)
}

func driveDeleteRecords(d driven) {
	req := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = "events"
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = 2
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	got := ask[*kmsg.DeleteRecordsResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Zero(d.t, got.ErrorCode)
	require.Equal(d.t, int64(2), got.LowWatermark)
	require.Equal(d.t, kerr.OffsetOutOfRange.Code, fetchOne(d.peer, "events", 0, 1).ErrorCode)
	require.Equal(d.t, []string{"c"}, values(d.t, fetchOne(d.peer, "events", 0, 2).RecordBatches))
	req.Topics[0].Partitions[0].Offset = -1
	got = ask[*kmsg.DeleteRecordsResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Equal(d.t, int64(3), got.LowWatermark)
	req.Topics[0].Partitions[0].Offset = 4
	got = ask[*kmsg.DeleteRecordsResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Equal(d.t, kerr.OffsetOutOfRange.Code, got.ErrorCode)
}

func driveInitProducerID(d driven) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.ProducerID, req.ProducerEpoch = -1, -1
	first := ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req)
	require.Zero(d.t, first.ErrorCode)
	require.Zero(d.t, first.ProducerEpoch)
	second := ask[*kmsg.InitProducerIDResponse](d.peer, d.version, req)
	require.Equal(d.t, first.ProducerID+1, second.ProducerID)
	driveInitTransactional(d)
}

func driveOffsetForLeaderEpoch(d driven) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = "events"
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.CurrentLeaderEpoch = -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	got := ask[*kmsg.OffsetForLeaderEpochResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Zero(d.t, got.ErrorCode)
	require.Equal(d.t, int32(0), got.LeaderEpoch)
	require.Equal(d.t, int64(3), got.EndOffset)
	req.Topics[0].Partitions[0].LeaderEpoch = 9
	got = ask[*kmsg.OffsetForLeaderEpochResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Equal(d.t, int64(-1), got.EndOffset)
	req.Topics[0].Partitions[0].CurrentLeaderEpoch = 9
	got = ask[*kmsg.OffsetForLeaderEpochResponse](d.peer, d.version, req).Topics[0].Partitions[0]
	require.Equal(d.t, kerr.UnknownLeaderEpoch.Code, got.ErrorCode)
}

func driveDescribeConfigs(d driven) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	for _, r := range []struct {
		kind kmsg.ConfigResourceType
		name string
	}{{kmsg.ConfigResourceTypeTopic, "events"}, {kmsg.ConfigResourceTypeBroker, "1"}} {
		rr := kmsg.NewDescribeConfigsRequestResource()
		rr.ResourceType, rr.ResourceName = r.kind, r.name
		req.Resources = append(req.Resources, rr)
	}
	resp := ask[*kmsg.DescribeConfigsResponse](d.peer, d.version, req)
	require.Len(d.t, resp.Resources, 2)
	for _, r := range resp.Resources {
		require.Zero(d.t, r.ErrorCode)
		require.Greater(d.t, len(r.Configs), 5)
		for _, c := range r.Configs {
			// Kafka's brokers have no default for these to show (core/oracle has its answers).
			if s := keptSetting(c.Name); c.Name != "segment.jitter.ms" && c.Name != "log.roll.jitter.ms" && (s == nil || s.broker != "") {
				require.NotEmpty(d.t, c.ConfigSynonyms, c.Name)
			}
			if d.version >= 3 {
				require.NotZero(d.t, c.ConfigType, c.Name)
				require.NotEmpty(d.t, deref(c.Documentation))
			}
		}
	}
}

func driveDescribeLogDirs(d driven) {
	resp := ask[*kmsg.DescribeLogDirsResponse](d.peer, d.version, kmsg.NewPtrDescribeLogDirsRequest())
	require.Len(d.t, resp.Dirs, 1)
	require.Len(d.t, resp.Dirs[0].Topics, 1)
	require.Len(d.t, resp.Dirs[0].Topics[0].Partitions, 2)
	require.Positive(d.t, resp.Dirs[0].Topics[0].Partitions[0].Size)
	if d.version >= 4 {
		require.Positive(d.t, resp.Dirs[0].TotalBytes)
	}
}

func driveCreatePartitions(d driven) {
	req := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = "events", 4
	req.Topics = append(req.Topics, rt)
	require.Zero(d.t, ask[*kmsg.CreatePartitionsResponse](d.peer, d.version, req).Topics[0].ErrorCode)
	require.Equal(d.t, kerr.InvalidPartitions.Code, ask[*kmsg.CreatePartitionsResponse](d.peer, d.version, req).Topics[0].ErrorCode)
	require.Zero(d.t, mustProduce(d.peer, "events", 3, "new"))
}

func driveDescribeCluster(d driven) {
	resp := ask[*kmsg.DescribeClusterResponse](d.peer, d.version, kmsg.NewPtrDescribeClusterRequest())
	require.Zero(d.t, resp.ErrorCode)
	require.NotEmpty(d.t, resp.ClusterID)
	require.Len(d.t, resp.Brokers, 1)
	require.Equal(d.t, "127.0.0.1", resp.Brokers[0].Host)
	if d.version >= 1 {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType = 2
		require.Equal(d.t, kerr.MismatchedEndpointType.Code, ask[*kmsg.DescribeClusterResponse](d.peer, d.version, req).ErrorCode)
	}
}

func driveDescribeTopicPartitions(d driven) {
	createTopic(d.t, d.peer, "another", 2)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 3
	resp := ask[*kmsg.DescribeTopicPartitionsResponse](d.peer, d.version, req)
	require.Len(d.t, resp.Topics, 2)
	require.Equal(d.t, "another", *resp.Topics[0].Topic)
	require.Len(d.t, resp.Topics[1].Partitions, 1)
	for _, p := range resp.Topics[0].Partitions {
		require.NotNil(d.t, p.EligibleLeaderReplicas, "Java's admin client takes null for an error")
		require.NotNil(d.t, p.LastKnownELR)
	}
	require.Equal(d.t, "events", resp.NextCursor.Topic)
	require.Equal(d.t, int32(1), resp.NextCursor.Partition)
	req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "events", Partition: 1}
	resp = ask[*kmsg.DescribeTopicPartitionsResponse](d.peer, d.version, req)
	require.Len(d.t, resp.Topics, 1)
	require.Equal(d.t, int32(1), resp.Topics[0].Partitions[0].Partition)
	require.Nil(d.t, resp.NextCursor)
}
