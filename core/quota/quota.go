// Package quota says how long a client that uses more than its share has to
// wait.
//
// The nouns. A Rule gives an entity (a user, a client id, both, or the default
// of either) its limits. A Table is all rules, and finds the one that holds for a
// client: the most specific that has the kind of limit, in Kafka's order. A Book
// keeps the rate of each entity, measured as Kafka does, and charges use to it.
//
// There is no I/O and no clock of its own: time is passed in.
package quota

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is what is limited; its text is Kafka's key.
type Kind string

// The kinds that a client is limited in.
const (
	Produce Kind = "producer_byte_rate"       // bytes a second
	Fetch   Kind = "consumer_byte_rate"       // bytes a second
	Request Kind = "request_percentage"       // time that requests take, in percent of one thread
	Mutate  Kind = "controller_mutation_rate" // partitions made and deleted a second
	Connect Kind = "connection_creation_rate" // connections a second, of an address
)

// Name is one part of an entity: a name, the default, or (zero) not given.
type Name struct {
	Given   bool
	Default bool
	Text    string
}

func (n Name) key() string {
	switch {
	case !n.Given:
		return "-"
	case n.Default:
		return "*"
	}
	return "=" + n.Text
}

// Rule gives limits to an entity: a user, a client or both, or else an address.
type Rule struct {
	User, Client Name
	Address      Name // its text as netip.Addr writes it
	Limits       map[Kind]float64
}

// Config is how rates are measured.
type Config struct {
	Samples int           // quota.window.num
	Window  time.Duration // quota.window.size.seconds: of one sample

	Mutations *Config // the same for Mutate; nil: as above
}

func (c Config) mutations() Config {
	if c.Mutations != nil {
		return *c.Mutations
	}
	return c
}

// Table is a set of rules, read-only.
type Table struct {
	limits map[Kind]map[entity]float64
}

// entity is the key of a rule. That of an address has "@" for its user.
type entity struct{ user, client string }

const atAddress = "@"

func (r *Rule) entity() entity {
	if r.Address.Given {
		return entity{atAddress, r.Address.key()}
	}
	return entity{r.User.key(), r.Client.key()}
}

// NewTable makes a table; a later rule for the same entity replaces an earlier
// one.
func NewTable(rules []Rule) *Table {
	t := &Table{limits: map[Kind]map[entity]float64{}}
	for _, r := range rules {
		for kind, limit := range r.Limits {
			if t.limits[kind] == nil {
				t.limits[kind] = map[entity]float64{}
			}
			t.limits[kind][r.entity()] = limit
		}
	}
	return t
}

// find is the limit that holds for a client, and whose use counts towards it:
// that of all clients of the user, of all users of the client, or of both
// together.
func (t *Table) find(kind Kind, user, client string) (limit float64, of entity, ok bool) {
	limits := t.limits[kind]
	if len(limits) == 0 {
		return 0, entity{}, false
	}
	const none, any = "-", "*"
	u, c := "="+user, "="+client
	for _, try := range [...]struct{ rule, of entity }{
		{entity{u, c}, entity{u, c}},
		{entity{u, any}, entity{u, c}},
		{entity{u, none}, entity{u, none}},
		{entity{any, c}, entity{u, c}},
		{entity{any, any}, entity{u, c}},
		{entity{any, none}, entity{u, none}},
		{entity{none, c}, entity{none, c}},
		{entity{none, any}, entity{none, c}},
	} {
		if limit, ok := limits[try.rule]; ok {
			return limit, try.of, true
		}
	}
	return 0, entity{}, false
}

// Book charges use. Its methods are safe for concurrent use.
type Book struct {
	cfg   Config
	table atomic.Pointer[Table]

	mu      sync.Mutex
	rates   map[account]*rate
	buckets map[account]*bucket // of Mutate
}

type account struct {
	kind Kind
	of   entity
}

// maxAccounts bounds the rates that are remembered, where clients make names up
// under a default. Above it those that are idle are forgotten, and if all are
// busy, any tenth.
const maxAccounts = 10000

// NewBook makes a book without rules.
func NewBook(cfg Config) *Book {
	b := &Book{cfg: cfg, rates: map[account]*rate{}, buckets: map[account]*bucket{}}
	b.table.Store(NewTable(nil))
	return b
}

// Use replaces the rules. Rates measured so far stay.
func (b *Book) Use(t *Table) { b.table.Store(t) }

