package harness

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/term"

	"millrace/harness/load"
	"millrace/results"
)

// progress tells a waiting person how the run stands: one line that is
// rewritten on a terminal, plain lines elsewhere.
type progress struct {
	w      io.Writer
	tty    bool
	prefix string // a comparison's "round 3 of 10"
	s      *Scenario
	total  time.Duration
	whole  func() time.Duration // left of a comparison; nil: this run is all

	now      int // phase
	began    time.Time
	ack, e2e *hdrhistogram.Histogram // of the phase so far
	drawn    int                     // width of the line on the terminal
	columns  int                     // of the terminal
}

func newProgress(o RunOptions) *progress {
	p := &progress{w: o.Progress, tty: o.TTY, prefix: o.prefix, s: o.Scenario, whole: o.remaining}
	if p.w == nil {
		p.w = io.Discard
	}
	p.columns = width
	if f, ok := p.w.(*os.File); ok && p.tty {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			p.columns = w
		}
	}
	for _, ph := range p.s.Phases {
		p.total += ph.Len
	}
	return p
}

// line shows text in place of what was there.
func (p *progress) line(text string) {
	if p.prefix != "" {
		text = p.prefix + "  " + text
	}
	if !p.tty {
		fmt.Fprintln(p.w, text)
		return
	}
	text = clip(text, p.columns-1) // a line that wraps cannot be rewritten
	width := utf8.RuneCountInString(text)
	fmt.Fprintf(p.w, "\r%s%s", text, strings.Repeat(" ", max(0, p.drawn-width)))
	p.drawn = width
}

func (p *progress) status(format string, args ...any) {
	text := p.s.Name + ": " + fmt.Sprintf(format, args...)
	if p.whole != nil {
		text += leftOf(p.whole())
	}
	p.line(text)
}

// leftOf is the one figure of the time left that a line has.
func leftOf(d time.Duration) string {
	if d = d.Round(time.Second); d <= 0 {
		return ""
	}
	return fmt.Sprintf(", %s left", results.FormatSpan(d))
}

// end leaves the terminal's line empty.
func (p *progress) end() {
	if p.tty && p.drawn > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.drawn))
		p.drawn = 0
	}
}

func (p *progress) phase(i int) {
	p.now = i
	if i == 0 {
		p.began = time.Now()
	}
	p.ack, p.e2e = nil, nil
}

func (p *progress) sample(s load.Sample, out results.Sample) {
	p.ack, p.e2e = merge(p.ack, s.Latency[load.Ack]), merge(p.e2e, s.Latency[load.EndToEnd])
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", p.s.Name, out.Phase)
	left := p.total - (s.Start + s.Len)
	if p.whole != nil {
		left = p.whole()
	}
	b.WriteString(leftOf(left))
	if p.now < len(p.s.Phases) && p.s.Phases[p.now].Kind == Drain {
		fmt.Fprintf(&b, "  consumed %s/s  lag %s", results.FormatCount(out.Consumed), results.FormatCount(float64(out.Lag)))
	} else {
		fmt.Fprintf(&b, "  %s/s", results.FormatCount(out.Acked))
		if p.s.Consumers.Groups > 0 {
			fmt.Fprintf(&b, "  lag %s", results.FormatCount(float64(out.Lag)))
		}
		if p.ack != nil {
			fmt.Fprintf(&b, "  ack p99 %s", results.FormatNs(float64(p.ack.ValueAtQuantile(99))))
		}
		if p.e2e != nil {
			fmt.Fprintf(&b, "  e2e p99 %s", results.FormatNs(float64(p.e2e.ValueAtQuantile(99))))
		}
	}
	if out.Errors > 0 {
		fmt.Fprintf(&b, "  errors %s", results.FormatCount(float64(out.Errors)))
	}
	p.line(b.String())
}

func merge(sum *hdrhistogram.Histogram, h *load.Histogram) *hdrhistogram.Histogram {
	if h == nil || h.HDR() == nil || h.HDR().TotalCount() == 0 {
		return sum
	}
	if sum == nil {
		return h.HDR().Clone()
	}
	sum.Merge(h.HDR())
	return sum
}
