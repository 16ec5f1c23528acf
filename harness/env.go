package harness

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"millrace/results"
)

// environment describes the machine and the build. dataDir is where the
// target's data lies, as far as we know.
func environment(dataDir string, knobs map[string]string) results.Env {
	e := results.Env{
		CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Go: runtime.Version(), GOGC: os.Getenv("GOGC"), MemLimit: os.Getenv("GOMEMLIMIT"),
		CPUModel:   cpuModel(),
		Governor:   oneLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		Congestion: oneLine("/proc/sys/net/ipv4/tcp_congestion_control"),
		HugePages:  selected(oneLine("/sys/kernel/mm/transparent_hugepage/enabled")),
		Knobs:      knobs,
		FileSystem: fileSystem(dataDir),
	}
	if e.Knobs == nil {
		e.Knobs = map[string]string{}
	}
	e.MemoryBytes = keyed("/proc/meminfo")["MemTotal"] * 1024
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		e.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if f := strings.Fields(oneLine("/proc/loadavg")); len(f) > 0 {
		e.LoadAverage, _ = strconv.ParseFloat(f[0], 64)
	}
	e.CgroupCPU, e.CgroupMemoryBytes = cgroupLimits()
	if info, ok := debug.ReadBuildInfo(); ok {
		e.Build = map[string]string{}
		for _, s := range info.Settings {
			e.Build[s.Key] = s.Value
		}
	}
	return e
}

func oneLine(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

// selected is the word in brackets of "always [madvise] never".
func selected(s string) string {
	_, s, _ = strings.Cut(s, "[")
	s, _, _ = strings.Cut(s, "]")
	return s
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if k, v, ok := strings.Cut(sc.Text(), ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// fileSystem finds the mount that holds dir: the longest mount point that is a
// prefix of it.
func fileSystem(dir string) results.FileSystem {
	if dir == "" {
		dir = os.TempDir()
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return results.FileSystem{}
	}
	var best results.FileSystem
	longest := -1
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		at := strings.TrimSuffix(f[1], "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) > longest {
			longest = len(at)
			best = results.FileSystem{Device: f[0], Type: f[2], Options: f[3]}
		}
	}
	return best
}

// cgroupLimits reads version 2's limits of this process's group; zero: none.
func cgroupLimits() (cpu float64, memory int64) {
	b, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		dir := filepath.Join("/sys/fs/cgroup", path)
		if f := strings.Fields(oneLine(filepath.Join(dir, "cpu.max"))); len(f) == 2 && f[0] != "max" {
			quota, _ := strconv.ParseFloat(f[0], 64)
			period, _ := strconv.ParseFloat(f[1], 64)
			if period > 0 {
				cpu = quota / period
			}
		}
		memory, _ = strconv.ParseInt(oneLine(filepath.Join(dir, "memory.max")), 10, 64)
	}
	return cpu, memory
}

// machine is what the whole machine says of itself at a moment.
type machine struct {
	pageCache, dirty int64
	busy, all        time.Duration // of all CPUs since boot; all counts idle and stolen time too
}

func readMachine() machine {
	m := keyed("/proc/meminfo")
	out := machine{pageCache: m["Cached"] * 1024, dirty: m["Dirty"] * 1024}
	// cpu user nice system idle iowait irq softirq steal, in hundredths of a second
	for i, f := range strings.Fields(strings.TrimPrefix(oneLine("/proc/stat"), "cpu")) {
		n, _ := strconv.ParseInt(f, 10, 64)
		t := time.Duration(n) * 10 * time.Millisecond
		if i < 8 { // guest time is part of user time
			out.all += t
		}
		switch i {
		case 0, 1, 2, 5, 6:
			out.busy += t
		}
	}
	return out
}
