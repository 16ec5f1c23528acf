package core

import "github.com/twmb/franz-go/pkg/kmsg"

// SyncGroup, v0 to v5: a member asks for its assignment, and is answered when
// the leader has sent them all.
//
//   - v3 brings group.instance.id. v5 has to name the protocol, and is told it
//     back; another one than the generation's: INCONSISTENT_GROUP_PROTOCOL.
//   - An assignment that would make the group too large: UNKNOWN_SERVER_ERROR,
//     as Kafka has it where its log refuses the record.
func syncGroup(c *groupCall, req *kmsg.SyncGroupRequest) { c.coordinate(req) }
