package results

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// Unlike says what makes runs hard to hold against each other. Refused is what
// makes the ratio of their figures meaningless: other machines, other loads,
// runs that went wrong. Flagged is what a reader must have in mind: other
// promises of an acknowledgement, other depths of validation, other targets.
func Unlike(runs []*Run) (refused, flagged []string) {
	differs := func(list *[]string, what string, of func(r *Run) string) {
		seen := map[string]bool{}
		for _, r := range runs {
			seen[of(r)] = true
		}
		if len(seen) < 2 {
			return
		}
		var values []string
		for v := range seen {
			if v == "" {
				v = "unknown"
			}
			values = append(values, v)
		}
		sort.Strings(values)
		*list = append(*list, fmt.Sprintf("different %s: %s", what, strings.Join(values, "; ")))
	}
	machine := func(r *Run) string {
		e := &r.Env
		text := fmt.Sprintf("%s, %d CPUs, %s", e.CPUModel, e.CPUs, FormatBytes(float64(e.MemoryBytes)))
		if e.CgroupCPU > 0 {
			text += fmt.Sprintf(", limited to %v CPUs", e.CgroupCPU)
		}
		return fmt.Sprintf("%s, %s %s", text, e.OS, e.Arch)
	}
	differs(&refused, "machines", machine)
	differs(&refused, "scenarios", func(r *Run) string { return r.Trial.Scenario })
	differs(&refused, "clients", func(r *Run) string { return r.Trial.Audit.Client })
	differs(&refused, "generators", func(r *Run) string {
		if n := len(r.Trial.Agents); n > 0 {
			return fmt.Sprintf("%d agents", n)
		}
		return "the lab's own process"
	})
	apart(&refused, "durations of the steady phases", "s", runs, func(r *Run) float64 { return r.Trial.Steady.LenS })
	apart(&refused, "rates asked for", "/s", runs, func(r *Run) float64 { return r.Trial.Steady.ScheduledRate })
	for _, r := range runs {
		switch r.Verdict.Outcome {
		case Violation, Interrupted:
			refused = append(refused, fmt.Sprintf("%s ended with %s", r.ID, r.Verdict.Outcome))
		case Invalid:
			flagged = append(flagged, fmt.Sprintf("%s is INVALID: %s", r.ID, r.Verdict.Reason))
		}
	}
	differs(&flagged, "promises of an acknowledgement (sync.policy)", func(r *Run) string { return r.Trial.Promise })
	differs(&flagged, "depths of validation (validate.depth)", func(r *Run) string { return r.Trial.Validation })
	differs(&flagged, "ways to run the target", func(r *Run) string { return r.Trial.Target.Kind })
	differs(&flagged, "kernels", func(r *Run) string { return r.Env.Kernel })
	differs(&flagged, "versions of Go", func(r *Run) string { return r.Env.Go })
	differs(&flagged, "file systems", func(r *Run) string { return r.Env.FileSystem.Type + " (" + r.Env.FileSystem.Options + ")" })
	differs(&flagged, "seeds", func(r *Run) string { return fmt.Sprint(r.Trial.Seed) })
	return refused, flagged
}

// apart notes a number of which the runs' values lie more than 5 % apart.
func apart(list *[]string, what, unit string, runs []*Run, of func(r *Run) float64) {
	lowest, highest := math.Inf(1), 0.0
	for _, r := range runs {
		lowest, highest = min(lowest, of(r)), max(highest, of(r))
	}
	if highest > 0 && lowest < highest*0.95 {
		*list = append(*list, fmt.Sprintf("different %s: %s to %s %s", what, FormatCount(lowest), FormatCount(highest), unit))
	}
}
