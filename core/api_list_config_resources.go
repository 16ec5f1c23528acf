package core

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListConfigResources, v0 to v1: what has settings of its own, or could have.
//
//   - v0 knows client metrics only, of which there are none. v1 lists kinds:
//     none named: all. A kind that there is not: UNSUPPORTED_VERSION.
func listConfigResources(c *call, req *kmsg.ListConfigResourcesRequest) (*kmsg.ListConfigResourcesResponse, error) {
	resp := kmsg.NewPtrListConfigResourcesResponse()
	if req.Version == 0 {
		return resp, nil
	}
	kinds := req.ResourceTypes
	if len(kinds) == 0 {
		kinds = []int8{int8(kmsg.ConfigResourceTypeTopic), int8(kmsg.ConfigResourceTypeBroker),
			int8(kmsg.ConfigResourceTypeBrokerLogger), clientMetrics, int8(kmsg.ConfigResourceTypeGroupConfig)}
	}
	image := c.view.Load().image
	add := func(kind int8, names ...string) {
		for _, name := range names {
			out := kmsg.NewListConfigResourcesResponseConfigResource()
			out.Name, out.Type = name, kind
			resp.ConfigResources = append(resp.ConfigResources, out)
		}
	}
	for _, kind := range kinds {
		switch kmsg.ConfigResourceType(kind) {
		case kmsg.ConfigResourceTypeTopic:
			for _, t := range image.Topics() {
				add(kind, t.Name)
			}
		case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger:
			add(kind, fmt.Sprint(c.node))
		case kmsg.ConfigResourceTypeGroupConfig:
			add(kind, image.GroupsConfigured()...)
		case clientMetrics:
		default:
			resp.ErrorCode, resp.ConfigResources = kerr.UnsupportedVersion.Code, nil
			return resp, nil
		}
	}
	return resp, nil
}

// clientMetrics is the kind of resource that says which metrics clients send.
const clientMetrics = 16
