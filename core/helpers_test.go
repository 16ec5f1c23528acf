package core

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
	"millrace/core/wire"
)

// patience bounds every wait of a test; none of them is a measurement.
const patience = 20 * time.Second

// testConfig is a broker on any free port with a directory of its own.
func testConfig(t testing.TB) Config {
	cfg := Defaults()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	cfg.Logger = testLogger(t)
	cfg.Group.InitialDelay = 0 // nobody comes later in a test
	cfg.Txn.Partitions = 2
	return cfg
}

// testLogger keeps what the broker says for a test that fails.
func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a line after the test's end is lost
	w.t.Logf("%s", p)
	return len(p), nil
}

func start(t testing.TB, cfg Config) *Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := Start(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, b) })
	return b
}

func stop(t testing.TB, b *Broker) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// peer is a client that encodes with kmsg and knows no better.
type peer struct {
	t    testing.TB
	conn net.Conn
	next int32
}

func dial(t testing.TB, b *Broker) *peer {
	t.Helper()
	return dialAddr(t, b.Addr())
}

func dialAddr(t testing.TB, addr string) *peer {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return &peer{t: t, conn: c}
}

// send sends a request without waiting for its answer.
func (p *peer) send(req kmsg.Request) {
	p.t.Helper()
	p.next++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, p.next)
	require.NoError(p.t, p.conn.SetDeadline(time.Now().Add(patience)))
	_, err := p.conn.Write(frame)
	require.NoError(p.t, err)
}

// read reads one frame.
func (p *peer) read() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(p.conn, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(p.conn, b)
	return b, err
}

// receive reads the answer to req.
func (p *peer) receive(req kmsg.Request, correlation int32) kmsg.Response {
	p.t.Helper()
	frame, err := p.read()
	require.NoError(p.t, err, "%s v%d", kmsg.NameForKey(req.Key()), req.GetVersion())
	got, body, err := wire.ParseResponseHeader(frame, req.Key(), req.GetVersion())
	require.NoError(p.t, err)
	require.Equal(p.t, correlation, got)
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	require.NoError(p.t, resp.ReadFrom(body), "%s v%d", kmsg.NameForKey(req.Key()), req.GetVersion())
	// kmsg ignores what it does not expect; an answer with bytes left over
	// would be one in another version's form.
	again := resp.AppendTo(nil)
	require.Len(p.t, body, len(again), "%s v%d: bytes left over", kmsg.NameForKey(req.Key()), req.GetVersion())
	return resp
}

func (p *peer) ask(req kmsg.Request) kmsg.Response {
	p.t.Helper()
	p.send(req)
	return p.receive(req, p.next)
}

// ask1 is ask with the answer's type.
func ask[R kmsg.Response](p *peer, version int16, req kmsg.Request) R {
	p.t.Helper()
	req.SetVersion(version)
	return p.ask(req).(R)
}

// requireClosed reads until the broker closes the connection.
func (p *peer) requireClosed() {
	p.t.Helper()
	require.NoError(p.t, p.conn.SetDeadline(time.Now().Add(patience)))
	_, err := p.conn.Read(make([]byte, 1))
	var timeout net.Error
	require.Error(p.t, err)
	require.False(p.t, errors.As(err, &timeout) && timeout.Timeout(), "the connection stayed open")
}

// oneBatch is a produced batch.
func oneBatch(t testing.TB, o batching.Options, values ...string) []byte {
	t.Helper()
	builder := batching.NewBuilder(o)
	for i, v := range values {
		require.NoError(t, builder.Append(time.Now().UnixMilli()+int64(i), []byte("k"), []byte(v), nil))
	}
	b, err := builder.Build(nil)
	require.NoError(t, err)
	return b
}

func createTopic(t testing.TB, p *peer, name string, partitions int32, configs ...string) [16]byte {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, -1
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], kmsg.StringPtr(configs[i+1])
		topic.Configs = append(topic.Configs, c)
	}
	req.Topics = append(req.Topics, topic)
	resp := ask[*kmsg.CreateTopicsResponse](p, 7, req)
	require.Len(t, resp.Topics, 1)
	require.Zero(t, resp.Topics[0].ErrorCode, "%v", deref(resp.Topics[0].ErrorMessage))
	return resp.Topics[0].TopicID
}

func deref(s *string) string {
	if s == nil {
		return "(null)"
	}
	return *s
}

// produceRequest asks to append one batch.
func produceRequest(topic string, partition int32, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, records
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// produceOne appends one batch and answers the partition's part of the answer.
func produceOne(p *peer, topic string, partition int32, records []byte) kmsg.ProduceResponseTopicPartition {
	p.t.Helper()
	resp := ask[*kmsg.ProduceResponse](p, 9, produceRequest(topic, partition, -1, records))
	return resp.Topics[0].Partitions[0]
}

func mustProduce(p *peer, topic string, partition int32, values ...string) int64 {
	p.t.Helper()
	got := produceOne(p, topic, partition, oneBatch(p.t, batching.Options{}, values...))
	require.Zero(p.t, got.ErrorCode, "%v", deref(got.ErrorMessage))
	return got.BaseOffset
}

// fetchRequest asks for one partition by name.
func fetchRequest(topic string, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 0, 1, 50<<20
	req.SessionEpoch = -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = partition, offset, 1<<20, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func fetchOne(p *peer, topic string, partition int32, offset int64) kmsg.FetchResponseTopicPartition {
	p.t.Helper()
	resp := ask[*kmsg.FetchResponse](p, 12, fetchRequest(topic, partition, offset))
	return resp.Topics[0].Partitions[0]
}

// values reads the records out of the bytes of a fetch.
func values(t testing.TB, b []byte) (out []string) {
	t.Helper()
	for len(b) > 0 {
		batch, err := batching.View(b)
		require.NoError(t, err)
		require.NoError(t, batch.CheckCRC())
		for r, err := range batch.Records(0) {
			require.NoError(t, err)
			out = append(out, string(r.Value))
		}
		b = b[batch.Size():]
	}
	return out
}
