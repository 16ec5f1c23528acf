package soak

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"millrace/core/wire"
)

// An attack is one kind of bad peer. It runs until ctx ends and counts what it
// has done, so that a soak in which nothing happened is not taken for one that
// was passed.
type attack struct {
	name  string
	what  string
	peers int // goroutines that do it
	run   func(ctx context.Context, h *hostile, n int, count *atomic.Int64)
}

var attacks = []attack{
	{"flood", "pipelines requests and never reads", 4, flood},
	{"slowloris", "claims 100 MiB or half a length, sends a byte a second", 200, slowloris},
	{"half-open", "is gone without a word, mid-request", 4, halfOpen},
	{"crowd", "5,000 connections at once", 1, crowd},
	{"churn", "1,000 connections a second", 8, churn},
	{"vanish", "resets while megabytes are being sent to it", 4, vanish},
	{"slow reader", "asks for megabytes and reads 64 KiB a second", 8, slowReader},
	{"garbage", "sends what is no request", 2, garbage},
}

const (
	crowdSize   = 5000
	crowdEvery  = 30 * time.Second
	crowdStay   = 5 * time.Second
	churnRate   = 1000 // a second, of all its peers
	claimed     = 100 << 20
	dialTimeout = 10 * time.Second
)

type hostile struct {
	addr string
	port atomic.Uint32 // spreads connections over source addresses
}

// Attack is all attacks at once on the broker at addr until ctx ends; topic has
// records to be fetched. It answers how often each was carried out, by name.
func Attack(ctx context.Context, addr string) map[string]int64 {
	h := &hostile{addr: addr}
	counts := make([]atomic.Int64, len(attacks))
	var wg sync.WaitGroup
	for i, a := range attacks {
		for n := range a.peers {
			wg.Go(func() { a.run(ctx, h, n, &counts[i]) })
		}
	}
	wg.Wait()
	done := map[string]int64{}
	for i, a := range attacks {
		done[a.name] = counts[i].Load()
	}
	return done
}

// dial connects from one of 250 loopback addresses, since a thousand
// connections a second would use up the ports of one.
func (h *hostile) dial(ctx context.Context) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: dialTimeout, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+h.port.Add(1)%250))}}
	c, err := d.DialContext(ctx, "tcp", h.addr)
	if err != nil {
		sleep(ctx, 100*time.Millisecond)
		return nil, err
	}
	tc := c.(*net.TCPConn)
	return tc, tc.SetDeadline(time.Now().Add(time.Minute))
}

// reset closes with a reset, without waiting for anything.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// each repeats do with a connection of its own until ctx ends.
func (h *hostile) each(ctx context.Context, count *atomic.Int64, do func(*net.TCPConn)) {
	for ctx.Err() == nil {
		c, err := h.dial(ctx)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
		do(c)
		stop()
		reset(c)
		count.Add(1)
	}
}

// flood: some peers ask for small answers, some for large ones.
func flood(ctx context.Context, h *hostile, n int, count *atomic.Int64) {
	request := apiVersions()
	if n%2 == 1 {
		request = fetchFrame(0, 1<<20, 0)
	}
	var many []byte
	for range 500 {
		many = append(many, request...)
	}
	h.each(ctx, count, func(c *net.TCPConn) {
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		for {
			if _, err := c.Write(many); err != nil {
				return // the broker has stopped reading, for ten seconds
			}
		}
	})
}

func slowloris(ctx context.Context, h *hostile, n int, count *atomic.Int64) {
	h.each(ctx, count, func(c *net.TCPConn) {
		_ = c.SetDeadline(time.Now().Add(time.Hour))
		begin := binary.BigEndian.AppendUint32(nil, claimed)
		if n%4 == 0 {
			begin = begin[:3] // not even a length
		} else {
			begin = append(begin, make([]byte, 8<<10)...)
		}
		if _, err := c.Write(begin); err != nil {
			return
		}
		for range 60 {
			if sleep(ctx, time.Second); ctx.Err() != nil {
				return
			}
			if n%4 != 0 {
				if _, err := c.Write([]byte{0}); err != nil {
					return
				}
			}
		}
	})
}

