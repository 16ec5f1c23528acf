package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"millrace/harness/load"
	"millrace/internal/knob"
	"millrace/scenarios"
)

// Scenario is a checked scenario: every default filled in, every goal known.
type Scenario struct {
	Name, Question string
	Seed           uint64
	Client         string // kgo: what an application sees; lean: pre-encoded batches on raw sockets
	Topics         []Topic
	Payload        Payload
	Keys           Keys
	Producers      Producers
	Consumers      Consumers
	Transform      Transform
	Phases         []Phase
	Timeline       []Happening
	Goals          []Goal
	Abort          []Condition
	Verify         string            // auto, full, off: whether everything is read once more at the end
	Broker         map[string]string // knobs of a broker that we start
	Host           Host

	remarks []string // what a reader of the figures should know of where it came from
}

// Topic is created before the load begins.
type Topic struct {
	Name       string
	Partitions int
	Replicas   int // -1: the target's default
	Config     map[string]string
}

// Payload says what the records' values are.
type Payload struct {
	Generator        string // json-events, random, file
	Size             int64  // bytes of a value, the mean of those that vary; a file's lines have their own
	Sizes            string // fixed, uniform, lognormal
	MinSize, MaxSize int64
	File             string
	Compressibility  float64           // of random: size before / size after; 1 is incompressible
	Weights          map[string]string // size → how often, of sizes: weighted
	Headers          int
	HeaderSize       int64
}

// Keys says which keys the records bear, and so where they go.
type Keys struct {
	Distribution string // none, round-robin, uniform, zipf
	Count        int
	Skew         float64 // zipf's exponent
}

// Producers are the clients that load the target.
type Producers struct {
	Count       int
	Acks        string // all, 1, 0
	Linger      time.Duration
	BatchSize   int64
	Compression string
	InFlight    int    // requests on a connection
	Buffered    int    // records a producer holds before its send call blocks; 0: the client's own default
	Idempotence string // true, false; empty until settled
	// TxnRecords is how many records make a transaction; 0: there are none.
	// TxnAbort is the share of transactions that is aborted.
	TxnRecords int
	TxnAbort   float64
}

// Transform is consume-transform-produce, exactly once, between the topics and
// outputs of the same names with Suffix.
type Transform struct {
	Workers  int // 0: there is none
	Suffix   string
	Interval time.Duration // how long a transaction gathers
	Abort    float64       // share of the transactions that is aborted, and done again
}

// Consumers read what is produced, while it is produced.
type Consumers struct {
	Groups         int // each sees every record
	Members        int // of each group; partitions are dealt out among them
	MinBytes       int64
	MaxBytes       int64
	PartitionBytes int64
	MaxWait        time.Duration
	Records        string // true: look at every record also with the lean client
	Discard        string // true: the lean client looks at headers only
	Protocol       string // direct, classic, consumer
	Isolation      string // read_uncommitted, read_committed; empty until settled
	SessionTimeout time.Duration
	CommitInterval time.Duration
}

// Kinds of phase.
const (
	Warmup = "warmup"
	Steady = "steady"
	Pause  = "pause"
	Drain  = "drain"
	Ramp   = "ramp"
	Burst  = "burst"
)

var phaseKinds = []string{Warmup, Ramp, Steady, Pause, Burst, Drain}

// Phase is a stretch of the run.
type Phase struct {
	Kind    string
	Name    string
	Len     time.Duration // of a drain: the time it may take at most
	Rate    float64       // records/s over all producers; 0: closed loop
	RateTo  float64       // a ramp: the rate at the phase's end; 0: none
	Swing   float64       // a sine around Rate: as far up and down; 0: none
	Period  time.Duration // of the sine
	Steps   []float64     // rates of as many parts of equal length; nil: none
	rateSet bool

	Producers int // how many of them send; 0: all
	Members   int // how many members each group has; 0: as before
}

