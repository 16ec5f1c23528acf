package netio

import (
	"log/slog"
	"math"
	"time"

	"millrace/internal/knob"
)

// Config is what a server can be told. Defaults fills it in.
type Config struct {
	Engine string // net.engine
	Loops  int    // net.loops
	Pool   string // buffer.pool

	MaxRequestBytes    int64         // socket.request.max.bytes
	SendBufferBytes    int64         // socket.send.buffer.bytes
	ReceiveBufferBytes int64         // socket.receive.buffer.bytes
	Congestion         string        // socket.congestion
	MaxConnections     int           // max.connections
	MaxIdle            time.Duration // connections.max.idle.ms
	QueuedRequests     int           // queued.max.requests
	QueuedBytes        int64         // queued.max.request.bytes

	// Logger takes what the server has to say; nil is slog.Default().
	Logger *slog.Logger
}

// Defaults are the settings of a server that was told nothing. They are
// Kafka's, except that the kernel sizes the socket buffers (Kafka: 100 KiB) and
// that the memory of requests in flight is bounded (Kafka: not).
func Defaults() Config {
	return Config{
		Engine:             "gnet",
		Pool:               "bytebufferpool",
		MaxRequestBytes:    100 << 20,
		SendBufferBytes:    -1,
		ReceiveBufferBytes: -1,
		MaxConnections:     math.MaxInt32,
		MaxIdle:            10 * time.Minute,
		QueuedRequests:     500,
		QueuedBytes:        256 << 20,
	}
}

// Register declares the knobs.
func (c *Config) Register(s *knob.Set) {
	s.Enum(&c.Engine, "net.engine", engineNames(), "how connections are served: gnet event loops, or a goroutine per connection")
	s.Int(&c.Loops, "net.loops", "event loops of the gnet engine; 0: one per CPU", knob.Range(0, 255))
	s.Enum(&c.Pool, "buffer.pool", poolNames(), "where buffers of requests and replies come from")
	s.Bytes(&c.MaxRequestBytes, "socket.request.max.bytes", "largest request; a longer one closes its connection", knob.Range(64, math.MaxInt32))
	s.Bytes(&c.SendBufferBytes, "socket.send.buffer.bytes", "SO_SNDBUF of each connection; -1: the kernel decides", knob.Range(-1, math.MaxInt32))
	s.Bytes(&c.ReceiveBufferBytes, "socket.receive.buffer.bytes", "SO_RCVBUF of each connection; -1: the kernel decides", knob.Range(-1, math.MaxInt32))
	s.String(&c.Congestion, "socket.congestion", "TCP congestion control of each connection, such as reno, cubic or bbr; empty: the system's")
	s.Int(&c.MaxConnections, "max.connections", "connections served at once; more are refused", knob.Range(1, math.MaxInt32))
	s.Duration(&c.MaxIdle, "connections.max.idle.ms", "a connection on which nothing moves for so long is closed; -1: never", knob.Within(-1, math.MaxInt64))
	s.Int(&c.QueuedRequests, "queued.max.requests", "unanswered requests of one connection above which reading from it pauses", knob.Range(1, 1<<20))
	s.Bytes(&c.QueuedBytes, "queued.max.request.bytes", "memory of all unanswered requests and unread answers above which reading pauses; -1: no bound", knob.Range(-1, math.MaxInt64))
}