// halfOpen closes in repair mode, in which the kernel says nothing to the other
// side; where that is not allowed it falls silent for longer than
// connections.max.idle.ms.
func halfOpen(ctx context.Context, h *hostile, n int, count *atomic.Int64) {
	h.each(ctx, count, func(c *net.TCPConn) {
		if n%2 == 0 {
			_, _ = c.Write(fetchFrame(0, 8<<20, 0)) // the answer will be under way
		} else {
			_, _ = c.Write(binary.BigEndian.AppendUint32(nil, 1000))
		}
		raw, err := c.SyscallConn()
		if err != nil {
			return
		}
		repair := error(syscall.EPERM)
		_ = raw.Control(func(fd uintptr) { repair = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, 1) })
		if repair != nil {
			sleep(ctx, 2*maxIdle)
			return
		}
		sleep(ctx, 200*time.Millisecond)
	})
}

func crowd(ctx context.Context, h *hostile, _ int, count *atomic.Int64) {
	request := apiVersions()
	for ctx.Err() == nil {
		var wg sync.WaitGroup
		conns := make(chan *net.TCPConn, crowdSize)
		for range 100 {
			wg.Go(func() {
				for range crowdSize / 100 {
					if c, err := h.dial(ctx); err == nil {
						if _, err := c.Write(request); err == nil {
							count.Add(1)
						}
						conns <- c
					}
				}
			})
		}
		wg.Wait()
		close(conns)
		sleep(ctx, crowdStay)
		for c := range conns {
			reset(c)
		}
		sleep(ctx, crowdEvery)
	}
}

func churn(ctx context.Context, h *hostile, n int, count *atomic.Int64) {
	request, answer := apiVersions(), make([]byte, 64<<10)
	tick := time.NewTicker(time.Second * 8 / churnRate)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		<-tick.C
		c, err := h.dial(ctx)
		if err != nil {
			continue
		}
		switch i % 4 {
		case 0: // one request, and a farewell as is proper
			_, _ = c.Write(request)
			_, _ = c.Read(answer)
			c.Close()
		case 1: // no farewell
			_, _ = c.Write(request)
			reset(c)
		case 2: // nothing at all
			c.Close()
		case 3:
			_, _ = c.Write(request[:5])
			reset(c)
		}
		count.Add(1)
	}
}

func vanish(ctx context.Context, h *hostile, n int, count *atomic.Int64) {
	some := make([]byte, 64<<10)
	h.each(ctx, count, func(c *net.TCPConn) {
		for range 3 {
			_, _ = c.Write(fetchFrame(0, 8<<20, 0))
		}
		_, _ = io.ReadFull(c, some[:rand.IntN(len(some))])
		sleep(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
	})
}

func slowReader(ctx context.Context, h *hostile, n int, count *atomic.Int64) {
	some := make([]byte, 64<<10)
	h.each(ctx, count, func(c *net.TCPConn) {
		for range 8 {
			_, _ = c.Write(fetchFrame(0, 8<<20, 0))
		}
		for range 30 {
			if _, err := io.ReadFull(c, some); err != nil {
				return
			}
			sleep(ctx, time.Second)
		}
	})
}

func garbage(ctx context.Context, h *hostile, n int, count *atomic.Int64) {
	kinds := [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: example\r\n\r\n"),
		{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, // a TLS greeting
		{0xff, 0xff, 0xff, 0xff, 0, 0},          // a negative length
		{0, 0, 0, 0},                            // no request
		{0, 0, 0, 6, 0x7f, 0, 0, 0, 0, 0},       // no such API
		{0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0},    // Produce, cut short
	}
	h.each(ctx, count, func(c *net.TCPConn) {
		_, _ = c.Write(kinds[rand.IntN(len(kinds))])
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = c.Read(make([]byte, 1))
		sleep(ctx, 20*time.Millisecond)
	})
}

// apiVersions is a request that every broker answers.
func apiVersions() []byte {
	return request(wire.Header{Key: wire.KeyApiVersions, Version: 0}, nil)
}

func fetchFrame(offset int64, maxBytes, waitMillis int32) []byte {
	var req wire.FetchRequest
	req.Reset()
	req.MinBytes, req.MaxBytes, req.MaxWaitMillis, req.SessionEpoch = 1, maxBytes, waitMillis, -1
	t := req.AddTopic()
	t.Name = []byte(Topic)
	p := t.AddPartition()
	p.Offset, p.MaxBytes, p.LeaderEpoch = offset, maxBytes, -1
	return request(wire.Header{Key: wire.KeyFetch, Version: fetchVersion}, req.Append(nil, fetchVersion))
}

const fetchVersion = 11

func request(h wire.Header, body []byte) []byte {
	h.ClientID = []byte("soak")
	b := wire.AppendRequestHeader(make([]byte, 4), h)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

var errAnswer = fmt.Errorf("an answer that was not asked for")
