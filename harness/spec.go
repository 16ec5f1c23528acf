package harness

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"millrace/harness/load"
	"millrace/internal/knob"
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
			Size:    load.Size{Distribution: p.Sizes, Mean: int(p.Size), Min: int(p.MinSize), Max: int(p.MaxSize), Weights: p.weights()},
			Headers: p.Headers, HeaderBytes: int(p.HeaderSize),
		},
		Keys: load.Keys{Distribution: s.Keys.Distribution, Count: s.Keys.Count, Exponent: s.Keys.Skew},
		Producers: load.Producers{
			Count: s.Producers.Count, Acks: acks[s.Producers.Acks], Linger: s.Producers.Linger,
			BatchBytes: int(s.Producers.BatchSize), Compression: s.Producers.Compression,
			Idempotent: s.Producers.Idempotence == "true", MaxInFlight: s.Producers.InFlight,
			MaxBuffered: s.Producers.Buffered, Retries: -1,
			Transaction: load.Transaction{Records: s.Producers.TxnRecords, Abort: s.Producers.TxnAbort},
		},
		Consumers: load.Consumers{
			Groups: s.Consumers.Groups, Members: s.Consumers.Members, MinBytes: int(s.Consumers.MinBytes),
			MaxWait: s.Consumers.MaxWait, FetchBytes: int(s.Consumers.MaxBytes),
			PartitionBytes: int(s.Consumers.PartitionBytes), Records: s.Consumers.Records == "true", Discard: s.discards(),
			Protocol: s.Consumers.Protocol, Committed: s.Consumers.Isolation == "read_committed",
			SessionTimeout: s.Consumers.SessionTimeout, Commit: s.Consumers.CommitInterval,
		},
		Seed:       s.Seed,
		Congestion: s.Host.Congestion,
		GiveUp:     giveUp,
		Timeline:   s.actions(),
		Retain:     s.Verify == "full" || s.Verify == "auto" && (s.harmful() || s.discards()),
		Watchful:   len(s.faults()) > 0,
	}
	for _, h := range s.Timeline { // what is meant to stand still is not given up
		if h.ofTarget() {
			sp.GiveUp = max(sp.GiveUp, giveUp+h.For+reviveTime)
		}
	}
	if t := s.Transform; t.Workers > 0 {
		sp.Transform = load.Transform{Workers: t.Workers, Interval: t.Interval, Abort: t.Abort}
		for _, out := range s.allTopics()[len(s.Topics):] {
			sp.Transform.Outputs = append(sp.Transform.Outputs, load.Topic{Name: out.Name, Partitions: out.Partitions})
		}
	}
	if s.Consumers.Groups == 0 {
		sp.Consumers = load.Consumers{}
	}
	for _, t := range s.Topics {
		sp.Topics = append(sp.Topics, load.Topic{Name: t.Name, Partitions: t.Partitions})
	}
	for i, ph := range s.Phases {
		kind := loadKinds[ph.Kind]
		if ph.Kind == Drain && i < len(s.Phases)-1 {
			kind = load.Pause // of its full length: the schedule after it is fixed
		}
		sp.Phases = append(sp.Phases, load.Phase{Name: ph.Name, Kind: kind, Len: ph.Len, Pacer: ph.pacer(),
			Producers: ph.Producers, Members: ph.Members})
	}
	return sp
}

// allTopics is every topic that the run needs: also the outputs of a transform.
func (s *Scenario) allTopics() []Topic {
	list := slices.Clone(s.Topics)
	if s.Transform.Workers > 0 {
		for _, t := range s.Topics {
			t.Name += s.Transform.Suffix
			list = append(list, t)
		}
	}
	return list
}

// checkWeight is of one entry of size.weights.
func checkWeight(size, share string) error {
	if n, err := parseSize(size); err != nil || n < 1 || n > load.MaxValue {
		return fmt.Errorf("payload.size.weights: %q is no size from 1B to %s", size, knob.FormatBytes(load.MaxValue))
	}
	if w, err := strconv.ParseFloat(share, 64); err != nil || !(w >= 0) || math.IsInf(w, 0) {
		return fmt.Errorf("payload.size.weights: %s: %q is no weight (a number from 0 on)", size, share)
	}
	return nil
}

// weights is size.weights, smallest first.
func (p Payload) weights() (list []load.Weight) {
	for size, share := range p.Weights {
		n, _ := parseSize(size) // checked when they were read
		w, _ := strconv.ParseFloat(share, 64)
		list = append(list, load.Weight{Bytes: int(n), Share: w})
	}
	slices.SortFunc(list, func(a, b load.Weight) int { return a.Bytes - b.Bytes })
	return list
}

var acks = map[string]int16{"all": load.AcksAll, "1": load.AcksLeader, "0": load.AcksNone}

var loadKinds = map[string]load.PhaseKind{
	Warmup: load.Warmup, Steady: load.Steady, Pause: load.Pause, Drain: load.Drain,
	Ramp: load.RampUp, Burst: load.Burst,
}
