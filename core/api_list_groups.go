package core

import "github.com/twmb/franz-go/pkg/kmsg"

// ListGroups, v0 to v5: all groups. v4 brings a filter by state, and tells it;
// v5 the same by type: classic, or consumer (KIP-848). While any of them is
// being loaded: COORDINATOR_LOAD_IN_PROGRESS for the whole.
func listGroups(c *groupCall, req *kmsg.ListGroupsRequest) { c.coordinate(req) }
