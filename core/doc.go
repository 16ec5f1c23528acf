// Package core is the broker: topics, partitions, and one handler for each
// Kafka API.
//
// The nouns. A Broker owns a data directory and a listener. Its metadata is a
// log of records folded into an image (package meta); a view is that image
// together with the partitions that serve it here, replaced as a whole, so that
// requests look things up without a lock. A partition orders the appends to one
// diskio.Log, remembers its producers (package producers), and knows up to where
// consumers may see. An api is one row of the table of what is served: a key,
// versions and a handler, each in its own file api_NAME.go with what its
// versions mean at the top. A produce and a fetch are one request each from its
// decoding to its answer.
//
// # Where things run
//
// Requests arrive on their connection's loop (loop.Serve). Produce and Fetch
// decode themselves and are done there, down to the write into the page cache.
// What may wait for a disk or a lock that is held meanwhile goes to workers: a
// change of the metadata, a look for a time, a cold read. Acknowledgements that
// sync.policy defers come from its sync workers. One timer wakes all fetches
// whose wait is over, and one goroutine does the chores: checkpoints, retention,
// the forgetting of silent producers.
//
// # Locks
//
// In this order: Broker.changeMu (metadata changes, and the partitions follow),
// the meta.Store's own, partition.mu (append order), partition.waitMu (who waits
// for the partition), fetchSession.mu, deadlines.mu, netio's own. sessions.mu is
// held alone. dataDir.mu is taken last and
// holds nothing else. Reads take none.
// txnLane.mu (transactions) is taken after partition.mu of any partition but those
// of __transaction_state, and before theirs: a batch that begins a transaction
// asks whether it may. Markers are written without it.
//
// # Invariants
//
//   - A metadata change is on stable storage before anyone sees it.
//   - A partition's appends get their offsets and reach its log in one order,
//     that of partition.mu.
//   - Nothing at or past a partition's visible end is given to a consumer, and
//     the visible end moves only where sync.policy's promise holds.
//   - Every frame is answered exactly once; a parked fetch is unlinked from
//     everything that could wake it before it is answered.
//   - After a disk error a partition is offline until the next start; nothing is
//     tried again as if nothing had happened.
package core
