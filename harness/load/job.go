package load

import (
	"encoding/json"
	"fmt"
	"time"
)

// job is a Spec as it travels to an agent, with the agent's place in it: what a
// function or a channel of a Spec does is done by who sends it.
type job struct {
	Index, Of  int
	Run        uint32
	Begin      []int64
	Client     string
	Brokers    []string
	Topics     []Topic
	Payload    Payload
	Keys       Keys
	Producers  Producers
	Consumers  Consumers
	Phases     []jobPhase
	Seed       uint64
	Spin       time.Duration
	Congestion string
	GiveUp     time.Duration
	Watchful   bool
	Ceiling    time.Duration // how long to take the generator's own ceiling; 0: not at all
}

type jobPhase struct {
	Name      string
	Kind      PhaseKind
	Len       time.Duration
	Pacer     *jobPacer
	Producers int
}

// jobPacer is one of the pacers that a scenario can ask for.
type jobPacer struct {
	Kind        string // constant, ramp, sine, sequence
	Rate        float64
	To          float64
	Over        time.Duration
	Swing       float64
	Stretches   []jobPacer      `json:",omitempty"`
	StretchLens []time.Duration `json:",omitempty"`
}

func pacerJob(p Pacer) (*jobPacer, error) {
	switch p := p.(type) {
	case nil:
		return nil, nil
	case Constant:
		return &jobPacer{Kind: "constant", Rate: float64(p)}, nil
	case Ramp:
		return &jobPacer{Kind: "ramp", Rate: p.From, To: p.To, Over: p.Over}, nil
	case Sine:
		return &jobPacer{Kind: "sine", Rate: p.Mean, Swing: p.Amplitude, Over: p.Period}, nil
	case *Sequence:
		out := &jobPacer{Kind: "sequence"}
		for _, part := range p.parts {
			one, err := pacerJob(part.Pacer)
			if err != nil {
				return nil, err
			}
			out.Stretches, out.StretchLens = append(out.Stretches, *one), append(out.StretchLens, part.Len)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a schedule of type %T cannot be sent to an agent", p)
}

// pacer is the schedule. A sequence within a sequence is nothing that a scenario
// can ask for.
func (j *jobPacer) pacer() (Pacer, error) {
	if j == nil {
		return nil, nil
	}
	switch j.Kind {
	case "constant":
		return Constant(j.Rate), nil
	case "ramp":
		return Ramp{j.Rate, j.To, j.Over}, nil
	case "sine":
		return Sine{j.Rate, j.Swing, j.Over}, nil
	case "sequence":
		if len(j.Stretches) == 0 || len(j.Stretches) != len(j.StretchLens) {
			return nil, fmt.Errorf("a sequence of %d schedules and %d lengths", len(j.Stretches), len(j.StretchLens))
		}
		var list []Stretch
		for i, one := range j.Stretches {
			if one.Kind == "sequence" {
				return nil, fmt.Errorf("a sequence within a sequence")
			}
			p, err := one.pacer()
			if err != nil {
				return nil, err
			}
			list = append(list, Stretch{p, j.StretchLens[i]})
		}
		return NewSequence(list...), nil
	}
	return nil, fmt.Errorf("no schedule %q", j.Kind)
}

// newJob is the part of a run that agent i of n carries out.
func newJob(r *run, i, n int, ceiling time.Duration) (json.RawMessage, error) {
	s := r.spec
	j := job{
		Index: i, Of: n, Run: r.id, Begin: r.begin,
		Client: s.Client, Brokers: s.Brokers, Topics: s.Topics, Payload: s.Payload, Keys: s.Keys,
		Producers: s.Producers, Consumers: s.Consumers, Seed: s.Seed, Spin: s.Spin, Congestion: s.Congestion,
		GiveUp: s.GiveUp, Watchful: s.Watchful, Ceiling: ceiling,
	}
	for _, ph := range r.phases {
		p, err := pacerJob(ph.Pacer)
		if err != nil {
			return nil, err
		}
		j.Phases = append(j.Phases, jobPhase{ph.Name, ph.Kind, ph.Len, p, ph.Producers})
	}
	return json.Marshal(j)
}

// spec is what a job asks for; where it is not a job, the error says why.
func (j *job) spec() (Spec, error) {
	s := Spec{
		Client: j.Client, Brokers: j.Brokers, Topics: j.Topics, Payload: j.Payload, Keys: j.Keys,
		Producers: j.Producers, Consumers: j.Consumers, Seed: j.Seed, Spin: j.Spin, Congestion: j.Congestion,
		GiveUp: j.GiveUp, Watchful: j.Watchful, SkipReadBack: true,
	}
	for _, ph := range j.Phases {
		p, err := ph.Pacer.pacer()
		if err != nil {
			return s, err
		}
		if ph.Kind < 0 || ph.Kind > Burst {
			return s, fmt.Errorf("no phase of kind %d", ph.Kind)
		}
		s.Phases = append(s.Phases, Phase{Name: ph.Name, Kind: ph.Kind, Len: ph.Len, Pacer: p, Producers: ph.Producers})
	}
	if j.Of < 1 || j.Of > MaxAgents || j.Index < 0 || j.Index >= j.Of {
		return s, fmt.Errorf("part %d of %d", j.Index, j.Of)
	}
	if err := s.Validate(); err != nil {
		return s, err
	}
	if n := len(partitionsOf(s.Topics)); len(j.Begin) != n {
		return s, fmt.Errorf("%d offsets to begin at for %d partitions", len(j.Begin), n)
	}
	return s, nil
}
