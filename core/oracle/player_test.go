package oracle

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/wire"
)

// patience bounds every wait.
const patience = 30 * time.Second

// answers is the file beside a script.
type answers struct {
	Kafka   string   `json:"kafka"` // the version that gave them
	Answers []answer `json:"answers"`
}

type answer struct {
	Title string   `json:"title,omitempty"`
	Ask   string   `json:"ask"`
	Got   []string `json:"answer"`
}

// player plays scripts to one broker, over one connection at a time.
type player struct {
	t      testing.TB
	addr   string
	settle time.Duration // how long a change takes to be known everywhere
	conn   net.Conn
	within time.Duration // how long an answer may take
	next   int32
	vars   map[string]string
	names  map[string]string // of the values in vars
}

func newPlayer(t testing.TB, addr string, settle time.Duration) *player {
	p := &player{t: t, addr: addr, settle: settle, within: patience, vars: map[string]string{}, names: map[string]string{}}
	p.connect()
	t.Cleanup(func() { p.conn.Close() })
	return p
}

func (p *player) connect() {
	if p.conn != nil {
		p.conn.Close()
	}
	var err error
	p.conn, err = net.DialTimeout("tcp", p.addr, patience)
	require.NoError(p.t, err)
}

func (p *player) set(name, value string) {
	p.vars[name] = value
	p.names[value] = name
}

var (
	errClosed = errors.New("the connection closes")
	errSilent = errors.New("there is no answer")
)

// ask sends a request and reads its answer.
func (p *player) ask(req kmsg.Request) (kmsg.Response, error) {
	p.next++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("oracle")).AppendRequest(nil, req, p.next)
	require.NoError(p.t, p.conn.SetDeadline(time.Now().Add(p.within)))
	_, err := p.conn.Write(frame)
	var length [4]byte
	if err == nil {
		_, err = io.ReadFull(p.conn, length[:])
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		p.connect()
		return nil, errSilent
	}
	if err != nil {
		p.connect()
		return nil, errClosed
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err = io.ReadFull(p.conn, b); err != nil {
		return nil, err
	}
	_, body, err := wire.ParseResponseHeader(b, req.Key(), req.GetVersion())
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, resp.ReadFrom(body)
}

// play plays a script and returns what was answered.
func (p *player) play(script []*command) (out []answer) {
	for _, c := range script {
		switch c.verb {
		case "ask":
			if a := p.playAsk(c); !c.unseen {
				out = append(out, a)
			}
		case "topic":
			p.topic(c.words)
		case "produce":
			p.produce(c)
		case "settle":
			time.Sleep(p.settle)
		case "connect":
			p.connect()
		default:
			p.t.Fatalf("line %d: unknown command %q", c.line, c.verb)
		}
	}
	return out
}

func (p *player) playAsk(c *command) answer {
	a := answer{Title: c.title, Ask: fmt.Sprintf("%s v%d %s", c.api, c.version, strings.TrimSpace(c.body))}
	req, err := c.request(p.vars)
	require.NoError(p.t, err)
	var resp kmsg.Response
	p.until("an answer", func() bool {
		resp, err = p.ask(req)
		return err != nil || len(c.retry) == 0 || !slices.Contains(c.retry, firstError(p.flatten(resp, "")))
	})
	if err != nil {
		a.Got = []string{err.Error()}
		return a
	}
	for _, let := range c.lets {
		v, err := at(reflect.ValueOf(resp), let[1])
		require.NoError(p.t, err, "line %d: let %s = %s of %+v", c.line, let[0], let[1], resp)
		p.set(let[0], v)
	}
	for _, line := range p.flatten(resp, a.Ask) {
		if c.pick == nil || c.pick.MatchString(line) != c.leave {
			a.Got = append(a.Got, line)
		}
	}
	return a
}

// firstError is the first error that an answer names; NONE.
func firstError(lines []string) string {
	for _, l := range lines {
		if path, value, _ := strings.Cut(l, " = "); strings.HasSuffix(path, "ErrorCode") && value != "NONE" {
			return value
		}
	}
	return "NONE"
}

// until waits for a condition.
func (p *player) until(what string, ok func() bool) {
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		require.True(p.t, time.Now().Before(deadline), "waited %v for %s", patience, what)
	}
}

