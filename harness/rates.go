package harness

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace/harness/load"
	"millrace/internal/knob"
)

// rate is a phase's schedule: constant, a ramp, steps of equal length, a sine,
// or max.
func rate(p *Phase) leaf {
	const one = `[0-9_]+(\.[0-9]+)? ?[kKM]?/s`
	return leaf{
		parse: func(s string) error {
			p.rateSet, p.Rate, p.RateTo, p.Swing, p.Period, p.Steps = true, maxRate, 0, 0, 0, nil
			s = strings.TrimSpace(s)
			if s == "max" {
				return nil
			}
			if steps := strings.Split(s, " then "); len(steps) > 1 {
				return p.parseSteps(steps)
			}
			if from, end, ramp := strings.Cut(s, " to "); ramp {
				if err := parseRateInto(&p.Rate, from); err != nil {
					return err
				}
				return parseRateInto(&p.RateTo, end)
			}
			mean, swing, sine := strings.Cut(strings.Replace(s, "±", "+-", 1), "+-")
			if err := parseRateInto(&p.Rate, mean); err != nil || !sine {
				return err
			}
			return p.parseSwing(swing)
		},
		show: p.formatRate,
		js: map[string]any{"type": "string",
			"pattern":  `^(max|` + one + `(( +to +` + one + `)|( +then +` + one + `)+| *(\+-|±) *` + one + ` +every +[0-9a-zµ.]+)?)$`,
			"examples": []string{"50000/s", "1k/s to 50k/s", "1k/s then 5k/s then 1k/s", "10k/s +- 5k/s every 20s", "max"}},
	}
}

func (p *Phase) parseSteps(steps []string) error {
	for _, text := range steps {
		var r float64
		if err := parseRateInto(&r, text); err != nil {
			return err
		}
		p.Steps = append(p.Steps, r)
	}
	p.Rate = p.Steps[0]
	return nil
}

// parseSwing reads the rest of a sine: 5k/s every 20s.
func (p *Phase) parseSwing(s string) error {
	swing, period, ok := strings.Cut(s, " every ")
	if !ok {
		return fmt.Errorf("a rate that swings says how often (write 10k/s +- 5k/s every 20s)")
	}
	if err := parseRateInto(&p.Swing, swing); err != nil {
		return err
	}
	if p.Swing > p.Rate {
		return fmt.Errorf("a swing of %s around %s falls below nothing", formatRate(p.Swing), formatRate(p.Rate))
	}
	var err error
	if p.Period, err = parseSpan(strings.TrimSpace(period)); err == nil && p.Period < 100*time.Millisecond {
		err = fmt.Errorf("a period of %s is below 100ms", period)
	}
	return err
}

func parseRateInto(p *float64, s string) error {
	s = strings.TrimSpace(s)
	r, err := parseRate(s)
	if err != nil {
		return err
	}
	if r < 0.1 || r > 1e9 {
		return fmt.Errorf("%s is outside 0.1/s to 1000000000/s", s)
	}
	*p = r
	return nil
}

func formatRate(r float64) string {
	if r == maxRate {
		return "max"
	}
	return strconv.FormatFloat(r, 'f', -1, 64) + "/s"
}

// formatRate is the schedule as the file says it.
func (p *Phase) formatRate() string {
	switch {
	case !p.rateSet:
		return ""
	case len(p.Steps) > 0:
		var steps []string
		for _, r := range p.Steps {
			steps = append(steps, formatRate(r))
		}
		return strings.Join(steps, " then ")
	case p.Swing > 0:
		return fmt.Sprintf("%s +- %s every %s", formatRate(p.Rate), formatRate(p.Swing), knob.FormatDuration(p.Period))
	case p.RateTo > 0:
		return formatRate(p.Rate) + " to " + formatRate(p.RateTo)
	}
	return formatRate(p.Rate)
}

// sends says that producers are at work in the phase.
func (p Phase) sends() bool { return p.Kind != Pause && p.Kind != Drain }

// closedLoop says that the phase sends as fast as the target takes it.
func (p Phase) closedLoop() bool { return p.sends() && p.Rate == maxRate }

// records is how many records the phase's schedule holds; of a closed loop 0.
func (p Phase) records() float64 {
	pace := p.pacer()
	switch {
	case pace == nil || !p.sends():
		return 0
	case len(p.Steps) > 0 || p.Swing > 0:
		return float64(pace.Count(p.Len - 1))
	case p.RateTo > 0:
		return (p.Rate + p.RateTo) / 2 * p.Len.Seconds()
	}
	return p.Rate * p.Len.Seconds()
}

// rateOver is the mean rate scheduled between two moments of the phase.
func (p Phase) rateOver(from, to time.Duration) float64 {
	pace := p.pacer()
	from, to = max(from, 0), min(to, p.Len)
	if pace == nil || !p.sends() || to <= from {
		return 0
	}
	if _, ok := pace.(load.Constant); ok {
		return p.Rate
	}
	return float64(pace.Count(to)-pace.Count(from)) / (to - from).Seconds()
}

// pacer is the phase's schedule; nil: closed loop, or no load at all.
func (p Phase) pacer() load.Pacer {
	switch {
	case p.Rate == maxRate:
		return nil
	case len(p.Steps) > 0:
		var parts []load.Stretch
		for _, r := range p.Steps {
			parts = append(parts, load.Stretch{Pacer: load.Constant(r), Len: p.Len / time.Duration(len(p.Steps))})
		}
		return load.NewSequence(parts...)
	case p.Swing > 0:
		return load.Sine{Mean: p.Rate, Amplitude: p.Swing, Period: p.Period}
	case p.RateTo > 0:
		return load.Ramp{From: p.Rate, To: p.RateTo, Over: p.Len}
	}
	return load.Constant(p.Rate)
}

// scheduledOver is the mean rate scheduled between two moments of the run, as
// far as they lie in the phase.
func (s *Scenario) scheduledOver(phase int, from, to time.Duration) float64 {
	var begin time.Duration
	for _, p := range s.Phases[:phase] {
		begin += p.Len
	}
	return s.Phases[phase].rateOver(from-begin, to-begin)
}
