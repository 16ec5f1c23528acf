package netio

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds every wait of the suite. It is no measurement: what takes so
// long hangs.
const patience = 30 * time.Second

// suite runs a test over every engine with every pool.
func suite(t *testing.T, test func(t *testing.T, b *bench)) {
	for _, e := range engines {
		for _, p := range pools {
			t.Run("engine="+e.name+"/pool="+p.name, func(t *testing.T) {
				cfg := Defaults()
				cfg.Engine, cfg.Pool = e.name, p.name
				b := &bench{t: t, cfg: cfg, rnd: rand.New(rand.NewPCG(1, 2))}
				b.cfg.Logger = slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				b.fds = openFiles(t)
				test(t, b)
				b.finish()
			})
		}
	}
}

// bench is one server under test, with the clients and parts that belong to it.
type bench struct {
	t   testing.TB
	cfg Config
	log logBuffer
	rnd *rand.Rand
	fds int

	srv     *server
	clients []*client
	parts   []*testPart
	closed  sync.Map // *Conn → *atomic.Int32, calls of Closed
	stop    bool     // the test has stopped the server itself
}

// start serves h. Its Closed is counted for finish.
func (b *bench) start(h testHandler) {
	b.t.Helper()
	s, err := Listen("127.0.0.1:0", b.cfg, &countingHandler{h, b})
	require.NoError(b.t, err)
	b.srv = s.(*server)
	b.t.Cleanup(func() { // a test that failed leaves nothing to the next
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = b.srv.Stop(now)
	})
}

// finish ends all clients and the server, then checks that everything was given
// back: buffers, parts, slots, descriptors, goroutines.
func (b *bench) finish() {
	t := b.t
	for _, c := range b.clients {
		c.Close()
	}
	if !b.stop {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, b.srv.Stop(ctx))
	}
	st := &b.srv.stats
	eventually(t, "buffers given back", func() bool { return st.Pool.Gets.Load() == st.Pool.Puts.Load() })
	for name, v := range map[string]*atomic.Int64{
		"connections": &st.Connections, "slots": &st.Slots, "in flight": &st.InFlight, "stashed": &st.Stashed, "paused": &st.Paused,
	} {
		require.Zero(t, v.Load(), name)
	}
	var closed int64
	for i := range st.Closed {
		closed += st.Closed[i].Load()
	}
	require.Equal(t, st.Accepted.Load(), closed, "each connection closes for one reason")
	b.closed.Range(func(_, n any) bool {
		require.EqualValues(t, 1, n.(*atomic.Int32).Load(), "calls of Closed")
		return true
	})
	for i, p := range b.parts {
		require.EqualValues(t, 1, p.released.Load(), "releases of part %d", i)
	}
	eventually(t, "goroutines ended", func() bool { return ourGoroutines() == "" })
	eventually(t, "descriptors closed", func() bool { return openFiles(t) <= b.fds })
	for _, line := range strings.Split(b.log.String(), "\n") {
		require.NotContains(t, line, "level=ERROR", "unless the test took it out")
	}
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("did not come true: %s\n%s", what, ourGoroutines())
		}
		time.Sleep(time.Millisecond)
	}
}

// ourGoroutines are the stacks of those that a server has started. The worker
// pool that gnet starts when it is loaded is not among them.
func ourGoroutines() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var ours []string
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "netio.(*server)") || strings.Contains(g, "netio.(*goLink)") ||
			strings.Contains(g, "netio.(*writePoller)") || strings.Contains(g, "gnet/v2.(*eventloop)") {
			ours = append(ours, g)
		}
	}
	return strings.Join(ours, "\n\n")
}

