package harness

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is what a scenario asks of the machine that target and generator share.
// What it could not give is said in the run's notes, and not passed over.
type Host struct {
	TargetCPUs, GeneratorCPUs string // lists such as 0 or 2-5,8; "": wherever the kernel puts them
	Congestion                string // TCP congestion control of both ends' sockets; "": the system's
	Warm                      int64  // bytes of page cache to touch before the run; 0: none
	Syscalls                  string // io, all
}

func (h *Host) fields() section {
	return section{
		{"target.cpus", "CPUs of a target that the lab starts, such as 0 or 2-5,8; left out: all", cpuList(&h.TargetCPUs)},
		{"generator.cpus", "CPUs of the load generator; left out: all", cpuList(&h.GeneratorCPUs)},
		{"congestion", "TCP congestion control of the sockets at both ends, such as reno, cubic or bbr; left out: the system's", text(&h.Congestion)},
		{"warm", "page cache to touch before the run, at most all that is available but 4 GiB; memory that a virtual machine has not used for a while is slow the first time", size(&h.Warm, 0, 1<<40)},
		{"syscalls", "io: reads and writes, as /proc counts them; all: every system call, by a tracepoint, which costs each about 0.1 us and needs root", word(&h.Syscalls, []string{"io", "all"}, nil)},
	}
}

// cpuList is a list of CPUs as the kernel writes them.
func cpuList(p *string) leaf {
	return leaf{
		parse: func(s string) error {
			if s != "" {
				if _, err := parseCPUs(s); err != nil {
					return err
				}
			}
			*p = s
			return nil
		},
		show: func() string { return *p },
		js: map[string]any{"type": []string{"string", "integer"}, "minimum": 0,
			"pattern": `^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`, "examples": []any{0, "2-5,8"}},
	}
}

func parseCPUs(list string) (set unix.CPUSet, err error) {
	for _, part := range strings.Split(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && ranged {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 0 || to < from || to >= 1024 {
			return set, fmt.Errorf("%q is no list of CPUs (write 0 or 2-5,8)", list)
		}
		for cpu := from; cpu <= to; cpu++ {
			set.Set(cpu)
		}
	}
	return set, nil
}

// targetCPUs is where a target of a kind is to run; nil: anywhere.
func (h *Host) targetCPUs(kind string) (*unix.CPUSet, error) {
	if h.TargetCPUs != "" && (kind == "external" || kind == "inprocess") {
		return nil, &Faults{[]string{fmt.Sprintf("host.target.cpus: the lab starts no process for a target %s: pin it yourself, and leave the key out (--set host.target.cpus=)", kind)}}
	}
	if _, err := cpusOf("generator.cpus", h.GeneratorCPUs); err != nil {
		return nil, err
	}
	if err := congestionKnown(h.Congestion); err != nil {
		return nil, err
	}
	return cpusOf("target.cpus", h.TargetCPUs)
}

// brokerKnobs is the scenario's, with what the host section says of sockets.
func (s *Scenario) brokerKnobs() map[string]string {
	if s.Host.Congestion == "" || s.Broker["socket.congestion"] != "" {
		return s.Broker
	}
	knobs := maps.Clone(s.Broker)
	if knobs == nil {
		knobs = map[string]string{}
	}
	knobs["socket.congestion"] = s.Host.Congestion
	return knobs
}

// cpusOf is the list as a set, of the CPUs that this process may use.
func cpusOf(key, list string) (*unix.CPUSet, error) {
	if list == "" {
		return nil, nil
	}
	want, err := parseCPUs(list)
	if err != nil {
		return nil, &Faults{[]string{fmt.Sprintf("host.%s: %v", key, err)}}
	}
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(unix.Getpid(), &may); err != nil {
		return nil, fmt.Errorf("host.%s: %w", key, err)
	}
	for cpu := range 1024 {
		if want.IsSet(cpu) && !may.IsSet(cpu) {
			return nil, &Faults{[]string{fmt.Sprintf("host.%s: there is no CPU %d for us here, only %s; say others, or --set host.%s= for none", key, cpu, cpuNames(&may), key)}}
		}
	}
	return &want, nil
}

// cpuNames writes a set as the kernel does.
func cpuNames(s *unix.CPUSet) string {
	var parts []string
	for cpu := 0; cpu < 1024; cpu++ {
		if !s.IsSet(cpu) {
			continue
		}
		last := cpu
		for s.IsSet(last + 1) {
			last++
		}
		if part := strconv.Itoa(cpu); last > cpu {
			parts = append(parts, part+"-"+strconv.Itoa(last))
		} else {
			parts = append(parts, part)
		}
		cpu = last
	}
	return strings.Join(parts, ",")
}

// confine puts this process on the CPUs, with as many goroutines running at
// once, and answers how to let it out again.
func confine(set *unix.CPUSet) (release func(), err error) {
	if set == nil {
		return func() {}, nil
	}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(unix.Getpid(), &before); err != nil {
		return nil, err
	}
	procs := runtime.GOMAXPROCS(set.Count())
	release = func() {
		_ = pinThreads(&before)
		runtime.GOMAXPROCS(procs)
	}
	if err := pinThreads(set); err != nil {
		release()
		return nil, fmt.Errorf("host.generator.cpus: %w", err)
	}
	return release, nil
}

// pinThreads moves every thread of this process. A thread that is being started
// meanwhile has the affinity of the one that starts it, so that a second look
// finds whom the first one missed.
func pinThreads(set *unix.CPUSet) error {
	for range 2 {
		tasks, err := filepath.Glob("/proc/self/task/*")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			tid, err := strconv.Atoi(filepath.Base(t))
			if err != nil {
				continue
			}
			if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH {
				return err
			}
		}
	}
	return nil
}

// startOn runs start with the calling thread on the CPUs, which a process that
// it starts takes over. The caller has locked the thread.
func startOn(set *unix.CPUSet, start func() error) error {
	if set == nil {
		return start()
	}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if err := unix.SchedSetaffinity(0, set); err != nil {
		return fmt.Errorf("host.target.cpus: %w", err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return start()
}

// congestionKnown says whether the kernel lets us choose a congestion control.
func congestionKnown(name string) error {
	if name == "" {
		return nil
	}
	known := oneLine("/proc/sys/net/ipv4/tcp_available_congestion_control")
	for _, k := range strings.Fields(known) {
		if k == name {
			return nil
		}
	}
	if _, err := os.Stat("/proc/sys/net/ipv4"); err != nil {
		return nil // cannot be told; the sockets will say
	}
	return &Faults{[]string{fmt.Sprintf("host.congestion: this kernel has no %q, only %s", name, known)}}
}
