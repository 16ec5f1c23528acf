package core

import "github.com/twmb/franz-go/pkg/kmsg"

// ConsumerGroupHeartbeat, v0 and v1 (KIP-848): a member of a group whose partitions
// the broker assigns says that it is there, what it subscribes to and what it owns,
// and is told what to own.
//
//   - v1 brings a subscription by regular expression (RE2), resolved here, and has
//     the client choose its member id.
//   - Epoch 0 joins; a classic group is turned into one of the new type, where
//     group.consumer.migration.policy lets it, else GROUP_ID_NOT_FOUND. -1 leaves;
//     -2 leaves for now, for static members.
//   - An epoch that is not the member's: FENCED_MEMBER_EPOCH, and the member has to
//     start over. The one before counts as long as nothing was added since.
//   - A group.instance.id that another member bears: UNRELEASED_INSTANCE_ID to who
//     joins, FENCED_INSTANCE_ID to who is in.
//   - group.coordinator.rebalance.protocols without consumer: UNSUPPORTED_VERSION.
func consumerGroupHeartbeat(c *groupCall, req *kmsg.ConsumerGroupHeartbeatRequest) { c.coordinate(req) }
