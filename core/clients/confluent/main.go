// Confluent drives a broker with confluent-kafka-go, which is librdkafka under
// cgo. It is a driver as core/clients/driver_test.go describes: one request a
// line in, one answer a line out.
//
// It is a module of its own, so that neither `go build ./...` nor `make test`
// needs a C compiler or this client's many dependencies.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

type request struct {
	Op, Broker, Topic, Codec string
	Records                  []rec
	From                     int64
	N                        int
	Committed                bool
	Group, ID, To            string
	Conf                     map[string]string
}

type rec struct {
	Key     []byte   `json:"key"`
	Value   []byte   `json:"value"`
	Headers [][2]any `json:"headers"`
	Time    int64    `json:"time"`
	Offset  int64    `json:"offset"`
}

type answer map[string]any

// patience bounds every wait.
const patience = 50 * time.Second

var ops = map[string]func(request) (answer, error){
	"hello": hello, "write": write, "read": read, "consume": consume,
	"stream": stream, "transact": transact, "copy": copyTopic, "admin": admin,
}

func main() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		var a answer
		if err = json.Unmarshal(line, &r); err == nil {
			if op := ops[r.Op]; op != nil {
				a, err = op(r)
			} else {
				err = fmt.Errorf("no such op: %s", r.Op)
			}
		}
		if err != nil {
			a = answer{"error": err.Error()}
		}
		if err := out.Encode(a); err != nil {
			return
		}
	}
}

func hello(request) (answer, error) {
	_, librdkafka := kafka.LibraryVersion()
	return answer{
		"client": "confluent-kafka-go", "version": librdkafka,
		"codecs":      []string{"none", "gzip", "snappy", "lz4", "zstd"},
		"can":         []string{"write", "read", "committed", "consume", "static", "pattern", "kip848", "stream", "transact", "copy", "admin"},
		"assignorKey": "partition.assignment.strategy",
		"assignors":   map[string]string{"range": "range", "roundrobin": "roundrobin", "cooperative-sticky": "cooperative-sticky"},
	}, nil
}

func settings(r request, kvs ...any) *kafka.ConfigMap {
	m := kafka.ConfigMap{"bootstrap.servers": r.Broker}
	for i := 0; i < len(kvs); i += 2 {
		m[kvs[i].(string)] = kvs[i+1]
	}
	for k, v := range r.Conf {
		m[k] = v
	}
	return &m
}

// send produces and waits for every acknowledgement.
func send(p *kafka.Producer, ms []*kafka.Message) error {
	acks := make(chan kafka.Event, len(ms))
	for _, m := range ms {
		if err := p.Produce(m, acks); err != nil {
			return err
		}
	}
	for range ms {
		select {
		case e := <-acks:
			if err := e.(*kafka.Message).TopicPartition.Error; err != nil {
				return err
			}
		case <-time.After(patience):
			return errors.New("no acknowledgement")
		}
	}
	return nil
}

func message(topic string, partition int32, value string) *kafka.Message {
	return &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: partition}, Value: []byte(value)}
}

func write(r request) (answer, error) {
	p, err := kafka.NewProducer(settings(r, "compression.type", r.Codec, "linger.ms", 50, "acks", "all"))
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var ms []*kafka.Message
	for _, w := range r.Records {
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &r.Topic}, Key: w.Key, Value: w.Value, Timestamp: time.UnixMilli(w.Time)}
		for _, h := range w.Headers {
			hd := kafka.Header{Key: h[0].(string)}
			if h[1] != nil {
				quoted, _ := json.Marshal(h[1])
				if err := json.Unmarshal(quoted, &hd.Value); err != nil {
					return nil, err
				}
			}
			m.Headers = append(m.Headers, hd)
		}
		ms = append(ms, m)
	}
	return answer{}, send(p, ms)
}

