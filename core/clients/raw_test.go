package clients_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// raw is a connection of bytes, for what no client would send.
type raw struct {
	t *testing.T
	net.Conn
}

func dial(t *testing.T) raw {
	t.Helper()
	c, err := net.Dial("tcp", shared(t))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return raw{t, c}
}

func frame(req kmsg.Request, correlationID int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, correlationID)
}

func (r raw) send(b []byte) {
	r.t.Helper()
	_, err := r.Write(b)
	require.NoError(r.t, err)
}

// answer reads one frame: the correlation id, and what follows it.
func (r raw) answer() (correlationID int32, rest []byte) {
	r.t.Helper()
	var size [4]byte
	_, err := io.ReadFull(r, size[:])
	require.NoError(r.t, err)
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err = io.ReadFull(r, b)
	require.NoError(r.t, err)
	return int32(binary.BigEndian.Uint32(b)), b[4:]
}

// closed wants the broker to close the connection without a further word.
func (r raw) closed(why string) {
	r.t.Helper()
	b, err := io.ReadAll(r)
	require.Empty(r.t, b, why)
	require.False(r.t, errors.Is(err, os.ErrDeadlineExceeded), "%s: the connection stays open", why)
}

// alive is a request that any broker answers.
func (r raw) alive() {
	r.t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 1
	r.send(frame(req, 4711))
	id, _ := r.answer()
	require.Equal(r.t, int32(4711), id)
}

// TestBadFrames: each closes its own connection, and no other.
func TestBadFrames(t *testing.T) {
	bystander := dial(t)
	bystander.alive()
	metadata := frame(kmsg.NewPtrMetadataRequest(), 1)
	unknown := append([]byte(nil), metadata...)
	binary.BigEndian.PutUint16(unknown[4:], 9999)
	version := append([]byte(nil), metadata...)
	binary.BigEndian.PutUint16(version[6:], 9999)
	topics := kmsg.NewPtrMetadataRequest()
	topics.Topics = []kmsg.MetadataRequestTopic{{Topic: new(string)}}
	lyingArray := frame(topics, 1)
	copy(lyingArray[4+8+2+3:], []byte{0x7f, 0xff, 0xff, 0xf0})
	truncated := frame(topics, 1)
	truncated = truncated[:len(truncated)-1]
	binary.BigEndian.PutUint32(truncated, uint32(len(truncated)-4))
	for why, bad := range map[string][]byte{
		"a frame of 2 GiB":            {0x7f, 0xff, 0xff, 0xff},
		"a frame of 1 GiB":            {0x40, 0, 0, 0, 0, 3, 0, 1},
		"a negative length":           {0xff, 0xff, 0xff, 0xff, 0, 3, 0, 1},
		"an empty frame":              {0, 0, 0, 0},
		"half a header":               {0, 0, 0, 4, 0, 3, 0, 1},
		"an unknown API":              unknown,
		"an unknown version":          version,
		"an array of 2 G topics":      lyingArray,
		"a request cut short":         truncated,
		"another protocol altogether": []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"a TLS hello":                 append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 506)...),
	} {
		c := dial(t)
		c.send(bad)
		c.closed(why)
		bystander.alive()
	}
}

// TestAnswersBeforeBad: what was asked before the bad frame is answered.
func TestAnswersBeforeBad(t *testing.T) {
	c := dial(t)
	good := kmsg.NewPtrApiVersionsRequest()
	unknown := frame(good, 3)
	binary.BigEndian.PutUint16(unknown[4:], 9999)
	c.send(append(append(frame(good, 1), frame(good, 2)...), unknown...))
	for want := range int32(2) {
		id, _ := c.answer()
		require.Equal(t, want+1, id)
	}
	c.closed("an unknown API")
}

// TestApiVersionsFallback: a version from the future is answered in the form
// of v0, with the versions that are known.
func TestApiVersionsFallback(t *testing.T) {
	c := dial(t)
	future := kmsg.NewPtrApiVersionsRequest()
	future.Version, future.ClientSoftwareName, future.ClientSoftwareVersion = 3, "raw", "1"
	b := frame(future, 9)
	binary.BigEndian.PutUint16(b[6:], 77)
	c.send(b)
	id, rest := c.answer()
	require.Equal(t, int32(9), id)
	resp := kmsg.NewPtrApiVersionsResponse()
	require.NoError(t, resp.ReadFrom(rest))
	require.Equal(t, kerr.UnsupportedVersion.Code, resp.ErrorCode)
	found := false
	for _, k := range resp.ApiKeys {
		found = found || k.ApiKey == 18 && k.MaxVersion >= 3
	}
	require.True(t, found, "key 18 is listed")
	c.alive()
}

