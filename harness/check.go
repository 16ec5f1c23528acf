package harness

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"millrace/harness/load"
	"millrace/internal/knob"
)

// settle fills in what follows from the rest: a file payload, the rate of a
// warm-up, the names of phases that share a kind.
func (s *Scenario) settle() {
	if s.Payload.File != "" {
		s.Payload.Generator = "file"
	}
	if len(s.Payload.Weights) > 0 {
		s.Payload.Sizes = "weighted"
	}
	if s.Consumers.Isolation == "" {
		s.Consumers.Isolation = "read_uncommitted"
		if s.Producers.TxnRecords > 0 || s.Transform.Workers > 0 {
			s.Consumers.Isolation = "read_committed"
		}
	}
	if s.Producers.Idempotence == "" {
		s.Producers.Idempotence = strconv.FormatBool(s.Client == "kgo" && s.Producers.Acks == "all")
	}
	names := map[string]int{}
	for i := range s.Phases {
		p := &s.Phases[i]
		names[p.Name]++
		if n := names[p.Name]; n > 1 && p.Name == p.Kind {
			p.Name = fmt.Sprintf("%s-%d", p.Kind, n)
		}
		if p.Kind == Warmup && !p.rateSet {
			if next := s.nextSteady(i); next != nil && next.rateSet {
				p.Rate, p.rateSet = next.Rate, true // of a ramp or steps: where they start; of a sine, its mean
			}
		}
	}
}

func (s *Scenario) nextSteady(i int) *Phase {
	for ; i < len(s.Phases); i++ {
		if s.Phases[i].Kind == Steady {
			return &s.Phases[i]
		}
	}
	return nil
}

// steady lists the phases that count.
func (s *Scenario) steady() []Phase {
	var list []Phase
	for _, p := range s.Phases {
		if p.Kind == Steady {
			list = append(list, p)
		}
	}
	return list
}

// check is what no single field can see.
func (s *Scenario) check(d *decoder) {
	switch {
	case s.Name == "":
		d.faultAt("", "the scenario has no name")
	case !nameForm.MatchString(s.Name):
		d.faultAt("name", "name: %q has more than small letters, digits, dots and dashes", s.Name)
	}
	if s.Question == "" {
		d.faultAt("", "the scenario has no question: what should a run answer?")
	}
	s.checkTopics(d)
	s.checkPayload(d)
	s.checkPhases(d)
	s.checkTransactions(d)
	s.checkTimeline(d)
	s.checkAbort(d)
	for i := range s.Goals {
		s.Goals[i].check(s, d, fmt.Sprintf("goals.%d", i))
	}
	if len(s.Broker) > 0 {
		if err := validateKnobs(s.Broker); err != nil {
			d.faultAt("broker", "%v", err)
		}
	}
}

func (s *Scenario) checkTopics(d *decoder) {
	if len(s.Topics) == 0 {
		d.faultAt("topics", "the scenario has no topics (write topics: [{name: events, partitions: 4}])")
	}
	total := 0
	for _, t := range s.Topics {
		total += t.Partitions
	}
	if total > load.MaxPartitions {
		d.faultAt("topics", "topics: %d partitions are more than the %d that one generator keeps account of", total, load.MaxPartitions)
	}
	seen := map[string]bool{}
	for i, t := range s.Topics {
		at := fmt.Sprintf("topics.%d", i)
		switch {
		case t.Name == "":
			d.faultAt(at, "%s has no name", at)
		case seen[t.Name]:
			d.faultAt(at, "there are two topics %q", t.Name)
		}
		seen[t.Name] = true
	}
}

