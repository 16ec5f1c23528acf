package results

import (
	"fmt"
	"io"
	"math"
	"sort"
	"strings"
	"unicode"
)

// WriteBench writes runs in Go's benchmark format, a line for each, so that
// benchstat compares run directories as it compares benchmarks. Knobs off
// their default are part of the name, as key=value.
func WriteBench(w io.Writer, runs ...*Run) error {
	var b strings.Builder
	for i, r := range runs {
		if i == 0 {
			fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: millrace/scenarios\ncpu: %s\n", r.Env.OS, r.Env.Arch, r.Env.CPUModel)
			for _, unit := range benchUnits {
				better := "lower"
				if unit.higher {
					better = "higher"
				}
				fmt.Fprintf(&b, "Unit %s better=%s\n", unit.name, better)
			}
		}
		p := &r.Trial.Steady
		if p.Acked.Records == 0 {
			continue // nothing that a figure could be made of
		}
		// Iterations are the records; ns/op is therefore left to the units.
		fmt.Fprintf(&b, "Benchmark%s-%d %d", benchName(r), max(r.Env.GOMAXPROCS, 1), p.Acked.Records)
		for _, unit := range benchUnits {
			if v := unit.of(p); v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) {
				fmt.Fprintf(&b, " %.6g %s", *v, unit.name)
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// benchUnits are the figures of a line. Units whose name starts with ns or
// ends in /s are scaled by benchstat as times and rates.
var benchUnits = []struct {
	name   string
	higher bool
	of     func(p *Phase) *float64
}{
	{"records/s", true, func(p *Phase) *float64 { return &p.Acked.Rate }},
	{"B/s", true, func(p *Phase) *float64 { return &p.Acked.ByteRate }},
	{"ack-p50-ns", false, func(p *Phase) *float64 { return p.quantile(Ack, func(q Quantiles) int64 { return q.P50Ns }) }},
	{"ack-p99-ns", false, func(p *Phase) *float64 { return p.quantile(Ack, func(q Quantiles) int64 { return q.P99Ns }) }},
	{"e2e-p50-ns", false, func(p *Phase) *float64 { return p.quantile(EndToEnd, func(q Quantiles) int64 { return q.P50Ns }) }},
	{"e2e-p99-ns", false, func(p *Phase) *float64 { return p.quantile(EndToEnd, func(q Quantiles) int64 { return q.P99Ns }) }},
	{"cpu-ns/record", false, func(p *Phase) *float64 { return p.perRecord(func(c PerRecord) *float64 { return &c.CPUNs }) }},
	{"B/record", false, func(p *Phase) *float64 { return p.perRecord(func(c PerRecord) *float64 { return c.AllocB }) }},
	{"allocs/record", false, func(p *Phase) *float64 { return p.perRecord(func(c PerRecord) *float64 { return c.Allocs }) }},
	{"syscalls/record", false, func(p *Phase) *float64 { return p.perRecord(func(c PerRecord) *float64 { return c.Syscalls }) }},
}

func (p *Phase) quantile(name string, get func(Quantiles) int64) *float64 {
	q, ok := p.Latency[name]
	if !ok || q.Count == 0 {
		return nil
	}
	v := float64(get(q))
	return &v
}

func (p *Phase) perRecord(get func(PerRecord) *float64) *float64 {
	if p.Target == nil {
		return nil
	}
	return get(p.Target.PerRecord)
}

// benchName is Scenario/quickstart/target=child/read.path=copy.
func benchName(r *Run) string {
	parts := []string{"Scenario", r.Trial.Scenario, "target=" + r.Trial.Target.Kind}
	keys := make([]string, 0, len(r.Env.Knobs))
	for k := range r.Env.Knobs {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		parts = append(parts, k+"="+r.Env.Knobs[k])
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) {
			return '_'
		}
		return c
	}, strings.Join(parts, "/"))
}
