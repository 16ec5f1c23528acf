package batching_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"millrace/batching"
)

// The other direction: what the Builder makes, read by real clients through a
// fake cluster that stores the bytes as they are.

// built is records as the Builder makes a batch of them.
func built(o batching.Options, records []goldenRecord) ([]byte, error) {
	b := batching.NewBuilder(o)
	for _, r := range records {
		var headers []batching.Header
		for _, h := range r.Headers {
			headers = append(headers, batching.Header{Key: []byte(h.Key), Value: bytesOf(h.Value)})
		}
		if err := b.Append(r.Timestamp, r.key(), r.value(), headers); err != nil {
			return nil, err
		}
	}
	return b.Build(nil)
}

// store produces one batch of each codec to the fake cluster.
func store(ctx context.Context, addr string, records []goldenRecord) error {
	// Up to Produce v11: the later ones ask for the topic's id.
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(kversion.V3_9_0()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, c := range batching.Codecs() {
		raw, err := built(batching.Options{Codec: c}, records)
		if err != nil {
			return err
		}
		p := kmsg.NewProduceRequestTopicPartition()
		p.Records = raw
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic, topic.Partitions = "t", []kmsg.ProduceRequestTopicPartition{p}
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis, req.Topics = -1, 5000, []kmsg.ProduceRequestTopic{topic}
		resp, err := req.RequestWith(ctx, cl.SeedBrokers()[0])
		if err != nil {
			return err
		}
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			return fmt.Errorf("%v: %w", c, kerr.ErrorForCode(code))
		}
	}
	return nil
}

// reader consumes count records of topic "t", partition 0, and gives them as
// Client.java's lines.
type reader struct {
	name string
	read func(ctx context.Context, addr string, count int) (string, error)
}

func TestClientsReadWhatTheBuilderMakes(t *testing.T) {
	for _, r := range []reader{{"franz-go", readFranz}, {"sarama", readSarama}, {"kafka-go", readKafkaGo}} {
		t.Run(r.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			require.NoError(t, clientReads(ctx, r))
		})
	}
}

// outsideClientsRead is the same with the clients that are programs of their
// own.
func outsideClientsRead(ctx context.Context) error {
	readers := []reader{{"kcat", readKcat}}
	if *javaCP != "" {
		readers = append(readers, reader{"java", readJava})
	}
	for _, r := range readers {
		if err := clientReads(ctx, r); err != nil {
			return fmt.Errorf("%s reads the Builder's batches: %w", r.name, err)
		}
	}
	return nil
}

func clientReads(ctx context.Context, r reader) error {
	c, addr, err := fakeCluster()
	if err != nil {
		return err
	}
	defer c.Close()
	records := append(mixed(), large()...)
	if err := store(ctx, addr, records); err != nil {
		return err
	}
	want := strings.Repeat(javaLines(records), len(batching.Codecs()))
	got, err := r.read(ctx, addr, len(records)*len(batching.Codecs()))
	if err != nil {
		return err
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i, w := range wantLines {
		if i >= len(gotLines) || gotLines[i] != w {
			return fmt.Errorf("record %d of %v: got %.200q, want %.200q", i%len(records),
				batching.Codec(i/len(records)), append(gotLines, "")[min(i, len(gotLines))], w)
		}
	}
	return nil
}

func readFranz(ctx context.Context, addr string, count int) (string, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return "", err
	}
	defer cl.Close()
	var got []goldenRecord
	for len(got) < count {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return javaLines(got), err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			g := goldenRecord{Timestamp: r.Timestamp.UnixMilli(), Key: strOf(r.Key), Value: strOf(r.Value)}
			for _, h := range r.Headers {
				g.Headers = append(g.Headers, goldenHeader{h.Key, strOf(h.Value)})
			}
			got = append(got, g)
		})
	}
	return javaLines(got), nil
}

func strOf(b []byte) *string {
	if b == nil {
		return nil
	}
	return str(string(b))
}

func readSarama(ctx context.Context, addr string, count int) (string, error) {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	consumer, err := sarama.NewConsumer([]string{addr}, c)
	if err != nil {
		return "", err
	}
	defer consumer.Close()
	p, err := consumer.ConsumePartition("t", 0, sarama.OffsetOldest)
	if err != nil {
		return "", err
	}
	defer p.Close()
	var got []goldenRecord
	for len(got) < count {
		select {
		case <-ctx.Done():
			return javaLines(got), ctx.Err()
		case e := <-p.Errors():
			return javaLines(got), e
		case m := <-p.Messages():
			g := goldenRecord{Timestamp: m.Timestamp.UnixMilli(), Key: strOf(m.Key), Value: strOf(m.Value)}
			for _, h := range m.Headers {
				g.Headers = append(g.Headers, goldenHeader{string(h.Key), strOf(h.Value)})
			}
			got = append(got, g)
		}
	}
	return javaLines(got), nil
}

func readKafkaGo(ctx context.Context, addr string, count int) (string, error) {
	cl := &kafka.Client{Addr: kafka.TCP(addr), Transport: &kafka.Transport{}}
	var got []goldenRecord
	for len(got) < count {
		resp, err := cl.Fetch(ctx, &kafka.FetchRequest{Topic: "t", Partition: 0, Offset: int64(len(got)),
			MinBytes: 1, MaxBytes: 10 << 20, MaxWait: time.Second})
		if err == nil {
			err = resp.Error
		}
		if err != nil {
			return javaLines(got), err
		}
		for {
			r, err := resp.Records.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return javaLines(got), err
			}
			if r.Offset < int64(len(got)) {
				continue // the batch began before the offset asked for
			}
			key, err := kafka.ReadAll(r.Key)
			if err != nil {
				return javaLines(got), err
			}
			value, err := kafka.ReadAll(r.Value)
			if err != nil {
				return javaLines(got), err
			}
			g := goldenRecord{Timestamp: r.Time.UnixMilli(), Key: strOf(key), Value: strOf(value)}
			for _, h := range r.Headers {
				g.Headers = append(g.Headers, goldenHeader{h.Key, strOf(h.Value)})
			}
			got = append(got, g)
		}
	}
	return javaLines(got), nil
}

func readKcat(ctx context.Context, addr string, count int) (string, error) {
	out, err := runClient(ctx, "", "kcat", "-C", "-b", addr, "-t", "t", "-p", "0", "-o", "beginning", "-e", "-q", "-J", "-X", "check.crcs=true")
	if err != nil {
		return "", err
	}
	var got []goldenRecord
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var m struct {
			TS           int64
			Key, Payload *string
			Headers      []*string
		}
		if err := dec.Decode(&m); err != nil {
			return "", err
		}
		g := goldenRecord{Timestamp: m.TS, Key: m.Key, Value: m.Payload}
		for i := 0; i+1 < len(m.Headers); i += 2 {
			g.Headers = append(g.Headers, goldenHeader{*m.Headers[i], m.Headers[i+1]})
		}
		got = append(got, g)
	}
	return javaLines(got), nil
}

func readJava(ctx context.Context, addr string, count int) (string, error) {
	return runClient(ctx, "", "java", "-cp", *javaCP, "testdata/java/Client.java", "consume", addr, "t", strconv.Itoa(count))
}
