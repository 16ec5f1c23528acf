package harness

import "errors"

// Scenario is a checked scenario: every default filled in, every goal known.
type Scenario struct {
	Name, Question string
}

// Faults is everything that is wrong with a scenario, with its place in the
// file. Commands exit with 2 on it.
type Faults struct{ List []string }

func (f *Faults) Error() string { return "" }

// Load reads a scenario of the library or a file, applies the settings
// (path=value: a scenario path such as producers.acks, or a broker knob) and
// checks the whole. The error is *Faults where the scenario or a setting is at
// fault.
func Load(nameOrFile string, sets []string) (*Scenario, error) {
	return nil, errors.New("not built yet")
}

// Validate checks a scenario file; nil: it is sound.
func Validate(file string) error { _, err := Load(file, nil); return err }

// Entry is one scenario of the library.
type Entry struct{ Name, Question string }

// Library lists the scenarios of the library.
func Library() []Entry { return nil }

// Plan is what a scenario will do and need.
type Plan struct{}

// Plan works out what the scenario needs.
func (s *Scenario) Plan() (*Plan, error) { return &Plan{}, nil }
