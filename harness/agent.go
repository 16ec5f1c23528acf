package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"time"

	"millrace/harness/load"
	"millrace/results"
)

// AgentOptions says how an agent is to be reached.
type AgentOptions struct {
	Listen string // HOST:PORT; port 0 takes any free one
	// Token is what a coordinator must know. An agent that listens beyond loopback
	// needs one: whoever can give it a job decides where this machine sends load.
	Token string
	// Note is told of each job and its end; nil: nobody is.
	Note func(format string, args ...any)
}

// ServeAgent carries out this machine's part of the runs of a coordinator, one
// at a time, until ctx ends. ready is called with the address once it listens.
func ServeAgent(ctx context.Context, o AgentOptions, ready func(addr string)) error {
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("%w; choose another with --listen HOST:PORT", err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() && o.Token == "" {
		l.Close()
		return &Faults{[]string{fmt.Sprintf("%s is reached from other machines: say a token that the coordinator must know (--token, or MILLRACE_TOKEN)", o.Listen)}}
	}
	env, err := json.Marshal(environment("", nil))
	if err != nil {
		l.Close()
		return err
	}
	ready(l.Addr().String())
	a := &load.Agent{Version: buildVersion(), Token: o.Token, Env: env, Note: o.Note}
	return a.Serve(ctx, l)
}

// buildVersion tells builds apart: what is said between a coordinator and its
// agents is of one build, and so is what they measure with.
func buildVersion() string {
	v := fmt.Sprintf("%d", results.Version)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	if rev := set["vcs.revision"]; rev != "" {
		v += "-" + rev[:min(12, len(rev))]
	}
	if set["vcs.revision"] == "" || set["vcs.modified"] == "true" { // the revision does not tell
		v += "-" + programSum()
	}
	return v
}

// programSum is the beginning of the program file's SHA-256.
func programSum() string {
	f, err := os.Open("/proc/self/exe") // also where the file has been replaced since
	if err != nil {
		path, _ := os.Executable()
		if f, err = os.Open(path); err != nil {
			return "modified"
		}
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "modified"
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// fleet is the agents that a run was given; nil: this process is the generator.
func (o *RunOptions) fleet() *load.Fleet {
	if len(o.Agents) == 0 {
		return nil
	}
	f := &load.Fleet{Version: buildVersion(), Ceiling: o.audit}
	if o.ceiling > 0 || o.Target == "sink" {
		f.Ceiling = 0
	}
	token := o.AgentToken
	if token == "" {
		token = os.Getenv("MILLRACE_TOKEN")
	}
	for _, addr := range o.Agents {
		f.Agents = append(f.Agents, load.Remote{Addr: addr, Token: token})
	}
	return f
}

// muster asks the agents who they are, before anything is started.
func (tr *trial) muster(ctx context.Context) error {
	f := tr.o.fleet()
	if f == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, addr := range tr.o.Agents {
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			return &Faults{[]string{fmt.Sprintf("--agent %s: say where it listens: HOST:PORT", addr)}}
		} else if seen[addr] {
			return &Faults{[]string{fmt.Sprintf("--agent %s is there twice", addr)}}
		}
		seen[addr] = true
	}
	spec := tr.s.spec("")
	if err := f.Suits(&spec); err != nil {
		return &Faults{[]string{err.Error()}}
	}
	tr.show.status("asking the agents")
	envs, err := f.Hello(ctx)
	if err != nil {
		return err
	}
	for i, b := range envs {
		a := results.Agent{Address: tr.o.Agents[i]}
		if err := json.Unmarshal(b, &a.Env); err != nil {
			return fmt.Errorf("agent %s: what it says of its machine cannot be read: %w", a.Address, err)
		}
		tr.agents = append(tr.agents, a)
	}
	return nil
}

// reachable says that every agent can reach the target by its address.
func (tr *trial) reachable(target string) error {
	if !loopback(target) {
		return nil
	}
	for _, addr := range tr.o.Agents {
		if !loopback(addr) {
			return fmt.Errorf("agent %s is on another machine and cannot reach the target at %s: start the broker where all reach it, and say --target external:HOST:PORT", addr, target)
		}
	}
	return nil
}

// loopback says that an address is of this machine alone.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// generate carries the load out, here or by the agents.
func (tr *trial) generate(ctx context.Context, spec load.Spec) (*load.Result, error) {
	f := tr.o.fleet()
	if f == nil {
		return load.Run(ctx, spec)
	}
	tr.show.status("waiting for the agents to be ready")
	res, parts, err := load.RunOver(ctx, spec, *f)
	if res != nil {
		tr.partsOf(res, parts)
	}
	return res, err
}

// partsOf books each agent's part.
func (tr *trial) partsOf(whole *load.Result, parts []load.AgentResult) {
	t := &tr.run.Trial
	for i, p := range parts {
		if i >= len(tr.agents) {
			break
		}
		a := &tr.agents[i]
		a.Producers, a.Members = p.Producers, p.Members
		a.Audit.Client = tr.s.Client
		if c := p.Ceiling; c != nil {
			a.Audit.CeilingRate, a.Audit.CeilingBytes, a.Audit.CeilingCPUNs, a.Audit.CeilingShared = c.Rate, c.Bytes, c.CPUNs, c.Shared
			t.Audit.CeilingRate += c.Rate
			t.Audit.CeilingBytes += c.Bytes
			t.Audit.CeilingShared = true
		}
		if tr.o.fleet().Ceiling > 0 && p.Producers > 0 && a.Audit.CeilingRate == 0 {
			tr.note("agent %s: the generator's ceiling could not be taken", a.Address)
		}
		if p.Err != nil {
			a.Error = p.Err.Error()
		}
		if p.Result != nil {
			agentFigures(a, p.Result)
		}
	}
	t.Agents = tr.agents
	if tr.s.Consumers.Groups > 0 {
		var measured, consumed int64
		for _, ph := range whole.Phases {
			measured += ph.Latency[load.EndToEnd].Count()
			consumed += ph.Consumed.Records
		}
		tr.note("end to end was measured of %s of %s consumed: those whose producer and consumer are on one agent, as clocks are not compared",
			results.FormatCount(float64(measured)), plural(consumed, "record"))
	}
	if tr.s.Consumers.Groups > 0 && tr.s.Consumers.Protocol != "direct" && whole.Ledger.Verified {
		tr.note("everything was read once more at the end: members on different agents cannot tell a doubled record from one read again")
	}
	tr.note("lag is taken ten times a second, at moments a few milliseconds apart on different agents; drain.time is known to 0.1 s")
}

// agentFigures are of an agent's steady phases.
func agentFigures(a *results.Agent, res *load.Result) {
	var length time.Duration
	var sent, acked, consumed load.Count
	var late, scheduled int64
	var cpu time.Duration
	for _, ph := range res.Phases {
		if ph.Phase.Kind != load.Steady {
			continue
		}
		length += ph.Len
		sent = load.Count{Records: sent.Records + ph.Sent.Records, Bytes: sent.Bytes + ph.Sent.Bytes}
		acked = load.Count{Records: acked.Records + ph.Acked.Records, Bytes: acked.Bytes + ph.Acked.Bytes}
		consumed = load.Count{Records: consumed.Records + ph.Consumed.Records, Bytes: consumed.Bytes + ph.Consumed.Bytes}
		late += ph.Late
		scheduled += ph.Scheduled
		cpu += ph.Usage.CPU
		a.GCPauseS += ph.Usage.GCPause.Seconds()
		a.Steal = max(a.Steal, ph.Usage.Steal)
		a.RSSBytes = max(a.RSSBytes, ph.Usage.RSS)
	}
	secs := length.Seconds()
	a.Sent, a.Acked, a.Consumed = flow(sent, secs), flow(acked, secs), flow(consumed, secs)
	if secs > 0 {
		a.ScheduledRate, a.Cores = float64(scheduled)/secs, cpu.Seconds()/secs
	}
	if sent.Records > 0 {
		a.Audit.LateShare = float64(late) / float64(sent.Records)
	}
}

// auditAgents says which agents set the figures, by the rules for a generator
// that is alone.
func auditAgents(s *Scenario, t *results.Trial) {
	for i := range t.Agents {
		a := &t.Agents[i]
		part := results.Phase{Sent: a.Sent, Acked: a.Acked, ScheduledRate: a.ScheduledRate}
		limit(s.scheduled(), &part, &a.Audit)
		if a.Audit.Limited {
			t.Audit.Limited = true
			t.Audit.Reason = fmt.Sprintf("agent %s: %s", a.Address, a.Audit.Reason)
		}
	}
}

// agentCost is what the agents' processes spent in a phase.
func agentCost(p load.PhaseResult, records int64) *results.Cost {
	pause := p.Usage.GCPause.Seconds()
	c := &results.Cost{CPUS: p.Usage.CPU.Seconds(), RSSMax: p.Usage.RSS, Allocs: &p.Usage.Allocs, AllocB: &p.Usage.AllocB, GCPauseS: &pause}
	if s := p.Len.Seconds(); s > 0 {
		c.Cores = c.CPUS / s
	}
	perRecord(c, records)
	return c
}

// here says that every agent is on this machine.
func (tr *trial) here() bool {
	for _, addr := range tr.o.Agents {
		if !loopback(addr) {
			return false
		}
	}
	return true
}
