package load

import (
	"fmt"
	"io"
	"math/bits"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and precision of every histogram. Values are kept to three
// significant digits, and to 64 ns below 128 µs. What is longer than an hour is
// counted as an hour, and said to be out of range. One histogram is 216 KiB.
const (
	HistogramLowest  = 64 * time.Nanosecond
	HistogramHighest = time.Hour
	HistogramDigits  = 3
)

// The places of a histogram are those of HdrHistogram, so that the one is made
// of the other without loss: values share a place whose unit is 64 ns below
// 131 µs (2,048 places), and twice that for each doubling of the value (1,024
// places more).
const (
	unitShift  = 6 // 64 ns
	subBits    = 11
	subHalf    = 1 << (subBits - 1)
	firstRange = 1<<(unitShift+subBits) - 1
)

// placeOf is the place of a value within the range.
func placeOf(v int64) int {
	doublings := bits.Len64(uint64(v)|firstRange) - (unitShift + subBits)
	return doublings<<(subBits-1) + int(v>>(doublings+unitShift))
}

// valueAt is the smallest value of a place.
func valueAt(place int) int64 {
	doublings := max(place>>(subBits-1)-1, 0)
	return int64(place-doublings<<(subBits-1)) << (doublings + unitShift)
}

var places = placeOf(int64(HistogramHighest)) + 1

// Histogram is a distribution of durations in nanoseconds. It is not safe for
// concurrent use.
//
// It counts into places of its own, which is a third of what HdrHistogram's way
// costs, and becomes an HdrHistogram when somebody asks what it holds.
type Histogram struct {
	counts     []int64
	total, out int64
	lo, hi     int // the places used lie between, both included

	hdr   *hdrhistogram.Histogram // nil: nobody asked yet
	stale bool                    // it is not what counts say
}

// NewHistogram is empty.
func NewHistogram() *Histogram {
	h := &Histogram{counts: make([]int64, places)}
	h.reset()
	return h
}

// Record counts n values of v nanoseconds. It does not allocate.
func (h *Histogram) Record(v, n int64) {
	if uint64(v) > uint64(HistogramHighest) {
		h.out += n
		v = min(max(v, 0), int64(HistogramHighest))
	}
	at := placeOf(v)
	h.counts[at] += n
	h.total += n
	h.lo, h.hi = min(h.lo, at), max(h.hi, at)
	h.stale = true
}

// Merge adds what another histogram holds.
func (h *Histogram) Merge(from *Histogram) {
	if from == nil || from.total == 0 {
		return
	}
	for at, n := range from.counts[from.lo : from.hi+1] {
		h.counts[from.lo+at] += n
	}
	h.total += from.total
	h.out += from.out
	h.lo, h.hi = min(h.lo, from.lo), max(h.hi, from.hi)
	h.stale = true
}

func (h *Histogram) reset() {
	if h.total > 0 {
		clear(h.counts[h.lo : h.hi+1])
	}
	h.total, h.out = 0, 0
	h.lo, h.hi = len(h.counts), -1
	h.stale = true
}

// HDR is the histogram for what is not offered here; the caller must not change
// it. It is valid until the next Record or Merge.
func (h *Histogram) HDR() *hdrhistogram.Histogram {
	if h.hdr == nil {
		h.hdr = hdrhistogram.New(int64(HistogramLowest), int64(HistogramHighest), HistogramDigits)
		h.stale = true
	}
	if !h.stale {
		return h.hdr
	}
	h.stale = false
	h.hdr.Reset()
	for at := h.lo; at <= h.hi; at++ {
		if n := h.counts[at]; n > 0 {
			if err := h.hdr.RecordValues(valueAt(at), n); err != nil {
				panic("BUG: a place outside the range: " + err.Error())
			}
		}
	}
	return h.hdr
}

// Count is the number of values, those out of range included.
func (h *Histogram) Count() int64 { return h.total }

// OutOfRange counts values below 0 or above HistogramHighest. They are counted
// as the end of the range.
func (h *Histogram) OutOfRange() int64 { return h.out }

// Percentile is the value at a percentile, 0 to 100; 0 where there are none.
func (h *Histogram) Percentile(p float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	return time.Duration(h.HDR().ValueAtPercentile(p))
}

// Min, Max and Mean are as exact as the histogram is.
func (h *Histogram) Min() time.Duration { return time.Duration(h.HDR().Min()) }

// Max is the largest value.
func (h *Histogram) Max() time.Duration { return time.Duration(h.HDR().Max()) }

// Mean is in nanoseconds.
func (h *Histogram) Mean() float64 { return h.HDR().Mean() }

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
		h := e.Histogram.HDR()
		h.SetTag(e.Tag)
		h.SetStartTimeMs(base + e.Start.Milliseconds())
		h.SetEndTimeMs(base + (e.Start + e.Len).Milliseconds())
		if err := lw.OutputIntervalHistogram(h); err != nil {
			return fmt.Errorf("histogram %s: %w", e.Tag, err)
		}
	}
	return nil
}
