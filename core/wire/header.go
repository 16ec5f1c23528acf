package wire

// Header opens every request.
type Header struct {
	// Key and Version name the request, and thereby the form of its body and
	// of its response.
	Key, Version int16
	// CorrelationID comes back in the response.
	CorrelationID int32
	// ClientID is what the client calls itself; nil: null. After ParseHeader
	// it is a slice of the frame.
	ClientID []byte
}

// ParseHeader reads the header of a frame (a request without its 4-byte
// length) and answers the body, a slice of the frame.
//
// An unknown key fails with ErrUnknownKey, and the header then holds what could
// be read: the key, the version and the correlation id. The version is not
// judged: a broker answers one it does not serve with the protocol's own error.
func ParseHeader(frame []byte) (h Header, body []byte, err error) {
	r := reader{src: frame}
	h.Key = r.int16("api key")
	r.key = h.Key
	h.Version = r.int16("api version")
	r.version = h.Version
	h.CorrelationID = r.int32("correlation id")
	if r.err == nil && !known(h.Key) {
		r.fail(Error{Kind: ErrUnknownKey, Field: "api key"})
	}
	h.ClientID = r.nullableString("client id") // classic in every version
	if r.flex = Flexible(h.Key, h.Version); r.flex {
		r.skipTags("header tags")
	}
	if r.err != nil {
		return h, nil, r.err
	}
	return h, frame[r.off:], nil
}

// AppendRequestHeader appends h. The 4-byte frame length before it is the
// caller's, as is the body after it.
func AppendRequestHeader(dst []byte, h Header) []byte {
	dst = appendInt16(dst, h.Key)
	dst = appendInt16(dst, h.Version)
	dst = appendInt32(dst, h.CorrelationID)
	dst = appendNullableString(dst, false, h.ClientID)
	return appendNoTags(dst, Flexible(h.Key, h.Version))
}

// AppendResponseHeader appends the header of a response to a request of the
// given key and version, without the 4-byte frame length.
func AppendResponseHeader(dst []byte, key, version int16, correlationID int32) []byte {
	dst = appendInt32(dst, correlationID)
	return appendNoTags(dst, flexibleResponse(key, version))
}

// ParseResponseHeader reads the header of a response frame (without its 4-byte
// length) to a request of the given key and version.
func ParseResponseHeader(frame []byte, key, version int16) (correlationID int32, body []byte, err error) {
	r := reader{src: frame, key: key, version: version, response: true}
	correlationID = r.int32("correlation id")
	r.flex = flexibleResponse(key, version)
	r.skipTags("header tags")
	if r.err != nil {
		return correlationID, nil, r.err
	}
	return correlationID, frame[r.off:], nil
}

// flexibleResponse says whether a response has header v1.
func flexibleResponse(key, version int16) bool {
	return key != KeyApiVersions && Flexible(key, version)
}
