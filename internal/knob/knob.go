// Package knob declares a setting once. From that one declaration come the
// command-line flag, the strict YAML key, the listing of `millrace knobs`, the
// Markdown table, what DescribeConfigs answers, the label on a result and the
// factor of a comparison.
//
// The nouns: a Knob is one setting bound to a Go variable; a Set is the knobs
// of one configuration, filled by the packages that use them in the manner of
// flag.FlagSet; a rule is a check over several knobs, and Set.Validate reports
// every fault at once.
package knob

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

// Kind is the type of a knob's value.
type Kind string

// The kinds. Each has one text form that Set accepts and String gives back.
const (
	Bool     Kind = "bool"
	Int      Kind = "int"
	Bytes    Kind = "bytes"    // 64KiB, 1MiB, 1000; binary units
	Duration Kind = "duration" // 5ms, 1h, -1 (none); a bare number is milliseconds
	Enum     Kind = "enum"
	String   Kind = "string"
)

// Knob is one declared setting. Its fields are fixed once declared; the value
// lives in the variable of the package that declared it.
type Knob struct {
	Name string
	Kind Kind
	Doc  string // one line, no full stop needed
	// Default is the text form of the value the variable had when declared.
	Default string
	// Alternatives of an Enum, in the order in which they should be listed.
	Alternatives []string
	// Min and Max bound an Int, Bytes (bytes) or Duration (nanoseconds);
	// they are ignored unless Bounded.
	Min, Max int64
	Bounded  bool
	// PerTopic says that a topic may override it (Kafka's topic settings).
	PerTopic bool
	// KafkaName is the broker-level name Kafka gives it where that differs
	// (log.segment.bytes for segment.bytes); empty: Kafka has no such setting
	// or the same name.
	KafkaName string
	// TopicName is what Kafka's topics call it where that is not Name.
	TopicName string

	get func() string
	set func(string) error
}

// Value is the current value in text form.
func (k *Knob) Value() string { return k.get() }

// Wire is the value as Kafka writes it on the wire: durations as
// milliseconds, sizes as plain byte counts, the rest as Value.
func (k *Knob) Wire() string {
	switch k.Kind {
	case Duration:
		d, err := ParseDuration(k.get())
		if err != nil {
			return k.get()
		}
		switch {
		case d < 0:
			return "-1"
		case d == math.MaxInt64:
			return fmt.Sprint(int64(math.MaxInt64)) // Kafka's Long.MAX_VALUE
		}
		return fmt.Sprint(d.Milliseconds())
	case Bytes:
		n, err := ParseBytes(k.get())
		if err != nil {
			return k.get()
		}
		return fmt.Sprint(n)
	}
	return k.get()
}

// Option refines a declaration.
type Option func(*Knob)

// Range bounds an Int or Bytes knob, both ends included.
func Range(min, max int64) Option {
	return func(k *Knob) { k.Min, k.Max, k.Bounded = min, max, true }
}

// Within bounds a Duration knob, both ends included.
func Within(min, max time.Duration) Option { return Range(int64(min), int64(max)) }

// PerTopic lets a topic override the knob.
func PerTopic() Option { return func(k *Knob) { k.PerTopic = true } }

// Kafka gives the broker-level name Kafka has for the knob.
func Kafka(name string) Option { return func(k *Knob) { k.KafkaName = name } }

// Topic gives the name that Kafka's topics have for the knob.
func Topic(name string) Option { return func(k *Knob) { k.TopicName = name } }

// Set is the knobs of one configuration. The zero value is ready. It is not
// safe for concurrent use.
type Set struct {
	knobs []*Knob
	index map[string]*Knob
	rules []func() error
}

func (s *Set) add(k *Knob, opts []Option) {
	for _, o := range opts {
		o(k)
	}
	k.Default = k.get()
	if s.index == nil {
		s.index = map[string]*Knob{}
	}
	if s.index[k.Name] != nil {
		panic("BUG: knob " + k.Name + " declared twice")
	}
	s.index[k.Name] = k
	s.knobs = append(s.knobs, k)
}

// Bool declares a switch; the variable holds the default when declared, here
// and in the other declarations.
func (s *Set) Bool(p *bool, name, doc string, opts ...Option) {
	s.add(&Knob{Name: name, Kind: Bool, Doc: doc,
		get: func() string { return fmt.Sprint(*p) },
		set: func(v string) error {
			switch v {
			case "true":
				*p = true
			case "false":
				*p = false
			default:
				return fmt.Errorf("%s: %q is neither true nor false", name, v)
			}
			return nil
		}}, opts)
}

