package results

import "fmt"

// PathFigures is one path scenario at one batch size, a value for each round.
type PathFigures struct {
	Scenario string    `json:"scenario"`
	Batch    int64     `json:"batch_bytes"`
	Runs     []string  `json:"runs"`
	Bytes    []float64 `json:"bytes_per_s"`   // produced and consumed together
	Records  []float64 `json:"records_per_s"` // produced, or consumed where that is what the phase does
	CPUPerGB []float64 `json:"cpu_s_per_gb"`
	Bare     []float64 `json:"bare_cpu_s_per_gb"`
	Syscalls []float64 `json:"syscalls_per_record"`
	Switches []float64 `json:"ctx_switches_per_record"`
	Shares   []float64 `json:"roofline_share"`
	Busy     float64   `json:"others_cpu"` // largest share of the machine that other processes took
	Steal    float64   `json:"steal"`      // largest
	Cold     int       `json:"cold"`       // rounds in cold memory
	Ceiling  float64   `json:"-"`
}

// Add takes a round's figures.
func (f *PathFigures) Add(r *Run) {
	p := &r.Trial.Steady
	f.Runs = append(f.Runs, r.ID)
	f.Bytes = append(f.Bytes, p.Acked.ByteRate+p.Consumed.ByteRate)
	rate := p.Acked.Rate
	if p.Consumed.Records > CatchingUp*p.Acked.Records {
		rate = p.Consumed.Rate
	}
	f.Records = append(f.Records, rate)
	if roof := r.Trial.Roofline; roof != nil {
		f.CPUPerGB = append(f.CPUPerGB, roof.CPUPerGB)
		f.Bare = append(f.Bare, roof.BareCPUPerGB)
		if roof.Share > 0 {
			f.Shares = append(f.Shares, roof.Share)
		}
	}
	if c := p.Target; c != nil {
		if v := c.PerRecord.Syscalls; v != nil {
			f.Syscalls = append(f.Syscalls, *v)
		}
		if v := c.PerRecord.Ctx; v != nil {
			f.Switches = append(f.Switches, *v)
		}
	}
	if p.Others != nil {
		f.Busy = max(f.Busy, *p.Others)
	}
	f.Steal = max(f.Steal, p.Steal)
	if ColdMemory(r.Env.MemoryCost) {
		f.Cold++
	}
}

// PathNotes says what a reader of the figures must know.
func PathNotes(list []PathFigures) (notes []string) {
	var busy, steal float64
	cold, rounds := 0, 0
	for _, f := range list {
		busy, steal, cold, rounds = max(busy, f.Busy), max(steal, f.Steal), cold+f.Cold, rounds+len(f.Runs)
	}
	if busy > 0.1 {
		notes = append(notes, fmt.Sprintf("other processes took up to %.0f %% of the machine's CPU time: shares and rates say little", 100*busy))
	}
	if steal > 0.03 {
		notes = append(notes, fmt.Sprintf("the hypervisor withheld up to %.1f %% of the CPU time", 100*steal))
	}
	if cold > 0 {
		notes = append(notes, fmt.Sprintf("memory was cold in %d of %d runs: warm it with --warm-memory", cold, rounds))
	}
	return notes
}