func defaults() *Scenario {
	return &Scenario{
		Seed:      1,
		Client:    "kgo",
		Host:      Host{Syscalls: "io"},
		Payload:   Payload{Generator: "json-events", Size: 1 << 10, Sizes: "fixed", MinSize: 1, MaxSize: 1 << 20, Compressibility: 2},
		Keys:      Keys{Distribution: "none", Count: 10000, Skew: 1.1},
		Producers: Producers{Count: 1, Acks: "all", Linger: 5 * time.Millisecond, BatchSize: 64 << 10, Compression: "none"},
		Transform: Transform{Suffix: "-out", Interval: 100 * time.Millisecond},
		Verify:    "auto",
		Consumers: Consumers{Groups: 0, Members: 1, MinBytes: 1, MaxBytes: 8 << 20, PartitionBytes: 1 << 20, Records: "false", MaxWait: 500 * time.Millisecond,
			Protocol: "direct", SessionTimeout: 10 * time.Second, CommitInterval: time.Second},
	}
}

const hour = time.Hour

// fields declares the whole form.
func (s *Scenario) fields() section {
	p, k, pr, co := &s.Payload, &s.Keys, &s.Producers, &s.Consumers
	return section{
		{"name", "what the run directory and the reports call it: letters, digits, dashes", text(&s.Name)},
		{"question", "what the run answers, in a sentence", text(&s.Question)},
		{"seed", "of keys, payloads and partition choice; the same seed makes the same records", seedValue(&s.Seed)},
		{"client", "kgo: franz-go, what an application sees; lean: pre-encoded batches on raw sockets, what the broker can take", word(&s.Client, load.Clients(), nil)},
		{"topics", "topics to create; records are dealt out over all partitions of all topics",
			listOf("{name: events, partitions: 4}", &s.Topics, func() Topic { return Topic{Partitions: 1, Replicas: 1} },
				func(t *Topic) value { return t.fields() }, func(t *Topic) string { return t.Name })},
		{"payload", "the records' values", section{
			{"generator", "json-events: made-up events with realistic fields; random: bytes with a stated compressibility; file: one record a line", word(&p.Generator, []string{"json-events", "random", "file"}, nil)},
			{"size", "bytes of a value; the mean where sizes vary", size(&p.Size, 1, 64<<20)},
			{"sizes", "how sizes vary: fixed, uniform between size.min and size.max, lognormal, cut at both, or weighted by size.weights", word(&p.Sizes, []string{"fixed", "uniform", "lognormal", "weighted"}, nil)},
			{"size.weights", "how often each size comes, in relation to the others: {100B: 70, 1KiB: 25, 16KiB: 5}; implies sizes: weighted", dict{m: &p.Weights, check: checkWeight}},
			{"size.min", "smallest value where sizes vary", size(&p.MinSize, 1, 64<<20)},
			{"size.max", "largest value where sizes vary", size(&p.MaxSize, 1, 64<<20)},
			{"file", "the file whose lines are the records, over and over; implies generator: file", text(&p.File)},
			{"compressibility", "of random: size before / size after compression; 1 is incompressible", number(&p.Compressibility, 1, 100)},
			{"headers", "headers of each record, beside the one by which the kgo client's ledger tells it", count(&p.Headers, 0, 100)},
			{"header.size", "bytes of each header's value", size(&p.HeaderSize, 0, 64<<10)},
		}},
		{"keys", "the records' keys; a key's hash picks its partition, none goes round", section{
			{"distribution", "none, round-robin, uniform, or zipf: few keys make most records", word(&k.Distribution, []string{"none", "round-robin", "uniform", "zipf"}, nil)},
			{"count", "how many different keys", count(&k.Count, 1, 100_000_000)},
			{"skew", "zipf's exponent", number(&k.Skew, 1.0001, 10)},
		}},
		{"producers", "the clients that load the target", section{
			{"count", "clients, each with its own connections", count(&pr.Count, 1, 1000)},
			{"acks", "when a record counts as written: all in-sync replicas, the leader (1), or nobody (0)", word(&pr.Acks, []string{"all", "1", "0"}, map[string]string{"-1": "all"})},
			{"linger", "how long a batch waits for company", span(&pr.Linger, 0, time.Minute)},
			{"batch.size", "largest batch", size(&pr.BatchSize, 128, 100<<20)},
			{"compression", "codec of the batches", word(&pr.Compression, []string{"none", "gzip", "snappy", "lz4", "zstd"}, nil)},
			{"max.in.flight", "requests of one producer that may be unanswered; 0: the client's own default (kgo: 5 with idempotence, else 1)", count(&pr.InFlight, 0, 1000)},
			{"max.buffered", "records a producer holds before its send call blocks; 0: the client's own default", count(&pr.Buffered, 0, 100_000_000)},
			{"idempotence", "the broker drops what a retry doubled; default: true for kgo with acks all", toggle(&pr.Idempotence)},
			{"transaction.records", "records of a transaction, which counts as acknowledged when it is committed; 0: no transactions", count(&pr.TxnRecords, 0, 1<<20)},
			{"transaction.abort", "share of the transactions that is aborted, by the seed: nobody who reads committed records may see them", number(&pr.TxnAbort, 0, 1)},
		}},
		{"consumers", "the clients that read while the producers write", section{
			{"groups", "each group sees every record once; 0: nobody reads (the ledger reads back after the run)", count(&co.Groups, 0, 100)},
			{"members", "of each group; the partitions are dealt out among them", count(&co.Members, 1, 1000)},
			{"fetch.min.bytes", "a fetch waits for this much", size(&co.MinBytes, 1, 100<<20)},
			{"fetch.max.bytes", "a fetch answers at most this much", size(&co.MaxBytes, 1, 1<<30)},
			{"max.partition.fetch.bytes", "of which one partition gets at most this much", size(&co.PartitionBytes, 1, 1<<30)},
			{"fetch.max.wait", "and waits at most this long", span(&co.MaxWait, 0, time.Minute)},
			{"records", "true: the lean client decodes every record, as kgo always does; false: batches only", toggle(&co.Records)},
			{"discard", "true: the lean client takes the headers of batches and leaves their records in the kernel, to load a target with next to no work of its own; verify: auto then reads everything once more", toggle(&co.Discard)},
			{"protocol", "how members come by their partitions: direct: dealt out for good; classic: the group protocol; consumer: the group protocol of KIP-848", word(&co.Protocol, load.Protocols(), nil)},
			{"isolation.level", "read_committed leaves out what was aborted; default where there are transactions", word(&co.Isolation, []string{"read_uncommitted", "read_committed"}, nil)},
			{"session.timeout", "how long a group waits for a silent member; with protocol consumer the broker decides (group.consumer.session.timeout.ms)", span(&co.SessionTimeout, 100*time.Millisecond, 30*time.Minute)},
			{"commit.interval", "how often members commit", span(&co.CommitInterval, 10*time.Millisecond, time.Hour)},
		}},
		{"transform", "consume-transform-produce, exactly once: workers read the topics as a group and write each record to an output, in transactions that carry their offsets; the consumers then read the outputs", section{
			{"workers", "how many; 0: no transform", count(&s.Transform.Workers, 0, 100)},
			{"suffix", "an output is called as its topic, and this", text(&s.Transform.Suffix)},
			{"interval", "how long a transaction gathers", span(&s.Transform.Interval, time.Millisecond, time.Minute)},
			{"abort", "share of the transactions that is aborted, and done again", number(&s.Transform.Abort, 0, 0.9)},
		}},
		{"phases", "what happens one after the other; only steady phases are counted",
			listOf("{steady: 15s, rate: 50000/s}", &s.Phases, func() Phase { return Phase{} },
				func(p *Phase) value { return phaseValue{p} }, func(p *Phase) string { return p.Name })},
		{"timeline", "what happens at moments of the run: members come and go, groups fall behind, the target is killed or stopped",
			listOf("{at: 5s, do: kill, for: 1s}", &s.Timeline, newHappening,
				func(h *Happening) value { return h.fields() }, func(h *Happening) string { return h.Do })},
		{"goals", "what must hold, such as ack.p99 <= 20ms; over all steady phases, or `in` one of them",
			listOf("throughput >= 49500/s", &s.Goals, func() Goal { return Goal{} },
				func(g *Goal) value { return goalValue(g) }, func(g *Goal) string { return g.Figure })},
		{"abort", "when to stop early: `goals`, once a goal can no longer be met, or a condition on the time so far, such as errors > 1000",
			listOf("goals", &s.Abort, func() Condition { return Condition{} },
				func(c *Condition) value { return conditionValue(c) }, func(c *Condition) string { return c.String() })},
		{"verify", "whether everything is read once more at the end, by nobody's group: auto: where the target died, was made to fail, or consumers discard; full: always; off: never",
			word(&s.Verify, []string{"auto", "full", "off"}, nil)},
		{"broker", "knobs of a broker that the lab starts (child, inprocess)",
			dict{m: &s.Broker, check: checkKnob, known: knobNames}},
		{"host", "what the run asks of the machine that target and generator share", s.Host.fields()},
	}
}

