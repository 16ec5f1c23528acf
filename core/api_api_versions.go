package core

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions, v0 to v4: what this broker serves.
//
//   - v1 adds the throttle, v3 the client's name and version and the flexible
//     form, v4 can tell of features whose least level is 0: the older ones leave those
//     out of what is supported.
//   - A version newer than these is answered in the form of v0 with
//     UNSUPPORTED_VERSION and the row of ApiVersions itself, from which the
//     client can tell what to ask next.
//   - The header of the response is v0 in every version.
//   - From v3 name and version of the client must look like names; otherwise
//     INVALID_REQUEST.
func apiVersions(c *call, req *kmsg.ApiVersionsRequest) (*kmsg.ApiVersionsResponse, error) {
	resp := kmsg.NewPtrApiVersionsResponse()
	if req.Version >= 3 {
		if !softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion) {
			resp.ErrorCode = kerr.InvalidRequest.Code
			return resp, nil
		}
	}
	for _, a := range c.apis {
		if a != nil {
			resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{
				ApiKey: a.key, MinVersion: a.advertised, MaxVersion: a.max,
			})
		}
	}
	if req.Version >= 3 {
		image := c.store.Image()
		resp.FinalizedFeaturesEpoch = image.Version
		for _, f := range c.features() {
			if f.min > 0 || req.Version >= 4 {
				resp.SupportedFeatures = append(resp.SupportedFeatures, kmsg.ApiVersionsResponseSupportedFeature{Name: f.name, MinVersion: f.min, MaxVersion: f.max})
			}
			if level := f.level(image); level > 0 {
				resp.FinalizedFeatures = append(resp.FinalizedFeatures, kmsg.ApiVersionsResponseFinalizedFeature{Name: f.name, MaxVersionLevel: level, MinVersionLevel: level})
			}
		}
	}
	return resp, nil
}

// softwareName is the pattern of KIP-511.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (b *Broker) unsupportedApiVersions() *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	a := b.apis.find(int16(kmsg.ApiVersions))
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: a.key, MinVersion: a.advertised, MaxVersion: a.max}}
	return resp
}
