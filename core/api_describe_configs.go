package core

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeConfigs, v1 to v4: the settings of topics, of groups and of this broker.
//
//   - A topic's settings come from the topic, else from what this broker was told
//     while it ran, else from what all were told, else from the broker's start,
//     else from the default; the synonyms, when asked for, are these in that
//     order. A broker's are read-only where they are given at its start only.
//   - Names given pick settings; unknown ones are left out. v3 adds each
//     setting's type, and its documentation when asked for.
//   - Broker "": the settings that hold for all brokers by a dynamic change.
//   - A broker's setting of an unknown name is told without its value, as it may
//     be a secret of a program's.
func describeConfigs(c *call, req *kmsg.DescribeConfigsRequest) (*kmsg.DescribeConfigsResponse, error) {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for i := range req.Resources {
		r := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
		out.ErrorMessage = kmsg.StringPtr("") // not null: so does Kafka
		list, f := c.configsOf(r)
		if f != nil {
			out.ErrorCode, out.ErrorMessage = f.code, kmsg.StringPtr(f.message)
		}
		for _, s := range list {
			if len(r.ConfigNames) == 0 || slices.Contains(r.ConfigNames, s.name) {
				out.Configs = append(out.Configs, describeSetting(req, s))
			}
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

func (b *Broker) configsOf(r *kmsg.DescribeConfigsRequestResource) ([]setting, *fault) {
	switch r.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if f := topicNameFault(r.ResourceName); f != "" {
			return nil, faultf(kerr.InvalidTopicException, "%s", f)
		}
		t := b.view.Load().image.Topic(r.ResourceName)
		if t == nil {
			return nil, &fault{code: kerr.UnknownTopicOrPartition.Code}
		}
		return b.topicListing(t.Configs), nil
	case kmsg.ConfigResourceTypeBroker:
		if r.ResourceName == "" {
			return b.allBrokersListing(), nil
		}
		id, err := strconv.Atoi(r.ResourceName)
		if err != nil {
			return nil, faultf(kerr.InvalidRequest, "Broker id must be an integer, but it is: %s", r.ResourceName)
		}
		if id != int(b.node) {
			return nil, faultf(kerr.InvalidRequest, "Unexpected broker id, expected %d or empty string, but received %s", b.node, r.ResourceName)
		}
		return b.brokerListing(), nil
	case kmsg.ConfigResourceTypeBrokerLogger:
		if r.ResourceName == "" {
			return nil, faultf(kerr.InvalidRequest, "Broker id must not be empty")
		}
		if id, err := strconv.Atoi(r.ResourceName); err != nil || id != int(b.node) {
			return nil, faultf(kerr.InvalidRequest, "Unexpected broker id, expected %d but received %s", b.node, r.ResourceName)
		}
		return nil, nil // there is one logger, whose level is the process's
	case kmsg.ConfigResourceTypeGroupConfig:
		return b.groupListing(r.ResourceName)
	}
	return nil, faultf(kerr.InvalidRequest, "%s", kerr.InvalidRequest.Description)
}

func describeSetting(req *kmsg.DescribeConfigsRequest, s setting) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	told := func(value string) *string {
		if s.sensitive {
			return nil
		}
		return &value
	}
	out.Name, out.Value, out.ReadOnly, out.IsSensitive = s.name, told(s.value), s.readOnly, s.sensitive
	out.Source, out.ConfigType = s.source, s.kind
	out.IsDefault = s.source == kmsg.ConfigSourceDefaultConfig
	if req.IncludeDocumentation {
		out.Documentation = kmsg.StringPtr(s.doc)
	}
	if req.IncludeSynonyms {
		for _, y := range s.synonyms {
			o := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			o.Name, o.Value, o.Source = y.name, told(y.value), y.source
			out.ConfigSynonyms = append(out.ConfigSynonyms, o)
		}
	}
	return out
}
