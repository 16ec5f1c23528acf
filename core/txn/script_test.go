package txn

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestScripts runs the scripts in testdata: a command a line, "-> answer" behind
// it, then the records written ("+ ...") and the decisions ("! ...") in lines of
// their own.
func TestScripts(t *testing.T) {
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	ran := 0
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".txt") {
			t.Run(f.Name(), func(t *testing.T) { runScript(t, "testdata/"+f.Name()) })
			ran++
		}
	}
	require.Positive(t, ran)
}

// script is a machine with a log to be loaded from again.
type script struct {
	m      *Machine
	cfg    Config
	now    int64
	nextID int64
	log    []Record
	due    map[string]Decision
}

func newScript(cfg Config) *script {
	return &script{m: New(cfg, new(Budget)), cfg: cfg, nextID: 1, due: map[string]Decision{}}
}

func runScript(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	s := newScript(Defaults())
	var got strings.Builder
	lines := bufio.NewScanner(strings.NewReader(string(b)))
	for lines.Scan() {
		line := lines.Text()
		command, _, _ := strings.Cut(line, " ->")
		trimmed := strings.TrimSpace(command)
		switch {
		case strings.HasPrefix(line, "+") || strings.HasPrefix(line, "!"):
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
			got.WriteString(line + "\n")
		default:
			got.WriteString(s.run(t, command))
		}
	}
	require.NoError(t, lines.Err())
	if os.Getenv("UPDATE_SCRIPTS") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got.String()), 0o644))
	}
	require.Equal(t, string(b), got.String(), path)
}

func (s *script) run(t *testing.T, command string) string {
	words := strings.Fields(command)
	a := map[string]string{"pid": "-1", "epoch": "-1", "timeout": "60000"}
	var parts []Partition
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			a[k] = v
			continue
		}
		topic, index, ok := strings.Cut(w, "/")
		require.True(t, ok, "%q", command)
		i, err := strconv.Atoi(index)
		require.NoError(t, err)
		parts = append(parts, Partition{topic, int32(i)})
	}
	number := func(k string) int64 {
		n, err := strconv.ParseInt(a[k], 10, 64)
		require.NoError(t, err, "%q", command)
		return n
	}
	s.now++
	answer := "ok"
	var fx Effects
	var err error
	switch words[0] {
	case "init":
		r := InitRequest{ID: a["id"], Timeout: int32(number("timeout")), Producer: number("pid"), Epoch: int16(number("epoch")), NewID: -1}
		var id int64
		var epoch int16
		id, epoch, fx, err = s.m.Init(s.now, r)
		if errors.Is(err, ErrNeedsID) {
			r.NewID = s.nextID
			s.nextID++
			id, epoch, fx, err = s.m.Init(s.now, r)
		}
		answer = fmt.Sprintf("pid=%d epoch=%d", id, epoch)
	case "add":
		fx, err = s.m.Add(s.now, a["id"], number("pid"), int16(number("epoch")), parts)
	case "commit", "abort":
		r := EndRequest{ID: a["id"], Producer: number("pid"), Epoch: int16(number("epoch")), Commit: words[0] == "commit", Bump: a["v"] == "2", NewID: -1}
		var id int64
		var epoch int16
		id, epoch, fx, err = s.m.End(s.now, r)
		if errors.Is(err, ErrNeedsID) {
			r.NewID = s.nextID
			s.nextID++
			id, epoch, fx, err = s.m.End(s.now, r)
		}
		if r.Bump {
			answer = fmt.Sprintf("pid=%d epoch=%d", id, epoch)
		}
	case "verify":
		err = s.m.Verify(a["id"], number("pid"), int16(number("epoch")), parts[0])
	case "complete":
		d, ok := s.due[a["id"]]
		require.True(t, ok, "%q: nothing is decided", command)
		delete(s.due, a["id"])
		fx = s.m.Complete(s.now, d)
	case "wait":
		s.now += number("ms")
		fx = s.m.Tick(s.now)
	case "restart":
		s.m, s.due = New(s.cfg, new(Budget)), map[string]Decision{}
		for _, r := range s.log {
			require.NoError(t, s.m.Load(r.Key, r.Value))
		}
		fx.Decisions = s.m.Loaded()
	case "describe":
		d, ok := s.m.Describe(a["id"])
		answer = "unknown"
		if ok {
			answer = fmt.Sprintf("%s pid=%d epoch=%d %v", d.State, d.Producer, d.Epoch, d.Partitions)
		}
	case "set-epoch": // as if so many incarnations had been
		s.m.txns[a["id"]].epoch = int16(number("epoch"))
	default:
		t.Fatalf("unknown command %q", command)
	}
	var ke *kerr.Error
	if errors.As(err, &ke) {
		answer = ke.Message
	} else {
		require.NoError(t, err)
	}
	s.log = append(s.log, fx.Records...)
	out := fmt.Sprintf("%s -> %s\n", strings.TrimRight(command, " "), answer)
	for _, r := range fx.Records {
		out += "+ " + showRecord(t, r) + "\n"
	}
	for _, d := range fx.Decisions {
		s.due[d.ID] = d
		out += fmt.Sprintf("! %s commit=%t pid=%d epoch=%d %v\n", d.ID, d.Commit, d.Producer, d.Epoch, d.Partitions)
	}
	return out
}

func showRecord(t *testing.T, r Record) string {
	var k kmsg.TxnMetadataKey
	require.NoError(t, k.ReadFrom(r.Key))
	require.Equal(t, r.ID, k.TransactionalID)
	if r.Value == nil {
		return r.ID + " (tombstone)"
	}
	v := kmsg.NewTxnMetadataValue()
	require.NoError(t, v.ReadFrom(r.Value))
	out := fmt.Sprintf("%s %s pid=%d epoch=%d", r.ID, v.State, v.ProducerID, v.ProducerEpoch)
	for _, topic := range v.Topics {
		out += fmt.Sprintf(" %s%v", topic.Topic, topic.Partitions)
	}
	return out
}
