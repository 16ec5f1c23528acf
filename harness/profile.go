package harness

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"millrace/results"
)

// ProfileSummary writes the n top functions of each profile of a run's steady
// phases, the target's first, per acknowledged record.
func ProfileSummary(w io.Writer, run *results.Run, n int) error {
	shown := 0
	for _, who := range results.Processes {
		for _, kind := range results.ProfileKinds {
			p, err := run.Profile(who, kind)
			if err != nil {
				return err
			}
			if p == nil {
				continue
			}
			shown++
			topTable(w, p, n)
		}
	}
	if shown == 0 {
		return fmt.Errorf("%s holds no profile of a steady phase", run.Dir)
	}
	fmt.Fprintf(w, "flame graphs: %s\n", filepath.Join(run.Dir, results.ReportFile))
	fmt.Fprintf(w, "pprof's own pages:\n  go tool pprof -http=127.0.0.1: %s\n", filepath.Join(run.Dir, results.ProfilesDir, "FILE"))
	return nil
}

func topTable(w io.Writer, p *results.Profile, n int) {
	per := "in all"
	value := func(v int64) string { return p.Format(float64(v)) }
	if p.PerRecord > 0 {
		per = "/record"
		value = func(v int64) string { return p.Format(float64(v) * p.PerRecord) }
	}
	fmt.Fprintf(w, "%s, %s: %s", p.Process, p.Kind, p.Format(float64(p.Total)))
	if p.PerRecord > 0 {
		fmt.Fprintf(w, ", %s a record", value(p.Total))
	}
	fmt.Fprintln(w)
	if p.Total == 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "%11s %6s %11s %6s  %s\n", "own "+per, "", "with calls", "", "function")
	top := p.Top()
	for _, fn := range top[:min(n, len(top))] {
		share := func(v int64) string { return fmt.Sprintf("%.1f%%", 100*float64(v)/float64(max(p.Total, 1))) }
		fmt.Fprintf(w, "%11s %6s %11s %6s  %s\n", value(fn.Flat), share(fn.Flat), value(fn.Cum), share(fn.Cum), clip(results.ShortName(fn.Name), 41))
	}
	fmt.Fprintln(w)
}

// mergeProfiles merges each alternative's profiles over its rounds and puts
// them beside the comparison. It says what could not be done.
func mergeProfiles(c *results.Comparison) (notes []string) {
	dir := filepath.Join(c.Dir, results.ProfilesDir)
	for i := range c.Alternatives {
		a := &c.Alternatives[i]
		var runs []*results.Run
		for _, id := range a.Runs {
			if r, err := results.Open(a.RunDir(c, id)); err == nil {
				runs = append(runs, r)
			}
		}
		for _, who := range results.Processes {
			for _, kind := range results.ProfileKinds {
				p, err := results.MergeProfiles(who, kind, runs...)
				if p == nil && err == nil {
					continue
				}
				name := who + "-" + kind
				file := filepath.Join(results.ProfilesDir, fmt.Sprintf("%s-%d.pb.gz", name, i))
				if err == nil {
					err = os.MkdirAll(dir, 0o755)
				}
				if err == nil {
					err = p.Save(filepath.Join(c.Dir, file))
				}
				if err != nil {
					notes = append(notes, fmt.Sprintf("profiles of %s: %v", a.Name, err))
					continue
				}
				if a.Profiles == nil {
					a.Profiles = map[string]results.MergedProfile{}
				}
				a.Profiles[name] = results.MergedProfile{File: file, PerRecord: p.PerRecord}
			}
		}
	}
	return notes
}

// MovesSummary writes, for each alternative but the first, the n functions
// whose cost per record moved furthest.
func MovesSummary(w io.Writer, c *results.Comparison, n int) error {
	base := &c.Alternatives[0]
	for i := range c.Alternatives[1:] {
		a := &c.Alternatives[i+1]
		if c.IsAgain(a) {
			continue
		}
		for _, who := range results.Processes {
			for _, kind := range results.ProfileKinds {
				was, err := c.OpenProfile(base, who+"-"+kind)
				if err != nil {
					return err
				}
				is, err := c.OpenProfile(a, who+"-"+kind)
				if err != nil {
					return err
				}
				if was == nil || is == nil || !results.PerRecordKind(kind) || was.Total == 0 && is.Total == 0 {
					continue
				}
				bullet(w, "", fmt.Sprintf("%s, %s a record, %s against %s: what moved most", who, kind, a.Name, base.Name))
				fmt.Fprintf(w, "  %11s %11s %11s  %s\n", "was", "is", "by", "function")
				shown, rest := 0, 0
				for _, m := range is.Moves(was) {
					if !m.Shown() {
						rest++
						continue
					}
					if shown++; shown > n {
						continue
					}
					sign := "+"
					if m.By() < 0 {
						sign = "−"
					}
					fmt.Fprintf(w, "  %11s %11s %11s  %s\n", is.Format(m.Was), is.Format(m.Is), sign+is.Format(abs(m.By())), clip(results.ShortName(m.Name), 38))
				}
				fmt.Fprintf(w, "  %s moved by no more than sampling alone does\n\n", plural(int64(rest), "function"))
			}
		}
	}
	return nil
}
