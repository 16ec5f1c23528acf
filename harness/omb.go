package harness

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"millrace/harness/load"
	"millrace/internal/knob"
)

// OpenMessaging Benchmark describes a load in two files: a workload (topics,
// sizes, rates) and a driver (the clients' settings, as Java properties). Both
// are read as they are and turned into a scenario, which is then checked like
// any other. Each key of theirs is honoured, or said not to matter here, or
// refused with the reason.
//
// The form is that of Workload.java and of the Kafka driver's Config.java in
// github.com/openmessaging/benchmark.

// LoadOptions say more about a scenario than its file.
type LoadOptions struct {
	Sets   []string // as of Load
	Driver string   // an OpenMessaging Benchmark driver file, beside a workload of its
	// Scale multiplies every rate, and with it the goals of throughput: a number,
	// or "machine", the share that this machine's CPUs are of those that the
	// deployments of OpenMessaging Benchmark give a broker. "": 1.
	Scale string
}

// ombCPUs is what a broker of the benchmark's own deployments has (i3en.6xlarge).
const ombCPUs = 24

// factor is the scale as a number.
func (o LoadOptions) factor() (float64, error) {
	switch o.Scale {
	case "":
		return 1, nil
	case "machine":
		return min(1, float64(runtime.NumCPU())/ombCPUs), nil
	}
	f, err := strconv.ParseFloat(o.Scale, 64)
	if err != nil || !(f > 0) || f > 1000 {
		return 0, fmt.Errorf("--scale %s: a number above 0, such as 0.1, or machine", o.Scale)
	}
	return f, nil
}

// scaled is the scenario at its scale.
func (s *Scenario) scaled(file string, o LoadOptions) (*Scenario, error) {
	f, err := o.factor()
	switch {
	case err != nil:
		return nil, &Faults{[]string{err.Error()}}
	case f == 1:
		return s, nil
	}
	for i := range s.Phases {
		p := &s.Phases[i]
		p.Rate, p.RateTo, p.Swing = p.Rate*f, p.RateTo*f, p.Swing*f
		for k := range p.Steps {
			p.Steps[k] *= f
		}
	}
	for i := range s.Goals {
		g := &s.Goals[i]
		var limit string
		switch g.unit {
		case perSec:
			g.Limit = math.Floor(g.Limit*f*10) / 10
			if limit = formatRate(g.Limit); g.Limit == 0 {
				limit = "0/s" // and not max
			}
		case bytesSec:
			g.Limit = math.Floor(g.Limit * f)
			limit = fmt.Sprintf("%.0fB/s", g.Limit)
		default:
			continue
		}
		g.text = fmt.Sprintf("%s %s %s", g.Figure, g.Op, limit)
		if g.Phase != "" {
			g.text += " in " + g.Phase
		}
	}
	out, err := parse(file+" at --scale "+o.Scale, s.YAML(), nil)
	if err == nil {
		out.remarks = append(out.remarks, fmt.Sprintf("rates, and goals of throughput, are %.3g of the scenario's", f))
	}
	return out, err
}

// isOMB says that a file is a workload: it has keys that no scenario has.
func isOMB(text []byte) bool {
	var keys map[string]yaml.Node
	if yaml.Unmarshal(text, &keys) != nil {
		return false
	}
	_, a := keys["partitionsPerTopic"]
	_, b := keys["producersPerTopic"]
	_, c := keys["messageSize"]
	return a && (b || c)
}

// omb is one translation under way.
type omb struct {
	d     *decoder // faults of the workload
	file  string
	scale float64
	notes []string

	w ombWorkload
	// What the driver says, as parts of the scenario.
	topic, producers, consumers map[string]any
	replicas                    int
}

// ombWorkload is the keys of a workload that count.
type ombWorkload struct {
	name                                       string
	topics, partitions, size                   int
	keys                                       string
	randomized                                 bool
	randomRatio                                float64
	payloadFile                                string
	groups, members, producers                 int
	rate, startRate, incrementRate, incrementS int
	backlogGB                                  float64
	minutes, warmup                            int
}

func (o *omb) note(format string, args ...any) {
	o.notes = append(o.notes, fmt.Sprintf(format, args...))
}

