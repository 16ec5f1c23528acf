package core

import "github.com/twmb/franz-go/pkg/kmsg"

// LeaveGroup, v0 to v5: members leave. Up to v2 one, whose error is the
// answer's; from v3 on several, each with an error of its own, by member id or,
// as an operator does, by group.instance.id alone. v5 has a reason, which is not
// kept.
func leaveGroup(c *groupCall, req *kmsg.LeaveGroupRequest) { c.coordinate(req) }
