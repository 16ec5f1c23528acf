package clients_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// javaFlags keep a JVM that runs for a second from warming up for an hour.
var javaFlags = []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=java/log4j2.properties"}

// javaArgs is what runs one of Kafka's programs with one release's jars.
func javaArgs(jars, class string, args ...string) []string {
	return append(append(slices.Clone(javaFlags), "-cp", jars, class), args...)
}

// eachKafka runs a test for every installed release of Kafka's own programs.
func eachKafka(t *testing.T, f func(t *testing.T, version string, run func(stdin []byte, class string, args ...string) string)) {
	for _, k := range extras.Kafka {
		t.Run("java-"+k.Version, func(t *testing.T) {
			t.Parallel()
			f(t, k.Version, func(stdin []byte, class string, args ...string) string {
				t.Helper()
				return string(command(t, stdin, "java", javaArgs(k.Jars, class, args...)...))
			})
		})
	}
}

const tools = "org.apache.kafka.tools."

// numbered is n lines, and what a reader of them prints.
func numbered(n int) (lines []string, in []byte) {
	for i := range n {
		lines = append(lines, fmt.Sprint("line ", i))
	}
	return lines, []byte(strings.Join(lines, "\n") + "\n")
}

// TestJavaConsole: Kafka's console producer and consumer, in five codecs.
func TestJavaConsole(t *testing.T) {
	eachKafka(t, func(t *testing.T, version string, run func([]byte, string, ...string) string) {
		b := "--bootstrap-server=" + shared(t)
		producer := tools + "ConsoleProducer"
		if strings.HasPrefix(version, "3.") {
			producer = "kafka.tools.ConsoleProducer"
		}
		topic, n := topicName(t), 100
		createTopic(t, shared(t), topic, 1)
		var want []string
		for _, codec := range allCodecs {
			wrote, in := numbered(n)
			run(in, producer, b, "--topic", topic, "--compression-codec", codec)
			want = append(want, wrote...)
			require.Contains(t, storedCodecs(t, shared(t), topic), codec)
		}
		out := run(nil, tools+"consumer.ConsoleConsumer", b, "--topic", topic, "--from-beginning",
			"--max-messages", strconv.Itoa(len(want)), "--timeout-ms", "30000")
		require.Equal(t, want, strings.Split(strings.TrimSpace(out), "\n"))
	})
}

// TestJavaPerformance: the two programs that everyone measures with.
func TestJavaPerformance(t *testing.T) {
	eachKafka(t, func(t *testing.T, _ string, run func([]byte, string, ...string) string) {
		topic, addr := topicName(t), shared(t)
		createTopic(t, addr, topic, 3)
		out := run(nil, tools+"ProducerPerformance", "--topic", topic, "--num-records", "100000", "--record-size", "200", "--throughput", "-1",
			"--producer-props", "bootstrap.servers="+addr)
		require.Contains(t, out, "100000 records sent")
		out = run(nil, tools+"ConsumerPerformance", "--bootstrap-server", addr, "--topic", topic, "--messages", "100000", "--timeout", "30000")
		rows := strings.Split(strings.TrimSpace(out), "\n")
		cells := strings.Split(rows[len(rows)-1], ", ")
		require.Greater(t, len(cells), 4, out)
		require.Equal(t, "100000", cells[4], "data.consumed.in.nMsg of %s", out)
		require.Contains(t, run(nil, tools+"EndToEndLatency", addr, topic, "50", "all", "100"), "Percentiles")
	})
}

// TestJavaVerifiable: the programs that Kafka's own system tests count with.
func TestJavaVerifiable(t *testing.T) {
	eachKafka(t, func(t *testing.T, version string, run func([]byte, string, ...string) string) {
		topic, addr := topicName(t), shared(t)
		createTopic(t, addr, topic, 1)
		const n = 1000
		out := run(nil, tools+"VerifiableProducer", "--topic", topic, "--max-messages", strconv.Itoa(n), "--bootstrap-server", addr)
		type event struct {
			Name        string
			Sent, Acked int
			Count       int
		}
		events := func(out string) (es []event) {
			for line := range strings.SplitSeq(strings.TrimSpace(out), "\n") {
				var e event
				if json.Unmarshal([]byte(line), &e) == nil {
					es = append(es, e)
				}
			}
			return es
		}
		sent := events(out)
		require.Equal(t, event{Name: "tool_data", Sent: n, Acked: n}, sent[len(sent)-1], out)
		consumer := []string{"--topic", topic, "--group-id", topic, "--max-messages", strconv.Itoa(n), "--bootstrap-server", addr}
		if strings.HasPrefix(version, "3.") {
			consumer = append(consumer, "--reset-policy", "earliest")
		}
		consumed := 0
		for _, e := range events(run(nil, tools+"VerifiableConsumer", consumer...)) {
			if e.Name == "records_consumed" {
				consumed += e.Count
			}
		}
		require.Equal(t, n, consumed)

		// Moves it all in transactions, of which it aborts some.
		createTopic(t, addr, topic+"-copy", 1)
		run(nil, tools+"TransactionalMessageCopier", "--consumer-group", topic+"-copier", "--input-topic", topic, "--input-partition", "0",
			"--output-topic", topic+"-copy", "--broker-list", addr, "--max-messages", strconv.Itoa(n), "--transaction-size", "50",
			"--transactional-id", topic, "--enable-random-aborts", "--group-mode")
		var want []string
		for _, r := range franzRead(t, addr, topic, 0, n) {
			want = append(want, string(r.Value))
		}
		require.Equal(t, want, readCommitted(t, addr, topic+"-copy", 1)[0])
	})
}

