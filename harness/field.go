package harness

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"millrace/internal/knob"
)

// leaf is a single value: text in the file, parsed into a variable.
type leaf struct {
	parse func(string) error
	show  func() string // "": leave it out
	js    map[string]any
}

func (l leaf) decode(d *decoder, n *yaml.Node, path string) {
	d.at[path] = n
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.fault(n, "%s is a single value, not %s", path, describe(n))
		return
	}
	if err := l.parse(n.Value); err != nil {
		d.fault(n, "%s: %v", path, err)
	}
}

func (l leaf) encode() *yaml.Node {
	s := l.show()
	if s == "" {
		return nil
	}
	n := &yaml.Node{}
	n.SetString(s)
	if l.js["type"] != "string" || l.js["enum"] != nil { // numbers and words need no quotes
		n = &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	}
	return n
}

func (l leaf) schema() map[string]any {
	js := map[string]any{}
	for k, v := range l.js {
		js[k] = v
	}
	return js
}

func text(p *string) leaf {
	return leaf{
		parse: func(s string) error { *p = s; return nil },
		show:  func() string { return *p },
		js:    map[string]any{"type": "string"},
	}
}

// word is one of several; aliases maps other spellings to them.
func word(p *string, words []string, aliases map[string]string) leaf {
	known := append([]string{}, words...)
	var js []any
	for _, w := range words {
		js = append(js, w)
		if n, err := strconv.Atoi(w); err == nil {
			js = append(js, n)
		}
	}
	for a := range aliases {
		js = append(js, a)
		if n, err := strconv.Atoi(a); err == nil {
			js = append(js, n)
		}
	}
	return leaf{
		parse: func(s string) error {
			for _, w := range words {
				if s == w {
					*p = w
					return nil
				}
			}
			if w, ok := aliases[s]; ok {
				*p = w
				return nil
			}
			return fmt.Errorf("%q is none of %s%s", s, strings.Join(words, ", "), knob.Suggest(s, known))
		},
		show: func() string { return *p },
		js:   map[string]any{"enum": js},
	}
}

func count(p *int, min, max int) leaf {
	return leaf{
		parse: func(s string) error {
			n, err := strconv.Atoi(strings.ReplaceAll(s, "_", ""))
			if err != nil {
				return fmt.Errorf("%q is no whole number", s)
			}
			if n < min || n > max {
				return fmt.Errorf("%d is outside %d to %d", n, min, max)
			}
			*p = n
			return nil
		},
		show: func() string { return strconv.Itoa(*p) },
		js:   map[string]any{"type": "integer", "minimum": min, "maximum": max},
	}
}

func seedValue(p *uint64) leaf {
	return leaf{
		parse: func(s string) error {
			n, err := strconv.ParseUint(s, 10, 63)
			if err != nil {
				return fmt.Errorf("%q is no whole number from 0 on", s)
			}
			*p = n
			return nil
		},
		show: func() string { return strconv.FormatUint(*p, 10) },
		js:   map[string]any{"type": "integer", "minimum": 0},
	}
}

func number(p *float64, min, max float64) leaf {
	return leaf{
		parse: func(s string) error {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("%q is no number", s)
			}
			if f < min || f > max {
				return fmt.Errorf("%v is outside %v to %v", f, min, max)
			}
			*p = f
			return nil
		},
		show: func() string { return strconv.FormatFloat(*p, 'g', -1, 64) },
		js:   map[string]any{"type": "number", "minimum": min, "maximum": max},
	}
}

func size(p *int64, min, max int64) leaf {
	return leaf{
		parse: func(s string) error {
			n, err := parseSize(s)
			if err != nil {
				return err
			}
			if n < min || n > max {
				return fmt.Errorf("%s is outside %s to %s", s, knob.FormatBytes(min), knob.FormatBytes(max))
			}
			*p = n
			return nil
		},
		show: func() string { return knob.FormatBytes(*p) },
		js: map[string]any{"type": []string{"string", "integer"},
			"pattern": `^[0-9]+(\.[0-9]+)?( ?([KMG]i?)?B)?$`, "examples": []string{"1KiB", "64KiB"}},
	}
}

func span(p *time.Duration, min, max time.Duration) leaf {
	return leaf{
		parse: func(s string) error {
			v, err := parseSpan(s)
			if err != nil {
				return err
			}
			if v < min || v > max {
				return fmt.Errorf("%s is outside %s to %s", s, knob.FormatDuration(min), knob.FormatDuration(max))
			}
			*p = v
			return nil
		},
		show: func() string { return knob.FormatDuration(*p) },
		js: map[string]any{"type": []string{"string", "integer"}, "maximum": 0, // a bare number is 0 or has no unit
			"pattern": `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+)$`, "examples": []string{"5ms", "15s", "2m"}},
	}
}

// parseSize is knob.ParseBytes without negatives.
func parseSize(s string) (int64, error) {
	n, err := knob.ParseBytes(s)
	if err == nil && n < 0 {
		err = fmt.Errorf("%q is negative", s)
	}
	return n, err
}

// parseSpan is a duration that must have its unit: 3 could be meant as seconds
// or as Kafka's milliseconds.
func parseSpan(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, fmt.Errorf("%s has no unit (write %ss or %sms)", s, s, s)
	}
	return knob.ParseDuration(s)
}

// maxRate is the rate of a closed loop: as fast as the target takes it.
const maxRate = 0

var errRateUnit = errors.New("has no unit")

// parseRate reads 50000/s, 50k/s, 1.5M/s.
func parseRate(s string) (float64, error) {
	num, found := strings.CutSuffix(strings.TrimSpace(s), "/s")
	mult := 1.0
	num = strings.TrimSpace(num)
	for suffix, m := range map[string]float64{"k": 1e3, "K": 1e3, "M": 1e6} {
		if t, ok := strings.CutSuffix(num, suffix); ok {
			num, mult = strings.TrimSpace(t), m
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(num, "_", ""), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
		return 0, fmt.Errorf("%q is no rate (write 50000/s, 50k/s or max)", s)
	}
	if !found {
		return 0, fmt.Errorf("%q %w (write %s/s)", s, errRateUnit, s)
	}
	return f * mult, nil
}

// toggle is true or false; empty is not yet decided.
func toggle(p *string) leaf {
	l := word(p, []string{"true", "false"}, nil)
	l.js = map[string]any{"type": "boolean"}
	return l
}
