package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// link is one connection between a coordinator and an agent: JSON, a line each.
// Either side says something at least once a second, so that silence means that
// the other is gone. send is safe for concurrent use, receive is for one
// goroutine.
type link struct {
	nc net.Conn
	in *bufio.Reader
	mu sync.Mutex // one line at a time
}

// Bounds of a line in bytes, and of the silence before one.
const (
	maxOrder  = 4 << 20   // to an agent
	maxReport = 256 << 20 // from one: the account of every partition
	silence   = 10 * time.Second
	pulse     = 100 * time.Millisecond // between two statuses
)

func newLink(nc net.Conn) *link { return &link{nc: nc, in: bufio.NewReaderSize(nc, 64<<10)} }

var errTooLong = errors.New("more than a message may be")

func (l *link) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.nc.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	_, err = l.nc.Write(append(b, '\n'))
	return err
}

// receive reads one line of at most limit bytes into v. Memory is taken for what
// has come, never for what is announced.
func (l *link) receive(v any, limit int) error {
	if err := l.nc.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return fmt.Errorf("%w (%d bytes)", errTooLong, limit)
		}
		if err == nil {
			if line == nil {
				line = part
			} else {
				line = append(line, part...)
			}
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if line = append(line, part...); l.nc.SetReadDeadline(time.Now().Add(silence)) != nil {
			return err
		}
	}
	if err := json.Unmarshal(bytes.TrimSpace(line), v); err != nil {
		return fmt.Errorf("not a message of an agent: %w", err)
	}
	return nil
}

// order is what a coordinator says.
type order struct {
	Do      string
	Version string          `json:",omitempty"`
	Token   string          `json:",omitempty"`
	Job     json.RawMessage `json:",omitempty"` // of doJob
}

const (
	doHello   = "hello"   // who are you?
	doJob     = "job"     // connect, and say when all is ready
	doStart   = "start"   // the load
	doCurtail = "curtail" // the sending
	doFinish  = "finish"  // everything has been read
	doStop    = "stop"    // everything
	doPing    = "ping"    // nothing
)

// word is what an agent says.
type word struct {
	Is      string
	Error   string           `json:",omitempty"` // of isError, isResult
	Gone    bool             `json:",omitempty"` // the error is ErrTargetGone
	Version string           `json:",omitempty"` // of isHello, as is Env
	Env     json.RawMessage  `json:",omitempty"`
	Ceiling *CeilingResult   `json:",omitempty"` // of isReady; nil: not taken
	Status  *status          `json:",omitempty"`
	Sample  *Sample          `json:",omitempty"`
	Streams []streamSnapshot `json:",omitempty"` // of isFlushed
	// Of isResult; its phases are without their Phase, which is that of the spec
	// at the place that Index says.
	Result   *Result           `json:",omitempty"`
	Index    []int             `json:",omitempty"`
	Readings []readingSnapshot `json:",omitempty"`
}

const (
	isHello   = "hello"
	isReady   = "ready"
	isStatus  = "status"
	isSample  = "sample"
	isFlushed = "flushed"
	isResult  = "result"
	isError   = "error"
)

// status is how far an agent is, about ten times a second.
type status struct {
	Tick     int64 // how many pulses after the start, from 1; 0: before it
	Acked    int64
	Fresh    []int64   `json:",omitempty"` // seen for the first time, by group
	Assigned []int     `json:",omitempty"` // partitions that a group's members here have, by group
	Next     [][]int64 `json:",omitempty"` // where the readers are, by group and partition; once all is sent
}
