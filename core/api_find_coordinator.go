package core

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FindCoordinator, v0 to v6: which broker coordinates a group or a
// transactional id. It is this one.
//
//   - v0 knows groups only. v1 has a type of key: 0 a group, 1 a transactional
//     id, 2 a share group (v6; INVALID_REQUEST: not served), others
//     INVALID_REQUEST.
//   - v4 asks for several keys at once.
//   - The first one makes __consumer_offsets, or __transaction_state. Kafka answers that one with
//     COORDINATOR_NOT_AVAILABLE and makes it meanwhile; here it waits.
//   - A partition of __consumer_offsets that is offline: COORDINATOR_NOT_AVAILABLE.
func findCoordinator(c *call, req *kmsg.FindCoordinatorRequest) (*kmsg.FindCoordinatorResponse, error) {
	if findCoordinatorIsSlow(c.Broker, req) {
		name := offsetsTopic
		if req.CoordinatorType == coordinatesTransaction {
			name = txnTopic
		}
		if err := c.makeStateTopic(name); err != nil {
			c.log.Error("could not make a coordinator's topic", "type", req.CoordinatorType, "err", err)
		}
	}
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		found := c.coordinatorOf(req.CoordinatorType, req.CoordinatorKey)
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = found.ErrorCode, found.NodeID, found.Host, found.Port
		resp.ErrorMessage = kmsg.StringPtr("NONE") // as Kafka has it
		if e := kerr.TypedErrorForCode(found.ErrorCode); e != nil {
			resp.ErrorMessage = kmsg.StringPtr(e.Description)
		}
		return resp, nil
	}
	resp.Coordinators = make([]kmsg.FindCoordinatorResponseCoordinator, 0, len(req.CoordinatorKeys))
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, c.coordinatorOf(req.CoordinatorType, key))
	}
	return resp, nil
}

// The types of key.
const (
	coordinatesGroup       = 0
	coordinatesTransaction = 1
	coordinatesShare       = 2
)

func (c *call) coordinatorOf(kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	out := kmsg.NewFindCoordinatorResponseCoordinator()
	out.Key, out.NodeID, out.Port = key, -1, -1
	out.ErrorMessage = new(string)
	switch kind {
	case coordinatesGroup:
		g := c.groups.Load()
		if g == nil || !g.reachable(key) {
			out.ErrorCode = kerr.CoordinatorNotAvailable.Code
			return out
		}
		out.NodeID = c.node
		out.Host, out.Port = c.advertised()
	case coordinatesTransaction:
		t := c.txns.Load()
		if t == nil || t.lane(key).check(-1) != 0 {
			out.ErrorCode = kerr.CoordinatorNotAvailable.Code
			return out
		}
		out.NodeID = c.node
		out.Host, out.Port = c.advertised()
	case coordinatesShare: // of which there is none
		out.ErrorCode = kerr.InvalidRequest.Code
	default:
		out.ErrorCode, out.ErrorMessage = kerr.InvalidRequest.Code, kmsg.StringPtr(kerr.InvalidRequest.Description)
	}
	return out
}

// reachable: whoever asks this broker for the group will be served, now or when
// it is loaded.
func (g *groups) reachable(id string) bool { return g.parts[g.Partition(id)].check(-1) == 0 }

// findCoordinatorIsSlow: making a coordinator's topic waits for the disk.
func findCoordinatorIsSlow(b *Broker, req kmsg.Request) bool {
	switch req.(*kmsg.FindCoordinatorRequest).CoordinatorType {
	case coordinatesGroup:
		return b.groups.Load() == nil
	case coordinatesTransaction:
		return b.txns.Load() == nil
	}
	return false
}
