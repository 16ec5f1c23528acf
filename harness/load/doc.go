// Package load is the load generator: it drives producers and consumers against
// any Kafka-compatible broker on a schedule fixed in advance, records latency,
// and keeps an account of every record. It knows nothing of scenario files; a
// Spec tells it everything.
//
// The nouns. A Spec is what to do; Run does it and answers a Result. A Pacer
// says when each event of a phase is intended to start. A client is a way to
// speak to a broker: kgo (franz-go: what an application sees) or lean
// (pre-encoded batches on raw sockets: what the broker can take). The recorder
// keeps five histograms for each phase. The ledger keeps account of every
// record: which were sent, acknowledged, and seen by each consumer group. A
// Sink is a broker that discards, for the generator's own ceiling.
//
// The way through the code: run.go puts a run together; drive.go walks each
// producer through the schedule (pacer.go) and hands what is due to its client
// (client.go; kgo*.go, lean*.go), which books it in the recorder (recorder.go)
// and the ledger (ledger.go); watch.go keeps the time, and ends it. Values,
// keys and lean's batches are made before it begins (payload.go, keys.go,
// template.go).
//
// Invariants. An intended start never moves, and no arrival is left out. A
// latency counts from the intended start and belongs to the phase of the
// intended start; a rate counts what happened in the phase. A record's sequence
// number counts within its producer and partition. Locks are taken in this
// order: a shard; then a connection or a reading; then a stream.
//
// Time is nanoseconds since the start of the run on the monotonic clock.
package load