func (t *Topic) fields() section {
	return section{
		{"name", "the topic's name", text(&t.Name)},
		{"partitions", "partitions", count(&t.Partitions, 1, 100_000)},
		{"replicas", "replication factor; -1: the target's default", count(&t.Replicas, -1, 100)},
		{"config", "topic settings, such as retention.ms", dict{m: &t.Config}},
	}
}

// phaseValue is a phase: a section whose one kind key holds the length.
type phaseValue struct{ p *Phase }

func (v phaseValue) section() section {
	p := v.p
	kind := func(kind, doc string) field {
		l := span(&p.Len, 100*time.Millisecond, 240*hour)
		parse := l.parse
		l.parse = func(s string) error {
			if p.Kind != "" && p.Kind != kind {
				return fmt.Errorf("a phase is of one kind, and this one is already a %s", p.Kind)
			}
			p.Kind = kind
			return parse(s)
		}
		show := l.show
		l.show = func() string {
			if p.Kind != kind {
				return ""
			}
			return show()
		}
		return field{kind, doc, l}
	}
	return section{
		kind(Warmup, "load that is not counted, for this long; at the rate of the next steady phase unless it has its own"),
		kind(Ramp, "load on its way to a speed, for this long: figures of its own, judged by goals `in` it"),
		kind(Steady, "load that is counted, for this long"),
		kind(Pause, "no load, for this long"),
		kind(Burst, "load out of the ordinary, for this long: figures of its own, judged by goals `in` it"),
		kind(Drain, "no load, until every consumer has seen every record, for this long at most; between other phases, for just this long"),
		{"rate", "records per second over all producers, on a schedule that is fixed before the run; 1k/s to 5k/s: a ramp; 1k/s then 5k/s: steps of equal length; 10k/s +- 5k/s every 20s: a sine; max: closed loop, as fast as the target takes it", rate(p)},
		{"producers", "how many of the producers send in this phase, the first ones; 0: all", count(&p.Producers, 0, 1000)},
		{"members", "how many members each group has from this phase on; 0: as many as before; needs a group protocol", count(&p.Members, 0, 1000)},
		{"name", "what goals and reports call the phase; default: its kind", text(&p.Name)},
	}
}

