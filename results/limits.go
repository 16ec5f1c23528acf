package results

import "time"

// Limits is what the host can do at most, measured with bare loops: the
// roofline that every figure of a broker stands under.
type Limits struct {
	Started time.Time `json:"started"`
	TookS   float64   `json:"took_s"`
	// Warm says that the page cache was filled before the measurement; cold
	// memory costs a virtual machine seconds of CPU for each GB.
	Warm       bool     `json:"warm"`
	Congestion string   `json:"tcp_congestion"`
	Pinned     bool     `json:"pinned"` // the two ends of a loopback path on CPUs of their own
	Steal      float64  `json:"steal"`  // share of CPU time that the hypervisor gave to others
	Busy       float64  `json:"busy"`   // cores that other processes used meanwhile
	Paths      []Path   `json:"paths"`
	Notes      []string `json:"notes,omitempty"`
	Env        Env      `json:"env"`
}

// Path is one bare loop at one size.
type Path struct {
	Group string `json:"group"` // loopback, append, fdatasync, crc, codec
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