func read(r request) (answer, error) {
	level := "read_uncommitted"
	if r.Committed {
		level = "read_committed"
	}
	c, err := kafka.NewConsumer(settings(r, "group.id", "unused", "enable.auto.commit", false, "isolation.level", level,
		"auto.offset.reset", "error", "fetch.wait.max.ms", 50))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Assign([]kafka.TopicPartition{{Topic: &r.Topic, Offset: kafka.Offset(r.From)}}); err != nil {
		return nil, err
	}
	rs := []rec{}
	for len(rs) < r.N {
		m, err := c.ReadMessage(patience)
		if err != nil {
			return nil, fmt.Errorf("%d of %d records: %w", len(rs), r.N, err)
		}
		w := rec{Key: m.Key, Value: m.Value, Time: m.Timestamp.UnixMilli(), Offset: int64(m.TopicPartition.Offset), Headers: [][2]any{}}
		for _, h := range m.Headers {
			w.Headers = append(w.Headers, [2]any{h.Key, h.Value})
		}
		rs = append(rs, w)
	}
	return answer{"records": rs}, nil
}

func consume(r request) (answer, error) {
	c, err := kafka.NewConsumer(settings(r, "group.id", r.Group, "enable.auto.commit", false, "auto.offset.reset", "earliest",
		"fetch.wait.max.ms", 50, "topic.metadata.refresh.interval.ms", 500))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Subscribe(r.Topic, nil); err != nil {
		return nil, err
	}
	vs := []string{}
	for deadline := time.Now().Add(patience); len(vs) < r.N; {
		m, err := c.ReadMessage(time.Second)
		var ke kafka.Error
		switch {
		case err == nil:
			vs = append(vs, string(m.Value))
		case errors.As(err, &ke) && ke.Code() == kafka.ErrTimedOut && time.Now().Before(deadline):
		default:
			return nil, fmt.Errorf("%d of %d values: %w", len(vs), r.N, err)
		}
	}
	if r.N > 0 {
		if _, err := c.Commit(); err != nil {
			return nil, fmt.Errorf("commit: %w", err)
		}
	}
	return answer{"values": vs}, nil
}

func stream(r request) (answer, error) {
	p, err := kafka.NewProducer(settings(r, "enable.idempotence", true, "linger.ms", 1, "retry.backoff.max.ms", 200, "reconnect.backoff.max.ms", 200))
	if err != nil {
		return nil, err
	}
	defer p.Close()
	acks := make(chan kafka.Event, r.N)
	for i := range r.N {
		if err := p.Produce(message(r.Topic, 0, strconv.Itoa(i)), acks); err != nil {
			return nil, err
		}
		time.Sleep(2 * time.Millisecond)
	}
	for range r.N {
		select {
		case e := <-acks:
			if err := e.(*kafka.Message).TopicPartition.Error; err != nil {
				return nil, err
			}
		case <-time.After(patience):
			return nil, errors.New("no acknowledgement")
		}
	}
	return answer{}, nil
}

func transactional(r request) (*kafka.Producer, error) {
	p, err := kafka.NewProducer(settings(r, "transactional.id", r.ID, "transaction.timeout.ms", 20000))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.InitTransactions(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("init: %w", err)
	}
	return p, nil
}

