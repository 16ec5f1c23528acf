package results

import (
	"fmt"
	"time"
)

// SearchFile holds a Search in its own directory, beside the steps' run
// directories.
const SearchFile = "search.json"

// Search is the hunt for the highest rate that still meets the goals.
type Search struct {
	Version  int       `json:"version"`
	Scenario string    `json:"scenario"`
	Question string    `json:"question"`
	Command  string    `json:"command,omitempty"` // repeats it
	Seed     uint64    `json:"seed"`
	Started  time.Time `json:"started"`
	Goals    []string  `json:"goals"`
	// Points in the order in which they were tried.
	Points []SearchPoint `json:"points"`
	// Capacity is the highest rate that met the goals, records/s, each time it
	// was tried; 0: none did. It lies below Above, the lowest rate that did
	// not; 0: nothing failed.
	Capacity float64 `json:"capacity_per_s"`
	Above    float64 `json:"above_per_s"`
	// Confirmed is how often the capacity met the goals when it was tried again,
	// of so many Tries.
	Confirmed int `json:"confirmed"`
	Tries     int `json:"tries"`
	// Measured is what was acknowledged at the capacity, records/s, over its
	// trials; Low and High the least and the most.
	Measured *Interval `json:"measured_per_s,omitempty"`
	// Limited is what stood in the way of more: target-cpu, generator-cpu, disk,
	// network, waiting, unknown, noise, nothing; Limit says it in words.
	Limited     string   `json:"limited_by"`
	Limit       string   `json:"limit"`
	Notes       []string `json:"notes,omitempty"`
	Env         Env      `json:"env"`
	Interrupted bool     `json:"interrupted,omitempty"`

	Dir string `json:"-"`
}

// Interval is a value with its ends.
type Interval struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// SearchPoint is one step: a trial at a fixed rate.
type SearchPoint struct {
	Rate           float64 `json:"rate_per_s"`
	Outcome        Outcome `json:"outcome"`
	Missed         string  `json:"missed,omitempty"` // the first goal that was missed
	Throughput     float64 `json:"throughput_per_s"`
	ByteRate       float64 `json:"bytes_per_s"`
	AckP50Ns       int64   `json:"ack_p50_ns"`
	AckP99Ns       int64   `json:"ack_p99_ns"`
	AckP999Ns      int64   `json:"ack_p99_9_ns"`
	E2EP99Ns       int64   `json:"e2e_p99_ns"`
	TargetCores    float64 `json:"target_cores"`
	GeneratorCores float64 `json:"generator_cores"`
	DiskRate       float64 `json:"disk_bytes_per_s"` // what the target wrote to the block layer
	Run            string  `json:"run"`              // run directory under runs/
}

// Outcome is PASS where a rate met the goals. Where none did it is FAIL, unless
// each rate that was tried was INVALID, or not to be told from what was seen. A
// violation at any rate is one of the search.
func (s *Search) Outcome() Outcome {
	if s.Interrupted {
		return Interrupted
	}
	seen := map[Outcome]bool{}
	for _, p := range s.Points {
		seen[p.Outcome] = true
	}
	switch {
	case seen[Violation]:
		return Violation
	case s.Capacity > 0:
		return Pass
	case seen[Fail]:
		return Fail
	case seen[Inconclusive]:
		return Inconclusive
	case seen[Invalid]:
		return Invalid
	}
	return Error
}

// Answer says in a sentence what the search found.
func (s *Search) Answer() string {
	text := "No rate met the goals."
	if s.Capacity > 0 {
		text = fmt.Sprintf("The highest rate that met the goals is %s records/s", FormatCount(s.Capacity))
		if s.Above > 0 {
			text += fmt.Sprintf(" (%s did not", FormatCount(s.Above))
			if s.Tries > 0 {
				text += fmt.Sprintf("; it held %d of %d times", s.Confirmed, s.Tries)
			}
			text += ")"
		}
		text += ". In the way of more: " + s.Limit + "."
	}
	if s.Interrupted {
		text = "Interrupted. " + text
	}
	return text
}
