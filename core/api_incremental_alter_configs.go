package core

import "github.com/twmb/franz-go/pkg/kmsg"

// IncrementalAlterConfigs, v0 to v1: settings are set, taken back, or, where
// they are lists, added to and taken from. Each resource is changed as a whole
// or not at all.
//
//   - A topic that is not there: UNKNOWN_TOPIC_OR_PARTITION. A setting that topics
//     do not have, a value that does not do, a list's operation on what is none:
//     INVALID_CONFIG. A resource or a setting named twice, no value, an unknown
//     operation or kind of resource: INVALID_REQUEST.
//   - A broker's settings, or (broker "") those of all: what topics go by where
//     they have none of their own, live. What is given at the start only:
//     INVALID_REQUEST. An unknown name is kept, means nothing, and is shown
//     without its value, as in Kafka.
//   - validate only: everything is checked, nothing is changed.
func incrementalAlterConfigs(c *call, req *kmsg.IncrementalAlterConfigsRequest) (*kmsg.IncrementalAlterConfigsResponse, error) {
	asked := make([]alteration, len(req.Resources))
	for i, r := range req.Resources {
		asked[i] = alteration{kind: r.ResourceType, name: r.ResourceName}
		for _, o := range r.Configs {
			asked[i].ops = append(asked[i].ops, configOp{o.Op, o.Name, o.Value})
		}
	}
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	for i, f := range c.alter(asked, req.ValidateOnly) {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = asked[i].kind, asked[i].name
		if f != nil {
			out.ErrorCode, out.ErrorMessage = f.code, f.text()
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}
