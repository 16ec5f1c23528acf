package batching_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

var (
	update = flag.Bool("update", false, "take the goldens anew from the clients, and have those outside this process read our batches")
	javaCP = flag.String("java-classpath", "", "with -update: class path of Kafka's Java client; without it its goldens stay as they are")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *update {
		if err := updateGoldens(); err != nil {
			fmt.Fprintln(os.Stderr, "update:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// updateGoldens runs every client against a fake cluster and keeps the batch of
// each, after a decoder that is not ours has found in it what was sent.
func updateGoldens() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var all []golden
	for _, shoot := range shots() {
		g := shoot.golden
		g.File = strings.Join([]string{strings.Fields(g.Client)[0], g.Codec, shoot.name}, "-") + ".bin"
		raw, err := captureOne(ctx, shoot)
		if err != nil {
			return fmt.Errorf("%s: %w", g.File, err)
		}
		if err := compareIndependently(g, raw); err != nil {
			return fmt.Errorf("%s: %w", g.File, err)
		}
		if err := os.WriteFile(filepath.Join(goldenDir, g.File), raw, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%-40s %6d bytes, %d records\n", g.File, len(raw), len(g.Records))
		all = append(all, g)
	}
	if *javaCP == "" {
		kept, err := keptGoldens("java")
		if err != nil {
			return err
		}
		all = append(all, kept...)
	}
	slices.SortFunc(all, func(a, b golden) int { return cmp.Compare(a.File, b.File) })
	raw, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(goldenDir, "manifest.json"), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return outsideClientsRead(ctx)
}

// keptGoldens is the manifest's entries of one client.
func keptGoldens(client string) ([]golden, error) {
	raw, err := os.ReadFile(filepath.Join(goldenDir, "manifest.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []golden
	err = json.Unmarshal(raw, &all)
	return slices.DeleteFunc(all, func(g golden) bool { return !strings.HasPrefix(g.Client, client+" ") }), err
}

// shot is one golden to take: what to expect of it, and how to make the client
// send it to the topic "t", partition 0, as one batch.
type shot struct {
	golden
	name string
	send func(ctx context.Context, addr string, g golden) error
}

func str(s string) *string { return &s }

const goldenTime = 1_700_000_000_000

// mixed has what an encoder can get wrong: nulls, empties, headers, time that
// runs backwards, a value long enough for a two-byte length.
func mixed() []goldenRecord {
	return []goldenRecord{
		{Timestamp: goldenTime, Key: str("k1"), Value: str("v1"), Headers: []goldenHeader{{"trace", str("abc")}}},
		{Timestamp: goldenTime + 5, Value: str(`{"id":1,"user":"ann","ok":true}`)},
		{Timestamp: goldenTime - 3, Key: str("tombstone")},
		{Timestamp: goldenTime, Key: str(""), Value: str("")},
		{Timestamp: goldenTime + 100_000, Key: str("kü"), Value: str(strings.Repeat("abcdefghij", 40)),
			Headers: []goldenHeader{{"a", str("1")}, {"a", str("2")}, {"empty", str("")}, {"null", nil}, {"", str("no name")}}},
		{Timestamp: goldenTime + 7},
	}
}

// large needs more than one block of each codec that has blocks.
func large() []goldenRecord {
	return []goldenRecord{
		{Timestamp: goldenTime, Lines: 500},
		{Timestamp: goldenTime + 1, Key: str("second"), Lines: 700},
		{Timestamp: goldenTime + 2, Lines: 1},
	}
}

func shots() []shot {
	var all []shot
	add := func(client, codec, name string, records []goldenRecord, send func(context.Context, string, golden) error, flags string) {
		all = append(all, shot{
			golden: golden{Client: client, Codec: codec, Records: records,
				Idempotent: strings.Contains(flags, "i"), Transactional: strings.Contains(flags, "t")},
			name: name, send: send})
	}
	kgoV, saramaV, kafkaGoV := "franz-go "+moduleVersion("github.com/twmb/franz-go"),
		"sarama "+moduleVersion("github.com/IBM/sarama"), "kafka-go "+moduleVersion("github.com/segmentio/kafka-go")
	rdV := "librdkafka " + librdkafkaVersion() + " (kcat)"
	for _, c := range batching.Codecs() {
		codec := c.String()
		add(kgoV, codec, "mixed", mixed(), sendFranz, "i")
		add(saramaV, codec, "mixed", mixed(), sendSarama, "")
		add(kafkaGoV, codec, "mixed", mixed(), sendKafkaGo, "")
		add(rdV, codec, "mixed", kcatMixed(), sendKcat, "")
		add(rdV, codec, "nulls", kcatNulls(), sendKcatNulls, "")
		if c != batching.None {
			add(kgoV, codec, "large", large(), sendFranz, "i")
			add(saramaV, codec, "large", large(), sendSarama, "")
			add(kafkaGoV, codec, "large", large(), sendKafkaGo, "")
			add(rdV, codec, "large", kcatLarge(), sendKcatFiles, "")
		}
		if *javaCP != "" {
			add("java "+javaVersion(), codec, "mixed", mixed(), sendJava, "i")
			if c != batching.None {
				add("java "+javaVersion(), codec, "large", large(), sendJava, "")
			}
		}
	}
	add(kgoV, "lz4", "transaction", mixed(), sendFranz, "it")
	add(saramaV, "snappy", "idempotent", mixed(), sendSarama, "i")
	add(rdV, "zstd", "idempotent", kcatMixed(), sendKcat, "i")
	if *javaCP != "" {
		add("java "+javaVersion(), "snappy", "transaction", mixed(), sendJava, "it")
	}
	return all
}

func moduleVersion(path string) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output()
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(out))
}

func javaVersion() string {
	if m := regexp.MustCompile(`kafka-clients-([0-9.]+)\.jar`).FindStringSubmatch(*javaCP + " " + strings.Join(globbed(*javaCP), " ")); m != nil {
		return m[1]
	}
	return "?"
}

func globbed(pattern string) []string {
	files, _ := filepath.Glob(pattern)
	return files
}

// captureOne runs a shot against a fresh cluster and returns the one batch that
// came.
func captureOne(ctx context.Context, s shot) ([]byte, error) {
	c, addr, err := fakeCluster()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var mu sync.Mutex
	var got [][]byte
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				got = append(got, bytes.Clone(p.Records))
			}
		}
		return nil, nil, false
	})
	if err := s.send(ctx, addr, s.golden); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 1 {
		return nil, fmt.Errorf("%d batches came, want 1", len(got))
	}
	return got[0], nil
}

