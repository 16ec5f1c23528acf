package load

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and precision of every histogram. Values are kept to three
// significant digits, and to 64 ns below 128 µs. What is longer than an hour is
// counted as an hour, and said to be out of range. One histogram is 208 KiB.
const (
	HistogramLowest  = 64 * time.Nanosecond
	HistogramHighest = time.Hour
	HistogramDigits  = 3
)

// Histogram is a distribution of durations in nanoseconds. It is not safe for
// concurrent use.
type Histogram struct {
	hdr *hdrhistogram.Histogram
	out int64
}

// NewHistogram is empty.
func NewHistogram() *Histogram {
	return &Histogram{hdr: hdrhistogram.New(int64(HistogramLowest), int64(HistogramHighest), HistogramDigits)}
}

// Record counts n values of v nanoseconds. It does not allocate.
func (h *Histogram) Record(v, n int64) {
	if uint64(v) > uint64(HistogramHighest) {
		h.out += n
		v = min(max(v, 0), int64(HistogramHighest))
	}
	if err := h.hdr.RecordValues(v, n); err != nil {
		panic("BUG: a value within the range was refused: " + err.Error())
	}
}

// Merge adds what another histogram holds.
func (h *Histogram) Merge(from *Histogram) {
	if from == nil || from.hdr.TotalCount() == 0 {
		return
	}
	if dropped := h.hdr.Merge(from.hdr); dropped > 0 {
		panic("BUG: histograms of the same range do not merge")
	}
	h.out += from.out
}

func (h *Histogram) reset() {
	h.hdr.Reset()
	h.out = 0
}

// Count is the number of values, those out of range included.
func (h *Histogram) Count() int64 { return h.hdr.TotalCount() }

// OutOfRange counts values below 0 or above HistogramHighest. They are counted
// as the end of the range.
func (h *Histogram) OutOfRange() int64 { return h.out }

// Percentile is the value at a percentile, 0 to 100; 0 where there are none.
func (h *Histogram) Percentile(p float64) time.Duration {
	if h.Count() == 0 {
		return 0
	}
	return time.Duration(h.hdr.ValueAtPercentile(p))
}

// Min, Max and Mean are as exact as the histogram is.
func (h *Histogram) Min() time.Duration { return time.Duration(h.hdr.Min()) }

// Max is the largest value.
func (h *Histogram) Max() time.Duration { return time.Duration(h.hdr.Max()) }

// Mean is in nanoseconds.
func (h *Histogram) Mean() float64 { return h.hdr.Mean() }

// HDR is the histogram itself, for what is not offered here; the caller must
// not change it.
func (h *Histogram) HDR() *hdrhistogram.Histogram { return h.hdr }

// LogEntry is one histogram in a log.
type LogEntry struct {
	Tag        string // no comma, blank or line break
	Start, Len time.Duration
	Histogram  *Histogram
}

// WriteLog writes histograms in the HdrHistogram log format 1.3, which
// HistogramLogReader and the tools around HdrHistogram read. Started is the
// wall clock at time 0. Maxima in the log are in milliseconds, as usual.
func WriteLog(w io.Writer, started time.Time, entries []LogEntry) error {
	lw := hdrhistogram.NewHistogramLogWriter(w)
	base := started.UnixMilli()
	if err := lw.OutputLogFormatVersion(); err != nil {
		return err
	}
	if err := lw.OutputComment(fmt.Sprintf("[values in ns, from %v to %v, %d digits]", HistogramLowest, HistogramHighest, HistogramDigits)); err != nil {
		return err
	}
	if err := lw.OutputStartTime(base); err != nil {
		return err
	}
	if err := lw.OutputLegend(); err != nil {
		return err
	}
	lw.SetBaseTime(base)
	for _, e := range entries {
		h := e.Histogram.hdr
		h.SetTag(e.Tag)
		h.SetStartTimeMs(base + e.Start.Milliseconds())
		h.SetEndTimeMs(base + (e.Start + e.Len).Milliseconds())
		if err := lw.OutputIntervalHistogram(h); err != nil {
			return fmt.Errorf("histogram %s: %w", e.Tag, err)
		}
	}
	return nil
}
