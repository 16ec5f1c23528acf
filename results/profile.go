package results

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/google/pprof/profile"
)

// Profiles of a run are pprof files named <process>-<kind>-<phase>.pb.gz. The
// process is target, generator, or both where they are one.

// Processes are those that profiles are of, in the order in which they are
// shown.
var Processes = []string{"target", "both", "generator"}

// ProfileKinds are the kinds of profile, in the order in which they are shown.
// perf is the processor's time once more, taken by Linux's perf: it sees the
// kernel's functions too.
var ProfileKinds = []string{"cpu", "perf", "allocs", "heap", "mutex", "block", "goroutine"}

// PerRecordKind says that a profile of this kind adds up over time, so that
// its values can be divided by the records of that time.
func PerRecordKind(kind string) bool { return kind != "heap" && kind != "goroutine" }

// ProfileName names the profile of a process, kind and phase.
func ProfileName(process, kind, phase string) string {
	return process + "-" + kind + "-" + phase + ".pb.gz"
}

// Profile is one pprof profile, or several merged, read for one kind of value.
type Profile struct {
	Process, Kind string
	Unit          string // ns, B, or "" for a count
	Total         int64
	Records       int64 // acknowledged in the time that the profile stands for
	// PerRecord turns a value into a value per record; 0: there is no such thing.
	// Of CPU it also scales what was sampled to what the process spent.
	PerRecord float64

	raw   *profile.Profile
	value int // index of the sample type
}

// Function is one function's share of a profile.
type Function struct {
	Name string
	// Flat is what was spent in the function itself, Cum what in it and all it
	// called, in the profile's unit.
	Flat, Cum int64
}

// Profile reads the profile of a process and kind over the run's steady
// phases, merged; nil where the run has none.
func (r *Run) Profile(process, kind string) (*Profile, error) {
	return MergeProfiles(process, kind, r)
}

