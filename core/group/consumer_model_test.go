package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestConsumerModel plays random members against a shard: they join, leave, fall
// silent, change what they subscribe to, come back under another id, and speak
// either protocol; topics come, grow and go; answers get lost, requests are late,
// and the coordinator dies and is made again from its log. It holds that
//
//   - No partition is owned by two members at once, where a member owns what its
//     client has been given and not yet given up, until the coordinator has thrown
//     it out.
//   - Left alone, the group comes to rest: every partition that anybody subscribes
//     to has an owner, who knows of it, and where all subscribe to the same, nobody
//     has two more than another.
//
// What a client sends arrives in order, as on a connection, but late against what
// others send. A client sends one request after the other; where an answer is
// lost it sends the next.
//
// SEED=n plays one game again.
func TestConsumerModel(t *testing.T) {
	games, first := 50, rand.Uint64()>>1
	if testing.Short() {
		games = 15
	}
	if text := os.Getenv("SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		games, first = 1, n
	}
	seen := map[string]int{}
	unseen := func() string {
		for _, what := range []string{
			"revoked", "upgraded", "downgraded", "classic sync", "crash", "expired", "lost", "static", "balanced",
			kerr.FencedMemberEpoch.Message, kerr.UnknownMemberID.Message, kerr.UnreleasedInstanceID.Message, kerr.RebalanceInProgress.Message,
		} {
			if seen[what] == 0 {
				return what
			}
		}
		return ""
	}
	// What is rare may need more games than were asked for.
	for i := 0; i < games || games > 1 && i < 400 && unseen() != ""; i++ {
		seed := first + uint64(i)
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { newArena(t, seed, seen).play(400) }) {
			t.Fatalf("again: SEED=%d go test -run TestConsumerModel ./core/group", seed)
		}
	}
	if games > 1 {
		require.Empty(t, unseen(), "no game ever saw it")
	}
}

// arena is one play.
type arena struct {
	t       *testing.T
	rng     *rand.Rand
	cfg     Config
	shard   *shard
	topics  *topics
	now     time.Time
	ids     int
	log     []Record
	seen    map[string]int
	clients []*client
	open    map[*Request]*client
	calm    bool // clients do all in time
	kind    bool // the group was of the type consumer, when last looked at
}

// client is a consumer that keeps to its protocol.
type client struct {
	name    string
	id      string // "": it is no member, as far as it knows
	epoch   int32
	topics  []string
	classic bool
	static  *string

	owns   partitionSet
	told   partitionSet // what it is to own, and is on its way to
	lives  int
	silent bool
	lost   bool // an answer: the next request says all
	// late is a request under way.
	late kmsg.Request
	// waits: a JoinGroup or SyncGroup is parked.
	waits bool
	sync  bool // its next is SyncGroup
	lead  *kmsg.JoinGroupResponse
}

func newArena(t *testing.T, seed uint64, seen map[string]int) *arena {
	a := &arena{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), cfg: Defaults(), now: time.UnixMilli(1 << 40).UTC(), seen: seen,
		topics: (&topics{}).with("t", 5).with("u", 3), open: map[*Request]*client{},
	}
	a.cfg.InitialDelay, a.cfg.SessionMin = 0, time.Second
	if a.rng.IntN(3) == 0 {
		a.cfg.Consumer.Assignors = "range,uniform"
	}
	a.shard = a.fresh()
	a.shard.loaded(a.now)
	classics := a.rng.IntN(4)
	for i := range 2 + a.rng.IntN(5) {
		c := &client{name: fmt.Sprint("c", i), topics: []string{"t", "u"}, classic: i > 0 && i <= classics}
		if !c.classic && a.rng.IntN(4) == 0 {
			name := fmt.Sprint("i", i)
			c.static = &name
		}
		a.clients = append(a.clients, c)
	}
	return a
}

func (a *arena) fresh() *shard {
	s := newShard(&a.cfg, a.cfg.budget(), func() string { a.ids++; return strconv.Itoa(a.ids) })
	s.metadata = a.topics
	return s
}