// ombScenario is the text of the scenario that the files mean, and what a reader
// of its figures should know of the translation.
func ombScenario(file string, content []byte, opts LoadOptions) (scenario []byte, notes []string, err error) {
	scale, err := opts.factor()
	if err != nil {
		return nil, nil, &Faults{[]string{err.Error()}}
	}
	o := &omb{d: &decoder{file: file, at: map[string]*yaml.Node{}}, file: file, scale: scale,
		topic: map[string]any{}, replicas: 1,
		producers: map[string]any{"acks": "all", "linger": "1ms", "batch.size": "128KiB"},
		consumers: map[string]any{"protocol": load.Classic}}
	o.workload(content)
	if err := o.d.err(); err != nil {
		return nil, nil, err
	}
	if opts.Driver == "" {
		o.note("no driver file was given (--driver FILE): acks all, linger 1 ms, batches of 128 KiB, one replica")
	} else if err := o.driver(opts.Driver); err != nil {
		return nil, nil, err
	}
	out, err := o.scenario()
	if err == nil {
		err = o.d.err()
	}
	return out, o.notes, err
}

func (o *omb) workload(content []byte) {
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(content)).Decode(&doc); err != nil {
		o.d.fault(nil, "no sound YAML: %v", err)
		return
	}
	w := &o.w
	*w = ombWorkload{topics: 1, partitions: 1, producers: 1, members: 1, keys: "NO_KEY", startRate: 10000, incrementS: 60, warmup: 1, minutes: 5}
	form := section{
		{"name", "", text(&w.name)},
		{"topics", "", count(&w.topics, 1, load.MaxPartitions)},
		{"partitionsPerTopic", "", count(&w.partitions, 1, 100_000)},
		{"messageSize", "", count(&w.size, 1, load.MaxValue)},
		{"keyDistributor", "", word(&w.keys, []string{"NO_KEY", "KEY_ROUND_ROBIN", "RANDOM_NANO"}, nil)},
		{"useRandomizedPayloads", "", boolean(&w.randomized)},
		{"randomBytesRatio", "", number(&w.randomRatio, 0, 1)},
		{"randomizedPayloadPoolSize", "", o.harmless("the values are a pool of 32 MiB")},
		{"payloadFile", "", text(&w.payloadFile)},
		{"subscriptionsPerTopic", "", count(&w.groups, 0, 100)},
		{"consumerPerSubscription", "", count(&w.members, 0, 1000)},
		{"producersPerTopic", "", count(&w.producers, 0, 1000)},
		{"producerRate", "", count(&w.rate, 0, 1_000_000_000)},
		{"producerStartRate", "", count(&w.startRate, 1, 1_000_000_000)},
		{"producerIncrementRate", "", count(&w.incrementRate, 0, 1_000_000_000)},
		{"producerIncrementSeconds", "", count(&w.incrementS, 1, 86_400)},
		{"consumerBacklogSizeGB", "", number(&w.backlogGB, 0, 1e6)},
		{"testDurationMinutes", "", count(&w.minutes, 1, 14_400)},
		{"warmupDurationMinutes", "", count(&w.warmup, 0, 14_400)},
		{"sampleRateMillis", "", o.harmless("samples are taken once a second")},
		{"backlogDrainRatio", "", o.harmless("a group has caught up when 1 % of its backlog is left")},
		{"acceptableBacklog", "", o.harmless("a rate that is looked for must meet the goals")},
		{"producerPauseBeforeDrain", "", refused("producers follow a schedule that is fixed before the run; write a scenario with a pause phase")},
		{"producerPauseDuringDrain", "", refused("producers follow a schedule that is fixed before the run; write a scenario with a pause phase")},
		{"messageRateReceivedForSubscription", "", refused("Kafka's consumers cannot filter: a group sees every record")},
	}
	form.decode(o.d, doc.Content[0], "")
}
func boolean(p *bool) leaf {
	var s string
	l := toggle(&s)
	parse := l.parse
	l.parse = func(t string) error { err := parse(t); *p = s == "true"; return err }
	return l
}

// harmless is a key that changes nothing here; instead says what is done.
func (o *omb) harmless(instead string) value { return ignored{o, instead} }

