package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/core"
	"millrace/results"
)

// administered is a broker, and the command line pointed at it.
type administered struct {
	*core.Broker
	t *testing.T
}

func startForAdmin(t *testing.T) administered {
	cfg := core.Defaults()
	cfg.Listen, cfg.DataDir, cfg.Logger, cfg.Group.InitialDelay = "127.0.0.1:0", t.TempDir(), slog.New(slog.DiscardHandler), 0
	b, err := core.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Stop(context.Background())) })
	return administered{b, t}
}

func (b administered) do(line string) (code int, stdout, stderr string) {
	b.t.Helper()
	code, stdout, stderr = millrace(append(strings.Fields(line), "--bootstrap", b.Addr())...)
	for _, l := range strings.Split(stdout, "\n") {
		require.True(b.t, len([]rune(l)) <= 80 || strings.HasSuffix(line, "--json"), "%s: %s", line, l)
	}
	return code, stdout, stderr
}

func (b administered) ok(line string) string {
	b.t.Helper()
	code, stdout, stderr := b.do(line)
	require.Zero(b.t, code, "%s: %s", line, stderr)
	return stdout
}

func (b administered) fails(line string, code int, want string) {
	b.t.Helper()
	got, _, stderr := b.do(line)
	require.Equal(b.t, code, got, line)
	require.Contains(b.t, stderr, want, line)
}

// TestAdministration: topics, settings and groups from the command line, against
// a broker over its socket.
func TestAdministration(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b := startForAdmin(t)
	ok, fails := b.ok, b.fails

	long := strings.Repeat("long-name-", 20)
	require.Contains(t, ok("topic create events --partitions 3 --set retention.ms=1000"), "events  3")
	ok("topic create " + long)
	fails("topic create events", results.ExitError, "TOPIC_ALREADY_EXISTS")
	fails("topic create other --set retention.ms", results.ExitUsage, "write NAME=VALUE")
	require.Contains(t, ok("topic list"), "…")
	var topics []topicRow
	require.NoError(t, json.Unmarshal([]byte(ok("topic list --json")), &topics))
	require.Len(t, topics, 2)
	require.Equal(t, "events", topics[0].Name)
	require.Equal(t, 3, topics[0].Partitions)
	require.Equal(t, long, topics[1].Name)

	ok("topic alter events --partitions 4 --set segment.bytes=65536 --unset retention.ms")
	fails("topic alter events", results.ExitUsage, "nothing to alter")
	fails("topic alter events --partitions 2", results.ExitError, "INVALID_PARTITIONS")
	fails("topic alter events --set retention.ms=soon", results.ExitError, "INVALID_CONFIG")
	fails("topic alter nothing --set retention.ms=1", results.ExitError, "UNKNOWN_TOPIC_OR_PARTITION")
	shown := ok("config topic events")
	require.Regexp(t, `segment.bytes\s+65536\s+dynamic_topic_config`, shown)
	require.NotContains(t, shown, "retention.ms")
	require.Regexp(t, `retention.ms\s+604800000\s+default_config`, ok("config topic events --all"))
	require.Regexp(t, `retention.ms\s+7\s+dynamic`, ok("config topic events --set retention.ms=7"))
	require.Contains(t, ok("config broker 1 --all"), "num.partitions")
	fails("config broker 1 --set num.partitions=3", results.ExitError, "INVALID_REQUEST")
	fails("config broker one", results.ExitUsage, "no broker's id")

	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("events"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	defer cl.Close()
	for range 5 {
		require.NoError(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "events", Partition: 1, Value: []byte("v")}).FirstErr())
	}
	require.Regexp(t, `1\s+1\s+0\s+\[1\]\s+0\s+5`, ok("topic describe events"))
	fails("topic describe nothing", results.ExitError, "UNKNOWN_TOPIC_OR_PARTITION")

	for read := 0; read < 5; {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		read += fetches.NumRecords()
	}
	require.NoError(t, cl.CommitUncommittedOffsets(ctx))
	require.Contains(t, ok("group list"), "billing  Stable")
	require.Contains(t, ok("group describe billing"), "Stable, members 1, lag 0")
	fails("group delete billing", results.ExitError, "NON_EMPTY_GROUP")
	cl.Close()
	ok("group reset-offsets billing --topic events --to-offset 3 --execute")
	var described struct {
		Detail []lagRow `json:"detail"`
	}
	require.NoError(t, json.Unmarshal([]byte(ok("group describe billing --json")), &described))
	require.Contains(t, described.Detail, lagRow{Topic: "events", Partition: 1, Committed: 3, End: 5, Lag: 2})
	require.Contains(t, ok("group delete billing"), "billing")
	fails("group delete billing", results.ExitError, "GROUP_ID_NOT_FOUND")
	describesConsumerGroup(t, b.Addr(), ok)

	require.Regexp(t, `1\s+2`, ok("topic delete-records events --partition 1 --before 2"))
	fails("topic delete-records events --partition 1 --before 99", results.ExitError, "OFFSET_OUT_OF_RANGE")
	fails("topic delete-records events", results.ExitUsage, "--partition")
	require.Regexp(t, `1\s+5`, ok("topic delete-records events --partition 1 --before -1"))
	require.Contains(t, ok("topic delete events"), "events")
	fails("topic delete events", results.ExitError, "UNKNOWN_TOPIC_OR_PARTITION")
	require.NotContains(t, ok("topic list"), "events")
}

