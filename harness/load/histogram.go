package load

import (
	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram is a distribution of durations in nanoseconds.
type Histogram struct {
	hdr *hdrhistogram.Histogram
	out int64
}

// HDR is the histogram itself; the caller must not change it.
func (h *Histogram) HDR() *hdrhistogram.Histogram { return h.hdr }

// OutOfRange counts values beyond the range. They are counted as its end.
func (h *Histogram) OutOfRange() int64 { return h.out }
