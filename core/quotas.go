package core

import (
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/core/meta"
	"millrace/core/quota"
	"millrace/core/wire"
	"millrace/netio"
)

// anonymous is who a client is that says nothing of itself.
const anonymous = "ANONYMOUS"

// The types of entities that quotas are for.
const (
	quotaUser   = "user"
	quotaClient = "client-id"
	quotaIP     = "ip"
)

// quotas is how rates are measured.
func (c *Config) quotas() quota.Config {
	return quota.Config{Samples: c.QuotaSamples, Window: time.Duration(c.QuotaWindow) * time.Second,
		Mutations: &quota.Config{Samples: c.MutationSamples, Window: time.Duration(c.MutationWindow) * time.Second}}
}

// quotaTable is the image's quotas, as they are looked up.
func quotaTable(image *meta.Image) *quota.Table {
	var rules []quota.Rule
	for _, q := range image.Quotas() {
		r := quota.Rule{User: quotaName(q.Entity, quotaUser), Client: quotaName(q.Entity, quotaClient), Limits: map[quota.Kind]float64{}}
		if r.Address = quotaName(q.Entity, quotaIP); r.Address.Text != "" {
			if ip, err := netip.ParseAddr(r.Address.Text); err == nil {
				r.Address.Text = ip.Unmap().String()
			}
		}
		for kind, limit := range q.Limits {
			r.Limits[quota.Kind(kind)] = limit
		}
		rules = append(rules, r)
	}
	return quota.NewTable(rules)
}

func quotaName(e meta.QuotaEntity, kind string) quota.Name {
	name, given := e[kind]
	if name == nil {
		return quota.Name{Given: given, Default: given}
	}
	return quota.Name{Given: true, Text: *name}
}

// charge charges n to whoever sent a request, and mutes the connection for as
// long as that is too much; it answers what the client is to be told, in
// milliseconds. It is called before the request is answered.
func (b *Broker) charge(c *netio.Conn, kind quota.Kind, client []byte, n float64) int32 {
	if !b.quotas.Limits(kind) {
		return 0
	}
	return b.throttle(c, b.quotas.Charge(kind, anonymous, string(client), n, b.now()))
}

func (b *Broker) throttle(c *netio.Conn, wait time.Duration) int32 {
	if wait <= 0 {
		return 0
	}
	b.counters.throttled.Add(1)
	c.Mute(wait)
	return int32(wait.Milliseconds())
}

// mutated charges n partitions to be made or deleted to whoever asks, and mutes its
// connection where it has to wait. Since the version strict, at which the answer has
// a code for it, a client whose earlier changes are not paid off is refused; older
// ones are let, and wait.
func (c *call) mutated(n int, strict int16) *fault {
	wait, ok := c.quotas.Mutate(anonymous, string(c.header.ClientID), float64(n), c.header.Version >= strict, c.now())
	c.owes = max(c.owes, wait)
	if !ok {
		return &fault{code: kerr.ThrottlingQuotaExceeded.Code} // no words: so does Kafka
	}
	return nil
}

// Admit keeps addresses within their connection_creation_rate.
func (l loop) Admit(from netip.Addr) time.Duration {
	if !l.quotas.Limits(quota.Connect) {
		return 0
	}
	return l.quotas.Connect(from.String(), l.now())
}

// percent is time as request_percentage counts it: of one thread, a second.
func percent(d time.Duration) float64 { return d.Seconds() * 100 }

// serveTimed serves a request that sees to its own answer, and charges its time
// to the client. What it is told in the answer is what it owed before, since the
// answer may have left by the time that the time is known.
func (b *Broker) serveTimed(a *api, f *netio.Frame, h wire.Header, body []byte) {
	conn, client := f.Conn(), string(h.ClientID)
	cl := clientOf(conn)
	began := b.now()
	cl.owes = b.throttle(conn, b.quotas.Charge(quota.Request, anonymous, client, 0, began))
	a.raw(b, f, h, body)
	cl.owes = 0
	ended := b.now()
	b.quotas.Charge(quota.Request, anonymous, client, percent(ended.Sub(began)), ended)
}

// chargeFetch charges what a fetch is about to send. Where that is too much it
// answers how long the client has to wait, in milliseconds, and that nothing is
// to be sent, unless it is all that counts towards the client's rate: then it
// could never be sent.
func (w *fetch) chargeFetch() (wait int32, empty bool) {
	wait = w.owes
	if !w.b.quotas.Limits(quota.Fetch) {
		return wait, false
	}
	n := 0.0
	for i := range w.parts {
		if s := w.parts[i].span; s != nil {
			n += float64(s.Len())
		}
	}
	over := w.b.charge(w.frame.Conn(), quota.Fetch, w.header.ClientID, n)
	if over == 0 {
		return wait, false
	}
	empty = w.b.quotas.Return(quota.Fetch, anonymous, string(w.header.ClientID), n, w.b.now())
	if !empty {
		w.b.charge(w.frame.Conn(), quota.Fetch, w.header.ClientID, n)
	}
	return max(wait, over), empty
}