// TestJavaAdmin: what administrators type, and what it prints.
func TestJavaAdmin(t *testing.T) {
	eachKafka(t, func(t *testing.T, version string, run func([]byte, string, ...string) string) {
		topic, addr := topicName(t), shared(t)
		b := "--bootstrap-server=" + addr
		topics := func(args ...string) string { return run(nil, tools+"TopicCommand", append(args, b)...) }
		topics("--create", "--topic", topic, "--partitions", "2", "--config", "retention.ms=7200000", "--config", "cleanup.policy=delete")
		topics("--create", "--topic", topic, "--if-not-exists")
		topics("--alter", "--topic", topic, "--partitions", "4")
		described := topics("--describe", "--topic", topic)
		require.Contains(t, described, "PartitionCount: 4")
		require.Contains(t, described, "retention.ms=7200000")
		require.Contains(t, described, "Leader: 1")
		require.Contains(t, strings.Fields(topics("--list")), topic)
		require.NotContains(t, topics("--describe", "--under-replicated-partitions"), topic)
		require.NotContains(t, topics("--describe", "--unavailable-partitions"), topic)

		configs := func(args ...string) string { return run(nil, "kafka.admin.ConfigCommand", append(args, b)...) }
		configs("--alter", "--topic", topic, "--add-config", "max.message.bytes=2000000,segment.bytes=1048576", "--delete-config", "retention.ms")
		got := configs("--describe", "--topic", topic)
		require.Contains(t, got, "max.message.bytes=2000000")
		require.Contains(t, got, "segment.bytes=1048576")
		require.NotContains(t, got, "retention.ms")
		require.Contains(t, configs("--describe", "--all", "--entity-type", "brokers", "--entity-name", "1"), "log.retention")

		configs("--alter", "--entity-type", "clients", "--entity-name", topic, "--add-config", "producer_byte_rate=1048576")
		require.Contains(t, configs("--describe", "--entity-type", "clients", "--entity-name", topic), "producer_byte_rate=1048576")
		configs("--alter", "--entity-type", "clients", "--entity-name", topic, "--delete-config", "producer_byte_rate")
		run(nil, tools+"LeaderElectionCommand", b, "--election-type", "preferred", "--topic", topic, "--partition", "0")

		wrote := writeTo(t, addr, topic, "v", 100)
		ends := run(nil, tools+"GetOffsetShell", b, "--topic", topic)
		sum := 0
		for line := range strings.SplitSeq(strings.TrimSpace(ends), "\n") {
			n, err := strconv.Atoi(line[strings.LastIndex(line, ":")+1:])
			require.NoError(t, err, ends)
			sum += n
		}
		require.Equal(t, len(wrote), sum)
		file := filepath.Join(t.TempDir(), "records.json")
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `{"partitions":[{"topic":%q,"partition":0,"offset":5}],"version":1}`, topic), 0o600))
		require.Contains(t, run(nil, tools+"DeleteRecordsCommand", b, "--offset-json-file", file), "low_watermark: 5")
		require.Contains(t, run(nil, tools+"LogDirsCommand", b, "--describe", "--topic-list", topic), topic+"-3")
		require.Contains(t, run(nil, tools+"ClusterTool", "cluster-id", b), "Cluster ID: ")
		versions := tools + "BrokerApiVersionsCommand"
		if strings.HasPrefix(version, "3.") {
			versions = "kafka.admin.BrokerApiVersionsCommand"
		}
		require.Contains(t, run(nil, versions, b), "Produce(0): 0 to ")

		groups := func(args ...string) string {
			return run(nil, tools+"consumer.group.ConsumerGroupCommand", append(args, b, "--timeout", "20000")...)
		}
		franzMember()(t, addr, topic, topic, 95)
		require.Contains(t, strings.Fields(groups("--list")), topic)
		require.Contains(t, strings.Fields(groups("--describe", "--group", topic, "--state")), "Empty")
		require.Contains(t, groups("--describe", "--group", topic, "--offsets"), topic)
		require.Contains(t, groups("--reset-offsets", "--to-earliest", "--execute", "--group", topic, "--topic", topic), "NEW-OFFSET")
		require.Len(t, franzMember()(t, addr, topic, topic, 95), 95, "once more, from where the log starts")
		require.Contains(t, groups("--delete-offsets", "--group", topic, "--topic", topic), "Successful")
		require.Contains(t, groups("--delete", "--group", topic), "was successful")

		require.Contains(t, run(nil, tools+"TransactionsCommand", b, "list"), "TransactionalId")
		topics("--delete", "--topic", topic)
		require.NotContains(t, strings.Fields(topics("--list")), topic)
	})
}

