package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// File names in a run directory.
const (
	ScenarioFile = "scenario.yaml"
	EnvFile      = "env.json"
	TrialFile    = "trial.json"
	SamplesFile  = "samples.ndjson"
	LatencyFile  = "latency.hlog"
	VerdictFile  = "verdict.json"
	BenchFile    = "bench.txt"
	ProfilesDir  = "profiles"
	ReportFile   = "report.html"
)

// ErrNoRun says that a directory holds no run.
var ErrNoRun = errors.New("no run directory")

// Store is a folder of run directories. A run is written once, whole or not at
// all, and never changed; only report.html, which is derived from the rest, may
// be made again.
type Store struct{ Dir string }

// Draft is a run directory being filled. It bears its final name only after
// Commit.
type Draft struct {
	ID   string
	Dir  string // a temporary name, beside the final one
	goal string
}

// Begin opens a directory for a run that started at the given time.
func (s Store) Begin(scenario string, started time.Time) (*Draft, error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, err
	}
	base := started.UTC().Format("20060102T150405Z") + "-" + scenario
	for n := 1; n < 1000; n++ {
		id := base
		if n > 1 { // several in one second: a comparison's rounds
			id = fmt.Sprintf("%s.%d", base, n)
		}
		goal := filepath.Join(s.Dir, id)
		tmp := filepath.Join(s.Dir, "."+id+".part")
		if _, err := os.Lstat(goal); err == nil {
			continue
		}
		if err := os.Mkdir(tmp, 0o755); errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		return &Draft{ID: id, Dir: tmp, goal: goal}, nil
	}
	return nil, fmt.Errorf("%s: too many runs of the same second", filepath.Join(s.Dir, base))
}

// Write puts everything that is derived from r into the draft. samples and
// histograms may be nil.
func (d *Draft) Write(r *Run, samples []Sample, histograms []Tagged) error {
	var lines, hlog, bench bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, s := range samples {
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	if err := WriteHistograms(&hlog, r.Trial.Started, histograms); err != nil {
		return err
	}
	if err := WriteBench(&bench, r); err != nil {
		return err
	}
	return errors.Join(
		d.put(ScenarioFile, r.Scenario),
		d.putJSON(EnvFile, r.Env),
		d.putJSON(TrialFile, r.Trial),
		d.putJSON(VerdictFile, r.Verdict),
		d.put(SamplesFile, lines.Bytes()),
		d.put(LatencyFile, hlog.Bytes()),
		d.put(BenchFile, bench.Bytes()),
	)
}

func (d *Draft) put(name string, b []byte) error {
	return os.WriteFile(filepath.Join(d.Dir, name), b, 0o644)
}

func (d *Draft) putJSON(name string, v any) error {
	var b bytes.Buffer
	if err := Encode(&b, v); err != nil {
		return err
	}
	return d.put(name, b.Bytes())
}

// Encode writes v as the JSON of a results file: indented, and with < and >
// as they are.
func Encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Commit gives the directory its final name and says it.
func (d *Draft) Commit() (string, error) {
	if err := os.Rename(d.Dir, d.goal); err != nil {
		return "", err
	}
	d.Dir = d.goal
	return d.goal, nil
}

// Discard removes a draft; of a committed one it leaves everything.
func (d *Draft) Discard() {
	if d.Dir != d.goal {
		os.RemoveAll(d.Dir)
	}
}

// Open reads a run directory: Env, Trial, Verdict and the scenario.
func Open(dir string) (*Run, error) {
	r := &Run{Dir: dir, ID: filepath.Base(filepath.Clean(dir))}
	if _, err := os.Stat(filepath.Join(dir, TrialFile)); err != nil {
		return nil, fmt.Errorf("%s: %w: it has no %s", dir, ErrNoRun, TrialFile)
	}
	var err error
	if r.Scenario, err = os.ReadFile(filepath.Join(dir, ScenarioFile)); err != nil {
		return nil, err
	}
	for name, v := range map[string]any{EnvFile: &r.Env, TrialFile: &r.Trial, VerdictFile: &r.Verdict} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, v); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
	}
	if r.Trial.Version > Version {
		return nil, fmt.Errorf("%s: written by a newer version (schema %d; this one reads up to %d)", dir, r.Trial.Version, Version)
	}
	return r, nil
}

// Open reads the run with the given id.
func (s Store) Open(id string) (*Run, error) { return Open(filepath.Join(s.Dir, id)) }

