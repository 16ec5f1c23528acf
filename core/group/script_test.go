package group

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt with what came out")

// TestScripts plays testdata/*.txt: a command, a line of dashes, and what comes
// of it: records (+) in the order of the log, then replies, under the name of
// who asked. A request without a reply is parked. Time stands still but for
// "advance". Commands are listed in script.run.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	sc := newScript(t)
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimRight(string(text), "\n"), "\n\n") {
		if i > 0 {
			out.WriteString("\n\n")
		}
		input, _, _ := strings.Cut(block, "\n----")
		out.WriteString(input)
		var got strings.Builder
		for _, line := range strings.Split(input, "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				got.WriteString(sc.run(line))
			}
		}
		if got.Len() > 0 {
			out.WriteString("\n----\n" + strings.TrimRight(got.String(), "\n"))
		}
	}
	got := strings.TrimRight(out.String(), "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	require.Equal(t, string(text), got)
}

// script is one shard, its log, and the clients that speak to it.
type script struct {
	t       *testing.T
	cfg     Config
	now     time.Time
	shard   *shard
	log     []Record
	ids     int
	actors  map[string]*actor
	parked  map[*Request]string
	topics  *topics
	silence bool // the command in hand printed nothing yet
}

// actor is a client: it remembers what its JoinGroup told it.
type actor struct {
	name       string
	member     string
	generation int32
	protocol   string
	epoch      int32 // as a member of a group of the type consumer
	told       partitionSet
}

func newScript(t *testing.T) *script {
	sc := &script{t: t, cfg: Defaults(), now: time.UnixMilli(0).UTC(), actors: map[string]*actor{}, parked: map[*Request]string{}}
	sc.topics = &topics{}
	sc.reset()
	sc.shard.loaded(sc.now)
	return sc
}

func (sc *script) reset() {
	sc.shard = newShard(&sc.cfg, sc.cfg.budget(), func() string { sc.ids++; return strconv.Itoa(sc.ids) })
	sc.shard.metadata = sc.topics
}

func (sc *script) actor(name string) *actor {
	if sc.actors[name] == nil {
		sc.actors[name] = &actor{name: name, generation: -1}
	}
	return sc.actors[name]
}

// options are key=value words; words without = are in rest.
type options struct {
	t    *testing.T
	kv   map[string]string
	rest []string
	used map[string]bool
}

func (o *options) text(key, def string) string {
	o.used[key] = true
	if v, ok := o.kv[key]; ok {
		return v
	}
	return def
}

func (o *options) pointer(key string) *string {
	o.used[key] = true
	if v, ok := o.kv[key]; ok {
		return &v
	}
	return nil
}

func (o *options) number(key string, def int64) int64 {
	n, err := strconv.ParseInt(o.text(key, fmt.Sprint(def)), 10, 64)
	require.NoError(o.t, err, key)
	return n
}

func (o *options) millis(key, def string) int32 {
	d, err := time.ParseDuration(o.text(key, def))
	require.NoError(o.t, err, key)
	return int32(d.Milliseconds())
}

func (o *options) list(key, def string) []string {
	v := o.text(key, def)
	if v == "" {
		return nil
	}
	return strings.Split(v, ",")
}

