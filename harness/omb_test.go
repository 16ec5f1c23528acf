package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/results"
)

const workload = `name: 1 producer / 2 consumers, 1 KiB
topics: 2
partitionsPerTopic: 8
keyDistributor: KEY_ROUND_ROBIN
messageSize: 1024
payloadFile: payload/payload-1Kb.data
subscriptionsPerTopic: 2
consumerPerSubscription: 3
producersPerTopic: 1
producerRate: 50000
consumerBacklogSizeGB: 0
testDurationMinutes: 15
`

const driver = `name: Kafka
driverClass: io.openmessaging.benchmark.driver.kafka.KafkaBenchmarkDriver
replicationFactor: 3
reset: true
topicConfig: |
  min.insync.replicas=2
  # a comment
  retention.ms=600000
commonConfig: |
  bootstrap.servers=localhost:9092
  default.api.timeout.ms=600000
producerConfig: |
  acks=all
  linger.ms=1
  batch.size=131072
  compression.type=lz4
  max.in.flight.requests.per.connection=1
  retries=2147483647
consumerConfig: |
  auto.offset.reset=earliest
  enable.auto.commit=false
  max.partition.fetch.bytes=10485760
`

// ombFiles writes both, each with replacements made.
func ombFiles(t *testing.T, old, new string) (w string, o LoadOptions) {
	dir := t.TempDir()
	w, o.Driver = filepath.Join(dir, "workload.yaml"), filepath.Join(dir, "driver.yaml")
	require.Contains(t, workload+driver, old)
	require.NoError(t, os.WriteFile(w, []byte(strings.Replace(workload, old, new, 1)), 0o644))
	require.NoError(t, os.WriteFile(o.Driver, []byte(strings.Replace(driver, old, new, 1)), 0o644))
	return w, o
}

func TestOMB(t *testing.T) {
	file, o := ombFiles(t, "", "")
	o.Scale = "0.1"
	o.Sets = []string{"seed=5"}
	s, err := LoadWith(file, o)
	require.NoError(t, err)
	require.Equal(t, "1-producer-2-consumers-1-kib", s.Name)
	require.Len(t, s.Topics, 2)
	require.Equal(t, Topic{Name: "omb-0001", Partitions: 8, Replicas: 3, Config: map[string]string{"min.insync.replicas": "2", "retention.ms": "600000"}}, s.Topics[1])
	require.Equal(t, Keys{Distribution: "round-robin", Count: 10000, Skew: 1.1}, s.Keys)
	require.Equal(t, Producers{Count: 2, Acks: "all", Linger: time.Millisecond, BatchSize: 128 << 10, Compression: "lz4", Idempotence: "true"}, s.Producers)
	c := s.Consumers
	require.Equal(t, []any{2, 6, "classic", int64(10 << 20)}, []any{c.Groups, c.Members, c.Protocol, c.PartitionBytes})
	require.Equal(t, []string{"warmup", "steady", "drain"}, s.phaseNames())
	require.Equal(t, 15*time.Minute, s.Phases[1].Len)
	require.Equal(t, 5000.0, s.Phases[1].Rate)
	require.EqualValues(t, 1024, s.Payload.Size)
	require.EqualValues(t, 5, s.Seed)
	all := joined(s.remarks)
	for _, want := range []string{"payload/payload-1Kb.data is not here", "0.1 of the workload's", "bootstrap.servers=localhost:9092", "up to 5 under way"} {
		require.Contains(t, all, want)
	}
	resolved, err := parse("again.yaml", s.YAML(), nil)
	require.NoError(t, err)
	resolved.remarks = s.remarks
	require.Equal(t, s, resolved)
	var plan bytes.Buffer
	p, err := s.Plan()
	require.NoError(t, err)
	p.Write(&plan)
	require.Contains(t, plan.String(), "note: payloadFile")
}

