package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/results"
)

// ledger is a topic of two partitions with records at 18:00:00, :01, …, and what
// billing has committed of it.
func ledger(t *testing.T, b administered) *kgo.Client {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	b.ok("topic create ledger --partitions 2")
	for i := range 20 {
		at := time.Date(2026, 1, 31, 18, 0, i/2, 0, time.UTC)
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "ledger", Partition: int32(i % 2), Timestamp: at, Value: []byte("v")}).FirstErr())
	}
	return cl
}

// TestResetOffsets: every way to say where to, on both sides of --execute.
func TestResetOffsets(t *testing.T) {
	b := startForAdmin(t)
	a := kadm.NewClient(ledger(t, b))
	committed := func() map[int32]int64 {
		got, err := a.FetchOffsets(t.Context(), "billing")
		require.NoError(t, err)
		at := map[int32]int64{}
		got.Each(func(o kadm.OffsetResponse) { at[o.Partition] = o.At })
		return at
	}
	b.ok("topic delete-records ledger --partition 1 --before 2")

	require.Regexp(t, `ledger\s+0\s+-1\s+4\nledger\s+1\s+-1\s+4`, b.ok("group reset-offsets billing --topic ledger --to-offset 4"))
	require.Empty(t, committed(), "a dry run commits nothing")
	code, _, stderr := b.do("group reset-offsets billing --topic ledger --to-offset 4 --dry-run")
	require.Zero(t, code)
	require.Contains(t, stderr, "--execute")

	for _, c := range []struct {
		to   string
		want map[int32]int64
	}{
		{"--topic ledger --to-offset 4", map[int32]int64{0: 4, 1: 4}},
		{"--topic ledger:1 --to-latest", map[int32]int64{0: 4, 1: 10}},
		{"--topic ledger:0 --shift-by -3", map[int32]int64{0: 1, 1: 10}},
		{"--all-topics --shift-by 2", map[int32]int64{0: 3, 1: 10}}, // not beyond the end
		{"--topic ledger --to-current", map[int32]int64{0: 3, 1: 10}},
		{"--topic ledger --to-earliest", map[int32]int64{0: 0, 1: 2}},
		{"--topic ledger --to-datetime 2026-01-31T18:00:05.000", map[int32]int64{0: 5, 1: 5}},
		{"--topic ledger --to-datetime 2026-01-31T20:00:07+02:00", map[int32]int64{0: 7, 1: 7}},
		{"--topic ledger --to-offset 1", map[int32]int64{0: 1, 1: 2}}, // not before the first
		{"--topic ledger:0 --topic other --to-offset 99", nil},
		{"--topic ledger --to-offset 99", map[int32]int64{0: 10, 1: 10}},
		{"--topic ledger --by-duration P50000D", map[int32]int64{0: 0, 1: 2}},
		{"--topic ledger --by-duration 1s", map[int32]int64{0: 10, 1: 10}}, // none since: the end
	} {
		line := "group reset-offsets billing " + c.to + " --execute"
		if c.want == nil {
			before := committed()
			b.fails(line, results.ExitError, "other: UNKNOWN_TOPIC_OR_PARTITION")
			require.Equal(t, before, committed())
			continue
		}
		b.ok(line)
		require.Equal(t, c.want, committed(), c.to)
	}
	b.fails("group reset-offsets billing --topic ledger:7 --to-latest", results.ExitError, "ledger partition 7: UNKNOWN_TOPIC_OR_PARTITION")
	b.fails("group reset-offsets fresh --topic ledger --shift-by 1", results.ExitError, "use --to-earliest")
	b.fails("group reset-offsets fresh --all-topics --to-latest", results.ExitError, "name topics with --topic")
	_, _, stderr = b.do("group reset-offsets billing --topic ledger --to-offset 99")
	require.Contains(t, stderr, "99 is not within 2 to 10: 10 is taken")
}

// TestResetFromFile: what --export prints is what --from-file reads.
func TestResetFromFile(t *testing.T) {
	b := startForAdmin(t)
	ledger(t, b)
	b.ok("group reset-offsets billing --topic ledger --to-offset 4 --execute")
	out := b.ok("group reset-offsets billing --all-topics --shift-by 1 --export")
	require.Equal(t, "ledger,0,5\nledger,1,5\n", out)
	file := filepath.Join(t.TempDir(), "offsets.csv")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write(out)
	b.ok("group reset-offsets billing --from-file " + file + " --execute")
	require.Contains(t, b.ok("group describe billing"), "lag 10")
	write("\"billing\",\"ledger\",1,7\n") // as Kafka's tool writes it
	var plan []resetRow
	require.NoError(t, json.Unmarshal([]byte(b.ok("group reset-offsets billing --from-file "+file+" --json")), &plan))
	require.Equal(t, []resetRow{{"ledger", 1, 5, 7}}, plan)
	for text, want := range map[string]string{
		"":                         "no offsets in it",
		"ledger,0\n":               "offsets.csv:1: want TOPIC,PARTITION,OFFSET",
		"ledger,0,1\nledger,x,1\n": `offsets.csv:2: "x" is no partition`,
		"ledger,0,-1\n":            `"-1" is no offset`,
		"ledger,\"0\n":             "offsets.csv: ",
	} {
		write(text)
		b.fails("group reset-offsets billing --from-file "+file, results.ExitUsage, want)
	}
}

