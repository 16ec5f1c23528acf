package load

import (
	"errors"
	"time"
)

// ErrTargetGone ends a run after Spec.GiveUp.
var ErrTargetGone = errors.New("load: the target has acknowledged nothing for too long")

// Result is what a run measured. It is complete for every phase that began,
// whatever ended the run.
type Result struct {
	Started time.Time // wall clock at time 0
	// Phases that began, in order.
	Phases []PhaseResult
	// DrainTime is the time from the end of the last phase that sends to the
	// last record seen by every group, or without groups, to the last answer.
	// Drained is false where some records never were seen, or never sent.
	Drained   bool
	DrainTime time.Duration
	// Unsent arrivals were scheduled and due, and could not be handed over
	// before the drain ended.
	Unsent int64
	Ledger LedgerReport
	Values ValueStats
	// Gaps are the stretches in which records were waiting and none was
	// acknowledged for 200 ms at least, in order, at most 1000 of them. They are
	// told by looking ten times a second; Spec.Watchful: a hundred times.
	Gaps []Gap
	// Events are the timeline's actions as they came about.
	Events []Event
	// CatchUps are of the groups that a Hold had kept from reading.
	CatchUps []CatchUp
	// Complaints are the errors that the run met, each text once, and those that
	// came first: at most maxComplaints of them.
	Complaints []Complaint
	// Stopped is set where the context ended the run early.
	Stopped bool
}

// Complaint is an error, what was being done, and how often it came.
type Complaint struct {
	What, Error string
	Count       int64
}

const maxComplaints = 8

// Gap is from the last acknowledgement before it to the first after it.
type Gap struct{ From, To time.Duration }

// Event is something that befell the clients.
type Event struct {
	At   time.Duration
	What string
}

// CatchUp is how a group that had been held came back: Backlog records behind,
// and 1 % of that, or what it had been behind before, after Took.
type CatchUp struct {
	Group   int
	Backlog int64
	Took    time.Duration
}

// Count is a number of records and the bytes of their keys and values, before
// compression and without what the generator adds.
type Count struct{ Records, Bytes int64 }

// PhaseResult is what happened in one phase. Counts are of what happened
// between its begin and its end; latencies are of the records intended to start
// in it, also where they were acknowledged or seen later.
type PhaseResult struct {
	Phase      Phase
	Start, Len time.Duration // as it was; Len is short where the run was stopped
	Scheduled  int64         // arrivals intended to start in it; closed loop: those sent

	Sent, Acked Count
	Consumed    Count // each group counts
	WireBytes   int64 // of batches as sent, compressed; lean only
	Errors      int64 // records refused or given up, and damaged ones that were read
	Reconnects  int64 // connections that were opened again, lean only
	LagMax      int64 // most records acknowledged and not yet seen, worst group
	// Late counts records handed to the client more than a millisecond after
	// the client would have taken them: the generator's own fault.
	Late int64

	Latency Latency
	Usage   Usage // of this process, during the phase
}

// Metric names a histogram.
type Metric int

// The five latencies.
const (
	ScheduleLag Metric = iota // intended start → handed to the client
	SendBlock                 // time inside the client's send call
	Ack                       // intended start → acknowledged
	EndToEnd                  // intended start → seen by the consumer
	Service                   // actual send → acknowledged
	numMetrics
)

func (m Metric) String() string {
	return [...]string{"schedule_lag", "send_block", "ack", "e2e", "service"}[m]
}

// Latency holds one histogram for each metric.
type Latency [numMetrics]*Histogram

// Sample is about one second of the run.
type Sample struct {
	Start, Len  time.Duration
	Phase       int
	Sent, Acked Count
	Consumed    Count
	Errors      int64
	Lag         int64 // records acknowledged and not yet seen, worst group, at the end
	InFlight    int64 // records sent and neither acknowledged nor failed, at the end
	Latency     Latency
	Usage       Usage
}

// Usage is what this process spent in a stretch of time, and what the machine
// withheld.
type Usage struct {
	CPU            time.Duration // user and system
	GCPause        time.Duration
	GCs            int64
	Allocs, AllocB int64
	RSS            int64   // resident bytes, at the end; 0: unknown
	Steal          float64 // share of all CPU time taken by the hypervisor; 0 where the system does not say
}

// ValueStats describes the values that were sent, and what the generator adds
// to each record for its own bookkeeping.
type ValueStats struct {
	Pool      int     // different values
	PoolBytes int64   // their bytes
	MeanBytes float64 // of a value
	// Ratio is uncompressed / compressed size with lz4 in blocks of 64 KiB.
	Ratio float64
	// Overhead is the bytes that the client adds to each record, before
	// compression: a header of 32 bytes for kgo, nothing for lean.
	Overhead int
	Cut      int64 // file lines cut at the bound of 1 MiB
}

// LedgerReport is the account of all records sent. Lost, Duplicated, Reordered
// and Corrupt are violations: they count records that were acknowledged, over
// all groups.
type LedgerReport struct {
	Checked      bool // something read back; false: no consumer could
	Sent         int64
	Acknowledged int64
	Failed       int64 // refused, given up, or never answered
	Seen         int64 // reads of our own records, over all groups

	Lost       int64 // acknowledged, never seen by a group
	Duplicated int64 // seen again by the same group
	Reordered  int64 // seen after a record of the same producer that was sent later
	// Corrupt records had a wrong checksum, or not the content that was sent. A
	// batch that the client itself refused to take counts as one, also where it
	// came whole the next time.
	Corrupt int64

	// Misplaced counts streams, of one producer to one partition and for each
	// group, with records acknowledged at other offsets than they were read at.
	Misplaced int64

	// Aborted records were sent in transactions that were aborted. AbortedSeen,
	// a violation, is those of them that a reader of committed records saw.
	Aborted, AbortedSeen int64
	// Redelivered records were read again at the offset at which their group had
	// read them before, as happens where a member takes over: allowed.
	Redelivered int64
	// Verified says that everything was read once more after the drain.
	Verified bool

	Unacked   int64 // seen though never acknowledged: allowed
	Foreign   int64 // seen and not of this run
	Unchecked int64 // acknowledged, and not looked for: the read back ended early or the account was full
	Examples  []Example
}

// Violations counts the records whose promise was broken.
func (r LedgerReport) Violations() int64 {
	return r.Lost + r.Duplicated + r.Reordered + r.Corrupt + r.Misplaced + r.AbortedSeen
}

// Example is one of the first violations of its kind.
type Example struct {
	Kind      string // lost, duplicated, reordered, corrupt, misplaced
	Group     int
	Topic     string
	Partition int
	Offset    int64 // where it was read; for lost, of the record read after the gap, -1: none
	Producer  int
	Sequence  int64 // of the producer in the partition, from 0
	// Why is what the client said of a batch that it refused; Producer and
	// Sequence are -1 then.
	Why string `json:",omitempty"`
}
