package load

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Spec is a run of load: who sends what to whom, and when.
type Spec struct {
	// Client is one of Clients.
	Client string
	// Brokers are the bootstrap addresses, HOST:PORT.
	Brokers []string
	// Topics must exist when the run begins. Records already in them are left
	// alone: the run starts from each partition's end.
	Topics []Topic

	Payload   Payload
	Keys      Keys
	Producers Producers
	Consumers Consumers
	Transform Transform

	// Phases follow one another without a gap. A last phase of kind Drain says
	// how long to wait for what is still on its way; without one the wait is
	// 10 s.
	Phases []Phase
	// Seed decides every random choice of payloads, keys and partitions.
	Seed uint64

	// Spin is how long a producer busy-waits before an intended start, in place
	// of sleeping: more precise, at the price of CPU that the target may need.
	// 0: it never does.
	Spin time.Duration
	// Congestion is the TCP congestion control of the load's connections (reno,
	// cubic, bbr), for comparisons; "": the system's. Linux only.
	Congestion string
	// GiveUp ends the run with ErrTargetGone once records have been waiting and
	// nothing was acknowledged for so long. 0: never; the phases' end bounds
	// the run anyway.
	GiveUp time.Duration
	// Curtail, once closed, ends the sending: the drain begins at once and goes
	// on as long as it was to, so that what was acknowledged is still read. For
	// a target that died and came back. nil: never.
	Curtail <-chan struct{}
	// Watchful looks a hundred times a second, not ten times, whether records are
	// still acknowledged: for runs whose target is made to fail.
	Watchful bool
	// Timeline is what the clients do beside sending and reading, by the clock.
	Timeline []Action
	// OnRelease is called as a Hold ends, before its group reads again. nil: nobody
	// asks.
	OnRelease func()
	// Verify is asked once, after the drain. True: everything is read once more
	// from where the log ended before the run, by nobody's group, so that the
	// ledger also judges what had been read before the target died. It may take
	// as long as the sending did. nil: never.
	Verify func() bool
	// Retain keeps what the lean client knows of each batch until then, at 48 bytes
	// each: without it a verification checks CRCs and numbers, not contents.
	Retain bool
	// SkipReadBack leaves records unread where there are no consumer groups.
	// Otherwise they are read back once after the drain, for the ledger, which
	// may take as long as the sending did.
	SkipReadBack bool

	// OnPhase is called as a phase begins, with its index, and once with
	// len(Phases) when the run is over. It holds up the bookkeeping, never the
	// load. nil: nobody asks.
	OnPhase func(phase int)
	// OnSample is called about once a second. The sample's histograms are valid
	// until it returns. nil: nobody asks.
	OnSample func(Sample)
	// Logger receives what a person should know while it runs; nil: discarded.
	Logger *slog.Logger

	env  environment
	part *part // nil: the whole run
}

// environment is what a run has from outside; the zero value is the real one.
type environment struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	sleep func(time.Duration)
}

// Topic is a topic and the number of its partitions.
type Topic struct {
	Name       string
	Partitions int
}

// Generators of payloads.
const (
	JSONEvents = "json-events" // log-like events, about 4:1 compressible
	Random     = "random"      // bytes of a stated compressibility
	File       = "file"        // the lines of a file
)

// Payload says what the values are made of. They are generated before the run
// into a pool which the run walks through, so that making them is not part of
// what is measured.
type Payload struct {
	Generator string // JSONEvents, Random, File
	// Sizes of the values in bytes; not used by File, where a value is a line.
	Size Size
	// Path of the file, for File.
	Path string
	// Compressibility is uncompressed size / compressed size, for Random: 1 is
	// incompressible. 0: 1.
	Compressibility float64
	// Headers of each record, and the bytes of each one's value. Their keys are
	// h0, h1, …
	Headers, HeaderBytes int
	// PoolBytes bounds the pool. 0: 32 MiB; with the lean client and no keys 8 MiB,
	// or 16 batches.
	PoolBytes int64
}

// Distributions of sizes.
const (
	Fixed     = "fixed"     // all Mean
	Uniform   = "uniform"   // evenly between Min and Max
	LogNormal = "lognormal" // around Mean, long tail, cut at Min and Max
	Weighted  = "weighted"  // each of Weights as often as it says
)

// Size is a distribution of sizes in bytes.
type Size struct {
	Distribution   string // "": Fixed
	Mean, Min, Max int    // Fixed uses Mean, Uniform uses Min and Max, LogNormal all three
	Weights        []Weight
}

// Weight is a size and how often it comes, in relation to the others.
type Weight struct {
	Bytes int
	Share float64
}

// Distributions of keys. Uniform is one too.
const (
	NoKeys     = "none"        // null keys; partitions are filled a batch at a time
	RoundRobin = "round-robin" // keys 0 to Count-1 in turn
	Zipf       = "zipf"        // a few keys are frequent: key k has weight 1/(k+1)^Exponent
)

