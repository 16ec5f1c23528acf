// Package load is the load generator: it drives producers and consumers against
// any Kafka-compatible broker on a schedule fixed in advance, records latency,
// and keeps an account of every record. It knows nothing of scenario files; a
// Spec tells it everything.
//
// The nouns. A Spec is what to do; Run does it and answers a Result. A Pacer
// says when each event of a phase is intended to start. A Client is a way to
// speak to a broker: kgo (franz-go: what an application sees) or lean
// (pre-encoded batches on raw sockets: what the broker can take). The recorder
// keeps five histograms for each phase. The ledger keeps account of every
// record: which were sent, acknowledged, and seen by each consumer group. A
// Sink is a broker that discards, for the generator's own ceiling.
//
// Time is nanoseconds since the start of the run on the monotonic clock.
package load
