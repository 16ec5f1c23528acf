package netio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func portOf(b *bench) int { return b.srv.Addr().(*net.TCPAddr).Port }

// TestWake: goroutines wake parked frames, many at a time. Each wake is followed
// by a Resume, which several may share: the last one is never lost.
func TestWake(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		type parked struct {
			mu    sync.Mutex // no wake once the last one has been seen
			wakes int
		}
		const n, wakes = 200, 50
		frames := make(chan *Frame, n)
		b.start(testHandler{
			serve: func(f *Frame) {
				f.State = &parked{}
				frames <- f
			},
			resume: func(f *Frame) {
				p := f.State.(*parked)
				p.mu.Lock()
				last := p.wakes == wakes
				p.mu.Unlock()
				if last {
					b.echo(f)
				}
			},
		})
		c := b.dial()
		go c.numbered(n, 8)
		var all sync.WaitGroup
		for range n {
			f := <-frames
			p := f.State.(*parked)
			all.Go(func() {
				for range wakes {
					p.mu.Lock()
					p.wakes++
					f.Wake()
					p.mu.Unlock()
				}
			})
		}
		for range n {
			_, err := c.recv()
			require.NoError(t, err, "a wake was lost")
		}
		all.Wait()
		require.LessOrEqual(t, b.srv.stats.Turns.Load(), int64(n*wakes))
	})
}

// TestWakesShareASignal: while the loop is busy, any number of wakes and
// answers for a connection lead to one turn.
func TestWakesShareASignal(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.cfg.Loops = 1
		const n = 100
		var parked []*Frame
		var resumes int
		b.start(testHandler{
			serve: func(f *Frame) {
				if parked = append(parked, f); len(parked) < n {
					return
				}
				st := &f.Conn().srv.stats
				before := st.Turns.Load()
				var others sync.WaitGroup
				for _, f := range parked {
					others.Go(func() {
						for range 10 {
							f.Wake()
						}
					})
				}
				others.Wait()
				require.Equal(t, before, st.Turns.Load(), "the turn that runs will see them all")
			},
			resume: func(f *Frame) {
				resumes++
				b.echo(f)
			},
		})
		c := b.dial()
		go c.numbered(n, 8)
		for range n {
			_, err := c.recv()
			require.NoError(t, err)
		}
		c.Close()
		eventually(t, "closed", func() bool { return b.srv.stats.Connections.Load() == 0 })
		require.Equal(t, n, resumes)
	})
}

// TestUnansweredAtClose: frames may be answered in Closed, or any time after,
// with a reply or without; nothing leaves and all is given back.
func TestUnansweredAtClose(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		file, data := b.source(1 << 20)
		var mu sync.Mutex
		parked := map[*Conn][]*Frame{}
		late := make(chan *Frame, 1000)
		b.start(testHandler{
			serve: func(f *Frame) {
				mu.Lock()
				parked[f.Conn()] = append(parked[f.Conn()], f)
				mu.Unlock()
			},
			resume: func(*Frame) {},
			closed: func(c *Conn) {
				mu.Lock()
				defer mu.Unlock()
				for i, f := range parked[c] {
					if i%2 == 0 {
						late <- f
					} else {
						f.Drop()
					}
				}
			},
		})
		const conns, each = 10, 20
		for range conns {
			c := b.dial()
			c.numbered(each, 100)
		}
		eventually(t, "served", func() bool { return b.srv.stats.Frames.Load() == conns*each })
		for _, c := range b.clients {
			c.Close()
		}
		eventually(t, "closed", func() bool { return b.srv.stats.Connections.Load() == 0 })
		require.EqualValues(t, conns*each/2*100, b.srv.stats.InFlight.Load(), "what is not answered is still held")
		for i := range conns * each / 2 {
			f := <-late
			f.Wake() // leads nowhere
			switch i % 3 {
			case 0:
				f.Drop()
			case 1:
				f.Fail(io.EOF)
			case 2:
				f.Reply(Reply{f.Conn().Pool().Get(4), append(f.Inserts(), Insert{4, b.part(filePart, file, data, 0, 100)})})
			}
		}
		require.Zero(t, b.srv.stats.InFlight.Load())
	})
}

// TestAnswersRaceWithClose: answers come from elsewhere while peers vanish and
// the handler closes connections.
func TestAnswersRaceWithClose(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		var answers sync.WaitGroup
		b.start(testHandler{
			serve: func(f *Frame) {
				answers.Go(func() {
					f.Wake()
					if f.Bytes()[3] == 9 {
						f.Conn().Close(errors.New("enough"))
					}
					b.echo(f)
				})
			},
			resume: func(*Frame) {},
		})
		for i := range 60 {
			c := b.dial()
			if i%2 == 0 {
				c.numbered(5, 4)
				require.NoError(t, c.SetLinger(0))
				c.Close()
			} else {
				c.numbered(20, 4)
			}
		}
		eventually(t, "half closed by the handler, half by peers", func() bool {
			return b.srv.stats.Accepted.Load() == 60 && b.srv.stats.Connections.Load() == 0
		})
		answers.Wait()
	})
}

