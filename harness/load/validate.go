package load

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// What a spec leaves at zero, and means.
const (
	defaultDrain          = 10 * time.Second
	defaultBatchBytes     = 64 << 10
	defaultMaxWait        = 500 * time.Millisecond
	defaultFetchBytes     = 8 << 20
	defaultPartitionBytes = 1 << 20
	defaultSession        = 10 * time.Second
	defaultCommit         = time.Second
	defaultInterval       = 100 * time.Millisecond
)

// Bounds, so that a slip in a scenario does not take the machine down.
const (
	maxProducers  = 1 << 12
	maxConsumers  = 1 << 12
	maxFetchBytes = 1 << 30
	maxInFlight   = 1 << 16
	maxBuffered   = 1 << 24
)

// MaxPartitions bounds the partitions of a run, over all topics.
const MaxPartitions = 1 << 15

// Validate says everything that is wrong with the spec.
func (s *Spec) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if c := clientOf(s.Client); c == nil {
		check(false, "client %q is none of %v", s.Client, Clients())
	} else if err := c.check(s); err != nil {
		faults = append(faults, err)
	}
	check(len(s.Brokers) > 0, "no broker address")
	check(len(s.Topics) > 0, "no topic")
	total := 0
	for _, t := range s.Topics {
		check(t.Name != "" && t.Partitions > 0, "topic %q needs a name and at least one partition", t.Name)
		check(s.Keys.none() || t.Partitions == s.Topics[0].Partitions, "topic %q: with keys, all topics need the same number of partitions", t.Name)
		total += t.Partitions
	}
	check(total <= MaxPartitions, "%d partitions are more than %d", total, MaxPartitions)

	s.validatePayload(check)

	p := s.Producers
	check(p.Count >= 1 && p.Count <= maxProducers, "producer count %d is outside 1 to %d", p.Count, maxProducers)
	check(p.Acks >= AcksAll && p.Acks <= AcksLeader, "acks %d is none of 0, 1, -1", p.Acks)
	check(!p.Idempotent || p.Acks == AcksAll, "idempotent producers need acks -1 (all)")
	check(p.Linger >= 0, "linger %v is negative", p.Linger)
	check(p.BatchBytes >= 0 && p.BatchBytes <= 100<<20, "batch of %d bytes is outside 0 to 100 MiB", p.BatchBytes)
	_, ok := kgoCodecs[p.Compression]
	check(ok, "compression %q is none of none, gzip, snappy, lz4, zstd", p.Compression)
	check(p.MaxInFlight >= 0 && p.MaxInFlight <= maxInFlight && p.MaxBuffered >= 0 && p.MaxBuffered <= maxBuffered, "max in flight %d or max buffered %d is outside 0 to %d, %d", p.MaxInFlight, p.MaxBuffered, maxInFlight, maxBuffered)

	c := s.Consumers
	check(c.Groups >= 0 && c.Groups <= maxConsumers && c.Groups*c.Members <= maxConsumers, "consumers: %d groups of %d members are outside 0 to %d", c.Groups, c.Members, maxConsumers)
	check(c.Groups == 0 || c.Members >= 1, "consumers: a group needs at least one member")
	check(c.MinBytes >= 0 && c.MaxWait >= 0, "consumers: min bytes and max wait cannot be negative")
	check(c.FetchBytes >= 0 && c.FetchBytes <= maxFetchBytes && c.PartitionBytes >= 0 && c.PartitionBytes <= maxFetchBytes, "consumers: fetch sizes are outside 0 to 1 GiB")

	check(!c.Discard || !c.Records, "consumers: records that are discarded cannot be decoded")

	check(c.Protocol == "" || slices.Contains(Protocols(), c.Protocol), "consumers: protocol %q is none of %v", c.Protocol, Protocols())
	check(c.SessionTimeout >= 0 && c.Commit >= 0, "consumers: times cannot be negative")
	s.validateTransactions(check)
	s.validateTimeline(check)
	s.validatePhases(check)
	return errors.Join(faults...)
}

func (k Keys) none() bool { return k.Distribution == "" || k.Distribution == NoKeys }

func (s *Spec) validatePayload(check func(bool, string, ...any)) {
	p := s.Payload
	check(p.PoolBytes >= 0 && p.PoolBytes <= 4<<30, "payload pool of %d bytes is outside 0 to 4 GiB", p.PoolBytes)
	if p.Generator == File {
		check(p.Path != "", "payload file has no path")
		return
	}
	check(p.Generator == JSONEvents || p.Generator == Random, "payload generator %q is none of %s, %s, %s", p.Generator, JSONEvents, Random, File)
	check(p.Headers >= 0 && p.Headers <= 100 && p.HeaderBytes >= 0 && p.HeaderBytes <= 1<<16, "%d headers of %d bytes are outside 0 to 100 of 0 to 64 KiB", p.Headers, p.HeaderBytes)
	check(p.Compressibility == 0 || p.Compressibility >= 1 && p.Compressibility <= 100, "compressibility %v is outside 1 to 100", p.Compressibility)
	z := p.Size
	within := func(n int) bool { return n >= 1 && n <= MaxValue }
	switch z.Distribution {
	case "", Fixed:
		check(within(z.Mean), "payload size %d is outside 1 to %d bytes", z.Mean, MaxValue)
	case Uniform, LogNormal:
		check(within(z.Min) && within(z.Max) && z.Min <= z.Max, "payload sizes %d to %d are no range within 1 to %d bytes", z.Min, z.Max, MaxValue)
		check(z.Distribution == Uniform || z.Mean >= z.Min && z.Mean <= z.Max, "payload mean size %d is outside %d to %d", z.Mean, z.Min, z.Max)
	case Weighted:
		var sum float64
		for _, w := range z.Weights {
			check(within(w.Bytes) && w.Share >= 0, "payload size %d with weight %v is outside 1 to %d bytes or negative", w.Bytes, w.Share, MaxValue)
			sum += w.Share
		}
		check(sum > 0, "payload sizes have no weight")
	default:
		check(false, "payload size distribution %q is none of %s, %s, %s, %s", z.Distribution, Fixed, Uniform, LogNormal, Weighted)
	}
}

