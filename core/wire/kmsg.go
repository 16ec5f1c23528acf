package wire

import "github.com/twmb/franz-go/pkg/kmsg"

// DecodeKmsg decodes the body of any request but Produce and Fetch. Strings and
// bytes of the answer may be slices of body: they live as long as it does.
func DecodeKmsg(key, version int16, body []byte) (kmsg.Request, error) {
	req := kmsg.RequestForKey(key)
	if req == nil {
		return nil, &Error{Kind: ErrUnknownKey, Key: key, Version: version}
	}
	if version < 0 || version > req.MaxVersion() {
		return nil, &Error{Kind: ErrVersion, Key: key, Version: version}
	}
	req.SetVersion(version)
	if err := req.ReadFrom(body); err != nil {
		return nil, &Error{Kind: ErrTruncated, Key: key, Version: version, Field: "body", Need: len(body) + 1, Have: len(body)}
	}
	return req, nil
}