func (a *arena) play(steps int) {
	for range steps {
		switch n := a.rng.IntN(100); {
		case n < 12:
			a.advance(time.Duration(a.rng.IntN(3000)) * time.Millisecond)
		case n < 14:
			a.crash()
		case n < 17:
			name := []string{"t", "u", "v"}[a.rng.IntN(3)]
			size := a.topics.byName[name].Partitions + int32(a.rng.IntN(3))
			if a.rng.IntN(5) == 0 {
				size = 0
			}
			a.metadata(a.topics.with(name, size))
		default:
			a.act(a.clients[a.rng.IntN(len(a.clients))])
		}
		a.check()
	}
	a.settle()
}

func (a *arena) metadata(m *topics) { a.topics, a.shard.metadata = m, m }

// act lets c do the next thing, or something else.
func (a *arena) act(c *client) {
	switch n := a.rng.IntN(100); {
	case c.silent:
		if n < 10 {
			c.silent = false
		}
	case n < 3: // as after kill -9
		a.abandon(c)
		c.id, c.epoch, c.owns, c.told = "", 0, nil, nil
	case n < 5:
		c.silent = true // and its session may end
	case n < 8 && !c.classic:
		c.topics = [][]string{{"t"}, {"u"}, {"t", "u"}, {"t", "u", "v"}}[a.rng.IntN(4)]
		if c.id != "" && c.late == nil {
			r := a.beat(c)
			r.SubscribedTopicNames = c.topics
			c.late = r
		}
	case n < 11 && c.id != "" && !c.classic && c.late == nil:
		r := a.beat(c)
		r.MemberEpoch, r.Topics = -1, nil
		if c.static != nil && a.rng.IntN(2) == 0 {
			a.seen["static"]++
			r.MemberEpoch = leftForNow
		}
		c.owns, c.told = nil, nil // given up before it says so
		c.late = r
	default:
		a.goOn(c, a.rng.IntN(8) > 0)
	}
}

// abandon forgets what c has asked: its answers go nowhere.
func (a *arena) abandon(c *client) {
	for r, of := range a.open {
		if of == c {
			a.open[r] = nil
		}
	}
	c.late, c.waits, c.sync, c.lead = nil, false, false, nil
}

// goOn sends what c would send next, or lets what it has sent arrive.
func (a *arena) goOn(c *client, answered bool) {
	switch {
	case c.waits:
	case c.late != nil:
		r := c.late
		c.late = nil
		a.send(c, r, answered)
	case !a.calm && a.rng.IntN(3) > 0:
		a.catchUp(c)
	case c.classic:
		c.late = a.classicNext(c)
	default:
		c.late = a.beat(c)
	}
}

// catchUp is what a client does with its partitions: it gives up what it is not to
// have, and takes what it is, each when it gets to it.
func (a *arena) catchUp(c *client) {
	if c.told == nil {
		return
	}
	if c.owns.minus(c.told).len() > 0 {
		a.seen["revoked"]++
	}
	c.owns = c.told
}

func (a *arena) beat(c *client) *kmsg.ConsumerGroupHeartbeatRequest {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.InstanceID = 1, "g", c.static
	if c.id == "" {
		c.lives++
		c.id, c.epoch, c.owns, c.told = fmt.Sprintf("%s.%d", c.name, c.lives), 0, nil, nil
	}
	r.MemberID, r.MemberEpoch = c.id, c.epoch
	if c.epoch == 0 {
		c.owns, c.told = nil, nil
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames = 5000, c.topics
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		return r
	}
	if a.calm || c.lost {
		r.SubscribedTopicNames, r.RebalanceTimeoutMillis = c.topics, 5000
	}
	if a.calm || c.lost || a.rng.IntN(2) == 0 {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		// What it is told to have and has not taken yet it counts as its own.
		mine := c.owns
		if c.told != nil {
			mine = mine.plus(c.told)
		}
		for _, id := range mine.topics() {
			r.Topics = append(r.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: mine[id]})
		}
	}
	return r
}

