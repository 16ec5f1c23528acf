package batching_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// How each client is made to send a golden's records as one batch.

func sendFranz(ctx context.Context, addr string, g golden) error {
	codec := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[g.Codec]
	opts := []kgo.Opt{kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(200 * time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	if g.Transactional {
		opts = append(opts, kgo.TransactionalID("golden"))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if g.Transactional {
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
	}
	var records []*kgo.Record
	for _, r := range g.Records {
		k := &kgo.Record{Timestamp: time.UnixMilli(r.Timestamp), Key: r.key(), Value: r.value()}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: bytesOf(h.Value)})
		}
		records = append(records, k)
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	if g.Transactional {
		return cl.EndTransaction(ctx, kgo.TryCommit)
	}
	return nil
}

func sendSarama(_ context.Context, addr string, g golden) error {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Flush.Messages = len(g.Records)
	c.Producer.Flush.Frequency = 5 * time.Second
	c.Producer.Compression = map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}[g.Codec]
	if g.Idempotent {
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1
	}
	p, err := sarama.NewSyncProducer([]string{addr}, c)
	if err != nil {
		return err
	}
	defer p.Close()
	encoder := func(b []byte) sarama.Encoder {
		if b == nil {
			return nil
		}
		return sarama.ByteEncoder(b)
	}
	var messages []*sarama.ProducerMessage
	for _, r := range g.Records {
		m := &sarama.ProducerMessage{Topic: "t", Timestamp: time.UnixMilli(r.Timestamp), Key: encoder(r.key()), Value: encoder(r.value())}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: bytesOf(h.Value)})
		}
		messages = append(messages, m)
	}
	return p.SendMessages(messages)
}

func sendKafkaGo(ctx context.Context, addr string, g golden) error {
	w := &kafka.Writer{Addr: kafka.TCP(addr), Topic: "t", BatchSize: len(g.Records), BatchTimeout: 5 * time.Second,
		RequiredAcks: kafka.RequireAll, Transport: &kafka.Transport{},
		Compression: map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}[g.Codec]}
	defer w.Close()
	var messages []kafka.Message
	for _, r := range g.Records {
		m := kafka.Message{Time: time.UnixMilli(r.Timestamp), Key: r.key(), Value: r.value()}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: bytesOf(h.Value)})
		}
		messages = append(messages, m)
	}
	return w.WriteMessages(ctx, messages...)
}

// kcat reads keys and values from lines and has one set of headers for all. It
// takes an empty line's parts for empty strings, or for nulls with -Z.

func kcatMixed() []goldenRecord {
	headers := []goldenHeader{{"trace", str("abc")}, {"a", str("1")}, {"a", str("2")}}
	return []goldenRecord{
		{Key: str("k1"), Value: str("v1"), Headers: headers},
		{Key: str(""), Value: str(`{"id" 1}`), Headers: headers},
		{Key: str("k3"), Value: str(""), Headers: headers},
		{Key: str("kü"), Value: str(strings.Repeat("abcdefghij", 40)), Headers: headers},
	}
}

func kcatNulls() []goldenRecord {
	return []goldenRecord{{Key: str("tombstone")}, {Value: str("no key")}, {Key: str("k"), Value: str(strings.Repeat("v", 200))}}
}

func kcatLarge() []goldenRecord { return []goldenRecord{{Lines: 500}, {Lines: 700}, {Lines: 1}} }

func kcatLines(g golden) string {
	var b strings.Builder
	for _, r := range g.Records {
		fmt.Fprintf(&b, "%s:%s\n", r.key(), r.value())
	}
	return b.String()
}

func sendKcat(ctx context.Context, addr string, g golden) error {
	args := []string{"-K:"}
	for _, h := range g.Records[0].Headers {
		args = append(args, "-H", h.Key+"="+*h.Value)
	}
	if g.Idempotent {
		args = append(args, "-X", "enable.idempotence=true")
	}
	return kcatProduce(ctx, addr, g, kcatLines(g), args...)
}

func sendKcatNulls(ctx context.Context, addr string, g golden) error {
	return kcatProduce(ctx, addr, g, kcatLines(g), "-K:", "-Z")
}

func sendKcatFiles(ctx context.Context, addr string, g golden) error {
	dir, err := os.MkdirTemp("", "golden")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var files []string
	for i, r := range g.Records {
		f := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(f, r.value(), 0o600); err != nil {
			return err
		}
		files = append(files, f)
	}
	return kcatProduce(ctx, addr, g, "", files...)
}

func kcatProduce(ctx context.Context, addr string, g golden, stdin string, args ...string) error {
	args = append([]string{"-P", "-b", addr, "-t", "t", "-p", "0", "-X", "linger.ms=500",
		"-X", "compression.codec=" + g.Codec}, args...)
	_, err := runClient(ctx, stdin, "kcat", args...)
	return err
}

func librdkafkaVersion() string {
	out, _ := exec.Command("kcat", "-V").CombinedOutput()
	if m := regexp.MustCompile(`librdkafka ([0-9.]+)`).FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return "?"
}

func runClient(ctx context.Context, stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, errs.String())
	}
	return out.String(), nil
}

// Kafka's own client runs testdata/java/Client.java.

func sendJava(ctx context.Context, addr string, g golden) error {
	txid := "-"
	if g.Transactional {
		txid = "golden"
	}
	_, err := runClient(ctx, javaLines(g.Records), "java", "-cp", *javaCP, "testdata/java/Client.java",
		"produce", addr, "t", g.Codec, strconv.FormatBool(g.Idempotent), txid)
	return err
}

// javaLines is records as Client.java reads and writes them.
func javaLines(records []goldenRecord) string {
	field := func(b []byte) string {
		if b == nil {
			return "-"
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%d\t%s\t%s", r.Timestamp, field(r.key()), field(r.value()))
		for _, h := range r.Headers {
			fmt.Fprintf(&b, "\t%s\t%s", field([]byte(h.Key)), field(bytesOf(h.Value)))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
