package core

import "github.com/twmb/franz-go/pkg/kmsg"

// JoinGroup, v0 to v9: a member asks to be in a group's next generation, and is
// answered when that begins.
//
//   - v0 has no rebalance timeout: the session timeout stands for it. Up to v3 a
//     new member joins at once; from v4 on it is first given its id, with
//     MEMBER_ID_REQUIRED. v5 brings group.instance.id; v9 tells a leader that has
//     come back that nothing is to be assigned.
//   - While the group is being loaded: COORDINATOR_LOAD_IN_PROGRESS; while there
//     is no __consumer_offsets: NOT_COORDINATOR. So for all of a group's APIs.
//   - A group too many (groups.max.count): POLICY_VIOLATION. A member too many,
//     or one that would make the group too large (group.max.bytes):
//     GROUP_MAX_SIZE_REACHED.
func joinGroup(c *groupCall, req *kmsg.JoinGroupRequest) { c.coordinate(req) }
