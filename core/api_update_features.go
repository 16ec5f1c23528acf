package core

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// UpdateFeatures, v0 to v2: the levels of features that the cluster goes by. Kept
// in the metadata log; clients that are connected learn of it when they connect
// again.
//
//   - All or none. What cannot be is INVALID_UPDATE_VERSION: a feature that there
//     is not, a level outside the supported ones, a downgrade that is not asked
//     for as one. A feature named twice: INVALID_REQUEST.
//   - v0 has a flag for a downgrade, v1 its type (safe and unsafe are the same
//     here: no level takes anything away) and validate only.
//   - A fault is one error for all, and no results, whatever the version, as
//     Kafka 4 answers. Before v2 each feature that was changed has a result.
func updateFeatures(c *call, req *kmsg.UpdateFeaturesRequest) (*kmsg.UpdateFeaturesResponse, error) {
	resp := kmsg.NewPtrUpdateFeaturesResponse()
	var fault *featureFault
	err := c.change(func(image *meta.Image) (records []meta.Record, err error) {
		records, fault = c.featureLevels(image, req)
		if fault != nil || req.ValidateOnly {
			return nil, nil
		}
		return records, nil
	})
	switch {
	case err != nil:
		c.log.Error("could not change the level of a feature", "err", err)
		resp.ErrorCode = kerr.KafkaStorageError.Code
	case fault != nil:
		resp.ErrorCode, resp.ErrorMessage = fault.code, kmsg.StringPtr("The update failed for all features since the following feature had an error: "+fault.text)
	}
	if resp.ErrorCode == 0 && req.Version < 2 {
		for _, u := range req.FeatureUpdates {
			r := kmsg.NewUpdateFeaturesResponseResult()
			r.Feature = u.Feature
			resp.Results = append(resp.Results, r)
		}
	}
	return resp, nil
}

// featureFault is what is wrong with a request.
type featureFault struct {
	code int16
	text string
}

func (b *Broker) featureLevels(image *meta.Image, req *kmsg.UpdateFeaturesRequest) (records []meta.Record, fault *featureFault) {
	seen := map[string]bool{}
	for _, u := range req.FeatureUpdates {
		if u.Feature == "" || seen[u.Feature] {
			return nil, &featureFault{kerr.InvalidRequest.Code, fmt.Sprintf("feature %q is named twice, or not at all", u.Feature)}
		}
		seen[u.Feature] = true
		kind := u.UpgradeType
		if req.Version == 0 {
			if kind = upgrade; u.AllowDowngrade {
				kind = safeDowngrade
			}
		}
		f, known := b.feature(u.Feature)
		if why := f.refuse(b.node, image, known, u.MaxVersionLevel, kind); why != "" {
			return nil, &featureFault{kerr.InvalidUpdateVersion.Code, fmt.Sprintf("Invalid update version %d for feature %s. %s", u.MaxVersionLevel, u.Feature, why)}
		}
		if u.MaxVersionLevel != f.level(image) {
			records = append(records, meta.FeatureLevel{Name: u.Feature, Level: u.MaxVersionLevel})
		}
	}
	return records, nil
}