// TestJavaStreams: Kafka Streams counts words, exactly once, while it and the
// broker are killed, and once its state is lost as well. Each word's committed
// counts are 1, 2, 3 and so on: nothing was counted twice or left out.
func TestJavaStreams(t *testing.T) {
	for _, k := range extras.Kafka {
		t.Run("java-"+k.Version, func(t *testing.T) {
			t.Parallel()
			dir, state := t.TempDir(), t.TempDir()
			set := []string{"--set", "group.initial.rebalance.delay.ms=0", "--set", "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000"}
			b := own(t, dir, set...)
			addr := b.addr
			createTopic(t, addr, "lines", 2)
			createTopic(t, addr, "counts", 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var (
				run *exec.Cmd
				log syncBuffer
			)
			launch := func() {
				run = exec.CommandContext(ctx, "java", javaArgs(k.Classes+":"+k.Jars, "WordCount", addr, "lines", "counts", state)...)
				run.Stderr, run.Stdout = &log, &log
				require.NoError(t, run.Start())
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the application's log:\n%s", log.tail(8<<10))
				}
			})
			kill := func() { require.NoError(t, run.Process.Kill()); _ = run.Wait() }
			launch()

			words := []string{"log", "batch", "fetch", "offset", "epoch", "segment", "leader"}
			want := map[string]int{}
			random := rand.New(rand.NewPCG(1, 2))
			total := 0
			for round, then := range []func(){
				kill, // and again on the state that it has
				func() { require.NoError(t, b.end(syscall.SIGKILL)); b = own(t, dir, append(set, "--listen", addr)...) },
				func() { kill(); require.NoError(t, os.RemoveAll(state)) }, // and again from the changelog
				func() {},
			} {
				var lines []*kgo.Record
				for range 200 {
					var line []string
					for range 5 {
						w := words[random.IntN(len(words))]
						line = append(line, w)
						want[w]++
						total++
					}
					lines = append(lines, &kgo.Record{Topic: "lines", Value: []byte(strings.Join(line, " "))})
				}
				c := franzClient(t, addr)
				require.NoError(t, c.ProduceSync(bounded(t), lines[:100]...).FirstErr())
				before := endOf(t, addr, "counts")
				waitFor(t, func() bool { return endOf(t, addr, "counts") > before+50 })
				require.NoError(t, c.ProduceSync(bounded(t), lines[100:]...).FirstErr())
				c.Close()
				then() // in the middle of the second half
				if run.ProcessState != nil {
					launch()
				}
				t.Logf("round %d: %d words so far, %d counts", round, total, endOf(t, addr, "counts"))
			}
			counts := map[string][]int{}
			waitFor(t, func() bool {
				clear(counts)
				n := 0
				for _, kv := range committedPairs(t, addr, "counts") {
					counts[kv[0]] = append(counts[kv[0]], int(binary.BigEndian.Uint64([]byte(kv[1]))))
					n++
				}
				return n >= total
			})
			kill()
			for w, n := range want {
				require.Len(t, counts[w], n, w)
				for i, c := range counts[w] {
					require.Equal(t, i+1, c, "%s: %v", w, counts[w])
				}
			}
			require.Len(t, counts, len(want))
			require.NoError(t, b.end(syscall.SIGTERM))
		})
	}
}

// committedPairs are the keys and values of partition 0 as far as it is decided.
func committedPairs(t *testing.T, addr, topic string) (kvs [][2]string) {
	t.Helper()
	ends, err := admin(t, addr).ListCommittedOffsets(bounded(t), topic)
	require.NoError(t, err)
	end, _ := ends.Lookup(topic, 0)
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for at := int64(0); at < end.Offset; {
		fs := c.PollFetches(ctx)
		require.NoError(t, fs.Err0())
		fs.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if !r.Attrs.IsControl() {
				kvs = append(kvs, [2]string{string(r.Key), string(bytes.Clone(r.Value))})
			}
		})
	}
	return kvs
}
