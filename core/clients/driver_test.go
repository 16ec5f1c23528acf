package clients_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Clients of other languages, and those that need a C compiler, stand apart from
// what `make test` runs: `make test-clients` installs them and names them in a
// file, MILLRACE_CLIENTS. Each comes as a driver: a small program around one
// client that stays up, takes one request a line on its standard input and
// answers each with a line on its standard output, both JSON. Joining that file
// enrols it in every test of drivers and in the tables clients and members.

// installed is what MILLRACE_CLIENTS holds.
type installed struct {
	Drivers []*driver
	// Kafka is Apache Kafka's own programs, by version: the jars as a class path,
	// and the directory with the classes of core/clients/java.
	Kafka []struct{ Version, Jars, Classes string }
}

var extras installed

// driver is one installed client.
type driver struct {
	Name string   // as in the tables
	Argv []string // the program

	about answer

	mu   sync.Mutex
	idle []*instance
	all  []*instance
}

// request says what a driver is to do with a broker. Every operation runs to
// its end before it is answered.
type request struct {
	// hello: says who it is: Client, Version, Codecs, Can.
	// write: appends Records to partition 0 of Topic, acknowledged by all.
	// read: N records of partition 0 from From on, only decided ones if Committed.
	// consume: joins Group, reads N values of Topic (or, from a ^ on, of the topics
	//   that match), commits that, leaves.
	// stream: writes the values 0 to N-1 to partition 0, idempotent, a few
	//   hundred a second, through whatever happens to the broker.
	// transact: six transactions of one value each in Topic under ID, of which
	//   every other is aborted; then a second producer takes ID over, and the
	//   error of the first one's next transaction is answered as Fenced.
	// copy: in transactions under ID, moves Topic's values to To, as a member of
	//   Group, until it is killed.
	// admin: a round trip of Topic.
	Op        string            `json:"op"`
	Broker    string            `json:"broker,omitempty"`
	Topic     string            `json:"topic,omitempty"`
	Codec     string            `json:"codec,omitempty"`
	Records   []wireRecord      `json:"records,omitempty"`
	From      int64             `json:"from"`
	N         int               `json:"n"`
	Committed bool              `json:"committed,omitempty"`
	Group     string            `json:"group,omitempty"`
	ID        string            `json:"id,omitempty"`
	To        string            `json:"to,omitempty"`
	Conf      map[string]string `json:"conf,omitempty"` // the client's own settings
}

type answer struct {
	Error string `json:"error"`

	Client  string   `json:"client"`
	Version string   `json:"version"`
	Codecs  []string `json:"codecs"`
	Can     []string `json:"can"`
	// Assignors are the values for Conf[AssignorKey] that make this client use
	// each assignor it has.
	AssignorKey string            `json:"assignorKey"`
	Assignors   map[string]string `json:"assignors"`
	// EmptyIsNull: the client cannot tell them apart.
	EmptyIsNull bool `json:"emptyIsNull"`
	// NeedsKeyOrValue: the client refuses a record with neither.
	NeedsKeyOrValue bool `json:"needsKeyOrValue"`

	Records []wireRecord `json:"records"`
	Values  []string     `json:"values"`
	Fenced  string       `json:"fenced"`

	// Of admin, in this order: Created with two partitions and retention.ms=7200000;
	// CreatedAgain, the error of that; Retention as described; Partitions after
	// growing to four; Listed; Deleted; ListedAfterwards.
	Created          bool   `json:"created"`
	CreatedAgain     string `json:"createdAgain"`
	Retention        string `json:"retention"`
	Partitions       int    `json:"partitions"`
	Listed           bool   `json:"listed"`
	Deleted          bool   `json:"deleted"`
	ListedAfterwards bool   `json:"listedAfterwards"`
}

// wireRecord is a record as JSON; encoding/json writes nil as null and bytes in
// base64.
type wireRecord struct {
	Key     []byte  `json:"key"`
	Value   []byte  `json:"value"`
	Headers [][]any `json:"headers"` // [name, value]
	Time    int64   `json:"time"`
	Offset  int64   `json:"offset"`
}

func (d *driver) can(op string) bool { return slices.Contains(d.about.Can, op) }

// instance is one running driver.
type instance struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	errs *syncBuffer
}

