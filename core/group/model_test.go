package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestModel plays random clients, clocks and crashes against a shard, and
// judges only by what a client can see:
//
//   - Every request is answered exactly once.
//   - A generation has one leader, and nobody else is told of the members.
//   - Who is given an assignment is given what the leader of that generation
//     sent for it.
//   - What was committed last is fetched, and nothing else is.
//   - A shard made from the records answers as the one that wrote them.
//
// SEED=n plays one game again.
func TestModel(t *testing.T) {
	games, first := 150, rand.Uint64()>>1
	if testing.Short() {
		games = 30
	}
	if text := os.Getenv("SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		games, first = 1, n
	}
	seen := map[string]int{}
	unseen := func() string { // the games are to go where it matters
		for _, what := range []string{
			"join ok", "sync ok", "commit ok", "heartbeat ok", "leave ok", "rebalanced", "crash", "rewritten", "replaced",
			kerr.FencedInstanceID.Message, kerr.IllegalGeneration.Message, kerr.RebalanceInProgress.Message,
			kerr.UnknownMemberID.Message, kerr.MemberIDRequired.Message, kerr.InconsistentGroupProtocol.Message,
			kerr.NonEmptyGroup.Message, kerr.GroupSubscribedToTopic.Message, kerr.GroupIDNotFound.Message,
			kerr.GroupMaxSizeReached.Message,
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
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { newGame(t, seed, seen).play(250) }) {
			t.Fatalf("again: SEED=%d go test -run TestModel ./core/group", seed)
		}
	}
	if games > 1 {
		require.Empty(t, unseen(), "no game ever saw it")
	}
}

// game is one play: a shard, its log, its clients, and the model.
type game struct {
	t     *testing.T
	rng   *rand.Rand
	cfg   Config
	shard *shard
	now   time.Time
	ids   int
	log   []Record
	seen  map[string]int

	players []*player
	open    map[*Request]*player // unanswered
	settled map[string]int32     // group → last generation that is in the log
	rounds  map[round]*facts
	offsets map[string]map[string]int64 // group → topic → offset

	// group → group.instance.id → member, by the last record and the one before.
	statics, staticsBefore map[string]map[string]string
}

// player is a client, with what it was told last.
type player struct {
	group, member string
	instance      *string
	generation    int32
	version       int16
}

// round is a generation of a group.
type round struct {
	group      string
	generation int32
}

// facts is what was seen of a round.
type facts struct {
	leader string            // who was told of the members
	sent   map[string]string // member → assignment, as the leader sent it; nil: it has not
}

func newGame(t *testing.T, seed uint64, seen map[string]int) *game {
	g := &game{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), cfg: Defaults(), now: time.UnixMilli(1 << 40).UTC(), seen: seen,
		open: map[*Request]*player{}, settled: map[string]int32{}, rounds: map[round]*facts{},
		offsets: map[string]map[string]int64{},
		statics: map[string]map[string]string{}, staticsBefore: map[string]map[string]string{},
	}
	g.cfg.InitialDelay = time.Duration(g.rng.IntN(2)) * time.Second
	g.cfg.MaxMembers = 2 + g.rng.IntN(5)
	g.shard = g.fresh()
	g.shard.loaded(g.now)
	for i := range 7 {
		p := &player{group: []string{"g", "h"}[g.rng.IntN(2)], version: int16(g.rng.IntN(10)), generation: -1}
		if g.rng.IntN(3) == 0 {
			p.version = 5 + p.version%5
			name := fmt.Sprint("i", i%3) // some share a name, and fence each other
			p.instance = &name
		}
		g.players = append(g.players, p)
	}
	return g
}

func (g *game) fresh() *shard {
	return newShard(&g.cfg, g.cfg.budget(), func() string { g.ids++; return strconv.Itoa(g.ids) })
}

func (g *game) play(steps int) {
	for range steps {
		switch n := g.rng.IntN(100); {
		case n < 15:
			g.advance(time.Duration(g.rng.IntN(4000)) * time.Millisecond)
		case n < 16:
			g.crash()
		case n < 17:
			g.seen["rewritten"]++
			g.log = g.shard.rewrite().records // and what was before them is gone
		default:
			g.act(g.players[g.rng.IntN(len(g.players))])
		}
		for _, gr := range g.shard.sorted() {
			checkGroup(g.t, gr)
		}
	}
	g.compare()
	g.take(g.shard.fail(kerr.NotCoordinator.Code))
	require.Empty(g.t, g.open, "unanswered at the end")
}

// advance stops at every deadline on the way.
func (g *game) advance(d time.Duration) {
	end := g.now.Add(d)
	for range 1000 {
		at, ok := g.shard.next()
		if !ok || at.After(end) {
			g.now = end
			return
		}
		g.now = at
		g.take(g.shard.tick(at))
	}
	g.t.Fatal("timers go round in circles")
}