// MergeProfiles reads the profiles of a process and kind over the steady phases
// of all runs as one; nil where none has any.
func MergeProfiles(process, kind string, runs ...*Run) (*Profile, error) {
	var found []*profile.Profile
	var spentNs float64
	var records int64
	for _, r := range runs {
		for i := range r.Trial.Phases {
			ph := &r.Trial.Phases[i]
			if ph.Kind != "steady" {
				continue
			}
			p, err := parseProfile(filepath.Join(r.Dir, ProfilesDir, ProfileName(process, kind, ph.Name)))
			if errors.Is(err, os.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, err
			}
			found = append(found, p)
			records += ph.Acked.Records
			cost := ph.Generator
			if process == "target" {
				cost = ph.Target
			}
			if cost != nil {
				spentNs += cost.CPUS * 1e9
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	if !PerRecordKind(kind) { // a state, not a sum: the last one stands
		found = found[len(found)-1:]
	}
	merged, err := profile.Merge(found)
	if err != nil {
		return nil, fmt.Errorf("%s %s profiles cannot be merged: %w", process, kind, err)
	}
	p, err := newProfile(merged)
	if err != nil {
		return nil, err
	}
	p.Process, p.Kind, p.Records = process, kind, records
	switch {
	case records == 0 || p.Total == 0 || !PerRecordKind(kind):
	case (kind == "cpu" || kind == "perf") && spentNs > 0:
		p.PerRecord = spentNs / float64(p.Total) / float64(records)
	default:
		p.PerRecord = 1 / float64(records)
	}
	return p, nil
}

// OpenProfile reads a merged profile of a comparison.
func (c *Comparison) OpenProfile(a *Alternative, name string) (*Profile, error) {
	m, ok := a.Profiles[name]
	if !ok {
		return nil, nil
	}
	raw, err := parseProfile(filepath.Join(c.Dir, m.File))
	if err != nil {
		return nil, err
	}
	p, err := newProfile(raw)
	if err != nil {
		return nil, err
	}
	p.Process, p.Kind, _ = strings.Cut(name, "-")
	p.PerRecord = m.PerRecord
	return p, nil
}

// parseProfile reads a pprof file.
func parseProfile(file string) (*profile.Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(p.SampleType) == 0 {
		return nil, fmt.Errorf("%s: no sample type", file)
	}
	return p, nil
}

func newProfile(raw *profile.Profile) (*Profile, error) {
	p := &Profile{raw: raw, value: len(raw.SampleType) - 1}
	for i, t := range raw.SampleType { // allocs: alloc_space, though in-use bytes come last
		if t.Type == raw.DefaultSampleType {
			p.value = i
		}
	}
	switch raw.SampleType[p.value].Unit {
	case "nanoseconds":
		p.Unit = "ns"
	case "bytes":
		p.Unit = "B"
	}
	for _, s := range raw.Sample {
		p.Total += s.Value[p.value]
	}
	return p, nil
}

// Save writes the profile as a pprof file.
func (p *Profile) Save(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(p.raw.Write(f), f.Close())
}

// Format words a value of the profile, or one per record.
func (p *Profile) Format(v float64) string {
	switch p.Unit {
	case "ns":
		return FormatNs(v)
	case "B":
		return FormatBytes(v)
	}
	return FormatNumber(v)
}

// stack calls f with the functions of each sample, the outermost first.
func (p *Profile) stacks(f func(names []string, v int64)) {
	var names []string
	for _, s := range p.raw.Sample {
		names = names[:0]
		for _, loc := range slices.Backward(s.Location) {
			for _, line := range slices.Backward(loc.Line) { // the last line of a location is the caller of those inlined into it
				if line.Function != nil {
					names = append(names, line.Function.Name)
				}
			}
		}
		if len(names) > 0 {
			f(names, s.Value[p.value])
		}
	}
}

// Top ranks the functions by what was spent in them alone.
func (p *Profile) Top() []Function {
	by := map[string]*Function{}
	seen := map[string]bool{}
	p.stacks(func(names []string, v int64) {
		clear(seen) // a recursive function counts once
		for i, name := range names {
			fn := by[name]
			if fn == nil {
				fn = &Function{Name: name}
				by[name] = fn
			}
			if i == len(names)-1 {
				fn.Flat += v
			}
			if !seen[name] {
				fn.Cum += v
				seen[name] = true
			}
		}
	})
	list := make([]Function, 0, len(by))
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
	return list
}

// Frame is a function in the place where it was called: the node of a flame
// graph.
type Frame struct {
	Name string
	// Value is what was spent in it and below, per record or in the profile's
	// unit where there are no records.
	Value float64
	// Was is the same of the profile compared with.
	Was      float64
	Children []*Frame
}

func (f *Frame) child(name string) *Frame {
	for _, c := range f.Children {
		if c.Name == name {
			return c
		}
	}
	c := &Frame{Name: name}
	f.Children = append(f.Children, c)
	return c
}

// order puts the children of every frame in the order of their names, so that
// two graphs can be laid side by side, as flame graphs are drawn.
func (f *Frame) order() {
	sort.Slice(f.Children, func(i, j int) bool { return f.Children[i].Name < f.Children[j].Name })
	for _, c := range f.Children {
		c.order()
	}
}

// scale is what a value is multiplied by to be shown.
func (p *Profile) scale() float64 {
	if p.PerRecord > 0 {
		return p.PerRecord
	}
	return 1
}

// Flame is the profile as a tree of calls, and beside each value what it was in
// the other profile, which may be nil.
func (p *Profile) Flame(was *Profile) *Frame {
	root := &Frame{Name: "all"}
	grow := func(from *Profile, add func(f *Frame, v float64)) {
		k := from.scale()
		from.stacks(func(names []string, v int64) {
			add(root, float64(v)*k)
			at := root
			for _, name := range names {
				at = at.child(name)
				add(at, float64(v)*k)
			}
		})
	}
	grow(p, func(f *Frame, v float64) { f.Value += v })
	if was != nil {
		grow(was, func(f *Frame, v float64) { f.Was += v })
	}
	root.order()
	return root
}

// Moved is a function whose cost differs between two profiles, per record.
type Moved struct {
	Name          string
	Was, Is       float64 // in the function itself
	WasCum, IsCum float64 // and in all it called
	// Noise is how far sampling alone could have moved it: twice the standard
	// error of two counts of samples.
	Noise float64
}

// Shown says that more than the chance of sampling moved it.
func (m Moved) Shown() bool { return math.Abs(m.By()) > m.Noise }

// sample is what one sample of the profile stands for, on average.
func (p *Profile) sample() float64 {
	n := 0
	for _, s := range p.raw.Sample {
		if s.Value[p.value] != 0 {
			n++
		}
	}
	if p.raw.SampleType[0].Unit == "count" && p.value > 0 { // CPU: samples; allocs: allocations sampled
		n = 0
		for _, s := range p.raw.Sample {
			n += int(s.Value[0])
		}
	} else if p.raw.Period > 0 && p.Unit == "ns" {
		n = int(p.Total / p.raw.Period)
	}
	return float64(p.Total) * p.scale() / float64(max(n, 1))
}

// By is how much more the function itself costs.
func (m Moved) By() float64 { return m.Is - m.Was }

// Moves lists the functions by how far their own cost per record moved from was
// to p, the furthest first.
func (p *Profile) Moves(was *Profile) []Moved {
	by := map[string]*Moved{}
	at := func(name string) *Moved {
		if by[name] == nil {
			by[name] = &Moved{Name: name}
		}
		return by[name]
	}
	for _, f := range was.Top() {
		m := at(f.Name)
		m.Was, m.WasCum = float64(f.Flat)*was.scale(), float64(f.Cum)*was.scale()
	}
	for _, f := range p.Top() {
		m := at(f.Name)
		m.Is, m.IsCum = float64(f.Flat)*p.scale(), float64(f.Cum)*p.scale()
	}
	list := make([]Moved, 0, len(by))
	one, other := was.sample(), p.sample()
	for _, m := range by {
		m.Noise = 2 * math.Sqrt(m.Was*one+m.Is*other) // a count's variance is the count
		list = append(list, *m)
	}
	sort.Slice(list, func(i, j int) bool {
		if a, b := math.Abs(list[i].By()), math.Abs(list[j].By()); a != b {
			return a > b
		}
		return list[i].Name < list[j].Name
	})
	return list
}

// ShortName drops the path before a function's package, but for the name that a
// version stands behind: gnet/v2.(*Conn).Read.
func ShortName(name string) string {
	head, args, generic := strings.Cut(name, "[") // type arguments have paths of their own
	if i := strings.LastIndexByte(head, '/'); i >= 0 {
		if versioned.MatchString(head[i+1:]) {
			i = strings.LastIndexByte(head[:i], '/')
		}
		head = head[i+1:]
	}
	if generic {
		return head + "[" + args
	}
	return head
}

var versioned = regexp.MustCompile(`^v[0-9]+\.`)
