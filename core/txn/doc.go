// Package txn is the transaction coordinator: who may write under which
// transactional id, which partitions a transaction has, and how it ends. It does
// no I/O and has no clock.
//
// The nouns. A Machine holds every transactional id: its producer id and epoch,
// which change hands when a new incarnation asks for them, and the transaction
// that is under way. A step is handed the time and gives back Effects: Records to
// append to __transaction_state, and Decisions to carry out. A Decision is a
// transaction whose outcome is written down but not yet told: a marker has to go
// to each of its partitions, and then Complete says so.
//
// # Life of a transaction
//
//	        first partition added       EndTxn commit              markers written
//	Empty ─────────────────────▶ Ongoing ───────────▶ PrepareCommit ─────▶ CompleteCommit
//	  ▲                           │ │ ▲ EndTxn abort                            │
//	  │ InitProducerId            │ └─┼──────────────▶ PrepareAbort ──────▶ CompleteAbort
//	  │ (from any that is         │   │                    ▲                    │
//	  │  complete)                │   └─ next transaction ─┼────────────────────┤
//	  └───────────────────────────┼────────────────────────┼────────────────────┘
//	                              ▼                        │
//	                     PrepareEpochFence ────────────────┘
//	         a new incarnation, or the timeout: the epoch rises, so that
//	         whoever has the old one can write nothing more, and the
//	         transaction is aborted with the new one
//
// PrepareEpochFence is passed through within one step and never written down. An
// id unused for transactional.id.expiration.ms is Dead: its record is a
// tombstone.
//
// # Epochs
//
// A producer that names no id and epoch of its own takes over: the epoch rises,
// and the one before is fenced. One that names the current epoch goes on after
// an error of its own: the epoch rises too, and the one before is remembered, so
// that a request sent again gets the same answer. Any other is fenced. An epoch
// of 32766 is the last one given out: a new producer id begins at 0. The epoch
// above it serves to fence the last.
//
// In version 2 of transactions (EndRequest.Bump) every end raises the epoch as
// well, and the markers carry the new one: a late batch of the transaction that
// is over cannot get into the next. The producer is told the new epoch; with the
// old one, all that it may do is to send its EndTxn or InitProducerId again. The
// last epoch is followed by a new producer id here too, when the markers, which
// have the old id and the epoch above the last, are written.
//
// # Persistence
//
// The state is a fold over the records of __transaction_state, Kafka's own, one
// for each change (record.go). What was decided and not complete when the broker
// died is decided still: Loaded gives it back, to be carried out again. Markers
// that are written twice do no harm. The epoch before
// is kept only where an end has raised it.
//
// # Invariants
//
//   - A transaction is decided once, and only what is written down is told.
//   - Between the decision and Complete nothing changes: who asks meanwhile is
//     told CONCURRENT_TRANSACTIONS.
//   - An id's (producer id, epoch) pair is never given out twice, but to the
//     producer that sends its request again.
package txn
