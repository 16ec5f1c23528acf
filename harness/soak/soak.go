// Package soak leaves a broker alone with bad peers for a while and judges what
// is left of it: a well-behaved client's latency beside them, memory and
// descriptors, and whether every record is where it belongs.
//
// Three processes take part, so that what one does shows in its own figures
// only: the broker; the attackers (Attack); and this one, which is the
// well-behaved client and reads the broker's memory and descriptors in /proc.
//
// A check is a bound that is written down before the soak, with what was seen.
// Latency is judged here and not in the test suite, since it is the machine's as
// much as the broker's.
package soak

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"millrace/core/wire"
)

// maxIdle is the broker's connections.max.idle.ms: peers that vanished without a
// word are found by nothing else.
const maxIdle = 10 * time.Second

const (
	sampleEvery = 5 * time.Second
	aloneTime   = 5 * time.Second // of the well-behaved client, before the attackers come
	fillMiB     = 64              // of records for the attackers to fetch

	// What the broker is given. The bound on memory follows from it: requests in
	// flight, what else a broker of this size holds, and as much again for the
	// collector (GOGC 100).
	queuedBytes = 64 << 20
	rssLimit    = 320 << 20

	p99Limit   = 10 * time.Millisecond
	growth     = 1.10    // memory of the last third against that of the second
	growthSlop = 8 << 20 // and this much more
	fdSlop     = 4       // segments and the like

	// othersLimit is how much of one core processes that have no part in the
	// soak, and the hypervisor, may take before latency is not judged.
	othersLimit = 0.15
)

// Options says what to soak.
type Options struct {
	Duration time.Duration
	Dir      string   // where the broker's data goes; "": the system's temporary directory
	Knobs    []string // NAME=VALUE
	Progress io.Writer
}

// Check is one bound and what was seen of it.
type Check struct {
	Name   string `json:"name"`
	Want   string `json:"want"`
	Seen   string `json:"seen"`
	Note   string `json:"note,omitempty"` // what one has to know to read Seen
	Passed bool   `json:"passed"`
	// Environment says that the machine had other work, so that a bound on
	// latency that was missed says nothing of the broker.
	Environment bool `json:"environment,omitempty"`
}

// Sample is the broker at one moment.
type Sample struct {
	Seconds     float64 `json:"seconds"`
	RSS         int64   `json:"rss_bytes"`
	Descriptors int     `json:"descriptors"`
	CPU         float64 `json:"cpu_cores"`
	AckP99      float64 `json:"ack_p99_ms"`
	E2EP99      float64 `json:"e2e_p99_ms"`
}

// Report is what came of a soak.
type Report struct {
	Duration time.Duration    `json:"duration_ns"`
	Batches  int64            `json:"batches"` // of the well-behaved client
	Others   float64          `json:"other_cpu_cores"`
	Alone    float64          `json:"alone_ack_p99_ms"` // before the attackers came
	Attacks  map[string]int64 `json:"attacks"`
	Samples  []Sample         `json:"samples"`
	Checks   []Check          `json:"checks"`
}

// Passed says whether every check did.
func (r *Report) Passed() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.Passed })
}

// Failed says whether one did not, and the broker is to blame.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.Passed && !c.Environment })
}

