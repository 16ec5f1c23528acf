package core

import "github.com/twmb/franz-go/pkg/kmsg"

// AlterConfigs, v0 to v2: a topic's own settings are replaced as a whole by
// those given; what is not named goes back to the broker's. For the rest see
// IncrementalAlterConfigs.
func alterConfigs(c *call, req *kmsg.AlterConfigsRequest) (*kmsg.AlterConfigsResponse, error) {
	asked := make([]alteration, len(req.Resources))
	for i, r := range req.Resources {
		asked[i] = alteration{kind: r.ResourceType, name: r.ResourceName, replace: true}
		for _, o := range r.Configs {
			asked[i].ops = append(asked[i].ops, configOp{kmsg.IncrementalAlterConfigOpSet, o.Name, o.Value})
		}
	}
	resp := kmsg.NewPtrAlterConfigsResponse()
	for i, f := range c.alter(asked, req.ValidateOnly) {
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = asked[i].kind, asked[i].name
		if f != nil {
			out.ErrorCode, out.ErrorMessage = f.code, f.text()
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}
