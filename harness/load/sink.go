package load

import (
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/wire"
)

// Sink is a broker that acknowledges everything and keeps nothing: what a
// generator reaches against it is the generator's own ceiling. It speaks as
// much of the protocol as producers need, on a loopback port.
type Sink struct {
	ln     net.Listener
	topics []Topic
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu; nil once closed
}

// NewSink listens on a free port. Its topics are fixed.
func NewSink(topics []Topic) (*Sink, error) { return ListenSink("127.0.0.1:0", topics) }

// ListenSink listens on HOST:PORT.
func ListenSink(addr string, topics []Topic) (*Sink, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("load: sink: %w", err)
	}
	s := &Sink{ln: ln, topics: topics, conns: map[net.Conn]bool{}}
	s.wg.Go(func() { acceptAll(ln, s.adopt) })
	return s, nil
}

// Addr is HOST:PORT.
func (s *Sink) Addr() string { return s.ln.Addr().String() }

// Close stops it and its connections.
func (s *Sink) Close() {
	s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
}

func acceptAll(ln net.Listener, adopt func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		adopt(c)
	}
}

func (s *Sink) adopt(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		c.Close()
		return
	}
	s.conns[c] = true
	s.wg.Go(func() {
		serveFrames(c, (&sinkConn{s: s}).handle)
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

// sinkFrame bounds a request; it is Kafka's default for the same.
const sinkFrame = 100 << 20

// serveFrames answers requests until one fails or the connection ends. handle
// appends the answer to a request, without its length, to out. Answers to
// requests that came together leave together.
func serveFrames(c net.Conn, handle func(out, frame []byte) ([]byte, error)) {
	defer c.Close()
	in := newFrames(c, 1<<20, sinkFrame)
	var out []byte
	for {
		frame, err := in.next()
		if err != nil {
			return
		}
		at := len(out)
		out, err = handle(append(out, 0, 0, 0, 0), frame)
		if err != nil {
			return
		}
		if len(out) == at+4 { // acks=0: no answer
			out = out[:at]
		} else {
			binary.BigEndian.PutUint32(out[at:], uint32(len(out)-at-4))
		}
		if len(out) > 0 && !in.buffered() {
			if _, err := c.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

// sinkConn is one connection's reusable memory.
type sinkConn struct {
	s    *Sink
	req  wire.ProduceRequest
	resp wire.ProduceResponse
	base int64
}

func (c *sinkConn) handle(out, frame []byte) ([]byte, error) {
	h, body, err := wire.ParseHeader(frame)
	if err != nil {
		return out, err
	}
	if h.Key != wire.KeyProduce {
		return answerControl(out, h, body, c.s.topics, c.s.ln.Addr(), func(string, int32) int64 { return 0 })
	}
	if err := c.req.Decode(h.Version, body); err != nil || c.req.Acks == 0 {
		return out, err
	}
	c.resp.Reset()
	for i := range c.req.Topics {
		t := &c.req.Topics[i]
		rt := c.resp.AddTopic()
		rt.Name = t.Name
		for k := range t.Partitions {
			p := rt.AddPartition()
			p.Index, p.BaseOffset = t.Partitions[k].Index, c.base
			c.base += int64(len(t.Partitions[k].Records)) // ascending is all that matters
		}
	}
	out = wire.AppendResponseHeader(out, h.Key, h.Version, h.CorrelationID)
	return c.resp.Append(out, h.Version), nil
}

// answerControl answers what clients ask before they produce or fetch. end is
// the end of a partition.
func answerControl(out []byte, h wire.Header, body []byte, topics []Topic, addr net.Addr, end func(topic string, part int32) int64) ([]byte, error) {
	req, err := wire.DecodeKmsg(h.Key, h.Version, body)
	if err != nil {
		return out, fmt.Errorf("load: sink: %w", err)
	}
	resp := req.ResponseKind()
	switch resp := resp.(type) {
	case *kmsg.ApiVersionsResponse:
		for _, a := range [][3]int16{{0, 3, 11}, {1, 4, 12}, {2, 1, 6}, {3, 0, 9}, {18, 0, 3}, {22, 0, 4}} {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MinVersion, k.MaxVersion = a[0], a[1], a[2]
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
	case *kmsg.InitProducerIDResponse:
		resp.ProducerID = 1
	case *kmsg.MetadataResponse:
		fillMetadata(resp, topics, addr)
	case *kmsg.ListOffsetsResponse:
		for _, t := range req.(*kmsg.ListOffsetsRequest).Topics {
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition = p.Partition
				if p.Timestamp == -1 { // the end; the log starts at 0
					rp.Offset = end(t.Topic, p.Partition)
				} else {
					rp.Offset = 0
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
	default:
		return out, fmt.Errorf("load: sink: no answer to %s", kmsg.NameForKey(h.Key))
	}
	out = wire.AppendResponseHeader(out, h.Key, h.Version, h.CorrelationID)
	return resp.AppendTo(out), nil
}

func fillMetadata(resp *kmsg.MetadataResponse, topics []Topic, addr net.Addr) {
	host, port, _ := net.SplitHostPort(addr.String())
	b := kmsg.NewMetadataResponseBroker()
	b.Host = host
	n, _ := strconv.Atoi(port)
	b.Port = int32(n)
	resp.Brokers = append(resp.Brokers, b)
	for _, t := range topics {
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic = kmsg.StringPtr(t.Name)
		for i := range t.Partitions {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Replicas, p.ISR = int32(i), []int32{0}, []int32{0}
			rt.Partitions = append(rt.Partitions, p)
		}
		resp.Topics = append(resp.Topics, rt)
	}
}