// TestChurn: connections come and go; finish counts descriptors and goroutines.
func TestChurn(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: b.echo})
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := range 60 {
					nc, err := net.Dial("tcp", b.srv.Addr().String())
					if err != nil {
						t.Error(err)
						return
					}
					if (i+w)%3 != 0 {
						_, _ = nc.Write(frame([]byte("hi")))
						_, _ = io.ReadFull(nc, make([]byte, 6))
					}
					if i%2 == 0 {
						_ = nc.(*net.TCPConn).SetLinger(0)
					}
					nc.Close()
				}
			})
		}
		all.Wait()
		eventually(t, "all closed", func() bool {
			return b.srv.stats.Accepted.Load() == 240 && b.srv.stats.Connections.Load() == 0
		})
	})
}

// TestStopDrains: what was read is answered and leaves, also where the answer
// comes after Stop and the peer reads slowly.
func TestStopDrains(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		file, data := b.source(16 << 20)
		parked := make(chan *Frame, 10)
		b.start(testHandler{serve: func(f *Frame) { parked <- f }})
		idle := b.dial()
		eventually(t, "accepted", func() bool { return b.srv.stats.Connections.Load() == 1 })
		c := b.dial()
		c.send([]byte("1"))
		c.send([]byte("2"))
		one, two := <-parked, <-parked
		stopped := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		go func() { stopped <- b.srv.Stop(ctx) }()
		idle.expectEnd()
		_, err := net.Dial("tcp", b.srv.Addr().String())
		require.Error(t, err, "it does not listen any more")
		b.reply(two, []byte("two"))
		one.Reply(Reply{one.Conn().Pool().Get(4), []Insert{{4, b.part(filePart, file, data, 0, len(data))}}})
		got, err := c.recv()
		require.NoError(t, err)
		require.Equal(t, data, got)
		c.expect([]byte("two"))
		c.expectEnd()
		require.NoError(t, <-stopped)
		require.EqualValues(t, 2, b.srv.stats.Closed[ClosedByStop].Load())
		b.stop = true
	})
}

// TestStopCutsOff: where ctx ends first, Stop closes what is left and says so.
func TestStopCutsOff(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		file, data := b.source(16 << 20)
		b.start(testHandler{serve: func(f *Frame) {
			f.Reply(Reply{f.Conn().Pool().Get(4), []Insert{{4, b.part(filePart, file, data, 0, len(data))}}})
		}})
		c := b.dial()
		c.send([]byte("x"))
		eventually(t, "begun", func() bool { return b.srv.stats.BytesOut.Load() > 0 })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		err := b.srv.Stop(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "1 connections closed before their last reply had left")
		require.Equal(t, err, b.srv.Stop(t.Context()), "a second Stop answers the same")
		b.stop = true
	})
}

// TestStopDuringTraffic: every request that was read is answered, in order, and
// then comes the end.
func TestStopDuringTraffic(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: func(f *Frame) {
			if f.Bytes()[3]%2 == 0 {
				b.echo(f)
			} else {
				go b.echo(f)
			}
		}})
		var all sync.WaitGroup
		var got atomic.Int64
		for range 6 {
			c := b.dial()
			all.Go(func() { c.numbered(math.MaxInt32, 100) })
			all.Go(func() {
				for i := 0; ; i++ {
					body, err := c.recv()
					if err != nil {
						c.Close()
						return
					}
					got.Add(1)
					if want := fmt.Sprintf("%08x", i); fmt.Sprintf("%x", body[:4]) != want {
						t.Errorf("reply %x, want %s", body[:4], want)
					}
				}
			})
		}
		eventually(t, "traffic", func() bool { return got.Load() > 1000 })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		require.NoError(t, b.srv.Stop(ctx))
		all.Wait()
		b.stop = true
	})
}

// TestIdle: connections on which it is for the peer to do something are closed;
// one that waits for the handler is not.
func TestIdle(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.cfg.MaxIdle = 40 * time.Millisecond
		file, data := b.source(16 << 20)
		parked := make(chan *Frame, 1)
		b.start(testHandler{serve: func(f *Frame) {
			switch f.Bytes()[0] {
			case 'p':
				parked <- f
			case 'B':
				f.Reply(Reply{f.Conn().Pool().Get(4), []Insert{{4, b.part(filePart, file, data, 0, len(data))}}})
			}
		}})
		st := &b.srv.stats
		silent, waiting, half, deaf := b.dial(), b.dial(), b.dial(), b.dial()
		waiting.send([]byte("p"))
		f := <-parked
		_, err := half.Write([]byte{0, 0, 1})
		require.NoError(t, err)
		deaf.send([]byte("B"))
		silent.expectEnd()
		half.expectEnd()
		eventually(t, "three closed", func() bool { return st.Closed[ClosedIdle].Load() == 3 })
		require.EqualValues(t, 1, st.Connections.Load())
		b.reply(f, []byte("at last"))
		waiting.expect([]byte("at last"))
		waiting.expectEnd()
	})
}

// TestCloseByHandler from the loop and from elsewhere.
func TestCloseByHandler(t *testing.T) {
	suite(t, func(t *testing.T, b *bench) {
		b.start(testHandler{serve: func(f *Frame) {
			c, inside := f.Conn(), f.Bytes()[0] == 'i'
			b.echo(f)
			if inside {
				c.Close(errors.New("for a reason"))
			} else {
				go c.Close(errors.New("for a reason"))
			}
		}})
		for _, s := range []string{"i", "o"} {
			c := b.dial()
			c.send([]byte(s))
			c.expect([]byte(s))
			c.expectEnd()
		}
		eventually(t, "closed", func() bool { return b.srv.stats.Closed[ClosedByHandler].Load() == 2 })
		require.Contains(t, b.log.String(), "for a reason")
	})
}