// Int declares a whole number.
func (s *Set) Int(p *int, name, doc string, opts ...Option) {
	k := &Knob{Name: name, Kind: Int, Doc: doc, get: func() string { return fmt.Sprint(*p) }}
	k.set = func(v string) error {
		n, err := parseInt(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := k.check(n, v); err != nil {
			return err
		}
		*p = int(n)
		return nil
	}
	s.add(k, opts)
}

// Bytes declares a size in bytes.
func (s *Set) Bytes(p *int64, name, doc string, opts ...Option) {
	k := &Knob{Name: name, Kind: Bytes, Doc: doc, get: func() string { return FormatBytes(*p) }}
	k.set = func(v string) error {
		n, err := ParseBytes(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := k.check(n, v); err != nil {
			return err
		}
		*p = n
		return nil
	}
	s.add(k, opts)
}

// Duration declares a span of time; negative means none where the bounds
// allow it.
func (s *Set) Duration(p *time.Duration, name, doc string, opts ...Option) {
	k := &Knob{Name: name, Kind: Duration, Doc: doc, get: func() string { return FormatDuration(*p) }}
	k.set = func(v string) error {
		d, err := ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := k.check(int64(d), v); err != nil {
			return err
		}
		*p = d
		return nil
	}
	s.add(k, opts)
}

// Enum declares a choice among alternatives.
func (s *Set) Enum(p *string, name string, alternatives []string, doc string, opts ...Option) {
	s.add(&Knob{Name: name, Kind: Enum, Doc: doc, Alternatives: alternatives,
		get: func() string { return *p },
		set: func(v string) error {
			for _, a := range alternatives {
				if a == v {
					*p = v
					return nil
				}
			}
			return fmt.Errorf("%s: %q is none of %s%s", name, v, strings.Join(alternatives, ", "), Suggest(v, alternatives))
		}}, opts)
}

// String declares free text.
func (s *Set) String(p *string, name, doc string, opts ...Option) {
	s.add(&Knob{Name: name, Kind: String, Doc: doc,
		get: func() string { return *p },
		set: func(v string) error { *p = v; return nil }}, opts)
}

func (k *Knob) check(n int64, text string) error {
	if !k.Bounded || (n >= k.Min && n <= k.Max) {
		return nil
	}
	return fmt.Errorf("%s: %s is outside %s", k.Name, text, k.Bounds())
}

// Bounds is "min to max" in the knob's own units, "" where it is not Bounded.
func (k *Knob) Bounds() string {
	if !k.Bounded {
		return ""
	}
	show := func(v int64) string {
		switch {
		case k.Kind == Duration:
			return FormatDuration(time.Duration(v))
		case k.Kind == Bytes:
			return FormatBytes(v)
		}
		return fmt.Sprint(v)
	}
	return show(k.Min) + " to " + show(k.Max)
}

// Rule adds a check over several knobs, run by Validate.
func (s *Set) Rule(check func() error) { s.rules = append(s.rules, check) }

// Validate runs every rule and joins every fault.
func (s *Set) Validate() error {
	var errs []error
	for _, r := range s.rules {
		if err := r(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Lookup finds a knob by its name or by one of Kafka's; nil: none.
func (s *Set) Lookup(name string) *Knob {
	if k := s.index[name]; k != nil {
		return k
	}
	for _, k := range s.knobs {
		if name != "" && (k.KafkaName == name || k.TopicName == name) {
			return k
		}
	}
	return nil
}

// Set gives the named knob a value from its text form. An unknown name's error
// names the nearest known one.
func (s *Set) Set(name, value string) error {
	k := s.Lookup(name)
	if k == nil {
		return fmt.Errorf("unknown knob %q%s", name, Suggest(name, s.Names()))
	}
	return k.set(value)
}

// Apply sets every entry, in the order of names, and joins every fault.
func (s *Set) Apply(values map[string]string) error {
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	sort.Strings(names)
	var errs []error
	for _, n := range names {
		if err := s.Set(n, values[n]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// All lists the knobs in the order of declaration.
func (s *Set) All() []*Knob { return s.knobs }

// Names lists the names, sorted.
func (s *Set) Names() []string {
	names := make([]string, 0, len(s.knobs))
	for _, k := range s.knobs {
		names = append(names, k.Name)
	}
	sort.Strings(names)
	return names
}

// Changed holds the knobs that are off their default, in text form.
func (s *Set) Changed() map[string]string {
	m := map[string]string{}
	for _, k := range s.knobs {
		if v := k.get(); v != k.Default {
			m[k.Name] = v
		}
	}
	return m
}

// Suggest is ` (did you mean "x"?)` for the known word nearest to word, or ""
// where none is near.
func Suggest(word string, known []string) string {
	best, dist := "", len(word)/2+1
	for _, k := range known {
		if d := levenshtein.ComputeDistance(word, k); d < dist {
			best, dist = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}