// fakeCluster is one broker with the topic "t" of one partition. It says that
// it speaks every API from version 0: librdkafka takes a least Produce version
// above that for a broker that cannot compress.
func fakeCluster() (*kfake.Cluster, string, error) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		return nil, "", err
	}
	addr := c.ListenAddrs()[0]
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		c.Close()
		return nil, "", err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, cl)
	if err != nil {
		c.Close()
		return nil, "", err
	}
	keys := resp.ApiKeys
	for i := range keys {
		keys[i].MinVersion = 0
	}
	c.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if req.GetVersion() > 3 {
			return nil, nil, false // answered with the older form to fall back to
		}
		r := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		r.ApiKeys = keys
		return r, nil, true
	})
	return c, addr, nil
}

// compareIndependently decodes a batch with franz-go's decoders and compares it
// with what was sent.
func compareIndependently(g golden, raw []byte) error {
	records, err := decodeWithKmsg(raw)
	if err != nil {
		return err
	}
	if len(records) != len(g.Records) {
		return fmt.Errorf("%d records, want %d", len(records), len(g.Records))
	}
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	for i, r := range records {
		want := g.Records[i]
		if !same(r.Key, want.key()) || !same(r.Value, want.value()) || len(r.Headers) != len(want.Headers) {
			return fmt.Errorf("record %d is %+v, want %+v", i, r, want)
		}
		for j, h := range r.Headers {
			if h.Key != want.Headers[j].Key || !same(h.Value, bytesOf(want.Headers[j].Value)) {
				return fmt.Errorf("record %d header %d is %+v, want %+v", i, j, h, want.Headers[j])
			}
		}
	}
	return nil
}

// decodeWithKmsg reads a batch with franz-go's decoders alone.
func decodeWithKmsg(raw []byte) ([]kmsg.Record, error) {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		return nil, err
	}
	rest, err := kgo.DefaultDecompressor().Decompress(b.Records, kgo.CompressionCodecType(b.Attributes&7))
	if err != nil {
		return nil, err
	}
	records := make([]kmsg.Record, b.NumRecords)
	for i := range records {
		if err := records[i].ReadFrom(rest); err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		rest = rest[varintLen(rest)+int(records[i].Length):]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes left over", len(rest))
	}
	return records, nil
}

func varintLen(b []byte) int {
	n := 1
	for b[n-1] >= 0x80 {
		n++
	}
	return n
}
