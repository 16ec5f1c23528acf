package netio

import (
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTurnOfSmallRequests: a peer's small requests, which one read brings in by
// the thousand, are not all served before another connection's one.
func TestTurnOfSmallRequests(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const n = 8000
		b.cfg.Loops = 1
		first, goOn := make(chan struct{}), make(chan struct{})
		var served, before atomic.Int64
		b.start(testHandler{serve: func(f *Frame) {
			switch string(f.Bytes()) {
			case "open":
			case "else":
				before.Store(served.Load())
			default:
				if served.Add(1) == 1 {
					close(first)
					<-goOn
				}
			}
			b.echo(f)
		}})
		c, other := b.dial(), b.dial()
		other.send([]byte("open")) // so that it is known to the loop
		other.expect([]byte("open"))
		var many []byte
		for i := range n {
			many = binary.BigEndian.AppendUint32(append(many, 0, 0, 0, 4), uint32(i))
		}
		_, err := c.Write(many)
		require.NoError(t, err)
		<-first
		other.send([]byte("else"))
		close(goOn)
		other.expect([]byte("else"))
		c.expectNumbers(n)
		// One turn ran when the other's request came, and another may have been
		// ahead of it; more only in the other engine, where the scheduler decides.
		if b.cfg.Engine == "gnet" {
			require.LessOrEqual(t, before.Load(), int64(2*(turnBytes/requestCost+1)))
		}
	})
}

// TestUnreadAnswersAreBounded: answers that nobody reads count as memory in
// flight, and neither they nor the connection's requests grow beyond a turn's
// bytes; the others are served, and all is answered once the peer reads.
func TestUnreadAnswersAreBounded(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const n, size = 100, 100 << 10
		b.cfg.SendBufferBytes, b.cfg.ReceiveBufferBytes = 64<<10, 64<<10
		body := make([]byte, size)
		b.start(testHandler{serve: func(f *Frame) {
			if string(f.Bytes()) == "else" {
				b.echo(f)
				return
			}
			copy(body, f.Bytes()[:4])
			b.reply(f, body)
		}})
		st := &b.srv.stats
		c := b.dial()
		go c.numbered(n, 20)
		eventually(t, "paused", func() bool { return st.Paused.Load() == 1 && st.InFlight.Load() > turnBytes/2 })
		require.LessOrEqual(t, st.InFlight.Load(), int64(turnBytes+2*size))
		other := b.dial()
		other.send([]byte("else"))
		other.expect([]byte("else"))
		for i := range n {
			got, err := c.recv()
			require.NoError(t, err)
			require.Len(t, got, size)
			require.EqualValues(t, i, binary.BigEndian.Uint32(got))
		}
		eventually(t, "nothing in flight", func() bool { return st.InFlight.Load() == 0 })
	})
}

// TestDropAllocatesNothing: nor does the reading of what is dropped.
func TestDropAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the detector makes sync.Pool forget on purpose
	}
	for _, e := range engines {
		t.Run("engine="+e.name, func(t *testing.T) {
			b := newBench(t, e.name, "classes")
			dropped := make(chan struct{}, 1)
			b.serveBare(func(f *Frame) {
				f.Drop()
				dropped <- struct{}{}
			})
			c := b.rawDial()
			req := frame(make([]byte, 100))
			round := func() {
				c.write(req)
				<-dropped
			}
			for range 20 {
				round()
			}
			least := testing.AllocsPerRun(50, round)
			for range 2 {
				least = min(least, testing.AllocsPerRun(50, round))
			}
			require.Zero(t, least)
		})
	}
}
