// Package group is the coordinator of groups: who is a member, in which generation
// or epoch, what is assigned to whom, and which offsets the group committed. It does
// no I/O and knows nothing of connections.
//
// A group is of one of two types. In a classic group the members meet at a barrier
// and one of them, the leader, assigns; that is what the sections below are about,
// where they do not say otherwise. In one of the type consumer (KIP-848) the
// coordinator assigns, and each member moves there by itself (consumerGroup). A group
// turns from one type to the other with its members in it (migrate.go).
//
// The nouns. A shard is one partition of __consumer_offsets and all groups
// whose id hashes to it: a pure state machine that is handed the time with
// every step and gives back effects, which are records to append and replies
// to send. A group moves between the states Empty, PreparingRebalance,
// CompletingRebalance and Stable; one that nobody knows of is Dead. A member is
// one consumer; its JoinGroup and SyncGroup are parked on it until the barrier
// they wait for. The Coordinator owns the shards, one lock each, and carries
// the effects out: records to a Log, replies to whoever asked.
//
// # Life of a rebalance
//
//	Empty ─ first member joins ─▶ PreparingRebalance     joins are parked; ends when all known
//	  ▲                             │        ▲            members have joined, or at the rebalance
//	  │ nobody left                 │        │            timeout (the first time: after
//	  └─────────────────────────────┤        │            group.initial.rebalance.delay.ms)
//	                 all have joined│        │
//	                                ▼        │ a member joins, leaves,
//	                     CompletingRebalance─┤ or is not heard of in time
//	         syncs are parked; the leader's  │
//	         sync brings the assignments     │
//	                                ▼        │
//	                              Stable ────┘
//
// # Persistence
//
// The state is a fold over the records of __consumer_offsets, in Kafka's own
// formats (record.go). Loading the records of a partition into a fresh
// Coordinator gives one that answers as the old one did, but for what is not
// kept: parked requests, members that have an id but never joined, and a
// rebalance under way (the group comes back in the generation before it, and
// its members learn by their next heartbeat that they must join again). Of a
// group of the type consumer only the timers are not kept.
//
// # Order and locking
//
// Every shard has a lock, mu; a step, the append of its records, and the taking
// of its place in the reply queue happen under it, so that the order of the log
// is the order of the steps. Replies leave in the order of their steps, each
// not before the Log has said that all records of its step and of earlier ones
// are kept; so no client sees a state that a crash could take back. The queue
// has its own lock, taken after mu or alone. Locks of two shards are never held
// at once. Log.Append is called under mu and may call done at once; an Answer
// may be called under mu too and must not call into the Coordinator.
//
// When an append fails the log has failed for good: the shard answers whatever
// is parked or queued, and every later request, with NOT_COORDINATOR.
//
// # Invariants
//
//   - No partition has two owners in a group of the type consumer: one that is to be
//     given up has its owner until that one has said so, or is gone.
//   - A request is answered exactly once.
//   - A group that is not Empty has exactly one leader, and it is a member.
//   - Parked joins exist only in PreparingRebalance, parked syncs only in
//     CompletingRebalance.
//   - All members of a Stable group hold what the leader of this generation
//     sent for them, or nothing.
//   - Every member has a session timer, unless it is parked, when its reply will
//     start one. A group that is being rebalanced has a timer that ends the stage.
package group
