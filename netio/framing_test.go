package netio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFramesSplitAnywhere sends one stream of requests again and again, cut in
// two at each byte, the second half only after the server has read the first.
func TestFramesSplitAnywhere(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo})
		c := b.dial()
		var stream []byte
		var bodies [][]byte
		for _, n := range []int{1, 2, 17, 3, 40, 1, 1, 9} {
			bodies = append(bodies, b.random(n))
			stream = append(stream, frame(bodies[len(bodies)-1])...)
		}
		var sent int64
		for cut := range stream {
			_, err := c.Write(stream[:cut])
			require.NoError(t, err)
			sent += int64(cut)
			eventually(t, "first half read", func() bool { return b.srv.stats.BytesIn.Load() == sent })
			_, err = c.Write(stream[cut:])
			require.NoError(t, err)
			sent += int64(len(stream) - cut)
			for _, body := range bodies {
				c.expect(body)
			}
		}
		eventually(t, "all counted", func() bool { return b.srv.stats.Frames.Load() == int64(len(stream)*len(bodies)) })
	})
}

// TestPipelinedFramesOfAllSizes: sizes around every threshold of the reader, all
// sent without waiting for a reply.
func TestPipelinedFramesOfAllSizes(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo})
		c := b.dial()
		var sizes []int
		for _, near := range []int{1, direct, trusted, 64 << 10, chunkBytes, 1 << 20, maxPooled} {
			for d := -5; d <= 5; d++ {
				if n := near + d; n > 0 && (n < 1<<20 || d%5 == 0) {
					sizes = append(sizes, n)
				}
			}
		}
		for range 2000 {
			sizes = append(sizes, 1+b.rnd.IntN(300))
		}
		b.rnd.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
		source := b.random(maxPooled + 5 + len(sizes))
		sent := make(chan error, 1)
		go func() {
			for i, n := range sizes {
				if _, err := c.Write(frame(source[i : i+n])); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for i, n := range sizes {
			c.expect(source[i : i+n])
		}
		require.NoError(t, <-sent)
	})
}

// TestLyingLengths: each closes its own connection, is said, and costs nobody
// else anything.
func TestLyingLengths(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo})
		other := b.dial()
		for _, c := range []struct {
			head []byte
			want string
		}{
			{[]byte{0xff, 0xff, 0xff, 0xff}, "length -1 is negative"},
			{[]byte{0x80, 0, 0, 0}, "length -2147483648 is negative"},
			{[]byte{0, 0, 0, 0}, "length is 0"},
			{binary.BigEndian.AppendUint32(nil, uint32(b.cfg.MaxRequestBytes)+1), "length 104857601 is above socket.request.max.bytes 104857600"},
			{[]byte("GET / HTTP/1.1\r\n\r\n"), "length 1195725856 is above"},
			{append(frame([]byte("good")), 0xff, 0, 0, 0, 1, 2, 3), "length -16777216 is negative"},
		} {
			bad := b.dial()
			_, err := bad.Write(c.head)
			require.NoError(t, err)
			if strings.Contains(string(c.head), "good") {
				bad.expect([]byte("good"))
			}
			bad.expectEnd()
			eventually(t, c.want, func() bool { return strings.Contains(b.log.take("level=WARN"), c.want) })
			other.send([]byte("still here"))
			other.expect([]byte("still here"))
		}
		require.EqualValues(t, 6, b.srv.stats.Closed[ClosedMalformed].Load())
	})
}

// TestLengthAtTheLimit: the limit itself is allowed.
func TestLengthAtTheLimit(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.cfg.MaxRequestBytes = 1000
		b.start(testHandler{serve: b.echo})
		c := b.dial()
		c.send(bytes.Repeat([]byte{7}, 1000))
		c.expect(bytes.Repeat([]byte{7}, 1000))
		c.send(make([]byte, 1001))
		c.expectEnd()
		eventually(t, "said", func() bool { return strings.Contains(b.log.take("level=WARN"), "above socket.request.max.bytes 1000") })
	})
}

// TestClaimedLengthHoldsNothing: a peer that claims 100 MiB holds what it sent,
// at most twice.
func TestClaimedLengthHoldsNothing(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo})
		st := &b.srv.stats
		c := b.dial()
		_, err := c.Write(binary.BigEndian.AppendUint32(nil, 100<<20))
		require.NoError(t, err)
		sent := int64(0)
		for _, n := range []int{0, 1, 1000, 50_000, 300_000, 2 << 20} {
			_, err := c.Write(make([]byte, n))
			require.NoError(t, err)
			sent += int64(n)
			eventually(t, "read", func() bool { return st.BytesIn.Load() == 4+sent })
			require.LessOrEqual(t, st.InFlight.Load(), max(trusted, 2*sent), "after %d bytes", sent)
			require.GreaterOrEqual(t, st.InFlight.Load(), sent)
		}
		require.Zero(t, st.Frames.Load())
		c.Close()
		eventually(t, "given back", func() bool { return st.InFlight.Load() == 0 })
	})
}

// TestHalfClose: what was asked before the end is answered.
func TestHalfClose(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo})
		c := b.dial()
		var all []byte
		for i := range 300 {
			all = append(all, frame(fmt.Append(nil, "request ", i))...)
		}
		_, err := c.Write(all)
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		for i := range 300 {
			c.expect(fmt.Append(nil, "request ", i))
		}
		c.expectEnd()
	})
}