// run plays one line:
//
//	config KEY=VALUE…           before the first request
//	advance DURATION
//	restart                     a new shard from the log; what is parked is lost
//	NAME: join GROUP [v= id= instance= type= protocols=A,B protocol-length= topics=A,B topics-length= session= rebalance=]
//	NAME: sync GROUP [v= id= gen= instance= type= protocol= assign=NAME:TEXT,… assign-length=]
//	NAME: heartbeat GROUP [v= id= gen= instance=]
//	NAME: leave GROUP [v= id= instance= and=NAME,…]
//	NAME: commit GROUP [v= id= gen= instance= meta= meta-length= keep= topic-length=] TOPIC/P=OFFSET…
//	NAME: fetch GROUP [v=] [all=true | TOPIC/P…]
//	NAME: delete-offsets GROUP TOPIC/P…
//	NAME: describe GROUP [v=]
//	NAME: list [v= states= types=]
//	NAME: delete GROUP…
//	topic-deleted TOPIC
//	topic TOPIC partitions=     there is one, of so many; 0: there is none
//	group-config GROUP KEY=VALUE…
//	NAME: beat GROUP [v= id= epoch= instance= rack= topics=A,B regex= assignor= owns=T:0,1;U:2|told rebalance=]
//	NAME: describe-consumer GROUP
//
// id and gen default to what the last JoinGroup of NAME was told. A beat's id is
// NAME, its epoch what the last one was told; with epoch 0 it tells all.
func (sc *script) run(line string) string {
	var out strings.Builder
	sc.silence = true
	words := strings.Fields(line)
	name := ""
	if strings.HasSuffix(words[0], ":") {
		name, words = strings.TrimSuffix(words[0], ":"), words[1:]
	}
	o := &options{t: sc.t, kv: map[string]string{}, used: map[string]bool{}}
	for _, w := range words[1:] {
		k, v, ok := strings.Cut(w, "=")
		if ok && !strings.Contains(k, "/") {
			o.kv[k] = v
		} else {
			o.rest = append(o.rest, w)
		}
	}
	switch words[0] {
	case "config":
		sc.configure(o)
	case "advance":
		d, err := time.ParseDuration(o.rest[0])
		require.NoError(sc.t, err)
		sc.advance(&out, d)
	case "restart":
		sc.restart(&out)
	case "topic":
		sc.silence = false
		sc.topics = sc.topics.with(o.rest[0], int32(o.number("partitions", 0)))
		sc.shard.metadata = sc.topics
	case "group-config":
		sc.silence = false
		for k, v := range o.kv {
			o.used[k] = true
			sc.topics = sc.topics.set(o.rest[0], k, v)
		}
		sc.shard.metadata = sc.topics
	case "topic-deleted":
		sc.print(&out, sc.shard.topicDeleted(sc.now, o.rest[0]))
	default:
		body := sc.request(sc.actor(name), words[0], o)
		req := &Request{Body: body, ClientID: name, Host: "/1.2.3.4"}
		sc.parked[req] = name
		sc.print(&out, sc.shard.step(sc.now, req))
		if _, still := sc.parked[req]; still {
			fmt.Fprintf(&out, "%s: parked\n", name)
			sc.silence = false
		}
	}
	for k := range o.kv {
		require.True(sc.t, o.used[k], "%s: what is %q?", line, k)
	}
	if sc.silence {
		out.WriteString("nothing\n")
	}
	sc.check()
	return out.String()
}

func (sc *script) configure(o *options) {
	sc.silence = false
	for k, v := range o.kv {
		o.used[k] = true
		n, err := strconv.ParseInt(v, 10, 64)
		require.NoError(sc.t, err)
		switch k {
		case "max-size":
			sc.cfg.MaxMembers = int(n)
		case "max-groups":
			sc.cfg.MaxGroups = int(n)
		case "max-bytes":
			sc.cfg.MaxGroupBytes = n
		case "initial-delay-ms":
			sc.cfg.InitialDelay = time.Duration(n) * time.Millisecond
		case "retention-minutes":
			sc.cfg.RetentionMinutes = int(n)
		case "consumer-max-size":
			sc.cfg.Consumer.MaxMembers = int(n)
		case "policy": // 0 none, 1 up, 2 down
			sc.cfg.Consumer.Migration = []string{MigrateNone, MigrateUp, MigrateDown}[n]
		default:
			sc.t.Fatalf("config: what is %q?", k)
		}
	}
	sc.shard.budget.maxGroups = int64(sc.cfg.MaxGroups)
}

// advance stops at every deadline on the way, so that each is met in time.
func (sc *script) advance(out *strings.Builder, d time.Duration) {
	end := sc.now.Add(d)
	for range 10_000 {
		at, ok := sc.shard.next()
		if !ok || at.After(end) {
			sc.now = end
			return
		}
		sc.now = at
		fx := sc.shard.tick(at)
		if len(fx.records)+len(fx.replies) > 0 {
			fmt.Fprintf(out, "at %s\n", at.Sub(time.UnixMilli(0)))
		}
		sc.print(out, fx)
	}
	sc.t.Fatal("timers go round in circles")
}

