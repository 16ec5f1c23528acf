package group

import (
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Handle serves one request of a group API; any other type is our bug. It does
// not wait: JoinGroup and SyncGroup may be answered much later.
func (c *Coordinator) Handle(req *Request) {
	switch body := req.Body.(type) {
	case *kmsg.JoinGroupRequest:
		c.lane(body.Group).serve(req)
	case *kmsg.SyncGroupRequest:
		c.lane(body.Group).serve(req)
	case *kmsg.HeartbeatRequest:
		c.lane(body.Group).serve(req)
	case *kmsg.LeaveGroupRequest:
		c.lane(body.Group).serve(req)
	case *kmsg.OffsetCommitRequest:
		c.lane(body.Group).serve(req)
	case *kmsg.TxnOffsetCommitRequest:
		c.lane(body.Group).serve(req)
	case *kmsg.OffsetDeleteRequest:
		c.lane(body.Group).serve(req)
	case *kmsg.OffsetFetchRequest:
		if body.Version < 8 {
			c.lane(body.Group).serve(req)
			return
		}
		c.fetchGroups(req, body)
	case *kmsg.DescribeGroupsRequest:
		c.describeGroups(req, body)
	case *kmsg.DeleteGroupsRequest:
		c.deleteGroups(req, body)
	case *kmsg.ListGroupsRequest:
		c.listGroups(req, body)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		c.lane(body.Group).serve(req)
	case *kmsg.ConsumerGroupDescribeRequest:
		c.describeConsumers(req, body)
	default:
		panic(fmt.Sprintf("BUG: %T is no request of the group coordinator", body))
	}
}

func (c *Coordinator) lane(group string) *lane { return c.shards[c.Partition(group)] }

// scatter serves one request for each part and answers req when all have been
// answered; merge is handed the responses in the order of parts.
func (c *Coordinator) scatter(req *Request, lanes []*lane, parts []kmsg.Request, merge func([]kmsg.Response) kmsg.Response) {
	if len(parts) == 0 {
		req.Answer(merge(nil))
		return
	}
	var mu sync.Mutex
	got := make([]kmsg.Response, len(parts))
	left := len(parts)
	for i, part := range parts {
		sub := *req
		sub.Body = part
		sub.Answer = func(r kmsg.Response) {
			mu.Lock()
			got[i] = r
			left--
			last := left == 0
			mu.Unlock()
			if last {
				req.Answer(merge(got))
			}
		}
		lanes[i].serve(&sub)
	}
}

// split makes a part for each group id asked for, in order.
func (c *Coordinator) split(ids []string, part func(i int) kmsg.Request) (lanes []*lane, parts []kmsg.Request) {
	for i, id := range ids {
		lanes = append(lanes, c.lane(id))
		parts = append(parts, part(i))
	}
	return lanes, parts
}

func (c *Coordinator) fetchGroups(req *Request, body *kmsg.OffsetFetchRequest) {
	ids := make([]string, len(body.Groups))
	for i := range body.Groups {
		ids[i] = body.Groups[i].Group
	}
	lanes, parts := c.split(ids, func(i int) kmsg.Request {
		return &kmsg.OffsetFetchRequest{Version: body.Version, Groups: body.Groups[i : i+1], RequireStable: body.RequireStable}
	})
	c.scatter(req, lanes, parts, func(rs []kmsg.Response) kmsg.Response {
		all := kmsg.NewPtrOffsetFetchResponse()
		all.Version = body.Version
		for _, r := range rs {
			all.Groups = append(all.Groups, r.(*kmsg.OffsetFetchResponse).Groups...)
		}
		return all
	})
}

func (c *Coordinator) describeGroups(req *Request, body *kmsg.DescribeGroupsRequest) {
	lanes, parts := c.split(body.Groups, func(i int) kmsg.Request {
		return &kmsg.DescribeGroupsRequest{Version: body.Version, Groups: body.Groups[i : i+1]}
	})
	c.scatter(req, lanes, parts, func(rs []kmsg.Response) kmsg.Response {
		all := kmsg.NewPtrDescribeGroupsResponse()
		all.Version = body.Version
		for _, r := range rs {
			all.Groups = append(all.Groups, r.(*kmsg.DescribeGroupsResponse).Groups...)
		}
		return all
	})
}

func (c *Coordinator) describeConsumers(req *Request, body *kmsg.ConsumerGroupDescribeRequest) {
	lanes, parts := c.split(body.Groups, func(i int) kmsg.Request {
		return &kmsg.ConsumerGroupDescribeRequest{Version: body.Version, Groups: body.Groups[i : i+1]}
	})
	c.scatter(req, lanes, parts, func(rs []kmsg.Response) kmsg.Response {
		all := kmsg.NewPtrConsumerGroupDescribeResponse()
		all.Version = body.Version
		for _, r := range rs {
			all.Groups = append(all.Groups, r.(*kmsg.ConsumerGroupDescribeResponse).Groups...)
		}
		return all
	})
}

func (c *Coordinator) deleteGroups(req *Request, body *kmsg.DeleteGroupsRequest) {
	ids := slices.Compact(slices.Sorted(slices.Values(body.Groups))) // each is answered once
	lanes, parts := c.split(ids, func(i int) kmsg.Request {
		return &kmsg.DeleteGroupsRequest{Version: body.Version, Groups: ids[i : i+1]}
	})
	c.scatter(req, lanes, parts, func(rs []kmsg.Response) kmsg.Response {
		all := kmsg.NewPtrDeleteGroupsResponse()
		all.Version = body.Version
		for _, r := range rs {
			all.Groups = append(all.Groups, r.(*kmsg.DeleteGroupsResponse).Groups...)
		}
		return all
	})
}

// listGroups asks every lane; the first error is that of the whole.
func (c *Coordinator) listGroups(req *Request, body *kmsg.ListGroupsRequest) {
	parts := make([]kmsg.Request, len(c.shards))
	for i := range parts {
		parts[i] = body
	}
	c.scatter(req, c.shards, parts, func(rs []kmsg.Response) kmsg.Response {
		all := kmsg.NewPtrListGroupsResponse()
		all.Version = body.Version
		for _, r := range rs {
			part := r.(*kmsg.ListGroupsResponse)
			if all.ErrorCode == 0 {
				all.ErrorCode = part.ErrorCode
			}
			all.Groups = append(all.Groups, part.Groups...)
		}
		if all.ErrorCode != 0 {
			all.Groups = nil
		}
		return all
	})
}
