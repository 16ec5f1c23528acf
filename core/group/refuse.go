package group

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// codeOf is the Kafka error code of err, 0 for nil.
func codeOf(err error) int16 {
	if err == nil {
		return 0
	}
	var ke *kerr.Error
	if !errors.As(err, &ke) {
		panic("BUG: no Kafka error: " + err.Error())
	}
	return ke.Code
}

// Refusal is the answer to body when all of it failed with code.
func Refusal(body kmsg.Request, code int16) kmsg.Response {
	resp := body.ResponseKind()
	switch b := body.(type) {
	case *kmsg.JoinGroupRequest:
		r := resp.(*kmsg.JoinGroupResponse)
		r.Default()
		r.ErrorCode, r.MemberID = code, b.MemberID
		if r.Version < 7 {
			r.Protocol = new(string)
		}
	case *kmsg.SyncGroupRequest:
		r := resp.(*kmsg.SyncGroupResponse)
		r.ErrorCode, r.MemberAssignment = code, []byte{}
	case *kmsg.HeartbeatRequest:
		resp.(*kmsg.HeartbeatResponse).ErrorCode = code
	case *kmsg.LeaveGroupRequest:
		resp.(*kmsg.LeaveGroupResponse).ErrorCode = code
	case *kmsg.OffsetCommitRequest:
		refuseCommit(resp.(*kmsg.OffsetCommitResponse), b, code)
	case *kmsg.TxnOffsetCommitRequest:
		refuseTxnCommit(resp.(*kmsg.TxnOffsetCommitResponse), b, code)
	case *kmsg.OffsetFetchRequest:
		refuseFetch(resp.(*kmsg.OffsetFetchResponse), b, code)
	case *kmsg.OffsetDeleteRequest:
		resp.(*kmsg.OffsetDeleteResponse).ErrorCode = code
	case *kmsg.DescribeGroupsRequest:
		r := resp.(*kmsg.DescribeGroupsResponse)
		for _, id := range b.Groups {
			rg := kmsg.NewDescribeGroupsResponseGroup()
			rg.Group, rg.ErrorCode = id, code
			r.Groups = append(r.Groups, rg)
		}
	case *kmsg.ListGroupsRequest:
		resp.(*kmsg.ListGroupsResponse).ErrorCode = code
	case *kmsg.DeleteGroupsRequest:
		r := resp.(*kmsg.DeleteGroupsResponse)
		for _, id := range b.Groups {
			rg := kmsg.NewDeleteGroupsResponseGroup()
			rg.Group, rg.ErrorCode = id, code
			r.Groups = append(r.Groups, rg)
		}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		resp.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode = code
	case *kmsg.ConsumerGroupDescribeRequest:
		r := resp.(*kmsg.ConsumerGroupDescribeResponse)
		for _, id := range b.Groups {
			rg := kmsg.NewConsumerGroupDescribeResponseGroup()
			rg.Group, rg.ErrorCode = id, code
			r.Groups = append(r.Groups, rg)
		}
	default:
		panic(fmt.Sprintf("BUG: %T is no request of the group coordinator", body))
	}
	return resp
}

func refuseCommit(r *kmsg.OffsetCommitResponse, b *kmsg.OffsetCommitRequest, code int16) {
	for _, t := range b.Topics {
		rt := kmsg.OffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.TopicID}
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: code})
		}
		r.Topics = append(r.Topics, rt)
	}
}

// refuseFetch: versions before 2 have no place for an error but the partitions.
func refuseFetch(r *kmsg.OffsetFetchResponse, b *kmsg.OffsetFetchRequest, code int16) {
	switch {
	case r.Version >= 8:
		for _, g := range b.Groups {
			rg := kmsg.NewOffsetFetchResponseGroup()
			rg.Group, rg.ErrorCode = g.Group, code
			r.Groups = append(r.Groups, rg)
		}
	case r.Version >= 2:
		r.ErrorCode = code
	default:
		for _, t := range b.Topics {
			rt := kmsg.OffsetFetchResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				rt.Partitions = append(rt.Partitions, kmsg.OffsetFetchResponseTopicPartition{
					Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new(string), ErrorCode: code,
				})
			}
			r.Topics = append(r.Topics, rt)
		}
	}
}
