package wire

// Elements of a reused structure that outlive a Reset. A message of ordinary
// size then costs no allocation, and one monstrous message does not leave its
// memory behind in every structure it passed through.
const (
	keepTopics     = 256
	keepPartitions = 1024
)

// grow makes s one element longer and answers that element, which still holds
// what it held in an earlier use: its slices can be reused, and every field has
// to be set.
func grow[T any](s *[]T) *T {
	if n := len(*s); n < cap(*s) {
		*s = (*s)[:n+1]
	} else {
		var zero T
		*s = append(*s, zero)
	}
	return &(*s)[len(*s)-1]
}

// shrink empties s, and lets its memory go where that is more than keep
// elements.
func shrink[T any](s []T, keep int) []T {
	if cap(s) > keep {
		return nil
	}
	return s[:0]
}

// NodeEndpoint is where a broker can be reached; it comes with a response that
// says another broker is the leader.
type NodeEndpoint struct {
	ID   int32
	Host []byte
	Port int32
	Rack []byte // nil: null
}

// minNodeEndpoint is its smallest flexible form.
const minNodeEndpoint = 4 + 1 + 4 + 1 + 1

// LeaderHint names a partition's current leader, for a client that asked the
// wrong broker. The zero value says nothing and is not sent.
type LeaderHint struct {
	Known     bool
	ID, Epoch int32
}

const leaderHintSize = 4 + 4 + 1

func (l *LeaderHint) append(dst []byte, tag uint32) []byte {
	dst = appendTag(dst, tag, leaderHintSize)
	dst = appendInt32(dst, l.ID)
	dst = appendInt32(dst, l.Epoch)
	return append(dst, 0)
}

func (l *LeaderHint) decode(v *reader, field string) {
	l.ID, l.Epoch = v.int32(field), v.int32(field)
	if l.Known = l.ID != -1 || l.Epoch != -1; !l.Known {
		*l = LeaderHint{} // sent, and yet says nothing
	}
	v.skipTags(field)
}

func appendNodeEndpoints(dst []byte, tag uint32, nodes []NodeEndpoint) []byte {
	size := uvarintLen(uint32(len(nodes)) + 1)
	for i := range nodes {
		n := &nodes[i]
		size += 4 + uvarintLen(uint32(len(n.Host))+1) + len(n.Host) + 4 + 1
		if n.Rack == nil {
			size++
		} else {
			size += uvarintLen(uint32(len(n.Rack))+1) + len(n.Rack)
		}
	}
	dst = appendTag(dst, tag, size)
	dst = appendArrayLen(dst, true, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		dst = appendInt32(dst, n.ID)
		dst = appendString(dst, true, n.Host)
		dst = appendInt32(dst, n.Port)
		dst = appendNullableString(dst, true, n.Rack)
		dst = append(dst, 0)
	}
	return dst
}

func decodeNodeEndpoints(v *reader, nodes []NodeEndpoint) []NodeEndpoint {
	nodes = nodes[:0]
	for n := v.array("nodes", minNodeEndpoint); n > 0 && v.err == nil; n-- {
		e := grow(&nodes)
		e.ID = v.int32("nodes.id")
		e.Host = v.string("nodes.host")
		e.Port = v.int32("nodes.port")
		e.Rack = v.nullableString("nodes.rack")
		v.skipTags("nodes.tags")
	}
	return nodes
}