func TestOMBVariants(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		check          func(*testing.T, *Scenario)
	}{
		{"highest rate", "producerRate: 50000", "producerRate: 0", func(t *testing.T, s *Scenario) {
			require.True(t, s.Phases[1].closedLoop())
		}},
		{"increments", "producerRate: 50000", "producerRate: 50000\nproducerIncrementRate: 20000", func(t *testing.T, s *Scenario) {
			require.Equal(t, []float64{10000, 30000, 50000}, s.Phases[1].Steps)
			require.Equal(t, 3*time.Minute, s.Phases[1].Len)
		}},
		{"backlog", "consumerBacklogSizeGB: 0", "consumerBacklogSizeGB: 10.24", func(t *testing.T, s *Scenario) {
			require.Equal(t, []Happening{{Do: "lag", In: "steady", For: 100 * time.Second, Count: 1, Group: -1, Cold: "false"}}, s.Timeline)
			require.Equal(t, 15*time.Minute+100*time.Second, s.Phases[1].Len)
		}},
		{"random bytes", "payloadFile: payload/payload-1Kb.data", "useRandomizedPayloads: true\nrandomBytesRatio: 0.5\nrandomizedPayloadPoolSize: 1000", func(t *testing.T, s *Scenario) {
			require.Equal(t, 2.0, s.Payload.Compressibility)
		}},
		{"no consumers", "subscriptionsPerTopic: 2", "subscriptionsPerTopic: 0", func(t *testing.T, s *Scenario) {
			require.Zero(t, s.Consumers.Groups)
		}},
		{"no warm-up", "testDurationMinutes: 15", "testDurationMinutes: 1\nwarmupDurationMinutes: 0", func(t *testing.T, s *Scenario) {
			require.Equal(t, []string{"steady", "drain"}, s.phaseNames())
		}},
		{"acks 1", "acks=all", "acks=1", func(t *testing.T, s *Scenario) {
			require.Equal(t, []any{"1", "false", 1}, []any{s.Producers.Acks, s.Producers.Idempotence, s.Producers.InFlight})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := LoadWith(func() (string, LoadOptions) { return ombFiles(t, c.old, c.new) }())
			require.NoError(t, err)
			c.check(t, s)
		})
	}
}

func TestOMBRefuses(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"topics: 2", "topics: 2\nproducerPauseBeforeDrain: 5", "producerPauseBeforeDrain: producers follow a schedule"},
		{"topics: 2", "topics: 2\nmessageRateReceivedForSubscription: 50", "Kafka's consumers cannot filter"},
		{"keyDistributor", "keyDistributer", `unknown key "keyDistributer" (did you mean "keyDistributor"?)`},
		{"producerRate: 50000", "producerRate: fast", `workload.yaml:10:15: producerRate: "fast" is no whole number`},
		{"KafkaBenchmarkDriver", "X\n# kafka", ""},
		{"driver.kafka.KafkaBenchmarkDriver", "driver.pulsar.PulsarBenchmarkDriver", "the lab speaks the Kafka protocol only"},
		{"acks=all", "acks=all\n  sasl.mechanism=PLAIN", "sasl.mechanism=PLAIN: the lab's clients speak plain text only"},
		{"acks=all", "acks=all\n  transactional.id=x", "it says not how many records make a transaction"},
		{"linger.ms=1", "linger.sm=1", `linger.sm=1: not a setting that the lab's clients have (did you mean "linger.ms"?)`},
		{"acks=all", "acks=some", `producers.acks: "some" is none of all, 1, 0`},
	} {
		file, o := ombFiles(t, c.old, c.new)
		_, err := LoadWith(file, o)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
		require.Equal(t, 2, ExitCode(nil, err), c.want)
	}
	_, err := LoadWith("quickstart", LoadOptions{Driver: "x.yaml"})
	require.ErrorContains(t, err, "this is none")
	file, o := ombFiles(t, "", "")
	o.Scale = "half"
	_, err = LoadWith(file, o)
	require.ErrorContains(t, err, "--scale half: a number above 0")
}

// A workload runs as it is, but for its length.
func TestOMBRuns(t *testing.T) {
	t.Parallel()
	file, o := ombFiles(t, "", "")
	o.Scale = "0.02"
	o.Sets = []string{"phases=[{steady: 1s, rate: 1000/s}, {drain: 20s}]", "broker={group.initial.rebalance.delay.ms: 0ms}"}
	s, err := LoadWith(file, o)
	require.NoError(t, err)
	ro := options(t, s, "child")
	ro.Binary = coreBinary(t)
	run, err := Run(deadline(t), ro)
	require.NoError(t, err)
	require.Equal(t, results.Pass, run.Verdict.Outcome, "%+v %+v", run.Verdict, run.Trial)
	require.EqualValues(t, 1000, run.Trial.Ledger.Acknowledged)
	require.Contains(t, joined(run.Trial.Notes), "3 replicas were asked for, and one broker is measured")
}

// Any scenario can be scaled: rates, and what is asked of the throughput.
func TestScale(t *testing.T) {
	s, err := LoadWith("quickstart", LoadOptions{Scale: "0.1"})
	require.NoError(t, err)
	require.Equal(t, 5000.0, s.Phases[0].Rate)
	require.Equal(t, 5000.0, s.Phases[1].Rate)
	require.Equal(t, "throughput >= 4950/s", s.Goals[0].String())
	require.Equal(t, "ack.p99 <= 20ms", s.Goals[1].String())
}

