package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"millrace/results"
)

// strain is how hard the host's disks and network links work: counters since
// the start of the machine, or shares over a time.
type strain struct {
	at   time.Time
	disk map[string]float64 // milliseconds in which a request was under way; of a difference the share of the time
	net  map[string]float64 // bytes, both ways; of a difference the share of the link's speed
}

// readStrain reads the counters; what cannot be read is left out.
func readStrain() strain {
	s := strain{at: time.Now(), disk: map[string]float64{}, net: map[string]float64{}}
	text, _ := os.ReadFile("/proc/diskstats")
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 13 {
			continue
		}
		// Whole disks only: partitions and loop devices count what they do too.
		if _, err := os.Stat(filepath.Join("/sys/block", f[2], "device")); err != nil {
			continue
		}
		if ms, err := strconv.ParseFloat(f[12], 64); err == nil {
			s.disk[f[2]] = ms
		}
	}
	links, _ := filepath.Glob("/sys/class/net/*/speed")
	for _, file := range links {
		dir := filepath.Dir(file)
		if speed, err := strconv.ParseFloat(oneLine(file), 64); err != nil || speed <= 0 {
			continue // loopback and most virtual links tell none
		}
		rx, _ := strconv.ParseFloat(oneLine(filepath.Join(dir, "statistics/rx_bytes")), 64)
		tx, _ := strconv.ParseFloat(oneLine(filepath.Join(dir, "statistics/tx_bytes")), 64)
		s.net[filepath.Base(dir)] = max(rx, tx)
	}
	return s
}

// since is the shares between two readings.
func (s strain) since(before strain) strain {
	secs := s.at.Sub(before.at).Seconds()
	out := strain{at: s.at, disk: map[string]float64{}, net: map[string]float64{}}
	if secs <= 0 {
		return out
	}
	for name, ms := range s.disk {
		out.disk[name] = (ms - before.disk[name]) / 1e3 / secs
	}
	for name, n := range s.net {
		mbit, _ := strconv.ParseFloat(oneLine(filepath.Join("/sys/class/net", name, "speed")), 64)
		if mbit > 0 {
			out.net[name] = (n - before.net[name]) / secs / (mbit * 1e6 / 8)
		}
	}
	return out
}

// worst is the busiest of them.
func worst(shares map[string]float64) (name string, share float64) {
	for _, n := range sortedKeys(shares) {
		if shares[n] > share {
			name, share = n, shares[n]
		}
	}
	return name, share
}

// full is the share from which on a disk or a link counts as the limit. The
// reading covers the start and the end of the trial too, when little happens.
const full = 0.7

// limitOf names what a trial that missed its goals ran into, in a word and in a
// sentence's end.
func limitOf(run *results.Run, s strain) (word, text string) {
	t := &run.Trial
	cpus := float64(run.Env.CPUs)
	var target, generator float64
	if c := t.Steady.Target; c != nil {
		target = c.Cores
	}
	if c := t.Steady.Generator; c != nil {
		generator = c.Cores
	}
	use := fmt.Sprintf("target %.2f, generator %.2f of %d cores", target, generator, run.Env.CPUs)
	if t.Steady.Target == nil {
		use = fmt.Sprintf("generator %.2f of %d cores; the target's CPU is not known", generator, run.Env.CPUs)
	}
	others := 0.0
	if t.Steady.Others != nil {
		others = *t.Steady.Others
	}
	diskName, disk := worst(s.disk)
	netName, net := worst(s.net)
	busy := target+generator+others*cpus > 0.9*cpus
	switch {
	case t.Steady.Steal > stealLimit:
		return "noise", fmt.Sprintf("the hypervisor, which withheld %.1f %% of the CPU time: the target may take more", t.Steady.Steal*100)
	case others > othersLimit:
		return "noise", fmt.Sprintf("other processes, which took %.0f %% of the machine's CPU time (%s): the target may take more", others*100, use)
	case t.Audit.Limited:
		return "generator-cpu", "the generator (" + use + "): the target may take more"
	case busy && target >= generator:
		return "target-cpu", "the machine's CPU, most of it the target's (" + use + ")"
	case busy:
		return "generator-cpu", "the machine's CPU, most of it the generator's (" + use + "): the target may take more"
	case net > full:
		return "network", fmt.Sprintf("the network: %s at %.0f %% of its speed (%s)", netName, net*100, use)
	case disk > full:
		return "disk", fmt.Sprintf("the disk: %s was at work %.0f %% of the time (%s)", diskName, disk*100, use)
	case run.Verdict.Outcome == results.Invalid:
		return "noise", "the generator or the machine (" + use + "): the target may take more"
	case t.Promise == "group" || t.Promise == "each":
		return "disk", fmt.Sprintf("the wait for the disk: every acknowledgement waits for an fsync, and the CPU does not (%s)", use)
	}
	if t.Steady.Target == nil {
		return "unknown", "nothing that can be seen from here (" + use + "), nor a disk or link of this machine"
	}
	return "waiting", "not the CPU (" + use + ") nor a disk or link at its end: waiting, on locks or on single threads"
}