func openFiles(t testing.TB) int {
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(names)
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// take removes the lines that contain s and returns them: the test expected
// them.
func (l *logBuffer) take(s string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var taken, kept []string
	for _, line := range strings.Split(l.b.String(), "\n") {
		if strings.Contains(line, s) {
			taken = append(taken, line)
		} else {
			kept = append(kept, line)
		}
	}
	l.b.Reset()
	l.b.WriteString(strings.Join(kept, "\n"))
	return strings.Join(taken, "\n")
}

// testHandler is a Handler made of functions; those that are nil do nothing.
type testHandler struct {
	serve  func(*Frame)
	resume func(*Frame)
	closed func(*Conn)
	admit  func(netip.Addr) time.Duration
}

// countingHandler adds what every test wants checked: that calls for one
// connection never overlap, and that none follows Closed.
type countingHandler struct {
	h testHandler
	b *bench
}

// inside is Conn.Value. Its field is deliberately not atomic: the race detector
// sees calls that overlap.
type inside struct{ calls int }

func (h *countingHandler) enter(c *Conn) func() {
	if _, gone := h.b.closed.Load(c); gone {
		panic("called after Closed")
	}
	in, _ := c.Value.(*inside)
	if in == nil {
		in = &inside{}
		c.Value = in
	}
	if in.calls++; in.calls != 1 {
		panic("calls for one connection overlap")
	}
	return func() { in.calls-- }
}

func (h *countingHandler) Serve(f *Frame) {
	leave := h.enter(f.Conn())
	h.h.serve(f)
	leave()
}

func (h *countingHandler) Resume(f *Frame) {
	leave := h.enter(f.Conn())
	h.h.resume(f)
	leave()
}

func (h *countingHandler) Admit(from netip.Addr) time.Duration {
	if h.h.admit == nil {
		return 0
	}
	return h.h.admit(from)
}

func (h *countingHandler) Closed(c *Conn) {
	n, again := h.b.closed.LoadOrStore(c, new(atomic.Int32))
	n.(*atomic.Int32).Add(1)
	if !again && h.h.closed != nil {
		h.h.closed(c)
	}
}

// reply answers f with memory.
func (b *bench) reply(f *Frame, body []byte) {
	buf := f.Conn().Pool().Get(4 + len(body))
	copy(buf.B[4:], body)
	f.Reply(Reply{Buf: buf})
}

func (b *bench) echo(f *Frame) { b.reply(f, f.Bytes()) }

// client is a peer that speaks frames.
type client struct {
	*net.TCPConn
	t testing.TB
}

func (b *bench) dial() *client {
	b.t.Helper()
	nc, err := net.Dial("tcp", b.srv.Addr().String())
	require.NoError(b.t, err)
	require.NoError(b.t, nc.SetDeadline(time.Now().Add(patience)))
	c := &client{nc.(*net.TCPConn), b.t}
	b.clients = append(b.clients, c)
	return c
}

func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func (c *client) send(body []byte) {
	c.t.Helper()
	_, err := c.Write(frame(body))
	require.NoError(c.t, err)
}

// recv reads one reply. It may run beside the test: it returns its error.
func (c *client) recv() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(c, body)
	return body, err
}

func (c *client) expect(want []byte) {
	c.t.Helper()
	got, err := c.recv()
	require.NoError(c.t, err)
	if !bytes.Equal(want, got) {
		require.FailNow(c.t, "wrong reply", "want %d bytes %.40q, got %d bytes %.40q", len(want), want, len(got), got)
	}
}

// expectEnd waits for the connection to be closed, in whatever manner.
func (c *client) expectEnd() {
	c.t.Helper()
	n, err := c.Read(make([]byte, 1))
	require.Zero(c.t, n)
	require.Error(c.t, err)
	require.False(c.t, isTimeout(err), "still open")
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

func (b *bench) random(n int) []byte {
	p := make([]byte, n+7)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], b.rnd.Uint64())
	}
	return p[:n]
}

// testPart is a part of one of the three kinds.
type testPart struct {
	kind     partKind
	data     []byte // what it sends
	file     *os.File
	off      int64
	released atomic.Int32
}

type partKind int

const (
	filePart partKind = iota
	memoryPart
	copiedPart
	partKinds
)

func (k partKind) String() string { return [...]string{"file", "memory", "copied"}[k] }

var _ Part = &testPart{}

func (p *testPart) Len() int64 { return int64(len(p.data)) }

func (p *testPart) File() (*os.File, int64, bool) {
	p.live()
	return p.file, p.off, p.kind == filePart
}

func (p *testPart) Bytes() []byte {
	p.live()
	if p.kind == memoryPart {
		return p.data
	}
	return nil
}

func (p *testPart) ReadAt(b []byte, off int64) (int, error) {
	p.live()
	if p.kind != copiedPart {
		panic("a part that need not be copied is copied")
	}
	return bytes.NewReader(p.data).ReadAt(b, off)
}

func (p *testPart) Release() { p.released.Add(1) }

func (p *testPart) live() {
	if p.released.Load() != 0 {
		panic("a part is used after its release")
	}
}

// source is a file of random bytes that parts are ranges of.
func (b *bench) source(n int) (*os.File, []byte) {
	data := b.random(n)
	f, err := os.CreateTemp(b.t.TempDir(), "source")
	require.NoError(b.t, err)
	_, err = f.Write(data)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { f.Close() })
	b.fds++
	return f, data
}

// part is data[off:off+n] of the file as a part of some kind.
func (b *bench) part(kind partKind, f *os.File, data []byte, off, n int) *testPart {
	p := &testPart{kind: kind, data: data[off : off+n], file: f, off: int64(off)}
	b.parts = append(b.parts, p)
	return p
}