// classicNext is what an eager classic consumer sends: it gives up all before it
// joins.
func (a *arena) classicNext(c *client) kmsg.Request {
	switch {
	case c.id == "" || c.epoch < 0:
		c.owns, c.told = nil, nil
		r := kmsg.NewPtrJoinGroupRequest()
		r.Version, r.Group, r.MemberID, r.ProtocolType = 3, "g", c.id, "consumer"
		r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 6000, 5000
		sub := kmsg.ConsumerMemberMetadata{Version: 1, Topics: c.topics}
		r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: sub.AppendTo(nil)}}
		return r
	case c.sync:
		r := kmsg.NewPtrSyncGroupRequest()
		r.Version, r.Group, r.MemberID, r.Generation = 3, "g", c.id, c.epoch
		if c.lead != nil {
			r.GroupAssignment = a.assignAsLeader(c.lead)
		}
		return r
	}
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 3, "g", c.id, c.epoch
	return r
}

// assignAsLeader deals all topics out in turns.
func (a *arena) assignAsLeader(j *kmsg.JoinGroupResponse) (out []kmsg.SyncGroupRequestGroupAssignment) {
	shares := make([]map[string][]int32, len(j.Members))
	next := 0
	for _, name := range sortedKeys(a.topics.byName) {
		for p := range a.topics.byName[name].Partitions {
			if shares[next] == nil {
				shares[next] = map[string][]int32{}
			}
			shares[next][name] = append(shares[next][name], p)
			next = (next + 1) % len(shares)
		}
	}
	for i, m := range j.Members {
		var b kmsg.ConsumerMemberAssignment
		for _, name := range sortedKeys(shares[i]) {
			b.Topics = append(b.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: name, Partitions: shares[i][name]})
		}
		out = append(out, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: b.AppendTo(nil)})
	}
	return out
}

// send lets a request arrive; without answered its answer is lost.
func (a *arena) send(c *client, body kmsg.Request, answered bool) {
	req := &Request{Body: body, ClientID: c.name, Host: "/127.0.0.1"}
	switch body.(type) {
	case *kmsg.JoinGroupRequest, *kmsg.SyncGroupRequest:
		c.waits, answered = true, true
	}
	a.open[req] = c
	if !answered {
		a.seen["lost"]++
		a.open[req] = nil
		c.lost = true
	}
	a.take(a.shard.step(a.now, req))
}

func (a *arena) take(fx effects) {
	a.log = append(a.log, fx.records...)
	for _, r := range fx.replies {
		c, ok := a.open[r.to]
		require.True(a.t, ok, "answered twice")
		delete(a.open, r.to)
		if c != nil {
			a.answer(c, r.to.Body, r.body)
		}
	}
}

func (a *arena) answer(c *client, asked kmsg.Request, body kmsg.Response) {
	var code int16
	switch r := body.(type) {
	case *kmsg.ConsumerGroupHeartbeatResponse:
		code, c.lost = r.ErrorCode, false
		switch {
		case code == kerr.UnreleasedInstanceID.Code:
		case code != 0 || r.MemberEpoch < 0:
			c.id, c.epoch, c.owns, c.told = "", 0, nil, nil
		default:
			c.epoch = r.MemberEpoch
			if r.Assignment != nil {
				c.told = setOf(r.Assignment.Topics)
			}
		}
	case *kmsg.JoinGroupResponse:
		c.waits = false
		if code = r.ErrorCode; code == 0 {
			c.id, c.epoch, c.sync, c.lead = r.MemberID, r.Generation, true, nil
			if r.LeaderID == r.MemberID {
				c.lead = r
			}
		} else {
			c.rejoin(code)
		}
	case *kmsg.SyncGroupResponse:
		c.waits = false
		if code = r.ErrorCode; code != 0 {
			c.rejoin(code)
			break
		}
		set, err := a.shard.readAssignment(r.MemberAssignment)
		require.NoError(a.t, err)
		c.sync, c.told = false, set
		a.seen["classic sync"]++
	case *kmsg.HeartbeatResponse:
		if code = r.ErrorCode; code != 0 {
			c.rejoin(code)
		}
	}
	if code != 0 {
		a.seen[kerr.TypedErrorForCode(code).Message]++
	}
}

// rejoin: what a classic consumer does about an error.
func (c *client) rejoin(code int16) {
	c.epoch, c.sync, c.lead = -1, false, nil
	if code == kerr.UnknownMemberID.Code {
		c.id = ""
	}
	if code != kerr.RebalanceInProgress.Code {
		c.owns, c.told = nil, nil
	}
}

