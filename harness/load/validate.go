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
)

// Bounds, so that a slip in a scenario does not take the machine down.
const (
	maxProducers  = 1 << 12
	maxConsumers  = 1 << 12
	maxPartitions = 1 << 15
	maxFetchBytes = 1 << 30
	maxInFlight   = 1 << 16
	maxBuffered   = 1 << 24
)

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
	check(total <= maxPartitions, "%d partitions are more than %d", total, maxPartitions)

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
	check(p.Compressibility == 0 || p.Compressibility >= 1 && p.Compressibility <= 100, "compressibility %v is outside 1 to 100", p.Compressibility)
	z := p.Size
	within := func(n int) bool { return n >= 1 && n <= MaxValue }
	switch z.Distribution {
	case "", Fixed:
		check(within(z.Mean), "payload size %d is outside 1 to %d bytes", z.Mean, MaxValue)
	case Uniform, LogNormal:
		check(within(z.Min) && within(z.Max) && z.Min <= z.Max, "payload sizes %d to %d are no range within 1 to %d bytes", z.Min, z.Max, MaxValue)
		check(z.Distribution == Uniform || z.Mean >= z.Min && z.Mean <= z.Max, "payload mean size %d is outside %d to %d", z.Mean, z.Min, z.Max)
	default:
		check(false, "payload size distribution %q is none of %s, %s, %s", z.Distribution, Fixed, Uniform, LogNormal)
	}
}

func (s *Spec) validatePhases(check func(bool, string, ...any)) {
	sends := false
	for i, p := range s.Phases {
		check(p.Kind >= Warmup && p.Kind <= Drain, "phase %d is of no known kind", i)
		check(p.Len > 0, "phase %d (%v) needs a length", i, p.Kind)
		check(p.Kind != Drain || i == len(s.Phases)-1, "phase %d: only the last phase can be the drain", i)
		sends = sends || p.Kind == Warmup || p.Kind == Steady
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