func TestAdminHelpHasExamples(t *testing.T) {
	root, _ := newRoot(nil, nil)
	for _, name := range []string{"topic", "group", "config"} {
		cmd, _, err := root.Find([]string{name})
		require.NoError(t, err)
		require.Contains(t, cmd.Example, "millrace "+name)
		_, listing, _ := millrace(name, "--help")
		for _, l := range strings.Split(listing, "\n") {
			require.LessOrEqual(t, len([]rune(l)), 80, "%s: %s", name, l)
		}
		for _, child := range cmd.Commands() {
			require.Contains(t, child.Example, "millrace "+name+" "+child.Name())
			code, stdout, _ := millrace(name, child.Name(), "--help")
			require.Zero(t, code)
			for _, l := range strings.Split(stdout, "\n") {
				require.LessOrEqual(t, len([]rune(l)), 80, "%s %s: %s", name, child.Name(), l)
			}
		}
	}
}

// describesConsumerGroup: a group whose partitions the broker assigns is shown as
// any other.
func describesConsumerGroup(t *testing.T, addr string, ok func(string) string) {
	ctx := t.Context()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumerGroup("fresh"), kgo.ConsumeTopics("events"), kgo.ClientID("reader"),
		kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	for read := 0; read < 5; {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		read += fetches.NumRecords()
	}
	shown := ok("group describe fresh")
	require.Contains(t, shown, "Stable, members 1, lag 5")
	require.Regexp(t, `events\s+1\s+-1\s+5\s+5\s+reader /127.0.0.1`, shown)
	require.NoError(t, cl.CommitUncommittedOffsets(ctx))
	cl.Close()
	shown = ok("group describe fresh")
	require.Contains(t, shown, "Empty, members 0, lag 0")
	require.Regexp(t, `events\s+1\s+5\s+5\s+0`, shown)
	require.Contains(t, ok("group delete fresh"), "fresh")
}

// TestDescribeOfflinePartition: a partition whose disk failed is shown among the
// others, and hides none of them.
func TestDescribeOfflinePartition(t *testing.T) {
	cfg := core.Defaults()
	cfg.Listen, cfg.DataDir, cfg.Logger = "127.0.0.1:0", t.TempDir(), slog.New(slog.DiscardHandler)
	b, err := core.Start(t.Context(), cfg)
	require.NoError(t, err)
	administered{b, t}.ok("topic create t --partitions 2")
	require.NoError(t, b.Stop(context.Background()))
	segment := filepath.Join(cfg.DataDir, "t-1", "00000000000000000000.log")
	require.NoError(t, os.Remove(segment))
	require.NoError(t, os.Mkdir(segment, 0o755))

	b, err = core.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Stop(context.Background()) })
	out := administered{b, t}.ok("topic describe t")
	require.Regexp(t, `(?m)^0 +1 .* 0 +0 *$`, out)
	require.Regexp(t, `(?m)^1 +-1 .* - +- +no leader`, out)
}

// TestWrongFlagNamesItsCommand: the help to look at is the command's own.
func TestWrongFlagNamesItsCommand(t *testing.T) {
	code, _, stderr := millrace("topic", "describe", "t", "--broker", "x")
	require.Equal(t, results.ExitUsage, code)
	require.Contains(t, stderr, "see: millrace topic describe --help")
}