type ignored struct {
	o       *omb
	instead string
}

func (i ignored) decode(_ *decoder, n *yaml.Node, path string) {
	if n.Value != "0" && n.Value != "0.0" {
		i.o.note("%s: %s is not needed here: %s", i.o.file, path, i.instead)
	}
}
func (ignored) encode() *yaml.Node     { return nil }
func (ignored) schema() map[string]any { return map[string]any{} }

type refused string

func (r refused) decode(d *decoder, n *yaml.Node, path string) {
	if n.Value != "0" && n.Value != "100" { // their defaults mean nothing
		d.fault(n, "%s: %s", path, string(r))
	}
}
func (refused) encode() *yaml.Node     { return nil }
func (refused) schema() map[string]any { return map[string]any{} }

var notOfNames = regexp.MustCompile(`[^a-z0-9._-]+`)

func nameFrom(text string) string {
	return strings.Trim(notOfNames.ReplaceAllString(strings.ToLower(text), "-"), "-._")
}

// scenario is the workload and driver in our own words.
func (o *omb) scenario() ([]byte, error) {
	w := &o.w
	name := nameFrom(w.name)
	if name == "" {
		name = nameFrom(strings.TrimSuffix(filepath.Base(o.file), filepath.Ext(o.file)))
	}
	var topics []map[string]any
	for i := range w.topics {
		t := map[string]any{"name": fmt.Sprintf("omb-%04d", i), "partitions": w.partitions, "replicas": o.replicas}
		if len(o.topic) > 0 {
			t["config"] = o.topic
		}
		topics = append(topics, t)
	}
	if total := w.topics * w.partitions; total > load.MaxPartitions {
		return nil, &Faults{[]string{fmt.Sprintf("%s: %d topics of %d partitions are more than the %d partitions that one generator keeps account of",
			o.file, w.topics, w.partitions, load.MaxPartitions)}}
	}
	if w.topics > 1 {
		o.note("all producers and members serve all %d topics; in OpenMessaging Benchmark each serves one", w.topics)
	}
	o.producers["count"] = o.clients("producers", w.producers)
	payload, err := o.payload()
	if err != nil {
		return nil, err
	}
	phases, timeline, err := o.phases()
	if err != nil {
		return nil, err
	}
	keys := map[string]string{"NO_KEY": "none", "KEY_ROUND_ROBIN": "round-robin", "RANDOM_NANO": "uniform"}
	s := map[string]any{
		"name":     name,
		"question": fmt.Sprintf("What does the OpenMessaging Benchmark workload %q come to?", w.name),
		"topics":   topics, "payload": payload, "keys": map[string]any{"distribution": keys[w.keys], "count": ombKeys},
		"producers": o.producers, "phases": phases, "goals": []string{"errors == 0", "ledger.lost == 0"},
	}
	if w.groups > 0 && w.members > 0 {
		o.consumers["groups"], o.consumers["members"] = w.groups, o.clients("members of a group", w.members)
		s["consumers"] = o.consumers
	}
	if len(timeline) > 0 {
		s["timeline"] = timeline
	}
	return yaml.Marshal(s)
}

// clients is how many stand for those of all topics. As each serves every topic,
// few do the work of many: the ledger keeps account of each client on each
// partition.
func (o *omb) clients(noun string, perTopic int) int {
	const most, streams = 64, 1 << 17
	asked := o.w.topics * perTopic
	n := max(1, min(asked, max(perTopic, min(most, streams/(o.w.topics*o.w.partitions)))))
	if n < asked {
		o.note("%d %s do the work of %d: each serves every topic", n, noun, asked)
	}
	return n
}

// ombKeys is how many keys OpenMessaging Benchmark has.
const ombKeys = 10_000

