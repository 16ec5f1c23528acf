package clients_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// kcat is librdkafka's own tool, as Debian packages it.
var kcat = client{name: "kcat", codecs: allCodecs, write: kcatWrite, read: kcatRead}

func runKcat(t *testing.T, addr string, stdin []byte, args ...string) []byte {
	t.Helper()
	return command(t, stdin, tool(t, "kcat", "kcat"), append([]string{"-b", addr}, args...)...)
}

// kcatWrite writes three runs: keys, values and empty fields as they are; the
// empty ones as null; and records with headers.
func kcatWrite(t *testing.T, addr, topic, codec string) (wrote []record) {
	write := func(rs []record, args ...string) {
		var in bytes.Buffer
		for i, r := range rs {
			rs[i].Time = 0 // kcat cannot set it
			fmt.Fprintf(&in, "%s\t%s\n", r.Key, r.Value)
		}
		runKcat(t, addr, in.Bytes(), append([]string{"-P", "-q", "-t", topic, "-p", "0", "-z", codec, "-K", "\t"}, args...)...)
		wrote = append(wrote, rs...)
	}
	var plain, null []record
	for _, r := range corpus() {
		switch {
		case len(r.Headers) > 0:
		case len(r.Key) > 0 && len(r.Value) > 0:
			plain = append(plain, r)
		default:
			if len(r.Key) == 0 {
				r.Key = nil
			}
			if len(r.Value) == 0 {
				r.Value = nil
			}
			null = append(null, r)
		}
	}
	write(append(plain, record{Key: []byte{}, Value: []byte{}}))
	write(null, "-Z")
	write([]record{{Key: []byte("h"), Value: []byte("v"), Headers: []header{{"a", []byte("1")}, {"a", []byte("2")}, {"empty", []byte{}}}}},
		"-H", "a=1", "-H", "a=2", "-H", "empty=")
	return wrote
}

func kcatRead(t *testing.T, addr, topic string, from int64, n int) []record {
	return kcatJSON(t, runKcat(t, addr, nil, "-C", "-q", "-J", "-t", topic, "-p", "0", "-o", strconv.FormatInt(from, 10), "-c", strconv.Itoa(n)))
}

// kcatJSON reads the lines of kcat -J.
func kcatJSON(t *testing.T, out []byte) (rs []record) {
	t.Helper()
	for _, line := range bytes.Split(bytes.TrimSpace(out), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var m struct {
			Offset  int64
			TS      int64
			Headers []*string
			Key     *string
			Payload *string
		}
		require.NoError(t, json.Unmarshal(line, &m), "%.200s", line)
		null := func(s *string) []byte {
			if s == nil {
				return nil
			}
			return append([]byte{}, *s...)
		}
		r := record{Offset: m.Offset, Time: m.TS, Key: null(m.Key), Value: null(m.Payload)}
		for i := 0; i+1 < len(m.Headers); i += 2 {
			r.Headers = append(r.Headers, header{*m.Headers[i], null(m.Headers[i+1])})
		}
		rs = append(rs, r)
	}
	return rs
}

// TestKcatOffsets asks for every kind of starting point.
func TestKcatOffsets(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	const t0 = 1_700_000_000_000
	c := franzClient(t, shared(t))
	for i := range 10 {
		r := record{Value: fmt.Appendf(nil, "v%d", i), Time: t0 + int64(i)*1000}
		require.NoError(t, c.ProduceSync(bounded(t), toFranz(topic, r)).FirstErr())
	}
	all := "v0 v1 v2 v3 v4 v5 v6 v7 v8 v9"
	for _, q := range []struct {
		args []string
		want string
	}{
		{[]string{"-o", "beginning"}, all},
		{[]string{"-o", "end"}, ""},
		{[]string{"-o", "4"}, all[4*3:]},
		{[]string{"-o", "-3"}, all[7*3:]},
		{[]string{"-o", "-100"}, all},
		{[]string{"-o", "s@" + strconv.Itoa(t0+5000)}, all[5*3:]},
		{[]string{"-o", "s@" + strconv.Itoa(t0+5001)}, all[6*3:]},
		{[]string{"-o", "s@" + strconv.Itoa(t0+2000), "-o", "e@" + strconv.Itoa(t0+4000)}, "v2 v3"},
	} {
		out := runKcat(t, shared(t), nil, append([]string{"-C", "-q", "-e", "-t", topic, "-p", "0", "-X", "fetch.wait.max.ms=20"}, q.args...)...)
		require.Equal(t, q.want, strings.Join(strings.Fields(string(out)), " "), "%v", q.args)
	}
	for _, q := range []struct {
		ts   int64
		want int64
	}{{-2, 0}, {-1, 10}, {t0, 0}, {t0 + 4500, 5}, {t0 + 9000, 9}, {t0 + 9001, -1}} {
		out := runKcat(t, shared(t), nil, "-Q", "-t", fmt.Sprintf("%s:0:%d", topic, q.ts))
		require.Equal(t, fmt.Sprintf("%s [0] offset %d", topic, q.want), strings.TrimSpace(string(out)), "-Q at %d", q.ts)
	}
}

