package results

import "time"

// Limits is what the host can do at most, measured with bare loops: the
// roofline that every figure of a broker stands under.
type Limits struct {
	Started time.Time `json:"started"`
	TookS   float64   `json:"took_s"`
	// WarmedBytes of page cache were touched before and held meanwhile; 0: none.
	WarmedBytes int64 `json:"warmed_bytes"`
	// Memory is the CPU seconds that 10^9 bytes of fresh memory cost in single
	// pages, just before; 0: not measured.
	Memory     float64  `json:"memory_cpu_s_per_gb"`
	Congestion string   `json:"tcp_congestion"`
	Pinned     bool     `json:"pinned"` // the two ends of a loopback path on CPUs of their own
	Steal      float64  `json:"steal"`  // share of CPU time that the hypervisor gave to others
	Busy       float64  `json:"busy"`   // cores that other processes used meanwhile
	Paths      []Path   `json:"paths"`
	Notes      []string `json:"notes,omitempty"`
	Env        *Env     `json:"env,omitempty"` // nil within a run's own env.json
}

// Path is one bare loop at one size.
type Path struct {
	Group string `json:"group"` // loopback, receive, append, fdatasync, crc, codec
	Name  string `json:"name"`
	Size  int64  `json:"size_bytes"` // of one call
	// Rate is bytes per second: the median of the rounds; Low and High are the
	// slowest and the fastest round.
	Rate float64 `json:"bytes_per_s"`
	Low  float64 `json:"low_bytes_per_s"`
	High float64 `json:"high_bytes_per_s"`
	// CPUPerGB is the CPU seconds that 10^9 bytes cost the thread that sends,
	// writes or computes.
	CPUPerGB float64 `json:"cpu_s_per_gb"`
	// P50Ns is the median time of one call, where a call is what is waited for
	// (fdatasync); 0 elsewhere.
	P50Ns int64 `json:"call_p50_ns,omitempty"`
	// Ratio is compressed over original bytes, of a codec; 0 elsewhere.
	Ratio float64 `json:"ratio,omitempty"`
}

// coldMemory is the cost of fresh memory, CPU-s/GB, above which it was cold:
// warm machines show 0.3 to 0.6, cold ones 2 and more.
const coldMemory = 1.0

// ColdMemory says whether that cost (CPU-s/GB) is of cold memory.
func ColdMemory(cost float64) bool { return cost > coldMemory }

// Cold says whether the machine's memory was cold.
func (l *Limits) Cold() bool { return ColdMemory(l.Memory) }