// List names the runs, oldest first. Directories that hold no run are left
// out; so are unfinished ones.
func (s Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !e.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.Dir, e.Name(), TrialFile)); err == nil {
			ids = append(ids, e.Name())
		}
	}
	sort.Strings(ids)
	return ids, nil
}

// Samples reads samples.ndjson.
func (r *Run) Samples() ([]Sample, error) {
	f, err := os.Open(filepath.Join(r.Dir, SamplesFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var samples []Sample
	dec := json.NewDecoder(bufio.NewReader(f))
	for {
		var s Sample
		switch err := dec.Decode(&s); {
		case errors.Is(err, io.EOF):
			return samples, nil
		case err != nil:
			return samples, fmt.Errorf("%s: %w", f.Name(), err)
		}
		samples = append(samples, s)
	}
}

// Histograms reads latency.hlog.
func (r *Run) Histograms() ([]Tagged, error) {
	f, err := os.Open(filepath.Join(r.Dir, LatencyFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadHistograms(f)
}

// Profiles lists the pprof files of the run.
func (r *Run) Profiles() []string {
	files, _ := filepath.Glob(filepath.Join(r.Dir, ProfilesDir, "*.pb.gz"))
	return files
}

// Tagged is a histogram of one phase: its tag in latency.hlog is
// <histogram>.<phase>.
type Tagged struct {
	Histogram, Phase string
	Start, Len       time.Duration // since the start of the load
	H                *hdrhistogram.Histogram
}

// WriteHistograms writes an HdrHistogram log, version 1.3, a line for each
// histogram, times relative to the start of the load.
func WriteHistograms(w io.Writer, started time.Time, list []Tagged) error {
	lw := hdrhistogram.NewHistogramLogWriter(w)
	err := errors.Join(
		lw.OutputComment("millrace: nanoseconds; a tag is <histogram>.<phase>"),
		lw.OutputLogFormatVersion(),
		lw.OutputStartTime(started.UnixMilli()),
		lw.OutputBaseTime(started.Unix()*1000),
		lw.OutputLegend(),
	)
	lw.SetBaseTime(0)
	for _, t := range list {
		h := t.H.Clone()
		h.SetTag(t.Histogram + "." + t.Phase)
		h.SetStartTimeMs(t.Start.Milliseconds())
		h.SetEndTimeMs((t.Start + t.Len).Milliseconds())
		err = errors.Join(err, lw.OutputIntervalHistogram(h))
	}
	return err
}

// ReadHistograms reads what WriteHistograms wrote.
func ReadHistograms(r io.Reader) ([]Tagged, error) {
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(r); err != nil {
		return nil, err
	}
	// The library's reader turns relative times into absolute ones; the times
	// as written are what we want.
	var list []Tagged
	for line := range strings.Lines(buf.String()) {
		if !strings.HasPrefix(line, "Tag=") {
			continue
		}
		var start, length float64
		tag, rest, _ := strings.Cut(strings.TrimPrefix(line, "Tag="), ",")
		if _, err := fmt.Sscanf(rest, "%f,%f,", &start, &length); err != nil {
			return nil, fmt.Errorf("histogram %q: %w", tag, err)
		}
		h, err := hdrhistogram.NewHistogramLogReader(strings.NewReader(line)).NextIntervalHistogram()
		if err != nil {
			return nil, fmt.Errorf("histogram %q: %w", tag, err)
		}
		if h == nil {
			return nil, fmt.Errorf("histogram %q: not readable", tag)
		}
		name, phase, _ := strings.Cut(tag, ".")
		list = append(list, Tagged{Histogram: name, Phase: phase, H: h,
			Start: time.Duration(start * float64(time.Second)), Len: time.Duration(length * float64(time.Second))})
	}
	return list, nil
}

// QuantilesOf reads a histogram's figures. outOfRange is how many of its values
// lay beyond its range.
func QuantilesOf(h *hdrhistogram.Histogram, outOfRange int64) Quantiles {
	q := Quantiles{Count: h.TotalCount(), OutOfRange: outOfRange}
	if q.Count == 0 {
		return q
	}
	at := h.ValueAtQuantile
	q.MinNs, q.MeanNs, q.MaxNs = h.Min(), h.Mean(), h.Max()
	q.P50Ns, q.P90Ns, q.P95Ns, q.P99Ns, q.P999Ns, q.P9999Ns = at(50), at(90), at(95), at(99), at(99.9), at(99.99)
	for _, b := range h.CumulativeDistributionWithTicks(5) {
		q.Curve = append(q.Curve, Point{Percent: b.Quantile, Ns: b.ValueAt})
	}
	return q
}