// act lets p send what a client would send next, or now and then anything.
func (g *game) act(p *player) {
	n := g.rng.IntN(100)
	switch {
	case n < 45 && p.generation < 0:
		g.join(p)
	case n < 45 && g.round(p).sent == nil:
		g.sync(p)
	case n < 55:
		g.join(p)
	case n < 65:
		g.sync(p)
	case n < 80:
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = min(p.version, 4), p.group, p.member, p.instance, p.generation
		g.send(p, r)
	case n < 88:
		g.commit(p)
	case n < 92:
		r := kmsg.NewPtrLeaveGroupRequest()
		r.Version, r.Group, r.MemberID = min(p.version, 5), p.group, p.member
		r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: p.member, InstanceID: p.instance}}
		if p.instance != nil && g.rng.IntN(2) == 0 {
			r.Members[0].MemberID = "" // as an operator does
		}
		g.send(p, r)
	case n < 96:
		r := kmsg.NewPtrOffsetFetchRequest()
		r.Version, r.Group = 8, p.group
		rg := kmsg.NewOffsetFetchRequestGroup()
		rg.Group = p.group
		r.Groups = append(r.Groups, rg)
		g.send(p, r)
	case n < 98:
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = p.group
		r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: g.topic(), Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
		g.send(p, r)
	case n < 99:
		r := kmsg.NewPtrDeleteGroupsRequest()
		r.Version, r.Groups = 2, []string{p.group}
		g.send(p, r)
	default:
		p.member, p.generation = "", -1 // restarts
	}
}

func (g *game) topic() string { return []string{"t", "u"}[g.rng.IntN(2)] }

func (g *game) join(p *player) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.ProtocolType = p.version, p.group, p.member, p.instance, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 6000+int32(g.rng.IntN(4000)), 3000+int32(g.rng.IntN(10000))
	sub := kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}
	names := [][]string{{"x", "y"}, {"y", "x"}, {"x"}, {"x", "y"}, {"x", "y"}, {"z"}}[g.rng.IntN(5+g.rng.IntN(2))]
	for _, name := range names {
		r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: sub.AppendTo(nil)})
	}
	g.send(p, r)
}

// sync sends assignments along, whether or not p leads: from others they must
// not be heeded.
func (g *game) sync(p *player) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = min(p.version, 4), p.group, p.member, p.instance, p.generation
	for _, other := range g.players {
		if other.group == p.group && other.member != "" && g.rng.IntN(5) > 0 {
			r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{
				MemberID: other.member, MemberAssignment: fmt.Append(nil, g.rng.IntN(1000)),
			})
		}
	}
	g.send(p, r)
}

func (g *game) commit(p *player) {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = min(p.version+2, 9), p.group, p.member, p.instance, p.generation
	if g.rng.IntN(5) == 0 {
		r.MemberID, r.InstanceID, r.Generation = "", nil, -1
	}
	r.RetentionTimeMillis = -1
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: g.topic(), Partitions: []kmsg.OffsetCommitRequestTopicPartition{
		{Offset: int64(g.rng.IntN(1_000_000)), Timestamp: -1},
	}}}
	g.send(p, r)
}

func (g *game) send(p *player, body kmsg.Request) {
	req := &Request{Body: body, ClientID: "c", Host: "/127.0.0.1"}
	g.open[req] = p
	g.take(g.shard.step(g.now, req))
}

func (g *game) round(p *player) *facts {
	r := round{p.group, p.generation}
	if g.rounds[r] == nil {
		g.rounds[r] = &facts{}
	}
	return g.rounds[r]
}

// take judges the effects of a step.
func (g *game) take(fx effects) {
	g.log = append(g.log, fx.records...)
	for _, r := range fx.records {
		g.readRecord(r)
	}
	// The leader's assignment counts before anybody's answer is looked at.
	for _, r := range fx.replies {
		body, ok := r.to.Body.(*kmsg.SyncGroupRequest)
		if ok && r.body.(*kmsg.SyncGroupResponse).ErrorCode == 0 {
			f := g.rounds[round{body.Group, body.Generation}]
			require.NotNil(g.t, f, "synced in a generation that nobody joined")
			if f.sent == nil && body.MemberID == f.leader {
				f.sent = map[string]string{}
				for _, a := range body.GroupAssignment {
					f.sent[a.MemberID] = string(a.MemberAssignment)
				}
				g.seen["rebalanced"]++
			}
		}
	}
	for _, r := range fx.replies {
		p, ok := g.open[r.to]
		require.True(g.t, ok, "answered twice: %T", r.body)
		delete(g.open, r.to)
		require.Equal(g.t, r.to.Body.GetVersion(), r.body.GetVersion())
		r.body.AppendTo(nil) // it can be encoded
		g.judge(p, r.to, r.body)
	}
}

// readRecord follows which generations the log knows.
func (g *game) readRecord(r Record) {
	k, v := kmsg.NewGroupMetadataKey(), kmsg.NewGroupMetadataValue()
	if r.Key[1] != keyGroup {
		return
	}
	require.NoError(g.t, k.ReadFrom(r.Key))
	if r.Value == nil {
		delete(g.settled, k.Group)
		for at := range g.rounds {
			if at.group == k.Group {
				delete(g.rounds, at)
			}
		}
		return
	}
	require.NoError(g.t, v.ReadFrom(r.Value))
	require.GreaterOrEqual(g.t, v.Generation, g.settled[k.Group], "generations go up")
	g.settled[k.Group] = v.Generation
	statics := map[string]string{}
	for _, m := range v.Members {
		if m.InstanceID != nil {
			statics[*m.InstanceID] = m.MemberID
		}
	}
	g.staticsBefore[k.Group], g.statics[k.Group] = g.statics[k.Group], statics
}
