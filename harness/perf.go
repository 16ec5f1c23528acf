package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// perfRecord takes CPU profiles with Linux's perf, which sees what runs in the
// kernel on the process's behalf: the copies, the file system, TCP. It runs a
// perf for each phase and turns what it recorded into a pprof file.
type perfRecord struct {
	pid    int
	dir    string
	phases []perfPhase
}

type perfPhase struct {
	cmd  *exec.Cmd
	said *bytes.Buffer
	data string
	file string
}

// perfRate is how often each CPU is sampled a second: a prime, so that it does
// not beat with anything periodic.
const perfRate = 199

// newPerfRecord says in a line what is missing where perf cannot be used.
func newPerfRecord(pid int) (*perfRecord, error) {
	if _, err := exec.LookPath("perf"); err != nil {
		return nil, errors.New("perf is not installed: the kernel's share is not shown (Debian: apt install linux-perf)")
	}
	if level := oneLine("/proc/sys/kernel/perf_event_paranoid"); level > "1" && os.Geteuid() != 0 {
		return nil, fmt.Errorf("perf may not look into the kernel: kernel.perf_event_paranoid is %s, and must be 1 or less", level)
	}
	dir, err := os.MkdirTemp("", "millrace-perf-")
	return &perfRecord{pid: pid, dir: dir}, err
}

// start records for a time, and has finish write the file. The event is the CPU
// clock, whose periods are nanoseconds; what perf takes where nothing is said are
// cycles, on a machine that counts them.
func (r *perfRecord) start(length time.Duration, file string) {
	ph := perfPhase{data: filepath.Join(r.dir, fmt.Sprintf("%d.data", len(r.phases))), file: file, said: &bytes.Buffer{}}
	ph.cmd = exec.Command("perf", "record", "-q", "-e", "cpu-clock", "-F", strconv.Itoa(perfRate), "-g", "-p", strconv.Itoa(r.pid), "-o", ph.data,
		"--", "sleep", fmt.Sprintf("%.1f", length.Seconds()))
	ph.cmd.Stderr = ph.said
	if err := ph.cmd.Start(); err != nil {
		fmt.Fprint(ph.said, err)
		ph.cmd = nil
	}
	r.phases = append(r.phases, ph)
}

// finish waits for the recordings and converts them.
func (r *perfRecord) finish() (faults []error) {
	defer os.RemoveAll(r.dir)
	for _, ph := range r.phases {
		if ph.cmd == nil || ph.cmd.Wait() != nil {
			faults = append(faults, fmt.Errorf("perf record: %s", bytes.TrimSpace(ph.said.Bytes())))
			continue
		}
		if err := convertPerf(ph.data, ph.file); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// convertPerf writes what perf recorded as a pprof file.
func convertPerf(data, file string) error {
	cmd := exec.Command("perf", "script", "-i", data, "-F", "period,ip,sym")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("perf script: %w", err)
	}
	p, perr := parsePerf(out)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("perf script: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	if perr != nil {
		return perr
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(p.Write(f), f.Close())
}

// parsePerf reads the text of perf script with the fields period, ip and sym:
// of each sample a line with its period (nanoseconds of the CPU clock), then a
// line for each frame, the innermost first, then an empty one. Kernel functions
// are those whose address lies in the upper half.
func parsePerf(r io.Reader) (*profile.Profile, error) {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: int64(time.Second) / perfRate,
	}
	locations := map[string]*profile.Location{}
	var sample *profile.Sample
	flush := func() {
		if sample != nil && len(sample.Location) > 0 {
			p.Sample = append(p.Sample, sample)
		}
		sample = nil
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 0:
			flush()
		case sample == nil:
			// The event's name may follow the period, as in "5025125 cpu-clock:".
			n, err := strconv.ParseInt(strings.TrimSuffix(fields[0], ":"), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("perf script said %q where a sample was expected", lines.Text())
			}
			sample = &profile.Sample{Value: []int64{n}}
		default:
			name := strings.Join(fields[1:], " ")
			if name == "" {
				name = "[unknown]" // as perf says elsewhere
			}
			if strings.HasPrefix(fields[0], "ffff") && len(fields[0]) == 16 {
				name = "kernel: " + name
			}
			loc := locations[name]
			if loc == nil {
				id := uint64(len(locations) + 1)
				fn := &profile.Function{ID: id, Name: name, SystemName: name}
				loc = &profile.Location{ID: id, Line: []profile.Line{{Function: fn}}}
				p.Function, p.Location = append(p.Function, fn), append(p.Location, loc)
				locations[name] = loc
			}
			sample.Location = append(sample.Location, loc)
		}
	}
	flush()
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("perf script: %w", err)
	}
	return p, nil
}