func (s *Scenario) checkPayload(d *decoder) {
	p := s.Payload
	if p.Generator == "file" && d.at["payload.file"] == nil {
		d.faultAt("payload.generator", "payload.file is missing: say which file's lines are the records (--set payload.file=/var/log/dpkg.log)")
	}
	if p.File != "" {
		if info, err := os.Stat(p.File); err != nil {
			d.faultAt("payload.file", "payload.file: %v", err)
		} else if info.IsDir() {
			d.faultAt("payload.file", "payload.file: %s is a directory", p.File)
		} else if info.Size() == 0 {
			d.faultAt("payload.file", "payload.file: %s is empty", p.File)
		}
	}
	if limit := s.Producers.BatchSize; p.Generator != "file" && p.Size > limit {
		d.faultAt("payload.size", "payload.size: a record of %s does not fit a batch.size of %s",
			knob.FormatBytes(p.Size), knob.FormatBytes(limit))
	}
	var heaviest float64
	for _, w := range p.weights() {
		heaviest = max(heaviest, w.Share)
		if limit := s.Producers.BatchSize; p.Generator != "file" && int64(w.Bytes) > limit {
			d.faultAt("payload.size.weights", "payload.size.weights: a record of %s does not fit a batch.size of %s",
				knob.FormatBytes(int64(w.Bytes)), knob.FormatBytes(limit))
		}
	}
	if p.Sizes == "weighted" && heaviest == 0 {
		d.faultAt("payload", "payload.size.weights: no size has a weight (write size.weights: {100B: 70, 1KiB: 30})")
	}
	if p.Sizes != "fixed" && p.Sizes != "weighted" && p.MinSize > p.MaxSize {
		d.faultAt("payload.size.min", "payload.size.min: %s is above the size.max of %s",
			knob.FormatBytes(p.MinSize), knob.FormatBytes(p.MaxSize))
	}
	if s.Producers.Idempotence == "true" {
		if s.Client != "kgo" {
			d.faultAt("producers.idempotence", "producers.idempotence: only the kgo client has it")
		} else if s.Producers.Acks != "all" {
			d.faultAt("producers.idempotence", "producers.idempotence: needs acks all, not %s", s.Producers.Acks)
		} else if s.Producers.InFlight > 0 {
			d.faultAt("producers.max.in.flight", "producers.max.in.flight: kgo fixes it at 5 with idempotence (write idempotence: false, or leave it out)")
		}
	}
	if s.Producers.Acks == "0" {
		for i, g := range s.Goals {
			if g.histogram() == "ack" || g.histogram() == "service" {
				at := fmt.Sprintf("goals.%d", i)
				d.faultAt(at, "%s: with producers.acks 0 nothing is acknowledged, so %s cannot be measured", at, g.Figure)
			}
		}
	}
}

func (s *Scenario) checkPhases(d *decoder) {
	if len(s.Phases) == 0 {
		d.faultAt("phases", "the scenario has no phases (write phases: [{warmup: 3s}, {steady: 15s, rate: 50000/s}, {drain: 10s}])")
		return
	}
	seen := map[string]bool{}
	steady := 0
	var total time.Duration
	for i, p := range s.Phases {
		at := fmt.Sprintf("phases.%d", i)
		if seen[p.Name] && p.Name != "" {
			d.faultAt(at, "there are two phases %q", p.Name)
		}
		seen[p.Name] = true
		total += p.Len
		switch p.Kind {
		case Steady, Ramp, Burst:
			if p.Kind == Steady {
				steady++
			}
			if !p.rateSet {
				d.faultAt(at, "%s: a %s phase needs its rate (write rate: 50000/s, or rate: max for a closed loop)", at, p.Kind)
			}
		case Drain, Pause:
			if p.rateSet {
				d.faultAt(at, "%s: a %s has no rate", at, p.Kind)
			}
		}
		if p.Producers > s.Producers.Count {
			d.faultAt(at, "%s: %d producers are more than there are (producers.count is %d)", at, p.Producers, s.Producers.Count)
		}
		if p.Members > 0 && (s.Consumers.Protocol == "direct" || s.Consumers.Groups == 0) {
			d.faultAt(at, "%s: the number of members changes only by a group protocol (write consumers: {groups: 1, protocol: classic})", at)
		}
	}
	if steady == 0 {
		d.faultAt("phases", "phases: no steady phase, so nothing would be counted (write {steady: 15s, rate: 50000/s})")
	}
	if total > 240*hour {
		d.faultAt("phases", "phases: together longer than ten days")
	}
}

// checkTransactions is of what needs the kgo client and its idempotence.
func (s *Scenario) checkTransactions(d *decoder) {
	lean := func(at, what string) {
		if s.Client != "kgo" {
			d.faultAt(at, "%s: %s needs client: kgo", at, what)
		}
	}
	if s.Producers.TxnRecords > 0 {
		lean("producers.transaction.records", "a transaction")
		if s.Producers.Idempotence != "true" {
			d.faultAt("producers.transaction.records", "producers.transaction.records: transactions need acks all and idempotence")
		}
	} else if s.Producers.TxnAbort > 0 {
		d.faultAt("producers.transaction.abort", "producers.transaction.abort: there are no transactions (write transaction.records: 100)")
	}
	if s.Consumers.Groups > 0 {
		if s.Consumers.Protocol != "direct" {
			lean("consumers.protocol", "a group protocol")
		}
		if s.Consumers.Isolation == "read_committed" {
			lean("consumers.isolation.level", "read_committed")
		}
	}
	if s.Transform.Workers == 0 {
		return
	}
	lean("transform.workers", "a transform")
	switch {
	case s.Consumers.Groups == 0:
		d.faultAt("transform", "transform: nobody reads the outputs, so nothing could be judged (write consumers: {groups: 1})")
	case s.Consumers.Isolation != "read_committed":
		d.faultAt("consumers.isolation.level", "consumers.isolation.level: what a transform writes can be judged only by who reads committed records")
	case s.Transform.Suffix == "":
		d.faultAt("transform.suffix", "transform.suffix is empty: the outputs would be the inputs")
	}
}