// Run starts a broker and the attackers from this binary, and judges after
// Duration.
func Run(ctx context.Context, o Options) (*Report, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "millrace-soak-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b, err := startBroker(binary, dir, o.Knobs)
	if err != nil {
		return nil, err
	}
	defer b.kill()
	if err := createTopic(b.addr); err != nil {
		return nil, fmt.Errorf("making the topic: %w", err)
	}
	j := newJudge(b.addr)
	if err := j.fill(fillMiB); err != nil {
		return nil, fmt.Errorf("filling the topic: %w", err)
	}
	r := &Report{Duration: o.Duration}
	before := b.descriptors()

	// The client is there before the attackers come and after they are gone.
	judging, stopJudge := context.WithCancel(ctx)
	defer stopJudge()
	judged := make(chan struct{})
	go func() { j.run(judging); close(judged) }()
	select {
	case <-ctx.Done():
	case <-time.After(aloneTime):
	}
	r.Alone = float64(j.alone().ack.Microseconds()) / 1000
	hostiles := exec.CommandContext(ctx, binary, "soak", "--attack", b.addr)
	hostiles.Cancel = func() error { return hostiles.Process.Signal(os.Interrupt) }
	hostiles.Stderr = os.Stderr
	var out bytes.Buffer
	hostiles.Stdout = &out
	if err := hostiles.Start(); err != nil {
		return nil, err
	}
	r.watch(ctx, b, j, o, hostiles.Process.Pid)
	_ = hostiles.Process.Signal(os.Interrupt)
	err = hostiles.Wait()
	if jsonErr := json.Unmarshal(out.Bytes(), &r.Attacks); jsonErr != nil {
		return nil, fmt.Errorf("the attackers: %w", errors.Join(err, jsonErr))
	}
	stopJudge()
	<-judged

	// Peers that vanished are found after maxIdle and an eighth of it.
	after := b.descriptors()
	for end := time.Now().Add(3 * maxIdle); after > before+fdSlop && time.Now().Before(end) && ctx.Err() == nil; after = b.descriptors() {
		time.Sleep(100 * time.Millisecond)
	}
	r.judge(b, j, before, after)
	return r, ctx.Err()
}

// watch samples until the time is over.
func (r *Report) watch(ctx context.Context, b *broker, j *judge, o Options, attackers int) {
	begin, end := time.Now(), time.After(o.Duration)
	ticker := time.NewTicker(min(sampleEvery, o.Duration/12))
	defer ticker.Stop()
	cpu, at := b.cpu(), begin
	ours := func() time.Duration { return b.cpu() + processCPU(attackers) + processCPU(os.Getpid()) }
	busy, used := machineCPU(), ours()
	defer func() {
		others := machineCPU() - busy - (ours() - used)
		r.Others = others.Seconds() / time.Since(begin).Seconds()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-end:
			return
		case <-b.done:
			return
		case <-ticker.C:
		}
		now, used, w := time.Now(), b.cpu(), j.cut()
		s := Sample{
			Seconds: now.Sub(begin).Seconds(), RSS: b.rss(), Descriptors: b.descriptors(),
			CPU:    (used - cpu).Seconds() / now.Sub(at).Seconds(),
			AckP99: float64(w.ack.Microseconds()) / 1000, E2EP99: float64(w.e2e.Microseconds()) / 1000,
		}
		cpu, at = used, now
		r.Samples = append(r.Samples, s)
		if o.Progress != nil {
			fmt.Fprintf(o.Progress, "%4.0f of %.0f s  %4d MiB  %5d fds  cpu %.2f  p99: ack %.2f ms, e2e %.2f ms\n",
				s.Seconds, o.Duration.Seconds(), s.RSS>>20, s.Descriptors, s.CPU, s.AckP99, s.E2EP99)
		}
	}
}

func (r *Report) check(name string, passed bool, want, seen string) {
	r.Checks = append(r.Checks, Check{Name: name, Want: want, Seen: seen, Passed: passed})
}

func (r *Report) judge(b *broker, j *judge, before, after int) {
	j.cut()
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
	r.Batches = j.acked.Load()
	for i, name := range []string{"ack p99", "end to end p99"} {
		p99 := j.all[i].Percentile(99)
		r.check("well-behaved client, "+name, p99 < p99Limit, "under "+ms(p99Limit), ms(p99))
		c := &r.Checks[len(r.Checks)-1]
		c.Note = fmt.Sprintf("%s alone: %.2f ms", name, r.Alone)
		if r.Others > othersLimit {
			c.Environment = true
			c.Note += fmt.Sprintf("; others used %.2f cores", r.Others)
		}
	}
	seen := fmt.Sprintf("%d of %d", j.seen.Load(), j.acked.Load())
	if j.err != nil {
		seen += ": " + j.err.Error()
	}
	r.check("its batches, read back in order", j.err == nil && j.seen.Load() == j.acked.Load() && j.acked.Load() > 0, "all", seen)

	mib := func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
	most, second, last := r.memory()
	limit := int64(float64(second)*growth) + growthSlop
	r.check("memory at most", most <= rssLimit, mib(rssLimit), mib(most))
	r.check("memory, last third (second: "+mib(second)+")", len(r.Samples) >= 6 && last <= limit, "at most "+mib(limit), mib(last))
	r.check("descriptors after", after <= before+fdSlop, fmt.Sprintf("at most %d", before+fdSlop), fmt.Sprint(after))
	faults := b.faults()
	said := "none"
	if len(faults) > 0 {
		said = fmt.Sprintf("%d: %s", len(faults), faults[0])
	}
	r.check("the broker's own errors", len(faults) == 0 && !b.ended(), "none", said)
	for _, a := range attacks {
		r.check("attack: "+a.name, r.Attacks[a.name] > 0, "took place", fmt.Sprintf("%d times", r.Attacks[a.name]))
	}
}

