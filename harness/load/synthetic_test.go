package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"millrace/batching"
	"millrace/core/wire"
)

// synthetic is a broker in memory whose faults are known: it stalls on
// schedule, serves at a known speed, and loses, doubles, swaps or damages what
// it is told to. It is the instrument's reference.
type synthetic struct {
	topics []Topic

	// Set before the run.
	stalls   []stall
	service  time.Duration // of one produce request; they are served one by one
	fault    string        // lose, double, swap, damage, damage-crc
	every    int           // batches from one fault to the next; 0: none
	last     int           // the batch that may have the last fault
	refuse   int           // each so many batches one is answered NOT_LEADER_OR_FOLLOWER; 0: none
	throttle int32         // milliseconds that each produce answer has the client wait

	serving chan struct{} // full while a produce request is served; a mutex would stop fake time

	mu                sync.Mutex // guards what follows
	logs              map[partition]*synthLog
	batches, produced int
	faulted           int64 // records that met the fault
	down              bool
	conns             map[net.Conn]bool
	changed           chan struct{} // closed when something was appended
}

type stall struct{ from, to time.Time }

type synthLog struct {
	batches [][]byte
	end     int64
	held    []byte // to be swapped with the next
}

func newSynthetic(topics ...Topic) *synthetic {
	s := &synthetic{topics: topics, logs: map[partition]*synthLog{}, conns: map[net.Conn]bool{}, serving: make(chan struct{}, 1), changed: make(chan struct{})}
	for _, t := range topics {
		for i := range t.Partitions {
			s.logs[partition{t.Name, int32(i)}] = &synthLog{}
		}
	}
	return s
}

// env lets a run reach the target, and wait in whatever time the test lives in.
func (s *synthetic) env() environment { return environment{dial: s.dial, sleep: time.Sleep} }

func (s *synthetic) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errors.New("connection refused")
	}
	a, b := net.Pipe()
	s.conns[b] = true
	go func() {
		serveFrames(b, s.handle)
		s.mu.Lock()
		delete(s.conns, b)
		s.mu.Unlock()
	}()
	return a, nil
}

// kill breaks every connection and refuses new ones; what was stored stays.
func (s *synthetic) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for c := range s.conns {
		c.Close()
	}
}

func (s *synthetic) revive() {
	s.mu.Lock()
	s.down = false
	s.mu.Unlock()
}

func (s *synthetic) handle(out, frame []byte) ([]byte, error) {
	h, body, err := wire.ParseHeader(frame)
	if err != nil {
		return out, err
	}
	switch h.Key {
	case wire.KeyProduce:
		return s.produce(out, h, body)
	case wire.KeyFetch:
		return s.fetch(out, h, body)
	}
	return answerControl(out, h, body, s.topics, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092}, func(topic string, part int32) int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.logs[partition{topic, part}].end
	})
}

func (s *synthetic) produce(out []byte, h wire.Header, body []byte) ([]byte, error) {
	var req wire.ProduceRequest
	if err := req.Decode(h.Version, body); err != nil {
		return out, err
	}
	s.serving <- struct{}{}
	time.Sleep(s.service)
	for _, st := range s.stalls {
		if now := time.Now(); !now.Before(st.from) && now.Before(st.to) {
			time.Sleep(st.to.Sub(now))
		}
	}
	<-s.serving
	var resp wire.ProduceResponse
	s.mu.Lock()
	for _, t := range req.Topics {
		rt := resp.AddTopic()
		rt.Name = t.Name
		for _, p := range t.Partitions {
			b, err := batching.View(append([]byte(nil), p.Records...))
			if err == nil {
				err = b.CheckCRC()
			}
			if err != nil {
				s.mu.Unlock()
				return out, err
			}
			rp := rt.AddPartition()
			if s.refuse > 0 {
				if s.produced++; s.produced%s.refuse == 0 {
					rp.Index, rp.ErrorCode, rp.BaseOffset = p.Index, 6, -1
					continue
				}
			}
			rp.Index, rp.BaseOffset = p.Index, s.append(s.logs[partition{string(t.Name), p.Index}], b)
		}
	}
	resp.ThrottleMillis = s.throttle
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	if req.Acks == 0 {
		return out, nil
	}
	out = wire.AppendResponseHeader(out, h.Key, h.Version, h.CorrelationID)
	return resp.Append(out, h.Version), nil
}