// payload: one record over and over would make every codec look infinite. What
// is sent is different records of the size and the compressibility of theirs.
func (o *omb) payload() (map[string]any, error) {
	w := &o.w
	size, ratio := w.size, 1.0
	switch {
	case w.randomized:
		ratio = 1 / max(w.randomRatio, 0.01)
	case w.payloadFile != "":
		record, err := o.readPayload(w.payloadFile)
		switch {
		case err != nil:
			return nil, err
		case record == nil:
			o.note("payloadFile %s is not here: random bytes stand for it", w.payloadFile)
		default:
			ratio = load.RatioOf(record)
			if size == 0 {
				size = len(record)
			}
			o.note("payloadFile %s is one record of %s; different ones of its size that compress like it are sent", w.payloadFile, knob.FormatBytes(int64(len(record))))
		}
	}
	if size == 0 {
		return nil, &Faults{[]string{o.file + ": messageSize is missing"}}
	}
	ratio = math.Round(min(max(ratio, 1), 100)*100) / 100
	return map[string]any{"generator": "random", "size": strconv.Itoa(size) + "B", "compressibility": ratio}, nil
}

// readPayload looks for a payload file where OpenMessaging Benchmark would have
// it; nil: it is nowhere.
func (o *omb) readPayload(name string) ([]byte, error) {
	for _, dir := range []string{"", filepath.Dir(o.file), filepath.Dir(filepath.Dir(o.file))} {
		f := name
		if !filepath.IsAbs(name) {
			f = filepath.Join(dir, name)
		}
		info, err := os.Stat(f)
		if err != nil {
			continue
		}
		if info.Size() > load.MaxValue || info.Size() == 0 {
			return nil, &Faults{[]string{fmt.Sprintf("%s: payloadFile: a record of %s is outside 1B to %s", f, knob.FormatBytes(info.Size()), knob.FormatBytes(load.MaxValue))}}
		}
		return os.ReadFile(f)
	}
	return nil, nil
}

// phases: a warm-up, the test, and a drain. A backlog is built by groups that do
// not read until it is as large as asked for, and then catch up.
func (o *omb) phases() (phases, timeline []map[string]any, err error) {
	w := &o.w
	length := time.Duration(w.minutes) * time.Minute
	rate, warm := "max", "max"
	scaled := func(r int) string { return formatRate(max(0.1, float64(r)*o.scale)) }
	switch {
	case w.producers == 0:
		return nil, nil, &Faults{[]string{o.file + ": producersPerTopic: 0 producers make no load"}}
	case w.rate == 0:
		o.note("producerRate: 0 asks for the highest rate: this is a closed loop; `millrace search` finds the highest rate that meets its goals")
	case w.incrementRate > 0:
		var steps []string
		for r := w.startRate; r < w.rate && len(steps) < 1000; r += w.incrementRate {
			steps = append(steps, scaled(r))
		}
		steps = append(steps, scaled(w.rate))
		length = time.Duration(len(steps)*w.incrementS) * time.Second
		rate, warm = strings.Join(steps, " then "), steps[0]
	default:
		rate = scaled(w.rate)
		warm = rate
	}
	if w.backlogGB > 0 {
		if w.rate == 0 || w.groups == 0 {
			return nil, nil, &Faults{[]string{o.file + ": consumerBacklogSizeGB: it needs subscriptions, and a producerRate above 0 to know how long it takes to build"}}
		}
		// The size is that of all subscriptions together. Scaling changes it and
		// the rate alike, and so not how long it takes.
		bytes := w.backlogGB * 1e9 / float64(w.groups)
		build := time.Duration(bytes / (float64(w.rate) * float64(max(1, w.size))) * float64(time.Second)).Round(time.Millisecond)
		build = max(build, 100*time.Millisecond)
		length += build
		timeline = append(timeline, map[string]any{"at": "0s", "in": "steady", "do": lagBehind, "for": knob.FormatDuration(build)})
		o.note("the backlog of %.3g GB is built within the first %s of the steady phase, which goes on for %d min after that", w.backlogGB*o.scale, build.Round(time.Second), w.minutes)
	}
	if o.scale != 1 {
		o.note("rates and backlog are %.3g of the workload's", o.scale)
	}
	if w.warmup > 0 {
		phases = append(phases, map[string]any{"warmup": knob.FormatDuration(time.Duration(w.warmup) * time.Minute), "rate": warm})
	}
	return append(phases,
		map[string]any{"steady": knob.FormatDuration(length), "rate": rate},
		map[string]any{"drain": "5m"}), timeline, nil
}