func transact(r request) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := transactional(r)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for i := range 6 {
		if err := p.BeginTransaction(); err != nil {
			return nil, err
		}
		if err := send(p, []*kafka.Message{message(r.Topic, 0, fmt.Sprint("value ", i))}); err != nil {
			return nil, err
		}
		if i%2 == 0 {
			err = p.CommitTransaction(ctx)
		} else {
			err = p.AbortTransaction(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	second, err := transactional(r)
	if err != nil {
		return nil, err
	}
	defer second.Close()
	err = p.BeginTransaction()
	if err == nil {
		err = send(p, []*kafka.Message{message(r.Topic, 0, "zombie")})
	}
	if err == nil {
		err = p.CommitTransaction(ctx)
	}
	if err == nil {
		return answer{"fenced": ""}, nil
	}
	return answer{"fenced": err.Error()}, nil
}

func copyTopic(r request) (answer, error) {
	c, err := kafka.NewConsumer(settings(r, "group.id", r.Group, "enable.auto.commit", false, "auto.offset.reset", "earliest",
		"isolation.level", "read_committed", "session.timeout.ms", 6000, "fetch.wait.max.ms", 50))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.Subscribe(r.Topic, nil); err != nil {
		return nil, err
	}
	p, err := transactional(r)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for {
		m, err := c.ReadMessage(time.Second)
		if err != nil {
			var ke kafka.Error
			if errors.As(err, &ke) && ke.IsFatal() {
				return nil, err
			}
			continue
		}
		if err := p.BeginTransaction(); err != nil {
			return nil, err
		}
		for n := 1; m != nil; n++ {
			if err := p.Produce(message(r.To, 0, string(m.Value)), nil); err != nil {
				return nil, err
			}
			if n == 20 {
				break
			}
			m, _ = c.ReadMessage(20 * time.Millisecond)
		}
		at, err := c.Assignment()
		if err == nil {
			at, err = c.Position(at)
		}
		if err != nil {
			return nil, err
		}
		meta, err := c.GetConsumerGroupMetadata()
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		for err = p.SendOffsetsToTransaction(ctx, at, meta); retriable(err); {
			err = p.SendOffsetsToTransaction(ctx, at, meta)
		}
		if err == nil {
			for err = p.CommitTransaction(ctx); retriable(err); {
				err = p.CommitTransaction(ctx)
			}
		}
		cancel()
		if err != nil {
			return nil, err // the test starts another
		}
	}
}

func retriable(err error) bool {
	var ke kafka.Error
	return errors.As(err, &ke) && ke.IsRetriable()
}

func admin(r request) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := kafka.NewAdminClient(settings(r))
	if err != nil {
		return nil, err
	}
	defer a.Close()
	create := func() (kafka.Error, error) {
		rs, err := a.CreateTopics(ctx, []kafka.TopicSpecification{{Topic: r.Topic, NumPartitions: 2, ReplicationFactor: 1,
			Config: map[string]string{"retention.ms": "7200000"}}})
		if err != nil {
			return kafka.Error{}, err
		}
		return rs[0].Error, nil
	}
	first, err := create()
	if err != nil {
		return nil, err
	}
	again, err := create()
	if err != nil {
		return nil, err
	}
	configs, err := a.DescribeConfigs(ctx, []kafka.ConfigResource{{Type: kafka.ResourceTopic, Name: r.Topic}})
	if err != nil {
		return nil, err
	}
	if _, err := a.CreatePartitions(ctx, []kafka.PartitionsSpecification{{Topic: r.Topic, IncreaseTo: 4}}); err != nil {
		return nil, err
	}
	described, err := a.DescribeTopics(ctx, kafka.NewTopicCollectionOfTopicNames([]string{r.Topic}))
	if err != nil {
		return nil, err
	}
	listed := func() (bool, error) {
		m, err := a.GetMetadata(nil, true, int(patience.Milliseconds()))
		if err != nil {
			return false, err
		}
		_, ok := m.Topics[r.Topic]
		return ok, nil
	}
	before, err := listed()
	if err != nil {
		return nil, err
	}
	deleted, err := a.DeleteTopics(ctx, []string{r.Topic})
	if err != nil {
		return nil, err
	}
	after, err := listed()
	return answer{
		"created": first.Code() == kafka.ErrNoError, "createdAgain": strings.ToLower(again.Code().String()),
		"retention": configs[0].Config["retention.ms"].Value, "partitions": len(described.TopicDescriptions[0].Partitions),
		"listed": before, "deleted": deleted[0].Error.Code() == kafka.ErrNoError, "listedAfterwards": after,
	}, err
}
