package harness

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"millrace/results"
)

// design is what a comparison is made of.
type design struct {
	factors      []results.Factor
	name         string // results.FullDesign, or a screening design's
	alternatives []alternative
}

// title names the factors.
func (d *design) title() string {
	var names []string
	for _, f := range d.factors {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// axis is a factor with what each of its levels does to a run's options.
type axis struct {
	results.Factor
	apply func(ro *RunOptions, level int) error
}

// designOf works out the sides from knobs, targets and revisions. Revisions
// are built below tmp.
func designOf(ctx context.Context, o CompareOptions, tmp string) (*design, error) {
	axes, err := axesOf(ctx, o, tmp)
	if err != nil {
		return nil, err
	}
	d := &design{name: results.FullDesign}
	for _, a := range axes {
		d.factors = append(d.factors, a.Factor)
	}
	rows := fullDesign(d.factors)
	if o.Screening {
		if rows, d.name, err = screening(d.factors); err != nil {
			return nil, &Faults{[]string{err.Error()}}
		}
	}
	if len(rows) > mostAlternatives {
		return nil, &Faults{[]string{fmt.Sprintf("%d alternatives are too many (at most %d): name fewer values, or screen the knobs with --screening", len(rows), mostAlternatives)}}
	}
	for _, row := range rows {
		ro := o.RunOptions
		var words []string
		for i, l := range row {
			if err := axes[i].apply(&ro, l); err != nil {
				return nil, err
			}
			words = append(words, axes[i].Name+"="+axes[i].Levels[l])
		}
		if ro.Target != "" {
			if _, err := newTarget(&ro); err != nil {
				return nil, err
			}
		}
		name := strings.Join(words, " ")
		if len(axes) == 1 { // the factor's name stands in the heading
			name = axes[0].Levels[row[0]]
		}
		d.alternatives = append(d.alternatives, alternative{name: name, levels: row, opts: ro, values: map[string][]float64{}})
	}
	if o.Noise {
		again := d.alternatives[0]
		again.name, again.values = again.name+results.Again, map[string][]float64{}
		d.alternatives = append(d.alternatives, again)
	}
	return d, nil
}

// mostAlternatives bounds a comparison: ten rounds of so many trials of some
// seconds are hours already.
const mostAlternatives = 128

// axesOf reads the factors.
func axesOf(ctx context.Context, o CompareOptions, tmp string) ([]axis, error) {
	var axes []axis
	var faults []string
	if len(o.Targets) == 1 {
		faults = append(faults, "one --target is nothing to compare: name two or more, or a factor beside it")
	}
	if len(o.Targets) > 1 {
		axes = append(axes, axis{results.Factor{Name: "target", Levels: targetLabels(o.Targets)}, func(ro *RunOptions, l int) error {
			ro.Target = o.Targets[l]
			_, err := newTarget(ro)
			return err
		}})
	}
	if len(o.Revs) == 1 {
		faults = append(faults, `one --rev is nothing to compare: name two ("." is the working tree)`)
	}
	if len(o.Revs) > 0 && (len(o.Targets) > 0 || o.Target != "" && o.Target != "child") {
		faults = append(faults, "--rev compares builds of millrace's own broker: it goes with the target child only")
	}
	for _, k := range o.Knobs {
		name, list, ok := strings.Cut(k, "=")
		values := splitValues(list)
		if !ok || len(values) < 2 {
			faults = append(faults, fmt.Sprintf("--knob %s: write name=a,b with two values or more", k))
			continue
		}
		axes = append(axes, axis{results.Factor{Name: name, Levels: values}, func(ro *RunOptions, l int) (err error) {
			ro.Scenario, err = ro.Scenario.with(name + "=" + values[l])
			return err
		}})
	}
	if len(axes)+len(o.Revs) == 0 && len(faults) == 0 {
		faults = append(faults, "nothing to compare: say --knob name=a,b, or several --target or --rev")
	}
	seen := map[string]bool{}
	for _, a := range axes {
		if seen[a.Name] {
			faults = append(faults, fmt.Sprintf("--knob %s is there twice: put all its values into one", a.Name))
		}
		seen[a.Name] = true
		values := map[string]bool{}
		for _, v := range a.Levels {
			if values[v] {
				faults = append(faults, fmt.Sprintf("%s: %s is there twice (every comparison runs its first alternative against itself anyway)", a.Name, v))
			}
			values[v] = true
		}
	}
	if len(faults) > 0 {
		return nil, &Faults{faults}
	}
	if len(o.Revs) > 1 {
		rev, err := revisions(ctx, o, tmp)
		if err != nil {
			return nil, err
		}
		axes = append([]axis{rev}, axes...)
	}
	return axes, nil
}

// revisions builds each.
func revisions(ctx context.Context, o CompareOptions, tmp string) (axis, error) {
	binaries := make([]string, len(o.Revs))
	for i, rev := range o.Revs {
		if o.Progress != nil {
			fmt.Fprintf(o.Progress, "building revision %s\n", rev)
		}
		var err error
		if binaries[i], err = buildRevision(ctx, rev, tmp); err != nil {
			return axis{}, interruptedOr(ctx, err)
		}
	}
	return axis{results.Factor{Name: "rev", Levels: o.Revs}, func(ro *RunOptions, l int) error {
		ro.Binary = binaries[l]
		return nil
	}}, nil
}

// splitValues splits at the commas outside of brackets and braces, so that a
// scenario's section can be a value.
func splitValues(list string) (values []string) {
	depth, from := 0, 0
	for i, c := range list {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				values = append(values, strings.TrimSpace(list[from:i]))
				from = i + 1
			}
		}
	}
	return append(values, strings.TrimSpace(list[from:]))
}

// targetLabels are what a table calls targets: a recipe's path would leave no room
// for the figures, so its file's name stands for it where no other has the same.
func targetLabels(targets []string) (labels []string) {
	for _, t := range targets {
		label := t
		if file, ok := strings.CutPrefix(t, "command:"); ok {
			label = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		}
		if slices.Contains(labels, label) {
			label = t
		}
		labels = append(labels, label)
	}
	return labels
}