// Limits says whether anybody is limited in this kind: the cheap question to ask
// first.
func (b *Book) Limits(kind Kind) bool { return len(b.table.Load().limits[kind]) > 0 }

// Charge adds n to what the client has used, and answers how long it has to wait
// for its rate to fall to its limit; 0: it is within it.
func (b *Book) Charge(kind Kind, user, client string, n float64, now time.Time) time.Duration {
	limit, of, ok := b.table.Load().find(kind, user, client)
	if !ok {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rate(account{kind, of}, now)
	r.add(n, now, b.cfg)
	value, over := r.measure(now, b.cfg)
	if value <= limit {
		return 0
	}
	// Kafka's QuotaUtils.throttleTime: after that long without use, as much of
	// the measured time has passed that the rate is the limit.
	wait := (value - limit) / limit * float64(over)
	if kind == Request { // a slow request is not held against a client for longer
		wait = math.Min(wait, float64(b.cfg.Window))
	}
	// Clients are told milliseconds: rounded, a wait could be none.
	return max(time.Duration(math.Min(wait, float64(time.Hour))).Round(time.Millisecond), time.Millisecond)
}

// Return takes back what was charged: it was not used after all. It says whether
// anything else counts towards the rate.
func (b *Book) Return(kind Kind, user, client string, n float64, now time.Time) (busy bool) {
	_, of, ok := b.table.Load().find(kind, user, client)
	if !ok {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rate(account{kind, of}, now)
	r.add(-n, now, b.cfg)
	value, _ := r.measure(now, b.cfg)
	return value > 0
}

// Most is how much a client can use at once and be within its limit when the
// whole time that is measured has passed; ok: it has a limit.
func (b *Book) Most(kind Kind, user, client string) (n float64, ok bool) {
	limit, _, ok := b.table.Load().find(kind, user, client)
	return limit * b.cfg.Window.Seconds() * float64(b.cfg.Samples-1), ok
}

// Mutate charges n partitions to be made or deleted. Strictly: it is refused (ok
// false) for as long as earlier ones are not paid off, and costs nothing then.
// Otherwise it is always charged, and only made to wait for, which is for clients
// too old to be told.
func (b *Book) Mutate(user, client string, n float64, strict bool, now time.Time) (wait time.Duration, ok bool) {
	limit, of, limited := b.table.Load().find(Mutate, user, client)
	if !limited {
		return 0, true
	}
	cfg := b.cfg.mutations()
	b.mu.Lock()
	defer b.mu.Unlock()
	t := recall(b.buckets, account{Mutate, of}, now, cfg)
	t.fill(limit, now, cfg)
	if strict && t.tokens < 0 {
		return t.wait(), false
	}
	t.tokens -= n
	if strict {
		return 0, true
	}
	return t.wait(), true
}

// Connect counts a connection of an address, and answers how long the address is to
// be kept waiting where it is one too many, which is then not counted.
func (b *Book) Connect(address string, now time.Time) time.Duration {
	limits := b.table.Load().limits[Connect]
	limit, ok := limits[entity{atAddress, "=" + address}]
	if !ok {
		limit, ok = limits[entity{atAddress, "*"}]
	}
	if !ok {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := recall(b.rates, account{Connect, entity{atAddress, address}}, now, b.cfg)
	r.add(1, now, b.cfg)
	value, over := r.measure(now, b.cfg)
	if value <= limit {
		return 0
	}
	r.add(-1, now, b.cfg)
	wait := math.Min((value-limit)/limit*float64(over), float64(b.cfg.Window))
	return max(time.Duration(wait).Round(time.Millisecond), time.Millisecond)
}

// rate finds or makes a rate. mu is held.
func (b *Book) rate(a account, now time.Time) *rate { return recall(b.rates, a, now, b.cfg) }

// meter is what is remembered of an account.
type meter[T any] interface {
	*T
	// idle: nothing would be lost by forgetting it.
	idle(now time.Time, cfg Config) bool
}

// recall finds what is remembered of an account, or begins to remember. The map's
// guard is held.
func recall[T any, M meter[T]](of map[account]M, a account, now time.Time, cfg Config) M {
	if m, ok := of[a]; ok {
		return m
	}
	if len(of) >= maxAccounts {
		for k, m := range of {
			if m.idle(now, cfg) {
				delete(of, k)
			}
		}
		for k := range of {
			if len(of) <= maxAccounts*9/10 { // not one by one: each time all are looked at
				break
			}
			delete(of, k)
		}
	}
	m := M(new(T))
	of[a] = m
	return m
}