func (v phaseValue) decode(d *decoder, n *yaml.Node, path string) {
	before := len(d.faults)
	v.section().decode(d, n, path)
	if v.p.Kind == "" && len(d.faults) == before {
		d.fault(n, "%s is of no kind: one of the keys %s must be there", path, strings.Join(phaseKinds, ", "))
	}
	if v.p.Name == "" {
		v.p.Name = v.p.Kind
	}
}

func (v phaseValue) encode() *yaml.Node     { return v.section().encode() }
func (v phaseValue) schema() map[string]any { return v.section().schema() }

// override takes phases.steady=20s (its length) beside phases.steady.rate.
func (v phaseValue) override(d *decoder, path, at, text string) bool {
	if path == "" {
		path = v.p.Kind
	}
	return override(d, v.section(), path, at, text)
}

// Faults is everything that is wrong with a scenario, each with its place in
// the file. Commands exit with 2 on it.
type Faults struct{ List []string }

func (f *Faults) Error() string { return strings.Join(f.List, "\n") }

// Load reads a scenario of the library or a file, applies the settings
// (path=value: a scenario path such as producers.acks, or a broker knob) and
// checks the whole. The error is *Faults where the scenario or a setting is at
// fault.
func Load(nameOrFile string, sets []string) (*Scenario, error) {
	return LoadWith(nameOrFile, LoadOptions{Sets: sets})
}

