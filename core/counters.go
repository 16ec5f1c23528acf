package core

import "sync/atomic"

// counters count since the start; parked and offline go down again.
type counters struct {
	requests, refused    atomic.Int64
	produces, fetches    atomic.Int64
	batchesIn, recordsIn atomic.Int64
	bytesIn, bytesOut    atomic.Int64
	rejected, duplicates atomic.Int64
	parked, offline      atomic.Int64
	resumed              atomic.Int64
	coldReads, throttled atomic.Int64
	shared               atomic.Int64
}

// Counters is a reading of what a broker has done since its start.
type Counters struct {
	Requests   int64 // received, of any kind
	Refused    int64 // answered by closing the connection
	Produces   int64
	Fetches    int64 // answered
	BatchesIn  int64 // appended, duplicates included
	RecordsIn  int64
	BytesIn    int64 // of batches appended
	BytesOut   int64 // of batches given to consumers
	Rejected   int64 // batches that were refused
	Duplicates int64 // batches sent again by idempotent producers
	Parked     int64 // fetches waiting now
	Resumed    int64 // times that a waiting fetch was woken to read again
	Offline    int64 // partitions taken offline by their disk
	Throttled  int64 // answers to clients above their quota
	Shared     int64 // batches that went into a file together with others (append.mode=grouped)
	ColdReads  int64 // fetches that a worker read in first (cold.read=prefetch)
}

// Counters reads the counters. They are read one after the other, so that two
// of them may be from slightly different moments.
func (b *Broker) Counters() Counters {
	c := &b.counters
	return Counters{
		Requests: c.requests.Load(), Refused: c.refused.Load(),
		Produces: c.produces.Load(), Fetches: c.fetches.Load(),
		BatchesIn: c.batchesIn.Load(), RecordsIn: c.recordsIn.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Rejected: c.rejected.Load(), Duplicates: c.duplicates.Load(),
		Parked: c.parked.Load(), Resumed: c.resumed.Load(), Offline: c.offline.Load(),
		ColdReads: c.coldReads.Load(), Shared: c.shared.Load(), Throttled: c.throttled.Load(),
	}
}