func TestKcatMetadata(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 3)
	var m struct {
		ControllerID int32
		Brokers      []struct {
			ID   int32
			Name string
		}
		Topics []struct {
			Topic      string
			Error      string
			Partitions []struct {
				Partition, Leader int32
				Replicas, ISRs    []struct{ ID int32 }
			}
		}
	}
	require.NoError(t, json.Unmarshal(runKcat(t, shared(t), nil, "-L", "-J", "-t", topic), &m))
	require.Len(t, m.Brokers, 1)
	require.Equal(t, shared(t), m.Brokers[0].Name)
	require.Equal(t, m.Brokers[0].ID, m.ControllerID)
	require.Len(t, m.Topics, 1)
	require.Equal(t, topic, m.Topics[0].Topic)
	require.Empty(t, m.Topics[0].Error)
	require.Len(t, m.Topics[0].Partitions, 3)
	for _, p := range m.Topics[0].Partitions {
		require.Equal(t, m.Brokers[0].ID, p.Leader)
		require.Len(t, p.Replicas, 1)
		require.Len(t, p.ISRs, 1)
	}
	require.Contains(t, string(runKcat(t, shared(t), nil, "-L")), topic, "all topics")
}

// TestKcatAutoCreate is the first thing anyone tries.
func TestKcatAutoCreate(t *testing.T) {
	topic := topicName(t)
	runKcat(t, shared(t), []byte("hello\nworld\n"), "-P", "-t", topic)
	require.Equal(t, "hello\nworld\n", string(runKcat(t, shared(t), nil, "-C", "-q", "-e", "-t", topic, "-o", "beginning")))
}

// TestKcatAcks covers what librdkafka does without and with idempotence.
func TestKcatAcks(t *testing.T) {
	for name, args := range map[string][]string{
		"0": {"-X", "acks=0"}, "1": {"-X", "acks=1"}, "all": {"-X", "acks=all"},
		"idempotent": {"-X", "enable.idempotence=true"}, "check.crcs": {"-X", "check.crcs=true"},
	} {
		t.Run(name, func(t *testing.T) {
			topic := topicName(t)
			createTopic(t, shared(t), topic, 1)
			runKcat(t, shared(t), []byte("a\nb\nc\n"), append([]string{"-P", "-t", topic}, args...)...)
			require.Equal(t, "a\nb\nc\n", string(runKcat(t, shared(t), nil, "-C", "-q", "-t", topic, "-o", "beginning", "-c", "3", "-X", "check.crcs=true")))
		})
	}
}

// TestKcatCompresses looks at whether the batches really were compressed:
// librdkafka sends them plain, without a word, when it takes the broker for one
// that is too old.
func TestKcatCompresses(t *testing.T) {
	line := strings.Repeat("the same again, ", 1000)
	var in strings.Builder
	for range 50 {
		in.WriteString(line + "\n")
	}
	for _, codec := range allCodecs[1:] {
		topic := topicName(t) + codec
		createTopic(t, shared(t), topic, 1)
		runKcat(t, shared(t), []byte(in.String()), "-P", "-t", topic, "-p", "0", "-z", codec, "-X", "linger.ms=100")
		require.Equal(t, []string{codec}, slices.Compact(storedCodecs(t, shared(t), topic)))
	}
}
