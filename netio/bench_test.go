package netio

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// rawClient is a blocking socket that allocates nothing, so that what a
// benchmark counts is the server's.
type rawClient struct {
	t  testing.TB
	fd int
}

func (b *bench) rawDial() *rawClient {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { unix.Close(fd) })
	b.fds++
	require.NoError(b.t, unix.Connect(fd, &unix.SockaddrInet4{Port: portOf(b), Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(b.t, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	return &rawClient{b.t, fd}
}

func (c *rawClient) write(p []byte) {
	for len(p) > 0 {
		n, err := syscall.Write(c.fd, p)
		if err != nil {
			c.t.Fatal(err)
		}
		p = p[n:]
	}
}

// read takes n bytes and looks at none.
func (c *rawClient) read(buf []byte, n int) {
	for n > 0 {
		k, err := syscall.Read(c.fd, buf[:min(n, len(buf))])
		if err != nil || k == 0 {
			c.t.Fatal(io.EOF, err)
		}
		n -= k
	}
}

func newBench(tb testing.TB, engine, pool string) *bench {
	b := &bench{t: tb, cfg: Defaults()}
	b.cfg.Engine, b.cfg.Pool = engine, pool
	return b
}

// serveBare is start without what the suite counts.
func (b *bench) serveBare(serve func(*Frame)) {
	s, err := Listen("127.0.0.1:0", b.cfg, bareHandler(serve))
	require.NoError(b.t, err)
	b.srv = s.(*server)
	b.t.Cleanup(func() { _ = b.srv.Stop(b.t.Context()) })
}

type bareHandler func(*Frame)

func (h bareHandler) Serve(f *Frame) { h(f) }
func (bareHandler) Resume(*Frame)    {}
func (bareHandler) Closed(*Conn)     {}

// ack answers with eight bytes.
func ack(f *Frame) {
	r := f.Conn().Pool().Get(12)
	binary.BigEndian.PutUint64(r.B[4:], uint64(len(f.Bytes())))
	f.Reply(Reply{Buf: r})
}

// TestNoAllocations: in the steady state of either engine a request and its
// reply allocate nothing, whatever their size and parts.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		return // the detector makes sync.Pool forget on purpose
	}
	for _, e := range engines {
		for _, pool := range []string{"bytebufferpool", "classes"} {
			testNoAllocations(t, e.name, pool)
		}
	}
}

func testNoAllocations(t *testing.T, engine, pool string) {
	for _, size := range []int{100, 64 << 10, 1 << 20} {
		for _, what := range []string{"memory", "file", "copied"} {
			t.Run(fmt.Sprintf("engine=%s/pool=%s/size=%d/reply=%s", engine, pool, size, what), func(t *testing.T) {
				b := newBench(t, engine, pool)
				b.cfg.Loops = 1
				part := reusable{newSource(t, size), int64(size), what == "file"}
				b.serveBare(func(f *Frame) {
					if what == "memory" {
						ack(f)
						return
					}
					f.Reply(Reply{f.Conn().Pool().Get(12), append(f.Inserts(), Insert{8, &part})})
				})
				c := b.rawDial()
				req := frame(make([]byte, size))
				buf := make([]byte, 1<<20)
				reply := 12
				if what != "memory" {
					reply += size
				}
				round := func() {
					c.write(req)
					c.read(buf, reply)
				}
				for range 20 {
					round()
				}
				// A collection in between may empty the pools; three tries at
				// once all meeting one would be no accident.
				least := testing.AllocsPerRun(50, round)
				for range 2 {
					least = min(least, testing.AllocsPerRun(50, round))
				}
				require.Zero(t, least)
			})
		}
	}
}

// reusable is a part that can be sent again and again.
type reusable struct {
	file   *os.File
	n      int64
	asFile bool
}

func (p *reusable) Len() int64                              { return p.n }
func (p *reusable) File() (*os.File, int64, bool)           { return p.file, 0, p.asFile }
func (p *reusable) Bytes() []byte                           { return nil }
func (p *reusable) ReadAt(b []byte, off int64) (int, error) { return p.file.ReadAt(b, off) }
func (p *reusable) Release()                                {}

func newSource(tb testing.TB, n int) *os.File {
	f, err := os.CreateTemp(tb.TempDir(), "source")
	require.NoError(tb, err)
	_, err = f.Write(make([]byte, n))
	require.NoError(tb, err)
	tb.Cleanup(func() { f.Close() })
	return f
}

// BenchmarkEcho: small requests, depth of them sent together.
func BenchmarkEcho(bb *testing.B) {
	for _, e := range engines {
		for _, depth := range []int{1, 16, 256} {
			bb.Run(fmt.Sprintf("engine=%s/depth=%d", e.name, depth), func(bb *testing.B) {
				b := newBench(bb, e.name, "classes")
				b.serveBare(ack)
				c := b.rawDial()
				var reqs []byte
				for range depth {
					reqs = append(reqs, frame(make([]byte, 100))...)
				}
				buf := make([]byte, 64<<10)
				bb.ReportAllocs()
				bb.ResetTimer()
				for n := bb.N; n > 0; n -= depth {
					c.write(reqs)
					c.read(buf, 12*depth)
				}
			})
		}
	}
}

// BenchmarkRequest: large requests in, small replies out, four on the way.
func BenchmarkRequest(bb *testing.B) {
	for _, e := range engines {
		for _, p := range pools {
			for _, size := range []int{64 << 10, 1 << 20} {
				bb.Run(fmt.Sprintf("engine=%s/pool=%s/size=%dKiB", e.name, p.name, size>>10), func(bb *testing.B) {
					b := newBench(bb, e.name, p.name)
					b.serveBare(ack)
					c := b.rawDial()
					req := frame(make([]byte, size))
					go func() {
						for range bb.N {
							c.write(req)
						}
					}()
					buf := make([]byte, 64<<10)
					bb.SetBytes(int64(size))
					bb.ReportAllocs()
					bb.ResetTimer()
					c.read(buf, 12*bb.N)
				})
			}
		}
	}
}

// BenchmarkReply: 1 MiB replies per kind of part, four asked for in advance.
func BenchmarkReply(bb *testing.B) {
	const size = 1 << 20
	for _, e := range engines {
		for kind := range partKinds {
			bb.Run(fmt.Sprintf("engine=%s/part=%s", e.name, kind), func(bb *testing.B) {
				b := newBench(bb, e.name, "classes")
				file := newSource(bb, size)
				part := Part(&reusable{file, size, kind == filePart})
				if kind == memoryPart {
					part = memory(make([]byte, size))
				}
				b.serveBare(func(f *Frame) {
					f.Reply(Reply{f.Conn().Pool().Get(12), append(f.Inserts(), Insert{12, part})})
				})
				c := b.rawDial()
				req := frame(make([]byte, 50))
				buf := make([]byte, 256<<10)
				bb.SetBytes(size)
				bb.ReportAllocs()
				for range 4 {
					c.write(req)
				}
				bb.ResetTimer()
				for range bb.N {
					c.write(req)
					c.read(buf, 12+size)
				}
			})
		}
	}
}

type memory []byte

func (p memory) Len() int64                        { return int64(len(p)) }
func (p memory) File() (*os.File, int64, bool)     { return nil, 0, false }
func (p memory) Bytes() []byte                     { return p }
func (p memory) ReadAt([]byte, int64) (int, error) { return 0, nil }
func (p memory) Release()                          {}

// BenchmarkChurn: a connection, one request, and its end.
func BenchmarkChurn(bb *testing.B) {
	for _, e := range engines {
		bb.Run("engine="+e.name, func(bb *testing.B) {
			b := newBench(bb, e.name, "classes")
			b.serveBare(ack)
			req := frame(make([]byte, 10))
			var buf [12]byte
			for range bb.N {
				c, err := net.Dial("tcp", b.srv.Addr().String())
				if err != nil {
					bb.Fatal(err)
				}
				_, _ = c.Write(req)
				if _, err := io.ReadFull(c, buf[:]); err != nil {
					bb.Fatal(err)
				}
				_ = c.(*net.TCPConn).SetLinger(0) // no ports in TIME_WAIT
				c.Close()
			}
		})
	}
}
