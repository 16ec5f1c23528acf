package core

import "github.com/twmb/franz-go/pkg/kmsg"

// Heartbeat, v0 to v4: a member lives, and learns by REBALANCE_IN_PROGRESS that
// it has to join again. v3 brings group.instance.id. While the group is being
// loaded it is answered without an error: nobody has to rejoin for that.
func heartbeat(c *groupCall, req *kmsg.HeartbeatRequest) { c.coordinate(req) }
