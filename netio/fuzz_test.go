package netio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// deafLink is a connection without an engine: turns and events do not come by
// themselves.
type deafLink struct{}

func (deafLink) schedule()         {}
func (deafLink) arm() error        { return nil }
func (deafLink) pauseRead() error  { return nil }
func (deafLink) resumeRead() error { return nil }

// FuzzFrames feeds a stream in pieces and compares what is served with the
// simplest reading of the format. Memory never exceeds what arrived, but for
// what is taken on trust.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame([]byte("hello")), frame([]byte("x"))...), uint8(1))
	f.Add([]byte{0, 0, 0, 0}, uint8(2))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}, uint8(3))
	f.Add([]byte{0, 0xff, 0, 0, 1, 2, 3}, uint8(1))
	f.Add(append(frame(make([]byte, 40_000)), 0, 0), uint8(255))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		const limit = 1 << 26
		var served [][]byte
		s := &server{cfg: Config{MaxRequestBytes: limit, QueuedRequests: 3}, conns: map[*Conn]struct{}{}, log: slog.New(slog.DiscardHandler)}
		s.handler = bareHandler(func(f *Frame) {
			served = append(served, bytes.Clone(f.Bytes()))
			f.Drop()
		})
		s.pool = newPool("none", &s.stats.Pool)
		s.budget.limit, s.budget.used = -1, &s.stats.InFlight
		c := &Conn{srv: s, link: deafLink{}, fd: -1}
		s.add(c)

		c.begin()
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), max(1, int(step)*int(step)))
			c.take(rest[:n])
			rest = rest[n:]
			if used, sent := s.stats.InFlight.Load(), int64(len(stream)-len(rest)); used > max(trusted, 2*sent) {
				t.Fatalf("%d bytes held after %d had come", used, sent)
			}
			if c.finish() {
				break
			}
			c.begin()
		}

		var want [][]byte
		var lying bool
		for rest := stream; len(rest) >= 4; {
			n := int64(int32(binary.BigEndian.Uint32(rest)))
			if lying = n <= 0 || n > limit; lying || n > int64(len(rest)-4) {
				break
			}
			want = append(want, rest[4:4+n])
			rest = rest[4+n:]
		}
		require.Len(t, served, len(want))
		for i := range want {
			require.True(t, bytes.Equal(want[i], served[i]), "request %d", i)
		}
		var length *LengthError
		cause := c.cause.Load()
		require.Equal(t, lying, cause != nil && errors.As(cause.err, &length))
		c.shut(ClosedByPeer, errStopped)
		c.gone()
		require.Zero(t, s.stats.InFlight.Load())
		require.Zero(t, s.stats.Stashed.Load())
		require.Equal(t, s.stats.Pool.Gets.Load(), s.stats.Pool.Puts.Load())
	})
}