// memory is the highest, and the medians of the second and the last third.
func (r *Report) memory() (most, second, last int64) {
	var rss []int64
	for _, s := range r.Samples {
		rss = append(rss, s.RSS)
		most = max(most, s.RSS)
	}
	median := func(v []int64) int64 {
		if len(v) == 0 {
			return 0
		}
		v = slices.Sorted(slices.Values(v))
		return v[len(v)/2]
	}
	n := len(rss)
	return most, median(rss[n/3 : 2*n/3]), median(rss[2*n/3:])
}

// broker is the process that is soaked.
type broker struct {
	cmd  *exec.Cmd
	addr string
	log  string // file
	done chan struct{}
}

func startBroker(binary, dir string, knobs []string) (*broker, error) {
	b := &broker{log: filepath.Join(dir, "log"), done: make(chan struct{})}
	args := []string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"),
		"--set", "connections.max.idle.ms=" + maxIdle.String(),
		"--set", fmt.Sprintf("queued.max.request.bytes=%d", queuedBytes),
	}
	for _, k := range knobs {
		args = append(args, "--set", k)
	}
	b.cmd = exec.Command(binary, args...)
	log, err := os.Create(b.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	b.cmd.Stderr = log
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { _ = b.cmd.Wait(); close(b.done) }()
	var listening bool
	if b.addr, listening = strings.CutPrefix(strings.TrimSpace(line), "listening on "); !listening {
		b.kill()
		said, _ := os.ReadFile(b.log)
		return nil, fmt.Errorf("the broker did not start: %v %s", err, bytes.TrimSpace(said))
	}
	return b, nil
}

// kill stops the broker in order, or after a while without.
func (b *broker) kill() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.done:
	case <-time.After(15 * time.Second):
		_ = b.cmd.Process.Kill()
		<-b.done
	}
}

func (b *broker) ended() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

func (b *broker) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(b.cmd.Process.Pid), name)
}

func (b *broker) descriptors() int {
	names, _ := os.ReadDir(b.proc("fd"))
	return len(names)
}

// rss is resident memory without file pages, in bytes: what is mapped of files
// is the kernel's to take back.
func (b *broker) rss() int64 {
	status, _ := os.ReadFile(b.proc("status"))
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

func (b *broker) cpu() time.Duration { return processCPU(b.cmd.Process.Pid) }

// tick is the unit of CPU time in /proc: USER_HZ, which is 100 on every Linux.
const tick = 10 * time.Millisecond

func processCPU(pid int) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	return ticks(f[11]) + ticks(f[12]) // user and system
}

// machineCPU is what all processors have spent on anything, stolen time
// included: user, nice, system, irq, softirq, steal, without idle and iowait.
func machineCPU() (busy time.Duration) {
	stat, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, f := range strings.Fields(line) {
		if i >= 1 && i <= 8 && i != 4 && i != 5 {
			busy += ticks(f)
		}
	}
	return busy
}

func ticks(field string) time.Duration {
	n, _ := strconv.ParseInt(field, 10, 64)
	return time.Duration(n) * tick
}

// faults are the lines of the broker's log that are its own, not its peers'.
func (b *broker) faults() (lines []string) {
	log, _ := os.ReadFile(b.log)
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") || strings.Contains(line, "BUG") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// createTopic asks for the topic's metadata, which makes it.
func createTopic(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	body := binary.BigEndian.AppendUint32(nil, 1) // Metadata v1: an array of names
	body = binary.BigEndian.AppendUint16(body, uint16(len(Topic)))
	if _, err := c.Write(request(wire.Header{Key: 3, Version: 1}, append(body, Topic...))); err != nil {
		return err
	}
	_, err = readFrame(c)
	return err
}