func (s *Spec) validatePhases(check func(bool, string, ...any)) {
	sends := false
	for i, p := range s.Phases {
		check(p.Kind >= Warmup && p.Kind <= Burst, "phase %d is of no known kind", i)
		check(p.Len > 0, "phase %d (%v) needs a length", i, p.Kind)
		check(p.Kind != Drain || i == len(s.Phases)-1, "phase %d: only the last phase can be the drain", i)
		sends = sends || p.Kind.sends()
		check(p.Producers >= 0 && p.Producers <= s.Producers.Count, "phase %d: %d producers are more than there are (%d)", i, p.Producers, s.Producers.Count)
		check(p.Members == 0 || s.Consumers.grouped() && p.Members > 0 && p.Members <= maxConsumers, "phase %d: its number of members needs a group protocol", i)
	}
	check(sends, "no phase sends anything")
}

// filled is the spec with what it leaves at zero said.
func (s Spec) filled() Spec {
	or := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	or(&s.Producers.BatchBytes, defaultBatchBytes)
	or(&s.Consumers.MinBytes, 1)
	or(&s.Consumers.FetchBytes, defaultFetchBytes)
	or(&s.Consumers.PartitionBytes, defaultPartitionBytes)
	if s.Consumers.MaxWait == 0 {
		s.Consumers.MaxWait = defaultMaxWait
	}
	if s.Consumers.Protocol == "" {
		s.Consumers.Protocol = Direct
	}
	if s.Consumers.SessionTimeout == 0 {
		s.Consumers.SessionTimeout = defaultSession
	}
	if s.Consumers.Commit == 0 {
		s.Consumers.Commit = defaultCommit
	}
	if s.Transform.Interval == 0 {
		s.Transform.Interval = defaultInterval
	}
	s.Phases = slices.Clone(s.Phases)
	if s.Phases[len(s.Phases)-1].Kind != Drain {
		s.Phases = append(s.Phases, Phase{Kind: Drain, Len: defaultDrain})
	}
	for i := range s.Phases {
		if s.Phases[i].Name == "" {
			s.Phases[i].Name = s.Phases[i].Kind.String()
		}
	}
	return s
}

// maxTransaction bounds a transaction in records: all of them are remembered
// until it ends.
const maxTransaction = 1 << 20

func (s *Spec) validateTransactions(check func(bool, string, ...any)) {
	t := s.Producers.Transaction
	check(t.Records >= 0 && t.Records <= maxTransaction, "a transaction of %d records is outside 0 to %d", t.Records, maxTransaction)
	check(t.Abort >= 0 && t.Abort <= 1, "a share of %v aborted transactions is outside 0 to 1", t.Abort)
	check(t.Records == 0 || s.Producers.Idempotent, "transactions need idempotent producers")
	f := s.Transform
	check(f.Workers >= 0 && f.Workers <= maxConsumers, "transform: %d workers are outside 0 to %d", f.Workers, maxConsumers)
	if f.Workers == 0 {
		return
	}
	check(f.Abort >= 0 && f.Abort < 1, "transform: a share of %v aborted transactions is outside 0 to 1", f.Abort)
	check(s.Client == "kgo", "transform: only the kgo client has transactions")
	check(s.Consumers.Committed && s.Consumers.Groups > 0, "transform: somebody must read the outputs, and committed records only")
	same := len(f.Outputs) == len(s.Topics)
	for i := range min(len(f.Outputs), len(s.Topics)) {
		same = same && f.Outputs[i].Partitions == s.Topics[i].Partitions && f.Outputs[i].Name != s.Topics[i].Name
	}
	check(same, "transform: each topic needs an output of another name with as many partitions")
}

// maxActions bounds a timeline.
const maxActions = 1 << 12

func (s *Spec) validateTimeline(check func(bool, string, ...any)) {
	check(len(s.Timeline) <= maxActions, "%d actions are more than %d", len(s.Timeline), maxActions)
	for _, a := range s.Timeline {
		check(slices.Contains(Actions(), a.Do), "action %q is none of %v", a.Do, Actions())
		check(a.At >= 0 && a.For >= 0, "%s: times cannot be negative", a.Do)
		check(a.Do == Hold || a.Count > 0 && a.Count <= maxConsumers, "%s: a count of %d is outside 1 to %d", a.Do, a.Count, maxConsumers)
		check(a.Do == Cut || a.Group < s.Consumers.Groups && a.Group >= -1, "%s: there is no group %d", a.Do, a.Group)
		check(a.Do == Cut || a.Do == Hold || s.Consumers.grouped(), "%s: members come and go only by a group protocol", a.Do)
		check(a.Do != Cut || s.Client == "kgo", "%s: only the kgo client's sockets can be cut", a.Do)
	}
}
