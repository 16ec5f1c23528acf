package results

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Roofline is what a run moved, beside what bare loops on the same machine do.
type Roofline struct {
	Paths []Bound `json:"paths"`
	// Share is what part of one core's possible work was done: the sum of the
	// paths' rates over their limits. 0: the target had more than one CPU, so
	// that a bound of one core says nothing.
	Share float64 `json:"share,omitempty"`
	// CPUPerGB is the target's CPU seconds for 10^9 bytes produced and consumed;
	// BareCPUPerGB is what the bare loops take for the same mixture; 0: unknown.
	CPUPerGB     float64 `json:"cpu_s_per_gb,omitempty"`
	BareCPUPerGB float64 `json:"bare_cpu_s_per_gb,omitempty"`
}

// Bound is one direction of a run under its limit.
type Bound struct {
	Path  string  `json:"path"` // produce, fetch
	Rate  float64 `json:"bytes_per_s"`
	Bare  Path    `json:"bare"` // the loop that bounds it
	Share float64 `json:"share"`
}

// Under holds a phase against the limits. batch and fetch are the bytes of one
// produced batch and of one fetched partition; readPath is the broker's
// (sendfile, copy, mmap); alone says that the target had one CPU for itself.
func (l *Limits) Under(p *Phase, batch, fetch int64, readPath string, alone bool) *Roofline {
	if l == nil {
		return nil
	}
	r := &Roofline{}
	add := func(path, group, name string, size int64, rate float64) {
		if rate <= (p.Acked.ByteRate+p.Consumed.ByteRate)/CatchingUp {
			return // nothing, or next to it
		}
		if bare, ok := l.Nearest(group, name, size); ok && bare.Rate > 0 {
			r.Paths = append(r.Paths, Bound{path, rate, bare, rate / bare.Rate})
		}
	}
	add("produce", "receive", "receive + CRC + append", batch, p.Acked.ByteRate)
	add("fetch", "loopback", map[string]string{"copy": "pread + write", "mmap": "mmap + write"}[readPath], fetch, p.Consumed.ByteRate)
	if len(r.Paths) == 0 {
		return nil
	}
	var bytes, bare float64
	for _, b := range r.Paths {
		bytes += b.Rate
		bare += b.Rate * b.Bare.CPUPerGB
		if alone {
			r.Share += b.Share
		}
	}
	r.BareCPUPerGB = bare / bytes
	if p.Target != nil && p.LenS > 0 {
		r.CPUPerGB = p.Target.CPUS / (bytes * p.LenS / 1e9)
	}
	return r
}

// Nearest is the loop of that name whose calls are nearest in size. The name ""
// is sendfile, the broker's own default.
func (l *Limits) Nearest(group, name string, size int64) (best Path, ok bool) {
	if name == "" {
		name = "sendfile"
	}
	ratio := func(p Path) float64 {
		a, b := float64(max(p.Size, 1)), float64(max(size, 1))
		return max(a/b, b/a)
	}
	for _, p := range l.Paths {
		if p.Group == group && p.Name == name && (!ok || ratio(p) < ratio(best)) {
			best, ok = p, true
		}
	}
	return best, ok
}

// LimitsFile is where the last measurement of the host lies, beside the folder
// of runs.
const LimitsFile = "limits.json"

// WriteLimits stores a measurement for the runs that come.
func WriteLimits(file string, l *Limits) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// staleLimits is the age from which on a measurement of a virtual machine says
// little of what it can do now.
const staleLimits = 24 * time.Hour

// ReadLimits takes a stored measurement up for a run on a machine; nil: there is
// none, or it is of another machine. The notes say what a reader of shares must
// know. What env.json holds of it leaves its own env.json out.
func ReadLimits(file string, on *Env, now time.Time) (l *Limits, notes []string) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, nil
	}
	l = &Limits{}
	if err := json.Unmarshal(b, l); err != nil || l.Env == nil {
		return nil, []string{fmt.Sprintf("%s cannot be read: measure anew with millrace limits", file)}
	}
	if of := l.Env; of.CPUModel != on.CPUModel || of.CPUs != on.CPUs || of.Kernel != on.Kernel || of.MemoryBytes != on.MemoryBytes {
		return nil, []string{fmt.Sprintf("%s was measured on another machine: measure anew with millrace limits", file)}
	}
	if age := now.Sub(l.Started); age > staleLimits {
		notes = append(notes, fmt.Sprintf("the machine's limits were measured %s ago", FormatSpan(age.Truncate(time.Hour))))
	}
	cc := func(e *Env, set string) string {
		if set != "" {
			return set
		}
		return e.Congestion
	}
	if a, b := cc(l.Env, l.Congestion), cc(on, on.SocketCongestion); a != b {
		notes = append(notes, fmt.Sprintf("the machine's limits were measured with congestion control %s, and this run is with %s", a, b))
	}
	if l.Steal > 0.03 || l.Busy > 0.1 {
		notes = append(notes, fmt.Sprintf("the machine's limits were measured while others used %.1f cores and %.1f %% was stolen", l.Busy, 100*l.Steal))
	}
	l.Env = nil
	return l, notes
}
