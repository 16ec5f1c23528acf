package clients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// jvm is one of Kafka's services, which runs until it is killed.
type jvm struct {
	cmd *exec.Cmd
	log *syncBuffer
}

func launchJVM(t *testing.T, jars, class string, args ...string) *jvm {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // Cleanup comes after t.Context is done
	j := &jvm{cmd: exec.CommandContext(ctx, "java", javaArgs(jars, class, args...)...), log: &syncBuffer{}}
	j.cmd.Stdout, j.cmd.Stderr = j.log, j.log
	require.NoError(t, j.cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = j.cmd.Wait()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", class, j.log.tail(8<<10))
		}
	})
	return j
}

func (j *jvm) kill() { _ = j.cmd.Process.Kill(); _ = j.cmd.Wait() }

// properties writes a file of Java's.
func properties(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.properties")
	require.NoError(t, os.WriteFile(path, []byte(lines), 0o644))
	return path
}

var promptly = []string{"--set", "group.initial.rebalance.delay.ms=0", "--set", "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000"}

// TestJavaConnect: Kafka Connect, its three topics, its own group protocol and
// its transactions. A file goes into a topic exactly once, and out of it at
// least once, while the broker and then the worker are killed.
func TestJavaConnect(t *testing.T) {
	for _, k := range extras.Kafka {
		t.Run("java-"+k.Version, func(t *testing.T) {
			t.Parallel()
			data, files := t.TempDir(), t.TempDir()
			b := own(t, data, promptly...)
			free, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			rest := "http://" + free.Addr().String()
			require.NoError(t, free.Close())
			worker := properties(t, fmt.Sprintf(`bootstrap.servers=%s
group.id=workers
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.topic=connect-offsets
offset.storage.replication.factor=1
offset.storage.partitions=5
config.storage.topic=connect-configs
config.storage.replication.factor=1
status.storage.topic=connect-status
status.storage.replication.factor=1
status.storage.partitions=2
offset.flush.interval.ms=1000
scheduled.rebalance.max.delay.ms=0
exactly.once.source.support=enabled
plugin.discovery=service_load
listeners=%s
`, b.addr, rest))
			const class = "org.apache.kafka.connect.cli.ConnectDistributed"
			j := launchJVM(t, k.Jars, class, worker)
			in, out := filepath.Join(files, "in"), filepath.Join(files, "out")
			require.NoError(t, os.WriteFile(in, nil, 0o644))
			connector := func(name, config string) {
				waitFor(t, func() bool {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, rest+"/connectors/"+name+"/config", strings.NewReader(config))
					require.NoError(t, err)
					req.Header.Set("Content-Type", "application/json")
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						return false // it is not up yet
					}
					defer resp.Body.Close()
					return resp.StatusCode < 300
				})
			}
			connector("in", fmt.Sprintf(`{"connector.class":"FileStreamSource","tasks.max":"1","file":%q,"topic":"lines",
				"exactly.once.support":"required","topic.creation.default.replication.factor":"1","topic.creation.default.partitions":"1"}`, in))
			connector("out", fmt.Sprintf(`{"connector.class":"FileStreamSink","tasks.max":"1","file":%q,"topics":"lines"}`, out))

			var want []string
			more := func(n int) {
				f, err := os.OpenFile(in, os.O_APPEND|os.O_WRONLY, 0)
				require.NoError(t, err)
				defer f.Close()
				for range n {
					line := fmt.Sprintf("line %06d", len(want))
					want = append(want, line)
					_, err = fmt.Fprintln(f, line)
					require.NoError(t, err)
				}
			}
			outLines := func() []string {
				text, _ := os.ReadFile(out)
				return strings.Fields(strings.ReplaceAll(string(text), "line ", ""))
			}
			for _, then := range []func(){
				func() {
					require.NoError(t, b.end(syscall.SIGKILL))
					b = own(t, data, append(promptly, "--listen", b.addr)...)
				},
				func() { j.kill(); j = launchJVM(t, k.Jars, class, worker) },
				func() {},
			} {
				more(500)
				waitFor(t, func() bool { return len(outLines()) > len(want)-500 }) // it is under way
				more(500)
				then()
			}
			last := fmt.Sprintf("%06d", len(want)-1)
			waitFor(t, func() bool { ls := outLines(); return len(ls) > 0 && ls[len(ls)-1] == last })
			var got []string
			for _, kv := range committedPairs(t, b.addr, "lines") {
				got = append(got, kv[1])
			}
			require.Equal(t, want, got, "what the source wrote")
			once, seen := []string{}, map[string]bool{}
			for _, l := range outLines() {
				if !seen[l] {
					seen[l] = true
					once = append(once, "line "+l)
				}
			}
			require.Equal(t, want, once, "what the sink read, repetitions left out")
			resp, err := http.Get(rest + "/connectors/in/status")
			require.NoError(t, err)
			defer resp.Body.Close()
			var status struct{ Tasks []struct{ State string } }
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&status))
			require.Len(t, status.Tasks, 1)
			require.Equal(t, "RUNNING", status.Tasks[0].State)
		})
	}
}

