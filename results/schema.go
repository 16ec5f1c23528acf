package results

import "time"

// Run is one trial as stored in a run directory.
type Run struct {
	ID  string // the directory's name: <utc>-<scenario>
	Dir string // where it lies; empty: not stored

	Scenario []byte // scenario.yaml: as resolved, defaults filled in
	Env      Env
	Trial    Trial
	Verdict  Verdict
}

// Env is env.json: the machine and the build, everything that a figure may
// depend on and that the scenario does not say.
type Env struct {
	CPUModel   string `json:"cpu_model"`
	CPUs       int    `json:"cpus"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	// Governor is the frequency governor of CPU 0; empty: the kernel shows none
	// (most virtual machines).
	Governor    string `json:"governor,omitempty"`
	MemoryBytes int64  `json:"memory_bytes"`
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	Kernel      string `json:"kernel"`
	// Hostname is left out on purpose: a run directory is meant to be shown.

	FileSystem FileSystem `json:"file_system"` // of the data directory
	// CgroupCPU and CgroupMemoryBytes are the limits of this process's cgroup;
	// zero: none.
	CgroupCPU         float64 `json:"cgroup_cpu,omitempty"`
	CgroupMemoryBytes int64   `json:"cgroup_memory_bytes,omitempty"`
	Congestion        string  `json:"tcp_congestion"`
	HugePages         string  `json:"transparent_hugepages,omitempty"`
	LoadAverage       float64 `json:"load_average_1m"` // when the run began

	// TargetCPUs and GeneratorCPUs are those that each was kept to, such as 0 or
	// 2-5; empty: all.
	TargetCPUs    string `json:"target_cpus,omitempty"`
	GeneratorCPUs string `json:"generator_cpus,omitempty"`
	// SocketCongestion is what was set on the sockets themselves; empty: nothing,
	// so that Congestion holds.
	SocketCongestion string `json:"socket_congestion,omitempty"`
	// WarmedBytes of page cache were touched before the run; 0: none.
	WarmedBytes int64 `json:"warmed_bytes,omitempty"`
	// MemoryCost is the CPU seconds that 10^9 bytes of fresh memory cost in
	// single pages just before the run (see ColdMemory); 0: not measured.
	MemoryCost float64 `json:"memory_cpu_s_per_gb,omitempty"`
	// Limits is what this machine can do at most, as `millrace limits` last
	// measured it; nil: it never did.
	Limits *Limits `json:"limits,omitempty"`

	Go       string            `json:"go"`
	Build    map[string]string `json:"build,omitempty"` // debug.BuildInfo settings: vcs.revision, -race, GOAMD64 …
	Knobs    map[string]string `json:"knobs"`           // broker knobs off their default
	GOGC     string            `json:"gogc,omitempty"`
	MemLimit string            `json:"gomemlimit,omitempty"`
}

// FileSystem is where the data directory lies.
type FileSystem struct {
	Type    string `json:"type"`
	Options string `json:"options"`
	Device  string `json:"device,omitempty"`
}

// Trial is trial.json: every figure of one trial.
type Trial struct {
	Version  int       `json:"version"`
	Scenario string    `json:"scenario"`
	Question string    `json:"question"`
	Seed     uint64    `json:"seed"`
	Started  time.Time `json:"started"` // UTC
	WallS    float64   `json:"wall_s"`  // start of the target to the last check

	Target TargetInfo `json:"target"`
	// Promise and Validation name what an acknowledgement was worth. Figures
	// across two of either are not comparable.
	Promise    string `json:"promise,omitempty"`    // sync.policy of a target we start; empty: unknown
	Validation string `json:"validation,omitempty"` // validate.depth likewise

	// Agents generated the load, each on its machine; none: the lab's own process.
	Agents []Agent `json:"agents,omitempty"`
	Audit  Audit   `json:"audit"`  // the generator's own ceiling and health
	Steady Phase   `json:"steady"` // all steady phases together: the headline figures
	Phases []Phase `json:"phases"` // each phase in the order in which it ran
	// DrainS is the time from the last phase's end to the last record seen by
	// every consumer; nil: not drained in the time given, or no consumer.
	DrainS *float64 `json:"drain_s,omitempty"`
	Ledger Ledger   `json:"ledger"`
	// Faults of the timeline that befell the target, in order.
	Faults []Fault `json:"faults,omitempty"`
	// Events of the timeline that befell the clients, in order.
	Events []Event `json:"events,omitempty"`
	// CatchUps are of the groups that had been kept from reading.
	CatchUps []CatchUp `json:"catch_ups,omitempty"`
	// UnavailableS is the longest time in which records waited and none was
	// acknowledged; 0: none of 0.2 s or more.
	UnavailableS float64 `json:"unavailable_s,omitempty"`
	// Roofline is the steady phases beside what the machine could do at most;
	// nil: that is not known, or nothing in bytes was moved.
	Roofline *Roofline `json:"roofline,omitempty"`

	Notes []string `json:"notes,omitempty"` // what a reader of the figures must know: late generator, steal, what could not be measured
	Error string   `json:"error,omitempty"` // why the trial ended early
}

// TargetInfo is the broker that was measured.
type TargetInfo struct {
	Kind    string `json:"kind"` // child, inprocess, external, command, sink
	Address string `json:"address"`
	Version string `json:"version,omitempty"`
	PID     int    `json:"pid,omitempty"`
}

// Phase is what happened in one phase, or in several taken together.
type Phase struct {
	Name   string  `json:"name"`
	Kind   string  `json:"kind"` // warmup, steady, pause, drain
	StartS float64 `json:"start_s"`
	LenS   float64 `json:"len_s"`

	// ScheduledRate is the rate asked for, records/s; 0: closed loop.
	ScheduledRate float64 `json:"scheduled_rate"`
	Sent          Flow    `json:"sent"`     // handed to the clients
	Acked         Flow    `json:"acked"`    // acknowledged by the target
	Consumed      Flow    `json:"consumed"` // seen by consumers; each of G groups counts
	Errors        int64   `json:"errors"`   // records refused or given up, and damaged ones that were read
	LagMax        int64   `json:"lag_max"`  // most records acknowledged and not yet seen, worst group

	// Latency by histogram: schedule_lag, send_block, ack, e2e, service.
	Latency map[string]Quantiles `json:"latency"`

	Target    *Cost `json:"target_cost,omitempty"`    // nil: the target's process cannot be seen
	Generator *Cost `json:"generator_cost,omitempty"` // this process; for inprocess both in one
	// Steal is the share of all CPU time that the hypervisor gave to others.
	Steal float64 `json:"steal"`
	// Others is the share of all CPU time that neither target nor generator
	// spent, nor idled away; nil: the target's share is not known.
	Others *float64 `json:"others_cpu,omitempty"`
}

// Flow is records and bytes, and both per second of the phase. Bytes are
// key and value, before compression.
type Flow struct {
	Records  int64   `json:"records"`
	Bytes    int64   `json:"bytes"`
	Rate     float64 `json:"records_per_s"`
	ByteRate float64 `json:"bytes_per_s"`
}

// Histogram names, in the order in which they are shown.
const (
	ScheduleLag = "schedule_lag" // intended start → handed to the client
	SendBlock   = "send_block"   // time inside the client's send call
	Ack         = "ack"          // intended start → acknowledged
	EndToEnd    = "e2e"          // intended start → seen by the consumer
	Service     = "service"      // actual send → acknowledged
)

// Histograms lists them.
var Histograms = []string{ScheduleLag, SendBlock, Ack, EndToEnd, Service}

// Quantiles is a latency histogram in figures. The histogram itself is in
// latency.hlog.
type Quantiles struct {
	Count      int64   `json:"count"`
	OutOfRange int64   `json:"out_of_range"` // values beyond the histogram's range; part of Count and of every percentile as the range's end
	MinNs      int64   `json:"min_ns"`
	MeanNs     float64 `json:"mean_ns"`
	P50Ns      int64   `json:"p50_ns"`
	P90Ns      int64   `json:"p90_ns"`
	P95Ns      int64   `json:"p95_ns"`
	P99Ns      int64   `json:"p99_ns"`
	P999Ns     int64   `json:"p99_9_ns"`
	P9999Ns    int64   `json:"p99_99_ns"`
	MaxNs      int64   `json:"max_ns"`
	// Curve is the percentile curve for drawing: from p0 towards p100, ten
	// points for each halving of the distance to 100 %.
	Curve []Point `json:"curve,omitempty"`
}

// Point of a percentile curve.
type Point struct {
	Percent float64 `json:"p"`
	Ns      int64   `json:"ns"`
}

// Cost is what one process spent in a phase, whole and per record
// acknowledged. A nil field could not be measured from where we stand.
type Cost struct {
	CPUS      float64  `json:"cpu_s"`
	Cores     float64  `json:"cores"` // CPU seconds per second
	RSSMax    int64    `json:"rss_max_bytes"`
	Allocs    *int64   `json:"allocs,omitempty"`
	AllocB    *int64   `json:"alloc_bytes,omitempty"`
	GCPauseS  *float64 `json:"gc_pause_s,omitempty"`
	Syscalls  *int64   `json:"io_syscalls,omitempty"` // read- and write-like calls: /proc/PID/io syscr + syscw
	CtxVol    *int64   `json:"ctx_voluntary,omitempty"`
	CtxInvol  *int64   `json:"ctx_involuntary,omitempty"`
	DiskBytes *int64   `json:"disk_write_bytes,omitempty"` // sent to the block layer; the page cache may still hold more

	PerRecord PerRecord `json:"per_record"`
}

// CatchingUp is how many records must have been consumed for each acknowledged
// one before a phase counts as reading and not as writing.
const CatchingUp = 100

// PerRecord is Cost divided by the records acknowledged in the phase, or by those
// consumed where it did little but read (see CatchingUp).
type PerRecord struct {
	CPUNs     float64  `json:"cpu_ns"`
	Allocs    *float64 `json:"allocs,omitempty"`
	AllocB    *float64 `json:"alloc_bytes,omitempty"`
	Syscalls  *float64 `json:"io_syscalls,omitempty"`
	Ctx       *float64 `json:"ctx_switches,omitempty"`
	DiskBytes *float64 `json:"disk_write_bytes,omitempty"`
}

// Audit is the generator's view of itself.
type Audit struct {
	Client string `json:"client"` // kgo or lean
	// CeilingRate is what the same client, payload and batch settings reach
	// against a sink that throws everything away, records/s; 0: not taken.
	CeilingRate float64 `json:"ceiling_records_per_s"`
	// CeilingBytes is the same in bytes of keys and values a second, and
	// CeilingCPUNs what a record cost this process then, the sink included where
	// CeilingShared says that it ran in this process too.
	CeilingBytes  float64 `json:"ceiling_bytes_per_s,omitempty"`
	CeilingCPUNs  float64 `json:"ceiling_cpu_ns_per_record,omitempty"`
	CeilingShared bool    `json:"ceiling_shared,omitempty"`
	// Late is the share of records that were handed to the client more than a
	// millisecond after their intended start while the client would have taken
	// them: the generator's own fault.
	LateShare float64 `json:"late_share"`
	Limited   bool    `json:"limited"` // the generator, not the target, set the figures
	Reason    string  `json:"reason,omitempty"`
}

// Agent is one of several generators: its machine, and its part of the steady
// phases.
type Agent struct {
	Address   string `json:"address"`
	Env       Env    `json:"env"`
	Producers int    `json:"producers"` // dealt to it
	Members   int    `json:"members"`   // of each group

	ScheduledRate float64 `json:"scheduled_rate"` // records/s; 0: closed loop
	Sent          Flow    `json:"sent"`
	Acked         Flow    `json:"acked"`
	Consumed      Flow    `json:"consumed"`
	Cores         float64 `json:"cores"` // CPU seconds per second
	RSSBytes      int64   `json:"rss_bytes"`
	GCPauseS      float64 `json:"gc_pause_s"`
	Steal         float64 `json:"steal"`
	Audit         Audit   `json:"audit"`
	Error         string  `json:"error,omitempty"` // why it failed
}

// CatchUp is a group's way back from a backlog.
type CatchUp struct {
	Group   int     `json:"group"`
	Backlog int64   `json:"backlog"` // records it was behind
	TookS   float64 `json:"took_s"`  // until 1 % of that was left
}

// Event is something that the lab did with its own clients: a group that was held
// from reading, members that came or went.
type Event struct {
	AtS  float64 `json:"at_s"` // seconds since the start of the run
	What string  `json:"what"`
}

// Fault is something that the lab did to the target. Times are seconds since
// the start of the run.
type Fault struct {
	Do    string  `json:"do"` // kill, stop, full, evict
	AtS   float64 `json:"at_s"`
	OverS float64 `json:"over_s"` // kill: when it listened again
	// UnavailableS is how long records waited and none was acknowledged, from the
	// last before the fault to the first after it; 0: less than 0.2 s.
	UnavailableS float64 `json:"unavailable_s"`
	// FirstAckS is from OverS to the next acknowledgement; nil: none came, or
	// they had never ceased.
	FirstAckS *float64 `json:"first_ack_s,omitempty"`
}

// Ledger is the account of every acknowledged record, read back once.
type Ledger struct {
	Checked      bool     `json:"checked"` // false: nothing could be read back; Reason says why
	Reason       string   `json:"reason,omitempty"`
	Acknowledged int64    `json:"acknowledged"`
	ReadBack     int64    `json:"read_back"`
	Lost         int64    `json:"lost"`
	Duplicated   int64    `json:"duplicated"`
	Reordered    int64    `json:"reordered"`
	Corrupt      int64    `json:"corrupt"`
	Misplaced    int64    `json:"misplaced,omitempty"`    // streams with records acknowledged at other offsets than read at
	Unacked      int64    `json:"unacknowledged"`         // read back though never acknowledged: allowed, counted
	Aborted      int64    `json:"aborted,omitempty"`      // sent in transactions that were aborted
	AbortedSeen  int64    `json:"aborted_seen,omitempty"` // of them, seen by a reader of committed records: a violation
	Redelivered  int64    `json:"redelivered,omitempty"`  // read again at the same offset by the group's next member: allowed, counted
	Verified     bool     `json:"verified,omitempty"`     // everything was read once more at the end
	Unchecked    int64    `json:"unchecked"`              // acknowledged, and the target could not be asked any more
	Examples     []string `json:"examples,omitempty"`
}

// Violations counts records whose promise was broken.
func (l Ledger) Violations() int64 {
	return l.Lost + l.Duplicated + l.Reordered + l.Corrupt + l.Misplaced + l.AbortedSeen
}

// Verdict is verdict.json.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	Answer  string  `json:"answer"` // the scenario's question, answered in a sentence
	Reason  string  `json:"reason,omitempty"`
	Goals   []Goal  `json:"goals"`
}

// Goal is one goal, judged.
type Goal struct {
	Expr    string   `json:"expr"`
	Value   *float64 `json:"value"` // in the figure's base unit: ns, records/s, bytes, or a plain number; null: not measured
	Shown   string   `json:"shown"` // the value as a person reads it
	Outcome Outcome  `json:"outcome"`
	Reason  string   `json:"reason,omitempty"`
}

// Sample is one line of samples.ndjson: one second of the run.
type Sample struct {
	T     float64 `json:"t_s"` // since the load began
	Phase string  `json:"phase"`

	Scheduled float64 `json:"scheduled_per_s"`
	Sent      float64 `json:"sent_per_s"`
	Acked     float64 `json:"acked_per_s"`
	Consumed  float64 `json:"consumed_per_s"`
	AckedB    float64 `json:"acked_bytes_per_s"`
	Errors    int64   `json:"errors"`
	Lag       int64   `json:"lag"`
	AckP50Ns  int64   `json:"ack_p50_ns"` // of this second
	AckP99Ns  int64   `json:"ack_p99_ns"`
	E2EP50Ns  int64   `json:"e2e_p50_ns"`
	E2EP99Ns  int64   `json:"e2e_p99_ns"`

	Target     *Usage  `json:"target,omitempty"`
	Generator  *Usage  `json:"generator,omitempty"`
	Steal      float64 `json:"steal"`
	PageCacheB int64   `json:"page_cache_bytes"` // Cached of /proc/meminfo: the whole machine's
	DirtyB     int64   `json:"dirty_bytes"`
}

// Usage is one process over one second.
type Usage struct {
	Cores    float64  `json:"cores"`
	RSSBytes int64    `json:"rss_bytes"`
	DiskB    float64  `json:"disk_write_bytes_per_s"`
	Syscalls float64  `json:"io_syscalls_per_s"`
	Ctx      float64  `json:"ctx_switches_per_s"`
	GCs      *float64 `json:"gcs_per_s,omitempty"`
	HeapB    *int64   `json:"heap_bytes,omitempty"`
}
