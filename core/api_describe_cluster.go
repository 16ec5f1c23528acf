package core

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeCluster, v0 to v2: the brokers, of which there is one.
//
//   - v1 adds the endpoint type: 1 asks for brokers, 2 for controllers, which
//     are not to be reached here: MISMATCHED_ENDPOINT_TYPE; any other is
//     UNSUPPORTED_ENDPOINT_TYPE.
//   - v2 adds fenced brokers, of which there are none.
func describeCluster(c *call, req *kmsg.DescribeClusterRequest) (*kmsg.DescribeClusterResponse, error) {
	resp := kmsg.NewPtrDescribeClusterResponse()
	if req.Version >= 1 && req.EndpointType != 1 {
		resp.ErrorCode = kerr.UnsupportedEndpointType.Code
		resp.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("Unsupported endpoint type %d", req.EndpointType))
		if req.EndpointType == 2 {
			resp.ErrorCode = kerr.MismatchedEndpointType.Code
			resp.ErrorMessage = kmsg.StringPtr("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
		}
		return resp, nil
	}
	host, port := c.advertised()
	resp.ClusterID = c.dir.clusterID
	resp.ControllerID = c.node
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{{NodeID: c.node, Host: host, Port: port}}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return resp, nil
}