var step = regexp.MustCompile(`([A-Za-z]+)(?:\[(\d+)\])?`)

// at follows a path such as Topics[0].TopicID.
func at(v reflect.Value, path string) (string, error) {
	for _, m := range step.FindAllStringSubmatch(path, -1) {
		v = reflect.Indirect(v)
		if v = v.FieldByName(m[1]); !v.IsValid() {
			return "", fmt.Errorf("no field %s", m[1])
		}
		if m[2] != "" {
			i, _ := strconv.Atoi(m[2])
			if i >= v.Len() {
				return "", fmt.Errorf("%s has %d elements", m[1], v.Len())
			}
			v = v.Index(i)
		}
	}
	v = reflect.Indirect(v)
	if id, ok := v.Interface().([16]byte); ok {
		return base64.RawURLEncoding.EncodeToString(id[:]), nil
	}
	return fmt.Sprint(v.Interface()), nil
}

// topic makes a topic and waits until its partitions serve.
func (p *player) topic(words []string) {
	partitions, err := strconv.Atoi(words[1])
	require.NoError(p.t, err)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = words[0], int32(partitions), 1
	for _, w := range words[2:] {
		rc := kmsg.NewCreateTopicsRequestTopicConfig()
		name, value, _ := strings.Cut(w, "=")
		rc.Name, rc.Value = name, &value
		rt.Configs = append(rt.Configs, rc)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := p.ask(req)
	require.NoError(p.t, err)
	made := resp.(*kmsg.CreateTopicsResponse).Topics[0]
	require.NoError(p.t, kerr.ErrorForCode(made.ErrorCode), "topic %v: %v", words, made.ErrorMessage)
	p.set("id."+words[0], base64.RawURLEncoding.EncodeToString(made.TopicID[:]))
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version, list.ReplicaID = 6, -1
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = words[0]
	for i := range partitions {
		lp := kmsg.NewListOffsetsRequestTopicPartition()
		lp.Partition, lp.Timestamp, lp.CurrentLeaderEpoch = int32(i), -1, -1
		lt.Partitions = append(lt.Partitions, lp)
	}
	list.Topics = append(list.Topics, lt)
	p.until("topic "+words[0], func() bool {
		resp, err := p.ask(list)
		require.NoError(p.t, err)
		return !slices.ContainsFunc(resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions,
			func(lp kmsg.ListOffsetsResponseTopicPartition) bool { return lp.ErrorCode != 0 })
	})
}

// produce appends one batch with fixed times.
func (p *player) produce(c *command) {
	topic, partition, _ := strings.Cut(c.words[0], "/")
	n, err := strconv.Atoi(partition)
	require.NoError(p.t, err)
	var values []any
	for _, w := range c.words[1:] {
		values = append(values, w)
	}
	b, err := records(map[string]any{"values": values, "time": 1000})
	require.NoError(p.t, err)
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = int32(n), b
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := p.ask(req)
	require.NoError(p.t, err)
	require.NoError(p.t, kerr.ErrorForCode(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode), "line %d", c.line)
}

// warm brings up both coordinators.
func (p *player) warm() {
	for _, kind := range []int8{0, 1} {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKey, req.CoordinatorType = 3, "warm", kind
		p.until("an answer", func() bool {
			resp, err := p.ask(req)
			require.NoError(p.t, err)
			return resp.(*kmsg.FindCoordinatorResponse).ErrorCode == 0
		})
	}
	p.until("an answer", func() bool {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 4, kmsg.StringPtr("warm"), 1000
		resp, err := p.ask(req)
		require.NoError(p.t, err)
		return resp.(*kmsg.InitProducerIDResponse).ErrorCode == 0
	})
	for i := range 50 { // a group of every coordinator partition
		p.until("an answer", func() bool {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Version, req.Group, req.MemberID = 3, fmt.Sprint("warm-", i), "nobody"
			resp, err := p.ask(req)
			require.NoError(p.t, err)
			return resp.(*kmsg.HeartbeatResponse).ErrorCode == kerr.UnknownMemberID.Code
		})
	}
}

func readAnswers(t testing.TB, file string) answers {
	b, err := os.ReadFile(file)
	require.NoError(t, err, "has `make oracle` been run?")
	var a answers
	require.NoError(t, json.Unmarshal(b, &a))
	return a
}