// TestPipelined: many requests at once, of which some have to wait, are
// answered in order.
func TestPipelined(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	poll := kmsg.NewPtrFetchRequest()
	poll.Version, poll.MaxWaitMillis, poll.MinBytes = 4, 50, 1
	poll.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{{PartitionMaxBytes: 1 << 20}}}}
	var b []byte
	const n = 30
	for i := range int32(n) {
		if i%10 == 0 {
			b = append(b, frame(poll, i)...)
			continue
		}
		m := kmsg.NewPtrMetadataRequest()
		m.Version = int16(i % 10)
		b = append(b, frame(m, i)...)
	}
	c := dial(t)
	c.send(b)
	for i := range int32(n) {
		id, _ := c.answer()
		require.Equal(t, i, id)
	}
}

// TestDribble sends a request byte by byte.
func TestDribble(t *testing.T) {
	c := dial(t)
	b := frame(kmsg.NewPtrApiVersionsRequest(), 5)
	for i := range b {
		c.send(b[i : i+1])
		time.Sleep(time.Millisecond)
	}
	id, _ := c.answer()
	require.Equal(t, int32(5), id)
}

// TestBadBatches: a batch that is wrong is refused with Kafka's own error, and
// nothing of it is kept.
func TestBadBatches(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	writer := franzClient(t, shared(t), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DisableIdempotentWrite())
	require.NoError(t, writer.ProduceSync(bounded(t), &kgo.Record{Topic: topic, Value: []byte("good")}).FirstErr())
	good := fetchRaw(t, shared(t), topic, 0)
	changed := func(f func(b []byte)) []byte {
		b := append([]byte(nil), good...)
		f(b)
		return b
	}
	c := dial(t)
	produce := func(records []byte) kmsg.ProduceResponseTopicPartition {
		t.Helper()
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks = 7, -1
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: records}}}}
		c.send(frame(req, 1))
		_, rest := c.answer()
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = 7
		require.NoError(t, resp.ReadFrom(rest))
		return resp.Topics[0].Partitions[0]
	}
	for why, bad := range map[string]struct {
		records []byte
		want    []*kerr.Error
	}{
		"a bit of a record":        {changed(func(b []byte) { b[len(b)-2] ^= 1 }), []*kerr.Error{kerr.CorruptMessage}},
		"a bit of the CRC":         {changed(func(b []byte) { b[17] ^= 1 }), []*kerr.Error{kerr.CorruptMessage}},
		"magic 1":                  {changed(func(b []byte) { b[16] = 1 }), []*kerr.Error{kerr.UnsupportedForMessageFormat, kerr.InvalidRecord}},
		"magic 9":                  {changed(func(b []byte) { b[16] = 9 }), []*kerr.Error{kerr.UnsupportedForMessageFormat, kerr.InvalidRecord, kerr.CorruptMessage}},
		"a length beyond the end":  {changed(func(b []byte) { b[11]++ }), []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		"a length short of it":     {changed(func(b []byte) { b[11]-- }), []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		"half a batch":             {good[:len(good)/2], []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		"two batches":              {append(append([]byte(nil), good...), good...), []*kerr.Error{kerr.InvalidRecord}},
		"no batch":                 {[]byte{}, []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		"null":                     {nil, []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		"61 zero bytes":            {make([]byte, 61), []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord, kerr.UnsupportedForMessageFormat}},
		"more records than it has": {changed(func(b []byte) { b[60]++ }), []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
	} {
		got := produce(bad.records)
		ok := false
		for _, want := range bad.want {
			ok = ok || got.ErrorCode == want.Code
		}
		require.True(t, ok, "%s: %v", why, kerr.ErrorForCode(got.ErrorCode))
		require.Equal(t, int64(-1), got.BaseOffset, why)
	}
	last := produce(good)
	require.Zero(t, last.ErrorCode)
	require.Equal(t, int64(1), last.BaseOffset, "nothing of the others was kept")
	again := fetchRaw(t, shared(t), topic, 1)
	require.True(t, bytes.Equal(good[16:], again[16:]), "all but offset and epoch are as sent")
}

// TestAcksZero gets no answer; on an error it gets the connection closed.
func TestAcksZero(t *testing.T) {
	topic := topicName(t)
	createTopic(t, shared(t), topic, 1)
	values(t, shared(t), topic, "good")
	good := fetchRaw(t, shared(t), topic, 0)
	send := func(c raw, topic string) {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks = 7, 0
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: good}}}}
		c.send(frame(req, 1))
	}
	idempotent := binary.BigEndian.Uint64(good[43:]) != 1<<64-1
	require.True(t, idempotent, "franz-go's default")
	c := dial(t)
	send(c, topic) // a duplicate: acknowledged, not appended
	c.alive()      // the next answer is the next request's
	send(c, topic+"-missing")
	c.closed("acks 0 to a topic that is not there")
}
