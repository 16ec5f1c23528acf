package results

import "time"

// SearchFile holds a Search in its own directory, beside the steps' run
// directories.
const SearchFile = "search.json"

// Search is the hunt for the highest rate that still meets the goals.
type Search struct {
	Version  int       `json:"version"`
	Scenario string    `json:"scenario"`
	Question string    `json:"question"`
	Seed     uint64    `json:"seed"`
	Started  time.Time `json:"started"`
	Goals    []string  `json:"goals"`
	// Points in the order in which they were tried.
	Points []SearchPoint `json:"points"`
	// Capacity is the highest rate that met the goals, records/s, each time it
	// was tried; 0: none did. It lies below Above, the lowest rate that did
	// not; 0: nothing failed.
	Capacity    float64  `json:"capacity_per_s"`
	Above       float64  `json:"above_per_s"`
	Limit       string   `json:"limit"` // what stood in the way of more
	Notes       []string `json:"notes,omitempty"`
	Env         Env      `json:"env"`
	Interrupted bool     `json:"interrupted,omitempty"`

	Dir string `json:"-"`
}

// SearchPoint is one step: a trial at a fixed rate.
type SearchPoint struct {
	Rate           float64 `json:"rate_per_s"`
	Outcome        Outcome `json:"outcome"`
	Missed         string  `json:"missed,omitempty"` // the first goal that was missed
	Throughput     float64 `json:"throughput_per_s"`
	AckP50Ns       int64   `json:"ack_p50_ns"`
	AckP99Ns       int64   `json:"ack_p99_ns"`
	E2EP99Ns       int64   `json:"e2e_p99_ns"`
	TargetCores    float64 `json:"target_cores"`
	GeneratorCores float64 `json:"generator_cores"`
	Run            string  `json:"run"` // run directory under runs/
}
