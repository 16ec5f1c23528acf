package netio

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOrderOfReplies: many goroutines answer in any order, some in Serve; the
// replies leave in the order of the requests.
func TestOrderOfReplies(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		const n = 3000
		work, done := make(chan *Frame, n), make(chan struct{})
		var workers sync.WaitGroup
		for w := range 4 {
			rnd := rand.New(rand.NewPCG(uint64(w), 0))
			workers.Go(func() {
				for {
					var f *Frame
					select {
					case f = <-work:
					case <-done:
						return
					}
					// Collect some, as long as there are any: to hold them for
					// longer would keep the queue full for ever.
					held := []*Frame{f}
					for want := rnd.IntN(40); len(held) < want && len(work) > 0; {
						select {
						case f := <-work:
							held = append(held, f)
						default:
						}
					}
					rnd.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
					for _, f := range held {
						b.echo(f)
					}
				}
			})
		}
		b.start(testHandler{serve: func(f *Frame) {
			if f.Bytes()[3]%3 == 0 {
				b.echo(f)
			} else {
				work <- f
			}
		}})
		c := b.dial()
		go c.numbered(n, 4)
		for i := range n {
			c.expect(binary.BigEndian.AppendUint32(nil, uint32(i)))
		}
		close(done)
		workers.Wait()
	})
}

// TestMixedParts: replies of memory and parts of every kind in any order, empty
// ones too, some answered elsewhere, read at changing speed.
func TestMixedParts(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		file, data := b.source(3 << 20)
		const n = 60
		var want [n]uint32
		type planned struct {
			mem     []byte
			inserts []Insert
		}
		var plan [n]planned
		total := 0
		for i := range plan {
			p := &plan[i]
			p.mem = b.random(b.rnd.IntN(1500))
			sum := crc32.NewIEEE()
			at := 0
			for range b.rnd.IntN(7) {
				next := at + b.rnd.IntN(len(p.mem)-at+1)
				sum.Write(p.mem[at:next])
				at = next
				size := [...]int{0, 1, 700, 5000, 300_000, 1_200_000}[b.rnd.IntN(6)]
				off := b.rnd.IntN(len(data) - size + 1)
				part := b.part(partKind(b.rnd.IntN(int(partKinds))), file, data, off, size)
				sum.Write(part.data)
				total += size
				p.inserts = append(p.inserts, Insert{4 + at, part})
			}
			sum.Write(p.mem[at:])
			want[i] = sum.Sum32()
		}
		answer := func(f *Frame) {
			p := plan[f.Bytes()[0]]
			buf := f.Conn().Pool().Get(4 + len(p.mem))
			copy(buf.B[4:], p.mem)
			f.Reply(Reply{buf, append(f.Inserts(), p.inserts...)})
		}
		b.start(testHandler{serve: func(f *Frame) {
			if f.Bytes()[0]%4 == 0 {
				go answer(f)
			} else {
				answer(f)
			}
		}})
		c := b.dial()
		var all []byte
		for i := range n {
			all = append(all, frame([]byte{byte(i)})...)
		}
		_, err := c.Write(all)
		require.NoError(t, err)
		for i := range n {
			if i%20 == 0 {
				time.Sleep(2 * time.Millisecond) // let the socket fill up
			}
			got, err := c.recv()
			require.NoError(t, err)
			require.Equal(t, want[i], crc32.ChecksumIEEE(got), "reply %d of %d bytes", i, len(got))
		}
		require.Greater(t, total, 10<<20)
	})
}

// TestSlowReaderDelaysNobody: on one loop, a peer that does not read its 24 MiB,
// more than the kernel's buffers take,
// leaves the others served, and gets them in the end.
func TestSlowReaderDelaysNobody(t *testing.T) {
	for _, kind := range []partKind{filePart, memoryPart, copiedPart} {
		t.Run("part="+kind.String(), func(t *testing.T) {
			suite(t, func(t *testing.T, b *bench) {
				b.cfg.Loops = 1
				file, data := b.source(8 << 20)
				b.start(testHandler{serve: func(f *Frame) {
					if f.Bytes()[0] != 'B' {
						b.echo(f)
						return
					}
					ins := f.Inserts()
					for range 3 {
						ins = append(ins, Insert{4, b.part(kind, file, data, 0, len(data))})
					}
					f.Reply(Reply{f.Conn().Pool().Get(4), ins})
				}})
				slow, fast := b.dial(), b.dial()
				slow.send([]byte("B"))
				eventually(t, "slow one begun", func() bool { return b.srv.stats.BytesOut.Load() > 0 })
				for range 300 {
					fast.send([]byte("hello"))
					fast.expect([]byte("hello"))
				}
				require.EqualValues(t, 1, b.srv.stats.Slots.Load())
				var head [4]byte
				_, err := io.ReadFull(slow, head[:])
				require.NoError(t, err)
				require.EqualValues(t, 3*len(data), binary.BigEndian.Uint32(head[:]))
				buf := make([]byte, len(data))
				for i := range 3 {
					_, err := io.ReadFull(slow, buf)
					require.NoError(t, err)
					require.True(t, bytes.Equal(buf, data), "repetition %d", i)
				}
			})
		})
	}
}

