package core

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/wire"
)

// fuzzedBroker is the broker that all inputs of one process go to, so that
// damage done by one of them shows in a later one.
func fuzzedBroker(dir string) func() (*Broker, error) {
	return sync.OnceValues(func() (*Broker, error) {
		cfg := Defaults()
		cfg.Listen = "127.0.0.1:0"
		cfg.DataDir = dir
		cfg.Logger = slog.New(slog.DiscardHandler)
		cfg.FetchMaxWait = time.Millisecond
		// Members die young, so that nobody waits for them for long.
		cfg.Group.InitialDelay, cfg.Group.SessionMin, cfg.Group.SessionMax = 0, 0, 10*time.Millisecond
		b, err := Start(context.Background(), cfg)
		if err == nil {
			err = b.makeStateTopic(offsetsTopic)
		}
		return b, err
	})
}

// FuzzRequest sends any bytes as the body of every API at any version. The
// broker must answer or close the connection, serve others as before, and take
// no memory that the bytes do not justify.
func FuzzRequest(f *testing.F) {
	for _, a := range coreAPIs() {
		for v := a.min; v <= a.max; v++ {
			req := kmsg.RequestForKey(a.key)
			req.SetVersion(v)
			f.Add(a.key, v, req.AppendTo(nil))
		}
		f.Add(a.key, a.max, []byte{})
		f.Add(a.key, a.max, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
		f.Add(a.key, a.min, []byte{0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff})
	}
	f.Add(wire.KeyProduce, int16(9), produceSeed(f))
	f.Add(wire.KeyFetch, int16(12), fetchRequest("t", 0, 0).AppendTo(nil))
	for _, req := range groupSeeds() {
		for v := range req.MaxVersion() + 1 {
			req.SetVersion(v)
			f.Add(req.Key(), v, req.AppendTo(nil))
		}
	}
	f.Add(int16(99), int16(0), []byte{})
	f.Add(int16(-1), int16(-1), []byte{})
	fuzzed := fuzzedBroker(f.TempDir())
	f.Cleanup(func() {
		if b, err := fuzzed(); err == nil {
			stop(f, b)
		}
	})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		b, err := fuzzed()
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		answered, err := sendRaw(b.Addr(), key, version, body)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		// A topic costs files and buffers, an array element some hundred bytes
		// for each of its own; a lying length would cost far more.
		if took, may := after.TotalAlloc-before.TotalAlloc, uint64(16<<20+4096*len(body)); took > may {
			t.Fatalf("%d bytes of body took %d bytes of memory", len(body), took)
		}
		_ = answered
		if ok, err := sendRaw(b.Addr(), wire.KeyApiVersions, 0, nil); err != nil || !ok {
			t.Fatalf("the broker does not serve others any more: %v", err)
		}
	})
}

func produceSeed(f *testing.F) []byte {
	req := produceRequest("t", 0, 1, []byte("not a batch"))
	req.SetVersion(9)
	return req.AppendTo(nil)
}

// groupSeeds are requests of a member that is somewhere between joining and
// leaving.
func groupSeeds() []kmsg.Request {
	join := joinRequest("g")
	join.SessionTimeoutMillis, join.InstanceID = 10, kmsg.StringPtr("i")
	joined := &kmsg.JoinGroupResponse{MemberID: "m", Generation: 1}
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.MemberID, beat.Generation = "g", "m", 1
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.Members = "g", []kmsg.LeaveGroupRequestMember{{MemberID: "m"}, {InstanceID: kmsg.StringPtr("i")}}
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Group, fetch.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0, -1}}}
	fetch.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g"}, {Group: "h", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}}}
	consumer := consumerJoin("c", "m", "t")
	consumer.InstanceID, consumer.SubscribedTopicRegex = kmsg.StringPtr("i"), kmsg.StringPtr("t.*")
	on := consumerJoin("c", "m", "t", "u")
	on.MemberEpoch, on.Topics = 1, []kmsg.ConsumerGroupHeartbeatRequestTopic{{Partitions: []int32{0, -1}}}
	gone := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	gone.Group, gone.MemberID, gone.MemberEpoch = "g", "m", -1
	return []kmsg.Request{consumer, on, gone, join, syncRequest("g", joined), beat, leave, fetch, commitRequest("g", [16]byte{}, 1)}
}

// sendRaw sends one request and then, on the same connection, one that is
// always answered. answered says that the answer to that came: the first was
// answered too, or needed no answer.
func sendRaw(addr string, key, version int16, body []byte) (answered bool, err error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return false, err
	}
	defer c.Close()
	const last = 77
	frame := rawRequest(nil, wire.Header{Key: key, Version: version, CorrelationID: 1}, body)
	frame = rawRequest(frame, wire.Header{Key: wire.KeyApiVersions, CorrelationID: last}, nil)
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if _, err := c.Write(frame); err != nil {
		return false, nil // closed already
	}
	p := &peer{conn: c}
	for range 3 {
		b, err := p.read()
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			return false, err
		}
		if err != nil {
			return false, nil
		}
		if len(b) >= 4 && binary.BigEndian.Uint32(b) == last {
			return true, nil
		}
	}
	return false, nil
}

func rawRequest(dst []byte, h wire.Header, body []byte) []byte {
	at := len(dst)
	dst = wire.AppendRequestHeader(append(dst, 0, 0, 0, 0), h)
	dst = append(dst, body...)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}
