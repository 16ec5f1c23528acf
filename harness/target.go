package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/knob"
	"millrace/results"
)

// target is a broker under measurement.
type target interface {
	// start brings it up and returns when it answers. The error is one line
	// that says what to do.
	start(ctx context.Context) error
	info() results.TargetInfo // valid after start
	// gone is closed when the target ended without being told to; nil: nobody
	// would notice. why then says what is known of it.
	gone() <-chan struct{}
	why() string
	// pprof is the base URL of its net/http/pprof, "" for none.
	pprof() string
	// stop ends it and removes its data. It may be called at any time, also
	// more than once, and takes at most stopTime and a little.
	stop() error
}

// stopTime is how long a target may take to stop in order before it is killed.
const stopTime = 10 * time.Second

// targetKinds are the ways to name a target.
var targetKinds = []string{"child", "inprocess", "external", "command", "sink"}

// newTarget reads child, inprocess, external:HOST:PORT, command:FILE or sink.
func newTarget(o *RunOptions) (target, error) {
	kind, arg, _ := strings.Cut(o.Target, ":")
	fault := func(format string, args ...any) error {
		return &Faults{[]string{fmt.Sprintf("target %q: ", o.Target) + fmt.Sprintf(format, args...)}}
	}
	started := kind == "child" || kind == "inprocess"
	if !started && len(o.Scenario.Broker) > 0 {
		return nil, fault("knobs (%s) can be set only on a broker that the lab starts: child or inprocess",
			strings.Join(sortedKeys(o.Scenario.Broker), ", "))
	}
	cpus, err := o.Scenario.Host.targetCPUs(kind)
	if err != nil {
		return nil, err
	}
	switch {
	case (started || kind == "sink") && arg != "":
		return nil, fault("%s takes no argument", kind)
	case kind == "child":
		return &child{binary: o.Binary, dataParent: o.DataDir, knobs: o.Scenario.brokerKnobs(), cpus: cpus}, nil
	case kind == "inprocess":
		return &inprocess{dataParent: o.DataDir, knobs: o.Scenario.brokerKnobs()}, nil
	case kind == "sink":
		if o.Scenario.Consumers.Groups > 0 {
			return nil, fault("it keeps nothing that consumers could read (write consumers: {groups: 0}, or --set consumers.groups=0)")
		}
		return newSink(o.Binary, o.Scenario, cpus), nil
	case kind == "external":
		if _, port, err := net.SplitHostPort(arg); err != nil || port == "" {
			return nil, fault("say where it listens: external:HOST:PORT")
		}
		return &external{addr: arg}, nil
	case kind == "command":
		return newCommand(arg, o.DataDir, cpus, fault)
	}
	return nil, fault("targets are child, inprocess, external:HOST:PORT, command:FILE and sink%s", knob.Suggest(kind, targetKinds))
}

// dataDir makes a fresh directory below parent.
func dataDir(parent string) (string, error) {
	if parent != "" {
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(parent, "millrace-data-")
}

// ping asks for ApiVersions: the address answers, and as a Kafka broker.
func ping(ctx context.Context, addr string) error {
	return ask(ctx, addr, func(cl *kgo.Client) error { return cl.Ping(ctx) })
}

// ask puts a question to the broker at addr, once.
func ask(ctx context.Context, addr string, question func(*kgo.Client) error) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	conn.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DialTimeout(3*time.Second),
		kgo.RequestRetries(0), kgo.RetryTimeout(time.Second), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	return question(cl)
}

// external is a broker that somebody else runs.
type external struct {
	addr string
	// pid and name are of its process, where that is on this machine and the only
	// broker of its cluster, so that its costs are the target's; 0: it is not.
	pid  int
	name string
}

func (e *external) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := ping(ctx, e.addr)
	var op *net.OpError
	switch {
	case err == nil:
		e.look(ctx)
		return nil
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("nothing answers at %s (%v): start the broker, or correct external:HOST:PORT", e.addr, op.Err)
	case ctx.Err() != nil:
		return fmt.Errorf("%s accepts connections but gave no answer within 5 s: is it a Kafka listener without TLS?", e.addr)
	}
	return fmt.Errorf("%s does not speak the Kafka protocol in plain text (%v)", e.addr, err)
}

func (e *external) info() results.TargetInfo {
	return results.TargetInfo{Kind: "external", Address: e.addr, PID: e.pid}
}

// look finds the broker's process.
func (e *external) look(ctx context.Context) {
	at, here := localAddr(e.addr)
	if !here {
		return
	}
	brokers := 0
	if err := ask(ctx, e.addr, func(cl *kgo.Client) error {
		list, err := kadm.NewClient(cl).ListBrokers(ctx)
		brokers = len(list)
		return err
	}); err != nil || brokers != 1 {
		return
	}
	if pid, name := listener(at); pid != os.Getpid() { // or the generator's costs would be the target's
		e.pid, e.name = pid, name
	}
}

func (e *external) gone() <-chan struct{} { return nil }
func (e *external) why() string           { return "" }
func (e *external) pprof() string         { return "" }
func (e *external) stop() error           { return nil }

// freePort is a loopback port that was free a moment ago, for programs that
// cannot be asked for any free one.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
