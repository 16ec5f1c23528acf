package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ElectLeaders, v0 to v2: each partition has one replica, which leads it: there
// is nothing to elect, and ELECTION_NOT_NEEDED.
//
//   - v1 brings the kind of election, of which there are two: INVALID_REQUEST.
//   - No list of topics: all partitions, of which those that need no election are
//     left out, so that none is told of.
func electLeaders(c *call, req *kmsg.ElectLeadersRequest) (*kmsg.ElectLeadersResponse, error) {
	resp := kmsg.NewPtrElectLeadersResponse()
	resp.Topics = []kmsg.ElectLeadersResponseTopic{}
	view := c.view.Load()
	bad := req.Version >= 1 && req.ElectionType != 0 && req.ElectionType != 1
	if bad {
		resp.ErrorCode = kerr.InvalidRequest.Code
	}
	for _, t := range req.Topics {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = t.Topic
		topic := view.byName[t.Topic]
		for _, index := range t.Partitions {
			o := kmsg.NewElectLeadersResponseTopicPartition()
			o.Partition = index
			var f *fault
			switch {
			case bad:
				f = faultf(kerr.InvalidRequest, "Unknown election type %d", req.ElectionType)
			case topic == nil:
				f = faultf(kerr.UnknownTopicOrPartition, "No such topic as %s", t.Topic)
			case topic.partition(index) == nil:
				f = faultf(kerr.UnknownTopicOrPartition, "No such partition as %s-%d", t.Topic, index)
			default:
				f = faultf(kerr.ElectionNotNeeded, "Leader election not needed for topic partition.")
			}
			o.ErrorCode, o.ErrorMessage = f.code, f.text()
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if req.Topics == nil {
		for _, m := range view.image.Topics() {
			out := kmsg.NewElectLeadersResponseTopic()
			out.Topic = m.Name
			resp.Topics = append(resp.Topics, out)
		}
	}
	return resp, nil
}