// Keys says which keys the records carry. A keyed record goes to the partition
// that Kafka's own clients choose for its key (murmur2).
type Keys struct {
	Distribution string  // "": NoKeys
	Count        int     // different keys
	Exponent     float64 // Zipf; 0: 1.1
}

// Acks a producer may ask for.
const (
	AcksNone   int16 = 0
	AcksLeader int16 = 1
	AcksAll    int16 = -1
)

// Producers are Count clients which share the schedule evenly.
type Producers struct {
	Count       int
	Acks        int16
	Linger      time.Duration
	BatchBytes  int    // batch.size; 0: 64 KiB
	Compression string // none, gzip, snappy, lz4, zstd; "": none
	Idempotent  bool
	// MaxInFlight is the number of produce requests of one producer that may be
	// unanswered. 0: the client's own default.
	MaxInFlight int
	// MaxBuffered is the number of records that one producer holds before its
	// send call blocks. 0: the client's own default. Lean holds what is in
	// flight, and no more.
	MaxBuffered int
	// Retries after a failed request, kgo only; -1: the client's default, which
	// is to go on for ever. Without Idempotent, a retry may double records, and
	// the ledger will say so.
	Retries int
	// Transaction groups the records of a producer; kgo only, with Idempotent.
	Transaction Transaction
}

// Transaction says how a producer's records are grouped. A record counts as
// acknowledged when its transaction is committed.
type Transaction struct {
	Records int     // in each; 0: no transactions
	Abort   float64 // share of them that is aborted, 0 to 1, by the seed
}

// Transform is consume-transform-produce, exactly once: workers read the run's
// topics as a group, and write each record to the output topic of the same place
// in the list and the same partition, in transactions that carry their offsets.
// The run's consumers then read the outputs, and the ledger compares what was
// acknowledged at the input with what they see there.
type Transform struct {
	Workers int     // 0: there is no transform
	Outputs []Topic // as many as Topics, of as many partitions each
	// Interval is how long a transaction gathers. 0: 100 ms.
	Interval time.Duration
	Abort    float64 // share of the transactions that is aborted, and done again
}

// Consumers are Groups, each of which reads everything once, by Members that
// share the partitions among them.
type Consumers struct {
	Groups, Members int
	// Protocol is how members come by their partitions: one of Protocols. "":
	// Direct.
	Protocol string
	// SessionTimeout is how long a group waits for a silent member. 0: 10 s.
	SessionTimeout time.Duration
	// Commit is how often members commit; 0: 1 s.
	Commit time.Duration
	// Committed leaves open and aborted transactions unread (read_committed).
	Committed      bool
	MinBytes       int           // fetch.min.bytes; 0: 1
	MaxWait        time.Duration // fetch.max.wait; 0: 500 ms
	FetchBytes     int           // fetch.max.bytes; 0: 8 MiB
	PartitionBytes int           // max.partition.fetch.bytes; 0: 1 MiB
	// Records makes the lean consumer decode every record of every batch; kgo
	// always does.
	Records bool
	// Discard makes the lean consumer take the headers of batches and leave their
	// records in the kernel, which drops them: nothing is checked but what the
	// headers say (see Spec.Verify), and reading costs next to nothing.
	Discard bool
}

// Ways for members to come by their partitions.
const (
	Direct     = "direct"   // dealt out by the generator; nobody joins or leaves
	Classic    = "classic"  // the group protocol: JoinGroup, SyncGroup, Heartbeat
	ServerSide = "consumer" // the group protocol of KIP-848: ConsumerGroupHeartbeat
)

func (c Consumers) grouped() bool { return c.Protocol == Classic || c.Protocol == ServerSide }

// Protocols names them.
func Protocols() []string { return []string{Direct, Classic, ServerSide} }

// PhaseKind is what a phase is for.
type PhaseKind int

// The kinds of phases.
const (
	Warmup PhaseKind = iota // load that does not count
	Steady                  // load that counts
	Pause                   // nothing new is sent
	Drain                   // nothing new is sent until all is seen, at most Len; last
	RampUp                  // load on its way to a speed, with figures of its own
	Burst                   // load out of the ordinary, with figures of its own
)

func (k PhaseKind) String() string {
	return [...]string{"warmup", "steady", "pause", "drain", "ramp", "burst"}[k]
}

// sends says that producers are at work in the phase.
func (k PhaseKind) sends() bool { return k != Pause && k != Drain }

// Phase is a stretch of the run.
type Phase struct {
	Name string // "": its kind
	Kind PhaseKind
	Len  time.Duration
	// Pacer is the schedule of the whole phase, over all producers. nil: closed
	// loop, each producer sends as fast as the target takes it, and an event is
	// intended to start when it does.
	Pacer Pacer
	// Producers is how many of the producers send, the first ones; 0: all.
	Producers int
	// Members is how many members each group has from the phase's begin on; 0: as
	// many as before. It needs a group protocol.
	Members int
}

// active is how many of n producers send in the phase.
func (p Phase) active(n int) int {
	if p.Producers > 0 {
		return min(p.Producers, n)
	}
	return n
}
