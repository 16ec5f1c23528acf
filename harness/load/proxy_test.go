package load_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/batching"
)

// proxy stands between clients and a broker, on real sockets, and changes what
// passes. It takes requests and answers apart with kmsg, which is not what the
// lean client or our broker put them together with.
type proxy struct {
	addr string

	mu sync.Mutex // guards what follows, and is held while they are called
	// produced gets each batch on its way to the broker and answers what to send
	// in its place; nil: the batch itself.
	produced func(topic string, part int32, batch []byte) (instead []byte)
	// repeat is asked of each produce request, of so many records, whether to send
	// it twice.
	repeat func(records int) bool
	// fetched gets the records of a partition on their way to a client, and may
	// change them in place, or answer fewer. The topic is a name, or an id.
	fetched func(topic string, part int32, records []byte) []byte
	fault   error

	// No answer passes from the first to the second, ns since 1970.
	stallFrom, stallTo atomic.Int64
}

func newProxy(t *testing.T, broker string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{addr: l.Addr().String()}
	var serving sync.WaitGroup
	var conns sync.Map
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(client, true)
			serving.Go(func() { p.serve(client, broker) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		serving.Wait()
		require.NoError(t, p.fault)
	})
	return p
}

// asked is a request whose answer is due.
type asked struct {
	key, version int16
	swallow      bool // the client did not ask
}

func (p *proxy) serve(client net.Conn, addr string) {
	defer client.Close()
	broker, err := net.Dial("tcp", addr)
	if err != nil {
		p.broke(err)
		return
	}
	due := make(chan asked, 1<<14)
	var both sync.WaitGroup
	both.Go(func() { defer broker.Close(); defer close(due); p.up(client, broker, due) })
	both.Go(func() { defer client.Close(); p.down(broker, client, due) })
	both.Wait()
}

func (p *proxy) broke(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil {
		p.fault = err
	}
}

// frame reads one, its length in front.
func frame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	f := make([]byte, 4+binary.BigEndian.Uint32(head[:]))
	copy(f, head[:])
	_, err := io.ReadFull(r, f[4:])
	return f, err
}

func (p *proxy) up(client, broker net.Conn, due chan<- asked) {
	for {
		f, err := frame(client)
		if err != nil {
			return
		}
		a := asked{key: int16(binary.BigEndian.Uint16(f[4:])), version: int16(binary.BigEndian.Uint16(f[6:]))}
		twice := false
		if a.key == 0 {
			if f, twice, err = p.produce(f, a.version); err != nil {
				p.broke(err)
				return
			}
		}
		due <- a
		if twice {
			a.swallow = true
			due <- a
			f = append(f[:len(f):len(f)], f...)
		}
		if _, err := broker.Write(f); err != nil {
			return
		}
	}
}

// produce shows every batch of a request, and puts it together anew where one
// was changed.
func (p *proxy) produce(f []byte, version int16) (out []byte, twice bool, err error) {
	at := 4 + 8 // key, version, correlation id
	if n := int16(binary.BigEndian.Uint16(f[at:])); n > 0 {
		at += int(n)
	}
	at += 2
	req := kmsg.NewPtrProduceRequest()
	req.Version = version
	if req.IsFlexible() {
		at++ // no tags
	}
	if err := req.ReadFrom(f[at:]); err != nil {
		return nil, false, fmt.Errorf("a produce request of version %d: %w", version, err)
	}
	if req.Acks == 0 {
		return nil, false, errors.New("acks=0 has no answers: the proxy would lose count")
	}
	changed, records := false, 0
	p.mu.Lock()
	for i := range req.Topics {
		for k := range req.Topics[i].Partitions {
			pt := &req.Topics[i].Partitions[k]
			records += view(pt.Records).Count()
			if p.produced == nil {
				continue
			}
			if instead := p.produced(req.Topics[i].Topic, pt.Partition, pt.Records); instead != nil {
				pt.Records, changed = instead, true
			}
		}
	}
	twice = p.repeat != nil && p.repeat(records)
	p.mu.Unlock()
	if !changed {
		return f, twice, nil
	}
	out = req.AppendTo(append([]byte(nil), f[:at]...))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, twice, nil
}

func (p *proxy) down(broker, client net.Conn, due <-chan asked) {
	for {
		f, err := frame(broker)
		if err != nil {
			return
		}
		a := <-due
		if a.swallow {
			continue
		}
		if a.key == 1 {
			if f, err = p.fetch(f, a.version); err != nil {
				p.broke(err)
				return
			}
		}
		now := time.Now().UnixNano()
		if to := p.stallTo.Load(); p.stallFrom.Load() <= now && now < to {
			time.Sleep(time.Duration(to - now))
		}
		if _, err := client.Write(f); err != nil {
			return
		}
	}
}

func (p *proxy) fetch(f []byte, version int16) ([]byte, error) {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	at := 4 + 4 // correlation id
	if resp.IsFlexible() {
		at++
	}
	if err := resp.ReadFrom(f[at:]); err != nil {
		return nil, fmt.Errorf("a fetch response of version %d: %w", version, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fetched == nil {
		return f, nil
	}
	for i := range resp.Topics {
		for k := range resp.Topics[i].Partitions {
			pt := &resp.Topics[i].Partitions[k]
			if len(pt.RecordBatches) > 0 {
				pt.RecordBatches = p.fetched(fmt.Sprintf("%s%x", resp.Topics[i].Topic, resp.Topics[i].TopicID), pt.Partition, pt.RecordBatches)
			}
		}
	}
	out := resp.AppendTo(append([]byte(nil), f[:at]...))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out, nil
}

// rebuilt is the batch with its records changed, as if its producer had made it so.
func rebuilt(raw []byte, change func([]batching.Record) []batching.Record) ([]byte, error) {
	b, err := batching.View(raw)
	if err != nil {
		return nil, err
	}
	var list []batching.Record
	for rec, err := range b.Records(0) {
		if err != nil {
			return nil, err
		}
		rec.Headers = slices.Clone(rec.Headers) // they hold until the next turn
		list = append(list, rec)
	}
	build := batching.NewBuilder(batching.Options{})
	for _, rec := range change(list) {
		if err := build.Append(b.Timestamp(rec), rec.Key, rec.Value, rec.Headers); err != nil {
			return nil, err
		}
	}
	out, err := build.Build(nil)
	if err == nil { // producer id, epoch and sequence
		copy(out[43:57], raw[43:57])
		binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	}
	return out, err
}
