package core

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// DescribeClientQuotas, v0 to v1: the quotas of entities that match a filter.
//
//   - A component asks for an exact name, for the default, or for either. Types
//     that the filter does not name may be there too, unless it is strict; a
//     strict filter without components matches nothing.
//   - An unknown type of entity: UNSUPPORTED_VERSION. An empty or repeated type,
//     an address beside a user or client, a name that does not fit the kind of
//     match: INVALID_REQUEST.
func describeClientQuotas(c *call, req *kmsg.DescribeClientQuotasRequest) (*kmsg.DescribeClientQuotasResponse, error) {
	resp := kmsg.NewPtrDescribeClientQuotasResponse()
	if f := quotaFilterFault(req); f != nil {
		resp.ErrorCode, resp.ErrorMessage = f.code, f.text()
		return resp, nil
	}
	resp.ErrorMessage = kmsg.StringPtr("") // not null: so does Kafka
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	for _, q := range c.view.Load().image.Quotas() {
		if quotaMatches(req, q.Entity) {
			resp.Entries = append(resp.Entries, describeQuota(q))
		}
	}
	return resp, nil
}

// The kinds of match that a component can ask for.
const (
	quotaExact = iota
	quotaDefault
	quotaAny
)

func quotaFilterFault(req *kmsg.DescribeClientQuotasRequest) *fault {
	seen := map[string]bool{}
	for i := range req.Components {
		c := &req.Components[i]
		switch {
		case c.EntityType == "":
			return faultf(kerr.InvalidRequest, "Invalid empty entity type.")
		case seen[c.EntityType]:
			return faultf(kerr.InvalidRequest, "Entity type %s cannot appear more than once in the filter.", c.EntityType)
		case c.MatchType == quotaExact && c.Match == nil:
			return faultf(kerr.InvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null.")
		case c.MatchType == quotaDefault && c.Match != nil:
			return faultf(kerr.InvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
		case c.MatchType == quotaAny && c.Match != nil:
			return faultf(kerr.InvalidRequest, "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
		case c.MatchType < quotaExact || c.MatchType > quotaAny:
			return faultf(kerr.InvalidRequest, "Unknown match type %d", c.MatchType)
		case c.EntityType != quotaUser && c.EntityType != quotaClient && c.EntityType != quotaIP:
			return faultf(kerr.UnsupportedVersion, "Unsupported entity type %s", c.EntityType)
		}
		seen[c.EntityType] = true
	}
	if seen[quotaIP] && len(seen) > 1 {
		return faultf(kerr.InvalidRequest, "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.")
	}
	return nil
}

func quotaMatches(req *kmsg.DescribeClientQuotasRequest, e meta.QuotaEntity) bool {
	if req.Strict && len(e) != len(req.Components) {
		return false
	}
	for i := range req.Components {
		c := &req.Components[i]
		name, given := e[c.EntityType]
		switch {
		case !given,
			c.MatchType == quotaDefault && name != nil,
			c.MatchType == quotaExact && (name == nil || *name != *c.Match):
			return false
		}
	}
	return true
}

func describeQuota(q *meta.Quota) kmsg.DescribeClientQuotasResponseEntry {
	out := kmsg.NewDescribeClientQuotasResponseEntry()
	for _, kind := range slices.Sorted(maps.Keys(q.Entity)) {
		part := kmsg.NewDescribeClientQuotasResponseEntryEntity()
		part.Type, part.Name = kind, q.Entity[kind]
		out.Entity = append(out.Entity, part)
	}
	for _, key := range slices.Sorted(maps.Keys(q.Limits)) {
		v := kmsg.NewDescribeClientQuotasResponseEntryValue()
		v.Key, v.Value = key, q.Limits[key]
		out.Values = append(out.Values, v)
	}
	return out
}
