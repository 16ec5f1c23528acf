package core

import (
	"math"
	"slices"
	"sort"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// maxDescribedPartitions bounds one answer of DescribeTopicPartitions, as
// Kafka's max.request.partition.size.limit does.
const maxDescribedPartitions = 2000

// DescribeTopicPartitions, v0: topics and partitions by name, a page at a time.
//
//   - No topics: all. The answer holds at most as many partitions as the client
//     allows (and 2000), and says in a cursor where the next page starts.
//   - A cursor skips what lies before it; one that names a topic not asked for,
//     or a partition below 0: INVALID_REQUEST. Unknown topics are
//     UNKNOWN_TOPIC_OR_PARTITION, bad names INVALID_TOPIC_EXCEPTION; none is
//     made.
func describeTopicPartitions(c *call, req *kmsg.DescribeTopicPartitionsRequest) (*kmsg.DescribeTopicPartitionsResponse, error) {
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	view := c.view.Load()
	from := ""
	if req.Cursor != nil {
		from = req.Cursor.Topic
		if badCursor(req) {
			for i := range req.Topics {
				resp.Topics = append(resp.Topics, undescribed(req.Topics[i].Topic))
				resp.Topics[i].ErrorCode, resp.Topics[i].AuthorizedOperations = kerr.InvalidRequest.Code, math.MinInt32
			}
			return resp, nil
		}
	}
	names := describedNames(view.image, req)
	names = names[sort.SearchStrings(names, from):]
	left := maxDescribedPartitions
	left = max(min(left, int(req.ResponsePartitionLimit)), 1)
	for _, name := range names {
		if left == 0 {
			resp.NextCursor = nextPage(name, 0)
			break
		}
		t := view.byName[name]
		if t == nil {
			resp.Topics = append(resp.Topics, undescribed(name))
			continue
		}
		first := 0
		if req.Cursor != nil && name == req.Cursor.Topic {
			first = min(max(int(req.Cursor.Partition), 0), len(t.partitions))
		}
		last := min(len(t.partitions), first+left)
		resp.Topics = append(resp.Topics, describePartitions(t, first, last))
		left -= last - first
		if last < len(t.partitions) {
			resp.NextCursor = nextPage(name, last)
			break
		}
	}
	return resp, nil
}

// badCursor says whether the cursor points at none of what was asked for.
func badCursor(req *kmsg.DescribeTopicPartitionsRequest) bool {
	named := func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == req.Cursor.Topic }
	return req.Cursor.Partition < 0 || len(req.Topics) > 0 && !slices.ContainsFunc(req.Topics, named)
}

// describedNames lists the names asked for, sorted, each once.
func describedNames(image *meta.Image, req *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	for i := range req.Topics {
		names = append(names, req.Topics[i].Topic)
	}
	if len(req.Topics) == 0 {
		for _, t := range image.Topics() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func nextPage(topic string, partition int) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	n := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	n.Topic, n.Partition = topic, int32(partition)
	return &n
}

func undescribed(name string) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic = kmsg.StringPtr(name)
	out.ErrorCode = kerr.UnknownTopicOrPartition.Code
	out.AuthorizedOperations = topicOperations
	if topicNameFault(name) != "" {
		out.ErrorCode = kerr.InvalidTopicException.Code
	}
	return out
}

func describePartitions(t *topic, first, last int) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = kmsg.StringPtr(t.meta.Name), t.meta.ID, internalTopic(t.meta.Name)
	out.AuthorizedOperations = topicOperations
	for i := first; i < last; i++ {
		m := t.meta.Partitions[i]
		o := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		o.Partition, o.LeaderID, o.LeaderEpoch, o.Replicas, o.ISR = int32(i), m.Leader, m.LeaderEpoch, m.Replicas, m.ISR
		// Empty, not null: the Java admin client reads them without asking.
		o.EligibleLeaderReplicas, o.LastKnownELR = []int32{}, []int32{}
		if t.partitions[i].offline() {
			o.ErrorCode = kerr.LeaderNotAvailable.Code
			o.LeaderID, o.OfflineReplicas = -1, m.Replicas
		}
		out.Partitions = append(out.Partitions, o)
	}
	return out
}