// TestResetUsage: what is asked for wrongly is said before anything is done.
func TestResetUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--topic t":                                 "say where to",
		"--to-latest":                               "--all-topics",
		"--topic t --to-latest --to-earliest":       "choose one",
		"--topic t --all-topics --to-latest":        "choose one",
		"--topic t --to-latest --dry-run --execute": "choose one",
		"--topic t --to-latest --export --json":     "choose one",
		"--topic t:x --to-latest":                   `"x" is no partition`,
		"--topic t: --to-latest":                    `"" is no partition`,
		"--topic :1 --to-latest":                    "want TOPIC",
		"--topic t:1 --topic t:2 --to-latest":       "named twice",
		"--topic t --to-offset -4":                  "none below 0",
		"--topic t --to-datetime yesterday":         "want a time such as",
		"--topic t --by-duration P":                 "want a time such as",
		"--topic t --by-duration -1h":               "want a time such as",
		"--topic t --by-duration P9999999999D":      "too long",
		"--topic t --from-file x":                   "leave out --topic",
		"--from-file no-such-file.csv":              "no-such-file.csv",
	} {
		code, _, stderr := millrace(append([]string{"group", "reset-offsets", "billing"}, strings.Fields(args)...)...)
		require.Equal(t, results.ExitUsage, code, args)
		require.Contains(t, stderr, want, args)
	}
}

func TestParseAgo(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "P1D": 24 * time.Hour, "PT1H30M": 90 * time.Minute, "P2DT3H4M5.5S": 51*time.Hour + 4*time.Minute + 5500*time.Millisecond, "pt1s": time.Second,
	} {
		got, err := parseAgo(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

// TestActiveGroup: what members say of it, of either type, and that nobody takes
// their offsets from under them.
func TestActiveGroup(t *testing.T) {
	for name, opts := range map[string][]kgo.Opt{
		"classic":  {kgo.InstanceID("till-1")},
		"consumer": {kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			b := startForAdmin(t)
			ledger(t, b)
			b.ok("group reset-offsets billing --topic ledger --to-earliest --execute")
			b.ok("topic create other")
			b.ok("group reset-offsets billing --topic other --to-earliest --execute")
			cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("ledger"),
				kgo.ClientID("till"), kgo.DisableAutoCommit())...)
			require.NoError(t, err)
			defer cl.Close()
			for read := 0; read < 20; {
				fetches := cl.PollFetches(ctx)
				require.NoError(t, fetches.Err())
				read += fetches.NumRecords()
			}
			require.Regexp(t, `billing\s+Stable\s+`+name+`\s.*\s1\s+1 \(127`, b.ok("group state billing"))
			require.Regexp(t, `till\s+/127.0.0.1\s+2\s+ledger:0,1`, b.ok("group members billing"))
			var members []memberRow
			require.NoError(t, json.Unmarshal([]byte(b.ok("group members billing --json")), &members))
			require.Len(t, members, 1)
			require.Equal(t, map[string][]int32{"ledger": {0, 1}}, members[0].Assigned)
			require.Equal(t, name == "classic", members[0].Instance == "till-1")
			require.Contains(t, b.ok("group list --type "+name), "billing  Stable")
			require.Contains(t, b.ok("group list --state stable,empty"), "billing")
			require.NotContains(t, b.ok("group list --state empty"), "billing")

			b.fails("group reset-offsets billing --topic ledger --to-earliest", results.ExitError, "Stable with 1 member(s): stop them first")
			b.fails("group delete-offsets billing --topic ledger", results.ExitError, "GROUP_SUBSCRIBED_TO_TOPIC")
			require.Regexp(t, `other\s+0\s+true`, b.ok("group delete-offsets billing --topic other"))
			b.fails("group delete-offsets billing --topic other", results.ExitError, "nothing for other")
			if name == "classic" { // a static member does not leave by closing
				_, err := kadm.NewClient(cl).LeaveGroup(ctx, kadm.LeaveGroup("billing").InstanceIDs("till-1").Reason("the test is over"))
				require.NoError(t, err)
			}
			cl.Close()
			require.Regexp(t, `ledger\s+1\s+true`, b.ok("group delete-offsets billing --topic ledger:1"))
			require.Regexp(t, `ledger\s+0\s+0\s+10`, b.ok("group reset-offsets billing --all-topics --to-latest --execute"))
		})
	}
	b := startForAdmin(t)
	for _, line := range []string{"members billing", "state billing", "delete-offsets billing --topic t"} {
		b.fails("group "+line, results.ExitError, "GROUP_ID_NOT_FOUND")
	}
	b.fails("group delete-offsets billing", results.ExitUsage, "--topic")
}