func (d *driver) start() (*instance, error) {
	i := &instance{cmd: exec.Command(d.Argv[0], d.Argv[1:]...), errs: &syncBuffer{}}
	i.cmd.Stderr = i.errs
	in, err := i.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := i.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	i.in, i.out = in, bufio.NewReaderSize(out, 1<<20)
	if err := i.cmd.Start(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.all = append(d.all, i)
	d.mu.Unlock()
	return i, nil
}

func (i *instance) kill() {
	_ = i.cmd.Process.Kill()
	_ = i.cmd.Wait()
}

// ask sends one request and waits for its answer, at most patience.
func (i *instance) ask(r request) (a answer, err error) {
	line, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	late := time.AfterFunc(patience, func() { _ = i.cmd.Process.Kill() })
	defer late.Stop()
	if _, err := i.in.Write(append(line, '\n')); err != nil {
		return a, fmt.Errorf("%s: %w\n%s", r.Op, err, i.errs.tail(4<<10))
	}
	got, err := i.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("%s: no answer within %s: %w\n%s", r.Op, patience, err, i.errs.tail(4<<10))
	}
	dec := json.NewDecoder(bytes.NewReader(got))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return a, fmt.Errorf("%s: %w in %.300s", r.Op, err, got)
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s\n%s", r.Op, a.Error, i.errs.tail(4<<10))
	}
	return a, nil
}

// mostIdle is how many instances wait for more to do: a JVM holds 200 MB.
const mostIdle = 2

// ask lets an instance that has nothing to do, or a new one, do something.
func (d *driver) ask(r request) (answer, error) {
	d.mu.Lock()
	var i *instance
	if n := len(d.idle); n > 0 {
		i, d.idle = d.idle[n-1], d.idle[:n-1]
	}
	d.mu.Unlock()
	if i == nil {
		var err error
		if i, err = d.start(); err != nil {
			return answer{}, err
		}
	}
	a, err := i.ask(r)
	if err != nil {
		i.kill()
		return a, fmt.Errorf("%s: %w", d.Name, err)
	}
	d.mu.Lock()
	keep := len(d.idle) < mostIdle
	if keep {
		d.idle = append(d.idle, i)
	}
	d.mu.Unlock()
	if !keep {
		i.kill()
	}
	return a, nil
}

func (d *driver) do(t *testing.T, r request) answer {
	t.Helper()
	a, err := d.ask(r)
	require.NoError(t, err)
	return a
}

// enrol reads MILLRACE_CLIENTS and adds what it names to the tables.
func enrol() error {
	file := os.Getenv("MILLRACE_CLIENTS")
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, &extras); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, d := range extras.Drivers {
		if d.about, err = d.ask(request{Op: "hello"}); err != nil {
			return err
		}
		if d.can("write") || d.can("read") {
			clients = append(clients, d.client())
		}
		if d.can("consume") {
			members = append(members, member{d.Name, d.member(nil)})
		}
	}
	return nil
}

// dismiss ends all drivers.
func dismiss() {
	for _, d := range extras.Drivers {
		for _, i := range d.all {
			i.kill()
		}
	}
}

func (d *driver) client() client {
	c := client{name: d.Name, codecs: d.about.Codecs, reads: d.about.Codecs, emptyIsNull: d.about.EmptyIsNull}
	c.write = func(t *testing.T, addr, topic, codec string) []record {
		rs := slices.DeleteFunc(corpus(), func(r record) bool { return d.about.NeedsKeyOrValue && r.Key == nil && r.Value == nil })
		d.do(t, request{Op: "write", Broker: addr, Topic: topic, Codec: codec, Records: toWire(rs)})
		return rs
	}
	if d.can("read") {
		c.read = func(t *testing.T, addr, topic string, from int64, n int) []record {
			a := d.do(t, request{Op: "read", Broker: addr, Topic: topic, From: from, N: n})
			rs, err := fromWire(a.Records)
			require.NoError(t, err)
			return rs
		}
	}
	return c
}

func (d *driver) member(conf map[string]string) func(*testing.T, string, string, string, int) []string {
	return func(t *testing.T, addr, group, topic string, n int) []string {
		return d.do(t, request{Op: "consume", Broker: addr, Topic: topic, Group: group, N: n, Conf: conf}).Values
	}
}

func toWire(rs []record) (ws []wireRecord) {
	for _, r := range rs {
		w := wireRecord{Key: r.Key, Value: r.Value, Time: r.Time, Headers: [][]any{}}
		for _, h := range r.Headers {
			w.Headers = append(w.Headers, []any{h.Key, h.Value})
		}
		ws = append(ws, w)
	}
	return ws
}

func fromWire(ws []wireRecord) (rs []record, err error) {
	for _, w := range ws {
		r := record{Offset: w.Offset, Time: w.Time, Key: w.Key, Value: w.Value}
		for _, h := range w.Headers {
			if len(h) != 2 {
				return nil, errors.New("a header is a name and a value")
			}
			name, ok := h[0].(string)
			if !ok {
				return nil, fmt.Errorf("a header's name is %v", h[0])
			}
			hd := header{Key: name}
			if h[1] != nil {
				// Decoded as a string: let encoding/json undo the base64.
				quoted, _ := json.Marshal(h[1])
				if err := json.Unmarshal(quoted, &hd.Value); err != nil {
					return nil, err
				}
			}
			r.Headers = append(r.Headers, hd)
		}
		rs = append(rs, r)
	}
	return rs, nil
}