// TestJavaMirrorMaker: MirrorMaker 2 copies topics with their settings, and
// groups with their offsets, from one broker to another, exactly once though the
// other is killed.
func TestJavaMirrorMaker(t *testing.T) {
	for _, k := range extras.Kafka {
		t.Run("java-"+k.Version, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			a, b := own(t, t.TempDir(), promptly...), own(t, data, promptly...)
			retention := "7200000"
			_, err := admin(t, a.addr).CreateTopic(bounded(t), 1, 1, map[string]*string{"retention.ms": &retention}, "lines")
			require.NoError(t, err)
			config := properties(t, fmt.Sprintf(`clusters=A,B
A.bootstrap.servers=%s
B.bootstrap.servers=%s
A->B.enabled=true
A->B.topics=lines
B->A.enabled=false
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
config.storage.replication.factor=1
sync.group.offsets.enabled=true
sync.group.offsets.interval.seconds=1
emit.checkpoints.interval.seconds=1
refresh.topics.interval.seconds=1
refresh.groups.interval.seconds=1
sync.topic.configs.interval.seconds=1
sync.topic.acls.enabled=false
B.exactly.once.source.support=enabled
plugin.discovery=service_load
`, a.addr, b.addr))
			launchJVM(t, k.Jars, "org.apache.kafka.connect.mirror.MirrorMaker", config)

			var want []string
			more := func(n int) {
				var ls []string
				for range n {
					ls = append(ls, fmt.Sprintf("line %06d", len(want)+len(ls)))
				}
				values(t, a.addr, "lines", ls...)
				want = append(want, ls...)
			}
			copied := func() (got []string) {
				if !exists(t, b.addr, "A.lines") {
					return nil
				}
				for _, kv := range committedPairs(t, b.addr, "A.lines") {
					got = append(got, kv[1])
				}
				return got
			}
			more(500)
			waitFor(t, func() bool { return len(copied()) > 0 })
			more(500)
			require.NoError(t, b.end(syscall.SIGKILL))
			more(500)
			b = own(t, data, append(promptly, "--listen", b.addr)...)
			more(500)
			waitFor(t, func() bool { return len(copied()) >= len(want) })
			require.Equal(t, want, copied())

			// A group that has read it all here has nothing to read there.
			c := franzClient(t, a.addr, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("lines"), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			for n := 0; n < len(want); {
				fs := c.PollFetches(bounded(t))
				require.NoError(t, fs.Err())
				n += fs.NumRecords()
			}
			require.NoError(t, c.CommitUncommittedOffsets(bounded(t)))
			c.Close()
			waitFor(t, func() bool {
				more(1) // a checkpoint needs offsets that were copied later than the group's
				offsets, err := admin(t, b.addr).FetchOffsets(bounded(t), "readers")
				require.NoError(t, err)
				at, ok := offsets.Lookup("A.lines", 0)
				return ok && at.At > 0
			})
			waitFor(t, func() bool {
				configs, err := admin(t, b.addr).DescribeTopicConfigs(bounded(t), "A.lines")
				require.NoError(t, err)
				return configValue(t, configs, "A.lines", "retention.ms") == retention
			})
		})
	}
}

func exists(t *testing.T, addr, topic string) bool {
	t.Helper()
	topics, err := admin(t, addr).ListTopics(bounded(t))
	require.NoError(t, err)
	return topics.Has(topic)
}
