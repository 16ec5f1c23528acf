package harness

import (
	"fmt"
	"strings"
	"time"

	"millrace/harness/load"
)

// What may happen to the target: only to one that the lab starts.
const (
	killTarget = "kill"  // kill -9, and start again on what is left
	stopTarget = "stop"  // SIGSTOP, and continue
	fullDisk   = "full"  // every write that would make a file longer fails
	evictCache = "evict" // the target's files leave the page cache
)

// lagBehind is what the file calls load.Hold.
const lagBehind = "lag"

var targetFaults = []string{killTarget, stopTarget, fullDisk, evictCache}

// Happening is one entry of the timeline.
type Happening struct {
	At    time.Duration // since the start of the run, or of the phase In
	In    string
	Do    string
	For   time.Duration // kill: until it is started again; stop, full, lag: until it is over
	Count int           // of members or producers
	Group int           // whose members; -1: every group's
	Cold  string        // true: lag: the cache is evicted before the group reads again
}

func newHappening() Happening { return Happening{For: time.Second, Count: 1, Group: -1, Cold: "false"} }

func (h *Happening) fields() section {
	return section{
		{"at", "when: so long after the start of the run, or of the phase `in`", span(&h.At, 0, 240*hour)},
		{"in", "the phase from whose start `at` counts", text(&h.In)},
		{"do", "join, leave: members of a group protocol; vanish: members that are gone without a goodbye; cut: the sockets of producers are reset; lag: groups stop reading for a while; " +
			"kill: kill -9 the target and start it again; stop: SIGSTOP and continue; full: the target's files cannot grow; evict: the target's files leave the page cache",
			happening(&h.Do)},
		{"for", "how long: lag, stop, full: until it is over; kill: until the target is started again", span(&h.For, 0, 24*hour)},
		{"count", "of the members or producers", count(&h.Count, 1, 1000)},
		{"group", "whose members, from 0; -1: every group's", count(&h.Group, -1, 100)},
		{"cold", "of lag: true: what the group has to catch up with is no longer in the page cache", toggle(&h.Cold)},
	}
}

// happening is what an entry does.
func happening(do *string) leaf {
	l := word(do, append([]string{load.Join, load.Leave, load.Vanish, load.Cut, lagBehind}, targetFaults...), nil)
	parse := l.parse
	l.parse = func(s string) error {
		if s == "slow" {
			return fmt.Errorf("a disk is slowed down below the file system, by what needs root (dm-delay, cgroup io.max) and is not the lab's to set up: " +
				"put --data on such a device, or write do: stop for a target that stands still")
		}
		return parse(s)
	}
	return l
}

// ofTarget says that it befalls the target and not the clients.
func (h Happening) ofTarget() bool { return known(targetFaults, h.Do) }

func (h Happening) String() string {
	where := "at " + h.At.String()
	if h.In != "" {
		where += " in " + h.In
	}
	switch h.Do {
	case load.Join, load.Leave, load.Vanish, load.Cut:
		return fmt.Sprintf("%s: %s %d", where, h.Do, h.Count)
	case evictCache:
		return fmt.Sprintf("%s: %s", where, h.Do)
	case lagBehind:
		if h.Cold == "true" {
			return fmt.Sprintf("%s: lag for %v, then catch up cold", where, h.For)
		}
	}
	return fmt.Sprintf("%s: %s for %v", where, h.Do, h.For)
}

// start is when it happens, since the start of the run.
func (s *Scenario) startOf(h Happening) time.Duration {
	at := h.At
	for _, p := range s.Phases {
		if h.In == "" || p.Name == h.In {
			break
		}
		at += p.Len
	}
	return at
}

// actions is the clients' part of the timeline.
func (s *Scenario) actions() (list []load.Action) {
	for _, h := range s.Timeline {
		if h.ofTarget() {
			continue
		}
		do := h.Do
		if do == lagBehind {
			do = load.Hold
		}
		list = append(list, load.Action{At: s.startOf(h), Do: do, Group: h.Group, Count: h.Count, For: h.For})
	}
	return list
}

// faults is the target's part of the timeline.
func (s *Scenario) faults() (list []Happening) {
	for _, h := range s.Timeline {
		if h.ofTarget() {
			h.At, h.In = s.startOf(h), ""
			list = append(list, h)
		}
	}
	return list
}

// lags says that a group falls behind.
func (s *Scenario) lags() bool {
	for _, h := range s.Timeline {
		if h.Do == lagBehind {
			return true
		}
	}
	return false
}

// evictsAfterLag says that a group has to catch up cold.
func (s *Scenario) evictsAfterLag() bool {
	for _, h := range s.Timeline {
		if h.Do == lagBehind && h.Cold == "true" {
			return true
		}
	}
	return false
}

func (s *Scenario) checkTimeline(d *decoder) {
	var total time.Duration
	for _, p := range s.Phases {
		total += p.Len
	}
	for i, h := range s.Timeline {
		at := fmt.Sprintf("timeline.%d", i)
		fault := func(format string, args ...any) { d.faultAt(at, "%s: %s", at, fmt.Sprintf(format, args...)) }
		switch {
		case h.Do == "" && d.at[at+".do"] != nil: // its own parse failed and said so
		case h.Do == "":
			fault("it says not what to do (write {at: 5s, do: kill, for: 1s})")
		case h.In != "" && s.phase(h.In) == nil:
			fault("there is no phase %q (there are %s)", h.In, strings.Join(s.phaseNames(), ", "))
		case s.startOf(h) >= total:
			fault("the run is over after %s", total)
		case !h.ofTarget() && h.Do != load.Cut && s.Consumers.Groups == 0:
			fault("nobody consumes in this scenario (write consumers: {groups: 1})")
		case !h.ofTarget() && h.Do != load.Cut && h.Group >= s.Consumers.Groups:
			fault("there is no group %d: they count from 0", h.Group)
		case (h.Do == load.Join || h.Do == load.Leave || h.Do == load.Vanish) && s.Consumers.Protocol == "direct":
			fault("members %s only by a group protocol (write consumers: {protocol: classic})", h.Do)
		case h.Do == load.Cut && s.Client != "kgo":
			fault("only the kgo client's sockets can be cut")
		case h.Cold == "true" && h.Do != lagBehind:
			fault("cold is of lag; evict alone empties the cache")
		}
	}
}