// Every shape of phase is scaled at each of its points, and what it asks for with
// it; times, closed loops and everything else are left alone.
func TestScaleOfEveryPhase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shapes.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`name: shapes
question: What becomes of each shape?
topics: [{name: a, partitions: 1}]
payload: {size: 100B}
consumers: {groups: 1}
phases:
  - {warmup: 1s, rate: max}
  - {ramp: 10s, rate: 1000/s to 3000/s}
  - {steady: 20s, rate: 2000/s +- 500/s every 5s}
  - {steady: 30s, rate: 100/s then 300/s then 200/s}
  - {burst: 1s, rate: 9000/s}
  - {drain: 5s}
goals: [throughput >= 1990/s in steady, throughput.bytes >= 100KiB/s, consume.throughput >= 0/s, ack.p99 <= 7ms, lag.max <= 5]
abort: [errors > 10]
`), 0o644))
	whole, err := Load(file, nil)
	require.NoError(t, err)
	for _, f := range []float64{0.5, 0.1, 3} {
		s, err := LoadWith(file, LoadOptions{Scale: fmt.Sprint(f)})
		require.NoError(t, err)
		require.Len(t, s.Phases, len(whole.Phases))
		for i, was := range whole.Phases {
			is := s.Phases[i]
			require.Equal(t, was.Len, is.Len)
			require.Equal(t, was.Period, is.Period)
			require.InDelta(t, was.records()*f, is.records(), 3, "phase %s", was.Name)
			for _, at := range []float64{0, 0.1, 0.25, 0.5, 0.75} {
				d := time.Duration(at * float64(was.Len))
				require.InDelta(t, was.rateOver(d, d+was.Len/10)*f, is.rateOver(d, d+was.Len/10), 3, "phase %s at %v", was.Name, d)
			}
		}
		require.InDelta(t, 1990*f, s.Goals[0].Limit, 0.2)
		require.InDelta(t, 102400*f, s.Goals[1].Limit, 1)
		require.Equal(t, whole.Goals[3:], s.Goals[3:])
		require.Equal(t, whole.Abort, s.Abort)
	}
}

// An OpenMessaging workload whose rate climbs in steps, and one that builds a
// backlog, scaled: each step is, the time to build the backlog is not.
func TestScaleOfOMB(t *testing.T) {
	for _, c := range []struct{ old, new, scale, want string }{
		{"producerRate: 50000", "producerRate: 50000\nproducerStartRate: 10000\nproducerIncrementRate: 20000\nproducerIncrementSeconds: 60", "0.1", "1000/s then 3000/s then 5000/s"},
		{"producerRate: 50000", "producerRate: 50000", "0.02", "1000/s"},
	} {
		w, o := ombFiles(t, c.old, c.new)
		o.Scale = c.scale
		s, err := LoadWith(w, o)
		require.NoError(t, err)
		require.Contains(t, string(s.YAML()), "rate: "+c.want)
	}
	w, o := ombFiles(t, "consumerBacklogSizeGB: 0", "consumerBacklogSizeGB: 10")
	lag := func(scale string) (time.Duration, time.Duration) {
		o.Scale = scale
		s, err := LoadWith(w, o)
		require.NoError(t, err)
		require.Len(t, s.Timeline, 1)
		return s.Timeline[0].For, s.steady()[0].Len
	}
	for1, len1 := lag("")
	for2, len2 := lag("0.1")
	require.Equal(t, for1, for2)
	require.Equal(t, len1, len2)
}

// No workload or driver, however broken, does worse than a fault.
func FuzzOMB(f *testing.F) {
	f.Add(workload, driver)
	f.Add("partitionsPerTopic: 1\nproducersPerTopic: 1\nmessageSize: 1\nproducerRate: 1\nproducerIncrementRate: 1\nproducerStartRate: 1", "producerConfig: |\n acks=0")
	f.Add("partitionsPerTopic: 1\nmessageSize: 1\nconsumerBacklogSizeGB: 1e5\nproducerRate: 1", "")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, w, d string) {
		file := filepath.Join(dir, "driver.yaml")
		require.NoError(t, os.WriteFile(file, []byte(d), 0o644))
		text, _, err := ombScenario("w.yaml", []byte(w), LoadOptions{Driver: file})
		if err != nil {
			return
		}
		if s, err := parse("w.yaml", text, nil); err == nil {
			_, err = s.planIn("")
			require.NoError(t, err)
		}
	})
}
