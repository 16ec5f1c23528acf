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

// Rule gives limits to an entity.
type Rule struct {
	User, Client Name
	Limits       map[Kind]float64
}

// Config is how rates are measured.
type Config struct {
	Samples int           // quota.window.num
	Window  time.Duration // quota.window.size.seconds: of one sample
}

// Table is a set of rules, read-only.
type Table struct {
	limits map[Kind]map[entity]float64
}

// entity is the key of a rule.
type entity struct{ user, client string }

// NewTable makes a table; a later rule for the same entity replaces an earlier
// one.
func NewTable(rules []Rule) *Table {
	t := &Table{limits: map[Kind]map[entity]float64{}}
	for _, r := range rules {
		for kind, limit := range r.Limits {
			if t.limits[kind] == nil {
				t.limits[kind] = map[entity]float64{}
			}
			t.limits[kind][entity{r.User.key(), r.Client.key()}] = limit
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

	mu    sync.Mutex
	rates map[account]*rate
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
	b := &Book{cfg: cfg, rates: map[account]*rate{}}
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

// rate finds or makes a rate. mu is held.
func (b *Book) rate(a account, now time.Time) *rate {
	r := b.rates[a]
	if r != nil {
		return r
	}
	if len(b.rates) >= maxAccounts {
		for k, r := range b.rates {
			if r.idle(now, b.cfg) {
				delete(b.rates, k)
			}
		}
		for k := range b.rates {
			if len(b.rates) <= maxAccounts*9/10 { // not one by one: each time all are looked at
				break
			}
			delete(b.rates, k)
		}
	}
	r = &rate{}
	b.rates[a] = r
	return r
}
