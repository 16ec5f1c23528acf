package harness

import (
	"millrace/harness/load"
	"millrace/results"
)

// Environment describes the machine and the build, as env.json holds it. Data
// is taken to lie in dataDir; "": the system's temporary directory.
func Environment(dataDir string) results.Env { return environment(dataDir, nil) }

// SamplePayload is about n bytes of the generated JSON events that scenarios
// send.
func SamplePayload(n int) []byte { return load.SampleEvents(n) }

// SamplePayload is about n bytes of the values that the scenario sends.
func (s *Scenario) SamplePayload(n int) ([]byte, error) {
	return load.SamplePayload(s.spec("").Payload, s.Seed, n)
}