// LoadWith is Load for which more is said. A file that is an OpenMessaging
// Benchmark workload is taken as it is.
func LoadWith(nameOrFile string, o LoadOptions) (*Scenario, error) {
	file := nameOrFile + ".yaml"
	text, ok := scenarios.Text(nameOrFile)
	if !ok {
		var err error
		if text, err = readScenario(nameOrFile); err != nil {
			return nil, err
		}
		file = nameOrFile
	}
	if !isOMB(text) {
		if o.Driver != "" {
			return nil, &Faults{[]string{fmt.Sprintf("%s: --driver is for OpenMessaging Benchmark workloads, and this is none", file)}}
		}
		s, err := parse(file, text, o.Sets)
		if err != nil {
			return nil, err
		}
		return s.scaled(file, o)
	}
	text, notes, err := ombScenario(file, text, o)
	if err != nil {
		return nil, err
	}
	s, err := parse(file+" as a scenario", text, o.Sets)
	if err == nil {
		s.remarks = notes
	}
	return s, err
}

func readScenario(nameOrFile string) ([]byte, error) {
	text, err := os.ReadFile(nameOrFile)
	switch {
	case err == nil:
		return text, nil
	case errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(nameOrFile, "./"+string(filepath.Separator)):
		return nil, &Faults{[]string{fmt.Sprintf("no scenario %q in the library, and no such file%s; `millrace scenarios` lists the library",
			nameOrFile, knob.Suggest(nameOrFile, scenarios.Names()))}}
	case errors.Is(err, os.ErrNotExist):
		return nil, &Faults{[]string{fmt.Sprintf("%s: no such file", nameOrFile)}}
	}
	return nil, &Faults{[]string{err.Error()}}
}

// Validate checks a scenario file; nil: it is sound.
func Validate(file string) error { _, err := Load(file, nil); return err }

// Entry is one scenario of the library.
type Entry struct{ Name, Question string }

// Library lists the scenarios of the library.
func Library() []Entry {
	var entries []Entry
	for _, name := range scenarios.Names() {
		text, _ := scenarios.Text(name)
		var head struct{ Question string }
		_ = yaml.Unmarshal(text, &head)
		entries = append(entries, Entry{name, head.Question})
	}
	return entries
}

func parse(file string, text []byte, sets []string) (*Scenario, error) {
	d := &decoder{file: file, at: map[string]*yaml.Node{}}
	s := defaults()
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&doc); errors.Is(err, io.EOF) {
		return nil, &Faults{[]string{file + ": the file is empty: begin with a scenario of the library (`millrace scenarios` lists them)"}}
	} else if err != nil {
		return nil, &Faults{[]string{fmt.Sprintf("%s: no sound YAML: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))}}
	}
	form := s.fields()
	form.decode(d, doc.Content[0], "")
	for _, set := range sets {
		d.apply(form, set)
	}
	d.set = ""
	s.settle()
	s.check(d)
	if err := d.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// apply carries out one setting: a scenario path, or else a broker knob.
func (d *decoder) apply(form section, set string) {
	path, text, ok := strings.Cut(set, "=")
	d.set = set
	switch {
	case !ok:
		d.fault(nil, "a setting is path=value")
	case override(d, form, path, "", text):
	case isKnob(path):
		override(d, form, "broker."+path, "", text)
	default:
		d.fault(nil, "unknown setting %q: neither a scenario path nor a broker knob%s", path,
			knob.Suggest(path, append(knobNames(), form.paths("")...)))
	}
}

// paths lists what --set takes, lists by their name and not their elements.
func (s section) paths(prefix string) []string {
	var paths []string
	for _, f := range s {
		paths = append(paths, join(prefix, f.key))
		if sub, ok := f.val.(section); ok {
			paths = append(paths, sub.paths(join(prefix, f.key))...)
		}
	}
	return paths
}

// YAML is the scenario as resolved: every default filled in.
func (s *Scenario) YAML() []byte {
	n := s.fields().encode()
	for i := 1; i < len(n.Content); i += 2 {
		if n.Content[i].Kind == yaml.MappingNode {
			n.Content[i].Style = yaml.FlowStyle
		}
	}
	var buf bytes.Buffer
	e := yaml.NewEncoder(&buf)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		panic("BUG: a scenario that cannot be written: " + err.Error())
	}
	return buf.Bytes()
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