func (a *arena) advance(d time.Duration) {
	end := a.now.Add(d)
	for range 1000 {
		at, ok := a.shard.next()
		if !ok || at.After(end) {
			a.now = end
			return
		}
		a.now = at
		before := a.size()
		a.take(a.shard.tick(at))
		if a.size() < before {
			a.seen["expired"]++
		}
	}
	a.t.Fatal("timers go round in circles")
}

func (a *arena) size() int {
	g := a.shard.groups["g"]
	switch {
	case g == nil:
		return 0
	case g.consumer != nil:
		return len(g.consumer.members)
	}
	return len(g.members)
}

// crash: what was under way is lost, with its answers.
func (a *arena) crash() {
	a.seen["crash"]++
	for _, c := range a.clients {
		if c.waits {
			c.rejoin(kerr.NotCoordinator.Code)
		}
		c.waits = false
	}
	clear(a.open)
	a.shard = a.fresh()
	for _, r := range a.log {
		require.NoError(a.t, a.shard.load(r.Key, r.Value))
	}
	a.take(a.shard.loaded(a.now))
	if a.rng.IntN(4) == 0 {
		a.log = a.shard.rewrite().records
	}
}

// check holds that no partition has two owners.
func (a *arena) check() {
	for _, g := range a.shard.sorted() {
		checkGroup(a.t, g)
	}
	g := a.shard.groups["g"]
	if g == nil {
		return
	}
	if kind := g.consumer != nil; kind != a.kind && a.size() > 1 {
		a.seen[map[bool]string{true: "upgraded", false: "downgraded"}[kind]]++
	}
	a.kind = g.consumer != nil
	owners := map[partitionOf]string{}
	for _, c := range a.clients {
		if !a.known(g, c) {
			continue // thrown out, and has yet to hear of it
		}
		for p := range c.owns.each {
			require.Empty(a.t, owners[p], "%v is owned by %s and by %s", p, owners[p], c.id)
			owners[p] = c.id
		}
	}
}

func (a *arena) known(g *group, c *client) bool {
	if g.consumer != nil {
		return g.consumer.members[c.id] != nil
	}
	return g.byID[c.id] != nil && g.generation == c.epoch
}

// settle leaves the group alone, and holds that it comes to rest.
func (a *arena) settle() {
	a.calm = true
	same := a.rng.IntN(2) == 0
	for _, c := range a.clients {
		if c.silent = false; same {
			c.topics = []string{"t", "u"}
		}
	}
	for range 60 {
		for _, c := range a.clients {
			for range 3 {
				a.goOn(c, true)
				a.catchUp(c)
				a.check()
			}
		}
		a.advance(time.Second)
		a.check()
	}
	g := a.shard.groups["g"]
	require.NotNil(a.t, g)
	owners, want := map[partitionOf]string{}, map[partitionOf]bool{}
	least, most, alike := 1<<30, 0, true
	for _, c := range a.clients {
		require.True(a.t, a.known(g, c), "%s (%s) is still not in", c.name, c.id)
		require.True(a.t, c.owns.equal(c.told) || c.told == nil)
		for p := range c.owns.each {
			require.Empty(a.t, owners[p])
			owners[p] = c.id
		}
		for _, name := range c.topics {
			for p := range a.topics.byName[name].Partitions {
				want[partitionOf{a.topics.byName[name].ID, p}] = true
			}
		}
		least, most = min(least, c.owns.len()), max(most, c.owns.len())
		alike = alike && slices.Equal(c.topics, a.clients[0].topics)
		if g.consumer != nil {
			require.True(a.t, g.consumer.members[c.id].owned.equal(c.owns), "%s has %v, and should have %v", c.id, c.owns, g.consumer.members[c.id].owned)
		}
	}
	if g.consumer == nil {
		return // its leader decides
	}
	require.Equal(a.t, Stable, g.consumer.state())
	require.Len(a.t, owners, len(want))
	if alike && g.consumer.assignorName() == "uniform" {
		require.LessOrEqual(a.t, most-least, 1)
		a.seen["balanced"]++
	}
}
