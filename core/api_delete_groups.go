package core

import "github.com/twmb/franz-go/pkg/kmsg"

// DeleteGroups, v0 to v2: groups without members, with their offsets. Unknown:
// GROUP_ID_NOT_FOUND; with members: NON_EMPTY_GROUP. One that is named twice is
// answered once.
func deleteGroups(c *groupCall, req *kmsg.DeleteGroupsRequest) { c.coordinate(req) }