func (sc *script) restart(out *strings.Builder) {
	sc.silence = false
	if n := len(sc.parked); n > 0 {
		fmt.Fprintf(out, "%d parked lost\n", n)
	}
	clear(sc.parked)
	sc.reset()
	for _, r := range sc.log {
		require.NoError(sc.t, sc.shard.load(r.Key, r.Value))
	}
	sc.print(out, sc.shard.loaded(sc.now))
	for _, g := range sc.shard.sorted() {
		if c := g.consumer; c != nil {
			fmt.Fprintf(out, "%s %s epoch=%d assigned=%d members=%d offsets=%d\n", g.id, c.state(), c.epoch, c.assigned, len(c.members), countOffsets(g))
			continue
		}
		fmt.Fprintf(out, "%s %s gen=%d members=%s offsets=%d\n", g.id, g.state, g.generation, names(g.members), countOffsets(g))
	}
}

func names(ms []*member) string {
	var ids []string
	for _, m := range ms {
		ids = append(ids, m.id)
	}
	return "[" + strings.Join(ids, " ") + "]"
}

func countOffsets(g *group) (n int) {
	for _, ps := range g.offsets {
		n += len(ps)
	}
	return n
}

func (sc *script) request(a *actor, verb string, o *options) kmsg.Request {
	group := ""
	if verb != "list" && verb != "delete" && len(o.rest) > 0 {
		group, o.rest = strings.Trim(o.rest[0], `"`), o.rest[1:]
	}
	id := func() string { return o.text("id", a.member) }
	gen := func() int32 { return int32(o.number("gen", int64(a.generation))) }
	v := func(def int64) int16 { return int16(o.number("v", def)) }
	switch verb {
	case "join":
		r := kmsg.NewPtrJoinGroupRequest()
		r.Version, r.Group, r.MemberID, r.InstanceID = v(9), group, id(), o.pointer("instance")
		r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = o.millis("session", "10s"), o.millis("rebalance", "60s")
		r.ProtocolType = o.text("type", "consumer")
		sub := kmsg.ConsumerMemberMetadata{Version: 1, Topics: o.list("topics", "t")}
		if n := o.number("topics-length", 0); n > 0 {
			sub.Topics = []string{strings.Repeat("t", int(n))}
		}
		protocols := o.list("protocols", "range")
		if n := o.number("protocol-length", 0); n > 0 {
			protocols = []string{strings.Repeat("p", int(n))}
		}
		for _, p := range protocols {
			r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: p, Metadata: sub.AppendTo(nil)})
		}
		return r
	case "sync":
		r := kmsg.NewPtrSyncGroupRequest()
		r.Version, r.Group, r.MemberID, r.Generation, r.InstanceID = v(3), group, id(), gen(), o.pointer("instance")
		r.ProtocolType, r.Protocol = o.pointer("type"), o.pointer("protocol")
		for _, w := range o.list("assign", "") {
			who, what, _ := strings.Cut(w, ":")
			r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{
				MemberID: sc.actor(who).member, MemberAssignment: []byte(what),
			})
		}
		if n := o.number("assign-length", 0); n > 0 {
			r.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: a.member, MemberAssignment: make([]byte, n)}}
		}
		return r
	case "heartbeat":
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.Generation, r.InstanceID = v(4), group, id(), gen(), o.pointer("instance")
		return r
	case "leave":
		r := kmsg.NewPtrLeaveGroupRequest()
		r.Version, r.Group, r.MemberID = v(5), group, id()
		r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: id(), InstanceID: o.pointer("instance")}}
		for _, other := range o.list("and", "") {
			r.Members = append(r.Members, kmsg.LeaveGroupRequestMember{MemberID: sc.actor(other).member})
		}
		return r
	case "commit":
		r := kmsg.NewPtrOffsetCommitRequest()
		r.Version, r.Group, r.MemberID, r.Generation, r.InstanceID = v(8), group, id(), gen(), o.pointer("instance")
		r.RetentionTimeMillis = o.number("keep", -1)
		meta := o.pointer("meta")
		if n := o.number("meta-length", 0); n > 0 {
			meta = kmsg.StringPtr(strings.Repeat("é", int(n)))
		}
		if n := o.number("topic-length", 0); n > 0 {
			o.rest = append(o.rest, strings.Repeat("t", int(n))+"/0=1")
		}
		for _, w := range o.rest {
			topic, p, offset := partitionOffset(sc.t, w)
			r.Topics = append(r.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{
				{Partition: p, Offset: offset, LeaderEpoch: 7, Timestamp: -1, Metadata: meta},
			}})
		}
		return r
	case "fetch":
		r := kmsg.NewPtrOffsetFetchRequest()
		r.Version, r.Group = v(5), group
		rg := kmsg.NewOffsetFetchRequestGroup()
		rg.Group = group
		if o.text("all", "") == "" {
			r.Topics, rg.Topics = []kmsg.OffsetFetchRequestTopic{}, []kmsg.OffsetFetchRequestGroupTopic{}
		}
		for _, w := range o.rest {
			topic, p, _ := partitionOffset(sc.t, w)
			r.Topics = append(r.Topics, kmsg.OffsetFetchRequestTopic{Topic: topic, Partitions: []int32{p}})
			rg.Topics = append(rg.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, Partitions: []int32{p}})
		}
		r.Groups = []kmsg.OffsetFetchRequestGroup{rg}
		return r
	case "delete-offsets":
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = group
		for _, w := range o.rest {
			topic, p, _ := partitionOffset(sc.t, w)
			r.Topics = append(r.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: p}}})
		}
		return r
	case "describe":
		r := kmsg.NewPtrDescribeGroupsRequest()
		r.Version, r.Groups = v(5), []string{group}
		return r
	case "list":
		r := kmsg.NewPtrListGroupsRequest()
		r.Version, r.StatesFilter, r.TypesFilter = v(5), o.list("states", ""), o.list("types", "")
		return r
	case "delete":
		r := kmsg.NewPtrDeleteGroupsRequest()
		r.Version, r.Groups = v(2), o.rest
		return r
	case "beat":
		return sc.beatOf(a, group, o)
	case "describe-consumer":
		r := kmsg.NewPtrConsumerGroupDescribeRequest()
		r.Version, r.Groups = v(1), []string{group}
		return r
	}
	sc.t.Fatalf("what is %q?", verb)
	return nil
}

