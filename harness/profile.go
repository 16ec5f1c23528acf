package harness

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/google/pprof/profile"

	"millrace/results"
)

// Function is one function's share of a profile.
type Function struct {
	Name string
	// Flat is what was spent in the function itself, Cum what in it and all it
	// called; of a CPU profile nanoseconds, else the profile's own unit.
	Flat, Cum int64
}

// Top reads a pprof file and ranks its functions by what was spent in them
// alone. total is the whole profile, unit that of its values.
func Top(file string) (list []Function, total int64, unit string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, "", err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, 0, "", fmt.Errorf("%s: %w", file, err)
	}
	if len(p.SampleType) == 0 {
		return nil, 0, "", fmt.Errorf("%s: no sample type", file)
	}
	v := len(p.SampleType) - 1 // the last is pprof's own default: nanoseconds, bytes in use
	by := map[string]*Function{}
	for _, s := range p.Sample {
		total += s.Value[v]
		seen := map[string]bool{} // a recursive function counts once
		for i, loc := range s.Location {
			for j, line := range loc.Line {
				if line.Function == nil {
					continue
				}
				name := line.Function.Name
				fn := by[name]
				if fn == nil {
					fn = &Function{Name: name}
					by[name] = fn
				}
				if i == 0 && j == 0 {
					fn.Flat += s.Value[v]
				}
				if !seen[name] {
					fn.Cum += s.Value[v]
					seen[name] = true
				}
			}
		}
	}
	for _, fn := range by {
		list = append(list, *fn)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Flat != list[j].Flat {
			return list[i].Flat > list[j].Flat
		}
		if list[i].Cum != list[j].Cum {
			return list[i].Cum > list[j].Cum
		}
		return list[i].Name < list[j].Name
	})
	return list, total, p.SampleType[v].Unit, nil
}

// ProfileSummary writes the top functions of each CPU profile of a run's
// steady phases, the target's first, in nanoseconds per acknowledged record.
func ProfileSummary(w io.Writer, run *results.Run, n int) error {
	shown := 0
	for _, who := range []string{"target", "both", "generator"} {
		for i := range run.Trial.Phases {
			ph := &run.Trial.Phases[i]
			file := filepath.Join(run.Dir, results.ProfilesDir, who+"-cpu-"+ph.Name+".pb.gz")
			if ph.Kind != Steady || ph.Acked.Records == 0 {
				continue
			}
			if _, err := os.Stat(file); err != nil {
				continue
			}
			list, total, _, err := Top(file)
			if err != nil {
				return err
			}
			shown++
			// A profile covers whole seconds of the phase; the share is scaled to
			// what the process spent.
			perRecord := func(v int64) string { return "–" }
			if c := costOf(ph, who); c != nil && total > 0 {
				perRecord = func(v int64) string {
					return results.FormatNs(float64(v) / float64(total) * c.PerRecord.CPUNs)
				}
			}
			fmt.Fprintf(w, "%s, %s: CPU %s\n", who, ph.Name, results.FormatNs(float64(total)))
			fmt.Fprintf(w, "%10s %6s %10s %6s  %s\n", "flat/rec", "flat", "cum/rec", "cum", "function")
			for _, fn := range list[:min(n, len(list))] {
				share := func(v int64) string { return fmt.Sprintf("%.1f%%", 100*float64(v)/float64(max(total, 1))) }
				fmt.Fprintf(w, "%10s %6s %10s %6s  %s\n", perRecord(fn.Flat), share(fn.Flat), perRecord(fn.Cum), share(fn.Cum), clip(shortName(fn.Name), 43))
			}
			fmt.Fprintf(w, "\ngo tool pprof -http=: %s\n\n", file)
		}
	}
	if shown == 0 {
		return fmt.Errorf("%s holds no CPU profile of a steady phase", run.Dir)
	}
	return nil
}

func costOf(p *results.Phase, who string) *results.Cost {
	if who == "target" {
		return p.Target
	}
	return p.Generator
}

// shortName drops the path before a function's package.
func shortName(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[i+1:]
	}
	return name
}