// TestPeerVanishes in the middle of a reply, with and without a reset: the
// parts are released and nobody else notices.
func TestPeerVanishes(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		file, data := b.source(16 << 20)
		b.start(testHandler{serve: func(f *Frame) {
			if f.Bytes()[0] != 'B' {
				b.echo(f)
				return
			}
			var ins []Insert
			for k := range partKinds {
				ins = append(ins, Insert{4, b.part((k+partKind(f.Bytes()[1]))%partKinds, file, data, 0, len(data))})
			}
			f.Reply(Reply{f.Conn().Pool().Get(4), ins})
		}})
		other := b.dial()
		for i := range 6 {
			c := b.dial()
			c.send([]byte{'B', byte(i)})
			c.send([]byte{'B', byte(i)})
			_, err := io.ReadFull(c, make([]byte, 100_000))
			require.NoError(t, err)
			if i < 3 {
				require.NoError(t, c.SetLinger(0))
			}
			c.Close()
			eventually(t, "closed", func() bool { return b.srv.stats.Connections.Load() == 1 })
			other.send([]byte("hello"))
			other.expect([]byte("hello"))
		}
		require.EqualValues(t, 6, b.srv.stats.Closed[ClosedByPeer].Load())
	})
}

// TestShortFile: a promised range that the file does not have closes the
// connection, and is an error of ours to log.
func TestShortFile(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		file, data := b.source(1 << 20)
		b.start(testHandler{serve: func(f *Frame) {
			if f.Bytes()[0] == 'e' {
				b.echo(f)
				return
			}
			f.Reply(Reply{f.Conn().Pool().Get(4), []Insert{{4, b.part(filePart, file, data, 0, len(data))}}})
		}})
		other := b.dial()
		require.NoError(t, file.Truncate(1000))
		c := b.dial()
		c.send([]byte("B"))
		got, err := io.ReadAll(c)
		if err == nil {
			require.Len(t, got, 4+1000)
		}
		eventually(t, "said", func() bool {
			return strings.Contains(b.log.take("level=ERROR"), "ends at 1000, 1047576 bytes before the end of the range")
		})
		require.EqualValues(t, 1, b.srv.stats.Closed[ClosedSource].Load())
		other.send([]byte("e"))
		other.expect([]byte("e"))
	})
}

// TestFailedCopy: the same for a part that is copied.
func TestFailedCopy(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: func(f *Frame) {
			p := &failingPart{}
			b.parts = append(b.parts, &p.testPart)
			p.kind, p.data = copiedPart, make([]byte, 1000)
			f.Reply(Reply{f.Conn().Pool().Get(4), []Insert{{4, p}}})
		}})
		c := b.dial()
		c.send([]byte("B"))
		c.expectEnd()
		eventually(t, "said", func() bool { return strings.Contains(b.log.take("level=ERROR"), "unexpected EOF") })
	})
}

type failingPart struct{ testPart }

func (p *failingPart) ReadAt([]byte, int64) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestFailAndDrop: a dropped slot vanishes; a failed one ends the connection
// after the replies before it, and what follows is not served.
func TestFailAndDrop(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		var after atomic.Int32
		parked := make(chan *Frame, 1)
		b.start(testHandler{serve: func(f *Frame) {
			switch f.Bytes()[0] {
			case 'p':
				parked <- f
			case 'd':
				f.Drop()
			case 'f':
				f.Fail(io.ErrNoProgress)
			case 'a':
				after.Add(1)
				b.echo(f)
			default:
				b.echo(f)
			}
		}})
		c := b.dial()
		var all []byte
		for _, s := range []string{"1", "d", "2", "d", "d", "p", "d", "3", "f", "a", "d", "a"} {
			all = append(all, frame([]byte(s))...)
		}
		_, err := c.Write(all)
		require.NoError(t, err)
		c.expect([]byte("1"))
		c.expect([]byte("2"))
		f := <-parked
		require.EqualValues(t, 1, b.srv.stats.Connections.Load(), "it lives while replies before the failure are due")
		b.reply(f, []byte("late"))
		c.expect([]byte("late"))
		c.expect([]byte("3"))
		c.expectEnd()
		require.Zero(t, after.Load())
		eventually(t, "closed", func() bool { return b.srv.stats.Closed[ClosedByHandler].Load() == 1 })
		require.Contains(t, b.log.String(), io.ErrNoProgress.Error())
	})
}

// TestAnsweringTwiceIsOurBug, while the frame is still known to be answered.
func TestAnsweringTwiceIsOurBug(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		got := make(chan any, 1)
		b.start(testHandler{serve: func(f *Frame) {
			f.Drop()
			defer func() { got <- recover() }()
			f.Drop()
		}})
		b.dial().send([]byte("x"))
		require.Equal(t, "BUG: frame answered twice", <-got)
	})
}