func partitionOffset(t *testing.T, word string) (topic string, p int32, offset int64) {
	topic, rest, ok := strings.Cut(word, "/")
	require.True(t, ok, word)
	ps, off, _ := strings.Cut(rest, "=")
	n, err := strconv.ParseInt(ps, 10, 32)
	require.NoError(t, err)
	if off != "" {
		offset, err = strconv.ParseInt(off, 10, 64)
		require.NoError(t, err)
	}
	return topic, int32(n), offset
}

// print shows effects, keeps the records, and tells the actors.
func (sc *script) print(out *strings.Builder, fx effects) {
	for _, r := range fx.records {
		fmt.Fprintf(out, "+ %s\n", showRecord(sc.t, r))
	}
	sc.log = append(sc.log, fx.records...)
	for _, r := range fx.replies {
		name, ok := sc.parked[r.to]
		require.True(sc.t, ok, "answered twice: %T", r.body)
		delete(sc.parked, r.to)
		require.Equal(sc.t, r.to.Body.GetVersion(), r.body.GetVersion())
		r.body.AppendTo(nil) // it can be encoded
		if j, ok := r.body.(*kmsg.JoinGroupResponse); ok {
			a := sc.actor(name)
			switch {
			case j.ErrorCode == 0:
				a.member, a.generation, a.protocol = j.MemberID, j.Generation, textOf(j.Protocol)
			case j.ErrorCode == kerr.MemberIDRequired.Code:
				a.member = j.MemberID
			}
		}
		if b, ok := r.body.(*kmsg.ConsumerGroupHeartbeatResponse); ok {
			sc.actor(name).heard(b)
		}
		fmt.Fprintf(out, "%s: %s\n", name, showReply(r.body))
	}
	if len(fx.records)+len(fx.replies) > 0 {
		sc.silence = false
	}
}

func (sc *script) check() {
	for _, g := range sc.shard.sorted() {
		checkGroup(sc.t, g)
	}
}
