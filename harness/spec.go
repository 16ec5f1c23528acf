package harness

import (
	"time"

	"millrace/harness/load"
)

// giveUp is how long a target may acknowledge nothing before a run ends.
const giveUp = 15 * time.Second

// spec is the scenario in the load generator's terms.
func (s *Scenario) spec(addr string) load.Spec {
	p := s.Payload
	sp := load.Spec{
		Client:  s.Client,
		Brokers: []string{addr},
		Payload: load.Payload{
			Generator: p.Generator, Path: p.File, Compressibility: p.Compressibility,
			Size: load.Size{Distribution: p.Sizes, Mean: int(p.Size), Min: int(p.MinSize), Max: int(p.MaxSize)},
		},
		Keys: load.Keys{Distribution: s.Keys.Distribution, Count: s.Keys.Count, Exponent: s.Keys.Skew},
		Producers: load.Producers{
			Count: s.Producers.Count, Acks: acks[s.Producers.Acks], Linger: s.Producers.Linger,
			BatchBytes: int(s.Producers.BatchSize), Compression: s.Producers.Compression,
			Idempotent: s.Producers.Idempotence == "true", MaxInFlight: s.Producers.InFlight,
			MaxBuffered: s.Producers.Buffered, Retries: -1,
		},
		Consumers: load.Consumers{
			Groups: s.Consumers.Groups, Members: s.Consumers.Members, MinBytes: int(s.Consumers.MinBytes),
			MaxWait: s.Consumers.MaxWait, FetchBytes: int(s.Consumers.MaxBytes),
			PartitionBytes: int(s.Consumers.PartitionBytes), Records: s.Consumers.Records == "true",
		},
		Seed:       s.Seed,
		Congestion: s.Host.Congestion,
		GiveUp:     giveUp,
	}
	if s.Consumers.Groups == 0 {
		sp.Consumers = load.Consumers{}
	}
	for _, t := range s.Topics {
		sp.Topics = append(sp.Topics, load.Topic{Name: t.Name, Partitions: t.Partitions})
	}
	for _, ph := range s.Phases {
		sp.Phases = append(sp.Phases, load.Phase{Name: ph.Name, Kind: loadKinds[ph.Kind], Len: ph.Len, Pacer: ph.pacer()})
	}
	return sp
}

var acks = map[string]int16{"all": load.AcksAll, "1": load.AcksLeader, "0": load.AcksNone}

var loadKinds = map[string]load.PhaseKind{
	Warmup: load.Warmup, Steady: load.Steady, Pause: load.Pause, Drain: load.Drain,
}

// pacer is the phase's schedule; nil: closed loop, or no load at all.
func (p Phase) pacer() load.Pacer {
	switch {
	case p.RateTo > 0:
		return load.Ramp{From: p.Rate, To: p.RateTo, Over: p.Len}
	case p.Rate != maxRate:
		return load.Constant(p.Rate)
	}
	return nil
}
