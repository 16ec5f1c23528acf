package core

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
	"millrace/core/quota"
)

// AlterClientQuotas, v0 to v1: what entities may use is set or taken away. It
// holds for the next request. Who is over: see quotas.go.
//
//   - Users, client ids and their defaults (name null) have producer_byte_rate,
//     consumer_byte_rate, request_percentage and controller_mutation_rate;
//     addresses have connection_creation_rate. Every client is the user
//     ANONYMOUS.
//   - An unknown entity or key, a value that is not above 0, a fraction where
//     Kafka counts whole units, an entity or key named twice: INVALID_REQUEST.
//     Each entity is changed as a whole or not at all.
//   - validate only: everything is checked, nothing is changed.
func alterClientQuotas(c *call, req *kmsg.AlterClientQuotasRequest) (*kmsg.AlterClientQuotasResponse, error) {
	resp := kmsg.NewPtrAlterClientQuotasResponse()
	err := c.change(func(image *meta.Image) ([]meta.Record, error) {
		resp.Entries = resp.Entries[:0]
		var records []meta.Record
		first := map[string]int{} // by the entity's text: its place in the answer
		for i := range req.Entries {
			asked := &req.Entries[i]
			entity := quotaEntity(asked)
			text := quotaText(entity)
			if at, twice := first[text]; twice {
				f := faultf(kerr.InvalidRequest, "Ignoring duplicate entity %s", text)
				resp.Entries[at].ErrorCode, resp.Entries[at].ErrorMessage = f.code, f.text()
				continue
			}
			first[text] = len(resp.Entries)
			out := kmsg.NewAlterClientQuotasResponseEntry()
			for _, kind := range slices.Sorted(maps.Keys(entity)) {
				part := kmsg.NewAlterClientQuotasResponseEntryEntity()
				part.Type, part.Name = kind, entity[kind]
				out.Entity = append(out.Entity, part)
			}
			limits, f := newLimits(image, entity, text, asked.Ops)
			if f != nil {
				out.ErrorCode, out.ErrorMessage = f.code, f.text()
			} else if !req.ValidateOnly {
				records = append(records, meta.QuotaSet{Entity: entity, Limits: limits})
			}
			resp.Entries = append(resp.Entries, out)
		}
		// An entity that is named twice is not changed at all.
		return slices.DeleteFunc(records, func(r meta.Record) bool {
			return resp.Entries[first[quotaText(r.(meta.QuotaSet).Entity)]].ErrorCode != 0
		}), nil
	})
	if err != nil {
		f := changeFault(err)
		for i := range resp.Entries {
			if e := &resp.Entries[i]; e.ErrorCode == 0 {
				e.ErrorCode, e.ErrorMessage = f.code, f.text()
			}
		}
	}
	return resp, nil
}

// quotaEntity is who an entry is about; of a type named twice, the last counts,
// as in Kafka.
func quotaEntity(asked *kmsg.AlterClientQuotasRequestEntry) meta.QuotaEntity {
	e := meta.QuotaEntity{}
	for _, part := range asked.Entity {
		e[part.Type] = part.Name
	}
	return e
}

// quotaText is how Kafka writes an entity.
func quotaText(e meta.QuotaEntity) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(e)) {
		name := "null"
		if e[kind] != nil {
			name = *e[kind]
		}
		parts = append(parts, kind+"="+name)
	}
	return "ClientQuotaEntity(entries={" + strings.Join(parts, ", ") + "})"
}

// newLimits are an entity's limits after the operations.
func newLimits(image *meta.Image, e meta.QuotaEntity, text string, ops []kmsg.AlterClientQuotasRequestEntryOp) (map[string]float64, *fault) {
	named := map[string]bool{}
	for _, op := range ops {
		if named[op.Key] {
			return nil, faultf(kerr.InvalidRequest, "Ignoring duplicate entity %s", text) // Kafka's words
		}
		named[op.Key] = true
	}
	if f := quotaEntityFault(e); f != nil {
		return nil, f
	}
	limits := map[string]float64{}
	if q := image.Quota(e); q != nil {
		maps.Copy(limits, q.Limits)
	}
	_, address := e[quotaIP]
	for _, op := range ops {
		whole, known := quotaKeys[op.Key]
		switch {
		case !known || address != (op.Key == string(quota.Connect)):
			return nil, faultf(kerr.InvalidRequest, "Invalid configuration key %s", op.Key)
		case op.Remove:
			delete(limits, op.Key)
			continue
		case !(op.Value > 0): // NaN too
			return nil, faultf(kerr.InvalidRequest, "Quota %s must be greater than 0", op.Key)
		case whole && op.Value != math.Trunc(op.Value):
			return nil, faultf(kerr.InvalidRequest, "%s cannot be a fractional value.", op.Key)
		case math.IsInf(op.Value, 0):
			return nil, faultf(kerr.InvalidRequest, "Quota %s cannot be infinite", op.Key)
		}
		limits[op.Key] = op.Value
	}
	return limits, nil
}

// quotaKeys are what can be limited, and whether in whole units.
var quotaKeys = map[string]bool{
	string(quota.Produce): true,
	string(quota.Fetch):   true,
	string(quota.Request): false,
	string(quota.Mutate):  false,
	string(quota.Connect): true,
}

func quotaEntityFault(e meta.QuotaEntity) *fault {
	if len(e) == 0 {
		return faultf(kerr.InvalidRequest, "Invalid empty client quota entity")
	}
	for kind, name := range e {
		switch {
		case kind != quotaUser && kind != quotaClient && kind != quotaIP:
			return faultf(kerr.InvalidRequest, "Unhandled client quota entity type: %s", kind)
		case name != nil && *name == "":
			return faultf(kerr.InvalidRequest, "Empty %s not supported", kind)
		}
	}
	ip, given := e[quotaIP]
	switch {
	case given && len(e) > 1:
		return faultf(kerr.InvalidRequest, "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId") // sic
	case ip != nil:
		if _, err := netip.ParseAddr(*ip); err != nil {
			return faultf(kerr.InvalidRequest, "%s is not a valid IP or resolvable host.", *ip)
		}
	}
	return nil
}