// append stores a batch, or does to it what the fault says. It answers the
// offset that the producer is told. The caller holds mu.
func (s *synthetic) append(l *synthLog, b batching.Batch) int64 {
	s.batches++
	fault := ""
	if s.every > 0 && s.batches%s.every == 0 && s.batches <= s.last {
		fault = s.fault
		s.faulted += int64(b.Count())
	}
	at := l.end
	store := func(raw []byte) {
		b, _ := batching.View(raw)
		b.SetBaseOffset(l.end)
		l.batches = append(l.batches, raw)
		l.end = b.NextOffset()
	}
	raw := b.Bytes()
	switch fault {
	case "lose":
		return at
	case "misplace":
		at += 3
	case "swap":
		l.held = raw
		return at
	case "damage", "damage-crc":
		n := 0
		for rec := range b.Records(0) {
			if n++; n == (b.Count()+1)/2 { // Value lies in raw
				rec.Value[len(rec.Value)/2] ^= 4
			}
		}
		if fault == "damage" { // as if it had been damaged before it was sealed
			binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
		}
	case "double":
		store(append([]byte(nil), raw...))
	}
	store(raw)
	if l.held != nil {
		store(l.held)
		l.held = nil
	}
	return at
}

func (s *synthetic) fetch(out []byte, h wire.Header, body []byte) ([]byte, error) {
	var req wire.FetchRequest
	if err := req.Decode(h.Version, body); err != nil {
		return out, err
	}
	deadline := time.After(time.Duration(req.MaxWaitMillis) * time.Millisecond)
	for {
		s.mu.Lock()
		found := false
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				found = found || p.Offset < s.logs[partition{string(t.Name), p.Index}].end
			}
		}
		changed, down := s.changed, s.down
		s.mu.Unlock()
		if down {
			return out, errors.New("killed")
		}
		if found {
			break
		}
		select {
		case <-changed:
			continue
		case <-deadline:
		}
		break
	}
	var resp wire.FetchResponse
	var parts [][]byte
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range req.Topics {
		rt := resp.AddTopic()
		rt.Name = t.Name
		for _, p := range t.Partitions {
			l := s.logs[partition{string(t.Name), p.Index}]
			from := sort.Search(len(l.batches), func(i int) bool {
				b, _ := batching.View(l.batches[i])
				return b.NextOffset() > p.Offset
			})
			recs := bytes.Join(l.batches[from:min(from+100, len(l.batches))], nil)
			rp := rt.AddPartition()
			rp.Index, rp.HighWatermark, rp.LastStable, rp.RecordsLen = p.Index, l.end, l.end, len(recs)
			parts = append(parts, recs)
		}
	}
	out = wire.AppendResponseHeader(out, h.Key, h.Version, h.CorrelationID)
	// Append leaves the records out and says where they belong.
	whole := resp.Append(nil, h.Version)
	at, k := 0, 0
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			to := resp.Topics[i].Partitions[j].RecordsAt
			out = append(append(out, whole[at:to]...), parts[k]...)
			at, k = to, k+1
		}
	}
	return append(out, whole[at:]...), nil
}

// TestSyntheticIsSound is the reference's own check: without a fault it is a
// broker.
func TestSyntheticIsSound(t *testing.T) {
	for _, client := range Clients() {
		bubble(t, client, func(t *testing.T) {
			s, target := small(client), newSynthetic(Topic{"events", 3})
			s.Brokers, s.env = []string{"synthetic:9092"}, target.env()
			res, err := Run(context.Background(), s)
			require.NoError(t, err)
			whole(t, s, res)
		})
	}
}
