package wire

import "github.com/twmb/franz-go/pkg/kmsg"

// DecodeKmsg decodes the body of a request other than Produce and Fetch by
// kmsg. Strings of the answer are copies; []byte fields are slices of body and
// live as long as it does.
//
// kmsg makes room for an array as soon as it has read its length, and believes
// any length up to the number of bytes left: 1 MiB of body can claim an array
// of a million structures, and so hundreds of megabytes. So the body is first
// walked by its shape, which takes no memory: every length has to be backed by
// bytes, and the whole has to be well formed, before kmsg sees any of it. What
// is then allocated is a small multiple of len(body).
//
// Errors are *Error: ErrUnknownKey where the API is none of those known here,
// ErrVersion, ErrTruncated and ErrMalformed.
func DecodeKmsg(key, version int16, body []byte) (kmsg.Request, error) {
	r := reader{src: body, key: key, version: version}
	shape, ok := shapes()[key]
	if !ok {
		r.fail(Error{Kind: ErrUnknownKey})
		return nil, r.err
	}
	req := kmsg.RequestForKey(key)
	if version < 0 || version > req.MaxVersion() {
		r.fail(Error{Kind: ErrVersion})
		return nil, r.err
	}
	req.SetVersion(version)
	r.flex = req.IsFlexible()
	r.walk(shape)
	if r.err != nil {
		return nil, r.err
	}
	if err := req.ReadFrom(body); err != nil {
		// Well formed, but null where this version has no null.
		r.malformed("body", 0, err.Error())
		return nil, r.err
	}
	return req, nil
}

// walk steps over one structure and the tags at its end.
func (r *reader) walk(fields []field) {
	for i := range fields {
		f := &fields[i]
		if r.err != nil {
			return
		}
		if r.version < f.from || r.version > f.to {
			continue
		}
		switch f.kind {
		case kindArray:
			for n := r.walkArray(f, r.least(f.element)); n > 0 && r.err == nil; n-- {
				r.walkScalar(f.path, f.element, false)
			}
		case kindStructs:
			for n := r.walkArray(f, r.leastOf(f.fields)); n > 0 && r.err == nil; n-- {
				r.walk(f.fields)
			}
		case kindStructOnce:
			if r.int8(f.path) >= 0 && r.err == nil {
				r.walk(f.fields)
			}
		default:
			r.walkScalar(f.path, f.kind, f.nullable)
		}
	}
	r.skipTags("tags")
}

func (r *reader) walkArray(f *field, least int) int {
	if f.nullable {
		return r.nullableArray(f.path, least)
	}
	return r.array(f.path, least)
}

func (r *reader) walkScalar(path string, k kind, nullable bool) {
	switch {
	case k == kindString && nullable:
		r.nullableString(path)
	case k == kindString:
		r.string(path)
	case k == kindBytes:
		r.nullableBytes(path)
	default:
		r.take(int(k), path)
	}
}

// least is the smallest encoding of a scalar.
func (r *reader) least(k kind) int {
	switch {
	case k < kindString:
		return int(k)
	case r.flex:
		return 1
	case k == kindString:
		return 2
	}
	return 4
}

// leastOf is the smallest encoding of a structure; at least 1.
func (r *reader) leastOf(fields []field) (n int) {
	for i := range fields {
		f := &fields[i]
		if r.version < f.from || r.version > f.to {
			continue
		}
		switch {
		case f.kind == kindStructOnce:
			n++
		case f.kind < kindArray:
			n += r.least(f.kind)
		case r.flex:
			n++
		default:
			n += 4
		}
	}
	if r.flex {
		n++
	}
	return max(n, 1)
}
