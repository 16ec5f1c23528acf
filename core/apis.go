package core

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// coreAPIs is the table of what is served. A version stands here when a test
// drives it; each api_NAME.go says at its top what its versions mean here.
func coreAPIs() []api {
	return []api{
		{key: int16(kmsg.Produce), advertised: 0, min: 3, max: 13, raw: serveProduce},
		{key: int16(kmsg.Fetch), advertised: 4, min: 4, max: 16, raw: serveFetch},
		{key: int16(kmsg.ListOffsets), advertised: 1, min: 1, max: 11, handle: typed(listOffsets), slow: listOffsetsIsSlow},
		{key: int16(kmsg.Metadata), advertised: 0, min: 0, max: 13, raw: serveMetadata},
		{key: int16(kmsg.OffsetCommit), advertised: 2, min: 2, max: 10, raw: grouped(offsetCommit)},
		{key: int16(kmsg.OffsetFetch), advertised: 1, min: 1, max: 10, raw: grouped(offsetFetch)},
		{key: int16(kmsg.FindCoordinator), advertised: 0, min: 0, max: 6, handle: typed(findCoordinator), slow: findCoordinatorIsSlow},
		{key: int16(kmsg.JoinGroup), advertised: 0, min: 0, max: 9, raw: grouped(joinGroup)},
		{key: int16(kmsg.Heartbeat), advertised: 0, min: 0, max: 4, raw: grouped(heartbeat)},
		{key: int16(kmsg.LeaveGroup), advertised: 0, min: 0, max: 5, raw: grouped(leaveGroup)},
		{key: int16(kmsg.SyncGroup), advertised: 0, min: 0, max: 5, raw: grouped(syncGroup)},
		{key: int16(kmsg.DescribeGroups), advertised: 0, min: 0, max: 6, raw: grouped(describeGroups)},
		{key: int16(kmsg.ListGroups), advertised: 0, min: 0, max: 5, raw: grouped(listGroups)},
		{key: int16(kmsg.ApiVersions), advertised: 0, min: 0, max: 4, handle: typed(apiVersions)},
		{key: int16(kmsg.CreateTopics), advertised: 2, min: 2, max: 7, handle: typed(createTopics), slow: always},
		{key: int16(kmsg.DeleteTopics), advertised: 1, min: 1, max: 6, handle: typed(deleteTopics), slow: always},
		{key: int16(kmsg.DeleteRecords), advertised: 0, min: 0, max: 2, handle: typed(deleteRecords), slow: always},
		{key: int16(kmsg.InitProducerID), advertised: 0, min: 0, max: 5, handle: typed(initProducerID), slow: initProducerIDIsSlow},
		{key: int16(kmsg.OffsetForLeaderEpoch), advertised: 2, min: 2, max: 4, handle: typed(offsetForLeaderEpoch)},
		{key: int16(kmsg.AddPartitionsToTxn), advertised: 0, min: 0, max: 5, handle: typed(addPartitionsToTxn), slow: always},
		{key: int16(kmsg.AddOffsetsToTxn), advertised: 0, min: 0, max: 4, handle: typed(addOffsetsToTxn), slow: always},
		{key: int16(kmsg.EndTxn), advertised: 0, min: 0, max: 5, handle: typed(endTxn), slow: always},
		{key: int16(kmsg.TxnOffsetCommit), advertised: 0, min: 0, max: 5, raw: grouped(txnOffsetCommit)},
		{key: int16(kmsg.DescribeConfigs), advertised: 1, min: 1, max: 4, handle: typed(describeConfigs)},
		{key: int16(kmsg.AlterConfigs), advertised: 0, min: 0, max: 2, handle: typed(alterConfigs), slow: always},
		{key: int16(kmsg.DescribeLogDirs), advertised: 1, min: 1, max: 4, handle: typed(describeLogDirs), slow: always},
		{key: int16(kmsg.CreatePartitions), advertised: 0, min: 0, max: 3, handle: typed(createPartitions), slow: always},
		{key: int16(kmsg.DeleteGroups), advertised: 0, min: 0, max: 2, raw: grouped(deleteGroups)},
		{key: int16(kmsg.IncrementalAlterConfigs), advertised: 0, min: 0, max: 1, handle: typed(incrementalAlterConfigs), slow: always},
		{key: int16(kmsg.OffsetDelete), advertised: 0, min: 0, max: 0, raw: grouped(offsetDelete)},
		{key: int16(kmsg.UpdateFeatures), advertised: 0, min: 0, max: 2, handle: typed(updateFeatures), slow: always},
		{key: int16(kmsg.DescribeClientQuotas), advertised: 0, min: 0, max: 1, handle: typed(describeClientQuotas)},
		{key: int16(kmsg.AlterClientQuotas), advertised: 0, min: 0, max: 1, handle: typed(alterClientQuotas), slow: always},
		{key: int16(kmsg.DescribeCluster), advertised: 0, min: 0, max: 2, handle: typed(describeCluster)},
		{key: int16(kmsg.DescribeProducers), advertised: 0, min: 0, max: 0, handle: typed(describeProducers), slow: always},
		{key: int16(kmsg.DescribeTransactions), advertised: 0, min: 0, max: 0, handle: typed(describeTransactions), slow: always},
		{key: int16(kmsg.ListTransactions), advertised: 0, min: 0, max: 2, handle: typed(listTransactions), slow: always},
		{key: int16(kmsg.ConsumerGroupHeartbeat), advertised: 0, min: 0, max: 1, raw: grouped(consumerGroupHeartbeat)},
		{key: int16(kmsg.ConsumerGroupDescribe), advertised: 0, min: 0, max: 1, raw: grouped(consumerGroupDescribe)},
		{key: int16(kmsg.DescribeTopicPartitions), advertised: 0, min: 0, max: 0, handle: typed(describeTopicPartitions)},
	}
}
